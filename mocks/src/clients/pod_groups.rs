//! Which pods' metrics the autoscaler uses.
//!
//! Source: `pkg/controller/podautoscaler/replica_calculator.go groupPods`,
//! `metrics/client.go getPodMetrics`.

use std::collections::BTreeMap;
use std::rc::Rc;

use seam::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// `--horizontal-pod-autoscaler-cpu-initialization-period`, in nanoseconds.
const CPU_INITIALIZATION_PERIOD: i64 = 300_000_000_000;

/// `--horizontal-pod-autoscaler-initial-readiness-delay`, in nanoseconds.
const INITIAL_READINESS_DELAY: i64 = 30_000_000_000;

/// CPU samples by pod.
pub(super) type PodMetrics = BTreeMap<String, Sample>;

/// When a sample was taken and how far back it reaches, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    timestamp: Timestamp,
    window: i64,
}

/// The pods listed, except those of which a container has no CPU; `None` if
/// none is listed.
pub(super) fn metrics(body: &[u8]) -> Option<PodMetrics> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        metadata: Metadata,
        #[serde(default)]
        timestamp: String,
        #[serde(default)]
        window: String,
        #[serde(default)]
        containers: Vec<Container>,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
    }
    #[derive(Deserialize)]
    struct Container {
        #[serde(default)]
        usage: BTreeMap<String, String>,
    }
    let list: List = serde_json::from_slice(body).ok()?;
    if list.items.is_empty() {
        return None;
    }
    let complete = |item: &Item| item.containers.iter().all(|c| c.usage.contains_key("cpu"));
    let pods = list.items.into_iter().filter(complete).map(|item| {
        let sample = Sample {
            timestamp: time(&item.timestamp).unwrap_or_default(),
            window: nanos(&item.window),
        };
        (item.metadata.name, sample)
    });
    Some(pods.collect())
}

/// Removes the metrics of pods that are unready, or that are on their way out.
pub(super) fn leave_ready(metrics: &mut PodMetrics, pods: &[Rc<Value>], now: Timestamp) {
    for pod in pods {
        let Some(name) = pod["metadata"]["name"].as_str() else {
            continue;
        };
        let used = metrics
            .get(name)
            .is_some_and(|sample| is_used(pod, sample, now));
        if !used {
            metrics.remove(name);
        }
    }
}

fn is_used(pod: &Value, sample: &Sample, now: Timestamp) -> bool {
    let status = &pod["status"];
    let leaving = pod["metadata"].get("deletionTimestamp").is_some();
    if leaving || status["phase"] == "Failed" || status["phase"] == "Pending" {
        return false;
    }
    let Some(started) = status["startTime"].as_str().and_then(time) else {
        return false;
    };
    let conditions = status["conditions"].as_array();
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Ready");
    let Some(ready) = ready else {
        return false;
    };
    let is_false = ready["status"] == "False";
    let changed = ready["lastTransitionTime"]
        .as_str()
        .and_then(time)
        .unwrap_or_default();
    if started.offset(CPU_INITIALIZATION_PERIOD) > now {
        !is_false && sample.timestamp >= changed.offset(sample.window)
    } else {
        !(is_false && started.offset(INITIAL_READINESS_DELAY) > changed)
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond())
        .ok()
        .map(Timestamp::from_nanos)
}

fn nanos(go_duration: &str) -> i64 {
    let duration = go_duration.parse::<jiff::SignedDuration>();
    duration.map_or(0, |duration| {
        i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const START: &str = "2026-11-23T09:00:00Z";

    fn used(ready: &str, changed: &str, sampled: &str, now: &str) -> bool {
        let pod = json!({
            "metadata": {"name": "p"},
            "status": {
                "phase": "Running",
                "startTime": START,
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": changed}],
            },
        });
        let at = |text| time(text).expect("a time");
        let sample = Sample {
            timestamp: at(sampled),
            window: nanos("15s"),
        };
        is_used(&pod, &sample, at(now))
    }

    #[test]
    fn a_young_pods_sample_must_lie_within_its_readiness() {
        let (changed, now) = ("2026-11-23T09:01:00Z", "2026-11-23T09:02:00Z");
        assert!(used("True", changed, "2026-11-23T09:01:15Z", now));
        assert!(!used("True", changed, "2026-11-23T09:01:14Z", now));
        assert!(!used("False", changed, "2026-11-23T09:01:30Z", now));
    }

    #[test]
    fn an_old_pod_is_left_out_only_if_it_was_never_ready() {
        let now = "2026-11-23T09:30:00Z";
        assert!(!used("False", "2026-11-23T09:00:10Z", now, now));
        assert!(used("False", "2026-11-23T09:20:00Z", now, now));
        assert!(used("True", "2026-11-23T09:20:00Z", now, now));
    }

    #[test]
    fn windows_are_gos_durations() {
        assert_eq!(nanos("15.052s"), 15_052_000_000);
        assert_eq!(nanos("1m0s"), 60_000_000_000);
    }
}
