//! Claims about what holds always, eventually, never or sometimes.
//!
//! A state, such as the pod's Ready condition, holds from one record to the
//! next that says otherwise. An answer holds at its instant only. Nothing is
//! said of the time before the first record of a state.

use serde::{Deserialize, Serialize};

use super::Evidence;
use super::bounds::Weighed;
use super::happening::Window;
use crate::milestone::{lists_all_pods, lists_nodes};
use crate::moment::AnswerFilter;
use crate::response::answers;
use crate::trace::{Event, Record, Trace};
use crate::units::duration;

/// Something that is so or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Condition {
    /// The list of nodes through the API server is answered like this.
    MetricsApi(String),
    /// `/readyz` is answered like this.
    Readyz(String),
    /// The pod is Ready; with several replicas at least one.
    PodReady(bool),
    /// The APIService is Available.
    ApiServiceAvailable(bool),
    /// The last answered list of nodes holds this node.
    ServesNode(String),
    /// The last answered list of pods holds this pod, `namespace/name`.
    ServesPod(String),
    /// A metrics-server process runs.
    Running(bool),
    /// What the observer is answered is of this kind.
    Response(AnswerFilter),
}

/// When a condition has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// At every moment of the window.
    Always,
    /// At some moment of the window, in every run.
    Eventually,
    /// At no moment of the window.
    Never,
    /// At some moment of the window, in at least one of the scenario's runs.
    Sometimes,
}

impl Mode {
    /// `always`
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Eventually => "eventually",
            Self::Never => "never",
            Self::Sometimes => "sometimes",
        }
    }
}

/// A condition over time: whether it held from a moment on, or at it.
struct History {
    samples: Vec<(u64, bool)>,
    /// Whether each sample holds up to the next.
    lasting: bool,
}

impl Condition {
    fn words(&self) -> String {
        let yes_no = |what: &str, yes: bool| {
            if yes {
                what.to_owned()
            } else {
                format!("not {what}")
            }
        };
        match self {
            Self::MetricsApi(outcome) => format!("metrics API {outcome}"),
            Self::Readyz(outcome) => format!("/readyz {outcome}"),
            Self::PodReady(ready) => yes_no("pod Ready", *ready),
            Self::ApiServiceAvailable(available) => yes_no("APIService Available", *available),
            Self::ServesNode(name) => format!("node {name} served"),
            Self::ServesPod(name) => format!("pod {name} served"),
            Self::Running(running) => yes_no("running", *running),
            Self::Response(filter) => filter.words(),
        }
    }

    fn history(&self, trace: &Trace) -> History {
        if let Self::Response(filter) = self {
            let asked = answers(trace).filter(|answer| filter.concerns(answer));
            let samples = asked.map(|answer| (answer.at, filter.matches(&answer)));
            return History {
                samples: samples.collect(),
                lasting: false,
            };
        }
        let mut state = State::default();
        let samples = trace.records.iter().filter_map(|record| {
            let holds = state.after(self, record)?;
            Some((record.t, holds))
        });
        History {
            samples: samples.collect(),
            lasting: true,
        }
    }
}

/// What some conditions remember of earlier records.
#[derive(Default)]
struct State<'t> {
    /// Hosts whose pod is Ready, or whose process runs.
    hosts: std::collections::BTreeSet<&'t str>,
}

