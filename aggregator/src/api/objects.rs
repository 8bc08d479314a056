//! NodeMetrics, PodMetrics and their lists, as JSON.
//!
//! The order of the keys is the original's.
//!
//! Source: k8s.io/metrics `pkg/apis/metrics/v1beta1/types.go`.

use std::fmt;

use seam::Timestamp;
use serde::{Serialize, Serializer};

use super::caches::Labels;
use super::status::Empty;
use super::time::{GoDuration, Rfc3339};
use crate::quantity::{Cpu, Memory, fit};
use crate::sample::PodRef;
use crate::store::{PodUsage, Usage};

/// The API's group and version.
pub(super) const API_VERSION: &str = "metrics.k8s.io/v1beta1";

/// One node or pod to be shown, whatever the form.
pub(super) trait Item {
    /// The object's kind: `NodeMetrics`.
    const KIND: &'static str;
    /// The kind of a list of such objects.
    const LIST_KIND: &'static str;

    fn name(&self) -> &str;
    fn metadata(&self, request_time: Timestamp) -> Metadata<'_>;
    /// The object without its kind.
    fn object(&self, request_time: Timestamp) -> impl Serialize;
    /// The usage, over all containers; `None` if no container has any.
    fn total(&self) -> Option<Amounts>;
    fn window_ns(&self) -> i64;
}

/// A node and its usage.
pub(super) struct NodeItem<'a> {
    pub(super) name: &'a str,
    pub(super) labels: &'a Labels,
    pub(super) usage: Usage,
}

/// A pod and its containers' usage.
pub(super) struct PodItem<'a> {
    pub(super) pod: &'a PodRef,
    pub(super) labels: &'a Labels,
    pub(super) usage: PodUsage,
}

#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(rename = "creationTimestamp")]
    creation_timestamp: Rfc3339,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: &'a Labels,
}

/// An object with its kind, as it stands alone.
#[derive(Serialize)]
pub(super) struct Typed<T> {
    pub(super) kind: &'static str,
    #[serde(rename = "apiVersion")]
    pub(super) api_version: &'static str,
    #[serde(flatten)]
    pub(super) object: T,
}

/// A list; its items carry no kind.
#[derive(Serialize)]
pub(super) struct List<T> {
    pub(super) kind: &'static str,
    #[serde(rename = "apiVersion")]
    pub(super) api_version: &'static str,
    pub(super) metadata: Empty,
    pub(super) items: Vec<T>,
}

/// An object of which only the metadata is shown.
#[derive(Serialize)]
pub(super) struct Partial<'a> {
    pub(super) kind: &'static str,
    #[serde(rename = "apiVersion")]
    pub(super) api_version: &'static str,
    pub(super) metadata: Metadata<'a>,
}

/// CPU and memory, as quantities hold them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) cpu: u128,
    pub(super) memory: u128,
}

#[derive(Serialize)]
struct NodeMetrics<'a> {
    metadata: Metadata<'a>,
    timestamp: Rfc3339,
    window: GoDuration,
    usage: Amounts,
}

#[derive(Serialize)]
struct PodMetrics<'a> {
    metadata: Metadata<'a>,
    timestamp: Option<Rfc3339>,
    window: GoDuration,
    containers: Vec<ContainerMetrics<'a>>,
}

#[derive(Serialize)]
struct ContainerMetrics<'a> {
    name: &'a str,
    usage: Amounts,
}

impl From<&Usage> for Amounts {
    fn from(usage: &Usage) -> Self {
        Self {
            cpu: fit(usage.cpu_nanocores).0,
            memory: fit(usage.memory_bytes).0,
        }
    }
}

impl Serialize for Amounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cpu = Cpu(self.cpu);
        let memory = Memory(self.memory);
        serializer.collect_map([("cpu", Text(&cpu)), ("memory", Text(&memory))])
    }
}

/// A value written as a JSON string.
struct Text<'a>(&'a dyn fmt::Display);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

impl Item for NodeItem<'_> {
    const KIND: &'static str = "NodeMetrics";
    const LIST_KIND: &'static str = "NodeMetricsList";

    fn name(&self) -> &str {
        self.name
    }

    fn metadata(&self, request_time: Timestamp) -> Metadata<'_> {
        Metadata {
            name: self.name,
            namespace: None,
            creation_timestamp: Rfc3339(request_time),
            labels: self.labels,
        }
    }

    fn object(&self, request_time: Timestamp) -> impl Serialize {
        NodeMetrics {
            metadata: self.metadata(request_time),
            timestamp: Rfc3339(self.usage.timestamp),
            window: GoDuration(self.usage.window_ns),
            usage: (&self.usage).into(),
        }
    }

    fn total(&self) -> Option<Amounts> {
        Some((&self.usage).into())
    }

    fn window_ns(&self) -> i64 {
        self.usage.window_ns
    }
}

impl PodItem<'_> {
    fn containers(&self) -> impl Iterator<Item = (&str, Amounts)> {
        self.usage
            .containers
            .iter()
            .filter_map(|(name, usage)| Some((&**name, usage.as_ref().ok()?.into())))
    }
}

impl Item for PodItem<'_> {
    const KIND: &'static str = "PodMetrics";
    const LIST_KIND: &'static str = "PodMetricsList";

    fn name(&self) -> &str {
        &self.pod.name
    }

    fn metadata(&self, request_time: Timestamp) -> Metadata<'_> {
        Metadata {
            name: &self.pod.name,
            namespace: Some(&self.pod.namespace),
            creation_timestamp: Rfc3339(request_time),
            labels: self.labels,
        }
    }

    fn object(&self, request_time: Timestamp) -> impl Serialize {
        let containers = self
            .containers()
            .map(|(name, usage)| ContainerMetrics { name, usage });
        PodMetrics {
            metadata: self.metadata(request_time),
            timestamp: self.usage.earliest().map(|usage| Rfc3339(usage.timestamp)),
            window: GoDuration(self.window_ns()),
            containers: containers.collect(),
        }
    }

    fn total(&self) -> Option<Amounts> {
        self.containers()
            .map(|(_, usage)| usage)
            .reduce(|sum, usage| Amounts {
                cpu: sum.cpu + usage.cpu,
                memory: sum.memory + usage.memory,
            })
    }

    fn window_ns(&self) -> i64 {
        self.usage.earliest().map_or(0, |usage| usage.window_ns)
    }
}
