//! Causes in words, each with the setting that governs it.

use std::collections::BTreeMap;

use super::Cause;
use super::blame::unreachable_by;
use super::waiting;
use crate::case::{Case, Setting, setting};
use crate::life::{Life, Tick};
use crate::units::{counted, duration};

/// Nodes named in one part; the others are counted.
const NAMED: usize = 3;

/// What `cause` stands for and what governs it. Ticks are those of the last
/// of `lives`.
///
/// `rules` are the network rules that took effect.
pub(super) fn describe(
    case: &Case,
    lives: &[Life<'_>],
    rules: &[&str],
    cause: &Cause<'_>,
) -> (String, Setting) {
    let ticks = lives.last().map_or(&[][..], |life| &life.ticks);
    match *cause {
        Cause::Attempt {
            code,
            killed_by,
            error,
        } => attempt(case, lives, rules, code, killed_by, error),
        Cause::Restart => (restart(lives), case.setting(setting::RESTART)),
        Cause::Kubelets(from, to) => kubelets(case, rules, &ticks[from..to]),
        Cause::Unusable(from, to) => unusable(case, &ticks[from..to]),
        Cause::Scrape(index) => scrape(case, &ticks[index]),
        Cause::Container(Some((reason, message))) => waiting::told(case, reason, message),
        Cause::Synchronise => {
            let (what, _) = plain(cause);
            (what, way_to_api_server(case, rules))
        }
        _ => {
            let (what, governing) = plain(cause);
            (what, case.setting(governing))
        }
    }
}

fn plain(cause: &Cause<'_>) -> (String, &'static str) {
    let (what, governing) = match cause {
        Cause::OtherPod => (
            "other pods started before the one that was Ready first",
            setting::REPLICAS,
        ),
        Cause::Container(_) => ("the container has not started", setting::POD),
        Cause::Start => ("process start and serving certificate", setting::START_COST),
        Cause::Synchronise => ("configuration and informer sync", setting::API_SERVER),
        Cause::Storage => ("storage needs two good scrapes", setting::RESOLUTION),
        Cause::StartupProbe => ("waiting for the startup probe", setting::STARTUP_PERIOD),
        Cause::InitialDelay => (
            "readiness probe not begun: initial delay",
            setting::READINESS_INITIAL_DELAY,
        ),
        Cause::ProbePhase => (
            "waiting for the next readiness probe",
            setting::READINESS_PERIOD,
        ),
        Cause::ProbeFailures(text) => {
            let what = format!("readiness probes fail although the storage is ready: {text}");
            let name = match text.contains("deadline exceeded") {
                true => setting::READINESS_TIMEOUT,
                false => setting::READINESS,
            };
            return (what, name);
        }
        Cause::Successes => (
            "further readiness probes to succeed",
            setting::READINESS_SUCCESSES,
        ),
        Cause::NoProbe => (
            "no readiness probe: Ready as soon as the container runs",
            setting::READINESS,
        ),
        Cause::Status => (
            "from the probe to the pod's Ready condition",
            setting::API_SERVER,
        ),
        Cause::Attempt { .. }
        | Cause::Restart
        | Cause::Kubelets(..)
        | Cause::Unusable(..)
        | Cause::Scrape(_) => unreachable!("described from the lives of the process"),
    };
    (what.to_owned(), governing)
}

fn attempt(
    case: &Case,
    lives: &[Life<'_>],
    rules: &[&str],
    code: i32,
    killed_by: Option<&str>,
    error: Option<&str>,
) -> (String, Setting) {
    let like_this = lives.iter().filter(|life| {
        life.ended
            .is_some_and(|end| end.code == code && end.killed_by == killed_by)
            && (killed_by.is_some() || life.last_error() == error)
    });
    let starts = counted(like_this.count().max(1) as u64, "start");
    let because = error.map(|error| format!(": {error}")).unwrap_or_default();
    let (what, governing) = match killed_by {
        Some("liveness") => (
            format!("{starts} killed by the liveness probe"),
            setting::LIVENESS_FAILURES,
        ),
        Some("startup") => (
            format!("{starts} killed by the startup probe"),
            setting::STARTUP_FAILURES,
        ),
        Some("eviction") => (
            format!("{starts} ended by an eviction for lack of memory"),
            setting::MEMORY,
        ),
        Some(_) => (format!("{starts} ended by the scenario"), setting::ACTIONS),
        None => {
            let what = format!("{starts} ended with exit {code}{because}");
            let bound = lives.iter().any(|life| {
                life.port_bound.is_some() && life.ended.is_some_and(|end| end.code == code)
            });
            if bound {
                return (what, way_to_api_server(case, rules));
            }
            (what, setting::ARGS)
        }
    };
    (what, case.setting(governing))
}

/// The API server, or a rule on the way there that took effect where nothing is
/// said of itself.
fn way_to_api_server(case: &Case, rules: &[&str]) -> Setting {
    if let Some(said) = case.said(&[setting::API_SERVER]) {
        return said;
    }
    let rules = rules
        .iter()
        .map(|rule| case.setting(&setting::network(rule)));
    let mut on_the_way = rules.filter(|rule| {
        ["metrics-server", "apiserver"]
            .iter()
            .all(|party| rule.value.contains(party))
    });
    on_the_way
        .next()
        .unwrap_or_else(|| case.setting(setting::API_SERVER))
}

fn restart(lives: &[Life<'_>]) -> String {
    let waits: Vec<_> = lives
        .iter()
        .filter_map(|life| life.back_off_ns)
        .map(|ns| format!("{}s", ns / 1_000_000_000))
        .collect();
    if waits.is_empty() {
        "waiting to be restarted".to_owned()
    } else {
        format!("waiting to be restarted, back-off {}", waits.join(", "))
    }
}

/// Which nodes failed in `ticks`, how often, and the last reason of each.
fn failures<'t>(ticks: &[Tick<'t>]) -> Vec<(&'t str, u64, &'t str)> {
    let mut failures: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for tick in ticks {
        for (node, scrape) in tick.scrapes.iter().filter(|(_, scrape)| !scrape.is_good()) {
            let reason = if scrape.text.is_empty() {
                scrape.outcome
            } else {
                scrape.text
            };
            let (count, last) = failures.entry(node).or_default();
            *count += 1;
            *last = reason;
        }
    }
    let mut failures: Vec<_> = failures
        .into_iter()
        .map(|(node, (count, reason))| (node, count, reason))
        .collect();
    // Stable: equally bad nodes stay in alphabetical order.
    failures.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    failures
}

fn kubelets(case: &Case, rules: &[&str], ticks: &[Tick<'_>]) -> (String, Setting) {
    let failures = failures(ticks);
    let failed = ticks.iter().filter(|tick| tick.stored.is_some()).count();
    let scrapes = counted(failed as u64, "scrape");
    let Some((worst, _, _)) = failures.first() else {
        let what = if ticks.iter().all(|tick| tick.nodes == 0) && !ticks.is_empty() {
            format!("{scrapes} found no node")
        } else if failed == 0 {
            "the first scrape has not ended".to_owned()
        } else {
            format!("{scrapes} brought no sample")
        };
        return (what, case.setting(setting::NODES));
    };
    let governed_by = unreachable_by(case, rules, worst, ticks);
    // One node's failures are the scrapes' failures: no need to count twice.
    if let [(node, _, reason)] = failures[..] {
        return (
            format!("{scrapes} failed: node {node}: {reason}"),
            governed_by,
        );
    }
    let mut named: Vec<_> = failures
        .iter()
        .take(NAMED)
        .map(|(node, count, reason)| format!("node {node} ({count}): {reason}"))
        .collect();
    if failures.len() > NAMED {
        named.push(format!(
            "{} more",
            counted((failures.len() - NAMED) as u64, "node")
        ));
    }
    (
        format!("{scrapes} failed: {}", named.join("; ")),
        governed_by,
    )
}

fn unusable(case: &Case, ticks: &[Tick<'_>]) -> (String, Setting) {
    let scrapes = counted(ticks.len() as u64, "scrape");
    let stored = || ticks.iter().filter_map(|tick| tick.stored);
    let what = if stored().all(|stored| stored.nodes == 0) {
        format!("{scrapes} brought no node samples")
    } else if stored().all(|stored| stored.pods == 0) {
        format!("{scrapes} brought no pod samples")
    } else {
        format!("{scrapes} brought no second, newer sample")
    };
    let node = ticks.iter().flat_map(|tick| tick.scrapes.keys()).next();
    let governing = node.map_or_else(|| setting::NODES.to_owned(), |node| setting::kubelet(node));
    (what, case.setting(&governing))
}

fn scrape(case: &Case, tick: &Tick<'_>) -> (String, Setting) {
    // The first in alphabetical order among equals.
    let slowest = tick
        .scrapes
        .iter()
        .rev()
        .max_by_key(|(_, scrape)| scrape.duration_ns);
    match slowest {
        Some((node, scrape)) => {
            let verb = if scrape.is_good() {
                "answered"
            } else {
                "failed"
            };
            let took = duration(scrape.duration_ns);
            let lasted = tick
                .stored
                .map_or(0, |stored| stored.at.saturating_sub(tick.started));
            let later = lasted.saturating_sub(scrape.duration_ns);
            if later > scrape.duration_ns
                && let Some(cpu) = case.said(&[setting::CPU])
            {
                let later = duration(later);
                let what = format!(
                    "the deciding scrape: {later} from the last answer to the end of the tick"
                );
                return (what, cpu);
            }
            let what = format!("the deciding scrape: slowest node {node} {verb} after {took}");
            (what, case.setting(&setting::kubelet(node)))
        }
        None => (
            "the deciding scrape".to_owned(),
            case.setting(setting::NODES),
        ),
    }
}
