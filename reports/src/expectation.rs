//! What must hold, and whether it did.
//!
//! A claim that had nothing to look at is neither held nor broken: it is
//! inconclusive. So is a run whose hardships never happened; see
//! [`crate::fault`].
//!
//! - [`Bounds`]: at least, at most;
//! - [`Happening`], [`Measure`]: answers, log lines, Events and exits, and
//!   their number, times, intervals and durations;
//! - [`Listed`], [`Service`]: which nodes and pods are served when;
//! - [`Condition`], [`Mode`]: what holds always, eventually, never, sometimes.

mod bounds;
mod condition;
mod happening;
mod served;

use serde::{Deserialize, Serialize};

pub use bounds::Bounds;
use bounds::Weighed;
pub use condition::{Condition, Mode};
pub use happening::{Happening, Measure, Window};
pub use served::{Listed, Service};

use crate::case::{Case, Setting};
use crate::explanation::Explanation;
use crate::milestone::{Milestone, Milestones, milestones, origin_ns};
use crate::replica::{alone, restarts};
use crate::trace::{Event, Trace};
use crate::units::{counted, duration};
use crate::verdict::{Verdict, verdict};

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
        /// When.
        bounds: Bounds,
    },
    /// A milestone is never reached.
    NoMilestone(String),
    /// A measure of answers, log lines, Events or exits lies within bounds.
    Happening {
        /// Which.
        what: Happening,
        /// When they count.
        window: Window,
        /// What of them.
        measure: Measure,
    },
    /// The set of outcomes that an observer saw, exactly.
    Outcomes {
        /// `readiness-probe`, …, `scraper`
        observer: String,
        /// In any order.
        outcomes: Vec<String>,
    },
    /// The number of container restarts lies within bounds.
    Restarts(Bounds),
    /// A node or pod is, or is not, served.
    Served {
        /// Which.
        what: Listed,
        /// How.
        service: Service,
    },
    /// The explanation gives this cause.
    Cause {
        /// Its place among the causes, from 1.
        place: u32,
        /// A part of its words; any when absent.
        text: Option<String>,
        /// The setting that governs it, by its name or the beginning of it;
        /// any when absent.
        setting: Option<String>,
    },
    /// A claim about one pod, as if there were no other.
    OfReplica {
        /// Its number, from 1 in order of creation.
        ordinal: u32,
        /// What must hold of it.
        claim: Box<Claim>,
    },
    /// A condition holds.
    Holds {
        /// Which.
        condition: Condition,
        /// When it has to.
        mode: Mode,
        /// Within which stretch.
        window: Window,
    },
}

impl Claim {
    /// Whether one run of several is enough: see [`Mode::Sometimes`].
    #[must_use]
    pub fn is_about_all_runs(&self) -> bool {
        matches!(
            self,
            Self::Holds {
                mode: Mode::Sometimes,
                ..
            }
        )
    }
}

/// Whether a claim, a run or a scenario held. From best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It held.
    Pass,
    /// Nothing can be said: what it is about did not happen.
    Inconclusive,
    /// It did not hold.
    Fail,
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
    /// Whether one of the scenario's runs is enough for it: then it says
    /// nothing about this run alone.
    #[serde(default)]
    pub across_runs: bool,
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
    /// What the scenario is.
    pub case: &'a Case,
    /// What happened.
    pub trace: &'a Trace,
    /// When each stage was reached.
    pub milestones: &'a Milestones,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub explanation: &'a Explanation,
    /// Container restarts; absent if the container never started.
    pub restarts: Option<u64>,
    /// The first start of the process, in virtual nanoseconds.
    pub origin_ns: u64,
    /// How long the run was observed after the first start of the process.
    pub observed_ns: u64,
}

/// What there is to say of pods that were not there.
const NO_POD: &str = "there was no pod";

impl Evidence<'_> {
    /// Whether there was something that could become Ready, or be restarted.
    fn had_a_pod(&self) -> bool {
        let mut records = self.trace.records.iter();
        records.any(|record| {
            matches!(
                record.event,
                Event::PodCreated | Event::ReplicaCreated { .. } | Event::ProcessStarted { .. }
            )
        })
    }
}

/// Holds one claim against what happened.
#[must_use]
pub fn evaluate(expectation: &Expectation, evidence: &Evidence<'_>) -> ExpectationResult {
    let weighed = weigh(&expectation.claim, evidence);
    ExpectationResult {
        subject: weighed.subject,
        outcome: weighed.outcome,
        got: weighed.got,
        want: weighed.want,
        by: weighed.by,
        line: expectation.line,
        column: expectation.column,
        across_runs: expectation.claim.is_about_all_runs(),
    }
}

