//! What must hold, and whether it did.
//!
//! A claim that had nothing to look at is neither held nor broken: it is
//! inconclusive. So is a run whose hardships never happened; see
//! [`doubts`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::milestone::{Milestone, Milestones};
use crate::response::{Answer, answers};
use crate::trace::{Event, Trace};
use crate::units::{counted, duration};
use crate::verdict::Verdict;

/// What must hold, and where the scenario says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// The claim.
    pub claim: Claim,
    /// Line in the scenario file, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// A claim about a run. Bounds are inclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Claim {
    /// The verdict is this word: `READY_LATE`.
    Verdict(String),
    /// A milestone is reached within bounds, in nanoseconds since the first
    /// start of the process. `timeToReady` counts as one.
    Milestone {
        /// Its JSON name.
        name: String,
        /// Not before.
        min_ns: Option<u64>,
        /// Not after.
        max_ns: Option<u64>,
    },
    /// A milestone is never reached.
    NoMilestone(String),
    /// The number of responses that match lies within bounds.
    Responses {
        /// `readiness-probe`, …, `scraper`
        observer: String,
        /// `500`, `refused`, …; any when absent.
        outcome: Option<String>,
        /// A part of the text; any when absent.
        text: Option<String>,
        /// Only responses at or after this virtual time.
        from_ns: Option<u64>,
        /// Only responses before this virtual time.
        to_ns: Option<u64>,
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// The set of outcomes that an observer saw, exactly.
    Outcomes {
        /// `readiness-probe`, …, `scraper`
        observer: String,
        /// In any order.
        outcomes: Vec<String>,
    },
    /// The number of container restarts lies within bounds.
    Restarts {
        /// At least.
        min: u64,
        /// At most.
        max: u64,
    },
}

/// Whether a claim, a run or a scenario held. From best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It held.
    Pass,
    /// It did not hold.
    Fail,
    /// Nothing can be said: what it is about did not happen.
    Inconclusive,
}

/// A claim, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExpectationResult {
    /// What was looked at: `timeToReady`, `readiness-probe 500`.
    pub subject: String,
    /// Whether it held.
    pub outcome: Outcome,
    /// What was seen: `92.400s`.
    pub got: String,
    /// What was wanted: `at most 60.000s`.
    pub want: String,
    /// By how much it missed: `over by 32.400s`. Absent where it held or no
    /// distance exists.
    pub by: Option<String>,
    /// Line in the scenario file, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

impl ExpectationResult {
    /// `got 92.400s, want at most 60.000s (over by 32.400s)`
    #[must_use]
    pub fn seen(&self) -> String {
        let Self { got, want, .. } = self;
        match (&self.by, self.outcome) {
            (Some(by), _) => format!("got {got}, want {want} ({by})"),
            (None, Outcome::Inconclusive) => format!("{got}; want {want}"),
            (None, Outcome::Pass) if got == want => format!("got {got}"),
            (None, _) => format!("got {got}, want {want}"),
        }
    }
}

/// What claims are held against.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What happened.
    pub trace: &'a Trace,
    /// When each stage was reached.
    pub milestones: &'a Milestones,
    /// What became of it.
    pub verdict: Verdict,
    /// Container restarts; absent if the container never started.
    pub restarts: Option<u64>,
    /// How long the run was observed after the first start of the process.
    pub observed_ns: u64,
}

/// Holds one claim against what happened.
#[must_use]
pub fn evaluate(expectation: &Expectation, evidence: &Evidence<'_>) -> ExpectationResult {
    let weighed = match &expectation.claim {
        Claim::Verdict(word) => weigh_verdict(word, evidence),
        Claim::Milestone {
            name,
            min_ns,
            max_ns,
        } => {
            let bounds = Bounds {
                min: *min_ns,
                max: *max_ns,
            };
            weigh_milestone(name, bounds, evidence)
        }
        Claim::NoMilestone(name) => weigh_no_milestone(name, evidence),
        Claim::Responses {
            observer,
            outcome,
            text,
            from_ns,
            to_ns,
            min,
            max,
        } => {
            let filter = Filter {
                observer,
                outcome: outcome.as_deref(),
                text: text.as_deref(),
                from_ns: *from_ns,
                to_ns: *to_ns,
            };
            weigh_responses(
                &filter,
                Bounds {
                    min: *min,
                    max: *max,
                },
                evidence,
            )
        }
        Claim::Outcomes { observer, outcomes } => weigh_outcomes(observer, outcomes, evidence),
        Claim::Restarts { min, max } => weigh_restarts(*min, *max, evidence),
    };
    ExpectationResult {
        subject: weighed.subject,
        outcome: weighed.outcome,
        got: weighed.got,
        want: weighed.want,
        by: weighed.by,
        line: expectation.line,
        column: expectation.column,
    }
}

