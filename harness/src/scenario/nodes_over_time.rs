//! Nodes as they are over time.

use std::time::Duration;

use super::fleet::{Fleet, Member};
use super::model::{self, Clock, Pod, Presence, Timeline};
use super::node::Decoded;
use super::node_pods::Placed;
use crate::settle;

/// The model's nodes from what was decoded over time.
pub(crate) fn nodes(
    fleet: &Fleet,
    over_time: Vec<Vec<(Duration, Decoded)>>,
    until: Duration,
) -> Vec<model::Node> {
    let pairs = fleet.members().iter().zip(over_time);
    pairs
        .filter_map(|(member, versions)| node_over_time(member, versions, until))
        .collect()
}

fn node_over_time(
    member: &Member,
    versions: Vec<(Duration, Decoded)>,
    until: Duration,
) -> Option<model::Node> {
    fn over_time<T: PartialEq>(
        versions: &[(Duration, Decoded)],
        part: impl Fn(&Decoded) -> T,
    ) -> Timeline<T> {
        let parts = versions.iter().map(|(at, decoded)| (*at, part(decoded)));
        Timeline::of_changes(parts.collect())
    }
    let registered = over_time(&versions, |decoded| decoded.registered);
    let taints = over_time(&versions, |decoded| decoded.taints.clone());
    let up = over_time(&versions, |decoded| decoded.up);
    let ready = over_time(&versions, |decoded| decoded.ready);
    let addresses = over_time(&versions, |decoded| decoded.addresses.clone());
    let labels = over_time(&versions, |decoded| decoded.labels.clone());
    let allocatable = over_time(&versions, |decoded| decoded.allocatable);
    let ips = over_time(&versions, |decoded| decoded.ip);
    let plans = over_time(&versions, |decoded| decoded.plan.clone()).0;
    let pods: Vec<_> = versions
        .iter()
        .map(|(at, decoded)| (*at, &*decoded.pods))
        .collect();
    let pods = pods_over_time(&pods);
    let clocks: Vec<_> = versions
        .iter()
        .map(|(at, decoded)| (*at, decoded.clock.clone()))
        .collect();
    let (_, first) = versions.into_iter().next()?;
    let mut node = model::Node {
        name: member.name.to_string(),
        group: member.group.to_string(),
        labels,
        there: Timeline::constant(true),
        presence: Presence {
            registered,
            ..first.presence
        },
        taints,
        allocatable,
        up,
        ready,
        addresses,
        ip: first.ip,
        ips,
        clock: Clock::over_time(&clocks),
        kubelet: Timeline::constant(first.plan.kubelet),
        plans,
        pods,
        cpu_nanocores: first.cpu_nanocores,
        memory_bytes: first.memory_bytes,
        up_for: first.up_for,
    };
    settle::nominal(&mut node, until);
    Some(node)
}

/// Every pod that is there at some time. One that a change does not name any
/// more is deleted then; one that it describes anew takes the place of the old.
fn pods_over_time(versions: &[(Duration, &[Placed])]) -> Vec<Pod> {
    let of = |placed: &[Placed]| -> Vec<Pod> {
        placed.iter().map(|placed| placed.pod.clone()).collect()
    };
    let mut all = versions
        .first()
        .map_or_else(Vec::new, |(_, first)| of(first));
    for pair in versions.windows(2) {
        let (at, before, after) = (pair[1].0, of(pair[0].1), of(pair[1].1));
        let stays =
            |pod: &Pod| after.contains(pod) || pod.deleted_at.is_some_and(|gone| gone <= at);
        for pod in all.iter_mut().filter(|pod| !stays(pod)) {
            pod.deleted_at = Some(at);
        }
        let comes =
            |pod: &Pod| !before.contains(pod) && pod.deleted_at.is_none_or(|gone| at < gone);
        all.extend(after.into_iter().filter(comes));
    }
    all
}
