//! What a scenario changes during its run, in words.
//!
//! The world announces each change when it happens, and the judge is told
//! which to expect, in the same words: a change that never came is a scenario
//! that never reached its point.

use std::collections::BTreeMap;
use std::time::Duration;

use mocks::deployment::placement::Taint;

use crate::scenario::model::{
    Action, ActionKind, Clock, Kubelet, MetricsServer, Node, Pod, Scenario,
};
use crate::scenario::pods::METRICS_SERVER;

mod plane;

/// A change: when, on which machine, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Virtual time.
    pub at: Duration,
    /// The machine it concerns, by its name in the trace.
    pub host: String,
    /// In words: `kubelet: state Closed → Open`.
    pub what: String,
    /// For a step of a wall clock, by how many nanoseconds.
    pub clock_step_ns: Option<i64>,
    /// For an action, what is done.
    pub action: Option<Action>,
    /// The node whose kubelet changes: that takes effect when it is scraped.
    pub kubelet: Option<String>,
    /// Whether what held at the beginning holds again.
    pub undoes: bool,
}

/// Every change of the scenario, in time order.
#[must_use]
pub fn of(scenario: &Scenario) -> Vec<Change> {
    let mut changes: Vec<Change> = scenario.nodes.iter().flat_map(node_changes).collect();
    changes.extend(plane::changes(scenario));
    changes.extend(pairs(&scenario.network.0).map(|(at, before, after)| {
        let gone = before.iter().filter(|rule| !after.contains(rule));
        let come = after.iter().filter(|rule| !before.contains(rule));
        let words: Vec<String> = gone
            .map(|rule| format!("{} ends", rule.name))
            .chain(come.map(|rule| format!("{} begins", rule.name)))
            .collect();
        change(at, "world", format!("network: {}", words.join(", ")))
    }));
    changes.extend(pairs(&scenario.dns.0).map(|(at, before, after)| {
        let records = before.records != after.records || before.default != after.default;
        let parts = [
            ("answers", records),
            ("latency", before.latency != after.latency),
        ];
        let words = parts.iter().filter(|(_, differs)| *differs);
        let words: Vec<String> = words.map(|(part, _)| format!("new {part}")).collect();
        change(at, "world", format!("dns: {}", words.join(", ")))
    }));
    changes.extend(scenario.actions.iter().map(|action| Change {
        action: Some(action.clone()),
        ..change(action.at, "world", action_words(scenario, action))
    }));
    changes.extend(server_changes(scenario));
    changes.sort_by_key(|change| change.at);
    changes
}

fn action_words(scenario: &Scenario, action: &Action) -> String {
    let pod = match action.pod {
        Some(ordinal) => scenario.pod_name(ordinal),
        None => METRICS_SERVER.to_owned(),
    };
    match action.kind {
        ActionKind::Kill => format!("SIGKILL to {pod}"),
        ActionKind::Start => format!("{pod} started"),
        ActionKind::Terminate => format!("SIGTERM to {pod}"),
        ActionKind::Delete => format!("kubectl delete pod {pod}"),
        ActionKind::RolloutRestart => format!("kubectl rollout restart {pod}"),
        ActionKind::Drain(node) => format!("kubectl drain {}", scenario.nodes[node].name),
    }
}

/// What changes of metrics-server's own settings.
fn server_changes(scenario: &Scenario) -> Vec<Change> {
    let mut before = &scenario.metrics_server;
    let mut changes = Vec::new();
    for (at, server) in &scenario.metrics_server_changes {
        let mut words = Vec::new();
        if server.is_new_template(before) {
            words.push("new pod template".to_owned());
        }
        if server.replicas != before.replicas {
            words.push(format!(
                "replicas {} → {}",
                before.replicas, server.replicas
            ));
        }
        if server.strategy != before.strategy {
            words.push("new strategy".to_owned());
        }
        if server.budget != before.budget {
            words.push("new podDisruptionBudget".to_owned());
        }
        let cpu = |server: &MetricsServer| -> Vec<_> {
            let each = server.per_replica.values().map(|one| one.cpu.clone());
            std::iter::once(server.cpu.clone()).chain(each).collect()
        };
        if cpu(server) != cpu(before) {
            words.push("new cpu".to_owned());
        }
        let dns = |server: &MetricsServer| -> Vec<_> {
            let each = server.per_replica.values();
            each.map(|one| one.dns.clone()).collect()
        };
        if dns(server) != dns(before) {
            words.push("new dns".to_owned());
        }
        if server.memory != before.memory {
            words.push("new memory".to_owned());
        }
        if !words.is_empty() {
            let what = format!("metrics-server: {}", words.join(", "));
            changes.push(change(*at, METRICS_SERVER, what));
        }
        before = server;
    }
    changes
}

fn change(at: Duration, host: &str, what: String) -> Change {
    Change {
        at,
        host: host.to_owned(),
        what,
        clock_step_ns: None,
        action: None,
        kubelet: None,
        undoes: false,
    }
}

