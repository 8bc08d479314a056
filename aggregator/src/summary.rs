//! A kubelet's `/stats/summary` → points, for releases up to 0.5.
//!
//! Two ways to read it, [`SummaryRule`]: up to 0.4 the rate that the kubelet
//! worked out, in 0.5 the cumulative counter. A rate becomes a point too: that
//! of something that began half a minute ago and has used as much since. So
//! the store needs to know counters only.
//!
//! DIFFERENCE: where the original decodes with easyjson, which takes the last
//! of two fields of a name, two are an error here; and what is said about
//! malformed JSON are another library's words.
//!
//! Source: `pkg/scraper/decode.go` of 0.4, `pkg/scraper/client/summary` of
//! 0.5.

use std::rc::Rc;

use seam::Timestamp;
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use crate::sample::{ContainerPoints, MetricsBatch, MetricsPoint, PodRef};
use crate::version::SummaryRule;

/// The longest time over which a kubelet works out a rate.
///
/// Source: `pkg/storage/storage.go: kubernetesCadvisorWindow`.
const RATE_WINDOW_SECONDS: u64 = 30;

/// A subject left out because something is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The container with its pod; `None` is the node itself.
    pub container: Option<(PodRef, String)>,
    /// What is missing.
    pub missing: Missing,
}

