//! The decoder against what the real one made of the same bodies.
//!
//! `fixtures/decode-cases.json` was produced by metrics-server's own
//! `decodeBatch` on linux/amd64.

use std::collections::BTreeMap;

use aggregator::decode::decode;
use aggregator::sample::{MetricsBatch, MetricsPoint};
use seam::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    default_time_ms: i64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    body: String,
    error: Option<String>,
    panic: Option<String>,
    #[serde(default)]
    nodes: BTreeMap<String, Point>,
    #[serde(default)]
    pods: BTreeMap<String, BTreeMap<String, Point>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Point {
    cpu_ns: String,
    mem: String,
    ts_ms: i64,
    start_ms: Option<i64>,
}

impl From<&MetricsPoint> for Point {
    fn from(point: &MetricsPoint) -> Self {
        Self {
            cpu_ns: point.cumulative_cpu_ns.to_string(),
            mem: point.memory_bytes.to_string(),
            ts_ms: point.timestamp.as_millis(),
            start_ms: point.start.map(Timestamp::as_millis),
        }
    }
}

type Nodes = BTreeMap<String, Point>;
type Pods = BTreeMap<String, BTreeMap<String, Point>>;

fn flatten(batch: &MetricsBatch) -> (Nodes, Pods) {
    let nodes = batch
        .nodes
        .iter()
        .map(|(name, point)| (name.to_string(), point.into()));
    let pods = batch.pods.iter().map(|(pod, containers)| {
        let containers = containers
            .iter()
            .map(|(name, point)| (name.to_string(), point.into()));
        (pod.to_string(), containers.collect())
    });
    (nodes.collect(), pods.collect())
}

#[test]
fn every_recorded_body_decodes_as_the_original_decodes_it() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/decode-cases.json"))
        .expect("the fixture is JSON");
    let default_time = Timestamp::from_millis(fixture.default_time_ms);
    for case in &fixture.cases {
        let outcome = decode(case.body.as_bytes(), default_time, "n");
        match (&case.error, &case.panic) {
            (Some(error), _) => {
                let text = outcome.map_err(|refused| format!("failed parsing metrics: {refused}"));
                assert_eq!(text.as_ref().err(), Some(error), "{}", case.name);
            }
            // DIFFERENCE: where the original's process dies, this is an error.
            (None, Some(_)) => assert!(outcome.is_err(), "{}", case.name),
            (None, None) => {
                let (nodes, pods) = flatten(&outcome.expect(&case.name));
                assert_eq!(nodes, case.nodes, "{}", case.name);
                assert_eq!(pods, case.pods, "{}", case.name);
            }
        }
    }
    assert!(fixture.cases.len() >= 40, "the fixture is whole");
}