/// Reasons why nothing that was seen in the run can be relied upon: it was
/// cut short, a network rule or a change never took effect, or somebody asked
/// for what is not modelled.
#[must_use]
pub fn doubts(case: &Case, trace: &Trace) -> Vec<String> {
    let mut doubts = Vec::new();
    match trace.records.last().map(|record| &record.event) {
        Some(Event::Ended { reason }) if reason == "until" => {}
        Some(Event::Ended { reason }) => doubts.push(format!("the run ended early: {reason}")),
        _ => doubts.push("the trace breaks off before the end of the run".to_owned()),
    }
    let took_effect = |rule: &str| {
        trace.records.iter().any(|record| match &record.event {
            Event::PathTotals { totals } => totals
                .iter()
                .any(|(name, count)| name == rule && *count > 0),
            Event::PathRuleHit { rule: hit } => hit == rule,
            _ => false,
        })
    };
    for rule in case.path_rules.iter().filter(|rule| !took_effect(rule)) {
        doubts.push(format!("network rule `{rule}` never took effect"));
    }
    // What is to happen twice must have happened twice.
    let mut happened: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &trace.records {
        if let Event::Changed { what } = &record.event {
            *happened.entry(what).or_default() += 1;
        }
    }
    for change in &case.changes {
        match happened.get_mut(&*change.what) {
            Some(left) if *left > 0 => *left -= 1,
            _ => {
                let at = duration(change.at_ns);
                doubts.push(format!(
                    "`{}` at {at} of virtual time never happened",
                    change.what
                ));
            }
        }
    }
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

struct Weighed {
    subject: String,
    outcome: Outcome,
    got: String,
    want: String,
    by: Option<String>,
}

impl Weighed {
    fn holds(subject: String, holds: bool, got: String, want: String) -> Self {
        let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
        Self {
            subject,
            outcome,
            got,
            want,
            by: None,
        }
    }

    fn inconclusive(subject: String, got: String, want: String) -> Self {
        Self {
            subject,
            outcome: Outcome::Inconclusive,
            got,
            want,
            by: None,
        }
    }

    fn by(mut self, by: Option<String>) -> Self {
        self.by = by;
        self
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    min: Option<u64>,
    max: Option<u64>,
}

impl Bounds {
    fn hold(self, got: u64) -> bool {
        self.min.is_none_or(|min| got >= min) && self.max.is_none_or(|max| got <= max)
    }

    fn want(self, show: impl Fn(u64) -> String) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) if min == max => format!("exactly {}", show(min)),
            (Some(min), Some(max)) => format!("at least {}, at most {}", show(min), show(max)),
            (Some(min), None) => format!("at least {}", show(min)),
            (None, Some(max)) => format!("at most {}", show(max)),
            (None, None) => "any".to_owned(),
        }
    }

    fn missed_by(self, got: u64, show: impl Fn(u64) -> String) -> Option<String> {
        match (self.min, self.max) {
            (_, Some(max)) if got > max => Some(format!("over by {}", show(got - max))),
            (Some(min), _) if got < min => Some(format!("under by {}", show(min - got))),
            _ => None,
        }
    }
}

fn weigh_verdict(word: &str, evidence: &Evidence<'_>) -> Weighed {
    let got = evidence.verdict.word();
    Weighed::holds(
        "verdict".to_owned(),
        got == word,
        got.to_owned(),
        word.to_owned(),
    )
}

fn weigh_milestone(name: &str, bounds: Bounds, evidence: &Evidence<'_>) -> Weighed {
    let subject = name.to_owned();
    let want = match bounds {
        Bounds {
            min: None,
            max: None,
        } => "reached".to_owned(),
        _ => bounds.want(duration),
    };
    let Some(milestone) = Milestone::from_name(name) else {
        return Weighed::inconclusive(subject, "no such milestone".to_owned(), want);
    };
    match evidence.milestones.at(milestone) {
        Some(at) => Weighed::holds(subject, bounds.hold(at), duration(at), want)
            .by(bounds.missed_by(at, duration)),
        // It may still have come in time after the end of the run.
        None if bounds.max.is_some_and(|max| max > evidence.observed_ns) => {
            let got = format!(
                "not by the end of the run at {}",
                duration(evidence.observed_ns)
            );
            Weighed::inconclusive(subject, got, want)
        }
        None => {
            let got = format!("never, in {}", duration(evidence.observed_ns));
            Weighed::holds(subject, false, got, want)
        }
    }
}

