//! The run drawn along a time axis.

use super::WIDTH;
use super::style::{Ink, Style};
use super::wrap::wrap;
use crate::timeline::{ApiState, ProcessSpan, ScrapeResult, ScrapeSpan, Timeline};
use crate::units::duration;

/// Columns of the labels on the left.
const LABEL: usize = 12;
/// Columns of the picture.
const COLUMNS: usize = 60;
/// Columns between two marks of the axis.
const DIVISION: usize = 10;
/// Seconds between two marks, the smallest that shows everything is used.
const STEPS: [u64; 18] = [
    1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400,
];
const SECOND: u64 = 1_000_000_000;

/// The lanes of a run on a common axis.
pub(super) fn timeline(timeline: &Timeline, style: Style) -> String {
    let axis = Axis::showing(timeline.settled_ns, timeline.end_ns);
    let mut text = axis.ruler(style);
    let mut draw = |label: &str, lane: Lane| {
        let row = format!("{label:<LABEL$}{}", lane.show(style));
        text.push_str(row.trim_end());
        text.push('\n');
    };
    draw("process", processes(&timeline.processes, &axis, style));
    draw("scrape", scrapes(&timeline.scrapes, &axis, style));
    draw("probe", probes(&timeline.probes, &axis, style));
    draw("pod Ready", ready(&timeline.ready, &axis, style));
    draw("metrics API", api(&timeline.api, &axis, style));
    if !timeline.changes.is_empty() {
        draw("changes", changes(&timeline.changes, &axis, style));
    }
    text.push_str(&legend(timeline, style));
    for (at, what) in &timeline.changes {
        text.push_str(&listed(*at, what));
    }
    text
}

fn listed(at: u64, what: &str) -> String {
    let mut text = String::new();
    for (index, line) in wrap(what, WIDTH - LABEL - 11).iter().enumerate() {
        let time = if index == 0 {
            duration(at)
        } else {
            String::new()
        };
        text.push_str(&format!("{:LABEL$}{time:>9}  {line}\n", ""));
    }
    text
}

/// From time to column.
struct Axis {
    step_ns: u64,
    end_ns: u64,
}

impl Axis {
    /// An axis that shows what happens up to `settled_ns` of a run that ended
    /// at `end_ns`, and a little more.
    fn showing(settled_ns: u64, end_ns: u64) -> Self {
        let divisions = (COLUMNS / DIVISION) as u64;
        let wanted = settled_ns.saturating_add(settled_ns / 10).min(end_ns);
        let fits = |step: &&u64| **step * SECOND * divisions > wanted;
        let largest = STEPS[STEPS.len() - 1];
        let step = STEPS.iter().find(fits).copied().unwrap_or_else(|| {
            // Longer than six days: whole days.
            largest * (wanted / (largest * SECOND * divisions) + 1)
        });
        Self {
            step_ns: step * SECOND,
            end_ns,
        }
    }

    fn column(&self, at: u64) -> usize {
        let column = u128::from(at) * DIVISION as u128 / u128::from(self.step_ns);
        usize::try_from(column).unwrap_or(usize::MAX)
    }

    /// The column after the last one that the run reached.
    fn end(&self) -> usize {
        (self.column(self.end_ns) + 1).min(COLUMNS)
    }

    fn ruler(&self, style: Style) -> String {
        let marks = COLUMNS / DIVISION;
        let labels: String = (0..=marks as u64)
            .map(|mark| {
                format!(
                    "{:<DIVISION$}",
                    format!("{}s", mark * self.step_ns / SECOND)
                )
            })
            .collect();
        let line = style.pick("─", "-").repeat(DIVISION - 1);
        let mut ruler = style.pick("├", "+").to_owned();
        for mark in 1..=marks {
            ruler.push_str(&line);
            let last = mark == marks;
            ruler.push_str(if last {
                style.pick("┤", "+")
            } else {
                style.pick("┼", "+")
            });
        }
        let pad = " ".repeat(LABEL);
        let labels = style.paint(Ink::Faint, labels.trim_end());
        format!("{pad}{labels}\n{pad}{}\n", style.paint(Ink::Faint, &ruler))
    }
}

/// One row of the picture.
struct Lane([(char, Ink); COLUMNS]);

impl Lane {
    fn empty() -> Self {
        Self([(' ', Ink::Plain); COLUMNS])
    }

    fn set(&mut self, column: usize, character: char, ink: Ink) {
        if let Some(cell) = self.0.get_mut(column) {
            *cell = (character, ink);
        }
    }

    /// Fills columns from `from` up to, not including, `to`.
    fn fill(&mut self, from: usize, to: usize, character: char, ink: Ink) {
        for column in from..to.min(COLUMNS) {
            self.set(column, character, ink);
        }
    }

