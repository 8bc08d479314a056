//! Claims about answers, log lines, Events and exits: how many, when, how far
//! apart, how long.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Evidence;
use super::bounds::{Bounds, Weighed};
use crate::moment::{AnswerFilter, EventFilter, ExitFilter, LogFilter};
use crate::response::answers;
use crate::trace::{Event, Record, Trace};
use crate::units::{counted, duration, seconds, since};

/// Things that happen at an instant, of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Happening {
    /// Answers, or the want of them.
    Responses(AnswerFilter),
    /// Log lines.
    Logs(LogFilter),
    /// Kubernetes Events.
    Events(EventFilter),
    /// Ends of processes.
    Exits(ExitFilter),
}

/// A stretch of the run, in virtual nanoseconds since the simulation began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// At or after this.
    pub from_ns: Option<u64>,
    /// Before this.
    pub to_ns: Option<u64>,
}

impl Window {
    /// Whether `at` lies within.
    pub(super) fn holds(self, at: u64) -> bool {
        self.from_ns.is_none_or(|from| at >= from) && self.to_ns.is_none_or(|to| at < to)
    }

    /// ` from 40.000s to 60.000s`, in the scenario's own times.
    pub(super) fn words(self) -> String {
        match (self.from_ns, self.to_ns) {
            (Some(from), Some(to)) => format!(" from {} to {}", duration(from), duration(to)),
            (Some(from), None) => format!(" from {}", duration(from)),
            (None, Some(to)) => format!(" before {}", duration(to)),
            (None, None) => String::new(),
        }
    }
}

/// What about the happenings lies within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    /// How many there are.
    Count(Bounds),
    /// The time between each and the next of the same machine and target, in
    /// nanoseconds.
    Every(Bounds),
    /// How long each took, in nanoseconds: of answers only.
    Duration(Bounds),
    /// When the first came, in nanoseconds since the first start of the
    /// process.
    First(Bounds),
    /// When the last came, likewise.
    Last(Bounds),
}

/// One happening, as far as it is measured.
struct Instant<'t> {
    at: u64,
    took: u64,
    /// Whose it is: intervals are taken between happenings of one source.
    source: (&'t str, &'t str),
    matches: bool,
}

impl Happening {
    /// `scraper of pi timeout`
    fn words(&self) -> String {
        match self {
            Self::Responses(filter) => filter.words(),
            Self::Logs(filter) => filter.words(),
            Self::Events(filter) => filter.words(),
            Self::Exits(filter) => filter.words(),
        }
    }

    /// What one is called when it is counted.
    fn noun(&self) -> &'static str {
        match self {
            Self::Responses(_) => "response",
            Self::Logs(_) => "line",
            Self::Events(_) => "event",
            Self::Exits(_) => "exit",
        }
    }

    /// What is looked at, and which of it is meant. For answers that is what
    /// the right observer was answered; for the others everything of the sort.
    fn looked_at<'t>(&self, trace: &'t Trace) -> Vec<Instant<'t>> {
        let among = |sort: fn(&Event) -> bool, matches: &dyn Fn(&Record) -> bool| {
            let sort = trace
                .records
                .iter()
                .filter(move |record| sort(&record.event));
            sort.map(|record| Instant {
                at: record.t,
                took: 0,
                source: (&record.host, ""),
                matches: matches(record),
            })
            .collect()
        };
        match self {
            Self::Responses(filter) => answers(trace)
                .filter(|answer| filter.concerns(answer))
                .map(|answer| Instant {
                    at: answer.at,
                    took: answer.duration_ns,
                    source: (answer.host, answer.target),
                    matches: filter.matches(&answer),
                })
                .collect(),
            Self::Logs(filter) => among(|event| matches!(event, Event::Log { .. }), &|record| {
                filter.matches(record)
            }),
            Self::Events(filter) => among(
                |event| matches!(event, Event::Kubernetes { .. }),
                &|record| filter.matches(record),
            ),
            Self::Exits(filter) => among(
                |event| matches!(event, Event::ProcessExited { .. }),
                &|record| filter.matches(record),
            ),
        }
    }

    /// Why there was nothing to look at.
    fn nothing_seen(&self, evidence: &Evidence<'_>) -> Option<String> {
        let started = evidence.restarts.is_some();
        match self {
            Self::Responses(filter) => {
                let asked =
                    answers(evidence.trace).any(|answer| answer.observer == filter.observer);
                let who = &filter.observer;
                Some(match (asked, &filter.target, &filter.on) {
                    (true, Some(target), None) => format!("{who} never asked for {target}"),
                    (true, Some(target), Some(on)) => {
                        format!("{who} never asked for {target} on {on}")
                    }
                    (true, None, Some(on)) => format!("{who} never asked on {on}"),
                    _ => format!("{who} never asked"),
                })
            }
            // A process that ran could have written, and ended; then nothing
            // is an answer.
            Self::Logs(_) | Self::Exits(_) => {
                (!started).then(|| "the container never started".to_owned())
            }
            Self::Events(_) => None,
        }
    }

    /// Whether some of what is looked at may be meant and some not.
    fn is_selective(&self) -> bool {
        match self {
            Self::Responses(filter) => filter.outcome.is_some() || filter.text.is_some(),
            _ => false,
        }
    }
}

