//! Why it came to this, what would help, and what was done to the world.

use super::WIDTH;
use super::style::{Ink, Style};
use super::wrap::{visible, wrap};
use crate::explanation::Remedy;
use crate::fault::Fault;
use crate::judgement::RunJudgement;
use crate::units::{counted, duration};

/// Causes that are shown; the others are counted.
const CAUSES: usize = 5;

/// Faults that are shown; the others are counted.
const FAULTS: usize = 20;

/// The causes in order, each with the setting that governs it.
pub(super) fn why(run: &RunJudgement, style: Style) -> String {
    let causes = &run.explanation.causes;
    if causes.is_empty() {
        return String::new();
    }
    let mut text = format!("{}\n", style.title("why"));
    for (index, cause) in causes.iter().take(CAUSES).enumerate() {
        let mut words = cause.what.clone();
        if let Some(behind) = &cause.behind {
            // Some changes take something away.
            let with = if behind.starts_with("without") {
                ""
            } else {
                "with "
            };
            words = format!("behind it, {with}{behind}: {words}");
        }
        let ink = if index == 0 { Ink::Bad } else { Ink::Plain };
        text.push_str(&hanging(&format!("{}", index + 1), &words, ink, style));
        let setting = format!("[{}]", cause.governed_by);
        text.push_str(&hanging("", &setting, Ink::Faint, style));
    }
    if causes.len() > CAUSES {
        let more = causes.len() - CAUSES;
        text.push_str(&format!("     {more} more; all are in the JSON result\n"));
    }
    text
}

/// `words` behind a short mark, later lines beneath the first.
fn hanging(mark: &str, words: &str, ink: Ink, style: Style) -> String {
    let mut text = String::new();
    for (index, line) in wrap(words, WIDTH - 5).iter().enumerate() {
        let mark = if index == 0 { mark } else { "" };
        text.push_str(&format!("{mark:>3}  {}\n", style.paint(ink, line)));
    }
    text
}

/// What was tried, and what came of it.
pub(super) fn remedies(run: &RunJudgement, style: Style) -> String {
    if run.remedies.is_empty() {
        return String::new();
    }
    let mut text = style.title("what would help");
    let how = format!(" (each tried in a run of its own with seed {})", run.seed);
    text.push_str(&style.paint(Ink::Faint, &how));
    text.push('\n');
    for remedy in &run.remedies {
        text.push_str(&tried(remedy, style));
    }
    text
}

fn tried(remedy: &Remedy, style: Style) -> String {
    let (mark, ink) = if remedy.helps {
        (style.pick("✓", "+"), Ink::Good)
    } else {
        (style.pick("✗", "x"), Ink::Faint)
    };
    let mut outcome = match remedy.time_to_ready_ns {
        Some(ns) => format!("{}, ready at {}", remedy.verdict, duration(ns)),
        None => format!("{}, never ready", remedy.verdict),
    };
    if !remedy.helps {
        outcome.push_str(": does not help");
    }
    let mut text = hanging(mark, &visible(&remedy.change), ink, style);
    text.push_str(&hanging("", &outcome, Ink::Plain, style));
    if let Some(then) = remedy.then.as_ref().filter(|_| remedy.helps) {
        text.push_str(&hanging("", &format!("then: {then}"), Ink::Faint, style));
    }
    text
}

/// Everything that was done to the world, and how often it took effect.
pub(super) fn faults(run: &RunJudgement, style: Style) -> String {
    if run.faults.is_empty() {
        return String::new();
    }
    let mut text = format!("{}\n", style.title("faults"));
    for fault in run.faults.iter().take(FAULTS) {
        text.push_str(&row(fault, style));
    }
    if run.faults.len() > FAULTS {
        let more = run.faults.len() - FAULTS;
        text.push_str(&format!("     {more} more; all are in the JSON result\n"));
    }
    text
}

fn row(fault: &Fault, style: Style) -> String {
    let fired = match fault.fired {
        0 => "never fired".to_owned(),
        count => format!("fired {}", counted(count, "time")),
    };
    let ink = if fault.doubt.is_some() {
        Ink::Warning
    } else {
        Ink::Plain
    };
    let words = format!("{}, {fired}", visible(&fault.name));
    hanging("", &words, ink, style)
}
