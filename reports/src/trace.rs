//! What happened in a run, totally ordered.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Everything that happened in one run, in order.
///
/// Its canonical form is one JSON object per line, in the order of the struct
/// fields below, each line ended by a newline. The SHA-256 of that text is the
/// run's identity: same scenario, same seed, same binary, same digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The records, in order.
    pub records: Vec<Record>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Virtual nanoseconds since the simulation began.
    pub t: u64,
    /// Ordinal among all records of the run, from 0.
    pub seq: u64,
    /// The machine it happened on: a node's name, `metrics-server`,
    /// `apiserver`, `clients`, `world`. Where there can be several pods of
    /// metrics-server, what happens to one of them carries its name:
    /// `metrics-server-2`.
    pub host: String,
    /// What happened.
    pub event: Event,
}

/// What can happen. Spelled in camelCase in JSON, externally tagged:
/// `{"response":{"observer":"hpa",…}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The run began. Always the first record.
    Began {
        /// The scenario's name.
        scenario: String,
        /// SHA-256 of the scenario file.
        input_digest: String,
        /// The run's seed.
        seed: u64,
        /// firstlight's version.
        tool: String,
    },
    /// The pod object was created.
    PodCreated,
    /// Which pod that is, where the scenario can have several. Their records
    /// carry the pod's name as `host`: `metrics-server-2`.
    ReplicaCreated {
        /// `metadata.name`
        object: String,
        /// The pod template it was made from: 1, and one more with each
        /// rollout.
        revision: u32,
    },
    /// One of several pods was bound to a node.
    ReplicaBound {
        /// The node.
        node: String,
    },
    /// One of several pods is gone from the API.
    ReplicaDeleted,
    /// The Deployment's Progressing condition changed: False after any
    /// rollout, True after those that follow the first.
    Progressing {
        /// Its status.
        status: bool,
        /// `NewReplicaSetAvailable`, `ProgressDeadlineExceeded`
        reason: String,
        /// Its message.
        message: String,
    },
    /// A condition of the pod changed in the API.
    PodCondition {
        /// `PodScheduled`, `ContainersReady`, `Ready`
        condition: String,
        /// Its status.
        status: bool,
        /// Its reason, or empty.
        reason: String,
    },
    /// The metrics-server process started.
    ProcessStarted {
        /// 0 for the first start, then the restart count.
        restart: u32,
    },
    /// The serving certificate was generated or found.
    ServingCertificate {
        /// Whether it had to be generated.
        generated: bool,
    },
    /// The process bound its serving port.
    PortBound {
        /// Address and port.
        address: String,
    },
    /// The configmap `extension-apiserver-authentication` was read.
    AuthenticationConfigLoaded,
    /// One informer's first list is complete.
    InformerSynced {
        /// `nodes` or `pods`
        resource: String,
    },
    /// Both informers are synced; ticks begin.
    InformersSynced,
    /// The process answers requests on its port.
    Serving {
        /// Address and port.
        address: String,
    },
    /// A scrape tick began.
    TickStarted {
        /// From 1.
        tick: u64,
        /// Nodes it will scrape.
        nodes: u64,
    },
    /// One node's scrape ended.
    Scraped {
        /// The node.
        node: String,
        /// `200` or another status, `refused`, `timeout`, `reset`, `tls`,
        /// `dns`, `unreachable`, `malformed`
        outcome: String,
        /// The error text, empty on success.
        text: String,
        /// From request to result, in nanoseconds.
        duration_ns: u64,
    },
    /// A tick's batch was stored.
    TickStored {
        /// From 1.
        tick: u64,
        /// Nodes in the batch.
        nodes: u64,
        /// Pods in the batch.
        pods: u64,
        /// Nodes with a previous point: servable.
        servable_nodes: u64,
        /// Pods with a previous point.
        servable_pods: u64,
    },
    /// The process wrote a log line.
    Log {
        /// `I`, `W`, `E`, `F`
        severity: String,
        /// The line without time, thread and source position.
        text: String,
    },
    /// The metrics-server process ended.
    ProcessExited {
        /// Exit code; 137 after SIGKILL.
        code: i32,
        /// `Error`, `Completed`
        reason: String,
        /// Who ended it: `liveness`, `startup`, `action`, `deletion`,
        /// `eviction`, `node-loss`; absent if itself.
        killed_by: Option<String>,
    },
    /// The kubelet waits before the next start.
    BackOff {
        /// Nominal wait in nanoseconds.
        nominal_ns: u64,
    },
    /// A client asked and was, or was not, answered.
    Response {
        /// `readiness-probe`, `liveness-probe`, `startup-probe`,
        /// `aggregator-check`, `kubectl-top`, `hpa`, `discovery`
        observer: String,
        /// Path asked for.
        target: String,
        /// Status code, or `refused`, `timeout`, `reset`, `tls`, `dns`,
        /// `unreachable`
        outcome: String,
        /// What its user sees.
        text: String,
        /// From asking to knowing, in nanoseconds.
        #[serde(default)]
        duration_ns: u64,
    },
    /// The witness looked the moment something may have changed.
    Witness {
        /// Path asked for.
        target: String,
        /// As for `response`.
        outcome: String,
        /// The body of an answer other than 200, or the error.
        text: String,
        /// Nodes listed.
        nodes: Vec<String>,
        /// Pods listed, `namespace/name`.
        pods: Vec<String>,
    },
    /// The Service's EndpointSlice was written.
    EndpointSlice {
        /// Ready addresses.
        ready: Vec<String>,
        /// Other addresses.
        not_ready: Vec<String>,
    },
    /// The APIService object was created.
    ApiServiceRegistered,
    /// The APIService object was deleted.
    ApiServiceDeleted,
    /// The APIService's Available condition was written.
    ApiService {
        /// `True`, `False`, `Unknown`
        status: String,
        /// `Passed`, `MissingEndpoints`, …
        reason: String,
        /// The condition's message.
        message: String,
    },
    /// A component recorded a Kubernetes Event.
    Kubernetes {
        /// `Warning` or `Normal`
        kind: String,
        /// `Unhealthy`, `Killing`, …
        reason: String,
        /// Its message.
        message: String,
    },
    /// A kubelet answered a scrape, or refused it.
    KubeletServed {
        /// Status; 0 when no HTTP answer was given.
        status: u16,
    },
    /// A wall clock was stepped.
    ClockStepped {
        /// By how much, in nanoseconds.
        by_ns: i64,
    },
    /// A setting changed or a fault began or ended, as the scenario says.
    Changed {
        /// What, in the scenario's words.
        what: String,
    },
    /// A network rule took effect on a connection or a packet. Recorded at
    /// the first effect on each path; totals are in `pathTotals`.
    PathRuleHit {
        /// The rule's name.
        rule: String,
    },
    /// How often each network rule took effect. Near the end of the trace.
    PathTotals {
        /// Rule name and count, in the scenario's order.
        totals: Vec<(String, u64)>,
    },
    /// A fault of the scenario that is not a network rule took effect, such as
    /// a kubelet's refusal or a name that does not resolve. Recorded at the
    /// first effect of each; totals are in `faultTotals`.
    FaultHit {
        /// Its name: the setting that asks for it, as `nodes.pi.kubelet.status`.
        fault: String,
    },
    /// How often each of those faults took effect. Near the end of the trace,
    /// if there was one.
    FaultTotals {
        /// Name and count, in alphabetical order.
        totals: Vec<(String, u64)>,
    },
    /// Somebody asked for something that is not modelled.
    NotModelled {
        /// Method and path.
        request: String,
    },
    /// The run ended. Always the last record.
    Ended {
        /// `until`, or why it ended early.
        reason: String,
    },
}

