//! Exit codes of the `firstlight` command.

use serde::{Deserialize, Serialize};

use crate::expectation::Outcome;
use crate::judgement::ScenarioJudgement;

/// How the command ended. Where several apply, the first in [`Exit::ALL`]
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// A bug in firstlight.
    Internal,
    /// A report could not be written, or a file not read.
    Io,
    /// SIGTERM: reports so far are written and marked partial.
    Terminated,
    /// SIGINT, likewise.
    Interrupted,
    /// Bad command line.
    Usage,
    /// Same seed, different digest: a bug in firstlight.
    Nondeterminism,
    /// A scenario or configuration is wrong; nothing was simulated.
    InvalidInput,
    /// No scenario matched.
    NothingRun,
    /// A run could not tell whether an expectation holds.
    Inconclusive,
    /// An expectation did not hold.
    ExpectationFailed,
    /// Expectations hold, but results differ from the accepted baseline.
    BaselineChanged,
    /// Every expectation held.
    Ok,
}

impl Exit {
    /// All, in order of precedence.
    pub const ALL: [Self; 12] = [
        Self::Internal,
        Self::Io,
        Self::Terminated,
        Self::Interrupted,
        Self::Usage,
        Self::Nondeterminism,
        Self::InvalidInput,
        Self::NothingRun,
        Self::Inconclusive,
        Self::ExpectationFailed,
        Self::BaselineChanged,
        Self::Ok,
    ];

    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::ExpectationFailed => 1,
            Self::Usage => 2,
            Self::InvalidInput => 3,
            Self::NothingRun => 4,
            Self::BaselineChanged => 5,
            Self::Inconclusive => 6,
            Self::Nondeterminism => 7,
            Self::Internal => 70,
            Self::Io => 74,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// Its name in JSON and help: `expectation-failed`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ExpectationFailed => "expectation-failed",
            Self::Usage => "usage",
            Self::InvalidInput => "invalid-input",
            Self::NothingRun => "nothing-run",
            Self::BaselineChanged => "baseline-changed",
            Self::Inconclusive => "inconclusive",
            Self::Nondeterminism => "nondeterminism",
            Self::Internal => "internal",
            Self::Io => "io",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
        }
    }

    /// What it means, in one line.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "every expectation held",
            Self::ExpectationFailed => "at least one expectation did not hold",
            Self::Usage => "bad command line",
            Self::InvalidInput => "a scenario is wrong; nothing was simulated",
            Self::NothingRun => "no scenario matched",
            Self::BaselineChanged => {
                "expectations hold, but results differ from the accepted baseline"
            }
            Self::Inconclusive => {
                "an expectation had nothing to look at, a fault never took effect, or a limit \
                 was reached"
            }
            Self::Nondeterminism => {
                "same seed, different digest: a bug in firstlight, please report it"
            }
            Self::Internal => "a bug in firstlight, please report it",
            Self::Io => "a file could not be read or written",
            Self::Interrupted => "SIGINT; reports so far are written and marked partial",
            Self::Terminated => "SIGTERM; reports so far are written and marked partial",
        }
    }
}

/// The exit and what led to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitStatus {
    /// The process's exit code.
    pub code: u8,
    /// Its name.
    pub name: String,
    /// What led to it, one line each; none for `ok`.
    pub reasons: Vec<String>,
}

impl ExitStatus {
    /// The status that counts among `causes`, each with its reason; `ok`
    /// where there is none. Only the reasons of the exit that counts are kept.
    #[must_use]
    pub fn worst(causes: impl IntoIterator<Item = (Exit, String)>) -> Self {
        let causes: Vec<_> = causes.into_iter().collect();
        let applies = |exit: &Exit| causes.iter().any(|(cause, _)| cause == exit);
        let exit = Exit::ALL.into_iter().find(applies).unwrap_or(Exit::Ok);
        let reasons = causes
            .into_iter()
            .filter(|(cause, _)| *cause == exit && exit != Exit::Ok)
            .map(|(_, reason)| reason)
            .collect();
        Self {
            code: exit.code(),
            name: exit.name().to_owned(),
            reasons,
        }
    }

    /// The status of a command that ran `scenarios` without trouble of its own.
    #[must_use]
    pub fn of(scenarios: &[ScenarioJudgement]) -> Self {
        Self::worst(causes(scenarios))
    }
}

/// What the results of `scenarios` say about the exit. The command adds its
/// own causes, such as [`Exit::Io`], and hands all to [`ExitStatus::worst`].
#[must_use]
pub fn causes(scenarios: &[ScenarioJudgement]) -> Vec<(Exit, String)> {
    if scenarios.is_empty() {
        return vec![(Exit::NothingRun, "no scenario was run".to_owned())];
    }
    let mut causes = Vec::new();
    for scenario in scenarios {
        if scenario.runs.is_empty() {
            causes.push((
                Exit::NothingRun,
                format!("{} was not run", scenario.case.name),
            ));
        }
        for result in scenario.across_runs() {
            let who = format!("{} in every run", scenario.case.name);
            let complaint = format!("{who}: {}: {}", result.subject, result.seen());
            causes.extend(exit(result.outcome).map(|exit| (exit, complaint)));
        }
        for run in &scenario.runs {
            let who = format!("{} seed {}", scenario.case.name, run.seed);
            causes.extend(run.complaints().filter_map(|(outcome, complaint)| {
                Some((exit(outcome)?, format!("{who}: {complaint}")))
            }));
        }
    }
    causes
}

/// What an outcome alone makes the exit; `None` if nothing.
fn exit(outcome: Outcome) -> Option<Exit> {
    match outcome {
        Outcome::Pass => None,
        Outcome::Fail => Some(Exit::ExpectationFailed),
        Outcome::Inconclusive => Some(Exit::Inconclusive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(causes: &[Exit], expected: Exit) {
        let status =
            ExitStatus::worst(causes.iter().map(|exit| (*exit, exit.meaning().to_owned())));
        assert_eq!(
            (status.code, &*status.name),
            (expected.code(), expected.name())
        );
        assert!(
            status
                .reasons
                .iter()
                .all(|reason| reason == expected.meaning())
        );
    }

    #[test]
    fn the_gravest_cause_counts() {
        check(&[], Exit::Ok);
        check(&[Exit::BaselineChanged], Exit::BaselineChanged);
        check(
            &[Exit::BaselineChanged, Exit::ExpectationFailed],
            Exit::ExpectationFailed,
        );
        check(
            &[Exit::ExpectationFailed, Exit::Inconclusive],
            Exit::Inconclusive,
        );
        check(
            &[Exit::Inconclusive, Exit::InvalidInput],
            Exit::InvalidInput,
        );
        check(
            &[Exit::InvalidInput, Exit::Nondeterminism],
            Exit::Nondeterminism,
        );
        check(&[Exit::Nondeterminism, Exit::Io], Exit::Io);
        check(&[Exit::Io, Exit::Internal], Exit::Internal);
    }

    #[test]
    fn codes_and_names_are_distinct() {
        for (index, exit) in Exit::ALL.iter().enumerate() {
            for other in &Exit::ALL[..index] {
                assert_ne!(exit.code(), other.code());
                assert_ne!(exit.name(), other.name());
            }
        }
    }

    #[test]
    fn running_nothing_is_not_ok() {
        assert_eq!(ExitStatus::of(&[]).code, 4);
    }
}