fn weigh_no_milestone(name: &str, evidence: &Evidence<'_>) -> Weighed {
    let (subject, want) = (name.to_owned(), "never".to_owned());
    let Some(milestone) = Milestone::from_name(name) else {
        return Weighed::inconclusive(subject, "no such milestone".to_owned(), want);
    };
    match evidence.milestones.at(milestone) {
        Some(at) => Weighed::holds(subject, false, duration(at), want),
        None if evidence.restarts.is_none() && milestone != Milestone::ProcessStarted => {
            Weighed::inconclusive(subject, "the container never started".to_owned(), want)
        }
        None => {
            let got = format!("never, in {}", duration(evidence.observed_ns));
            Weighed::holds(subject, true, got, want)
        }
    }
}

struct Filter<'a> {
    observer: &'a str,
    outcome: Option<&'a str>,
    text: Option<&'a str>,
    from_ns: Option<u64>,
    to_ns: Option<u64>,
}

impl Filter<'_> {
    fn in_window(&self, answer: &Answer<'_>) -> bool {
        self.from_ns.is_none_or(|from| answer.at >= from)
            && self.to_ns.is_none_or(|to| answer.at < to)
    }

    fn matches(&self, answer: &Answer<'_>) -> bool {
        self.outcome.is_none_or(|outcome| answer.outcome == outcome)
            && self.text.is_none_or(|text| answer.text.contains(text))
    }

    fn subject(&self) -> String {
        let mut subject = self.observer.to_owned();
        if let Some(outcome) = self.outcome {
            subject.push_str(&format!(" {outcome}"));
        }
        if let Some(text) = self.text {
            subject.push_str(&format!(" with \"{text}\""));
        }
        // The scenario's own times: see Claim::Responses.
        match (self.from_ns, self.to_ns) {
            (Some(from), Some(to)) => {
                subject.push_str(&format!(" from {} to {}", duration(from), duration(to)));
            }
            (Some(from), None) => subject.push_str(&format!(" from {}", duration(from))),
            (None, Some(to)) => subject.push_str(&format!(" before {}", duration(to))),
            (None, None) => {}
        }
        subject
    }
}

fn weigh_responses(filter: &Filter<'_>, bounds: Bounds, evidence: &Evidence<'_>) -> Weighed {
    let want = bounds.want(|count| counted(count, "response"));
    let asked: Vec<_> = answers(evidence.trace)
        .filter(|answer| answer.observer == filter.observer)
        .collect();
    if asked.is_empty() {
        let got = format!("{} never asked", filter.observer);
        return Weighed::inconclusive(filter.subject(), got, want);
    }
    let in_window = || asked.iter().filter(|answer| filter.in_window(answer));
    // "No 503 between 40 s and 60 s" has looked at nothing if nobody asked then.
    let selective = filter.outcome.is_some() || filter.text.is_some();
    if selective && in_window().next().is_none() {
        let got = format!("{} did not ask in that time", filter.observer);
        return Weighed::inconclusive(filter.subject(), got, want);
    }
    let got = in_window().filter(|answer| filter.matches(answer)).count() as u64;
    Weighed::holds(
        filter.subject(),
        bounds.hold(got),
        counted(got, "response"),
        want,
    )
    .by(bounds.missed_by(got, |count| count.to_string()))
}

fn weigh_outcomes(observer: &str, outcomes: &[String], evidence: &Evidence<'_>) -> Weighed {
    let list = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(", ");
    let subject = format!("{observer} outcomes");
    let wanted: BTreeSet<_> = outcomes.iter().map(String::as_str).collect();
    let seen: BTreeSet<_> = answers(evidence.trace)
        .filter(|answer| answer.observer == observer)
        .map(|answer| answer.outcome)
        .collect();
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

fn weigh_restarts(min: u64, max: u64, evidence: &Evidence<'_>) -> Weighed {
    let bounds = Bounds {
        min: Some(min),
        max: Some(max),
    };
    let show = |count| counted(count, "restart");
    let (subject, want) = ("restarts".to_owned(), bounds.want(show));
    match evidence.restarts {
        Some(got) => Weighed::holds(subject, bounds.hold(got), show(got), want)
            .by(bounds.missed_by(got, |count| count.to_string())),
        None => Weighed::inconclusive(subject, "the container never started".to_owned(), want),
    }
}
