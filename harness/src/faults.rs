//! The faults of a scenario, by name: what must take effect for a run to say
//! anything about them.
//!
//! A fault is called like the setting that asks for it. Nodes of one group
//! share their faults: one of them meeting it is enough. It takes effect when
//! somebody meets it: a query that is not answered, a handshake that is shown
//! a bad certificate, a clock that is read while it is wrong.
//!
//! No faults are:
//!
//! - latencies and start costs: whatever is asked or started takes its time,
//!   long or short;
//! - the names in a certificate: whether they fit depends on how a kubelet is
//!   dialled, and the scrape says it;
//! - what Services and APIServices say, and conditions and addresses of nodes:
//!   controllers read them as soon as they are there, and what changes of them
//!   is announced as a change;
//! - replicas, probes, budgets, deadlines and permissions more than usual:
//!   there is nothing wrong with them.
//!
//! Network rules, changes and actions are told apart from faults; see
//! [`reports::fault`].

use std::collections::BTreeSet;
use std::time::Duration;

use crate::scenario::model::{
    Answer, Certificate, Clock, Issuer, Kubelet, KubeletState, Node, Payload, Scenario, Timestamps,
};

mod plane;
mod server;

pub(crate) use plane::of_server;
pub use plane::{Plane, denial};
pub use server::{CPU, FILES, IMAGE, INIT_CONTAINERS, MEMORY, NETWORK};

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

/// The fault that a machine of the group is no longer where it was.
#[must_use]
pub fn address(group: &str) -> String {
    format!("nodes.{group}.ip")
}

/// The fault that the clocks of the group's machines are wrong.
#[must_use]
pub fn clock(group: &str) -> String {
    format!("nodes.{group}.clock")
}

/// The fault that the clock of the clients' machine is wrong.
pub const CLIENTS_CLOCK: &str = "clients.clock";

/// The fault that a name does not resolve.
#[must_use]
pub fn dns(name: &str) -> String {
    format!("dns.{name}")
}

/// Every fault of the scenario that can be told to have taken effect, in
/// alphabetical order.
#[must_use]
pub fn of(scenario: &Scenario) -> Vec<String> {
    let until = scenario.until;
    let nodes = scenario.nodes.iter();
    let mut faults: BTreeSet<String> = nodes.flat_map(|node| of_node(node, until)).collect();
    faults.extend(Plane::of(scenario).faults(until));
    faults.extend(server::faults(scenario).map(str::to_owned));
    if scenario.clients != Clock::default() {
        faults.insert(CLIENTS_CLOCK.to_owned());
    }
    let changes = scenario.metrics_server_changes.iter();
    let servers =
        std::iter::once(&scenario.metrics_server).chain(changes.map(|(_, server)| server));
    let pods = servers
        .flat_map(|server| server.per_replica.keys())
        .copied();
    let pods: BTreeSet<u32> = pods.chain([0]).collect();
    let seen = pods
        .iter()
        .flat_map(|ordinal| scenario.dns_of_pod(*ordinal).0);
    for (_, settings) in seen {
        let fails = |answer: &Answer| !matches!(answer, Answer::Addresses(_));
        let records = settings.records.iter();
        faults.extend(
            records
                .filter(|(_, answer)| fails(answer))
                .map(|(name, _)| dns(name)),
        );
        // That a name server does not know nodes is usual.
        if !matches!(settings.default, Answer::Addresses(_) | Answer::NoSuchHost) {
            faults.insert(dns("default"));
        }
    }
    faults.into_iter().collect()
}

fn of_node(node: &Node, until: Duration) -> impl Iterator<Item = String> + '_ {
    let entries = node.kubelet.0.iter().enumerate();
    let settings = entries.flat_map(move |(index, (from, kubelet))| {
        let next = node.kubelet.0.get(index + 1);
        of_kubelet(kubelet, *from, next.map_or(until, |(at, _)| *at))
    });
    let settings = settings.map(|setting| kubelet(&node.group, setting));
    let is_wrong = node.clock != Clock::default();
    settings.chain(is_wrong.then(|| clock(&node.group)))
}

/// The settings of a kubelet that are faults at some time from `from` up to
/// `to`.
fn of_kubelet(kubelet: &Kubelet, from: Duration, to: Duration) -> Vec<&'static str> {
    let state = match kubelet.state {
        _ if kubelet.awaits_certificate => Some("certificate"),
        KubeletState::Open => None,
        _ => Some("state"),
    };
    let certificate = is_wrong(&kubelet.certificate, from, to);
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
        ("certificate", certificate && !kubelet.awaits_certificate),
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

/// Whether nobody can believe a kubelet's certificate at some time from `from`
/// up to `to`. A self-signed one is usual.
fn is_wrong(certificate: &Certificate, from: Duration, to: Duration) -> bool {
    let dates = (certificate.not_before_ns, certificate.not_after_ns);
    certificate.issuer == Issuer::Unknown || !is_valid(dates, from, to)
}

/// Whether something with these dates is valid from `from` up to `to`, by true
/// time.
fn is_valid((not_before_ns, not_after_ns): (i64, i64), from: Duration, to: Duration) -> bool {
    let nanos = |at: Duration| i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
    not_before_ns <= nanos(from) && nanos(to) <= not_after_ns
}
