//! Rows of nodes.

use std::collections::BTreeSet;

use seam::Timestamp;
use serde_json::{Value, json};

use super::{Printer, age, condition, items, name, or, shown, text, wide};

pub(super) const NODES: Printer = Printer {
    columns: &[
        shown("Name"),
        shown("Status"),
        shown("Roles"),
        shown("Age"),
        shown("Version"),
        wide("Internal-IP"),
        wide("External-IP"),
        wide("OS-Image"),
        wide("Kernel-Version"),
        wide("Container-Runtime"),
    ],
    cells,
};

/// Source: printers.go `printNode`.
fn cells(node: &Value, now: Timestamp) -> Vec<Value> {
    let info = &node["status"]["nodeInfo"];
    vec![
        name(node),
        json!(status(node)),
        json!(roles(node)),
        age::of(node, now),
        json!(text(&info["kubeletVersion"])),
        json!(address(node, "InternalIP")),
        json!(address(node, "ExternalIP")),
        json!(or(&info["osImage"], "<unknown>")),
        json!(or(&info["kernelVersion"], "<unknown>")),
        json!(or(&info["containerRuntimeVersion"], "<unknown>")),
    ]
}

fn status(node: &Value) -> String {
    let ready = match condition(node, "Ready") {
        Some(ready) if ready["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    match node["spec"]["unschedulable"] == true {
        true => format!("{ready},SchedulingDisabled"),
        false => ready.to_owned(),
    }
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let roles: BTreeSet<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.as_str() {
            "kubernetes.io/role" => Some(text(value)),
            key => key.strip_prefix("node-role.kubernetes.io/"),
        })
        .filter(|role| !role.is_empty())
        .collect();
    match roles.is_empty() {
        true => "<none>".to_owned(),
        false => roles.into_iter().collect::<Vec<_>>().join(","),
    }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let addresses = items(&node["status"]["addresses"]);
    let found = addresses.iter().find(|address| address["type"] == kind);
    found.map_or("<none>", |address| or(&address["address"], "<none>"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    #[test]
    fn a_node_shows_readiness_roles_and_addresses() {
        let node = json!({
            "metadata": {
                "name": "pi",
                "creationTimestamp": "2027-01-15T07:50:00Z",
                "labels": {"node-role.kubernetes.io/master": "", "node-role.kubernetes.io/etcd": ""},
            },
            "spec": {"unschedulable": true},
            "status": {
                "conditions": [{"type": "Ready", "status": "Unknown"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.5"}],
                "nodeInfo": {"kubeletVersion": "v1.36.2"},
            },
        });
        assert_eq!(
            row("", "v1", "nodes", &node),
            [
                "pi",
                "NotReady,SchedulingDisabled",
                "etcd,master",
                "10m",
                "v1.36.2",
                "10.0.0.5",
                "<none>",
                "<unknown>",
                "<unknown>",
                "<unknown>"
            ]
        );
    }
}
