//! The scheduler: which node a pod is bound to.
//!
//! DIFFERENCE: nodes are not scored; they are tried in a fixed order, so that
//! pods spread over them one by one. Resources never run out.
//!
//! Source: `pkg/scheduler/framework/plugins/{nodeports,interpodaffinity,
//! nodeunschedulable,tainttoleration,nodeaffinity}`, `pkg/scheduler/framework/
//! types.go FitError`; the order in which they look, `pkg/scheduler/apis/config/
//! v1/default_plugins.go`.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use tokio::time::sleep;

use super::Shared;
use super::member::Member;
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
        }
    }

    /// Whether another pod is in the way, which might have been preempted.
    fn is_another_pod(self) -> bool {
        matches!(self, Self::Ports | Self::Affinity | Self::OthersAffinity)
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
    let node = loop {
        let mut room = Box::pin(shared.room.notified());
        room.as_mut().enable();
        if !first {
            serving(&shared.api_server).await;
        }
        if !shared.view(&member).exists {
            return;
        }
        match shared.choose(&member, first) {
            Ok(node) => break node,
            Err(why) => log.record(
                "default-scheduler",
                Severity::Warning,
                "FailedScheduling",
                why,
            ),
        }
        room.await;
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
    fn choose(&self, member: &Member, first: bool) -> Result<String, String> {
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
        let mut refusals: BTreeMap<Refusal, usize> = BTreeMap::new();
        let mut known = 0;
        for node in order {
            let Some(object) = self.store.get("nodes", None, node) else {
                continue;
            };
            known += 1;
            match self.refusal(member, node, &object, first) {
                None => return Ok(node.clone()),
                Some(refusal) => *refusals.entry(refusal).or_default() += 1,
            }
        }
        Err(explain(known, &refusals))
    }

    /// Why the node does not do. A pod of the beginning may have been bound
    /// before its node could be found wanting.
    fn refusal(&self, member: &Member, node: &str, object: &Value, first: bool) -> Option<Refusal> {
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
        let bound_before = first && self.config.bound_before;
        if object["spec"]["unschedulable"] == true {
            return Some(Refusal::Unschedulable);
        }
        if member.placement.is_kept_away(object, bound_before) {
            return Some(Refusal::Taint);
        }
        if !member.placement.selects(object) {
            return Some(Refusal::Selector);
        }
        if member.host_port.is_some() && here().any(|other| other.host_port == member.host_port) {
            return Some(Refusal::Ports);
        }
        // It is enough that one of two keeps the other away. Source:
        // `pkg/scheduler/framework/plugins/interpodaffinity/filtering.go`.
        if member.placement.anti_affinity && here().next().is_some() {
            return Some(Refusal::Affinity);
        }
        here()
            .any(|other| other.placement.anti_affinity)
            .then_some(Refusal::OthersAffinity)
    }
}

/// Whether a node's Ready condition is True.
pub(super) fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn explain(nodes: usize, refusals: &BTreeMap<Refusal, usize>) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let counted = |(refusal, count): (&Refusal, &usize)| format!("{count} {}", refusal.words());
    let mut reasons: Vec<String> = refusals.iter().map(counted).collect();
    reasons.sort();
    let mut helpless = 0;
    let mut victimless = 0;
    for (refusal, count) in refusals {
        match refusal.is_another_pod() {
            true => victimless += count,
            false => helpless += count,
        }
    }
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
