//! Objects as rows of a table: what `kubectl get` prints.
//!
//! The server decides about columns and cells; `kubectl` only aligns them.
//!
//! - `age`: how long ago something was;
//! - `pods`, `nodes`, `events`: the resources with rules of their own;
//! - `workloads`: Deployments, ReplicaSets, autoscalers;
//! - `networking`: Services and EndpointSlices.
//!
//! DIFFERENCE: the descriptions of columns, which `kubectl` does not print,
//! are empty.
//!
//! Source: `pkg/printers/internalversion/printers.go`, and for APIServices
//! `kube-aggregator/pkg/registry/apiservice/etcd/etcd.go: ConvertToTable`.

use seam::Timestamp;
use serde_json::{Value, json};

use super::resources::ResourceType;

mod age;
mod events;
mod networking;
mod nodes;
mod pods;
mod workloads;

/// One column: its name, its type, and whether only `-o wide` shows it.
struct Column {
    name: &'static str,
    kind: &'static str,
    wide: bool,
}

const fn shown(name: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        wide: false,
    }
}

const fn number(name: &'static str) -> Column {
    Column {
        kind: "integer",
        ..shown(name)
    }
}

const fn wide(name: &'static str) -> Column {
    Column {
        wide: true,
        ..shown(name)
    }
}

/// How a resource is printed.
struct Printer {
    columns: &'static [Column],
    cells: fn(&Value, Timestamp) -> Vec<Value>,
}

const BARE: Printer = Printer {
    columns: &[shown("Name"), shown("Age")],
    cells: |object, now| vec![name(object), age::of(object, now)],
};

const NAMESPACES: Printer = Printer {
    columns: &[shown("Name"), shown("Status"), shown("Age")],
    cells: |object, now| {
        let phase = text(&object["status"]["phase"]);
        vec![name(object), json!(phase), age::of(object, now)]
    },
};

const CONFIG_MAPS: Printer = Printer {
    columns: &[shown("Name"), number("Data"), shown("Age")],
    cells: |object, now| {
        let entries = |field: &str| object[field].as_object().map_or(0, |map| map.len());
        let count = entries("data") + entries("binaryData");
        vec![name(object), json!(count), age::of(object, now)]
    },
};

const LEASES: Printer = Printer {
    columns: &[shown("Name"), shown("Holder"), shown("Age")],
    cells: |object, now| {
        let holder = text(&object["spec"]["holderIdentity"]);
        vec![name(object), json!(holder), age::of(object, now)]
    },
};

const API_SERVICES: Printer = Printer {
    columns: &[
        shown("Name"),
        shown("Service"),
        shown("Available"),
        shown("Age"),
    ],
    cells: |object, now| {
        vec![
            name(object),
            json!(served_by(object)),
            json!(availability(object)),
            age::of(object, now),
        ]
    },
};

fn printer(resource: &ResourceType) -> &'static Printer {
    match resource.plural {
        "apiservices" => &API_SERVICES,
        "configmaps" => &CONFIG_MAPS,
        "deployments" => &workloads::DEPLOYMENTS,
        "endpointslices" => &networking::ENDPOINT_SLICES,
        "events" => &events::EVENTS,
        "horizontalpodautoscalers" => &workloads::AUTOSCALERS,
        "leases" => &LEASES,
        "namespaces" => &NAMESPACES,
        "nodes" => &nodes::NODES,
        "pods" => &pods::PODS,
        "replicasets" => &workloads::REPLICA_SETS,
        "services" => &networking::SERVICES,
        _ => &BARE,
    }
}

/// `columnDefinitions`
pub(crate) fn column_definitions(resource: &ResourceType) -> Value {
    let columns = printer(resource).columns.iter().map(|column| {
        let format = if column.name == "Name" { "name" } else { "" };
        json!({
            "name": column.name,
            "type": column.kind,
            "format": format,
            "description": "",
            "priority": u8::from(column.wide),
        })
    });
    columns.collect()
}

/// The cells of an object's row, as many as there are columns.
pub(crate) fn cells(resource: &ResourceType, object: &Value, now: Timestamp) -> Vec<Value> {
    (printer(resource).cells)(object, now)
}

/// The conditions of a row: a pod that has ended says so.
pub(crate) fn conditions(resource: &ResourceType, object: &Value) -> Option<Value> {
    match resource.plural {
        "pods" => pods::conditions(object),
        _ => None,
    }
}

fn served_by(object: &Value) -> String {
    match object["spec"].get("service").filter(|it| it.is_object()) {
        Some(service) => format!("{}/{}", text(&service["namespace"]), text(&service["name"])),
        None => "Local".to_owned(),
    }
}

fn availability(object: &Value) -> String {
    let condition = condition(object, "Available");
    match condition.map(|condition| (text(&condition["status"]), text(&condition["reason"]))) {
        None => "Unknown".to_owned(),
        Some(("True", _)) => "True".to_owned(),
        Some((status, reason)) => format!("{status} ({reason})"),
    }
}

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text, or what stands for none.
fn or<'a>(value: &'a Value, none: &'a str) -> &'a str {
    Some(text(value))
        .filter(|text| !text.is_empty())
        .unwrap_or(none)
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(&object["status"]["conditions"])
        .iter()
        .find(|condition| condition["type"] == kind)
}

/// Labels as `labels.FormatLabels` writes them.
fn labels(value: &Value) -> String {
    let pairs: std::collections::BTreeMap<&str, &str> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), text(value)))
        .collect();
    if pairs.is_empty() {
        return "<none>".to_owned();
    }
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::resources;

    /// The cells of an object, as text.
    pub(super) fn row(group: &str, version: &str, plural: &str, object: &Value) -> Vec<String> {
        let resource = resources::find(group, version, plural).expect("served");
        let now = Timestamp::from_seconds(1_800_000_000);
        let cells = cells(resource, object, now);
        let columns = printer(resource).columns.len();
        assert_eq!(cells.len(), columns, "a cell for each column");
        cells
            .iter()
            .map(|cell| match cell {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect()
    }

    fn api_service(status: &Value) -> Vec<String> {
        let object = json!({
            "metadata": {"name": "v1beta1.metrics.k8s.io", "creationTimestamp": "2027-01-15T07:58:00Z"},
            "spec": {"service": {"namespace": "kube-system", "name": "metrics-server"}},
            "status": status,
        });
        row("apiregistration.k8s.io", "v1", "apiservices", &object)
    }

    #[test]
    fn an_api_service_says_why_it_is_not_available() {
        assert_eq!(
            api_service(&json!({"conditions": [
                {"type": "Available", "status": "False", "reason": "MissingEndpoints"}
            ]})),
            [
                "v1beta1.metrics.k8s.io",
                "kube-system/metrics-server",
                "False (MissingEndpoints)",
                "2m"
            ]
        );
        assert_eq!(api_service(&json!({}))[2], "Unknown");
        let passed =
            json!({"conditions": [{"type": "Available", "status": "True", "reason": "Passed"}]});
        assert_eq!(api_service(&passed)[2], "True");
    }

    #[test]
    fn config_maps_count_their_entries_and_namespaces_show_their_phase() {
        let map = json!({"metadata": {"name": "m"}, "data": {"a": "1", "b": "2"}});
        assert_eq!(row("", "v1", "configmaps", &map), ["m", "2", "<unknown>"]);
        let namespace = json!({"metadata": {"name": "n"}, "status": {"phase": "Active"}});
        assert_eq!(
            row("", "v1", "namespaces", &namespace),
            ["n", "Active", "<unknown>"]
        );
    }
}
