//! Many scenarios: one line each, then what went wrong, then the sum.

use super::WIDTH;
use super::expectations::{command, expectation};
use super::style::{Ink, Style, word};
use super::wrap::{indented, visible};
use crate::expectation::Outcome;
use crate::judgement::{RunJudgement, ScenarioJudgement};
use crate::units::{counted, duration};

/// Columns of the status on the left.
const STATUS: usize = 12;

/// One line per scenario with the details of those that did not pass, and the
/// sum of all.
#[must_use]
pub fn library(scenarios: &[ScenarioJudgement], style: Style) -> String {
    let mut text = String::new();
    for scenario in scenarios {
        text.push_str(&line(scenario, style));
        if let Some(run) = scenario.worst().filter(|_| !scenario.passed()) {
            text.push_str(&details(scenario, run, style));
        }
    }
    text.push_str(&summary(scenarios, style));
    text
}

/// `        PASS [ready    22.100s] READY                  k3s/pi`
#[must_use]
pub fn line(scenario: &ScenarioJudgement, style: Style) -> String {
    let outcome = scenario.outcome();
    let status = format!("{:>STATUS$}", word(outcome));
    let status = style.paint(Ink::of_outcome(outcome), &status);
    let latest = scenario.runs.iter().map(RunJudgement::time_to_ready_ns);
    // Of several runs the latest counts, and never is later than any.
    let latest = latest.map(|time| time.unwrap_or(u64::MAX)).max();
    let ready = match latest {
        Some(u64::MAX) | None => "never".to_owned(),
        Some(ns) => duration(ns),
    };
    let verdict = scenario.finding().map(|finding| finding.verdict);
    let verdict = match verdict {
        Some(verdict) => style.paint(Ink::of_verdict(verdict), &format!("{verdict:<21}")),
        None => format!("{:<21}", "not run"),
    };
    let seeds = match scenario.runs.len() {
        0 | 1 => String::new(),
        count => style.paint(Ink::Faint, &format!("  ({count} seeds)")),
    };
    let name = visible(&scenario.case.name);
    format!("{status} [ready {ready:>10}] {verdict}  {name}{seeds}\n")
}

/// What went wrong in the run that says most.
fn details(scenario: &ScenarioJudgement, run: &RunJudgement, style: Style) -> String {
    let indent = STATUS + 1;
    let mut text = indented(&run.finding.because, indent, WIDTH);
    for doubt in &run.doubts {
        text.push_str(&indented(doubt, indent, WIDTH));
    }
    for result in run
        .expectations
        .iter()
        .filter(|result| !result.across_runs)
        .chain(scenario.across_runs())
        .filter(|result| result.outcome != Outcome::Pass)
    {
        text.push_str(&expectation(&scenario.case, result, indent, style));
    }
    let command = command("run", &scenario.case, run.seed);
    text.push_str(&format!("{:indent$}reproduce: {command}\n", ""));
    text
}

/// How many scenarios and expectations held.
#[must_use]
pub fn summary(scenarios: &[ScenarioJudgement], style: Style) -> String {
    let count = |outcome: Outcome| {
        scenarios
            .iter()
            .filter(|scenario| scenario.outcome() == outcome)
            .count()
    };
    let mut parts = vec![style.paint(Ink::Good, &format!("{} passed", count(Outcome::Pass)))];
    for (outcome, label) in [
        (Outcome::Fail, "failed"),
        (Outcome::Inconclusive, "inconclusive"),
    ] {
        if count(outcome) > 0 {
            let part = format!("{} {label}", count(outcome));
            parts.push(style.paint(Ink::of_outcome(outcome), &part));
        }
    }
    let runs: usize = scenarios.iter().map(|scenario| scenario.runs.len()).sum();
    let rule = style.pick("─", "-").repeat(STATUS);
    format!(
        "{rule}\n{:>STATUS$}  {}, {}: {}\n",
        "Summary",
        counted(scenarios.len() as u64, "scenario"),
        counted(runs as u64, "run"),
        parts.join(", ")
    )
}
