//! The report that people read.
//!
//! [`report`] tells everything about one run; [`library()`] one line per
//! scenario, what went wrong, and a sum. Both are plain text at most
//! [`WIDTH`] columns wide, except that commands to copy are never broken.
//! Nothing is cut without saying so: long texts are wrapped, long lists end
//! with the number of what follows.
//!
//! Status is always a word; symbols and colour only repeat it.

mod axis;
mod causes;
mod expectations;
mod head;
mod library;
mod nodes;
mod replicas;
mod responses;
mod spending;
mod style;
mod wrap;

pub(crate) use expectations::{again, place};
pub use library::{library, line, summary};
pub use style::Style;

use crate::case::Case;
use crate::judgement::RunJudgement;

/// Columns that a report uses at most.
pub const WIDTH: usize = 100;

/// Everything about one run.
#[must_use]
pub fn report(case: &Case, run: &RunJudgement, style: Style) -> String {
    let blocks = [
        head::head(case, run, style),
        causes::why(run, style),
        axis::timeline(&run.timeline, style),
        spending::milestones(run, style),
        responses::responses(run, style),
        spending::spending(run, style),
        spending::after_ready(run, style),
        replicas::replicas(run, style),
        nodes::nodes(run, style),
        causes::remedies(run, style),
        causes::faults(run, style),
        expectations::expectations(case, run, style),
        expectations::reproduce(case, run, style),
    ];
    let mut report = String::new();
    for block in blocks.iter().filter(|block| !block.is_empty()) {
        if !report.is_empty() {
            report.push('\n');
        }
        report.push_str(block);
    }
    report
}
