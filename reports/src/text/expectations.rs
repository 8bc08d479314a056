//! What was promised, what was seen, and how to see it again.

use super::WIDTH;
use super::style::{Ink, Style, word};
use super::wrap::{indented, visible};
use crate::case::Case;
use crate::expectation::ExpectationResult;
use crate::judgement::RunJudgement;

/// The expectations, and why the run may be inconclusive.
pub(super) fn expectations(case: &Case, run: &RunJudgement, style: Style) -> String {
    let mut text = String::new();
    if !run.expectations.is_empty() {
        text.push_str(&format!("{}\n", style.title("expectations")));
    }
    for result in &run.expectations {
        text.push_str(&expectation(case, result, 2, style));
    }
    if !run.doubts.is_empty() {
        text.push_str(&format!("{}\n", style.title("inconclusive because")));
    }
    for doubt in &run.doubts {
        text.push_str(&indented(doubt, 2, WIDTH));
    }
    text
}

/// One expectation: status, claim and place; beneath it what was seen.
pub(super) fn expectation(
    case: &Case,
    result: &ExpectationResult,
    indent: usize,
    style: Style,
) -> String {
    let pad = " ".repeat(indent);
    let status = format!("{:<12}", word(result.outcome));
    let status = style.paint(Ink::of_outcome(result.outcome), &status);
    let place = style.paint(Ink::Faint, &place(case, result));
    let subject = visible(&result.subject);
    let mut text = format!("{pad}{status}  {subject}  {place}\n");
    text.push_str(&indented(&result.seen(), indent + 14, WIDTH));
    text
}

/// `scenarios/pi.yaml:31:5`
pub(crate) fn place(case: &Case, result: &ExpectationResult) -> String {
    format!("{}:{}:{}", visible(&case.file), result.line, result.column)
}

/// The command that runs it again.
pub(crate) fn again(case: &Case, run: &RunJudgement) -> String {
    let subcommand = match &case.subject {
        Some(_) => "serve",
        None => "run",
    };
    command(subcommand, case, run.seed)
}

/// The commands that show the same run again.
pub(super) fn reproduce(case: &Case, run: &RunJudgement, style: Style) -> String {
    if case.subject.is_some() {
        // Real time repeats nothing exactly: no digest names the run.
        return format!(
            "{}\n  {}\n",
            style.title("run it again, and simulate the same"),
            [
                command("serve", case, run.seed),
                command("run", case, run.seed)
            ]
            .join("\n  ")
        );
    }
    format!(
        "{}\n  {}\n  {}\n  trace digest sha256:{}\n",
        style.title("reproduce"),
        command("run", case, run.seed),
        command("trace", case, run.seed),
        run.trace_digest
    )
}

/// `firstlight run scenarios/pi.yaml --seed 7`, ready to paste.
pub(super) fn command(subcommand: &str, case: &Case, seed: u64) -> String {
    let engine = match &case.engine {
        Some(engine) => format!(" --engine {engine}"),
        None => String::new(),
    };
    format!(
        "firstlight {subcommand} {} --seed {seed}{engine}",
        quoted(&case.file)
    )
}

/// `file` as one word of a POSIX shell.
fn quoted(file: &str) -> String {
    let safe = |character: char| character.is_alphanumeric() || "/._-+:@%,".contains(character);
    if !file.is_empty() && !file.starts_with('-') && file.chars().all(safe) {
        file.to_owned()
    } else {
        // A name that begins with a hyphen would be taken for a flag.
        let file = if file.starts_with('-') {
            format!("./{file}")
        } else {
            file.to_owned()
        };
        format!("'{}'", file.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(quoted("scenarios/k3s/pi.yaml"), "scenarios/k3s/pi.yaml");
        assert_eq!(quoted("my scenario's.yaml"), "'my scenario'\\''s.yaml'");
        assert_eq!(quoted("-x.yaml"), "'./-x.yaml'");
    }
}
