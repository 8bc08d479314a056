//! What a scenario does to its world, and whether it took effect.
//!
//! A fault that nothing met, a change that nobody saw and a rule that no
//! packet crossed prove nothing: each makes a run inconclusive.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::case::{Case, Change, setting};
use crate::trace::{Event, Trace};
use crate::units::duration;

/// What kind of hardship it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A network rule; it fires on each connection or packet it acts on.
    Rule,
    /// A change or an action; it fires once when it comes, or each time that
    /// somebody meets what it changed.
    Change,
    /// Anything else that is wrong with a part of the world.
    Fault,
    /// Something that waits for an event of the run.
    Trigger,
}

/// A hardship, and how often it took effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// `rule`, `change`, `fault`, `trigger`
    pub kind: Kind,
    /// Its name: `network.cut`, `kubelet: state Closed → Open`.
    pub name: String,
    /// How often it took effect.
    pub fired: u64,
    /// Why the run proves nothing without it; absent where it took effect or
    /// need not.
    pub doubt: Option<String>,
}

/// Every hardship of the case, in its order: rules, changes, other faults,
/// triggers that never fired.
#[must_use]
pub fn faults(case: &Case, trace: &Trace) -> Vec<Fault> {
    let totals = Totals::of(trace);
    let mut faults: Vec<Fault> = case
        .path_rules
        .iter()
        .map(|rule| {
            let fired = totals.rules.get(&**rule).copied().unwrap_or(0);
            let name = rule_name(rule);
            let what = if name == *rule { "" } else { "network rule " };
            let doubt = || format!("{what}`{rule}` never took effect");
            Fault {
                kind: Kind::Rule,
                name,
                fired,
                doubt: (fired == 0).then(doubt),
            }
        })
        .collect();
    faults.extend(changes(case, trace));
    // A fault that the case does not ask for, but that fired, is shown too.
    let named = case.faults.iter().map(|fault| &**fault);
    let others = totals.faults.keys().copied();
    let others = others.filter(|name| !case.faults.iter().any(|fault| fault == name));
    faults.extend(named.chain(others).map(|name| {
        let fired = totals.faults.get(name).copied().unwrap_or(0);
        let doubt = || format!("`{name}` never took effect");
        Fault {
            kind: Kind::Fault,
            name: name.to_owned(),
            fired,
            doubt: (fired == 0).then(doubt),
        }
    }));
    faults.extend(case.pending.iter().map(|waiting| Fault {
        kind: Kind::Trigger,
        name: waiting.what.clone(),
        fired: 0,
        doubt: Some(format!(
            "`{}` ({}:{}:{}) did not happen before the end, and what waits for it never came",
            waiting.what, case.file, waiting.line, waiting.column
        )),
    }));
    faults
}

/// The setting behind a rule of the network. Machines that are down or move
/// are rules too.
fn rule_name(rule: &str) -> String {
    match rule.starts_with("nodes.") {
        true => rule.to_owned(),
        false => setting::network(rule),
    }
}

/// How often rules and other faults took effect, as the trace has it.
struct Totals<'t> {
    rules: BTreeMap<&'t str, u64>,
    faults: BTreeMap<&'t str, u64>,
}

impl<'t> Totals<'t> {
    fn of(trace: &'t Trace) -> Self {
        let mut found = Self {
            rules: BTreeMap::new(),
            faults: BTreeMap::new(),
        };
        for record in &trace.records {
            // A trace that breaks off has no totals, but first hits.
            match &record.event {
                Event::PathRuleHit { rule } => {
                    *found.rules.entry(rule).or_default() += 1;
                }
                Event::FaultHit { fault } => {
                    found.faults.entry(fault).or_insert(1);
                }
                Event::PathTotals { totals } => {
                    found.rules = totals.iter().map(|(name, n)| (&**name, *n)).collect();
                }
                Event::FaultTotals { totals } => {
                    found.faults = totals.iter().map(|(name, n)| (&**name, *n)).collect();
                }
                _ => {}
            }
        }
        found
    }
}

