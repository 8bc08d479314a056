//! The pods of a run, where the scenario can have several.
//!
//! Such a trace names each pod as the `host` of what concerns it. The start-up
//! that is judged is that of the newest pod template: what earlier pods did is
//! history, and the first pod that gets somewhere gets there for all. Each pod
//! is judged on its own as well, as if there were no other, up to where it was
//! deleted, evicted or lost.
//!
//! A trace of a single pod names none, and is judged as it is.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::milestone::{Milestones, milestones, origin_ns};
use crate::trace::{Event, Trace};
use crate::verdict::{Verdict, verdict};

/// What became of one of several pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaReport {
    /// What the scenario calls it: `metrics-server-2`.
    pub name: String,
    /// `metadata.name`
    pub pod: String,
    /// The pod template it was made from, from 1.
    pub revision: u32,
    /// The node it was bound to.
    pub node: Option<String>,
    /// When it was created, in nanoseconds since the first start of a process
    /// of the newest template; negative before that.
    pub created_ns: i64,
    /// When its object was gone, likewise.
    pub deleted_ns: Option<i64>,
    /// What became of it, judged as if there were no other pod.
    pub verdict: Verdict,
    /// The finding that decided the verdict.
    pub because: String,
    /// When it reached each stage, in nanoseconds since its own first start.
    pub milestones: Milestones,
    /// How often its container was started again.
    pub restarts: u64,
}

/// A pod as its trace introduces it.
#[derive(Debug, Clone, Copy)]
struct Pod<'t> {
    name: &'t str,
    object: &'t str,
    revision: u32,
    node: Option<&'t str>,
    created: u64,
    deleted: Option<u64>,
}

/// The pods of a trace that names them, in order of creation.
fn pods(trace: &Trace) -> Vec<Pod<'_>> {
    let mut pods: Vec<Pod<'_>> = Vec::new();
    for record in &trace.records {
        let known = pods.iter_mut().find(|pod| pod.name == record.host);
        match (&record.event, known) {
            (Event::ReplicaCreated { object, revision }, None) => pods.push(Pod {
                name: &record.host,
                object,
                revision: *revision,
                node: None,
                created: record.t,
                deleted: None,
            }),
            (Event::ReplicaBound { node }, Some(pod)) => pod.node = Some(node),
            (Event::ReplicaDeleted, Some(pod)) => pod.deleted = Some(record.t),
            _ => {}
        }
    }
    pods
}

/// Whether the trace names its pods.
pub(crate) fn names_pods(trace: &Trace) -> bool {
    let mut records = trace.records.iter();
    records.any(|record| matches!(record.event, Event::ReplicaCreated { .. }))
}

/// The trace without what concerns pods of earlier templates.
pub(crate) fn judged(trace: &Trace) -> Cow<'_, Trace> {
    if !names_pods(trace) {
        return Cow::Borrowed(trace);
    }
    let pods = pods(trace);
    let newest = pods.iter().map(|pod| pod.revision).max();
    Cow::Owned(only(trace, &pods, |pod| Some(pod.revision) == newest))
}

/// The trace without what concerns other pods than the one that decided: the
/// first that was Ready, else the first that was created.
pub(crate) fn deciding(trace: &Trace) -> Cow<'_, Trace> {
    if !names_pods(trace) {
        return Cow::Borrowed(trace);
    }
    let pods = pods(trace);
    let ready = trace.records.iter().find(|record| {
        matches!(&record.event, Event::PodCondition { condition, status: true, .. }
            if condition == "Ready")
    });
    let first = pods.first().map(|pod| pod.name);
    let decided = ready.map(|record| &*record.host).or(first);
    Cow::Owned(only(trace, &pods, |pod| Some(pod.name) == decided))
}

fn only(trace: &Trace, pods: &[Pod<'_>], keep: impl Fn(&Pod<'_>) -> bool) -> Trace {
    let others: BTreeSet<&str> = pods
        .iter()
        .filter(|pod| !keep(pod))
        .map(|pod| pod.name)
        .collect();
    let records = trace.records.iter();
    Trace {
        records: records
            .filter(|record| !others.contains(&*record.host))
            .cloned()
            .collect(),
    }
}

/// The trace up to where the pod was taken away: what it was like until then.
fn until_ended(mut trace: Trace) -> Trace {
    let taken = trace.records.iter().position(|record| {
        matches!(&record.event, Event::ProcessExited { killed_by: Some(by), .. }
            if matches!(&**by, "deletion" | "eviction" | "node-loss"))
    });
    if let Some(taken) = taken {
        trace.records.truncate(taken);
    }
    trace
}

