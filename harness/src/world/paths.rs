//! From the scenario's path rules to addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::addresses::Addresses;
use crate::brief;
use crate::engine::path::ResolvedRule;
use crate::scenario::model::{Party, PathRule, Scenario, Timeline};

/// The scenario's rules with their parties as sets of addresses.
#[must_use]
pub fn resolve(scenario: &Scenario, addresses: &Addresses) -> Timeline<Vec<ResolvedRule>> {
    let names = brief::path_rules(scenario);
    let resolved = |rule: &PathRule| ResolvedRule {
        name: names
            .iter()
            .position(|name| *name == rule.name)
            .expect("every rule has its name"),
        from: party(scenario, addresses, &rule.from),
        to: party(scenario, addresses, &rule.to),
        both: rule.both,
        port: rule.port,
        effect: rule.effect.clone(),
    };
    let entries = scenario.network.0.iter();
    Timeline(
        entries
            .map(|(at, rules)| (*at, rules.iter().map(resolved).collect()))
            .collect(),
    )
}

fn party(scenario: &Scenario, addresses: &Addresses, party: &Party) -> BTreeSet<IpAddr> {
    match party {
        Party::MetricsServer => addresses.metrics_server(),
        Party::ApiServer => (0..scenario.api_servers.len())
            .map(|number| addresses.api_server(number).ip())
            .collect(),
        Party::OneApiServer(number) => BTreeSet::from([addresses.api_server(*number).ip()]),
        Party::Node(index) => BTreeSet::from([scenario.nodes[*index].ip]),
        Party::AllNodes => scenario.nodes.iter().map(|node| node.ip).collect(),
        Party::Clients => BTreeSet::from([addresses.clients]),
    }
}
