//! Nodes.

use seam::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::VERSION;
use super::{pairs, rfc3339};
use crate::deployment::placement::{Amounts, Taint};

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
    /// `spec.taints`, besides those that say how it is.
    pub taints: &'a [Taint],
    /// What the condition Ready says.
    pub ready: NodeReady,
    /// `metadata.creationTimestamp`
    pub created: Timestamp,
    /// When the condition Ready became what it is.
    pub ready_since: Timestamp,
    /// `status.capacity.cpu`: `4`
    pub cpu: &'a str,
    /// `status.capacity.memory`: `16384Mi`
    pub memory: &'a str,
}

/// What the API says of a node's readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeReady {
    /// The kubelet says that it is.
    True,
    /// The kubelet says that it is not.
    False,
    /// Nothing has been heard of the kubelet for too long.
    Unknown,
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
    let object = with_node_taints(&object, &[], node.taints);
    with_node_ready(&object, node.ready, node.ready_since)
}

/// The same Node with so much of its capacity for pods.
#[must_use]
pub fn with_allocatable(node: &Value, amounts: Amounts) -> Value {
    let cpu = match amounts.cpu_millis % 1000 {
        0 => (amounts.cpu_millis / 1000).to_string(),
        _ => format!("{}m", amounts.cpu_millis),
    };
    let memory = match amounts.memory_bytes % 1024 {
        0 => format!("{}Ki", amounts.memory_bytes / 1024),
        _ => amounts.memory_bytes.to_string(),
    };
    let mut node = node.clone();
    let allocatable = &mut node["status"]["allocatable"];
    allocatable["cpu"] = json!(cpu);
    allocatable["memory"] = json!(memory);
    node
}

/// The same Node with the labels `after` in place of those `before`; others
/// stay.
#[must_use]
pub fn with_node_labels(
    node: &Value,
    before: &[(String, String)],
    after: &[(String, String)],
) -> Value {
    let mut node = node.clone();
    if let Some(labels) = node["metadata"]["labels"].as_object_mut() {
        labels.retain(|name, _| before.iter().all(|(gone, _)| gone != name));
        labels.extend(
            after
                .iter()
                .map(|(name, value)| (name.clone(), json!(value))),
        );
    }
    node
}

/// The same Node with the taints `after` in place of those `before`; others
/// stay.
#[must_use]
pub fn with_node_taints(node: &Value, before: &[Taint], after: &[Taint]) -> Value {
    let gone: Vec<Value> = before.iter().map(Taint::object).collect();
    let mut taints = taints_of(node);
    taints.retain(|taint| !gone.contains(taint));
    taints.extend(after.iter().map(Taint::object));
    with_taints(node.clone(), taints)
}

fn taints_of(node: &Value) -> Vec<Value> {
    let taints = node["spec"]["taints"].as_array();
    taints.cloned().unwrap_or_default()
}

/// An empty list is none.
fn with_taints(mut node: Value, taints: Vec<Value>) -> Value {
    if let Some(spec) = node["spec"].as_object_mut() {
        match taints.is_empty() {
            true => spec.remove("taints"),
            false => spec.insert("taints".to_owned(), json!(taints)),
        };
    }
    node
}

/// DIFFERENCE: unless a scenario says otherwise nothing is reserved, so that all
/// of a node's capacity is allocatable; a kubelet keeps at least 100Mi of memory
/// back.
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
        "kubeletVersion": VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    })
}

