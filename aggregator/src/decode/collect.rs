//! Samples → points, one per node and container.

use std::collections::BTreeMap;
use std::rc::Rc;

use memchr::{memchr, memmem};
use seam::Timestamp;

use super::error::DecodeError;
use super::labels::{Labels, Names, Origin};
use super::lexer::Sample;
use super::number::{to_i64, to_u64};
use super::quote::quote;
use super::{Incomplete, Partial};
use crate::sample::{ContainerPoints, MetricsBatch, MetricsPoint, PodRef};

/// Points under construction.
///
/// Kubelets write one family after the other, each with the same containers in
/// the same order. So a container is looked for first where the last one was
/// found plus one, and its labels are compared as one text.
pub(super) struct Collector<'a> {
    default_ms: i64,
    node: Partial,
    containers: Vec<Container<'a>>,
    /// Where the next sample's container is expected.
    cursor: usize,
    /// Present once containers came out of order: until then
    /// `containers` is sorted and its own index.
    index: Option<BTreeMap<Names<'a>, usize>>,
}

struct Container<'a> {
    names: Names<'a>,
    /// The whole label block with which it was first seen.
    labels: &'a [u8],
    found: Partial,
}

impl<'a> Collector<'a> {
    /// `default_ms` is the time of samples that carry none, in milliseconds
    /// since the epoch.
    pub(super) fn new(default_ms: i64) -> Self {
        Self {
            default_ms,
            node: Partial::default(),
            containers: Vec::new(),
            cursor: 0,
            index: None,
        }
    }

    /// The label block that the next container sample is likely to have.
    pub(super) fn expected_labels(&self) -> Option<&'a [u8]> {
        let expected = self.containers.get(self.cursor).or(self.containers.first());
        expected.map(|container| container.labels)
    }

    /// Takes in one sample.
    pub(super) fn add(&mut self, sample: &Sample<'a>) -> Result<(), DecodeError> {
        // The multiplication wraps as Go's does.
        let milliseconds = sample.timestamp_ms.unwrap_or(self.default_ms);
        let timestamp = Some(Timestamp::from_nanos(milliseconds.wrapping_mul(1_000_000)));
        match sample.name {
            b"container_cpu_usage_seconds_total" => {
                let found = self.container(&sample.labels)?;
                found.cumulative_cpu_ns = to_u64(sample.value * 1e9);
                found.timestamp = timestamp;
            }
            b"container_memory_working_set_bytes" => {
                let found = self.container(&sample.labels)?;
                found.memory_bytes = to_u64(sample.value);
                found.timestamp = timestamp;
            }
            b"container_start_time_seconds" => {
                let start = Timestamp::from_nanos(to_i64(sample.value * 1e9));
                self.container(&sample.labels)?.start = Some(start);
            }
            b"node_cpu_usage_seconds_total" => {
                self.node.cumulative_cpu_ns = to_u64(sample.value * 1e9);
                self.node.timestamp = timestamp;
            }
            b"node_memory_working_set_bytes" => {
                self.node.memory_bytes = to_u64(sample.value);
                self.node.timestamp = timestamp;
            }
            _ => {}
        }
        Ok(())
    }

    /// The container that the labels name, new or known.
    fn container(&mut self, labels: &Labels<'a>) -> Result<&mut Partial, DecodeError> {
        let at = match labels.origin {
            Origin::Expected if self.cursor < self.containers.len() => self.cursor,
            Origin::Expected => 0,
            Origin::Container(names) => self.find_or_add(names, labels.text),
            Origin::Lexed => self.find_or_add(names_in(labels.text)?, labels.text),
        };
        self.cursor = at + 1;
        Ok(&mut self.containers[at].found)
    }

    fn find_or_add(&mut self, names: Names<'a>, labels: &'a [u8]) -> usize {
        let new = self.containers.len();
        let at = match &mut self.index {
            Some(index) => *index.entry(names).or_insert(new),
            None => match self.containers.last() {
                Some(last) if last.names < names => new,
                _ => self.search(names),
            },
        };
        if at == new {
            let found = Partial::default();
            self.containers.push(Container {
                names,
                labels,
                found,
            });
        }
        at
    }

    /// Looks among sorted containers. If the new one does not belong at the
    /// end, they are sorted no longer, and an index takes over.
    fn search(&mut self, names: Names<'a>) -> usize {
        let new = self.containers.len();
        match self
            .containers
            .binary_search_by(|known| known.names.cmp(&names))
        {
            Ok(at) => at,
            Err(at) if at == new => new,
            Err(_) => {
                let known = self.containers.iter().enumerate();
                let mut index: BTreeMap<_, _> = known.map(|(at, c)| (c.names, at)).collect();
                index.insert(names, new);
                self.index = Some(index);
                new
            }
        }
    }

    /// The complete points.
    ///
    /// Source: `decode.go: decodeBatch, checkContainerMetrics`.
    pub(super) fn finish(
        mut self,
        node: &str,
        note: &mut dyn FnMut(Incomplete<'_>),
    ) -> MetricsBatch {
        let mut batch = MetricsBatch::default();
        match self.node.complete() {
            Some(point) => drop(batch.nodes.insert(node.into(), point)),
            None => note(Incomplete::Node {
                node,
                found: self.node,
            }),
        }
        self.containers
            .sort_unstable_by_key(|c| (c.names.namespace, c.names.pod, c.names.container));
        let same_pod = |a: &Container<'_>, b: &Container<'_>| {
            (a.names.pod, a.names.namespace) == (b.names.pod, b.names.namespace)
        };
        let mut namespace: Rc<str> = Rc::default();
        let pods = self.containers.chunk_by(same_pod).filter_map(|containers| {
            let names = containers[0].names;
            if namespace.as_bytes() != names.namespace {
                namespace = text(names.namespace);
            }
            let pod = PodRef {
                namespace: Rc::clone(&namespace),
                name: text(names.pod),
            };
            Some((pod.clone(), complete(&pod, containers, note)?))
        });
        batch.pods = pods.collect();
        batch
    }
}

