//! The verdict, and what was judged.

use super::WIDTH;
use super::style::{Ink, Style, symbol, word};
use super::wrap::{indented, visible};
use crate::case::Case;
use crate::judgement::RunJudgement;
use crate::milestone::Milestone;
use crate::units::{counted, duration};
use crate::verdict::PROPAGATION_NS;

pub(super) fn head(case: &Case, run: &RunJudgement, style: Style) -> String {
    let verdict = run.finding.verdict;
    let verdict_shown = style.paint(
        Ink::of_verdict(verdict),
        &format!("{} {verdict}", symbol(verdict, style)),
    );
    let mut outcome = style.paint(Ink::of_outcome(run.outcome), word(run.outcome));
    if case.expectations.is_empty() {
        outcome.push_str(&style.paint(Ink::Faint, " (nothing was expected)"));
    }
    let ready = match run.time_to_ready_ns() {
        Some(ns) => format!("ready at {}", duration(ns)),
        None => format!("not ready in {}", duration(run.attribution.total_ns)),
    };
    let api = match run.time_to_first_api_200_ns() {
        Some(0) => "the API answered before that".to_owned(),
        Some(ns) => format!("first API 200 at {}", duration(ns)),
        None => "no API 200".to_owned(),
    };
    let restarts = counted(run.restarts, "restart");
    let name = style.title(&visible(&case.name));
    let mut head = format!("{verdict_shown}  {name}  seed {}  {outcome}\n", run.seed);
    head.push_str(&format!("  {ready}, {api}, {restarts}\n"));
    head.push_str(&indented(&run.finding.because, 2, WIDTH));
    for wait in [before(run), after(run)].into_iter().flatten() {
        head.push_str(&indented(&wait, 2, WIDTH));
    }
    let mut source = visible(&case.file);
    if !case.preset.is_empty() {
        source.push_str(&format!(", preset {}", visible(&case.preset)));
    }
    source.push_str(&format!(", metrics-server {}", visible(&case.version)));
    if let Some(engine) = &case.engine {
        source.push_str(&format!(", simulated by {}", visible(engine)));
    }
    if let Some(subject) = &case.subject {
        source.push_str(&format!("\nin real time, judged: {}", visible(subject)));
    }
    for line in indented(&source, 2, WIDTH).lines() {
        head.push_str(&style.paint(Ink::Faint, line));
        head.push('\n');
    }
    head
}

/// What passed before the times of the report begin, where that is much.
fn before(run: &RunJudgement) -> Option<String> {
    let before = run.before_start.as_ref().filter(|one| one.is_notable())?;
    let mut text = format!(
        "times count from the process's start, {} after the pod's creation",
        duration(before.ns)
    );
    if let Some(reason) = &before.reason {
        let message = before.message.as_deref().unwrap_or("");
        let first = message.split(". ").next().unwrap_or(message);
        text.push_str(&format!(
            "; {} of that after {reason}: {}",
            duration(before.longest_ns),
            visible(first)
        ));
    }
    Some(text)
}

/// What passed between a pod that is Ready and the first answer, where that is
/// more than a change of readiness takes to get about.
fn after(run: &RunJudgement) -> Option<String> {
    let (ready, api) = (run.time_to_ready_ns()?, run.time_to_first_api_200_ns()?);
    let waited = api.checked_sub(ready).filter(|ns| *ns > PROPAGATION_NS)?;
    let steps = run.attribution.after_ready.iter();
    let to_the_answer = steps.filter(|step| step.milestone <= Milestone::FirstApi200);
    // Of equals the first.
    let longest = to_the_answer.rev().max_by_key(|step| step.ns)?;
    Some(format!(
        "the API answered {} after the pod was Ready; {} of that until {} [{}]",
        duration(waited),
        duration(longest.ns?),
        longest.milestone.label(),
        longest.governed_by
    ))
}
