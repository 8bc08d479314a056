//! Everything there is to say about a run, and about the runs of a scenario.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::attribution::{Attribution, attribute};
use crate::before_start::{BeforeStart, before_start};
use crate::case::Case;
use crate::expectation::{Evidence, ExpectationResult, Outcome, evaluate};
use crate::explanation::{Cause, Explanation, Grounds, Remedy, explain};
use crate::fault::{Fault, doubts, faults};
use crate::milestone::{Milestone, Milestones, lists_nodes, milestones, origin_ns};
use crate::replica::{ReplicaReport, deciding, judged, replicas, restarts};
use crate::response::{ResponseRow, responses};
use crate::timeline::Timeline;
use crate::trace::{Event, Trace};
use crate::verdict::{Finding, verdict};

/// What there is to say about one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunJudgement {
    /// The run's seed.
    pub seed: u64,
    /// SHA-256 of the trace, lower-case hexadecimal.
    pub trace_digest: String,
    /// What became of the start-up, and why that is the word for it.
    pub finding: Finding,
    /// Whether the scenario's expectations held.
    pub outcome: Outcome,
    /// When each stage was reached.
    pub milestones: Milestones,
    /// Who was answered what.
    pub responses: Vec<ResponseRow>,
    /// How often the container was started again.
    pub restarts: u64,
    /// What came before the process started, from which times count.
    pub before_start: Option<BeforeStart>,
    /// Where the time went.
    pub attribution: Attribution,
    /// How each node of the case was served.
    pub nodes: Vec<NodeService>,
    /// The expectations, in the scenario's order.
    pub expectations: Vec<ExpectationResult>,
    /// Why it came to its verdict.
    pub explanation: Explanation,
    /// What was done to the world, and how often that took effect.
    pub faults: Vec<Fault>,
    /// What would help, where that was tried.
    pub remedies: Vec<Remedy>,
    /// Why nothing that was seen can be relied upon; empty in a sound run.
    pub doubts: Vec<String>,
    /// What it looked like over time.
    pub timeline: Timeline,
    /// The pods, where there can be several.
    pub replicas: Vec<ReplicaReport>,
}

/// How a node was served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeService {
    /// Its name.
    pub name: String,
    /// When a list of nodes held it first, as the witness saw it: nanoseconds
    /// since the first start of the process.
    pub first_served_ns: Option<u64>,
    /// Why its last scrape failed; absent if its last scrape succeeded or
    /// there was none.
    pub last_error: Option<String>,
}

/// The runs of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioJudgement {
    /// The scenario.
    pub case: Case,
    /// Its runs, in the order of their seeds as given.
    pub runs: Vec<RunJudgement>,
}

/// Judges a run: a pure function of the case and what happened.
#[must_use]
pub fn judge(case: &Case, trace: &Trace, seed: u64) -> RunJudgement {
    judge_knowing(case, trace, seed, &[])
}

/// As [`judge`], knowing what lies behind the causes that the trace shows.
#[must_use]
pub fn judge_knowing(case: &Case, trace: &Trace, seed: u64, behind: &[Cause]) -> RunJudgement {
    let judged = judged(trace);
    let milestones = milestones(case, &judged);
    let finding = verdict(case, &judged, &milestones);
    let restarts = restarts(trace);
    let end = trace.records.last().map_or(0, |record| record.t);
    let origin_ns = origin_ns(&judged);
    let attribution = attribute(case, &judged, &milestones);
    let nodes = nodes(case, &judged);
    let mut explanation = explain(&Grounds {
        case,
        trace: &judged,
        finding: &finding,
        attribution: &attribution,
        nodes: &nodes,
    });
    explanation.causes.extend_from_slice(behind);
    let evidence = Evidence {
        case,
        trace,
        milestones: &milestones,
        verdict: finding.verdict,
        explanation: &explanation,
        restarts,
        origin_ns,
        observed_ns: end.saturating_sub(origin_ns),
    };
    let expectations: Vec<_> = case
        .expectations
        .iter()
        .map(|expectation| evaluate(expectation, &evidence))
        .collect();
    let faults = faults(case, trace);
    let doubts = doubts(trace, &faults);
    let worst = expectations
        .iter()
        .filter(|result| !result.across_runs)
        .map(|result| result.outcome)
        .max()
        .unwrap_or(Outcome::Pass);
    // A broken promise is not mended by something else that cannot be told.
    let outcome = match doubts.is_empty() {
        true => worst,
        false => worst.max(Outcome::Inconclusive),
    };
    RunJudgement {
        seed,
        trace_digest: trace.digest(),
        outcome,
        responses: responses(trace, origin_ns),
        restarts: restarts.unwrap_or(0),
        before_start: before_start(&deciding(&judged)),
        attribution,
        nodes,
        explanation,
        faults,
        remedies: Vec::new(),
        expectations,
        doubts,
        timeline: Timeline::of(&judged),
        replicas: replicas(case, trace),
        finding,
        milestones,
    }
}

