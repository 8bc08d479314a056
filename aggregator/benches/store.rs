//! Storing one tick of a whole cluster, and reading all of it.
//!
//! Source: `pkg/storage/storage_benchmark_test.go`, scenario "Normal".

#![allow(missing_docs, reason = "divan's macros generate undocumented items")]

use std::time::Duration;

use aggregator::sample::{MetricsBatch, MetricsPoint, PodRef};
use aggregator::store::Store;
use aggregator::version::Version;
use divan::{AllocProfiler, Bencher, black_box};
use seam::Timestamp;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const NAMESPACES: usize = 10;
const CONTAINERS: [&str; 2] = ["app", "sidecar"];

/// Nodes and pods per node.
const CLUSTERS: [(usize, usize); 3] = [(10, 70), (100, 70), (1000, 30)];

fn batch(cluster: (usize, usize), tick: u32) -> MetricsBatch {
    let (nodes, pods_per_node) = cluster;
    let point = MetricsPoint {
        start: None,
        timestamp: Timestamp::from_seconds(1_800_000_000 + 15 * i64::from(tick)),
        cumulative_cpu_ns: 1_000_000_000 * u64::from(tick + 1),
        memory_bytes: 20 << 20,
    };
    let names = (0..nodes).map(|node| (format!("node-{node:04}").into(), point));
    let pods = (0..nodes * pods_per_node).map(|pod| {
        let containers = CONTAINERS
            .map(|name| (name.into(), point))
            .into_iter()
            .collect();
        (pod_ref(pod), containers)
    });
    MetricsBatch {
        nodes: names.collect(),
        pods: pods.collect(),
    }
}

fn pod_ref(pod: usize) -> PodRef {
    PodRef::new(
        &format!("namespace-{}", pod % NAMESPACES),
        &format!("deployment-{pod:05}"),
    )
}

fn stored(cluster: (usize, usize)) -> Store {
    let mut store = Store::new(Version::V0_9, Duration::from_secs(15));
    store.store(batch(cluster, 0));
    store.store(batch(cluster, 1));
    assert!(store.ready());
    store
}

#[divan::bench(args = CLUSTERS, sample_count = 20)]
fn write(bencher: Bencher<'_, '_>, cluster: (usize, usize)) {
    let mut store = stored(cluster);
    let mut tick = 2;
    bencher
        .with_inputs(|| {
            tick += 1;
            batch(cluster, tick)
        })
        .bench_local_values(|batch| store.store(batch));
}

#[divan::bench(args = CLUSTERS, sample_count = 20)]
fn read_pods(bencher: Bencher<'_, '_>, cluster: (usize, usize)) {
    let store = stored(cluster);
    let pods: Vec<_> = (0..cluster.0 * cluster.1).map(pod_ref).collect();
    bencher.bench_local(|| {
        let found = pods
            .iter()
            .filter(|pod| store.pod(black_box(pod)).is_some())
            .count();
        assert_eq!(found, pods.len());
    });
}
