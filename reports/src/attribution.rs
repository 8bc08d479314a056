//! Where the time went, in parts that sum exactly.
//!
//! The time from the first start of the process until the pod was Ready, or
//! until the end of the run if it never was, is cut at the events that had to
//! come before the next could:
//!
//! ```text
//! processes that ended, and the waits for a restart
//!   → process started → port bound → first scrape began
//!   → first good scrape began → deciding scrape began → its result stored
//!   → startup probe passed → initial delay over → readiness probe passed
//!   → pod Ready
//! ```
//!
//! The deciding scrape is found backwards: the first of the unbroken row of
//! scrapes, up to the probe that passed, after each of which the storage was
//! ready. From it back, the first good scrape is the first of the unbroken row
//! in which at least one node answered every time.
//!
//! Each cut lies at or after the one before and at or before the end, so the
//! parts sum to the whole whatever the trace holds. A cut that the run never
//! reached leaves the rest of the time to the stage that was waited for.

mod blame;
mod waiting;
mod words;

use std::collections::BTreeSet;

use crate::case::{Case, Setting, setting};
use crate::life::{Life, Tick, lives};
use crate::milestone::{Milestone, Milestones, origin_ns};
use crate::replica;
use crate::response::{Answer, answers};
use crate::trace::{Event, Trace};
use crate::verdict::{NORMAL_SCRAPE_NS, PROPAGATION_NS};

/// Where the time to ready went, and what came after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribution {
    /// What the parts sum to: the time to ready or, if the pod was never
    /// Ready, the time from the first start of the process to the end of the
    /// run.
    pub total_ns: u64,
    /// Whether the pod was ever Ready.
    pub ready: bool,
    /// The parts, in the order in which they began. None is zero.
    pub parts: Vec<Part>,
    /// From the pod's being Ready to the first complete answer.
    pub after_ready: Vec<Step>,
}

/// A part of the time to ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What the time was spent on.
    pub what: String,
    /// How much, in nanoseconds.
    pub ns: u64,
    /// The setting that governs it.
    pub governed_by: Setting,
    /// Whether the run ended in this part: what it waited for never came.
    pub blocking: bool,
    /// How much of it is beyond what is normal for these settings.
    pub excess_ns: u64,
    /// Whether it is the life of a process that ended.
    pub is_an_end: bool,
}

/// A stage that follows once the pod is Ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The stage.
    pub milestone: Milestone,
    /// How long after the stage before it was reached; 0 if it had been
    /// reached already; absent if it never was.
    pub ns: Option<u64>,
    /// The setting that governs it.
    pub governed_by: Setting,
}

/// Why an interval passed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cause<'t> {
    /// A process that ended: exit code, who ended it, and its last error.
    Attempt {
        code: i32,
        killed_by: Option<&'t str>,
        error: Option<&'t str>,
    },
    /// Between the end of a process and the start of the next.
    Restart,
    /// A process of another pod had started before that of the pod that was
    /// Ready first.
    OtherPod,
    /// The container never started: reason and message of the Event that says
    /// what it waits for.
    Container(Option<(&'t str, &'t str)>),
    /// Process start up to the bound port.
    Start,
    /// The bound port up to the first scrape.
    Synchronise,
    /// Scrapes before the first good one: indices into the life's ticks.
    Kubelets(usize, usize),
    /// Good scrapes whose samples do not make the storage ready: likewise.
    Unusable(usize, usize),
    /// From the first good scrape to the next.
    Storage,
    /// The deciding scrape itself: index.
    Scrape(usize),
    /// The startup probe.
    StartupProbe,
    /// The readiness probe's initial delay.
    InitialDelay,
    /// The wait for the next readiness probe.
    ProbePhase,
    /// Readiness probes that failed although the storage was ready: the last.
    ProbeFailures(&'t str),
    /// Further successes of the readiness probe.
    Successes,
    /// There is no readiness probe.
    NoProbe,
    /// From the probe's success to the pod's condition.
    Status,
}

