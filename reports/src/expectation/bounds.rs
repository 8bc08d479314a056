//! Bounds, and what a claim came to.

use serde::{Deserialize, Serialize};

use super::Outcome;

/// From at least `min` to at most `max`, both included; absent: no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// At least.
    pub min: Option<u64>,
    /// At most.
    pub max: Option<u64>,
}

impl Bounds {
    /// Exactly this.
    #[must_use]
    pub fn exactly(value: u64) -> Self {
        Self {
            min: Some(value),
            max: Some(value),
        }
    }

    /// Whether `got` lies within.
    pub(super) fn hold(self, got: u64) -> bool {
        self.min.is_none_or(|min| got >= min) && self.max.is_none_or(|max| got <= max)
    }

    /// Whether nothing is asked.
    pub(super) fn is_open(self) -> bool {
        self.min.is_none() && self.max.is_none()
    }

    /// `at least 20.000s, at most 30.000s`
    pub(super) fn want(self, show: impl Fn(u64) -> String) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) if min == max => format!("exactly {}", show(min)),
            (Some(min), Some(max)) => format!("at least {}, at most {}", show(min), show(max)),
            (Some(min), None) => format!("at least {}", show(min)),
            (None, Some(max)) => format!("at most {}", show(max)),
            (None, None) => "any".to_owned(),
        }
    }

    /// `over by 32.400s`
    pub(super) fn missed_by(self, got: u64, show: impl Fn(u64) -> String) -> Option<String> {
        match (self.min, self.max) {
            (_, Some(max)) if got > max => Some(format!("over by {}", show(got - max))),
            (Some(min), _) if got < min => Some(format!("under by {}", show(min - got))),
            _ => None,
        }
    }
}

/// What a claim came to.
pub(super) struct Weighed {
    pub(super) subject: String,
    pub(super) outcome: Outcome,
    pub(super) got: String,
    pub(super) want: String,
    pub(super) by: Option<String>,
}

impl Weighed {
    pub(super) fn holds(subject: String, holds: bool, got: String, want: String) -> Self {
        let outcome = if holds { Outcome::Pass } else { Outcome::Fail };
        Self {
            subject,
            outcome,
            got,
            want,
            by: None,
        }
    }

    pub(super) fn inconclusive(subject: String, got: String, want: String) -> Self {
        Self {
            subject,
            outcome: Outcome::Inconclusive,
            got,
            want,
            by: None,
        }
    }

    pub(super) fn by(mut self, by: Option<String>) -> Self {
        self.by = by;
        self
    }
}