impl<'t> State<'t> {
    /// Whether the condition holds after `record`, if that says anything.
    fn after(&mut self, condition: &Condition, record: &'t Record) -> Option<bool> {
        match (condition, &record.event) {
            (
                Condition::MetricsApi(wanted),
                Event::Witness {
                    target, outcome, ..
                },
            ) if lists_nodes(target) => Some(outcome == wanted),
            (
                Condition::Readyz(wanted),
                Event::Witness {
                    target, outcome, ..
                },
            ) if target.split('?').next() == Some("/readyz") => Some(outcome == wanted),
            (
                Condition::ServesNode(name),
                Event::Witness {
                    target,
                    outcome,
                    nodes,
                    ..
                },
            ) if lists_nodes(target) && outcome == "200" => Some(nodes.contains(name)),
            (
                Condition::ServesPod(name),
                Event::Witness {
                    target,
                    outcome,
                    pods,
                    ..
                },
            ) if lists_all_pods(target) && outcome == "200" => Some(pods.contains(name)),
            (
                Condition::PodReady(wanted),
                Event::PodCondition {
                    condition, status, ..
                },
            ) if condition == "Ready" => Some(self.set(&record.host, *status) == *wanted),
            (Condition::ApiServiceAvailable(wanted), Event::ApiService { status, .. }) => {
                Some((status == "True") == *wanted)
            }
            (Condition::ApiServiceAvailable(wanted), Event::ApiServiceRegistered) => Some(!wanted),
            (Condition::Running(wanted), Event::ProcessStarted { .. }) => {
                Some(self.set(&record.host, true) == *wanted)
            }
            (Condition::Running(wanted), Event::ProcessExited { .. }) => {
                Some(self.set(&record.host, false) == *wanted)
            }
            // Before the first process there is none.
            (Condition::Running(wanted), Event::Began { .. }) => Some(!wanted),
            _ => None,
        }
    }

    /// Notes one host's state; whether any host's is on.
    fn set(&mut self, host: &'t str, on: bool) -> bool {
        if on {
            self.hosts.insert(host);
        } else {
            self.hosts.remove(host);
        }
        !self.hosts.is_empty()
    }
}

impl History {
    /// The samples that count within `window`: those in it, and of a lasting
    /// condition the one in force when it opens, as if it were taken then.
    fn within(&self, window: Window) -> Vec<(u64, bool)> {
        let from = window.from_ns.unwrap_or(0);
        let mut within = Vec::new();
        let in_force = self.samples.iter().rev().find(|(at, _)| *at < from);
        if let Some((_, holds)) = in_force.filter(|_| self.lasting) {
            within.push((from, *holds));
        }
        let inside = self.samples.iter().filter(|(at, _)| window.holds(*at));
        within.extend(inside.copied());
        if self.lasting {
            // Of several records at one instant the last one holds.
            within.reverse();
            within.dedup_by_key(|(at, _)| *at);
            within.reverse();
        }
        within
    }
}

/// Holds a claim about a condition against the run.
pub(super) fn weigh(
    mode: Mode,
    condition: &Condition,
    window: Window,
    evidence: &Evidence<'_>,
) -> Weighed {
    let subject = format!("{} {}{}", mode.name(), condition.words(), window.words());
    let want = match mode {
        Mode::Always => "at every moment",
        Mode::Eventually => "at some moment",
        Mode::Never => "at no moment",
        Mode::Sometimes => "at some moment of at least one run",
    };
    let want = want.to_owned();
    let samples = condition.history(evidence.trace).within(window);
    if samples.is_empty() {
        let got = "there was nothing to look at".to_owned();
        return Weighed::inconclusive(subject, got, want);
    }
    let first = |wanted: bool| samples.iter().find(|(_, holds)| *holds == wanted);
    let at = |sample: Option<&(u64, bool)>| sample.map(|(at, _)| duration(*at));
    let (holds, got) = match mode {
        Mode::Always => match at(first(false)) {
            None => (true, "at every moment".to_owned()),
            Some(at) => (false, format!("not so at {at} of virtual time")),
        },
        Mode::Never => match at(first(true)) {
            None => (true, "at no moment".to_owned()),
            Some(at) => (false, format!("so at {at} of virtual time")),
        },
        Mode::Eventually | Mode::Sometimes => match at(first(true)) {
            None => (false, "at no moment".to_owned()),
            Some(at) => (true, format!("so at {at} of virtual time")),
        },
    };
    Weighed::holds(subject, holds, got, want)
}
