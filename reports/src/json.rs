//! The result document that other tools read.
//!
//! Stable: keys may be added, never renamed or removed while `formatVersion`
//! is 1. Times are integers in nanoseconds and say so in their names; they
//! count from the first start of the metrics-server process. The document
//! holds no date, no machine's name and no measured time, so that equal runs
//! give equal bytes.

use serde::{Deserialize, Serialize};

use crate::attribution::{Part, Step};
use crate::before_start::BeforeStart;
use crate::exit::ExitStatus;
use crate::expectation::{ExpectationResult, Outcome};
use crate::explanation::{Cause, Remedy};
use crate::fault::Fault;
use crate::judgement::{NodeService, RunJudgement, ScenarioJudgement};
use crate::milestone::Milestones;
use crate::replica::ReplicaReport;
use crate::response::ResponseRow;
use crate::verdict::Verdict;

/// The version of this format.
pub const FORMAT_VERSION: u32 = 1;

/// The version of the trace format whose digests the document holds.
pub const TRACE_FORMAT: u32 = 1;

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// [`FORMAT_VERSION`]
    pub format_version: u32,
    /// What wrote it.
    pub tool: Tool,
    /// Whether every scenario passed and nothing else went wrong.
    pub passed: bool,
    /// How the command ends.
    pub exit: ExitStatus,
    /// The scenarios, in the order in which they were given.
    pub scenarios: Vec<ScenarioRecord>,
}

/// What wrote a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tool {
    /// `firstlight`
    pub name: String,
    /// Its version.
    pub version: String,
    /// [`TRACE_FORMAT`]
    pub trace_format: u32,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioRecord {
    /// `metadata.name`
    pub name: String,
    /// The file, as given on the command line.
    pub file: String,
    /// Digest of the file: `sha256:…`
    pub input_digest: String,
    /// What simulated it, where that was not the virtual engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Which metrics-server was judged in real time; absent where it was
    /// simulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The worst verdict of its runs; null if it was not run.
    pub verdict: Option<Verdict>,
    /// Whether every run passed.
    pub passed: bool,
    /// The worst outcome of its runs.
    pub outcome: Outcome,
    /// Its runs.
    pub runs: Vec<RunRecord>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// The seed.
    pub seed: u64,
    /// What became of the start-up.
    pub verdict: Verdict,
    /// The finding that decided the verdict.
    pub because: String,
    /// Whether its expectations held.
    pub outcome: Outcome,
    /// Digest of the trace: `sha256:…`
    pub trace_digest: String,
    /// Until the pod was Ready.
    pub time_to_ready_ns: Option<u64>,
    /// Until a list of metrics was answered 200 through the API server.
    pub time_to_first_api200_ns: Option<u64>,
    /// From the pod's creation to the first start of its process, from which
    /// all times count; null if it never started.
    #[serde(default)]
    pub before_start: Option<BeforeStart>,
    /// All ten milestones.
    pub milestones: Milestones,
    /// Who was answered what.
    pub responses: Vec<ResponseRecord>,
    /// Container restarts.
    pub restarts: u64,
    /// Where the time went: sums to `timeToReadyNs` or, where that is null,
    /// to the time until the run ended.
    pub parts: Vec<PartRecord>,
    /// What followed once the pod was Ready.
    pub after_ready: Vec<StepRecord>,
    /// The nodes.
    pub nodes: Vec<NodeService>,
    /// The pods, where there can be several; missing otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaReport>,
    /// The expectations.
    pub expectations: Vec<ExpectationResult>,
    /// Why nothing that was seen can be relied upon; empty in a sound run.
    pub inconclusive: Vec<String>,
    /// Why it came to its verdict, what decided first; empty if all was well.
    #[serde(default)]
    pub causes: Vec<CauseRecord>,
    /// What the scenario did to its world, and how often that took effect.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Changes that were tried, and what came of each; empty where none was.
    #[serde(default)]
    pub what_would_help: Vec<Remedy>,
}

/// A cause of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CauseRecord {
    /// What it was.
    pub what: String,
    /// The setting that governs it, with its value and origin.
    pub governed_by: String,
    /// The change after which it decides; null for what the run itself showed.
    pub behind: Option<String>,
}

