//! The few fields that are read of each object.

use std::rc::Rc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::Labels;
use crate::sample::PodRef;

/// An object as it arrives.
pub trait Object: DeserializeOwned + 'static {
    /// Its metadata.
    fn metadata(&self) -> &Metadata;
}

/// Source: `k8s.io/apimachinery/pkg/apis/meta/v1: ObjectMeta`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// `metadata.name`
    pub name: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.resourceVersion`
    pub resource_version: String,
    /// `metadata.labels`
    pub labels: Option<Labels>,
    /// `metadata.annotations`
    pub annotations: Option<Labels>,
}

impl Metadata {
    /// `namespace/name`
    #[must_use]
    pub fn pod_ref(&self) -> PodRef {
        PodRef::new(&self.namespace, &self.name)
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// A Pod, or only its metadata.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PartialObject {
    /// The metadata.
    pub metadata: Metadata,
}

impl Object for PartialObject {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// A Node as it arrives.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeObject {
    /// The metadata.
    pub metadata: Metadata,
    status: NodeStatus,
}

impl Object for NodeObject {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NodeStatus {
    addresses: Option<Vec<Typed>>,
    conditions: Option<Vec<Typed>>,
    daemon_endpoints: DaemonEndpoints,
}

/// A node address or condition.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
    address: String,
    status: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DaemonEndpoints {
    kubelet_endpoint: DaemonEndpoint,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct DaemonEndpoint {
    #[serde(rename = "Port")]
    port: u16,
}

/// What a scrape needs to know of a node. Its labels are in the API's caches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its name.
    pub name: Rc<str>,
    /// Types and addresses in the order of its status.
    pub addresses: Vec<(String, String)>,
    /// `status.daemonEndpoints.kubeletEndpoint.Port`; 0 if unset.
    pub kubelet_port: u16,
    /// Annotation `metrics.k8s.io/resource-metrics-path`, if not empty.
    pub metrics_path: Option<String>,
    /// Whether its condition Ready is True.
    pub ready: bool,
}

impl From<&NodeObject> for Node {
    fn from(object: &NodeObject) -> Self {
        let status = &object.status;
        let path = object
            .metadata
            .annotation("metrics.k8s.io/resource-metrics-path");
        Self {
            name: object.metadata.name.as_str().into(),
            addresses: status
                .addresses
                .iter()
                .flatten()
                .map(|address| (address.kind.clone(), address.address.clone()))
                .collect(),
            kubelet_port: status.daemon_endpoints.kubelet_endpoint.port,
            metrics_path: path.filter(|path| !path.is_empty()).map(str::to_owned),
            ready: status
                .conditions
                .iter()
                .flatten()
                .any(|condition| condition.kind == "Ready" && condition.status == "True"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_from_a_full_object() {
        let json = r#"{"kind":"Node","metadata":{"name":"node-1","resourceVersion":"7","labels":{"a":"b"},
            "annotations":{"metrics.k8s.io/resource-metrics-path":"/custom"}},"spec":{"podCIDR":"10.0.0.0/24"},
            "status":{"capacity":{"cpu":"4"},"addresses":[{"type":"InternalIP","address":"10.98.0.1"}],
            "conditions":[{"type":"Ready","status":"True","reason":"KubeletReady"}],
            "daemonEndpoints":{"kubeletEndpoint":{"Port":10250}}}}"#;
        let object: NodeObject = serde_json::from_str(json).expect("a node");
        let expected = Node {
            name: "node-1".into(),
            addresses: vec![("InternalIP".to_owned(), "10.98.0.1".to_owned())],
            kubelet_port: 10250,
            metrics_path: Some("/custom".to_owned()),
            ready: true,
        };
        assert_eq!(Node::from(&object), expected);
    }

    #[test]
    fn a_node_may_lack_everything_but_a_name() {
        let json = r#"{"metadata":{"name":"n","labels":null},"status":{"addresses":null,"conditions":null}}"#;
        let object: NodeObject = serde_json::from_str(json).expect("a node");
        let expected = Node {
            name: "n".into(),
            ..Node::default()
        };
        assert_eq!(Node::from(&object), expected);
    }
}