/// Attributes the time to ready of the run in `trace`.
#[must_use]
pub fn attribute(case: &Case, trace: &Trace, milestones: &Milestones) -> Attribution {
    let origin = origin_ns(trace);
    let ready_ns = milestones.at(Milestone::PodReady);
    let last = trace.records.last().map_or(origin, |record| record.t);
    let end = ready_ns.map_or(last, |ns| origin + ns);
    let trace = replica::deciding(trace);
    let lives = lives_until(&trace, end);
    let mut walk = Walk {
        case,
        trace: &trace,
        ready: ready_ns.is_some(),
        ledger: Ledger {
            cursor: origin,
            end,
            intervals: Vec::new(),
        },
    };
    if let Some(first) = lives.first().filter(|life| life.started > origin) {
        walk.ledger.until(first.started, Cause::OtherPod);
    }
    walk.lives(&lives);
    let rules = rules_hit(&trace, end);
    let intervals = walk.ledger.intervals;
    let blocking = intervals
        .len()
        .checked_sub(1)
        .filter(|_| ready_ns.is_none());
    let excess = excess(case, &intervals);
    let parts = intervals
        .into_iter()
        .enumerate()
        .map(|(index, (cause, ns))| {
            let usual = cause == Cause::Synchronise && excess[index] == 0;
            // A rule that did not prolong it is not to be named.
            let rules = if usual { &[][..] } else { &rules };
            let (what, governed_by) = words::describe(case, &lives, rules, &cause);
            Part {
                is_an_end: matches!(cause, Cause::Attempt { .. }),
                what,
                ns,
                governed_by,
                blocking: blocking == Some(index),
                excess_ns: excess[index],
            }
        })
        .collect();
    Attribution {
        total_ns: end - origin,
        ready: ready_ns.is_some(),
        parts,
        after_ready: after_ready(case, milestones),
    }
}

/// How much of each interval is beyond what a healthy start spends on it.
fn excess(case: &Case, intervals: &[(Cause<'_>, u64)]) -> Vec<u64> {
    let stagger_ns = (8_000_000 * case.nodes.len() as u64).min(4_000_000_000);
    let mut start_left = case.start_cost_ns;
    let beyond = |(cause, ns): &(Cause<'_>, u64)| match cause {
        // One allowance for both: exec to the first scrape.
        Cause::Start | Cause::Synchronise => {
            let normal = start_left.min(*ns);
            start_left -= normal;
            ns - normal
        }
        Cause::Storage => ns.saturating_sub(case.resolution_ns),
        Cause::Scrape(_) => ns.saturating_sub(NORMAL_SCRAPE_NS + stagger_ns),
        Cause::ProbePhase => {
            let period = case.readiness.as_ref().map_or(0, |probe| probe.period_ns);
            ns.saturating_sub(period)
        }
        Cause::Status => ns.saturating_sub(PROPAGATION_NS),
        Cause::InitialDelay | Cause::Successes | Cause::NoProbe | Cause::StartupProbe => 0,
        Cause::OtherPod => 0,
        Cause::Attempt { .. }
        | Cause::Restart
        | Cause::Container(_)
        | Cause::Kubelets(..)
        | Cause::Unusable(..)
        | Cause::ProbeFailures(_) => *ns,
    };
    intervals.iter().map(beyond).collect()
}

/// Knows which setting governs whether a node answers scrapes.
pub(crate) struct Blame<'t> {
    lives: Vec<Life<'t>>,
    rules: Vec<&'t str>,
}

impl<'t> Blame<'t> {
    /// By what is seen in `trace`.
    pub(crate) fn of(trace: &'t Trace) -> Self {
        let end = trace.records.last().map_or(0, |record| record.t);
        Self {
            lives: lives(trace),
            rules: rules_hit(trace, end),
        }
    }

    /// The node's kubelet, or a network rule that took effect, or permissions.
    pub(crate) fn node(&self, case: &Case, node: &str) -> Setting {
        let ticks = self.lives.last().map_or(&[][..], |life| &life.ticks);
        blame::unreachable_by(case, &self.rules, node, ticks)
    }
}

/// The lives of the process as far as they were known at `end`.
fn lives_until(trace: &Trace, end: u64) -> Vec<Life<'_>> {
    let mut lives = lives(trace);
    lives.retain(|life| life.started <= end);
    if let Some(last) = lives.last_mut()
        && last.ended.is_some_and(|ended| ended.at >= end)
    {
        last.ended = None;
        last.back_off_ns = None;
    }
    lives
}

/// The network rules that took effect before `end`.
fn rules_hit(trace: &Trace, end: u64) -> Vec<&str> {
    let before = trace.records.iter().take_while(|record| record.t <= end);
    before
        .filter_map(|record| match &record.event {
            Event::PathRuleHit { rule } => Some(&**rule),
            _ => None,
        })
        .collect()
}