/// Equal answers to one observer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseRecord {
    /// Who asked.
    pub observer: String,
    /// The path asked for; for `scraper` the node's name.
    pub target: String,
    /// A status code or the kind of failure.
    pub outcome: String,
    /// How many.
    pub count: u64,
    /// The first; negative before the first start of the process.
    pub first_ns: i64,
    /// The last.
    pub last_ns: i64,
    /// The exact text.
    pub text: String,
}

/// A part of the time to ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartRecord {
    /// What the time was spent on.
    pub what: String,
    /// How much, in nanoseconds.
    pub ns: u64,
    /// The setting that governs it, with its value and origin.
    pub governed_by: String,
    /// Whether the run ended in this part: what it waited for never came.
    pub blocking: bool,
}

/// A stage that followed once the pod was Ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// The milestone's name.
    pub milestone: String,
    /// How long after the stage before; null if never.
    pub ns: Option<u64>,
    /// The setting that governs it.
    pub governed_by: String,
}

impl Document {
    /// The document for `scenarios`, ending as `exit` says.
    #[must_use]
    pub fn new(scenarios: &[ScenarioJudgement], exit: ExitStatus) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            tool: Tool {
                name: "firstlight".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                trace_format: TRACE_FORMAT,
            },
            passed: exit.code == 0,
            exit,
            scenarios: scenarios.iter().map(ScenarioRecord::from).collect(),
        }
    }

    /// The document as indented JSON, ended by a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a document has string keys only");
        text.push('\n');
        text
    }
}

impl From<&ScenarioJudgement> for ScenarioRecord {
    fn from(scenario: &ScenarioJudgement) -> Self {
        Self {
            name: scenario.case.name.clone(),
            file: scenario.case.file.clone(),
            input_digest: sha256(&scenario.case.input_digest),
            engine: scenario.case.engine.clone(),
            subject: scenario.case.subject.clone(),
            verdict: scenario.finding().map(|finding| finding.verdict),
            passed: scenario.passed(),
            outcome: scenario.outcome(),
            runs: scenario.runs.iter().map(RunRecord::from).collect(),
        }
    }
}

impl From<&RunJudgement> for RunRecord {
    fn from(run: &RunJudgement) -> Self {
        Self {
            seed: run.seed,
            verdict: run.finding.verdict,
            because: run.finding.because.clone(),
            outcome: run.outcome,
            trace_digest: sha256(&run.trace_digest),
            time_to_ready_ns: run.time_to_ready_ns(),
            time_to_first_api200_ns: run.time_to_first_api_200_ns(),
            before_start: run.before_start.clone(),
            milestones: run.milestones,
            responses: run.responses.iter().map(ResponseRecord::from).collect(),
            restarts: run.restarts,
            parts: run.attribution.parts.iter().map(PartRecord::from).collect(),
            after_ready: run
                .attribution
                .after_ready
                .iter()
                .map(StepRecord::from)
                .collect(),
            nodes: run.nodes.clone(),
            replicas: run.replicas.clone(),
            expectations: run.expectations.clone(),
            inconclusive: run.doubts.clone(),
            causes: run
                .explanation
                .causes
                .iter()
                .map(CauseRecord::from)
                .collect(),
            faults: run.faults.clone(),
            what_would_help: run.remedies.clone(),
        }
    }
}

impl From<&ResponseRow> for ResponseRecord {
    fn from(row: &ResponseRow) -> Self {
        Self {
            observer: row.observer.clone(),
            target: row.target.clone(),
            outcome: row.outcome.clone(),
            count: row.count,
            first_ns: row.first_ns,
            last_ns: row.last_ns,
            text: row.text.clone(),
        }
    }
}

impl From<&Part> for PartRecord {
    fn from(part: &Part) -> Self {
        Self {
            what: part.what.clone(),
            ns: part.ns,
            governed_by: part.governed_by.to_string(),
            blocking: part.blocking,
        }
    }
}

impl From<&Cause> for CauseRecord {
    fn from(cause: &Cause) -> Self {
        Self {
            what: cause.what.clone(),
            governed_by: cause.governed_by.to_string(),
            behind: cause.behind.clone(),
        }
    }
}

impl From<&Step> for StepRecord {
    fn from(step: &Step) -> Self {
        Self {
            milestone: step.milestone.name().to_owned(),
            ns: step.ns,
            governed_by: step.governed_by.to_string(),
        }
    }
}

fn sha256(hex: &str) -> String {
    format!("sha256:{hex}")
}
