//! What the rules of a verdict look at.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::{Case, NodeBrief};
use crate::life::{Life, lives};
use crate::milestone::{lists_all_pods, lists_nodes, lists_pods};
use crate::trace::{Event, Trace};

/// Returns after which something that comes and goes is called flapping.
const FLAPS: usize = 2;

/// A run, as far as its verdict depends on it.
pub(super) struct Seen<'t> {
    /// When the run ended.
    pub(super) end: u64,
    /// When the pod was created.
    pub(super) pod_created: u64,
    /// The processes.
    pub(super) lives: Vec<Life<'t>>,
    /// The pods that are Ready, by the host of their records.
    ready: BTreeSet<&'t str>,
    /// Whether a pod is Ready at the end.
    pub(super) ready_at_end: bool,
    /// Since when a pod has been Ready.
    pub(super) ready_since: u64,
    /// When the pod first became Ready.
    pub(super) first_ready: Option<u64>,
    /// Whether an APIService object exists.
    pub(super) api_service_registered: bool,
    /// Whether it is Available at the end.
    pub(super) api_service_available: bool,
    /// The reason of its condition.
    pub(super) api_service_reason: &'t str,
    /// The last list through the API server: path and outcome.
    pub(super) last_list: Option<(&'t str, &'t str)>,
    /// The last answer to each client of the metrics API.
    pub(super) last_answers: BTreeMap<&'t str, &'t str>,
    /// How discovery failed a controller manager that waits for it, if it still
    /// does.
    pub(super) controllers_wait: Option<&'t str>,
    /// Who gave up installing, and why.
    pub(super) gave_up: Option<GaveUp<'t>>,
    /// The nodes in the last list, if it was answered.
    pub(super) nodes_listed: Option<&'t [String]>,
    /// The pods in the last list of all pods, if it was answered.
    pub(super) pods_listed: Option<&'t [String]>,
    /// What came and went, if anything did often enough.
    pub(super) flapping: Option<String>,
}

impl<'t> Seen<'t> {
    pub(super) fn in_trace(case: &Case, trace: &'t Trace) -> Self {
        let mut seen = Self {
            end: trace.records.last().map_or(0, |record| record.t),
            pod_created: 0,
            lives: lives(trace),
            ready: BTreeSet::new(),
            ready_at_end: false,
            ready_since: 0,
            first_ready: None,
            api_service_registered: false,
            api_service_available: false,
            api_service_reason: "it has no condition yet",
            last_list: None,
            last_answers: BTreeMap::new(),
            controllers_wait: None,
            gave_up: gave_up(case, trace),
            nodes_listed: None,
            pods_listed: None,
            flapping: None,
        };
        let mut switches = Switches::default();
        for record in &trace.records {
            seen.observe(case, record.t, &record.host, &record.event);
            switches.observe(case, record.t, seen.ready_at_end, &record.event);
        }
        seen.flapping = switches.flapping();
        seen
    }

    fn observe(&mut self, case: &Case, t: u64, host: &'t str, event: &'t Event) {
        match event {
            Event::PodCreated => self.pod_created = t,
            Event::PodCondition {
                condition, status, ..
            } if condition == "Ready" => {
                if *status && !self.ready_at_end {
                    self.ready_since = t;
                    self.first_ready.get_or_insert(t);
                }
                if *status {
                    self.ready.insert(host);
                } else {
                    self.ready.remove(host);
                }
                self.ready_at_end = !self.ready.is_empty();
            }
            Event::ReplicaDeleted => {
                self.ready.remove(host);
                self.ready_at_end = !self.ready.is_empty();
            }
            Event::ApiServiceRegistered => self.api_service_registered = true,
            Event::ApiServiceDeleted => {
                self.api_service_registered = false;
                self.api_service_available = false;
            }
            Event::Response {
                observer, outcome, ..
            } if case.kind(observer) == CONTROLLER_MANAGER => {
                self.controllers_wait = (outcome != "200").then_some(outcome);
            }
            Event::ApiService { status, reason, .. } => {
                self.api_service_registered = true;
                self.api_service_available = status == "True";
                self.api_service_reason = reason;
            }
            Event::Witness {
                target,
                outcome,
                nodes,
                pods,
                ..
            } => {
                let answered = outcome == "200";
                if lists_nodes(target) {
                    self.last_list = Some((target, outcome));
                    self.nodes_listed = answered.then_some(nodes);
                } else if lists_all_pods(target) {
                    self.pods_listed = answered.then_some(pods);
                }
            }
            Event::Response {
                observer,
                target,
                outcome,
                ..
            } if is_client(case.kind(observer)) => {
                self.last_answers.insert(observer, outcome);
                if lists_nodes(target) || lists_pods(target) {
                    self.last_list = Some((target, outcome));
                }
            }
            _ => {}
        }
    }
}

