//! Rows of Services and EndpointSlices.

use seam::Timestamp;
use serde_json::{Value, json};

use super::{Printer, age, items, labels, name, or, shown, text, wide};

pub(super) const SERVICES: Printer = Printer {
    columns: &[
        shown("Name"),
        shown("Type"),
        shown("Cluster-IP"),
        shown("External-IP"),
        shown("Port(s)"),
        shown("Age"),
        wide("Selector"),
    ],
    cells: service,
};

pub(super) const ENDPOINT_SLICES: Printer = Printer {
    columns: &[
        shown("Name"),
        shown("AddressType"),
        shown("Ports"),
        shown("Endpoints"),
        shown("Age"),
    ],
    cells: slice,
};

/// How many ports or addresses a cell names.
const NAMED: usize = 3;

/// Source: printers.go `printService`.
fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &service["spec"];
    let external = items(&spec["externalIPs"]);
    let external: Vec<&str> = external.iter().map(text).collect();
    vec![
        name(service),
        json!(text(&spec["type"])),
        json!(or(&spec["clusterIP"], "<none>")),
        json!(match external.is_empty() {
            true => "<none>".to_owned(),
            false => external.join(","),
        }),
        json!(service_ports(&spec["ports"])),
        age::of(service, now),
        json!(labels(&spec["selector"])),
    ]
}

fn service_ports(ports: &Value) -> String {
    let ports: Vec<String> = items(ports)
        .iter()
        .map(|port| {
            let (number, protocol) = (&port["port"], or(&port["protocol"], "TCP"));
            match port["nodePort"].as_u64() {
                Some(node_port) if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
                _ => format!("{number}/{protocol}"),
            }
        })
        .collect();
    match ports.is_empty() {
        true => "<none>".to_owned(),
        false => ports.join(","),
    }
}

/// Source: printers.go `printEndpointSlice`.
fn slice(slice: &Value, now: Timestamp) -> Vec<Value> {
    let ports = items(&slice["ports"])
        .iter()
        .map(|port| match &port["port"] {
            Value::Number(number) => number.to_string(),
            _ => or(&port["name"], "*").to_owned(),
        });
    let addresses = items(&slice["endpoints"])
        .iter()
        .flat_map(|endpoint| items(&endpoint["addresses"]))
        .map(|address| text(address).to_owned());
    vec![
        name(slice),
        json!(text(&slice["addressType"])),
        json!(first_few(ports.collect())),
        json!(first_few(addresses.collect())),
        age::of(slice, now),
    ]
}

fn first_few(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    let named = all.into_iter().take(NAMED).collect::<Vec<_>>().join(",");
    match (named.as_str(), more) {
        ("", _) => "<unset>".to_owned(),
        (_, 0) => named,
        _ => format!("{named} + {more} more..."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    #[test]
    fn services_show_ports_and_selector() {
        let service = json!({
            "metadata": {"name": "web", "creationTimestamp": "2027-01-15T07:59:50Z"},
            "spec": {
                "type": "ClusterIP", "clusterIP": "10.96.0.1",
                "ports": [{"port": 443, "protocol": "TCP"}, {"port": 80, "nodePort": 30080, "protocol": "TCP"}],
                "selector": {"b": "2", "a": "1"},
            },
        });
        assert_eq!(
            row("", "v1", "services", &service),
            [
                "web",
                "ClusterIP",
                "10.96.0.1",
                "<none>",
                "443/TCP,80:30080/TCP",
                "10s",
                "a=1,b=2"
            ]
        );
    }

    #[test]
    fn slices_name_three_addresses_and_count_the_rest() {
        let endpoints: Vec<Value> = (1..=5)
            .map(|n| json!({"addresses": [format!("10.0.0.{n}")]}))
            .collect();
        let mut slice = json!({
            "metadata": {"name": "web-x"}, "addressType": "IPv4",
            "endpoints": endpoints, "ports": [{"name": "https", "port": 10250}],
        });
        let cells = |slice: &Value| row("discovery.k8s.io", "v1", "endpointslices", slice);
        assert_eq!(
            cells(&slice)[1..4],
            ["IPv4", "10250", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more..."]
        );
        slice["endpoints"] = Value::Null;
        slice["ports"] = Value::Null;
        assert_eq!(cells(&slice)[2..4], ["<unset>", "<unset>"]);
    }
}
