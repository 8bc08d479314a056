//! Kubernetes objects with the fields that somebody in a cluster looks at.
//!
//! What a scenario puts into the [`Store`](crate::store::Store) before and
//! during a run is built here, so that a node or a pod has one shape.

use seam::Timestamp;
use serde_json::{Map, Value, json};

use super::base64;

mod node;

pub use node::{
    Node, NodeReady, node, with_allocatable, with_kubelet_port, with_node_addresses,
    with_node_labels, with_node_ready, with_node_taints,
};

/// RFC 3339 in UTC with whole seconds, as `metav1.Time` is written.
///
/// # Panics
///
/// Never: the range of [`Timestamp`] lies within that of the calendar.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_seconds())
        .expect("years 1677 to 2262 are in the calendar")
        .to_string()
}

/// A Namespace that is in use.
#[must_use]
pub fn namespace(name: &str, created: Timestamp) -> Value {
    json!({
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/metadata.name": name},
            "creationTimestamp": rfc3339(created),
        },
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    })
}

/// A pod that runs and is ready.
#[derive(Debug, Clone)]
pub struct Pod<'a> {
    /// `metadata.namespace`
    pub namespace: &'a str,
    /// `metadata.name`
    pub name: &'a str,
    /// `metadata.labels`
    pub labels: &'a [(String, String)],
    /// `spec.nodeName`
    pub node: &'a str,
    /// Names of its containers.
    pub containers: &'a [String],
    /// `status.hostIP`
    pub host_ip: std::net::IpAddr,
    /// `status.podIP`, if anybody is to reach it.
    pub ip: Option<std::net::IpAddr>,
    /// `metadata.creationTimestamp` and `status.startTime`
    pub created: Timestamp,
}

/// `status.phase` of a pod that runs.
pub const RUNNING: &str = "Running";

/// Source: `pkg/kubelet/status/generate.go`.
const POD_CONDITIONS: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

impl Pod<'_> {
    /// Its `metadata`.
    #[must_use]
    pub fn metadata(&self) -> Value {
        json!({
            "name": self.name,
            "namespace": self.namespace,
            "labels": pairs(self.labels).collect::<Map<_, _>>(),
            "creationTimestamp": rfc3339(self.created),
        })
    }
}

/// The Pod object: phase Running, condition Ready True.
#[must_use]
pub fn pod(pod: &Pod<'_>) -> Value {
    pod_with(pod, pod.metadata())
}

/// As [`pod`], with this `metadata`.
#[must_use]
pub fn pod_with(pod: &Pod<'_>, metadata: Value) -> Value {
    let created = rfc3339(pod.created);
    let containers: Vec<Value> = pod
        .containers
        .iter()
        .map(|name| json!({"name": name}))
        .collect();
    let statuses: Vec<Value> = pod
        .containers
        .iter()
        .map(|name| {
            json!({
                "name": name,
                "state": {"running": {"startedAt": created}},
                "ready": true,
                "restartCount": 0,
                "started": true,
            })
        })
        .collect();
    let conditions: Vec<Value> = POD_CONDITIONS
        .iter()
        .map(|kind| {
            json!({
                "type": kind,
                "status": "True",
                "lastProbeTime": null,
                "lastTransitionTime": created,
            })
        })
        .collect();
    let mut status = json!({
        "phase": RUNNING,
        "conditions": conditions,
        "hostIP": pod.host_ip.to_string(),
        "hostIPs": [{"ip": pod.host_ip.to_string()}],
        "startTime": created,
        "containerStatuses": statuses,
        "qosClass": "BestEffort",
    });
    if let Some(ip) = pod.ip {
        status["podIP"] = json!(ip.to_string());
        status["podIPs"] = json!([{"ip": ip.to_string()}]);
    }
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {
            "containers": containers,
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "serviceAccountName": "default",
            "nodeName": pod.node,
        },
        "status": status,
    })
}

/// A Service of type ClusterIP with one port.
#[derive(Debug, Clone)]
pub struct Service<'a> {
    /// `metadata.namespace`
    pub namespace: &'a str,
    /// `metadata.name`
    pub name: &'a str,
    /// `spec.clusterIP`
    pub cluster_ip: std::net::IpAddr,
    /// Name of the port.
    pub port_name: &'a str,
    /// The port.
    pub port: u16,
    /// A number, or the name of a container's port.
    pub target_port: Value,
    /// `spec.selector`; a Service without one gets no EndpointSlices.
    pub selector: &'a [(String, String)],
    /// `spec.publishNotReadyAddresses`
    pub publish_not_ready_addresses: bool,
    /// `metadata.creationTimestamp`
    pub created: Timestamp,
}

