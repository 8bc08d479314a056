//! The last two points of each subject → usage and readiness.
//!
//! - [`pair`]: what two points come to, and which two are kept;
//! - [`notes`]: what the storage would log.
//!
//! Storing replaces everything: a subject absent from one batch is forgotten
//! completely. **Invariant:** both lists are sorted by subject, so that a batch,
//! which is sorted too, is merged in one pass.
//!
//! Source: `pkg/storage/storage.go`, `node.go`, `pod.go`.

mod notes;
mod pair;

pub use notes::StoreNote;
pub use pair::{Usage, UsageError};

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::sample::{ContainerPoints, MetricsBatch, MetricsPoint, PodRef};
use crate::version::{KubeletEndpoint, ReadinessRule, SummaryRule, Version};
use pair::{Kept, Pair};

/// The last two points of every node and container.
#[derive(Debug)]
pub struct Store {
    readiness: ReadinessRule,
    logs_readiness_changes: bool,
    /// Every point is its own pair: it holds a rate since its start.
    one_sample: bool,
    resolution_ns: i64,
    nodes: Vec<Node>,
    pods: Vec<Pod>,
    /// The containers of all pods, in the order of `pods`.
    containers: Vec<Container>,
    /// What has two points; `None` before the first batch.
    points: Option<Points>,
}

#[derive(Debug)]
struct Node {
    name: Rc<str>,
    pair: Pair,
}

#[derive(Debug)]
struct Pod {
    pod: PodRef,
    /// Where its containers end in [`Store::containers`]; they begin where the
    /// previous pod's end.
    end: usize,
    /// Containers with a previous point.
    paired: usize,
}

#[derive(Debug)]
struct Container {
    name: Rc<str>,
    pair: Pair,
}

/// What [`Store::store`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreReport {
    /// Nodes in the batch.
    pub nodes: usize,
    /// Pods in the batch.
    pub pods: usize,
    /// Nodes with two points.
    pub servable_nodes: usize,
    /// Pods all of whose containers have two points.
    pub servable_pods: usize,
    /// Whether other nodes or pods than before have two points.
    pub others: bool,
    /// For the log, all at verbosity 2.
    pub notes: Vec<StoreNote>,
}

/// Entries with two points, for the gauge `metrics_server_storage_points`.
///
/// Source: `pkg/storage/monitoring.go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Points {
    /// Nodes.
    pub nodes: usize,
    /// Containers.
    pub containers: usize,
}

/// One servable pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodUsage {
    /// Containers by name, each with its usage or why it has none.
    pub containers: Vec<(Rc<str>, Result<Usage, UsageError>)>,
}

impl PodUsage {
    /// The usage whose timestamp and window stand for the whole pod: the
    /// earliest, and of several such the first by container name. `None` if no
    /// container has a usage.
    ///
    /// DIFFERENCE: the original takes the first in the random order of a Go
    /// map.
    #[must_use]
    pub fn earliest(&self) -> Option<&Usage> {
        let usages = self
            .containers
            .iter()
            .filter_map(|(_, usage)| usage.as_ref().ok());
        usages.min_by_key(|usage| usage.timestamp)
    }
}

impl Store {
    /// An empty store. `resolution` is `--metric-resolution`.
    #[must_use]
    pub fn new(version: Version, resolution: Duration) -> Self {
        Self {
            readiness: version.readiness(),
            logs_readiness_changes: version.logs_readiness_changes(),
            one_sample: version.kubelet_endpoint() == KubeletEndpoint::Summary(SummaryRule::Rate),
            resolution_ns: i64::try_from(resolution.as_nanos()).unwrap_or(i64::MAX),
            nodes: Vec::new(),
            pods: Vec::new(),
            containers: Vec::new(),
            points: None,
        }
    }

