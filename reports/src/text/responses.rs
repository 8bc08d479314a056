//! Who was answered what.

use super::WIDTH;
use super::style::{Ink, Style};
use super::wrap::{indented, visible};
use crate::judgement::RunJudgement;
use crate::response::ResponseRow;
use crate::units::seconds;

/// Rows of one observer that are shown; the others are counted.
const ROWS: usize = 40;

/// The table of responses, each text on lines of its own beneath its row.
pub(super) fn responses(run: &RunJudgement, style: Style) -> String {
    if run.responses.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = run
        .responses
        .iter()
        .map(|row| (row, visible(&row.target)))
        .collect();
    let observers = rows
        .iter()
        .map(|(row, _)| row.observer.len())
        .max()
        .unwrap_or(0);
    let fixed = 2 + observers + 2 + 2 + 11 + 7 + 12 + 12;
    let longest = rows
        .iter()
        .map(|(_, target)| target.chars().count())
        .max()
        .unwrap_or(0);
    let targets = longest.clamp(6, WIDTH.saturating_sub(fixed).max(6));
    let columns = Columns { observers, targets };
    let mut text = format!("{}\n", style.title("responses"));
    let header = columns.row(["who asked", "target", "answer", "count", "first", "last"]);
    text.push_str(&format!("{}\n", style.paint(Ink::Faint, &header)));
    for group in rows.chunk_by(|(a, _), (b, _)| a.observer == b.observer) {
        for (row, target) in group.iter().take(ROWS) {
            text.push_str(&columns.show(row, target, style));
        }
        if let Some(rest) = group.get(ROWS..).filter(|rest| !rest.is_empty()) {
            let count: u64 = rest.iter().map(|(row, _)| row.count).sum();
            let observer = &rest[0].0.observer;
            text.push_str(&format!(
                "  {observer}: {} more rows, {count} responses; all are in the JSON result\n",
                rest.len()
            ));
        }
    }
    text
}

struct Columns {
    observers: usize,
    targets: usize,
}

impl Columns {
    fn row(&self, cells: [&str; 6]) -> String {
        let [observer, target, outcome, count, first, last] = cells;
        format!(
            "  {observer:<observers$}  {target:<targets$}  {outcome:<11}{count:>7}{first:>12}{last:>12}",
            observers = self.observers,
            targets = self.targets,
        )
    }

    fn show(&self, row: &ResponseRow, target: &str, style: Style) -> String {
        let ink = if row.outcome == "200" {
            Ink::Good
        } else {
            Ink::Plain
        };
        // A target too long for its column has a line of its own.
        let overlong = target.chars().count() > self.targets;
        let line = self.row([
            &row.observer,
            if overlong { "" } else { target },
            &visible(&row.outcome),
            &row.count.to_string(),
            &seconds(row.first_ns),
            &seconds(row.last_ns),
        ]);
        let mut text = format!("{}\n", style.paint(ink, &line));
        if overlong {
            text.push_str(&indented(target, 4, WIDTH));
        }
        for line in indented(&row.text, 6, WIDTH).lines() {
            text.push_str(&style.paint(Ink::Faint, line));
            text.push('\n');
        }
        text
    }
}
