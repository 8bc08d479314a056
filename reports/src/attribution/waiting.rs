//! What a pod waits for whose container has not started.
//!
//! A container that has started is not waited for: where there is an Event
//! `Started`, it is of an init container.

use crate::case::{Case, Setting, setting};
use crate::trace::{Event, Trace};

/// Reason and message of the last Event that says it.
pub(super) fn waiting(trace: &Trace) -> Option<(&str, &str)> {
    let mut records = trace.records.iter().rev();
    records.find_map(|record| match &record.event {
        Event::Kubernetes {
            reason, message, ..
        } => is_telling(reason, message).then_some((&**reason, &**message)),
        _ => None,
    })
}

/// Of the three Events that a failed pull leaves, the one with the reason tells.
fn is_telling(reason: &str, message: &str) -> bool {
    match reason {
        "FailedScheduling" | "NetworkNotReady" | "Started" => true,
        "Failed" => message.starts_with(PULL_FAILED),
        _ => false,
    }
}

const PULL_FAILED: &str = "Failed to pull image";

/// Such an Event in words, and the setting that it speaks of.
pub(super) fn told(case: &Case, reason: &str, message: &str) -> (String, Setting) {
    let what = match reason {
        "FailedScheduling" => {
            // What preemption would come to is no reason.
            let end = message.find(". no new claims");
            let what = &message[..end.unwrap_or(message.len())];
            let governing = unschedulable(case, what);
            return (format!("the pod is not scheduled: {what}"), governing);
        }
        "NetworkNotReady" => format!("the pod has no sandbox: {message}"),
        "Failed" => format!("ErrImagePull: {message}"),
        _ => "an init container has not succeeded".to_owned(),
    };
    (what, case.setting(setting::POD))
}

/// What keeps a pod from every node, the scenario's own word before that of
/// others.
fn unschedulable(case: &Case, what: &str) -> Setting {
    let of_nodes = |key: &str| -> Option<Setting> {
        let mut names = case
            .nodes
            .iter()
            .map(|node| format!("nodes.{}.{key}", node.name));
        names.find_map(|name| case.said(&[&name]))
    };
    let found = if what.contains("Insufficient") {
        of_nodes("allocatable").or_else(|| case.said(&[setting::RESOURCES]))
    } else if what.contains("untolerated taint") {
        let of_nodes = of_nodes("taints").or_else(|| of_nodes("ready"));
        of_nodes.or_else(|| case.said(&[setting::TOLERATIONS]))
    } else if what.contains("node affinity/selector") {
        case.said(&[setting::NODE_SELECTOR])
    } else if what.contains("anti-affinity") {
        case.said(&[setting::ANTI_AFFINITY])
    } else if what.contains("free ports") {
        case.said(&[setting::HOST_NETWORK])
    } else if what.contains("unschedulable") {
        case.said(&[setting::ACTIONS])
    } else {
        None
    };
    found.unwrap_or_else(|| case.setting(setting::NODES))
}