    /// Replaces everything by `batch`, keeping of the old what makes pairs.
    pub fn store(&mut self, batch: MetricsBatch) -> StoreReport {
        let before = (self.node_ready(), self.pod_ready());
        let servable = self.servable();
        let mut report = StoreReport {
            nodes: batch.nodes.len(),
            pods: batch.pods.len(),
            ..StoreReport::default()
        };
        self.store_nodes(batch.nodes, &mut report);
        let containers = self.store_pods(batch.pods, &mut report);
        self.points = Some(Points {
            nodes: report.servable_nodes,
            containers,
        });
        report.others = servable != self.servable();
        let after = (self.node_ready(), self.pod_ready());
        if self.logs_readiness_changes && after != before {
            let (nodes, pods) = after;
            report
                .notes
                .push(StoreNote::ReadinessChanged { nodes, pods });
        }
        report
    }

    /// Nodes with two points, and pods with the number of their containers
    /// that have two, where there are any.
    fn servable(&self) -> (Vec<Rc<str>>, Vec<(PodRef, usize)>) {
        let nodes = self.nodes.iter();
        let nodes = nodes.filter(|node| node.pair.previous.is_some());
        let pods = self.pods.iter().filter(|pod| pod.paired > 0);
        (
            nodes.map(|node| Rc::clone(&node.name)).collect(),
            pods.map(|pod| (pod.pod.clone(), pod.paired)).collect(),
        )
    }

    /// Source: `node.go: (*nodeStorage).Store`.
    fn store_nodes(&mut self, batch: BTreeMap<Rc<str>, MetricsPoint>, report: &mut StoreReport) {
        let mut old = std::mem::replace(&mut self.nodes, Vec::with_capacity(batch.len()))
            .into_iter()
            .peekable();
        for (name, point) in batch {
            while old.next_if(|node| node.name < name).is_some() {}
            let known = old.next_if(|node| node.name == name).map(|node| node.pair);
            let (pair, dropped) = match self.one_sample {
                true => (Pair::since_start(point), None),
                false => Pair::of_node(point, known.as_ref()),
            };
            if let Some(previous) = dropped {
                report.notes.push(StoreNote::NodeOlderThanPrevious {
                    node: Rc::clone(&name),
                    previous,
                    timestamp: point.timestamp,
                });
            }
            report.servable_nodes += usize::from(pair.previous.is_some());
            self.nodes.push(Node { name, pair });
        }
    }

    /// Returns the number of containers with two points.
    ///
    /// Source: `pod.go: (*podStorage).Store`.
    fn store_pods(
        &mut self,
        batch: BTreeMap<PodRef, ContainerPoints>,
        report: &mut StoreReport,
    ) -> usize {
        let expected = self.containers.len();
        let old_pods = std::mem::replace(&mut self.pods, Vec::with_capacity(batch.len()));
        let old_containers = std::mem::replace(&mut self.containers, Vec::with_capacity(expected));
        let mut old = 0;
        let mut total = 0;
        for (pod, points) in batch {
            while old_pods.get(old).is_some_and(|known| known.pod < pod) {
                old += 1;
            }
            let known = old_pods
                .get(old)
                .filter(|known| known.pod == pod)
                .map(|known| {
                    let begin = old.checked_sub(1).map_or(0, |before| old_pods[before].end);
                    (&old_containers[begin..known.end], known.paired > 0)
                });
            let count = points.len();
            let paired = self.store_containers(&pod, points, known, report);
            report.servable_pods += usize::from(paired == count && count > 0);
            total += paired;
            self.pods.push(Pod {
                pod,
                end: self.containers.len(),
                paired,
            });
        }
        total
    }

