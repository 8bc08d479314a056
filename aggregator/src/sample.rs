//! Points and batches: what one tick learned about nodes and containers.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use seam::Timestamp;

/// One sample of one node or container.
///
/// Source: `pkg/storage/types.go: MetricsPoint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricsPoint {
    /// When the container started; `None` is Go's zero time. Nodes have none.
    pub start: Option<Timestamp>,
    /// When the sample was taken, by the node's clock.
    pub timestamp: Timestamp,
    /// CPU time used since the start, in nanoseconds of one core.
    pub cumulative_cpu_ns: u64,
    /// Working set, in bytes.
    pub memory_bytes: u64,
}

/// A pod's identity. Ordered by namespace, then name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: Rc<str>,
    /// Its name.
    pub name: Rc<str>,
}

impl PodRef {
    /// The pod `namespace/name`.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for PodRef {
    /// `kube-system/coredns-0`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The points of one pod's containers, ordered by container name.
///
/// Nearly every pod has one to three containers, so a sorted list beats a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerPoints(Vec<(Rc<str>, MetricsPoint)>);

impl ContainerPoints {
    /// The point of one container.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&MetricsPoint> {
        let at = self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// Adds or replaces the point of one container.
    pub fn insert(&mut self, name: Rc<str>, point: MetricsPoint) {
        match self.0.binary_search_by(|(n, _)| n.cmp(&name)) {
            Ok(at) => self.0[at].1 = point,
            Err(at) => self.0.insert(at, (name, point)),
        }
    }

    /// Containers and points, by name.
    pub fn iter(&self) -> std::slice::Iter<'_, (Rc<str>, MetricsPoint)> {
        self.0.iter()
    }

    /// How many containers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Rc<str>, MetricsPoint)> for ContainerPoints {
    /// The last point of a name that comes twice wins.
    fn from_iter<I: IntoIterator<Item = (Rc<str>, MetricsPoint)>>(points: I) -> Self {
        let mut points: Vec<_> = points.into_iter().collect();
        if !points.is_sorted_by(|a, b| a.0 < b.0) {
            points.reverse();
            points.sort_by(|a, b| a.0.cmp(&b.0));
            points.dedup_by(|a, b| a.0 == b.0);
        }
        Self(points)
    }
}

impl IntoIterator for ContainerPoints {
    type Item = (Rc<str>, MetricsPoint);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a ContainerPoints {
    type Item = &'a (Rc<str>, MetricsPoint);
    type IntoIter = std::slice::Iter<'a, (Rc<str>, MetricsPoint)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What one scrape, or one tick over all nodes, found.
///
/// Source: `pkg/storage/types.go: MetricsBatch`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsBatch {
    /// The nodes' own points, by node name.
    pub nodes: BTreeMap<Rc<str>, MetricsPoint>,
    /// The containers' points, by pod.
    pub pods: BTreeMap<PodRef, ContainerPoints>,
}

/// A subject that two kubelets reported in the same tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duplicate {
    /// Logged as `Got duplicate node point`.
    Node(Rc<str>),
    /// Logged as `Got duplicate pod point`.
    Pod(PodRef),
}

impl MetricsBatch {
    /// Adds another kubelet's batch. What is already here stays; what came
    /// twice is returned, nodes before pods.
    ///
    /// Source: `pkg/scraper/scraper.go: (*scraper).Scrape`.
    pub fn absorb(&mut self, other: Self) -> Vec<Duplicate> {
        use std::collections::btree_map::Entry;
        let mut duplicates = Vec::new();
        for (name, point) in other.nodes {
            match self.nodes.entry(name) {
                Entry::Vacant(free) => drop(free.insert(point)),
                Entry::Occupied(taken) => duplicates.push(Duplicate::Node(taken.key().clone())),
            }
        }
        for (pod, containers) in other.pods {
            match self.pods.entry(pod) {
                Entry::Vacant(free) => drop(free.insert(containers)),
                Entry::Occupied(taken) => duplicates.push(Duplicate::Pod(taken.key().clone())),
            }
        }
        duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(cpu: u64) -> MetricsPoint {
        MetricsPoint {
            start: None,
            timestamp: Timestamp::from_seconds(1),
            cumulative_cpu_ns: cpu,
            memory_bytes: 1,
        }
    }

    #[test]
    fn containers_come_back_by_name_whatever_their_order_was() {
        let points: ContainerPoints = [("b", 1), ("a", 2), ("c", 3), ("a", 4)]
            .map(|(n, cpu)| (n.into(), point(cpu)))
            .into_iter()
            .collect();
        let names: Vec<_> = points
            .iter()
            .map(|(n, p)| (&**n, p.cumulative_cpu_ns))
            .collect();
        assert_eq!(names, [("a", 4), ("b", 1), ("c", 3)]);
        assert_eq!(points.get("b"), Some(&point(1)));
        assert_eq!(points.get("x"), None);
    }

    #[test]
    fn the_first_report_of_a_subject_stays() {
        let one = |cpu| MetricsBatch {
            nodes: [("n".into(), point(cpu))].into(),
            pods: [(
                PodRef::new("ns", "p"),
                [("c".into(), point(cpu))].into_iter().collect(),
            )]
            .into(),
        };
        let mut batch = one(1);
        let duplicates = batch.absorb(one(2));
        assert_eq!(batch, one(1));
        assert_eq!(
            duplicates,
            [
                Duplicate::Node("n".into()),
                Duplicate::Pod(PodRef::new("ns", "p"))
            ]
        );
    }
}