impl RunJudgement {
    /// Time from the first start of the process until the pod was Ready.
    #[must_use]
    pub fn time_to_ready_ns(&self) -> Option<u64> {
        self.milestones.at(Milestone::PodReady)
    }

    /// Time until a list of metrics was answered 200 through the API server.
    #[must_use]
    pub fn time_to_first_api_200_ns(&self) -> Option<u64> {
        self.milestones.at(Milestone::FirstApi200)
    }

    /// Why the run did not pass, one line each, with what each makes of it;
    /// none if it did.
    pub fn complaints(&self) -> impl Iterator<Item = (Outcome, String)> + '_ {
        let broken = self
            .expectations
            .iter()
            .filter(|result| result.outcome != Outcome::Pass && !result.across_runs);
        let claims = broken.map(|result| {
            let claim = format!("{}: {}", result.subject, result.seen());
            (result.outcome, claim)
        });
        let doubts = self.doubts.iter().cloned();
        doubts
            .map(|doubt| (Outcome::Inconclusive, doubt))
            .chain(claims)
    }
}

impl ScenarioJudgement {
    /// Whether every run passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcome() == Outcome::Pass
    }

    /// The worst outcome of the runs and of what they claim together;
    /// inconclusive if there was none.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let Some(worst) = self.runs.iter().map(|run| run.outcome).max() else {
            return Outcome::Inconclusive;
        };
        let together = self.across_runs();
        together
            .map(|result| result.outcome)
            .fold(worst, Outcome::max)
    }

    /// The expectations that one of the runs is enough for, each with the run
    /// that comes nearest to it: the best outcome of all.
    pub fn across_runs(&self) -> impl Iterator<Item = &ExpectationResult> {
        let claims = self.case.expectations.iter().enumerate();
        let together = claims.filter(|(_, expectation)| expectation.claim.is_about_all_runs());
        together.filter_map(|(index, _)| {
            let results = self
                .runs
                .iter()
                .filter_map(move |run| run.expectations.get(index));
            results.min_by_key(|result| result.outcome)
        })
    }

    /// The run that says most: among those of the worst outcome the one with
    /// the worst verdict, then the one that took longest to be Ready.
    #[must_use]
    pub fn worst(&self) -> Option<&RunJudgement> {
        let badness = |run: &RunJudgement| {
            let time = run.time_to_ready_ns().unwrap_or(u64::MAX);
            (run.outcome, run.finding.verdict, time)
        };
        // Of equals the first.
        self.runs.iter().rev().max_by_key(|run| badness(run))
    }

    /// The run with the worst verdict, which speaks for the scenario.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        self.runs
            .iter()
            .map(|run| &run.finding)
            .rev()
            .max_by_key(|finding| finding.verdict)
    }
}

fn nodes(case: &Case, trace: &Trace) -> Vec<NodeService> {
    let origin = origin_ns(trace);
    let mut served: BTreeMap<&str, u64> = BTreeMap::new();
    let mut errors: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let known: BTreeSet<&str> = case.nodes.iter().map(|node| &*node.name).collect();
    for record in &trace.records {
        match &record.event {
            Event::Witness {
                target,
                outcome,
                nodes,
                ..
            } if outcome == "200" && lists_nodes(target) && served.len() < known.len() => {
                for node in nodes.iter().filter(|node| known.contains(&***node)) {
                    served
                        .entry(node)
                        .or_insert_with(|| record.t.saturating_sub(origin));
                }
            }
            Event::Scraped {
                node,
                outcome,
                text,
                ..
            } => {
                let reason = if text.is_empty() { outcome } else { text };
                errors.insert(node, (outcome != "200").then_some(reason));
            }
            _ => {}
        }
    }
    let service = |node: &crate::case::NodeBrief| NodeService {
        name: node.name.clone(),
        first_served_ns: served.get(&*node.name).copied(),
        last_error: errors
            .get(&*node.name)
            .copied()
            .flatten()
            .map(str::to_owned),
    };
    case.nodes.iter().map(service).collect()
}
