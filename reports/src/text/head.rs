//! The verdict, and what was judged.

use super::WIDTH;
use super::style::{Ink, Style, symbol, word};
use super::wrap::{indented, visible};
use crate::case::Case;
use crate::judgement::RunJudgement;
use crate::units::{counted, duration};

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
        Some(ns) => format!("first API 200 at {}", duration(ns)),
        None => "no API 200".to_owned(),
    };
    let restarts = counted(run.restarts, "restart");
    let name = style.title(&visible(&case.name));
    let mut head = format!("{verdict_shown}  {name}  seed {}  {outcome}\n", run.seed);
    head.push_str(&format!("  {ready}, {api}, {restarts}\n"));
    head.push_str(&indented(&run.finding.because, 2, WIDTH));
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