    fn show(&self, style: Style) -> String {
        let used = self.0.iter().rposition(|(character, _)| *character != ' ');
        let cells = &self.0[..used.map_or(0, |last| last + 1)];
        // Neighbours of one colour share the escape sequences.
        let runs = cells.chunk_by(|(_, a), (_, b)| a == b);
        runs.map(|run| {
            let text: String = run.iter().map(|(character, _)| character).collect();
            style.paint(run[0].1, &text)
        })
        .collect()
    }
}

fn processes(spans: &[ProcessSpan], axis: &Axis, style: Style) -> Lane {
    let mut lane = Lane::empty();
    for span in spans {
        let start = axis.column(span.start_ns);
        let end = span.end_ns.map_or(axis.end(), |end| axis.column(end));
        let serving = span
            .serving_ns
            .map_or(end, |at| axis.column(at).max(start + 1));
        lane.fill(
            start,
            serving.max(start + 1),
            style.pick('░', '.'),
            Ink::Warning,
        );
        lane.fill(serving, end, style.pick('█', '='), Ink::Good);
        if span.end_ns.is_some() {
            lane.set(end, style.pick('✗', 'x'), Ink::Bad);
        }
    }
    lane
}

fn scrapes(spans: &[ScrapeSpan], axis: &Axis, style: Style) -> Lane {
    let mut lane = Lane::empty();
    for span in spans {
        let start = axis.column(span.start_ns);
        let end = span.end_ns.map_or(axis.end(), |end| axis.column(end));
        lane.fill(start, end, style.pick('▒', '-'), Ink::Faint);
        let (mark, ink) = match (span.end_ns, span.result) {
            (None, _) => continue,
            (_, ScrapeResult::Whole) => (style.pick('✓', '+'), Ink::Good),
            (_, ScrapeResult::Partial) => ('~', Ink::Warning),
            (_, ScrapeResult::Nothing) => (style.pick('✗', 'x'), Ink::Bad),
        };
        lane.set(end, mark, ink);
    }
    lane
}

fn probes(probes: &[(u64, String)], axis: &Axis, style: Style) -> Lane {
    let mut lane = Lane::empty();
    lane.fill(0, axis.end(), style.pick('·', '.'), Ink::Faint);
    for (at, outcome) in probes {
        let (mark, ink) = probe_mark(outcome, style);
        lane.set(axis.column(*at), mark, ink);
    }
    lane
}

fn probe_mark(outcome: &str, style: Style) -> (char, Ink) {
    match outcome {
        "200" => (style.pick('✓', '+'), Ink::Good),
        "refused" => ('r', Ink::Bad),
        "timeout" => ('t', Ink::Bad),
        _ => match outcome.chars().next() {
            Some(digit) if digit.is_ascii_digit() => (digit, Ink::Bad),
            _ => ('e', Ink::Bad),
        },
    }
}

fn ready(changes: &[(u64, bool)], axis: &Axis, style: Style) -> Lane {
    let mut lane = Lane::empty();
    lane.fill(0, axis.end(), style.pick('·', '.'), Ink::Faint);
    for (index, (at, ready)) in changes.iter().enumerate() {
        let until = changes
            .get(index + 1)
            .map_or(axis.end(), |(next, _)| axis.column(*next));
        if *ready {
            lane.fill(axis.column(*at), until, style.pick('█', '='), Ink::Good);
        }
    }
    lane
}

fn api(changes: &[(u64, ApiState)], axis: &Axis, style: Style) -> Lane {
    let mut lane = Lane::empty();
    for (index, (at, state)) in changes.iter().enumerate() {
        let from = axis.column(*at);
        let until = changes
            .get(index + 1)
            .map_or(axis.end(), |(next, _)| axis.column(*next));
        let (code, line, ink) = match state {
            ApiState::Absent => ("404", style.pick('─', '-'), Ink::Bad),
            ApiState::Unavailable => ("503", style.pick('─', '-'), Ink::Bad),
            ApiState::Available => ("200", style.pick('━', '='), Ink::Good),
        };
        lane.fill(from, until, line, ink);
        for (offset, digit) in code.chars().enumerate() {
            if from + offset < until {
                lane.set(from + offset, digit, ink);
            }
        }
    }
    lane
}

fn changes(changes: &[(u64, String)], axis: &Axis, style: Style) -> Lane {
    let mut lane = Lane::empty();
    for (at, _) in changes {
        lane.set(axis.column(*at), style.pick('▼', 'v'), Ink::Warning);
    }
    lane
}

/// What the marks of the probe's lane mean, those that occur.
fn legend(timeline: &Timeline, style: Style) -> String {
    let mut entries: Vec<String> = Vec::new();
    for (_, outcome) in &timeline.probes {
        let (mark, _) = probe_mark(outcome, style);
        let entry = format!("{mark} {outcome}");
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    if timeline
        .scrapes
        .iter()
        .any(|span| span.result == ScrapeResult::Partial)
    {
        entries.push("~ some nodes failed".to_owned());
    }
    if entries.is_empty() {
        return String::new();
    }
    let text = format!("{:LABEL$}{}", "", entries.join("   "));
    format!("{}\n", style.paint(Ink::Faint, &text))
}