    /// Returns the number of containers with two points.
    fn store_containers(
        &mut self,
        pod: &PodRef,
        points: ContainerPoints,
        known: Option<(&[Container], bool)>,
        report: &mut StoreReport,
    ) -> usize {
        let (known, pod_paired) = known.unwrap_or((&[], false));
        let mut paired = 0;
        for (name, point) in points {
            let before = known.iter().find(|container| container.name == name);
            let kept = Kept {
                pair: before.map(|container| &container.pair),
                pod_paired,
            };
            let (pair, dropped) = match self.one_sample {
                true => (Pair::since_start(point), None),
                false => Pair::of_container(point, &kept, self.resolution_ns),
            };
            if let Some(previous) = dropped {
                report.notes.push(StoreNote::ContainerOlderThanPrevious {
                    container: Rc::clone(&name),
                    pod: pod.clone(),
                    previous,
                    timestamp: point.timestamp,
                });
            }
            paired += usize::from(pair.previous.is_some());
            self.containers.push(Container { name, pair });
        }
        paired
    }

    /// Whether `/readyz` may pass. Readiness is lost again with any batch that
    /// leaves no pairs.
    #[must_use]
    pub fn ready(&self) -> bool {
        match self.readiness {
            ReadinessRule::LastTick { before_the_first } => self
                .points
                .map_or(before_the_first, |points| points.nodes > 0),
            ReadinessRule::AnySubject => self.node_ready() || self.pod_ready(),
            ReadinessRule::NodesAndPods => self.node_ready() && self.pod_ready(),
        }
    }

    /// Whether some node has two points.
    #[must_use]
    pub fn node_ready(&self) -> bool {
        self.points.is_some_and(|points| points.nodes > 0)
    }

    /// Whether some container has two points.
    #[must_use]
    pub fn pod_ready(&self) -> bool {
        self.points.is_some_and(|points| points.containers > 0)
    }

    /// Entries with two points; `None` before the first batch.
    #[must_use]
    pub fn points(&self) -> Option<Points> {
        self.points
    }