/// The Service object.
#[must_use]
pub fn service(service: &Service<'_>) -> Value {
    let ip = service.cluster_ip.to_string();
    let family = if service.cluster_ip.is_ipv4() {
        "IPv4"
    } else {
        "IPv6"
    };
    let mut spec = json!({
        "ports": [{
            "name": service.port_name,
            "protocol": "TCP",
            "port": service.port,
            "targetPort": service.target_port,
        }],
        "clusterIP": ip,
        "clusterIPs": [ip],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": [family],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    });
    if !service.selector.is_empty() {
        spec["selector"] = Value::Object(pairs(service.selector).collect());
    }
    if service.publish_not_ready_addresses {
        spec["publishNotReadyAddresses"] = json!(true);
    }
    json!({
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {
            "name": service.name,
            "namespace": service.namespace,
            "creationTimestamp": rfc3339(service.created),
        },
        "spec": spec,
        "status": {"loadBalancer": {}},
    })
}

/// The EndpointSlice of a Service without selector, such as `kubernetes`: one
/// address that is always ready.
#[must_use]
pub fn static_endpoint_slice(
    namespace: &str,
    service: &str,
    port_name: &str,
    address: std::net::SocketAddr,
    created: Timestamp,
) -> Value {
    json!({
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": service,
            "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
            "creationTimestamp": rfc3339(created),
        },
        "addressType": if address.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": port_name, "port": address.port(), "protocol": "TCP"}],
    })
}

/// How the aggregation layer trusts a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendTrust {
    /// `insecureSkipTLSVerify: true`
    Insecure,
    /// `caBundle`: PEM, verified against `<service>.<namespace>.svc`.
    Bundle(String),
}

/// The APIService `v1beta1.metrics.k8s.io` of metrics-server's manifests,
/// served by `service` in `namespace` on port 443.
#[must_use]
pub fn metrics_api_service(
    namespace: &str,
    service: &str,
    trust: &BackendTrust,
    created: Timestamp,
) -> Value {
    let mut spec = json!({
        "service": {"namespace": namespace, "name": service, "port": 443},
        "group": "metrics.k8s.io",
        "version": "v1beta1",
    });
    match trust {
        BackendTrust::Insecure => spec["insecureSkipTLSVerify"] = json!(true),
        BackendTrust::Bundle(pem) => spec["caBundle"] = json!(base64::encode(pem.as_bytes())),
    }
    spec["groupPriorityMinimum"] = json!(100);
    spec["versionPriority"] = json!(100);
    json!({
        "kind": "APIService",
        "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {
            "name": "v1beta1.metrics.k8s.io",
            "labels": {"k8s-app": "metrics-server"},
            "creationTimestamp": rfc3339(created),
        },
        "spec": spec,
        "status": {},
    })
}

/// The ConfigMap `kube-system/extension-apiserver-authentication`, from which
/// extension servers learn whom to believe.
///
/// Source: `pkg/controlplane/controller/clusterauthenticationtrust`.
#[must_use]
pub fn authentication_config_map(
    client_ca_pem: &str,
    request_header_ca_pem: &str,
    allowed_names: &[&str],
    created: Timestamp,
) -> Value {
    let list = |names: &[&str]| json!(names).to_string();
    json!({
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {
            "name": "extension-apiserver-authentication",
            "namespace": "kube-system",
            "creationTimestamp": rfc3339(created),
        },
        "data": {
            "client-ca-file": client_ca_pem,
            "requestheader-allowed-names": list(allowed_names),
            "requestheader-client-ca-file": request_header_ca_pem,
            "requestheader-extra-headers-prefix": list(&["X-Remote-Extra-"]),
            "requestheader-group-headers": list(&["X-Remote-Group"]),
            "requestheader-uid-headers": list(&["X-Remote-Uid"]),
            "requestheader-username-headers": list(&["X-Remote-User"]),
        },
    })
}

fn pairs(pairs: &[(String, String)]) -> impl Iterator<Item = (String, Value)> + '_ {
    pairs.iter().map(|(key, value)| (key.clone(), json!(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_whole_seconds() {
        assert_eq!(
            rfc3339(Timestamp::from_millis(1_500)),
            "1970-01-01T00:00:01Z"
        );
    }
}
