//! What changes in the control plane, in words.

use std::time::Duration;

use super::{Change, change, clock_changes, pairs};
use crate::scenario::model::{
    Aggregation, ApiServer, ApiServerNode, Authentication, Consumer, RbacRule, RbacSubject,
    Scenario, Service, Trouble,
};

/// The machine that is named where something happens to the cluster's
/// objects.
const CONTROL_PLANE: &str = "apiserver";

/// Every change of the control plane, one part after the other.
pub(super) fn changes(scenario: &Scenario) -> Vec<Change> {
    let mut changes: Vec<Change> = scenario.api_servers.iter().flat_map(api_server).collect();
    let mut say = |at: Duration, what: String| changes.push(change(at, CONTROL_PLANE, what));
    for (at, before, after) in pairs(&scenario.aggregation.0) {
        say(at, format!("aggregation: {}", aggregation(before, after)));
    }
    for (at, before, after) in pairs(&scenario.service.0) {
        say(at, format!("Service: {}", service(before, after)));
    }
    for (at, before, after) in pairs(&scenario.authentication.0) {
        say(
            at,
            format!("authentication: {}", authentication(before, after)),
        );
    }
    for (at, before, after) in pairs(&scenario.rbac.0) {
        say(at, format!("rbac: {}", rbac(before, after)));
    }
    for (at, before, after) in pairs(&scenario.consumers.0) {
        say(at, format!("consumers: {}", consumers(before, after)));
    }
    for (object, come, there) in [
        ("APIService", "registered", &scenario.api_service_there),
        ("Service", "created", &scenario.service_there),
    ] {
        for (at, _, is_there) in pairs(&there.0) {
            let done = if *is_there { come } else { "deleted" };
            say(at, format!("{object} {done}"));
        }
    }
    let servers = scenario.api_servers.iter();
    let machines = servers.map(|server| (server.name.as_str(), &server.clock));
    let machines = machines.chain([("clients", &scenario.clients)]);
    changes.extend(machines.flat_map(|(name, clock)| clock_changes(name, clock)));
    changes
}

fn api_server(server: &ApiServerNode) -> Vec<Change> {
    let changes = pairs(&server.over_time.0);
    changes
        .map(|(at, before, after)| change(at, &server.name, api_server_words(before, after)))
        .collect()
}

fn api_server_words(before: &ApiServer, after: &ApiServer) -> String {
    let mut words = Vec::new();
    if before.state != after.state {
        words.push(format!("state {:?} → {:?}", before.state, after.state));
    }
    if before.watches != after.watches {
        words.push(format!(
            "watches {:?} → {:?}",
            before.watches, after.watches
        ));
    }
    if before.trouble != after.trouble {
        let (before, after) = (status(before.trouble), status(after.trouble));
        words.push(format!("status {before} → {after}"));
    }
    words.extend(new([
        ("routing", before.endpoint_routing != after.endpoint_routing),
        (
            "front-proxy certificate",
            before.front_proxy != after.front_proxy,
        ),
        ("latency", before.latency != after.latency),
        ("write latency", before.write_latency != after.write_latency),
        ("certificate", before.certificate != after.certificate),
    ]));
    format!("API server: {}", words.join(", "))
}

fn status(trouble: Option<Trouble>) -> u16 {
    match trouble {
        None => 200,
        Some(Trouble::TooManyRequests) => 429,
        Some(Trouble::Datastore) => 500,
        Some(Trouble::Unavailable) => 503,
    }
}

/// `new latency`, for each part that differs.
fn new<const N: usize>(parts: [(&str, bool); N]) -> Vec<String> {
    let differing = parts.iter().filter(|(_, differs)| *differs);
    differing.map(|(part, _)| format!("new {part}")).collect()
}

fn aggregation(before: &Aggregation, after: &Aggregation) -> String {
    let trust = |settings: &Aggregation| (settings.insecure_skip_tls_verify, settings.ca_bundle);
    let priorities =
        |settings: &Aggregation| (settings.group_priority_minimum, settings.version_priority);
    new([
        (
            "trust in metrics-server's certificate",
            trust(before) != trust(after),
        ),
        ("service reference", before.service != after.service),
        ("priorities", priorities(before) != priorities(after)),
        ("routing", before.endpoint_routing != after.endpoint_routing),
        (
            "front-proxy certificate",
            before.front_proxy != after.front_proxy,
        ),
    ])
    .join(", ")
}

fn service(before: &Service, after: &Service) -> String {
    let name = |settings: &Service| (settings.namespace.clone(), settings.name.clone());
    let port = |settings: &Service| (settings.port, settings.port_name.clone());
    new([
        ("name", name(before) != name(after)),
        ("port", port(before) != port(after)),
        ("targetPort", before.target_port != after.target_port),
        ("appProtocol", before.app_protocol != after.app_protocol),
        ("selector", before.selector != after.selector),
        (
            "publishNotReadyAddresses",
            before.publish_not_ready_addresses != after.publish_not_ready_addresses,
        ),
    ])
    .join(", ")
}

fn authentication(before: &Authentication, after: &Authentication) -> String {
    match (before.present, after.present) {
        (true, false) => return "ConfigMap deleted".to_owned(),
        (false, true) => return "ConfigMap created".to_owned(),
        _ => {}
    }
    new([
        ("clientCA", before.client_ca != after.client_ca),
        (
            "requestHeaderCA",
            before.request_header_ca != after.request_header_ca,
        ),
        ("allowed names", before.allowed_names != after.allowed_names),
    ])
    .join(", ")
}

fn rbac(before: &[RbacRule], after: &[RbacRule]) -> String {
    let words = |rule: &RbacRule, is: &str| {
        let subject = match rule.subject {
            RbacSubject::MetricsServer => "metrics-server",
            RbacSubject::Hpa => "hpa",
            RbacSubject::Clients => "clients",
            RbacSubject::Anonymous => "anonymous",
        };
        format!("{subject} {} {is}", rule.object)
    };
    let is_new = |rule: &&RbacRule| !before.contains(rule);
    let is_about = |one: &RbacRule, other: &RbacRule| {
        (one.subject, &one.object) == (other.subject, &other.object)
    };
    let is_gone = |rule: &&RbacRule| !after.iter().any(|other| is_about(rule, other));
    let gone = before
        .iter()
        .filter(is_gone)
        .map(|rule| words(rule, "as the roles say"));
    let come = after.iter().filter(is_new).map(|rule| match rule.allowed {
        true => words(rule, "allowed"),
        false => words(rule, "denied"),
    });
    gone.chain(come).collect::<Vec<_>>().join(", ")
}

fn consumers(before: &[Consumer], after: &[Consumer]) -> String {
    let gone = before.iter().filter(|consumer| !after.contains(consumer));
    let come = after.iter().filter(|consumer| !before.contains(consumer));
    let words: Vec<String> = gone
        .map(|consumer| format!("{} ends", consumer.name))
        .chain(come.map(|consumer| format!("{} begins", consumer.name)))
        .collect();
    words.join(", ")
}
