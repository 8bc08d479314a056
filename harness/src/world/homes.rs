//! Where machines are found that change their addresses.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use seam::Moment;

use crate::faults;
use crate::scenario::model::{Scenario, Timeline};

/// The addresses that belong to machines for a part of the run only.
///
/// An engine knows a machine by its first address, and so do path rules.
pub struct Homes {
    start: Moment,
    homes: BTreeMap<IpAddr, Home>,
}

/// An address that changes hands.
struct Home {
    /// Whose it is over time, by first address.
    machine: Timeline<Option<IpAddr>>,
    /// What it is called that a machine comes or goes.
    fault: String,
}

/// Whose an address is from a time on, with what that is called.
type Entry<'a> = (Duration, Option<IpAddr>, &'a str);

impl Homes {
    /// Those of the scenario.
    #[must_use]
    pub fn of(scenario: &Scenario, start: Moment) -> Self {
        let mut entries: BTreeMap<IpAddr, Vec<Entry<'_>>> = BTreeMap::new();
        for node in scenario.nodes.iter().filter(|node| node.moves()) {
            for (index, (from, ip)) in node.ips.0.iter().enumerate() {
                let of_address = entries.entry(*ip).or_default();
                of_address.push((*from, Some(node.ip), &node.group));
                let next = node.ips.0.get(index + 1);
                of_address.extend(next.map(|(to, _)| (*to, None, &*node.group)));
            }
        }
        let homes = entries.into_iter().map(|(ip, entries)| (ip, home(entries)));
        Self {
            start,
            homes: homes.collect(),
        }
    }

    /// Whose `address` is now, with the address that the engine knows, and what
    /// it is called that it may be another's; none if it never is. Nobody may
    /// have it.
    #[must_use]
    pub fn find(&self, address: SocketAddr) -> Option<(Option<SocketAddr>, &str)> {
        let home = self.homes.get(&address.ip())?;
        let machine = home.machine.at(self.start.elapsed());
        let machine = machine.map(|ip| SocketAddr::new(ip, address.port()));
        Some((machine, &home.fault))
    }
}

/// Of a machine that goes and one that comes at one time, the latter is there.
fn home(mut entries: Vec<Entry<'_>>) -> Home {
    entries.sort_by_key(|(at, machine, _)| (*at, machine.is_some()));
    let group = entries.first().map_or("", |(_, _, group)| group);
    let machines = entries.iter().map(|(at, machine, _)| (*at, *machine));
    let nobody = std::iter::once((Duration::ZERO, None));
    Home {
        machine: Timeline::of_changes(nobody.chain(machines).collect()),
        fault: faults::address(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_takes_an_address_over_from_who_goes() {
        let at = Duration::from_secs;
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        let home = home(vec![
            (at(30), None, "a"),
            (at(0), Some(a), "a"),
            (at(40), Some(b), "b"),
            (at(40), None, "c"),
        ]);
        let machine = |seconds| *home.machine.at(at(seconds));
        assert_eq!(
            [0, 29, 30, 40].map(machine),
            [Some(a), Some(a), None, Some(b)]
        );
        assert_eq!(home.fault, "nodes.a.ip");
    }
}