impl Trace {
    /// The canonical form: one JSON object per line.
    #[must_use]
    pub fn to_ndjson(&self) -> String {
        let mut text = String::with_capacity(self.records.len() * 128);
        for record in &self.records {
            text.push_str(&record.to_json());
            text.push('\n');
        }
        text
    }

    /// Reads the canonical form back.
    ///
    /// # Errors
    ///
    /// The number, from 1, of the first line that is not a record, and why.
    pub fn from_ndjson(text: &str) -> Result<Self, (usize, serde_json::Error)> {
        let records = text
            .lines()
            .enumerate()
            .map(|(index, line)| serde_json::from_str(line).map_err(|e| (index + 1, e)))
            .collect::<Result<_, _>>()?;
        Ok(Self { records })
    }

    /// SHA-256 of the canonical form, lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for record in &self.records {
            hasher.update(record.to_json().as_bytes());
            hasher.update(b"\n");
        }
        hex(&hasher.finalize())
    }
}

impl Record {
    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("records have string keys and no fallible parts")
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_reads_back_and_its_hash_is_the_digest() {
        let trace = Trace {
            records: vec![Record {
                t: 1_500_000_000,
                seq: 0,
                host: "metrics-server".to_owned(),
                event: Event::ProcessStarted { restart: 0 },
            }],
        };
        let text = trace.to_ndjson();
        assert_eq!(
            text,
            "{\"t\":1500000000,\"seq\":0,\"host\":\"metrics-server\",\"event\":{\"processStarted\":{\"restart\":0}}}\n"
        );
        assert_eq!(Trace::from_ndjson(&text).expect("canonical"), trace);
        assert_eq!(trace.digest(), hex(&Sha256::digest(text.as_bytes())));
    }
}