fn changes(case: &Case, trace: &Trace) -> Vec<Fault> {
    // What is to happen twice must have happened twice.
    let mut happened: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &trace.records {
        if let Event::Changed { what } = &record.event {
            *happened.entry(what).or_default() += 1;
        }
    }
    let scrapes = scrapes(trace);
    let mut faults = Vec::new();
    for (index, change) in case.changes.iter().enumerate() {
        let at = duration(change.at_ns);
        let came = match happened.get_mut(&*change.what) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        };
        let met = came.then(|| met(case, index, change, &scrapes)).flatten();
        let doubt = match (came, met) {
            (false, _) if change.at_ns >= case.until_ns => Some(format!(
                "`{}` was due after the end of the run",
                change.what
            )),
            (false, _) => Some(format!(
                "`{}` at {at} of virtual time never happened",
                change.what
            )),
            (true, Some(0)) if !change.undoes => Some(format!(
                "`{}` at {at} of virtual time had no effect: nobody scraped the node while it held",
                change.what
            )),
            _ => None,
        };
        faults.push(Fault {
            kind: Kind::Change,
            name: change.what.clone(),
            fired: met.unwrap_or(u64::from(came)),
            doubt,
        });
    }
    faults
}

/// When scrapes of each node began and ended.
type Scrapes<'t> = BTreeMap<&'t str, Vec<(u64, u64)>>;

fn scrapes(trace: &Trace) -> Scrapes<'_> {
    let mut scrapes = Scrapes::new();
    for record in &trace.records {
        if let Event::Scraped {
            node, duration_ns, ..
        } = &record.event
        {
            let began = record.t.saturating_sub(*duration_ns);
            scrapes.entry(node).or_default().push((began, record.t));
        }
    }
    scrapes
}

/// How often a change of a kubelet was met by a scrape before the next change
/// of the same kubelet; `None` for changes that take effect by coming.
fn met(case: &Case, index: usize, change: &Change, scrapes: &Scrapes<'_>) -> Option<u64> {
    let node = change.kubelet.as_deref()?;
    let later = &case.changes[index + 1..];
    let next = later
        .iter()
        .find(|other| other.kubelet.as_deref() == Some(node))
        .map_or(u64::MAX, |other| other.at_ns);
    let of_node = scrapes.get(node).map_or(&[][..], Vec::as_slice);
    let met = of_node
        .iter()
        .filter(|(began, ended)| *ended >= change.at_ns && *began < next);
    Some(met.count() as u64)
}

/// Reasons why nothing that was seen in the run can be relied upon: it was
/// cut short, a fault never took effect, or somebody asked for what is not
/// modelled.
#[must_use]
pub fn doubts(trace: &Trace, faults: &[Fault]) -> Vec<String> {
    let mut doubts = Vec::new();
    match trace.records.last().map(|record| &record.event) {
        Some(Event::Ended { reason }) if reason == "until" => {}
        Some(Event::Ended { reason }) => doubts.push(format!("the run ended early: {reason}")),
        _ => doubts.push("the trace breaks off before the end of the run".to_owned()),
    }
    doubts.extend(doubts_once(faults));
    let mut unknown = BTreeSet::new();
    for record in &trace.records {
        if let Event::NotModelled { request } = &record.event
            && unknown.insert(request)
        {
            doubts.push(format!(
                "{} asked for what is not modelled: {request}",
                record.host
            ));
        }
    }
    doubts
}

/// What is doubtful of the faults. What many nodes share is said once.
fn doubts_once(faults: &[Fault]) -> Vec<String> {
    let mut said: Vec<(&str, u64)> = Vec::new();
    for doubt in faults.iter().filter_map(|fault| fault.doubt.as_deref()) {
        match said.iter_mut().find(|(other, _)| *other == doubt) {
            Some((_, times)) => *times += 1,
            None => said.push((doubt, 1)),
        }
    }
    let words = said.into_iter().map(|(doubt, times)| match times {
        1 => doubt.to_owned(),
        times => format!("{doubt} ({times} times)"),
    });
    words.collect()
}
