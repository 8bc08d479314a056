//! What the storage would log, all at verbosity 2.

use std::fmt;
use std::rc::Rc;

use seam::Timestamp;

use crate::sample::PodRef;

/// One log line of the storage. `Display` gives its message; the fields are
/// the key-value pairs, under Go's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreNote {
    /// A node's clock went back beyond its previous point.
    NodeOlderThanPrevious {
        /// `node`
        node: Rc<str>,
        /// `previousTimestamp`
        previous: Timestamp,
        /// `timestamp`
        timestamp: Timestamp,
    },
    /// The same of a container.
    ContainerOlderThanPrevious {
        /// `containerName`
        container: Rc<str>,
        /// `pod`
        pod: PodRef,
        /// `previousTimestamp`
        previous: Timestamp,
        /// `timestamp`
        timestamp: Timestamp,
    },
    /// The readiness of nodes or pods changed; only 0.9 tells.
    ReadinessChanged {
        /// `nodeMetrics`
        nodes: bool,
        /// `podMetrics`
        pods: bool,
    },
}

impl fmt::Display for StoreNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NodeOlderThanPrevious { .. } => {
                "Found new node metrics point is older than stored previous, drop previous"
            }
            Self::ContainerOlderThanPrevious { .. } => {
                "Found new containerName metrics point is older than stored previous , drop previous"
            }
            Self::ReadinessChanged { nodes: true, pods: true } => "Metric storage is ready",
            Self::ReadinessChanged { nodes: true, pods: false } => {
                "Metric storage is not ready, pod metrics are missing, \
                 this may indicate a container-runtime or kubelet issue"
            }
            Self::ReadinessChanged { nodes: false, pods: true } => {
                "Metric storage is not ready, node metrics are missing, \
                 this may indicate a kubelet issue"
            }
            Self::ReadinessChanged { nodes: false, pods: false } => "Metric storage is not ready",
        })
    }
}