/// The containers' points, or `None` if one is incomplete: the API never shows
/// half a pod.
fn complete(
    pod: &PodRef,
    containers: &[Container<'_>],
    note: &mut dyn FnMut(Incomplete<'_>),
) -> Option<ContainerPoints> {
    let mut points = Vec::with_capacity(containers.len());
    for container in containers {
        let name = text(container.names.container);
        let Some(point) = container.found.complete() else {
            let found = container.found;
            note(Incomplete::Pod {
                pod: pod.to_string(),
                container: &name,
                found,
            });
            return None;
        };
        points.push((name, point));
    }
    Some(points.into_iter().collect())
}

impl Partial {
    fn complete(&self) -> Option<MetricsPoint> {
        let timestamp = self.timestamp?;
        (self.cumulative_cpu_ns != 0 && self.memory_bytes != 0).then_some(MetricsPoint {
            start: self.start,
            timestamp,
            cumulative_cpu_ns: self.cumulative_cpu_ns,
            memory_bytes: self.memory_bytes,
        })
    }
}

/// DIFFERENCE: names that are not UTF-8, which only a label in quotes or a
/// garbage name can yield, are shown with replacement characters.
fn text(bytes: &[u8]) -> Rc<str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into(),
    }
}

/// Finds the names in any label block, by the original's rule: the text after
/// the first occurrence of `container="`, whatever stands in front of it, up
/// to the next quote. Where the tag is missing the text starts at one byte
/// less than the tag's length.
///
/// Source: `decode.go: parseContainerLabels`.
fn names_in(labels: &[u8]) -> Result<Names<'_>, DecodeError> {
    let after = |tag: &[u8]| {
        let start = match memmem::find(labels, tag) {
            Some(at) => at + tag.len(),
            None => tag.len() - 1,
        };
        let rest = labels.get(start..)?;
        Some(&rest[..memchr(b'"', rest)?])
    };
    let names = || {
        Some(Names {
            container: after(b"container=\"")?,
            pod: after(b"pod=\"")?,
            namespace: after(b"namespace=\"")?,
        })
    };
    names().ok_or_else(|| DecodeError::ContainerLabels(quote(labels)))
}