    /// A node's usage; `None` if it has no two points.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<Result<Usage, UsageError>> {
        let at = self
            .nodes
            .binary_search_by(|node| (*node.name).cmp(name))
            .ok()?;
        self.nodes[at].pair.usage()
    }

    /// A pod's usage; `None` unless every container has two points.
    ///
    /// Source: `pod.go: (*podStorage).GetMetrics`.
    #[must_use]
    pub fn pod(&self, pod: &PodRef) -> Option<PodUsage> {
        let at = self
            .pods
            .binary_search_by(|known| known.pod.cmp(pod))
            .ok()?;
        let begin = at.checked_sub(1).map_or(0, |before| self.pods[before].end);
        let containers = &self.containers[begin..self.pods[at].end];
        let usage = |c: &Container| Some((Rc::clone(&c.name), c.pair.usage()?));
        (!containers.is_empty())
            .then(|| containers.iter().map(usage).collect::<Option<Vec<_>>>())
            .flatten()
            .map(|containers| PodUsage { containers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use seam::Timestamp;

    const RESOLUTION: Duration = Duration::from_secs(15);

    /// A batch of nodes and pods out of small pools, with points whose
    /// timestamps often repeat and sometimes go back.
    fn batches() -> impl Strategy<Value = Vec<MetricsBatch>> {
        let point =
            (0_i64..8, prop::option::of(0_i64..8), 1_u64..6).prop_map(|(timestamp, start, cpu)| {
                MetricsPoint {
                    start: start.map(|start| Timestamp::from_seconds(start * 6)),
                    timestamp: Timestamp::from_seconds(timestamp * 6),
                    cumulative_cpu_ns: cpu * 1_000_000_000,
                    memory_bytes: 1 << 20,
                }
            });
        let name = prop::sample::select(vec!["a", "b", "c"]).prop_map(Rc::<str>::from);
        let nodes = prop::collection::btree_map(name.clone(), point.clone(), 0..3);
        let containers = prop::collection::vec((name.clone(), point), 1..3)
            .prop_map(|points| points.into_iter().collect::<ContainerPoints>());
        let pod = name.prop_map(|name| PodRef {
            namespace: "ns".into(),
            name,
        });
        let pods = prop::collection::btree_map(pod, containers, 0..3);
        let batch = (nodes, pods).prop_map(|(nodes, pods)| MetricsBatch { nodes, pods });
        prop::collection::vec(batch, 1..8)
    }

    /// Everything that `store` serves of `batch`.
    fn served(store: &Store, batch: &MetricsBatch) -> (Vec<Usage>, Vec<PodUsage>) {
        let nodes = batch
            .nodes
            .keys()
            .filter_map(|name| store.node(name)?.ok())
            .collect();
        (
            nodes,
            batch.pods.keys().filter_map(|pod| store.pod(pod)).collect(),
        )
    }

    proptest! {
        #[test]
        fn served_windows_are_positive(batches in batches()) {
            let mut store = Store::new(Version::V0_8, RESOLUTION);
            for batch in batches {
                store.store(batch.clone());
                let (nodes, pods) = served(&store, &batch);
                let containers = pods.iter().flat_map(|pod| &pod.containers);
                let usages = containers.filter_map(|(_, usage)| usage.as_ref().ok());
                prop_assert!(nodes.iter().chain(usages).all(|usage| usage.window_ns > 0));
            }
        }

        #[test]
        fn readiness_is_what_the_counts_say(batches in batches()) {
            let mut old = Store::new(Version::V0_8, RESOLUTION);
            let mut new = Store::new(Version::V0_9, RESOLUTION);
            for batch in batches {
                let report = old.store(batch.clone());
                new.store(batch.clone());
                let points = old.points().expect("something was stored");
                let nodes = batch.nodes.keys().filter(|name| old.node(name).is_some()).count();
                let pods = batch.pods.keys().filter(|pod| old.pod(pod).is_some()).count();
                prop_assert_eq!((report.servable_nodes, report.servable_pods), (nodes, pods));
                prop_assert_eq!(old.node_ready(), nodes > 0);
                prop_assert!(points.containers >= pods);
                prop_assert_eq!(old.ready(), points.nodes > 0 || points.containers > 0);
                prop_assert_eq!(new.ready(), points.nodes > 0 && points.containers > 0);
            }
        }

        #[test]
        fn an_empty_batch_forgets_everything(batches in batches()) {
            let mut store = Store::new(Version::V0_8, RESOLUTION);
            for batch in &batches {
                store.store(batch.clone());
            }
            store.store(MetricsBatch::default());
            prop_assert!(!store.ready());
            prop_assert_eq!(store.points(), Some(Points::default()));
            for batch in &batches {
                prop_assert_eq!(served(&store, batch), (vec![], vec![]));
            }
        }

        /// A pod's points depend on no other pod's.
        #[test]
        fn subjects_do_not_disturb_each_other(batches in batches()) {
            let mut all = Store::new(Version::V0_8, RESOLUTION);
            let mut alone = Store::new(Version::V0_8, RESOLUTION);
            let pod = PodRef::new("ns", "b");
            for mut batch in batches {
                all.store(batch.clone());
                batch.nodes.retain(|name, _| &**name == "b");
                batch.pods.retain(|known, _| *known == pod);
                alone.store(batch);
                prop_assert_eq!(all.node("b"), alone.node("b"));
                prop_assert_eq!(all.pod(&pod), alone.pod(&pod));
            }
        }
    }

    #[test]
    fn only_0_9_tells_that_its_readiness_changed() {
        let point = |seconds| MetricsPoint {
            start: None,
            timestamp: Timestamp::from_seconds(seconds),
            cumulative_cpu_ns: 1,
            memory_bytes: 1,
        };
        let batch = |seconds| MetricsBatch {
            nodes: [("n".into(), point(seconds))].into(),
            ..MetricsBatch::default()
        };
        let notes = |version| {
            let mut store = Store::new(version, RESOLUTION);
            let texts = [10, 20, 30].map(|seconds| store.store(batch(seconds)).notes);
            texts
                .concat()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert!(notes(Version::V0_8).is_empty());
        assert_eq!(
            notes(Version::V0_9),
            [
                "Metric storage is not ready, pod metrics are missing, this may indicate a \
              container-runtime or kubelet issue"
            ]
        );
    }
}
