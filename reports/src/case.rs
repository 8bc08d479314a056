//! What the judge is told about a scenario.
//!
//! A judge needs less of a scenario than a run does, and must not depend on
//! the scenario language. The harness fills these types from a checked
//! scenario; tests write them by hand.
//!
//! Times are nanoseconds. Unless a field says otherwise they count from the
//! beginning of the simulation, as the scenario's own times do.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::expectation::Expectation;

/// One scenario, as far as judging it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// `metadata.name`
    pub name: String,
    /// `metadata.description`
    pub description: String,
    /// The scenario file, as given on the command line.
    pub file: String,
    /// SHA-256 of the file's bytes, lower-case hexadecimal.
    pub input_digest: String,
    /// The preset the scenario builds on.
    pub preset: String,
    /// Where the simulation stops.
    pub until_ns: u64,
    /// metrics-server's release: `0.8.1`.
    pub version: String,
    /// `--metric-resolution`
    pub resolution_ns: u64,
    /// `--kubelet-request-timeout`
    pub request_timeout_ns: u64,
    /// The most that a healthy process of this case costs from its start to
    /// its first scrape: the upper ends of its start costs.
    pub start_cost_ns: u64,
    /// `progressDeadlineSeconds`, or the time-out of whoever waits for the
    /// installation, counted from the pod's creation. Absent: nobody waits.
    pub deadline_ns: Option<u64>,
    /// `readinessProbe`
    pub readiness: Option<ProbeBrief>,
    /// `livenessProbe`
    pub liveness: Option<ProbeBrief>,
    /// `startupProbe`
    pub startup: Option<ProbeBrief>,
    /// The node that the first pod was created for.
    #[serde(default)]
    pub home: String,
    /// True time when the run begins and when it ends, as in texts of x509.
    #[serde(default)]
    pub true_time: [String; 2],
    /// The nodes, in the order of the file.
    pub nodes: Vec<NodeBrief>,
    /// The settings that govern the time to ready, and where they were set.
    pub settings: Vec<Setting>,
    /// What must hold.
    pub expectations: Vec<Expectation>,
    /// Names of the network rules. One that never takes effect makes a run
    /// inconclusive.
    pub path_rules: Vec<String>,
    /// What the scenario changes during the run, worded as the trace's
    /// `changed` events are. One that never happens makes a run inconclusive.
    pub changes: Vec<Change>,
    /// Who asks besides the cluster itself: what each does, by the name under
    /// which the trace has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consumers: BTreeMap<String, String>,
    /// What simulated, where that was not the virtual engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Which metrics-server was judged, where the run was not simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Names of other faults that the scenario asks for, as the trace's
    /// `faultHit` events have them. One that never takes effect makes a run
    /// inconclusive.
    pub faults: Vec<String>,
    /// What waited for something that did not happen. Makes a run
    /// inconclusive.
    pub pending: Vec<Pending>,
}

/// A probe's timing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeBrief {
    /// `httpGet.path`
    pub path: String,
    /// `initialDelaySeconds`
    pub initial_delay_ns: u64,
    /// `periodSeconds`
    pub period_ns: u64,
    /// `timeoutSeconds`
    pub timeout_ns: u64,
    /// `successThreshold`
    pub success_threshold: u32,
    /// `failureThreshold`
    pub failure_threshold: u32,
}

/// A node that metrics-server ought to serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeBrief {
    /// `metadata.name`
    pub name: String,
    /// When the Node object is there, in order of time.
    pub stays: Vec<Stay>,
    /// Pods that ought to be served from it.
    pub pods: Vec<PodBrief>,
}

/// A pod that metrics-server ought to serve.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodBrief {
    /// `namespace/name`
    pub name: String,
    /// When the last of its containers has started for the last time.
    pub complete_at_ns: u64,
}

impl NodeBrief {
    /// Whether the Node object exists at `t` nanoseconds.
    #[must_use]
    pub fn present_at(&self, t: u64) -> bool {
        self.present_since(t).is_some()
    }

    /// Since when it has existed at `t` nanoseconds, if it does.
    #[must_use]
    pub fn present_since(&self, t: u64) -> Option<u64> {
        let is_now = |stay: &&Stay| stay.from_ns <= t && stay.to_ns.is_none_or(|to| t < to);
        self.stays.iter().find(is_now).map(|stay| stay.from_ns)
    }
}

/// A stretch of time in which a Node object is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stay {
    /// When it appears.
    pub from_ns: u64,
    /// When it is deleted, if it is.
    pub to_ns: Option<u64>,
}

/// A setting, its value and its origin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setting {
    /// One of the names in [`setting`].
    pub name: String,
    /// As written: `15s`. Empty where the case does not list the setting.
    pub value: String,
    /// `k3s-1.36` or `scenarios/first.yaml:14`. Empty likewise.
    pub origin: String,
}