fn node_changes(node: &Node) -> Vec<Change> {
    let mut changes: Vec<Change> = pairs(&node.kubelet.0)
        .map(|(at, before, after)| Change {
            kubelet: Some(node.name.clone()),
            undoes: *after == node.kubelet.0[0].1,
            ..change(at, &node.name, kubelet_words(before, after))
        })
        .collect();
    changes.extend(
        pairs(&node.ready.0)
            .map(|(at, _, ready)| change(at, &node.name, format!("node Ready={ready}"))),
    );
    changes.extend(pairs(&node.labels.0).map(|(at, _, labels)| {
        let shown: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let what = match shown.is_empty() {
            true => "no labels".to_owned(),
            false => format!("labels: {}", shown.join(", ")),
        };
        change(at, &node.name, what)
    }));
    changes.extend(pairs(&node.allocatable.0).map(|(at, _, amounts)| {
        let what = match amounts {
            Some(amounts) => format!(
                "allocatable: {}m CPU, {} MiB",
                amounts.cpu_millis,
                amounts.memory_bytes >> 20
            ),
            None => "everything allocatable".to_owned(),
        };
        change(at, &node.name, what)
    }));
    changes.extend(pairs(&node.taints.0).map(|(at, _, taints)| {
        let shown: Vec<String> = taints.iter().map(taint_words).collect();
        let what = match shown.is_empty() {
            true => "no taints".to_owned(),
            false => format!("taints: {}", shown.join(", ")),
        };
        change(at, &node.name, what)
    }));
    changes.extend(pairs(&node.up.0).map(|(at, _, up)| {
        let what = if *up {
            "machine comes back"
        } else {
            "machine goes down"
        };
        change(at, &node.name, what.to_owned())
    }));
    changes.extend(
        pairs(&node.ips.0)
            .map(|(at, _, ip)| change(at, &node.name, format!("machine moves to {ip}"))),
    );
    changes.extend(pairs(&node.addresses.0).map(|(at, _, addresses)| {
        let shown: Vec<String> = addresses
            .iter()
            .map(|(kind, address)| format!("{kind} {address}"))
            .collect();
        change(at, &node.name, format!("addresses: {}", shown.join(", ")))
    }));
    changes.extend(node.pods.iter().flat_map(|pod| pod_changes(node, pod)));
    changes.extend(arrivals(node));
    changes.extend(pairs(&node.there.0).map(|(at, _, is_there)| {
        let what = if *is_there {
            "node joins"
        } else {
            "node leaves"
        };
        change(at, &node.name, what.to_owned())
    }));
    changes.extend(clock_changes(&node.name, &node.clock));
    changes
}

/// As `kubectl taint` writes it.
fn taint_words(taint: &Taint) -> String {
    let effect = taint.effect.word();
    match &*taint.value {
        "" => format!("{}:{effect}", taint.key),
        value => format!("{}={value}:{effect}", taint.key),
    }
}

fn clock_changes<'a>(host: &'a str, clock: &'a Clock) -> impl Iterator<Item = Change> + 'a {
    let steps = clock.steps.iter().map(|(at, by)| Change {
        clock_step_ns: Some(*by),
        ..change(*at, host, "clock stepped".to_owned())
    });
    let drifts = pairs(&clock.drift_ppb.0);
    steps.chain(drifts.map(|(at, before, after)| {
        change(at, host, format!("clock drift {before} ppb → {after} ppb"))
    }))
}

fn pod_changes(node: &Node, pod: &Pod) -> Vec<Change> {
    let name = format!("{}/{}", pod.namespace, pod.name);
    let restarts = pod.containers.iter().flat_map(|container| {
        let what = format!("{name}: container {} starts again", container.name);
        let restarts = container.restarts.iter();
        restarts.map(move |at| change(*at, &node.name, what.clone()))
    });
    let mut changes: Vec<Change> = restarts.collect();
    let deleted = format!("{name} is deleted");
    changes.extend(pod.deleted_at.map(|at| change(at, &node.name, deleted)));
    changes
}

/// Pods that changes bring, those of one change together.
fn arrivals(node: &Node) -> Vec<Change> {
    let mut at: BTreeMap<Duration, Vec<String>> = BTreeMap::new();
    for pod in node.pods.iter().filter(|pod| !pod.comes_at.is_zero()) {
        let name = format!("{}/{}", pod.namespace, pod.name);
        at.entry(pod.comes_at).or_default().push(name);
    }
    let arrivals = at.into_iter().map(|(at, names)| {
        let what = match &*names {
            [one] => format!("{one} comes"),
            several => format!("{} pods come", several.len()),
        };
        change(at, &node.name, what)
    });
    arrivals.collect()
}

/// Consecutive values of a timeline and when the later one takes over.
fn pairs<T>(entries: &[(Duration, T)]) -> impl Iterator<Item = (Duration, &T, &T)> {
    entries
        .windows(2)
        .map(|pair| (pair[1].0, &pair[0].1, &pair[1].1))
}

fn kubelet_words(before: &Kubelet, after: &Kubelet) -> String {
    let mut words = Vec::new();
    if before.state != after.state {
        words.push(format!("state {:?} → {:?}", before.state, after.state));
    }
    if before.status != after.status {
        words.push(format!("status {} → {}", before.status, after.status));
    }
    if before.port != after.port {
        words.push(format!("port {} → {}", before.port, after.port));
    }
    let parts = [
        ("certificate", before.certificate != after.certificate),
        ("version", before.minor != after.minor),
        ("latency", before.latency != after.latency),
        ("authentication", before.access != after.access),
        (
            "payload",
            (&before.payload, &before.flaws) != (&after.payload, &after.flaws),
        ),
        ("endpoints", before.endpoints != after.endpoints),
        ("script", before.script != after.script),
        (
            "housekeeping",
            (before.housekeeping, before.container_housekeeping)
                != (after.housekeeping, after.container_housekeeping),
        ),
        ("timestamps", before.timestamps != after.timestamps),
    ];
    words.extend(
        parts
            .iter()
            .filter(|(_, differs)| *differs)
            .map(|(part, _)| format!("new {part}")),
    );
    if words.is_empty() && before.awaits_certificate != after.awaits_certificate {
        words.push("its certificate is there".to_owned());
    }
    format!("kubelet: {}", words.join(", "))
}
