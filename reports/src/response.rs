//! Who was answered what, how often, when.

use std::collections::BTreeMap;

use crate::trace::{Event, Trace};
use crate::units::since;

/// The observer under which metrics-server's own scrapes are listed.
pub const SCRAPER: &str = "scraper";

/// The observers, in the order in which reports list them. Others follow, in
/// alphabetical order.
pub const OBSERVERS: [&str; 13] = [
    "readiness-probe",
    "liveness-probe",
    "startup-probe",
    "aggregator-check",
    "kubectl-top",
    "hpa",
    "discovery",
    "controller-manager",
    "namespace-controller",
    "kubectl-wait",
    "helm-install",
    "kubectl-drain",
    SCRAPER,
];

/// Equal answers to one observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRow {
    /// Who asked: `readiness-probe`, …, `scraper`.
    pub observer: String,
    /// The path asked for; for `scraper` the node's name.
    pub target: String,
    /// A status code, or `refused`, `timeout`, `reset`, `tls`, `dns`,
    /// `unreachable`, `malformed`.
    pub outcome: String,
    /// What the observer's user sees, exactly.
    pub text: String,
    /// How many.
    pub count: u64,
    /// The first, in nanoseconds since the first start of the process.
    pub first_ns: i64,
    /// The last, likewise.
    pub last_ns: i64,
}

/// One answer, or the want of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer<'t> {
    /// Virtual nanoseconds since the simulation began.
    pub(crate) at: u64,
    pub(crate) observer: &'t str,
    pub(crate) target: &'t str,
    pub(crate) outcome: &'t str,
    pub(crate) text: &'t str,
    /// From asking to knowing, in nanoseconds.
    pub(crate) duration_ns: u64,
    /// The machine that asked.
    pub(crate) host: &'t str,
}

/// Every answer in `trace`, in order. The witness is left out: no such client
/// exists in a cluster.
pub(crate) fn answers(trace: &Trace) -> impl Iterator<Item = Answer<'_>> {
    trace.records.iter().filter_map(|record| {
        let (observer, target, outcome, text, duration_ns) = match &record.event {
            Event::Response {
                observer,
                target,
                outcome,
                text,
                duration_ns,
            } => (observer.as_str(), target, outcome, text, duration_ns),
            Event::Scraped {
                node,
                outcome,
                text,
                duration_ns,
            } => (SCRAPER, node, outcome, text, duration_ns),
            _ => return None,
        };
        Some(Answer {
            at: record.t,
            observer,
            target,
            outcome,
            text,
            duration_ns: *duration_ns,
            host: &record.host,
        })
    })
}

/// The answers of a run, equal ones together: by observer in the order of
/// [`OBSERVERS`], then by their first time. Times count from `origin`, virtual
/// nanoseconds since the simulation began.
#[must_use]
pub fn responses(trace: &Trace, origin: u64) -> Vec<ResponseRow> {
    let mut index = BTreeMap::new();
    let mut rows: Vec<ResponseRow> = Vec::new();
    for answer in answers(trace) {
        let at = since(origin, answer.at);
        let key = (answer.observer, answer.target, answer.outcome, answer.text);
        let row = *index.entry(key).or_insert_with(|| {
            rows.push(ResponseRow {
                observer: answer.observer.to_owned(),
                target: answer.target.to_owned(),
                outcome: answer.outcome.to_owned(),
                text: answer.text.to_owned(),
                count: 0,
                first_ns: at,
                last_ns: at,
            });
            rows.len() - 1
        });
        rows[row].count += 1;
        rows[row].last_ns = at;
    }
    // Stable: rows of one observer stay in the order of their first time.
    rows.sort_by(|a, b| (rank(&a.observer), &a.observer).cmp(&(rank(&b.observer), &b.observer)));
    rows
}

fn rank(observer: &str) -> usize {
    OBSERVERS
        .iter()
        .position(|known| *known == observer)
        .unwrap_or(OBSERVERS.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Record;

    fn probe(outcome: &str) -> Event {
        Event::Response {
            observer: "readiness-probe".to_owned(),
            target: "/readyz".to_owned(),
            outcome: outcome.to_owned(),
            text: String::new(),
            duration_ns: 0,
        }
    }

    #[test]
    fn equal_answers_share_a_row_and_observers_keep_their_order() {
        let events = [
            (5, Event::ProcessStarted { restart: 0 }),
            (
                6,
                Event::Scraped {
                    node: "pi".to_owned(),
                    outcome: "tls".to_owned(),
                    text: "remote error: tls: internal error".to_owned(),
                    duration_ns: 1,
                },
            ),
            (4, probe("refused")),
            (7, probe("500")),
            (9, probe("500")),
            (11, probe("200")),
        ];
        let records = events
            .into_iter()
            .enumerate()
            .map(|(seq, (t, event))| Record {
                t,
                seq: seq as u64,
                host: String::new(),
                event,
            });
        let trace = Trace {
            records: records.collect(),
        };
        let rows = responses(&trace, 5);
        let shown: Vec<_> = rows
            .iter()
            .map(|row| {
                (
                    &*row.observer,
                    &*row.outcome,
                    row.count,
                    row.first_ns,
                    row.last_ns,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("readiness-probe", "refused", 1, -1, -1),
                ("readiness-probe", "500", 2, 2, 4),
                ("readiness-probe", "200", 1, 6, 6),
                (SCRAPER, "tls", 1, 1, 1),
            ]
        );
        assert_eq!(rows[3].target, "pi");
    }
}
