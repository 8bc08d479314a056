//! Kubernetes objects with the fields that somebody in a cluster looks at.
//!
//! What a scenario puts into the [`Store`](crate::store::Store) before and
//! during a run is built here, so that a node or a pod has one shape.

use seam::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::base64;

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

/// A node as its kubelet registers it.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// `metadata.name`
    pub name: &'a str,
    /// `metadata.labels`, besides the well-known ones, which are added.
    pub labels: &'a [(String, String)],
    /// `status.addresses` in order: type and address.
    pub addresses: &'a [(String, String)],
    /// `status.daemonEndpoints.kubeletEndpoint.Port`
    pub kubelet_port: u16,
    /// Whether the condition Ready is True.
    pub ready: bool,
    /// `metadata.creationTimestamp`
    pub created: Timestamp,
    /// When the condition Ready became what it is.
    pub ready_since: Timestamp,
    /// `status.capacity.cpu`: `4`
    pub cpu: &'a str,
    /// `status.capacity.memory`: `16384Mi`
    pub memory: &'a str,
}

/// The Node object.
#[must_use]
pub fn node(node: &Node<'_>) -> Value {
    let mut labels = Map::new();
    for (key, value) in [
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", node.name),
        ("kubernetes.io/os", "linux"),
    ] {
        labels.insert(key.to_owned(), json!(value));
    }
    labels.extend(pairs(node.labels));
    let addresses = node_addresses(node.addresses);
    let resources = json!({
        "cpu": node.cpu,
        "ephemeral-storage": "61255492Ki",
        "memory": node.memory,
        "pods": "110",
    });
    let object = json!({
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {
            "name": node.name,
            "labels": labels,
            "creationTimestamp": rfc3339(node.created),
        },
        "spec": {},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": node_pressure_conditions(node.created),
            "addresses": addresses,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": node.kubelet_port}},
            "nodeInfo": node_info(node.name),
        },
    });
    with_node_ready(&object, node.ready, node.ready_since)
}

/// DIFFERENCE: nothing is reserved, so that all of a node's capacity is
/// allocatable; a kubelet keeps at least 100Mi of memory back.
///
/// Source: `pkg/kubelet/nodestatus/setters.go: VersionInfo, MachineInfo`.
fn node_info(name: &str) -> Value {
    let id = |what: &str| uuid(&format!("{what}/{name}"));
    json!({
        "machineID": id("machine").replace('-', ""),
        "systemUUID": id("system"),
        "bootID": id("boot"),
        "kernelVersion": "6.12.43-generic",
        "osImage": "Debian GNU/Linux 13 (trixie)",
        "containerRuntimeVersion": "containerd://2.1.4",
        "kubeletVersion": super::VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    })
}

/// Source: `pkg/kubelet/nodestatus/setters.go: MemoryPressureCondition,
/// DiskPressureCondition, PIDPressureCondition`.
fn node_pressure_conditions(since: Timestamp) -> Value {
    let conditions = [
        (
            "MemoryPressure",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
    ];
    let condition = |(kind, reason, message): (&str, &str, &str)| {
        json!({
            "type": kind,
            "status": "False",
            "lastHeartbeatTime": rfc3339(since),
            "lastTransitionTime": rfc3339(since),
            "reason": reason,
            "message": message,
        })
    };
    conditions.into_iter().map(condition).collect()
}

/// The taint of a node that is not ready.
///
/// Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.
const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The same Node with another Ready condition, and the taint that goes with it.
#[must_use]
pub fn with_node_ready(node: &Value, ready: bool, since: Timestamp) -> Value {
    let mut node = node.clone();
    if let Some(conditions) = node["status"]["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != "Ready");
        conditions.push(node_ready_condition(ready, since));
    }
    let mut taints = node["spec"]["taints"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    taints.retain(|taint| taint["key"] != NOT_READY);
    if !ready {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
    if let Some(spec) = node["spec"].as_object_mut() {
        match taints.is_empty() {
            true => spec.remove("taints"),
            false => spec.insert("taints".to_owned(), json!(taints)),
        };
    }
    node
}

/// The same Node with other addresses: type and value of each.
#[must_use]
pub fn with_node_addresses(node: &Value, addresses: &[(String, String)]) -> Value {
    let mut node = node.clone();
    node["status"]["addresses"] = node_addresses(addresses);
    node
}

fn node_addresses(addresses: &[(String, String)]) -> Value {
    let addresses = addresses.iter();
    addresses
        .map(|(kind, address)| json!({"type": kind, "address": address}))
        .collect()
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

/// Source: `pkg/kubelet/nodestatus/setters.go: ReadyCondition`.
fn node_ready_condition(ready: bool, since: Timestamp) -> Value {
    let (status, reason, message) = if ready {
        ("True", "KubeletReady", "kubelet is posting ready status")
    } else {
        (
            "False",
            "KubeletNotReady",
            "container runtime network not ready: NetworkReady=false \
             reason:NetworkPluginNotReady message:Network plugin returns error: \
             cni plugin not initialized",
        )
    };
    json!({
        "type": "Ready",
        "status": status,
        "lastHeartbeatTime": rfc3339(since),
        "lastTransitionTime": rfc3339(since),
        "reason": reason,
        "message": message,
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

/// Source: `pkg/kubelet/status/generate.go`.
const POD_CONDITIONS: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// The Pod object: phase Running, condition Ready True.
#[must_use]
pub fn pod(pod: &Pod<'_>) -> Value {
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
        "phase": "Running",
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
        "metadata": {
            "name": pod.name,
            "namespace": pod.namespace,
            "labels": pairs(pod.labels).collect::<Map<_, _>>(),
            "creationTimestamp": created,
        },
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

/// An identifier that is a function of what it identifies.
fn uuid(what: &str) -> String {
    let digest = Sha256::digest(what);
    let hex: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    );
    format!("{a}-{b}-{c}-{d}-{e}")
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

    #[test]
    fn an_unready_node_says_why() {
        let ready = node(&Node {
            name: "pi",
            labels: &[],
            addresses: &[("InternalIP".into(), "10.0.0.5".into())],
            kubelet_port: 10250,
            ready: true,
            created: Timestamp::EPOCH,
            ready_since: Timestamp::EPOCH,
            cpu: "4",
            memory: "8192Mi",
        });
        assert_eq!(ready["status"]["conditions"][3]["reason"], "KubeletReady");
        assert_eq!(ready["spec"].get("taints"), None);
        let unready = with_node_ready(&ready, false, Timestamp::EPOCH);
        let conditions = &unready["status"]["conditions"];
        assert_eq!(conditions[0]["type"], "MemoryPressure");
        assert_eq!(conditions[3]["reason"], "KubeletNotReady");
        assert_eq!(unready["spec"]["taints"][0]["key"], NOT_READY);
        assert_eq!(with_node_ready(&unready, true, Timestamp::EPOCH), ready);
        assert_eq!(
            unready["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"],
            10250
        );
    }
}