impl fmt::Display for Setting {
    /// `--metric-resolution=15s (k3s-1.36)`, `readinessProbe.periodSeconds: 10 (pi.yaml:14)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.value.is_empty() {
            let joint = if self.name.starts_with("--") {
                "="
            } else {
                ": "
            };
            write!(f, "{joint}{}", self.value)?;
        }
        if !self.origin.is_empty() {
            write!(f, " ({})", self.origin)?;
        }
        Ok(())
    }
}

/// Something that the scenario changes during the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// When.
    pub at_ns: u64,
    /// What, in the words of the trace's `changed` event.
    pub what: String,
    /// The node whose kubelet it changes: it takes effect when that is scraped.
    pub kubelet: Option<String>,
    /// Whether it only restores what held at the beginning: then it need not
    /// take effect.
    pub undoes: bool,
}

/// A change or an action that waited in vain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// What it waited for, as written: `when: readyz200`.
    pub what: String,
    /// Line in the scenario file, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// Names under which the judge looks settings up in [`Case::settings`].
pub mod setting {
    /// How often kubelets are scraped.
    pub const RESOLUTION: &str = "--metric-resolution";
    /// How kubelets are dialled.
    pub const ADDRESS_TYPES: &str = "--kubelet-preferred-address-types";
    /// Where kubelets are dialled, whatever their nodes say.
    pub const KUBELET_PORT: &str = "--kubelet-port";
    /// How names resolve.
    pub const DNS: &str = "dns";
    /// Delay before the first readiness probe counts.
    pub const READINESS_INITIAL_DELAY: &str = "readinessProbe.initialDelaySeconds";
    /// Time between readiness probes.
    pub const READINESS_PERIOD: &str = "readinessProbe.periodSeconds";
    /// How long a readiness probe waits.
    pub const READINESS_TIMEOUT: &str = "readinessProbe.timeoutSeconds";
    /// Successes needed to become Ready.
    pub const READINESS_SUCCESSES: &str = "readinessProbe.successThreshold";
    /// The readiness probe as a whole.
    pub const READINESS: &str = "readinessProbe";
    /// The liveness probe as a whole.
    pub const LIVENESS: &str = "livenessProbe";
    /// The startup probe as a whole.
    pub const STARTUP: &str = "startupProbe";
    /// How long somebody waits for the installation.
    pub const DEADLINE: &str = "progressDeadlineSeconds";
    /// Failures after which the container is killed.
    pub const LIVENESS_FAILURES: &str = "livenessProbe.failureThreshold";
    /// Failures after which the container is killed while starting.
    pub const STARTUP_FAILURES: &str = "startupProbe.failureThreshold";
    /// Time between startup probes.
    pub const STARTUP_PERIOD: &str = "startupProbe.periodSeconds";
    /// What the process itself costs before it scrapes.
    pub const START_COST: &str = "startCost";
    /// The API server's availability and latency.
    pub const API_SERVER: &str = "apiServer";
    /// What differs from the usual permissions.
    pub const RBAC: &str = "rbac";
    /// How metrics-server knows who asks.
    pub const AUTHENTICATION: &str = "authentication";
    /// The Service in front of metrics-server.
    pub const SERVICE: &str = "service";
    /// Several API servers.
    pub const API_SERVERS: &str = "apiServers";
    /// The aggregation layer.
    pub const AGGREGATION: &str = "aggregation";
    /// Whether and when a container that ended is started again.
    pub const RESTART: &str = "restartPolicy";
    /// The container's arguments.
    pub const ARGS: &str = "args";
    /// How many pods there are.
    pub const REPLICAS: &str = "replicas";
    /// What the scenario itself does to the process.
    pub const ACTIONS: &str = "actions";
    /// What the process takes up, and how much it may.
    pub const MEMORY: &str = "memory";
    /// What the pod waits for before its container starts.
    pub const POD: &str = "pod";
    /// The port to which probes and the Service lead.
    pub const CONTAINER_PORT: &str = "containerPort";
    /// What a starved processor adds to the process's work.
    pub const CPU: &str = "cpu";
    /// What the pod requests of its node.
    pub const RESOURCES: &str = "resources";
    /// Which taints it tolerates.
    pub const TOLERATIONS: &str = "tolerations";
    /// Which labels its node must have.
    pub const NODE_SELECTOR: &str = "nodeSelector";
    /// Whether it shares its node with others of its kind.
    pub const ANTI_AFFINITY: &str = "podAntiAffinity";
    /// Whether it is in the network of its node.
    pub const HOST_NETWORK: &str = "hostNetwork";
    /// The list of nodes.
    pub const NODES: &str = "nodes";

    /// The kubelet of `node`: its state, certificate, latency and payload.
    #[must_use]
    pub fn kubelet(node: &str) -> String {
        format!("nodes.{node}.kubelet")
    }