fn after_ready(case: &Case, milestones: &Milestones) -> Vec<Step> {
    let Some(mut before) = milestones.at(Milestone::PodReady) else {
        return Vec::new();
    };
    [
        (Milestone::EndpointPublished, setting::API_SERVER),
        (Milestone::ApiServiceAvailable, setting::AGGREGATION),
        (Milestone::FirstApi200, setting::AGGREGATION),
        (Milestone::FirstCompleteAnswer, setting::NODES),
    ]
    .into_iter()
    .map(|(milestone, governing)| {
        let ns = milestones.at(milestone).map(|at| {
            let ns = at.saturating_sub(before);
            before = before.max(at);
            ns
        });
        Step {
            milestone,
            ns,
            governed_by: case.setting(governing),
        }
    })
    .collect()
}

/// Intervals that follow one another without gap or overlap.
struct Ledger<'t> {
    cursor: u64,
    end: u64,
    intervals: Vec<(Cause<'t>, u64)>,
}

impl<'t> Ledger<'t> {
    /// Books the time up to `at` under `cause`. Equal causes share an entry.
    fn until(&mut self, at: u64, cause: Cause<'t>) {
        let at = at.clamp(self.cursor, self.end);
        let ns = at - self.cursor;
        self.cursor = at;
        if ns == 0 {
            return;
        }
        match self
            .intervals
            .iter_mut()
            .find(|(booked, _)| *booked == cause)
        {
            Some((_, booked)) => *booked += ns,
            None => self.intervals.push((cause, ns)),
        }
    }
}

struct Walk<'t> {
    case: &'t Case,
    trace: &'t Trace,
    ready: bool,
    ledger: Ledger<'t>,
}

impl<'t> Walk<'t> {
    /// Books the lives that ended, then the last.
    fn lives(&mut self, lives: &[Life<'t>]) {
        let Some((last, earlier)) = lives.split_last() else {
            return self.rest(Cause::Container(waiting::waiting(self.trace)));
        };
        for (life, next) in earlier.iter().zip(&lives[1..]) {
            self.ended(life, next.started);
        }
        match last.ended {
            Some(_) => self.ended(last, self.ledger.end),
            None => self.last(last),
        }
    }

    fn ended(&mut self, life: &Life<'t>, next: u64) {
        // A trace without the exit of a process still has the next start.
        let (at, code, killed_by) = life.ended.map_or((next, 0, None), |end| {
            (end.at.min(next), end.code, end.killed_by)
        });
        let error = if killed_by.is_none() {
            life.last_error()
        } else {
            None
        };
        self.ledger.until(
            at,
            Cause::Attempt {
                code,
                killed_by,
                error,
            },
        );
        self.ledger.until(next, Cause::Restart);
    }

    /// Books the life in which the pod became Ready, or that still runs.
    fn last(&mut self, life: &Life<'t>) {
        if self.ready && self.case.readiness.is_none() {
            return self.rest(Cause::NoProbe);
        }
        let ticks: Vec<_> = life
            .ticks
            .iter()
            .take_while(|tick| tick.started <= self.ledger.end)
            .collect();
        let reached = self.stage(life.port_bound, Cause::Start)
            && self.stage(ticks.first().map(|tick| tick.started), Cause::Synchronise)
            && self.scrapes(life, &ticks)
            && self.startup_probe(life);
        if reached {
            self.readiness_probe(life);
        }
    }

    /// Books the time up to a stage. False if the run never got there; a pod
    /// that is Ready all the same got there by another way.
    fn stage(&mut self, at: Option<u64>, cause: Cause<'t>) -> bool {
        match at {
            Some(at) => self.ledger.until(at, cause),
            None if self.ready => {}
            None => self.rest(cause),
        }
        at.is_some() || self.ready
    }

    fn scrapes(&mut self, life: &Life<'t>, ticks: &[&Tick<'t>]) -> bool {
        // Storage that became ready after the last probe did not matter to it.
        let last_success = self
            .probes("readiness-probe", life.started)
            .rfind(Answer::succeeded);
        let seen_until = last_success.map_or(self.ledger.end, |answer| answer.at);
        let Some(deciding) = deciding(self.case, ticks, seen_until) else {
            if !self.ready {
                self.scrapes_without_success(ticks);
            }
            return self.ready;
        };
        let good = first_good(ticks, deciding);
        self.ledger
            .until(ticks[good].started, Cause::Kubelets(0, good));
        if good < deciding {
            let second = ticks[deciding - 1].started;
            self.ledger
                .until(second, Cause::Unusable(good, deciding - 1));
            self.ledger.until(ticks[deciding].started, Cause::Storage);
        }
        let stored = ticks[deciding]
            .stored
            .map_or(self.ledger.end, |stored| stored.at);
        self.ledger.until(stored, Cause::Scrape(deciding));
        true
    }

