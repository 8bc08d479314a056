//! The results as Markdown: what one pastes into a step summary or a pull
//! request.
//!
//! First what went wrong, with what was seen and wanted; then, folded, the
//! whole report of the run that says most, and every scenario. GitHub takes a
//! megabyte: reports that no longer fit are counted instead.

use std::fmt::Write as _;

use crate::case::Case;
use crate::expectation::{ExpectationResult, Outcome};
use crate::judgement::{RunJudgement, ScenarioJudgement};
use crate::text::{self, Style, again, place};
use crate::units::{counted, duration};

/// GitHub refuses a summary of more than 1 MiB.
const MOST_BYTES: usize = 900 * 1024;

/// The summary.
#[must_use]
pub fn markdown(scenarios: &[ScenarioJudgement]) -> String {
    let mut page = heading(scenarios);
    let bad: Vec<&ScenarioJudgement> = scenarios.iter().filter(|one| !one.passed()).collect();
    if !bad.is_empty() {
        page.push_str("\n| scenario | expectation | got | want | seed |\n|---|---|---|---|---:|\n");
        for scenario in &bad {
            page.push_str(&rows(scenario));
        }
    }
    let all = everything(scenarios);
    let room = MOST_BYTES.saturating_sub(page.len() + all.len());
    page.push_str(&folded(&bad, room));
    page.push_str(&all);
    page
}

/// `### firstlight: 1 of 24 scenarios failed`
fn heading(scenarios: &[ScenarioJudgement]) -> String {
    let count = |outcome: Outcome| {
        let such = scenarios.iter().filter(|one| one.outcome() == outcome);
        such.count()
    };
    let all = counted(scenarios.len() as u64, "scenario");
    let words = match (count(Outcome::Fail), count(Outcome::Inconclusive)) {
        (0, 0) => format!("{all} passed"),
        (failed, 0) => format!("{failed} of {all} failed"),
        (0, open) => format!("{open} of {all} inconclusive"),
        (failed, open) => format!("{failed} of {all} failed, {open} inconclusive"),
    };
    format!("### firstlight: {words}\n")
}

/// What is wrong with a scenario, in the run that says most and in all of
/// them together.
fn rows(scenario: &ScenarioJudgement) -> String {
    let case = &scenario.case;
    let mut rows = String::new();
    let Some(run) = scenario.worst() else {
        return row([&code(&case.name), "", "not run", "", ""]);
    };
    let seed = run.seed.to_string();
    for doubt in &run.doubts {
        rows.push_str(&row([
            &code(&case.name),
            "*inconclusive*",
            &escaped(doubt),
            "",
            &seed,
        ]));
    }
    let own = run.expectations.iter().filter(|result| !result.across_runs);
    for (result, seed) in own
        .map(|result| (result, seed.as_str()))
        .chain(scenario.across_runs().map(|result| (result, "all")))
        .filter(|(result, _)| result.outcome != Outcome::Pass)
    {
        rows.push_str(&expectation(case, result, seed));
    }
    rows
}

fn expectation(case: &Case, result: &ExpectationResult, seed: &str) -> String {
    let subject = format!(
        "{}<br>{}",
        escaped(&result.subject),
        code(&place(case, result))
    );
    let mut got = match result.outcome {
        Outcome::Inconclusive => format!("*inconclusive*: {}", escaped(&result.got)),
        _ => format!("**{}**", escaped(&result.got)),
    };
    if let Some(by) = &result.by {
        let _ = write!(got, " ({})", escaped(by));
    }
    row([
        &code(&case.name),
        &subject,
        &got,
        &escaped(&result.want),
        seed,
    ])
}

fn row(cells: [&str; 5]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// The whole report of the run that says most, for as many scenarios as there
/// is room.
fn folded(bad: &[&ScenarioJudgement], room: usize) -> String {
    let mut page = String::new();
    let mut left_out = 0;
    for scenario in bad {
        let Some(run) = scenario.worst() else {
            continue;
        };
        let block = details(&scenario.case, run);
        match page.len() + block.len() <= room {
            true => page.push_str(&block),
            false => left_out += 1,
        }
    }
    if left_out > 0 {
        let reports = counted(left_out, "report");
        let _ = write!(page, "\n{reports} left out: there is no room for more.\n");
    }
    page
}

fn details(case: &Case, run: &RunJudgement) -> String {
    let report = text::report(case, run, Style::PLAIN);
    let fence = fence(&report);
    format!(
        "\n<details><summary>{}, seed {}: {}</summary>\n\n{} reproduces it.\n\n{fence}text\n{report}{fence}\n\n</details>\n",
        escaped(&case.name),
        run.seed,
        run.finding.verdict,
        code(&again(case, run)),
    )
}

/// Every scenario in one line.
fn everything(scenarios: &[ScenarioJudgement]) -> String {
    let mut page = String::from(
        "\n<details><summary>every scenario</summary>\n\n| | scenario | verdict | ready | runs |\n|---|---|---|---:|---:|\n",
    );
    for scenario in scenarios {
        let outcome = match scenario.outcome() {
            Outcome::Pass => "pass",
            Outcome::Fail => "**FAIL**",
            Outcome::Inconclusive => "**inconclusive**",
        };
        let verdict = scenario.finding().map(|finding| finding.verdict.word());
        let times = scenario.runs.iter().map(RunJudgement::time_to_ready_ns);
        // Of several runs the latest counts, and never is later than any.
        let ready = match times.map(|time| time.unwrap_or(u64::MAX)).max() {
            Some(u64::MAX) | None => "never".to_owned(),
            Some(ns) => duration(ns),
        };
        page.push_str(&row([
            outcome,
            &code(&scenario.case.name),
            verdict.unwrap_or("not run"),
            &ready,
            &scenario.runs.len().to_string(),
        ]));
    }
    page.push_str("\n</details>\n");
    page
}

/// Text that means itself, in a cell of a table as within HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '\r' | '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Code within a line, also in a table, where a bar would end the cell.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|").replace(['\r', '\n'], " ");
    match text.contains('`') {
        true => format!("`` {text} ``"),
        false => format!("`{text}`"),
    }
}

/// A fence that nothing within the text closes.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_mean_themselves() {
        assert_eq!(
            escaped("a|b <script> *x* `y`\nz"),
            "a\\|b &lt;script&gt; \\*x\\* \\`y\\` z"
        );
        assert_eq!(code("a|`b`"), "`` a\\|`b` ``");
        assert_eq!(fence("no"), "```");
        assert_eq!(fence("a ```` b"), "`````");
    }
}