/// What concerns pod number `ordinal`, as if there were no other, up to where
/// it was deleted, evicted or lost. `None` if there was no such pod.
pub(crate) fn alone(trace: &Trace, ordinal: u32) -> Option<Trace> {
    if !names_pods(trace) {
        return (ordinal == 1).then(|| trace.clone());
    }
    let pods = pods(trace);
    let name = format!("metrics-server-{ordinal}");
    let is_there = pods.iter().any(|pod| pod.name == name);
    is_there.then(|| until_ended(only(trace, &pods, |pod| pod.name == name)))
}

/// What became of each pod; empty for a trace of a single one.
#[must_use]
pub fn replicas(case: &Case, trace: &Trace) -> Vec<ReplicaReport> {
    let pods = pods(trace);
    let origin = origin_ns(&judged(trace));
    let since = |t: u64| {
        let signed = |t: u64| i64::try_from(t).unwrap_or(i64::MAX);
        signed(t) - signed(origin)
    };
    pods.iter()
        .map(|pod| {
            let alone = until_ended(only(trace, &pods, |other| other.name == pod.name));
            let milestones = milestones(case, &alone);
            let finding = verdict(case, &alone, &milestones);
            ReplicaReport {
                name: pod.name.to_owned(),
                pod: pod.object.to_owned(),
                revision: pod.revision,
                node: pod.node.map(str::to_owned),
                created_ns: since(pod.created),
                deleted_ns: pod.deleted.map(since),
                verdict: finding.verdict,
                because: finding.because,
                milestones,
                restarts: restarts(&alone).unwrap_or(0),
            }
        })
        .collect()
}

/// How often containers were started again, of all pods together; absent if
/// none ever started.
#[must_use]
pub fn restarts(trace: &Trace) -> Option<u64> {
    let mut of_each = std::collections::BTreeMap::new();
    for record in &trace.records {
        if let Event::ProcessStarted { restart } = record.event {
            let count = of_each.entry(&*record.host).or_insert(0);
            *count = u64::from(restart).max(*count);
        }
    }
    (!of_each.is_empty()).then(|| of_each.values().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::milestone::Milestone;
    use crate::trace::Record;

    fn trace(records: &[(u64, &str, Event)]) -> Trace {
        let record = |(seq, (t, host, event)): (usize, &(u64, &str, Event))| Record {
            t: *t,
            seq: seq as u64,
            host: (*host).to_owned(),
            event: event.clone(),
        };
        Trace {
            records: records.iter().enumerate().map(record).collect(),
        }
    }

    fn created(revision: u32) -> Event {
        Event::ReplicaCreated {
            object: "metrics-server-1-a".to_owned(),
            revision,
        }
    }

    fn ready(status: bool) -> Event {
        Event::PodCondition {
            condition: "Ready".to_owned(),
            status,
            reason: String::new(),
        }
    }

    fn rollout() -> Trace {
        let started = |restart| Event::ProcessStarted { restart };
        trace(&[
            (0, "metrics-server-1", created(1)),
            (10, "metrics-server-1", started(0)),
            (50, "metrics-server-1", ready(true)),
            (100, "metrics-server-2", created(2)),
            (110, "metrics-server-2", started(0)),
            (120, "metrics-server-3", created(2)),
            (130, "metrics-server-3", started(0)),
            (140, "metrics-server-2", started(1)),
            (150, "metrics-server-3", started(2)),
            (160, "metrics-server-3", ready(true)),
            (170, "metrics-server-1", Event::ReplicaDeleted),
        ])
    }

    #[test]
    fn the_newest_template_is_judged_and_its_first_pod_decides() {
        let trace = rollout();
        let judged = judged(&trace);
        assert_eq!(origin_ns(&judged), 110);
        let reached = milestones(&Case::default(), &judged);
        assert_eq!(reached.at(Milestone::PodReady), Some(50));
        let deciding = deciding(&judged);
        assert_eq!(origin_ns(&deciding), 130);
    }

    #[test]
    fn restarts_add_up_and_each_pod_has_its_own_times() {
        let trace = rollout();
        assert_eq!(restarts(&trace), Some(3));
        let replicas = replicas(&Case::default(), &trace);
        let told: Vec<_> = replicas
            .iter()
            .map(|pod| {
                let ready = pod.milestones.at(Milestone::PodReady);
                (pod.created_ns, pod.deleted_ns, ready, pod.restarts)
            })
            .collect();
        assert_eq!(
            told,
            [
                (-110, Some(60), Some(40), 0),
                (-10, None, None, 1),
                (10, None, Some(30), 2)
            ]
        );
    }

    #[test]
    fn a_trace_of_one_pod_is_judged_as_it_is() {
        let trace = trace(&[(10, "pi", Event::ProcessStarted { restart: 0 })]);
        assert!(matches!(judged(&trace), Cow::Borrowed(_)));
        assert!(matches!(deciding(&trace), Cow::Borrowed(_)));
        assert!(replicas(&Case::default(), &trace).is_empty());
    }
}
