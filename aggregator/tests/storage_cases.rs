//! The store against what the real one answered to the same batches.
//!
//! `fixtures/storage-cases.json` was produced by metrics-server's own
//! `pkg/storage` v0.8.1; `ready_v0.9.0` is v0.9.0's answer.

use std::collections::BTreeMap;
use std::time::Duration;

use aggregator::quantity::{Cpu, Memory, fit};
use aggregator::sample::{MetricsBatch, MetricsPoint, PodRef};
use aggregator::store::{Store, Usage};
use aggregator::version::Version;
use seam::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    id: u32,
    resolution_s: u64,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(rename = "in")]
    batch: Batch,
    out: Answers,
}

#[derive(Deserialize)]
struct Batch {
    nodes: BTreeMap<String, Point>,
    pods: BTreeMap<String, BTreeMap<String, Point>>,
}

#[derive(Deserialize)]
struct Point {
    cpu_ns: u64,
    mem: u64,
    start_ms: Option<i64>,
    ts_ms: i64,
}

#[derive(Deserialize)]
struct Answers {
    ready: bool,
    #[serde(rename = "ready_v0.9.0")]
    ready_v0_9: bool,
    nodes: Vec<Node>,
    pods: Vec<Pod>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Node {
    name: String,
    cpu: String,
    memory: String,
    ts_ms: i64,
    window_ms: i64,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Pod {
    name: String,
    ts_ms: i64,
    window_ms: i64,
    #[serde(default)]
    window_ms_other: Vec<i64>,
    containers: Vec<Container>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Container {
    name: String,
    cpu: String,
    memory: String,
}

/// How the fixture writes Go's zero time.
const ZERO_TIME_MS: i64 = -62_135_596_800_000;

impl From<&Point> for MetricsPoint {
    fn from(point: &Point) -> Self {
        Self {
            start: point.start_ms.map(Timestamp::from_millis),
            timestamp: Timestamp::from_millis(point.ts_ms),
            cumulative_cpu_ns: point.cpu_ns,
            memory_bytes: point.mem,
        }
    }
}

fn pod_ref(key: &str) -> PodRef {
    let (namespace, name) = key.split_once('/').expect("a pod is ns/name");
    PodRef::new(namespace, name)
}

fn batch(input: &Batch) -> MetricsBatch {
    let nodes = input
        .nodes
        .iter()
        .map(|(name, point)| (name.as_str().into(), point.into()));
    let pods = input.pods.iter().map(|(pod, containers)| {
        let points = containers
            .iter()
            .map(|(name, point)| (name.as_str().into(), point.into()));
        (pod_ref(pod), points.collect())
    });
    MetricsBatch {
        nodes: nodes.collect(),
        pods: pods.collect(),
    }
}

fn quantities(usage: &Usage) -> (String, String) {
    let cpu = Cpu(fit(usage.cpu_nanocores).0).to_string();
    (cpu, Memory(fit(usage.memory_bytes).0).to_string())
}

fn nodes(store: &Store, input: &Batch) -> Vec<Node> {
    let served = input.nodes.keys().filter_map(|name| {
        let usage = store.node(name)?.ok()?;
        let (cpu, memory) = quantities(&usage);
        Some(Node {
            name: name.clone(),
            cpu,
            memory,
            ts_ms: usage.timestamp.as_millis(),
            window_ms: usage.window_ns / 1_000_000,
        })
    });
    served.collect()
}

fn pods(store: &Store, input: &Batch) -> Vec<Pod> {
    let served = input.pods.keys().filter_map(|key| {
        let pod = store.pod(&pod_ref(key))?;
        let earliest = pod.earliest();
        let containers = pod.containers.iter().filter_map(|(name, usage)| {
            let (cpu, memory) = quantities(usage.as_ref().ok()?);
            Some(Container {
                name: name.to_string(),
                cpu,
                memory,
            })
        });
        Some(Pod {
            name: pod_ref(key).name.to_string(),
            ts_ms: earliest.map_or(ZERO_TIME_MS, |usage| usage.timestamp.as_millis()),
            window_ms: earliest.map_or(0, |usage| usage.window_ns / 1_000_000),
            window_ms_other: Vec::new(),
            containers: containers.collect(),
        })
    });
    served.collect()
}

/// The original's order of containers, and which of several equally early ones
/// gives the window, are random.
fn settle(expected: &mut [Pod], actual: &[Pod]) {
    for (expected, actual) in expected.iter_mut().zip(actual) {
        expected.containers.sort();
        if expected.window_ms_other.contains(&actual.window_ms) {
            expected.window_ms = actual.window_ms;
        }
        expected.window_ms_other.clear();
    }
}

#[test]
fn every_recorded_sequence_is_answered_as_the_original_answers_it() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/storage-cases.json"))
        .expect("the fixture is JSON");
    for scenario in fixture.scenarios {
        let resolution = Duration::from_secs(scenario.resolution_s);
        let mut store = Store::new(Version::V0_8, resolution);
        let mut newer = Store::new(Version::V0_9, resolution);
        for (number, mut step) in scenario.steps.into_iter().enumerate() {
            let place = format!("scenario {}, step {number}", scenario.id);
            store.store(batch(&step.batch));
            newer.store(batch(&step.batch));
            let served = pods(&store, &step.batch);
            settle(&mut step.out.pods, &served);
            assert_eq!(nodes(&store, &step.batch), step.out.nodes, "{place}");
            assert_eq!(served, step.out.pods, "{place}");
            assert_eq!(store.ready(), step.out.ready, "{place}");
            assert_eq!(newer.ready(), step.out.ready_v0_9, "{place}");
        }
    }
}