    fn scrapes_without_success(&mut self, ticks: &[&Tick<'t>]) {
        let finished = ticks.iter().rposition(|tick| tick.stored.is_some());
        let Some(latest) = finished.filter(|index| ticks[*index].is_good()) else {
            return self.rest(Cause::Kubelets(0, ticks.len()));
        };
        let good = first_good(ticks, latest);
        self.ledger
            .until(ticks[good].started, Cause::Kubelets(0, good));
        if good == latest {
            self.rest(Cause::Storage);
        } else {
            self.rest(Cause::Unusable(good, latest + 1));
        }
    }

    fn startup_probe(&mut self, life: &Life<'t>) -> bool {
        if self.case.startup.is_none() {
            return true;
        }
        let success = self
            .probes("startup-probe", life.started)
            .find(Answer::succeeded);
        self.stage(success.map(|answer| answer.at), Cause::StartupProbe)
    }

    fn readiness_probe(&mut self, life: &Life<'t>) {
        let Some(probe) = &self.case.readiness else {
            return self.rest(Cause::NoProbe);
        };
        let from = self.ledger.cursor;
        let mut since = self.probes("readiness-probe", from);
        let first = since.clone().find(Answer::succeeded);
        let last = since.clone().rfind(Answer::succeeded);
        let until = first.map_or(self.ledger.end, |answer| answer.at);
        let failed = since.rfind(|answer| !answer.succeeded() && answer.at < until);
        self.ledger.until(
            until.min(life.started + probe.initial_delay_ns),
            Cause::InitialDelay,
        );
        let waiting = match failed {
            Some(failed) => Cause::ProbeFailures(failed.text),
            None => Cause::ProbePhase,
        };
        match (first, last) {
            (Some(first), Some(last)) => {
                self.ledger.until(first.at, waiting);
                self.ledger.until(last.at, Cause::Successes);
                self.rest(Cause::Status);
            }
            _ if self.ready => self.rest(Cause::Status),
            _ => self.rest(waiting),
        }
    }

    /// Books what is left.
    fn rest(&mut self, cause: Cause<'t>) {
        self.ledger.until(self.ledger.end, cause);
    }

    /// The answers to a probe from `from` to the end, in order.
    fn probes(
        &self,
        observer: &'static str,
        from: u64,
    ) -> impl DoubleEndedIterator<Item = Answer<'t>> + Clone + use<'t> {
        let end = self.ledger.end;
        let trace = self.trace;
        let asked: Vec<_> = answers(trace)
            .filter(|answer| answer.observer == observer)
            .filter(|answer| (from..=end).contains(&answer.at))
            .collect();
        asked.into_iter()
    }
}

impl Answer<'_> {
    /// Whether a probe takes this answer for a success.
    ///
    /// Source: kubelet `pkg/probe/http/http.go: DoHTTPProbe`, 200 ≤ code < 400.
    fn succeeded(&self) -> bool {
        self.outcome
            .parse::<u16>()
            .is_ok_and(|code| (200..400).contains(&code))
    }
}

/// The first tick of the unbroken row, up to `until`, after each of which the
/// storage was ready.
fn deciding(case: &Case, ticks: &[&Tick<'_>], until: u64) -> Option<usize> {
    let mut row = None;
    for (index, tick) in ticks.iter().enumerate().rev() {
        let Some(stored) = tick.stored.filter(|stored| stored.at <= until) else {
            continue;
        };
        if !case.ready_with(stored.servable_nodes, stored.servable_pods) {
            break;
        }
        row = Some(index);
    }
    row
}

/// The first tick of the unbroken row up to `last` in which some node answered
/// every time.
fn first_good(ticks: &[&Tick<'_>], last: usize) -> usize {
    let mut constant = answered(ticks[last]);
    let mut first = last;
    while first > 0 && ticks[first - 1].is_good() {
        let before = answered(ticks[first - 1]);
        let shared: BTreeSet<_> = constant.intersection(&before).copied().collect();
        // A trace without scrapes still tells good ticks from bad ones.
        let unknown = constant.is_empty() || before.is_empty();
        if shared.is_empty() && !unknown {
            break;
        }
        constant = shared;
        first -= 1;
    }
    first
}

/// The nodes that answered in `tick`.
fn answered<'t>(tick: &Tick<'t>) -> BTreeSet<&'t str> {
    let good = tick.scrapes.iter().filter(|(_, scrape)| scrape.is_good());
    good.map(|(node, _)| *node).collect()
}