    /// The wall clock of `node`.
    #[must_use]
    pub fn clock(node: &str) -> String {
        format!("nodes.{node}.clock")
    }

    /// What the Node object of `node` says of its addresses.
    #[must_use]
    pub fn addresses(node: &str) -> String {
        format!("nodes.{node}.addresses")
    }

    /// The network rule of this name.
    #[must_use]
    pub fn network(rule: &str) -> String {
        format!("network.{rule}")
    }
}

impl Case {
    /// The setting of this name; with neither value nor origin where the case
    /// does not list it.
    #[must_use]
    pub fn setting(&self, name: &str) -> Setting {
        let listed = self.settings.iter().find(|setting| setting.name == name);
        listed.cloned().unwrap_or_else(|| Setting {
            name: name.to_owned(),
            ..Setting::default()
        })
    }

    /// What this observer does: `kubectl-top`. Those that are part of every
    /// cluster do what they are called.
    #[must_use]
    pub fn kind<'a>(&'a self, observer: &'a str) -> &'a str {
        self.consumers
            .get(observer)
            .map_or(observer, String::as_str)
    }

    /// Whether nodes are dialled by names in the first place.
    #[must_use]
    pub fn dials_names(&self) -> bool {
        let types = self.setting(setting::ADDRESS_TYPES).value;
        let types = types.trim_start_matches('[');
        ["Hostname", "InternalDNS", "ExternalDNS"]
            .iter()
            .any(|named| types.starts_with(named))
    }

    /// The first of these settings that the scenario says something of itself.
    #[must_use]
    pub fn said(&self, names: &[&str]) -> Option<Setting> {
        let said = |name: &&str| {
            let setting = self.setting(name);
            let own = !setting.value.is_empty() && setting.origin.contains(':');
            own.then_some(setting)
        };
        names.iter().find_map(said)
    }

    /// Whether a store with these many servable nodes and pods makes this
    /// release ready.
    ///
    /// Source: `(*storage).Ready`, metrics-server `pkg/storage/storage.go`:
    /// some node up to 0.4, node *or* pod up to 0.8, node *and* pod from 0.9.
    #[must_use]
    pub fn ready_with(&self, servable_nodes: u64, servable_pods: u64) -> bool {
        match self.minor() {
            Some(..=4) => servable_nodes > 0,
            Some(9..) => servable_nodes > 0 && servable_pods > 0,
            _ => servable_nodes > 0 || servable_pods > 0,
        }
    }

    /// The path by which this release says that it is ready.
    #[must_use]
    pub fn readiness_path(&self) -> &'static str {
        match self.minor() {
            Some(..=3) => "/healthz",
            _ => "/readyz",
        }
    }

    fn minor(&self) -> Option<u32> {
        let minor = self.version.split('.').nth(1)?;
        let digits = minor.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_shows_its_value_and_its_origin() {
        let case = Case {
            settings: vec![
                Setting {
                    name: setting::RESOLUTION.to_owned(),
                    value: "15s".to_owned(),
                    origin: "k3s-1.36".to_owned(),
                },
                Setting {
                    name: setting::READINESS_PERIOD.to_owned(),
                    value: "2".to_owned(),
                    origin: "pi.yaml:14".to_owned(),
                },
            ],
            ..Case::default()
        };
        let shown = |name| case.setting(name).to_string();
        assert_eq!(
            shown(setting::RESOLUTION),
            "--metric-resolution=15s (k3s-1.36)"
        );
        assert_eq!(
            shown(setting::READINESS_PERIOD),
            "readinessProbe.periodSeconds: 2 (pi.yaml:14)"
        );
        assert_eq!(shown(setting::START_COST), "startCost");
    }

    #[test]
    fn releases_differ_in_what_makes_them_ready() {
        let ready = |version: &str, nodes, pods| {
            Case {
                version: version.to_owned(),
                ..Case::default()
            }
            .ready_with(nodes, pods)
        };
        assert!(ready("0.3.6", 1, 0));
        assert!(!ready("0.4.4", 0, 1));
        assert!(ready("0.8", 1, 0));
        assert!(ready("0.8.1", 0, 1));
        assert!(!ready("0.8", 0, 0));
        assert!(!ready("0.9", 1, 0));
        assert!(!ready("v0.9.0", 0, 1));
        assert!(ready("0.9", 1, 1));
        assert!(!ready("0.10", 1, 0));
    }

    #[test]
    fn a_node_is_present_from_joining_up_to_leaving_and_again() {
        let stay = |from_ns, to_ns| Stay { from_ns, to_ns };
        let node = NodeBrief {
            stays: vec![stay(10, Some(20)), stay(30, None)],
            ..NodeBrief::default()
        };
        assert_eq!(
            [9, 10, 19, 20, 30].map(|t| node.present_since(t)),
            [None, Some(10), Some(10), None, Some(30)]
        );
    }
}
