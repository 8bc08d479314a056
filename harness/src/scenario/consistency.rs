//! What must be true of all nodes together, and of metrics-server's among them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::fleet::{Fleet, Member};
use super::model::MetricsServer;
use super::node::Decoded;
use super::node_pods::Placed;
use super::tree::Node;

/// The most pods that Kubernetes supports in a cluster.
///
/// Source: Kubernetes documentation, "Considerations for large clusters".
const MOST_PODS: usize = 150_000;

/// Addresses belong to one node, pods run on one node, and there are only so
/// many.
pub(crate) fn check_nodes(
    decoder: &mut Decoder,
    fleet: &Fleet,
    nodes: &[Vec<(Duration, Decoded)>],
) {
    let most = |node: &Vec<(Duration, Decoded)>| node.iter().map(|(_, it)| it.pods.len()).max();
    let together: usize = nodes.iter().filter_map(most).sum();
    if let (true, [member, ..]) = (together > MOST_PODS, fleet.members()) {
        let message = format!("{together} pods are more than the {MOST_PODS} of a large cluster");
        let help = "lower `pods`, or the `count` of nodes";
        decoder.note(Diagnostic::at(
            Code::BadNumber,
            member.key_span,
            message,
            help,
        ));
        return;
    }
    check_addresses(decoder, fleet, nodes);
    let mut pods = BTreeMap::new();
    for (member, node) in fleet.members().iter().zip(nodes) {
        let Some((_, node)) = node.first() else {
            continue;
        };
        for Placed { pod, place, .. } in &node.pods {
            let name = (&pod.namespace, &pod.name);
            let Some((_, other)) = pods.insert(name, (&member.name, *place)) else {
                continue;
            };
            let message = format!("the pod `{}/{}` runs twice", pod.namespace, pod.name);
            let help = "name them differently; for ordinary pods on every node write a number, such as `pods: 10`";
            let diagnostic = Diagnostic::at(Code::Duplicate, *place, message, help);
            decoder.note(if other == *place {
                diagnostic
            } else {
                diagnostic.related(other, "the other")
            });
        }
    }
}

/// At no time do two machines have the same address, and none begins where
/// another one has been: by its first address a machine is known.
fn check_addresses(decoder: &mut Decoder, fleet: &Fleet, nodes: &[Vec<(Duration, Decoded)>]) {
    let members = || fleet.members().iter().zip(nodes);
    let mut had: BTreeMap<IpAddr, Vec<(&Member, Duration, Duration)>> = BTreeMap::new();
    for (member, versions) in members() {
        for (index, (from, node)) in versions.iter().enumerate() {
            let next = versions.get(index + 1);
            let to = next.map_or(Duration::MAX, |(at, _)| *at);
            had.entry(node.ip).or_default().push((member, *from, to));
        }
    }
    for (ip, holders) in &had {
        let meets = |index: usize, other: &(&Member, Duration, Duration)| {
            let (member, from, to) = holders[index];
            member.name != other.0.name && from < other.2 && other.1 < to
        };
        let clash = (1..holders.len())
            .find_map(|later| Some((later, holders[..later].iter().find(|it| meets(later, it))?)));
        if let Some((later, (other, ..))) = clash {
            let member = holders[later].0;
            let message = format!(
                "`{}` and `{}` have the same address {ip}",
                member.name, other.name
            );
            let help = "give one of them another address, or none: addresses are then assigned";
            decoder.note(
                Diagnostic::at(Code::Duplicate, member.key_span, message, help)
                    .related(other.key_span, "the other"),
            );
        }
    }
    for (member, versions) in members() {
        let families = |(_, node): &(Duration, Decoded)| node.ip.is_ipv4();
        if versions.iter().any(families) && !versions.iter().all(families) {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                member.key_span,
                format!("the addresses of `{}` are of both families", member.name),
                "a machine that moves stays with IPv4 or with IPv6",
            ));
        }
    }
}

/// The pod needs its node, now or later.
pub(crate) fn check_home(
    decoder: &mut Decoder,
    merged: &Node,
    server: &MetricsServer,
    nodes: &[Vec<(Duration, Decoded)>],
) {
    let Some((_, home)) = nodes.get(server.nodes[0]).and_then(|node| node.first()) else {
        return;
    };
    let moves = |versions: &Vec<(Duration, Decoded)>| {
        versions.windows(2).any(|pair| pair[0].1.ip != pair[1].1.ip)
    };
    if server.host_network && server.nodes.iter().any(|node| moves(&nodes[*node])) {
        let place = merged
            .entry("nodes")
            .map_or(merged.span, |entry| Item::of(entry).span());
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            place,
            "the address of a node changes while metrics-server runs in its network",
            "choose another `metricsServer.node`, or take out `hostNetwork`",
        ));
    }
    // The pod waits for a node that joins later, and where it is said when a
    // node is there, that is meant.
    let is_said = |(_, node): &(Duration, Decoded)| node.registered.is_some();
    let created = server.pod.created_at;
    let presence = &home.presence;
    let there = presence
        .leaves
        .as_ref()
        .is_none_or(|leaves| created < leaves.median() + presence.leaves_later)
        || nodes[server.nodes[0]].iter().any(is_said);
    let entry = merged
        .path(&["metricsServer", "node"])
        .or_else(|| merged.entry("nodes"));
    if let Some(entry) = entry.filter(|_| !there) {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            Item::of(entry).span(),
            "metrics-server's node has left when the pod is created",
            "choose another `metricsServer.node`, or set `pod.createdAt` before `leavesAt`",
        ));
    }
}