/// What a subject lacks. `Display` is the text of the original's error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Missing {
    /// Any time of measurement; in 0.5 also a container's start.
    #[error("no non-zero timestamp on either CPU or memory")]
    Timestamp,
    /// `cpu.usageNanoCores`
    #[error("missing usageNanoCores value")]
    CpuRate,
    /// `cpu.usageCoreNanoSeconds`
    #[error("missing usageCoreNanoSeconds value")]
    CpuCounter,
    /// It is there and zero.
    #[error("Got UsageCoreNanoSeconds equal zero")]
    CpuZero,
    /// `memory.workingSetBytes`
    #[error("missing workingSetBytes value")]
    Memory,
    /// It is there and zero.
    #[error("Got WorkingSetBytes equal zero")]
    MemoryZero,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Summary {
    node: NodeStats,
    #[serde(deserialize_with = "null_is_empty")]
    pods: Vec<PodStats>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NodeStats {
    start_time: Time,
    cpu: Option<CpuStats>,
    memory: Option<MemoryStats>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodStats {
    pod_ref: PodReference,
    #[serde(deserialize_with = "null_is_empty")]
    containers: Vec<ContainerStats>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodReference {
    name: String,
    namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerStats {
    name: String,
    start_time: Time,
    cpu: Option<CpuStats>,
    memory: Option<MemoryStats>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CpuStats {
    time: Time,
    usage_nano_cores: Option<u64>,
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MemoryStats {
    time: Time,
    working_set_bytes: Option<u64>,
}

/// `null` and Go's zero time are no time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Time(Option<Timestamp>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let Some(text) = text.filter(|text| text != "0001-01-01T00:00:00Z") else {
            return Ok(Self(None));
        };
        let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        let nanos = i64::try_from(time.as_nanosecond()).map_err(serde::de::Error::custom)?;
        Ok(Self(Some(Timestamp::from_nanos(nanos))))
    }
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Decodes one kubelet's answer; the node's own values are filed under `node`.
/// What is incomplete is told and left out, a pod as a whole.
///
/// DIFFERENCE: from 0.4 on the original files them under the name that the
/// answer gives.
///
/// # Errors
///
/// What is wrong with the JSON.
pub fn decode(
    body: &[u8],
    rule: SummaryRule,
    node: &str,
    note: &mut dyn FnMut(Skipped),
) -> Result<MetricsBatch, String> {
    // A list would be taken for the values of the fields.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("not a JSON object".to_owned());
    }
    let summary: Summary = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut batch = MetricsBatch::default();
    let NodeStats {
        start_time,
        cpu,
        memory,
    } = summary.node;
    match point(rule, start_time.0, cpu.as_ref(), memory.as_ref()) {
        Ok(mut found) => {
            if rule == (SummaryRule::Counter { node_start: false }) {
                found.start = None;
            }
            batch.nodes.insert(node.into(), found);
        }
        Err(missing) => note(Skipped {
            container: None,
            missing,
        }),
    }
    for pod in summary.pods {
        let name = PodRef::new(&pod.pod_ref.namespace, &pod.pod_ref.name);
        if let Some(containers) = containers(rule, &name, &pod.containers, note) {
            batch.pods.entry(name).or_insert(containers);
        }
    }
    Ok(batch)
}

/// The points of a pod's containers; `None` if one is incomplete, or there are
/// none.
fn containers(
    rule: SummaryRule,
    pod: &PodRef,
    containers: &[ContainerStats],
    note: &mut dyn FnMut(Skipped),
) -> Option<ContainerPoints> {
    let mut complete = !containers.is_empty();
    let mut points: Vec<(Rc<str>, MetricsPoint)> = Vec::with_capacity(containers.len());
    for container in containers {
        let started = container.start_time.0;
        let lacks_start = started.is_none() && rule != SummaryRule::Rate;
        let found = match lacks_start {
            true => Err(Missing::Timestamp),
            false => point(
                rule,
                started,
                container.cpu.as_ref(),
                container.memory.as_ref(),
            ),
        };
        match found {
            Ok(point) => points.push((container.name.as_str().into(), point)),
            Err(missing) => {
                complete = false;
                note(Skipped {
                    container: Some((pod.clone(), container.name.clone())),
                    missing,
                });
            }
        }
    }
    complete.then(|| points.into_iter().collect())
}

fn point(
    rule: SummaryRule,
    start: Option<Timestamp>,
    cpu: Option<&CpuStats>,
    memory: Option<&MemoryStats>,
) -> Result<MetricsPoint, Missing> {
    let cpu_time = cpu.and_then(|cpu| cpu.time.0);
    let memory_time = memory.and_then(|memory| memory.time.0);
    let memory = memory.and_then(|memory| memory.working_set_bytes);
    match rule {
        SummaryRule::Rate => {
            let times = cpu_time.into_iter().chain(memory_time);
            let timestamp = times.min().ok_or(Missing::Timestamp)?;
            let rate = cpu.and_then(|cpu| cpu.usage_nano_cores);
            let rate = rate.ok_or(Missing::CpuRate)?;
            let window = i64::try_from(RATE_WINDOW_SECONDS * 1_000_000_000).unwrap_or(i64::MAX);
            Ok(MetricsPoint {
                start: Some(timestamp.offset(-window)),
                timestamp,
                cumulative_cpu_ns: rate.saturating_mul(RATE_WINDOW_SECONDS),
                memory_bytes: memory.ok_or(Missing::Memory)?,
            })
        }
        SummaryRule::Counter { .. } => {
            let timestamp = cpu_time.ok_or(Missing::Timestamp)?;
            let counter = cpu.and_then(|cpu| cpu.usage_core_nano_seconds);
            let counter = counter.ok_or(Missing::CpuCounter)?;
            if counter == 0 {
                return Err(Missing::CpuZero);
            }
            match memory {
                None => Err(Missing::Memory),
                Some(0) => Err(Missing::MemoryZero),
                Some(memory_bytes) => Ok(MetricsPoint {
                    start,
                    timestamp,
                    cumulative_cpu_ns: counter,
                    memory_bytes,
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COUNTER: SummaryRule = SummaryRule::Counter { node_start: false };
    const COUNTER_0_5_0: SummaryRule = SummaryRule::Counter { node_start: true };

    const HEALTHY: &str = r#"{
        "node": {
            "nodeName": "n", "startTime": "2026-01-01T00:00:00Z",
            "cpu": {"time": "2026-01-01T00:01:00Z", "usageNanoCores": 250000000, "usageCoreNanoSeconds": 15000000000},
            "memory": {"time": "2026-01-01T00:00:59Z", "usageBytes": 9, "workingSetBytes": 1048576}
        },
        "pods": [{
            "podRef": {"name": "web-0", "namespace": "default", "uid": "u"},
            "startTime": "2026-01-01T00:00:30Z",
            "containers": [{
                "name": "app", "startTime": "2026-01-01T00:00:30Z",
                "cpu": {"time": "2026-01-01T00:01:00Z", "usageNanoCores": 0, "usageCoreNanoSeconds": 5},
                "memory": {"time": "2026-01-01T00:01:00Z", "workingSetBytes": 0}
            }]
        }]
    }"#;

    fn decoded(body: &str, rule: SummaryRule) -> (MetricsBatch, Vec<Skipped>) {
        let mut skipped = Vec::new();
        let batch = decode(body.as_bytes(), rule, "n", &mut |one| skipped.push(one));
        (batch.expect("well-formed JSON"), skipped)
    }

    fn second(second: &str) -> Timestamp {
        let time: jiff::Timestamp = format!("2026-01-01T00:{second}Z").parse().expect("a time");
        Timestamp::from_seconds(time.as_second())
    }

    #[test]
    fn a_counter_is_taken_as_it_is_with_the_time_of_cpu() {
        let (batch, skipped) = decoded(HEALTHY, COUNTER);
        assert_eq!(
            batch.nodes.get("n"),
            Some(&MetricsPoint {
                start: None,
                timestamp: second("01:00"),
                cumulative_cpu_ns: 15_000_000_000,
                memory_bytes: 1 << 20,
            })
        );
        // Zero memory is no value, and hides the pod.
        assert!(batch.pods.is_empty());
        assert_eq!(skipped.len(), 1);
        assert_eq!(skipped[0].missing, Missing::MemoryZero);
    }

    #[test]
    fn only_0_5_0_takes_the_nodes_start() {
        let start = |rule| decoded(HEALTHY, rule).0.nodes["n"].start;
        assert_eq!(start(COUNTER_0_5_0), Some(second("00:00")));
        assert_eq!(start(COUNTER), None);
    }

    #[test]
    fn a_rate_is_a_counter_since_half_a_minute_ago() {
        let (batch, skipped) = decoded(HEALTHY, SummaryRule::Rate);
        assert_eq!(
            batch.nodes["n"],
            MetricsPoint {
                // The earlier of the two times.
                start: Some(second("00:29")),
                timestamp: second("00:59"),
                cumulative_cpu_ns: 30 * 250_000_000,
                memory_bytes: 1 << 20,
            }
        );
        // Zero is a value.
        let pod = &batch.pods[&PodRef::new("default", "web-0")];
        assert_eq!(pod.get("app").map(|point| point.memory_bytes), Some(0));
        assert_eq!(skipped, []);
    }

    #[test]
    fn what_is_missing_is_told() {
        let node = |stats: &str, rule| {
            let (batch, skipped) = decoded(&format!(r#"{{"node": {stats}, "pods": null}}"#), rule);
            assert!(batch.nodes.is_empty() && skipped.len() == 1, "{stats}");
            skipped[0].missing
        };
        let time = r#""time": "2026-01-01T00:01:00Z""#;
        let zero = r#""time": "0001-01-01T00:00:00Z""#;
        for (stats, rule, missing) in [
            ("{}".to_owned(), COUNTER, Missing::Timestamp),
            ("{}".to_owned(), SummaryRule::Rate, Missing::Timestamp),
            (
                format!(r#"{{"cpu": {{{zero}, "usageCoreNanoSeconds": 1}}}}"#),
                COUNTER,
                Missing::Timestamp,
            ),
            (
                format!(r#"{{"cpu": {{{time}}}}}"#),
                COUNTER,
                Missing::CpuCounter,
            ),
            (
                format!(r#"{{"cpu": {{{time}, "usageCoreNanoSeconds": 0}}}}"#),
                COUNTER,
                Missing::CpuZero,
            ),
            (
                format!(r#"{{"cpu": {{{time}, "usageCoreNanoSeconds": 1}}}}"#),
                COUNTER,
                Missing::Memory,
            ),
            (
                format!(r#"{{"memory": {{{time}, "workingSetBytes": 1}}}}"#),
                SummaryRule::Rate,
                Missing::CpuRate,
            ),
        ] {
            assert_eq!(node(&stats, rule), missing, "{stats}");
        }
    }

    #[test]
    fn a_container_without_start_hides_its_pod_in_0_5() {
        let body = HEALTHY
            .replace(
                r#""name": "app", "startTime": "2026-01-01T00:00:30Z""#,
                r#""name": "app""#,
            )
            .replace(r#""workingSetBytes": 0"#, r#""workingSetBytes": 7"#);
        let (batch, skipped) = decoded(&body, COUNTER);
        assert!(batch.pods.is_empty());
        assert_eq!(skipped[0].missing, Missing::Timestamp);
        assert_eq!(decoded(&body, SummaryRule::Rate).0.pods.len(), 1);
    }

    #[test]
    fn what_is_no_summary_is_an_error() {
        for body in [
            "",
            "<html>",
            "[]",
            r#"{"node": {"cpu": {"usageCoreNanoSeconds": -1}}}"#,
            r#"{"node": {"cpu": {"time": "yesterday"}}}"#,
            r#"{"node": {}"#,
        ] {
            assert!(
                decode(body.as_bytes(), COUNTER, "n", &mut |_| ()).is_err(),
                "{body}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            body in prop::collection::vec(any::<u8>(), 0..200),
            cut in 0..HEALTHY.len(),
            flipped in any::<u8>(),
        ) {
            let mut broken = HEALTHY.as_bytes().to_vec();
            broken[cut] ^= flipped;
            for rule in [COUNTER, COUNTER_0_5_0, SummaryRule::Rate] {
                let _ = decode(&body, rule, "n", &mut |_| ());
                let _ = decode(&broken, rule, "n", &mut |_| ());
                let _ = decode(&HEALTHY.as_bytes()[..cut], rule, "n", &mut |_| ());
            }
        }
    }
}
