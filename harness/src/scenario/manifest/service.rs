//! A Service → `service`, an APIService → `aggregation`.

use std::rc::Rc;

use super::super::tree::{Entry, Node};
use super::build::{entry, mapping, null, others, renamed, scalar};
use super::objects::{Found, Object, text};

/// What `kubectl get` shows of a Service and has no bearing here.
const OF_NO_ACCOUNT: [&str; 8] = [
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "ipFamilyPolicy",
    "internalTrafficPolicy",
    "sessionAffinity",
    "type",
    "metadata",
];

/// Whether metrics-server's objects lie where its manifest puts them, or
/// together elsewhere: then names are of no account.
fn is_consistent(found: &Found) -> bool {
    let (Some(service), Some(api_service)) = (&found.service, &found.api_service) else {
        return true;
    };
    let spec = &api_service.node;
    let namespace = text(spec, &["spec", "service", "namespace"]);
    let same = |one: &str, other: &str| one.is_empty() || other.is_empty() || one == other;
    text(spec, &["spec", "service", "name"]) == service.name && same(namespace, &service.namespace)
}

/// `service`, if the manifest has one.
pub(super) fn service(found: &Found, notes: &mut Vec<String>) -> Option<Entry> {
    let Some(service) = &found.service else {
        notes
            .push("the manifest has no Service of metrics-server: the preset's is used".to_owned());
        return None;
    };
    let place = service.place;
    let spec = spec(service);
    let ports = spec.entry("ports");
    let ports = ports.map_or(&[][..], |ports| ports.value.items());
    let mut entries = Vec::new();
    if let Some(port) = ports.first() {
        entries.push(renamed(port, "port", "port", place));
        entries.push(match port.entry("name") {
            Some(name) => entry("portName", name.key_span, Rc::clone(&name.value)),
            None => entry("portName", place, quoted(&spec, "")),
        });
        // Without a target the port itself is it.
        let target = port.entry("targetPort").or_else(|| port.entry("port"));
        if let Some(target) = target {
            entries.push(entry(
                "targetPort",
                target.key_span,
                Rc::clone(&target.value),
            ));
        }
        entries.push(renamed(port, "appProtocol", "appProtocol", place));
    }
    entries.push(match spec.entry("publishNotReadyAddresses") {
        Some(publish) => entry(
            "publishNotReadyAddresses",
            publish.key_span,
            Rc::clone(&publish.value),
        ),
        None => entry("publishNotReadyAddresses", place, scalar(place, "false")),
    });
    if !is_consistent(found) {
        let name = scalar(place, &service.name);
        entries.push(entry("name", place, name));
    }
    let mut left_out = others(
        &spec,
        "",
        &[
            &OF_NO_ACCOUNT[..],
            &["ports", "selector", "publishNotReadyAddresses"],
        ]
        .concat(),
    );
    left_out.extend(
        ports
            .iter()
            .skip(1)
            .map(|port| format!("port {}", text(port, &["port"]))),
    );
    note_left_out(service, left_out, notes);
    Some(entry("service", place, mapping(place, entries)))
}

/// `aggregation`, if the manifest has an APIService.
pub(super) fn aggregation(found: &Found, notes: &mut Vec<String>) -> Option<Entry> {
    let Some(api_service) = &found.api_service else {
        notes.push(
            "the manifest has no APIService of metrics.k8s.io: the preset's is used".to_owned(),
        );
        return None;
    };
    let place = api_service.place;
    let spec = spec(api_service);
    let insecure = spec
        .entry("insecureSkipTLSVerify")
        .filter(|entry| !entry.value.is_null());
    let mut entries = vec![
        match insecure {
            Some(insecure) => entry(
                "insecureSkipTLSVerify",
                insecure.key_span,
                Rc::clone(&insecure.value),
            ),
            None => entry("insecureSkipTLSVerify", place, scalar(place, "false")),
        },
        renamed(&spec, "groupPriorityMinimum", "groupPriorityMinimum", place),
        renamed(&spec, "versionPriority", "versionPriority", place),
    ];
    let is_insecure = text(&spec, &["insecureSkipTLSVerify"]) == "true";
    match spec
        .entry("caBundle")
        .filter(|entry| !entry.value.is_null())
    {
        Some(bundle) => {
            let value = scalar(bundle.value.span, "cluster");
            entries.push(entry("caBundle", bundle.key_span, value));
            notes.push(format!(
                "{}: caBundle is taken for the authority that signed metrics-server's certificate",
                api_service.shown()
            ));
        }
        None if !is_insecure => entries.push(entry("caBundle", place, scalar(place, "none"))),
        None => {}
    }
    let mut reference = Vec::new();
    if let Some(port) = spec.path(&["service", "port"]) {
        reference.push(entry("port", port.key_span, Rc::clone(&port.value)));
    }
    if !is_consistent(found)
        && let Some(name) = spec.path(&["service", "name"])
    {
        reference.push(entry("name", name.key_span, Rc::clone(&name.value)));
    }
    if !reference.is_empty() {
        entries.push(entry("service", place, mapping(place, reference)));
    }
    let known = [
        "group",
        "version",
        "service",
        "insecureSkipTLSVerify",
        "caBundle",
        "groupPriorityMinimum",
        "versionPriority",
    ];
    note_left_out(api_service, others(&spec, "", &known), notes);
    Some(entry("aggregation", place, mapping(place, entries)))
}

fn spec(object: &Object) -> Rc<Node> {
    let spec = object.node.entry("spec");
    spec.map_or_else(|| null(object.place), |spec| Rc::clone(&spec.value))
}

/// A text that is nothing but a text.
fn quoted(at: &Node, text: &str) -> Rc<Node> {
    Rc::new(Node {
        span: at.span,
        value: super::super::tree::Value::Scalar {
            text: text.into(),
            quoted: true,
        },
    })
}

fn note_left_out(object: &Object, left_out: Vec<String>, notes: &mut Vec<String>) {
    if !left_out.is_empty() {
        notes.push(format!(
            "{}: not modelled: {}",
            object.shown(),
            left_out.join(", ")
        ));
    }
}