/// Holds a measure of happenings against its bounds.
pub(super) fn weigh(
    what: &Happening,
    window: Window,
    measure: Measure,
    evidence: &Evidence<'_>,
) -> Weighed {
    let mut subject = format!("{}{}", what.words(), window.words());
    let (label, want) = match measure {
        Measure::Count(bounds) => ("", bounds.want(|count| counted(count, what.noun()))),
        Measure::Every(bounds) => (" interval", bounds.want(duration)),
        Measure::Duration(bounds) => (" duration", bounds.want(duration)),
        Measure::First(bounds) => (" first", bounds.want(duration)),
        Measure::Last(bounds) => (" last", bounds.want(duration)),
    };
    subject.push_str(label);
    let seen = what.looked_at(evidence.trace);
    if seen.is_empty()
        && let Some(got) = what.nothing_seen(evidence)
    {
        return Weighed::inconclusive(subject, got, want);
    }
    let within: Vec<_> = seen.iter().filter(|i| window.holds(i.at)).collect();
    // "No 503 between 40 s and 60 s" has looked at nothing if nobody asked then.
    if let Happening::Responses(filter) = what
        && what.is_selective()
        && within.is_empty()
    {
        let got = format!("{} did not ask in that time", filter.observer);
        return Weighed::inconclusive(subject, got, want);
    }
    let meant: Vec<_> = within.into_iter().filter(|i| i.matches).collect();
    let origin = evidence.origin_ns;
    let since_start = |instant: &Instant<'_>| since(origin, instant.at);
    match measure {
        Measure::Count(bounds) => {
            let got = meant.len() as u64;
            let shown = counted(got, what.noun());
            Weighed::holds(subject, bounds.hold(got), shown, want)
                .by(bounds.missed_by(got, |count| count.to_string()))
        }
        Measure::Every(bounds) => {
            let none = "fewer than two, so there is no interval";
            weigh_all(subject, want, bounds, &intervals(&meant), none)
        }
        Measure::Duration(bounds) => {
            let all: Vec<u64> = meant.iter().map(|i| i.took).collect();
            weigh_all(subject, want, bounds, &all, "there was none to time")
        }
        Measure::First(bounds) => {
            weigh_instant(subject, want, bounds, meant.first().map(|i| since_start(i)))
        }
        Measure::Last(bounds) => {
            weigh_instant(subject, want, bounds, meant.last().map(|i| since_start(i)))
        }
    }
}

/// The times between consecutive happenings of each source.
fn intervals(instants: &[&Instant<'_>]) -> Vec<u64> {
    let mut last: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut intervals = Vec::new();
    for instant in instants {
        if let Some(before) = last.insert(instant.source, instant.at) {
            intervals.push(instant.at - before);
        }
    }
    intervals
}

/// All values lie within bounds; the one that misses most speaks for them.
fn weigh_all(subject: String, want: String, bounds: Bounds, values: &[u64], none: &str) -> Weighed {
    let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) else {
        return Weighed::inconclusive(subject, none.to_owned(), want);
    };
    let got = if least == most {
        duration(*least)
    } else {
        format!("{} to {}", duration(*least), duration(*most))
    };
    let by = bounds.missed_by(*most, duration);
    let by = by.or_else(|| bounds.missed_by(*least, duration));
    Weighed::holds(subject, by.is_none(), got, want).by(by)
}

fn weigh_instant(subject: String, want: String, bounds: Bounds, at: Option<i64>) -> Weighed {
    let Some(at) = at else {
        return Weighed::inconclusive(subject, "there was none".to_owned(), want);
    };
    let got = seconds(at);
    // What came before the process started came before any bound.
    let late = u64::try_from(at).unwrap_or(0);
    Weighed::holds(subject, bounds.hold(late), got, want).by(bounds.missed_by(late, duration))
}

/// Holds the set of outcomes of an observer against the one that is wanted.
pub(super) fn weigh_outcomes(
    observer: &str,
    outcomes: &[String],
    evidence: &Evidence<'_>,
) -> Weighed {
    let list = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(", ");
    let subject = format!("{observer} outcomes");
    let wanted: BTreeSet<_> = outcomes.iter().map(String::as_str).collect();
    let seen: BTreeSet<_> = answers(evidence.trace)
        .filter(|answer| answer.observer == observer)
        .map(|answer| answer.outcome)
        .collect();
    if wanted.is_empty() {
        let got = match seen.is_empty() {
            true => format!("{observer} never asked"),
            false => list(&seen),
        };
        return Weighed::holds(subject, seen.is_empty(), got, "no answers".to_owned());
    }
    if seen.is_empty() {
        return Weighed::inconclusive(subject, format!("{observer} never asked"), list(&wanted));
    }
    let differ = |label: &str, a: &BTreeSet<&str>, b: &BTreeSet<&str>| {
        let extra: Vec<_> = a.difference(b).copied().collect();
        (!extra.is_empty()).then(|| format!("{label} {}", extra.join(", ")))
    };
    let by: Vec<_> = [
        differ("missing", &wanted, &seen),
        differ("unexpected", &seen, &wanted),
    ]
    .into_iter()
    .flatten()
    .collect();
    Weighed::holds(subject, by.is_empty(), list(&seen), list(&wanted))
        .by((!by.is_empty()).then(|| by.join("; ")))
}
