//! The faults of a scenario, by name: what must take effect for a run to say
//! anything about them.
//!
//! A fault is called like the setting that asks for it. Nodes of one group
//! share their faults: one of them meeting it is enough.

use std::collections::BTreeSet;

use crate::scenario::model::{Answer, Kubelet, KubeletState, Node, Payload, Scenario, Timestamps};

/// The first minor of Kubernetes whose kubelets serve `/metrics/resource`.
pub const FIRST_MINOR: u32 = 18;

/// The fault that a kubelet's setting asks for.
#[must_use]
pub fn kubelet(group: &str, setting: &str) -> String {
    format!("nodes.{group}.kubelet.{setting}")
}

/// The fault that a machine of the group is down.
#[must_use]
pub fn machine(group: &str) -> String {
    format!("nodes.{group}.machine")
}

/// The fault that a name does not resolve.
#[must_use]
pub fn dns(name: &str) -> String {
    format!("dns.{name}")
}

/// Every fault of the scenario that can be told to have taken effect, in
/// alphabetical order.
#[must_use]
pub fn of(scenario: &Scenario) -> Vec<String> {
    let mut faults: BTreeSet<String> = scenario.nodes.iter().flat_map(of_node).collect();
    for (_, settings) in &scenario.dns.0 {
        let fails = |answer: &Answer| !matches!(answer, Answer::Addresses(_));
        let records = settings.records.iter();
        faults.extend(
            records
                .filter(|(_, answer)| fails(answer))
                .map(|(name, _)| dns(name)),
        );
        // That a name server does not know nodes is usual.
        if matches!(settings.default, Answer::ServerFailure | Answer::Timeout) {
            faults.insert(dns("default"));
        }
    }
    faults.into_iter().collect()
}

fn of_node(node: &Node) -> impl Iterator<Item = String> + '_ {
    let kubelets = node.kubelet.0.iter().map(|(_, kubelet)| kubelet);
    let settings = kubelets.flat_map(of_kubelet);
    settings.map(|setting| kubelet(&node.group, setting))
}

/// The settings of a kubelet that are faults.
fn of_kubelet(kubelet: &Kubelet) -> Vec<&'static str> {
    let state = match kubelet.state {
        _ if kubelet.awaits_certificate => Some("certificate"),
        KubeletState::Open => None,
        _ => Some("state"),
    };
    let endpoints = &kubelet.endpoints;
    let status = kubelet.status != 200
        || endpoints
            .iter()
            .any(|endpoint| endpoint.status.is_some_and(|status| status != 200));
    let payload = kubelet.payload != Payload::Healthy
        || !kubelet.flaws.is_empty()
        || endpoints.iter().any(|endpoint| {
            endpoint
                .payload
                .as_ref()
                .is_some_and(|own| *own != Payload::Healthy)
        });
    let access = kubelet.access;
    let lets_anybody_in = access.webhook || access.anonymous && access.always_allow;
    let found = [
        ("status", status && kubelet.minor >= FIRST_MINOR),
        ("version", kubelet.minor < FIRST_MINOR),
        ("payload", payload),
        ("timestamps", kubelet.timestamps != Timestamps::Read),
        ("authentication", !lets_anybody_in),
        ("script", !kubelet.script.is_empty()),
    ];
    let found = found.into_iter().filter(|(_, is_fault)| *is_fault);
    state
        .into_iter()
        .chain(found.map(|(setting, _)| setting))
        .collect()
}
