//! From the scenario's path rules, and machines that are down, to addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::addresses::Addresses;
use crate::brief;
use crate::engine::path::{Ends, ResolvedRule};
use crate::faults;
use crate::scenario::model::{Direction, Node, Party, PathEffect, PathRule, Scenario, Timeline};

/// How long it takes to get another address: as long as it must for what the
/// kubelet's end sends to get lost, on every engine.
const REMOVAL: Duration = Duration::from_millis(2);

/// The scenario's rules with their parties as sets of addresses. A machine
/// that is down is a rule too: nothing reaches it, and nothing comes from it.
#[must_use]
pub fn resolve(scenario: &Scenario, addresses: &Addresses) -> Timeline<Vec<ResolvedRule>> {
    let resolver = Resolver {
        scenario,
        addresses,
        names: brief::path_rules(scenario),
    };
    let mut times: Vec<Duration> = scenario.network.0.iter().map(|(at, _)| *at).collect();
    for node in &scenario.nodes {
        times.extend(node.up.changes());
        times.extend(node.ips.changes().flat_map(|at| [at, at + REMOVAL]));
    }
    times.sort_unstable();
    times.dedup();
    let entries = times.into_iter().map(|at| (at, resolver.rules(at)));
    Timeline(entries.collect())
}

struct Resolver<'a> {
    scenario: &'a Scenario,
    addresses: &'a Addresses,
    names: Vec<String>,
}

impl Resolver<'_> {
    fn rules(&self, at: Duration) -> Vec<ResolvedRule> {
        let rules = self.scenario.network.at(at).iter();
        let mut resolved: Vec<_> = rules.map(|rule| self.rule(rule)).collect();
        resolved.extend(self.machines_down(at));
        resolved.extend(self.machines_moving(at));
        resolved
    }

    fn rule(&self, rule: &PathRule) -> ResolvedRule {
        ResolvedRule {
            name: self.name(&rule.name),
            from: self.ends(&rule.from),
            to: self.ends(&rule.to),
            direction: rule.direction,
            stateful: rule.stateful,
            port: rule.port,
            effect: rule.effect.clone(),
        }
    }

    /// One rule for each group of which machines are down.
    fn machines_down(&self, at: Duration) -> impl Iterator<Item = ResolvedRule> + '_ {
        let mut down: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
        for (index, node) in self.scenario.nodes.iter().enumerate() {
            if *node.up.at(at) {
                continue;
            }
            let group = down.entry(&node.group).or_default();
            group.insert(node.ip);
            group.extend(self.pods_on(index));
        }
        let down = down.into_iter();
        down.map(|(group, ips)| self.cut_off(&faults::machine(group), ips))
    }

    /// A machine that gets another address is deaf and dumb for an instant, so
    /// that what was connected to the old one hangs.
    fn machines_moving(&self, at: Duration) -> impl Iterator<Item = ResolvedRule> + '_ {
        let is_moving = move |node: &&Node| {
            let mut moves = node.ips.changes();
            moves.any(|from| from <= at && at < from + REMOVAL)
        };
        let moving = self.scenario.nodes.iter().filter(is_moving);
        moving.map(|node| self.cut_off(&faults::address(&node.group), BTreeSet::from([node.ip])))
    }

    fn cut_off(&self, name: &str, ips: BTreeSet<IpAddr>) -> ResolvedRule {
        ResolvedRule {
            name: self.name(name),
            // No rule touches the witness.
            from: Ends::AllBut(BTreeSet::from([self.addresses.witness])),
            to: Ends::Of(ips),
            direction: Direction::Both,
            stateful: false,
            port: None,
            effect: PathEffect::Drop,
        }
    }

    /// Addresses of the pods that were placed on a node at first.
    fn pods_on(&self, node: usize) -> impl Iterator<Item = IpAddr> + '_ {
        let server = &self.scenario.metrics_server;
        let homes = server.nodes.iter().cycle();
        let pods = self.addresses.pods.iter().zip(homes);
        let first = usize::try_from(server.replicas).unwrap_or(usize::MAX);
        pods.take(first)
            .filter(move |(_, home)| **home == node)
            .map(|(pod, _)| *pod)
    }

    /// The address of one pod; with `hostNetwork` that of the node that it is
    /// created for. None if there is no such pod in this run.
    fn replica(&self, ordinal: u32) -> Vec<IpAddr> {
        let server = self.scenario.metrics_server.of_pod(ordinal);
        let index = ordinal as usize - 1;
        let address = match server.host_network {
            true => {
                let node = server.nodes[index % server.nodes.len()];
                Some(self.scenario.nodes[node].ip)
            }
            false => self.addresses.pods.get(index).copied(),
        };
        address.into_iter().collect()
    }

    fn name(&self, name: &str) -> usize {
        let mut names = self.names.iter();
        names
            .position(|known| known == name)
            .expect("every rule has its name")
    }

    fn ends(&self, parties: &[Party]) -> Ends {
        Ends::Of(parties.iter().flat_map(|party| self.party(party)).collect())
    }

    fn party(&self, party: &Party) -> Vec<IpAddr> {
        let (scenario, addresses) = (self.scenario, self.addresses);
        match party {
            Party::MetricsServer => addresses.metrics_server().into_iter().collect(),
            Party::Replica(ordinal) => self.replica(*ordinal),
            Party::ApiServer => (0..scenario.api_servers.len())
                .map(|number| addresses.api_server(number).ip())
                .collect(),
            Party::OneApiServer(number) => vec![addresses.api_server(*number).ip()],
            Party::Node(index) => vec![scenario.nodes[*index].ip],
            Party::AllNodes => scenario.nodes.iter().map(|node| node.ip).collect(),
            Party::Clients => vec![addresses.clients],
            Party::Service => vec![addresses.metrics_service.ip()],
        }
    }
}