fn weigh(claim: &Claim, evidence: &Evidence<'_>) -> Weighed {
    match claim {
        Claim::Verdict(word) => weigh_verdict(word, evidence),
        Claim::Milestone { name, bounds } => weigh_milestone(name, *bounds, evidence),
        Claim::NoMilestone(name) => weigh_no_milestone(name, evidence),
        Claim::Happening {
            what,
            window,
            measure,
        } => happening::weigh(what, *window, *measure, evidence),
        Claim::Outcomes { observer, outcomes } => {
            happening::weigh_outcomes(observer, outcomes, evidence)
        }
        Claim::Restarts(bounds) => weigh_restarts(*bounds, evidence),
        Claim::Served { what, service } => served::weigh(what, *service, evidence),
        Claim::Cause {
            place,
            text,
            setting,
        } => weigh_cause(*place, text.as_deref(), setting.as_deref(), evidence),
        Claim::Holds {
            condition,
            mode,
            window,
        } => condition::weigh(*mode, condition, *window, evidence),
        Claim::OfReplica { ordinal, claim } => weigh_of_replica(*ordinal, claim, evidence),
    }
}

fn weigh_of_replica(ordinal: u32, claim: &Claim, evidence: &Evidence<'_>) -> Weighed {
    let name = format!("metrics-server-{ordinal}");
    let Some(trace) = alone(evidence.trace, ordinal) else {
        let got = "there was no such pod".to_owned();
        return Weighed::inconclusive(name, got, "a pod to look at".to_owned());
    };
    let milestones = milestones(evidence.case, &trace);
    let origin_ns = origin_ns(&trace);
    let end = trace.records.last().map_or(0, |record| record.t);
    let mut weighed = weigh(
        claim,
        &Evidence {
            verdict: verdict(evidence.case, &trace, &milestones).verdict,
            restarts: restarts(&trace),
            observed_ns: end.saturating_sub(origin_ns),
            trace: &trace,
            milestones: &milestones,
            origin_ns,
            ..*evidence
        },
    );
    weighed.subject = format!("{name}: {}", weighed.subject);
    weighed
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
    let want = if bounds.is_open() {
        "reached".to_owned()
    } else {
        bounds.want(duration)
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
        None if !evidence.had_a_pod() => Weighed::inconclusive(subject, NO_POD.to_owned(), want),
        None => {
            let got = format!("never, in {}", duration(evidence.observed_ns));
            Weighed::holds(subject, true, got, want)
        }
    }
}

fn weigh_restarts(bounds: Bounds, evidence: &Evidence<'_>) -> Weighed {
    let show = |count| counted(count, "restart");
    let (subject, want) = ("restarts".to_owned(), bounds.want(show));
    if !evidence.had_a_pod() {
        return Weighed::inconclusive(subject, NO_POD.to_owned(), want);
    }
    // A container that waits to be started has not been restarted.
    let got = evidence.restarts.unwrap_or(0);
    Weighed::holds(subject, bounds.hold(got), show(got), want)
        .by(bounds.missed_by(got, |count| count.to_string()))
}

/// Whether `path` leads from the scenario's root to what is said of the setting:
/// `nodes.pi.kubelet.certificate` to `nodes.pi.kubelet`, of which
/// `certificate.issuer: unknown` is said.
fn is_path_into(path: &str, setting: &Setting) -> bool {
    let path = path.strip_prefix("metricsServer.").unwrap_or(path);
    let Some(rest) = path.strip_prefix(&*setting.name) else {
        return false;
    };
    match rest.strip_prefix('.') {
        Some(rest) => setting.value.contains(rest),
        None => rest.is_empty(),
    }
}

fn weigh_cause(
    place: u32,
    text: Option<&str>,
    setting: Option<&str>,
    evidence: &Evidence<'_>,
) -> Weighed {
    let subject = match place {
        1 => "first cause".to_owned(),
        place => format!("cause {place}"),
    };
    let wanted = [
        text.map(|text| format!("\"{text}\"")),
        setting.map(|setting| format!("governed by {setting}")),
    ];
    let want = wanted.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let index = usize::try_from(place.saturating_sub(1)).unwrap_or(usize::MAX);
    let Some(cause) = evidence.explanation.causes.get(index) else {
        let count = evidence.explanation.causes.len() as u64;
        let got = format!("{} only", counted(count, "cause"));
        let got = if count == 0 {
            "no cause: nothing is wrong".to_owned()
        } else {
            got
        };
        return Weighed::holds(subject, false, got, want);
    };
    let name = &cause.governed_by.name;
    let holds = text.is_none_or(|text| cause.what.contains(text))
        && setting.is_none_or(|setting| {
            is_part_of(setting, name) || is_path_into(setting, &cause.governed_by)
        });
    let got = format!("{} [{}]", cause.what, cause.governed_by);
    Weighed::holds(subject, holds, got, want)
}

/// Whether `name` is the setting or one below it: `network` means every rule.
fn is_part_of(setting: &str, name: &str) -> bool {
    name.strip_prefix(setting)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_into_what_is_said_of_a_setting() {
        let setting = Setting {
            name: "nodes.pi.kubelet".to_owned(),
            value: "certificate.issuer: unknown".to_owned(),
            origin: "a.yaml:7".to_owned(),
        };
        for path in [
            "nodes.pi.kubelet",
            "nodes.pi.kubelet.certificate",
            "nodes.pi.kubelet.certificate.issuer",
            "metricsServer.nodes.pi.kubelet",
        ] {
            assert!(is_path_into(path, &setting), "{path}");
        }
        for path in ["nodes.pi", "nodes.pi.kubelet.state", "nodes.pi.kubelets"] {
            assert!(!is_path_into(path, &setting), "{path}");
        }
    }
}
