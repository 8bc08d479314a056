//! The scheduler: which node a pod is bound to.
//!
//! DIFFERENCE: nodes are not scored; they are tried in a fixed order, so that
//! pods spread over them one by one. No pods but metrics-server's request
//! anything.
//!
//! Source: `pkg/scheduler/framework/plugins/{nodeports,interpodaffinity,
//! nodeunschedulable,tainttoleration,nodeaffinity,noderesources}`, `pkg/scheduler/framework/
//! types.go FitError`; the order in which they look, `pkg/scheduler/apis/config/
//! v1/default_plugins.go`.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use tokio::time::sleep;

use super::Shared;
use super::member::Member;
use super::placement::Amounts;
use crate::apiserver::serving;
use crate::event::Event;
use crate::pod::PodConfig;
use crate::pod::events::Severity;

/// Why a node does not do, in the scheduler's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Ports,
    Selector,
    Affinity,
    OthersAffinity,
    Taint,
    Unschedulable,
    Cpu(Shortage),
    Memory(Shortage),
}

/// Why a node has not enough of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shortage {
    /// Other pods have it.
    Used,
    /// It has never had as much.
    Absolute,
}

impl Refusal {
    fn words(self) -> &'static str {
        match self {
            Self::Ports => "node(s) didn't have free ports for the requested pod ports",
            Self::Selector => "node(s) didn't match Pod's node affinity/selector",
            Self::Affinity => "node(s) didn't match pod anti-affinity rules",
            Self::OthersAffinity => "node(s) didn't satisfy existing pods anti-affinity rules",
            Self::Taint => "node(s) had untolerated taint(s)",
            Self::Unschedulable => "node(s) were unschedulable",
            Self::Cpu(_) => "Insufficient cpu",
            Self::Memory(_) => "Insufficient memory",
        }
    }

    /// Whether another pod is in the way, which might have been preempted.
    fn is_another_pod(self) -> bool {
        match self {
            Self::Ports | Self::Affinity | Self::OthersAffinity => true,
            Self::Cpu(shortage) | Self::Memory(shortage) => shortage == Shortage::Used,
            Self::Selector | Self::Taint | Self::Unschedulable => false,
        }
    }
}

/// Binds a pod to a node as soon as one will have it, and runs it there.
pub(super) async fn schedule(
    shared: Rc<Shared>,
    member: Rc<Member>,
    config: PodConfig,
    first: bool,
) {
    sleep(config.scheduling).await;
    let log = shared.events_about(&config.name, config.recorded_as.as_deref());
    // Whoever has to wait was not bound before the beginning.
    let mut bound_before = first && shared.config.bound_before;
    let node = loop {
        let mut room = Box::pin(shared.room.notified());
        room.as_mut().enable();
        if !first {
            serving(&shared.api_server).await;
        }
        if !shared.view(&member).exists {
            return;
        }
        match shared.choose(&member, first, bound_before) {
            Ok(node) => break node,
            Err(why) => log.record(
                "default-scheduler",
                Severity::Warning,
                "FailedScheduling",
                why,
            ),
        }
        room.await;
        bound_before = false;
    };
    *member.node.borrow_mut() = Some(node.as_str().into());
    let told = Event::ReplicaBound { node: node.clone() };
    shared.tell_of_several(&member, told);
    let pod = shared
        .pods
        .place(member.ordinal, member.revision, config, &node);
    *member.pod.borrow_mut() = Some(pod.clone());
    pod.spawn_bound();
}

impl Shared {
    /// The first node that will have the pod. One of the beginning waits for
    /// the nodes that it was created for, unless it may run on none of them.
    fn choose(&self, member: &Member, first: bool, bound_before: bool) -> Result<String, String> {
        let nodes = &self.config.nodes;
        let first_choice = self.config.first_choice.clamp(1, nodes.len());
        let preferred = (member.ordinal as usize - 1) % first_choice;
        let turn = |count: usize| (0..count).map(move |step| &nodes[(preferred + step) % count]);
        let may_not_run = |node: &String| {
            let object = self.store.get("nodes", None, node);
            object.is_some_and(|object| {
                let kept_away = member.placement.is_kept_away(&object, true);
                kept_away || !member.placement.selects(&object)
            })
        };
        let count = match first && !nodes[..first_choice].iter().all(may_not_run) {
            true => first_choice,
            false => nodes.len(),
        };
        let order = turn(count);
        let mut refusals: Vec<Vec<Refusal>> = Vec::new();
        for node in order {
            let Some(object) = self.store.get("nodes", None, node) else {
                continue;
            };
            let found = self.refusals(member, node, &object, bound_before);
            if found.is_empty() {
                return Ok(node.clone());
            }
            refusals.push(found);
        }
        Err(explain(&refusals))
    }

