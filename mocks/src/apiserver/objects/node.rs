//! Nodes.

use seam::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::VERSION;
use super::{pairs, rfc3339};

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
        "kubeletVersion": VERSION,
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