/// Source: `pkg/kubelet/nodestatus/setters.go: MemoryPressureCondition,
/// DiskPressureCondition, PIDPressureCondition`.
fn node_pressure_conditions(since: Timestamp) -> Vec<Value> {
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

/// The taints of a node that says it is not ready, and of one that says
/// nothing.
///
/// Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`.
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// The same Node with another Ready condition, and the taint that goes with it.
/// Of a node that says nothing, no condition is known.
///
/// DIFFERENCE: a kubelet that is heard of again reports its other conditions
/// as new.
#[must_use]
pub fn with_node_ready(node: &Value, ready: NodeReady, since: Timestamp) -> Value {
    let mut node = node.clone();
    if let Some(conditions) = node["status"]["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != "Ready");
        let was_unknown = conditions.iter().any(|one| one["status"] == "Unknown");
        match ready {
            NodeReady::Unknown => conditions.iter_mut().for_each(|one| forget(one, since)),
            _ if was_unknown => *conditions = node_pressure_conditions(since),
            _ => {}
        }
        conditions.push(node_ready_condition(ready, since));
    }
    let mut taints = taints_of(&node);
    taints.retain(|taint| taint["key"] != NOT_READY && taint["key"] != UNREACHABLE);
    let taint = match ready {
        NodeReady::True => None,
        NodeReady::False => Some(NOT_READY),
        NodeReady::Unknown => Some(UNREACHABLE),
    };
    taints.extend(taint.map(|key| json!({"key": key, "effect": "NoSchedule"})));
    with_taints(node, taints)
}

/// The same Node with another port of its kubelet.
#[must_use]
pub fn with_kubelet_port(node: &Value, port: u16) -> Value {
    let mut node = node.clone();
    node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] = json!(port);
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

/// What the controller makes of a condition of which nothing is heard.
///
/// Source: `node_lifecycle_controller.go tryUpdateNodeHealth`.
const UNHEARD: (&str, &str, &str) = (
    "Unknown",
    "NodeStatusUnknown",
    "Kubelet stopped posting node status.",
);

fn forget(condition: &mut Value, since: Timestamp) {
    let (status, reason, message) = UNHEARD;
    condition["status"] = json!(status);
    condition["reason"] = json!(reason);
    condition["message"] = json!(message);
    condition["lastTransitionTime"] = json!(rfc3339(since));
}

/// Source: `pkg/kubelet/nodestatus/setters.go: ReadyCondition`.
fn node_ready_condition(ready: NodeReady, since: Timestamp) -> Value {
    let (status, reason, message) = match ready {
        NodeReady::True => ("True", "KubeletReady", "kubelet is posting ready status"),
        NodeReady::False => (
            "False",
            "KubeletNotReady",
            "container runtime network not ready: NetworkReady=false \
             reason:NetworkPluginNotReady message:Network plugin returns error: \
             cni plugin not initialized",
        ),
        NodeReady::Unknown => UNHEARD,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unready_node_says_why() {
        let ready = node(&Node {
            name: "pi",
            labels: &[],
            addresses: &[("InternalIP".into(), "10.0.0.5".into())],
            kubelet_port: 10250,
            taints: &[],
            ready: NodeReady::True,
            created: Timestamp::EPOCH,
            ready_since: Timestamp::EPOCH,
            cpu: "4",
            memory: "8192Mi",
        });
        assert_eq!(ready["status"]["conditions"][3]["reason"], "KubeletReady");
        assert_eq!(ready["spec"].get("taints"), None);
        let unready = with_node_ready(&ready, NodeReady::False, Timestamp::EPOCH);
        let conditions = &unready["status"]["conditions"];
        assert_eq!(conditions[0]["type"], "MemoryPressure");
        assert_eq!(conditions[3]["reason"], "KubeletNotReady");
        assert_eq!(unready["spec"]["taints"][0]["key"], NOT_READY);
        let again = |node| with_node_ready(node, NodeReady::True, Timestamp::EPOCH);
        assert_eq!(again(&unready), ready);
        let silent = with_node_ready(&ready, NodeReady::Unknown, Timestamp::EPOCH);
        for condition in silent["status"]["conditions"].as_array().unwrap() {
            assert_eq!(condition["status"], "Unknown");
            assert_eq!(condition["reason"], "NodeStatusUnknown");
        }
        assert_eq!(silent["spec"]["taints"][0]["key"], UNREACHABLE);
        assert_eq!(again(&silent), ready);
        assert_eq!(
            unready["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"],
            10250
        );
    }
}