    /// Why the node does not do: what the first plugin says that is against it.
    /// A pod of the beginning may have been bound before its node could be
    /// found wanting.
    fn refusals(
        &self,
        member: &Member,
        node: &str,
        object: &Value,
        bound_before: bool,
    ) -> Vec<Refusal> {
        let others = self.members.borrow();
        let here = || {
            others
                .iter()
                .filter(|other| other.ordinal != member.ordinal)
                .filter(|other| other.node.borrow().as_deref() == Some(node))
                .filter(|other| {
                    let view = self.view(other);
                    view.active || view.terminating
                })
        };
        if object["spec"]["unschedulable"] == true {
            return vec![Refusal::Unschedulable];
        }
        if member.placement.is_kept_away(object, bound_before) {
            return vec![Refusal::Taint];
        }
        if !member.placement.selects(object) {
            return vec![Refusal::Selector];
        }
        if member.host_port.is_some() && here().any(|other| other.host_port == member.host_port) {
            return vec![Refusal::Ports];
        }
        let requested = here().map(|other| other.placement.requests);
        let short = shortages(member.placement.requests, requested, object);
        if !short.is_empty() {
            return short;
        }
        // It is enough that one of two keeps the other away. Source:
        // `pkg/scheduler/framework/plugins/interpodaffinity/filtering.go`.
        if member.placement.anti_affinity && here().next().is_some() {
            return vec![Refusal::Affinity];
        }
        match here().any(|other| other.placement.anti_affinity) {
            true => vec![Refusal::OthersAffinity],
            false => Vec::new(),
        }
    }
}

/// What a node has not enough of for a pod beside those that are there.
///
/// Source: `pkg/scheduler/framework/plugins/noderesources/fit.go fitsRequest`.
fn shortages(
    wanted: Amounts,
    requested: impl Iterator<Item = Amounts>,
    node: &Value,
) -> Vec<Refusal> {
    let allocatable = Amounts::allocatable(node);
    let (mut cpu, mut memory) = (allocatable.cpu_millis, allocatable.memory_bytes);
    for other in requested {
        cpu = cpu.saturating_sub(other.cpu_millis);
        memory = memory.saturating_sub(other.memory_bytes);
    }
    let shortage = |wanted: u64, free: u64, all: u64| match wanted > free {
        true if wanted > all => Some(Shortage::Absolute),
        true => Some(Shortage::Used),
        false => None,
    };
    let of_cpu = shortage(wanted.cpu_millis, cpu, allocatable.cpu_millis);
    let of_memory = shortage(wanted.memory_bytes, memory, allocatable.memory_bytes);
    let of_cpu = of_cpu.map(Refusal::Cpu).into_iter();
    of_cpu.chain(of_memory.map(Refusal::Memory)).collect()
}

/// Whether a node's Ready condition is True.
pub(super) fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// What is told of a pod that no node will have. `refusals` are those of each
/// node.
fn explain(refusals: &[Vec<Refusal>]) -> String {
    let nodes = refusals.len();
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for refusal in refusals.iter().flatten() {
        *counts.entry(refusal.words()).or_default() += 1;
    }
    let mut reasons: Vec<String> = counts
        .iter()
        .map(|(words, count)| format!("{count} {words}"))
        .collect();
    reasons.sort();
    let is_another_pod = |found: &&Vec<Refusal>| found.iter().all(|it| it.is_another_pod());
    let victimless = refusals.iter().filter(is_another_pod).count();
    let helpless = nodes - victimless;
    let preemption: Vec<String> = [
        (victimless, "No preemption victims found for incoming pod"),
        (helpless, "Preemption is not helpful for scheduling"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, words)| format!("{count} {words}"))
    .collect();
    format!(
        "0/{nodes} nodes are available: {}. no new claims to deallocate, preemption: \
         0/{nodes} nodes are available: {}.",
        reasons.join(", "),
        preemption.join(", ")
    )
}
