//! When stages were reached, and where the time went.

use super::WIDTH;
use super::style::{Ink, Style};
use super::wrap::wrap;
use crate::attribution::Part;
use crate::case::Setting;
use crate::judgement::RunJudgement;
use crate::milestone::Milestone;
use crate::units::duration;

/// Columns of the times on the left.
const TIME: usize = 11;

/// The table of milestones.
pub(super) fn milestones(run: &RunJudgement, style: Style) -> String {
    let mut text = style.title("milestones");
    text.push_str(&style.paint(Ink::Faint, " since the first start of the process"));
    text.push('\n');
    for (milestone, at) in run.milestones.iter() {
        let label = milestone.label();
        match at {
            Some(0) if milestone > Milestone::ProcessStarted => {
                text.push_str(&format!("{:>TIME$}  {label}\n", "before"));
            }
            Some(at) => text.push_str(&format!("{:>TIME$}  {label}\n", duration(at))),
            None => {
                let never = style.paint(Ink::Bad, &format!("{:>TIME$}", "never"));
                text.push_str(&format!("{never}  {label}\n"));
            }
        }
    }
    text
}

/// Where the time to ready went.
pub(super) fn spending(run: &RunJudgement, style: Style) -> String {
    let attribution = &run.attribution;
    let total = duration(attribution.total_ns);
    let ending = if attribution.ready {
        ""
    } else {
        "; the pod was not Ready by then"
    };
    let mut text = style.title(&format!("where the {total} went"));
    text.push_str(&style.paint(Ink::Faint, &format!(" (sums exactly){ending}")));
    text.push('\n');
    // Each part is shown as the difference of two rounded sums, so that what
    // is printed adds up to what is printed below the line.
    let ms = 1_000_000;
    let mut sum = 0;
    for part in &attribution.parts {
        let before = sum / ms;
        sum += part.ns;
        text.push_str(&entry(&duration((sum / ms - before) * ms), part, style));
    }
    let rule = style.pick("─", "-").repeat(TIME - 2);
    let label = if attribution.ready {
        "time to ready"
    } else {
        "until the end of the run"
    };
    text.push_str(&format!("  {rule}\n{:>TIME$}  {label}\n", duration(sum)));
    text
}

fn entry(time: &str, part: &Part, style: Style) -> String {
    if part.blocking {
        let what = format!("still blocked by: {}", part.what);
        entry_of(time, &what, &part.governed_by, Ink::Bad, style)
    } else {
        entry_of(time, &part.what, &part.governed_by, Ink::Plain, style)
    }
}

/// A time, what it was spent on, and the setting in brackets: on the same line
/// if it fits.
fn entry_of(time: &str, what: &str, governed_by: &Setting, ink: Ink, style: Style) -> String {
    let width = WIDTH - TIME - 2;
    let setting = format!("[{governed_by}]");
    let lines = wrap(what, width);
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let time = if index == 0 { time } else { "" };
        text.push_str(&format!("{time:>TIME$}  {}", style.paint(ink, line)));
        if index + 1 < lines.len() {
            text.push('\n');
        }
    }
    let last = lines.last().map_or(0, |line| line.chars().count());
    if last + 2 + setting.chars().count() <= width {
        text.push_str(&format!("  {}\n", style.paint(Ink::Faint, &setting)));
        return text;
    }
    text.push('\n');
    for line in wrap(&setting, width) {
        text.push_str(&format!(
            "{:TIME$}  {}\n",
            "",
            style.paint(Ink::Faint, &line)
        ));
    }
    text
}

/// What followed once the pod was Ready.
pub(super) fn after_ready(run: &RunJudgement, style: Style) -> String {
    if run.attribution.after_ready.is_empty() {
        return String::new();
    }
    let mut text = format!("{}\n", style.title("after the pod was Ready"));
    for step in &run.attribution.after_ready {
        let ready = run.time_to_ready_ns();
        let already = run.milestones.at(step.milestone) < ready;
        let (time, ink) = match step.ns {
            Some(0) if already => ("before".to_owned(), Ink::Plain),
            Some(ns) => (format!("+{}", duration(ns)), Ink::Plain),
            None => ("never".to_owned(), Ink::Bad),
        };
        text.push_str(&entry_of(
            &time,
            step.milestone.label(),
            &step.governed_by,
            ink,
            style,
        ));
    }
    text
}