/// Users of the metrics API have names of the scenario's choice; whoever is
/// part of every cluster is none.
fn is_client(kind: &str) -> bool {
    !matches!(
        kind,
        "readiness-probe"
            | "liveness-probe"
            | "startup-probe"
            | "aggregator-check"
            | "kubectl-drain"
            | CONTROLLER_MANAGER
            | HELM_INSTALL
    )
}

/// Somebody who waited for the installation, and did so in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GaveUp<'t> {
    pub(crate) observer: &'t str,
    /// What was printed.
    pub(crate) text: &'t str,
    /// From the command to its end.
    pub(crate) waited_ns: u64,
}

/// The first who gave up installing.
pub(crate) fn gave_up<'t>(case: &Case, trace: &'t Trace) -> Option<GaveUp<'t>> {
    trace.records.iter().find_map(|record| match &record.event {
        Event::Response {
            observer,
            outcome,
            text,
            duration_ns,
            ..
        } if case.kind(observer) == HELM_INSTALL && outcome != "200" => Some(GaveUp {
            observer,
            text,
            waited_ns: *duration_ns,
        }),
        _ => None,
    })
}

/// A person with `helm install --wait`.
const HELM_INSTALL: &str = "helm-install";

/// A controller manager that waits for discovery.
const CONTROLLER_MANAGER: &str = "controller-manager";

/// Something that is there or not, as time goes by.
#[derive(Default)]
struct Switch {
    on: bool,
    was_on: bool,
    returns: usize,
}

impl Switch {
    fn set(&mut self, on: bool) {
        if on && !self.on && self.was_on {
            self.returns += 1;
        }
        self.on = on;
        self.was_on |= on;
    }
}

/// Everything whose coming and going is called flapping.
#[derive(Default)]
struct Switches<'t> {
    ready: Switch,
    available: Switch,
    clients: BTreeMap<(&'t str, &'t str), Switch>,
    nodes: Listed<'t>,
    pods: Listed<'t>,
}

/// What a list holds, as time goes by.
#[derive(Default)]
struct Listed<'t> {
    switches: BTreeMap<&'t str, Switch>,
    last: &'t [String],
}

impl<'t> Listed<'t> {
    fn set(&mut self, listed: &'t [String]) {
        // Lists are long and seldom change.
        if self.last == listed {
            return;
        }
        self.last = listed;
        let listed: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
        for (name, switch) in &mut self.switches {
            switch.set(listed.contains(name));
        }
        for name in listed {
            self.switches.entry(name).or_default().set(true);
        }
    }
}

impl<'t> Switches<'t> {
    fn observe(&mut self, case: &Case, t: u64, ready: bool, event: &'t Event) {
        match event {
            Event::PodCondition { condition, .. } if condition == "Ready" => {
                self.ready.set(ready);
            }
            Event::ApiService { status, .. } => self.available.set(status == "True"),
            Event::Response {
                observer,
                target,
                outcome,
                text,
                ..
            } if is_client(case.kind(observer)) => {
                let switch = self.clients.entry((observer, target)).or_default();
                // kubectl may find in a good answer that it has nothing to show.
                switch.set(outcome == "200" && !text.starts_with("error: "));
            }
            // Only whole answers: an outage of the API is the clients' matter.
            Event::Witness {
                target,
                outcome,
                nodes,
                ..
            } if outcome == "200" && lists_nodes(target) => {
                self.nodes.set(nodes);
                // A node that was deleted has not been lost.
                let gone = |node: &&NodeBrief| !node.present_at(t);
                for node in case.nodes.iter().filter(gone) {
                    self.nodes.switches.remove(&*node.name);
                }
            }
            Event::Witness {
                target,
                outcome,
                pods,
                ..
            } if outcome == "200" && lists_all_pods(target) => {
                self.pods.set(pods);
            }
            _ => {}
        }
    }

    fn flapping(&self) -> Option<String> {
        let often = |switch: &Switch| switch.returns >= FLAPS;
        let times = |switch: &Switch| format!("was lost and came back {} times", switch.returns);
        if often(&self.ready) {
            return Some(format!("Ready {}", times(&self.ready)));
        }
        if often(&self.available) {
            return Some(format!("the APIService {}", times(&self.available)));
        }
        let client = self.clients.iter().find(|(_, switch)| often(switch));
        if let Some(((observer, target), switch)) = client {
            return Some(format!(
                "the answer to {observer} on {target} {}",
                times(switch)
            ));
        }
        for (kind, listed) in [("node", &self.nodes), ("pod", &self.pods)] {
            if let Some((name, switch)) = listed.switches.iter().find(|(_, switch)| often(switch)) {
                return Some(format!("{kind} {name} {}", times(switch)));
            }
        }
        None
    }
}
