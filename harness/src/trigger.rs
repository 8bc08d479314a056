//! Changes and actions that wait for something to happen.
//!
//! Everything in a run is a function of scenario, seed and time. So the run is
//! made once without what waits, the first occurrence is looked up in its
//! trace, and the run is made again with the change at that time: up to there
//! the two are the same run. That they are is checked; each trigger costs one
//! more pass at most, and a scenario without triggers none.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use reports::case::Case;
use reports::exit::Exit;
use reports::trace::Trace;

use crate::brief;
use crate::engine::Stuck;
use crate::scenario::model::{Scenario, Trigger};
use crate::scenario::{self, Diagnostics, Moments};
use crate::seed::Seed;
use crate::settle::settle;

/// What comes after something has happened comes at the next millisecond at
/// the earliest: timers resolve to one.
const NEXT: Duration = Duration::from_millis(1);

/// A run, and the scenario with the times of its triggers as they were found.
#[derive(Debug, Clone)]
pub struct Played<'s> {
    /// The scenario that was run, settled. What still waits in it never came.
    pub scenario: Cow<'s, Scenario>,
    /// What happened.
    pub trace: Trace,
}

/// Why a run could not be made.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Virtual time stood still: a defect in firstlight.
    Stuck(Stuck),
    /// A change at a later time altered what came before it: a defect in
    /// firstlight.
    Unrepeatable {
        /// When the change came.
        at: Duration,
        /// The first record that differs, as it was and as it is.
        records: [String; 2],
    },
    /// The scenario contradicts itself at the time of a trigger.
    Refused(Diagnostics),
}

impl Failure {
    /// How a command that meets it ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Stuck(_) | Self::Unrepeatable { .. } => Exit::Internal,
            Self::Refused(_) => Exit::InvalidInput,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stuck(stuck) => stuck.fmt(f),
            Self::Unrepeatable {
                at,
                records: [was, is],
            } => write!(
                f,
                "a change at {at:?} of virtual time altered what came before it; please report \
                 this defect of firstlight\n  was: {was}\n  is:  {is}"
            ),
            Self::Refused(diagnostics) => f.write_str(&diagnostics.render()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Stuck> for Failure {
    fn from(stuck: Stuck) -> Self {
        Self::Stuck(stuck)
    }
}

/// Runs `scenario` with `pass` until every trigger that fires has fired.
///
/// `pass` makes one run of a scenario for which the seed has decided all that
/// it decides.
///
/// # Errors
///
/// What `pass` fails with; [`Failure::Unrepeatable`] if a run does not repeat
/// the one before it up to the change; [`Failure::Refused`] if the scenario is
/// contradictory with a change at the time that was found.
pub fn play<E: Into<Failure>>(
    scenario: &Scenario,
    seed: Seed,
    mut pass: impl FnMut(&Scenario) -> Result<Trace, E>,
) -> Result<Played<'_>, Failure> {
    let settled = settle(scenario, seed);
    let mut played = Played {
        trace: pass(&settled).map_err(Into::into)?,
        scenario: settled,
    };
    let mut moments = Moments::new();
    while let Some((first, found)) = fired(&played) {
        moments.extend(found);
        let scenario =
            scenario::at_moments(&played.scenario, &moments).map_err(Failure::Refused)?;
        let settled = settle(&scenario, seed).into_owned();
        let trace = pass(&settled).map_err(Into::into)?;
        check_repeats(&played.trace, &trace, first)?;
        played = Played {
            scenario: Cow::Owned(settled),
            trace,
        };
    }
    Ok(played)
}

/// The triggers that fired with their times, and the earliest of these. Left
/// out are those that fired only after the earliest time: from there on the
/// next run may differ.
fn fired(played: &Played<'_>) -> Option<(Duration, Vec<(usize, Duration)>)> {
    if played.scenario.triggers.is_empty() {
        return None;
    }
    let case = brief::case(&played.scenario);
    let found: Vec<(usize, Duration, Duration)> = played
        .scenario
        .triggers
        .iter()
        .filter_map(|trigger| {
            let happened = happened(trigger, &case, &played.trace)?;
            let at = whole_milliseconds(happened + trigger.after.max(NEXT));
            (at < played.scenario.until).then_some((trigger.key, happened, at))
        })
        .collect();
    let first = found.iter().map(|(_, _, at)| *at).min()?;
    let certain = found
        .into_iter()
        .filter(|(_, happened, _)| *happened < first);
    Some((first, certain.map(|(key, _, at)| (key, at)).collect()))
}

fn happened(trigger: &Trigger, case: &Case, trace: &Trace) -> Option<Duration> {
    let happened = trigger.moment.nth_in(case, trace, trigger.nth)?;
    Some(Duration::from_nanos(happened))
}

fn whole_milliseconds(at: Duration) -> Duration {
    let rest = at.subsec_nanos() % 1_000_000;
    match rest {
        0 => at,
        rest => at + Duration::from_nanos(u64::from(1_000_000 - rest)),
    }
}

/// Whether two runs are the same up to, not including, `at`.
fn check_repeats(before: &Trace, after: &Trace, at: Duration) -> Result<(), Failure> {
    let prefix = |trace: &Trace| {
        let nanos = at.as_nanos();
        trace
            .records
            .partition_point(|record| u128::from(record.t) < nanos)
    };
    let (was, is) = (
        &before.records[..prefix(before)],
        &after.records[..prefix(after)],
    );
    if was == is {
        return Ok(());
    }
    let differs = was.iter().zip(is).position(|(was, is)| was != is);
    let differs = differs.unwrap_or(was.len().min(is.len()));
    let shown = |records: &[reports::trace::Record]| match records.get(differs) {
        Some(record) => format!("{record:?}"),
        None => "nothing more".to_owned(),
    };
    Err(Failure::Unrepeatable {
        at,
        records: [shown(was), shown(is)],
    })
}
