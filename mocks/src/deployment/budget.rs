//! What a PodDisruptionBudget lets go.
//!
//! Source: `pkg/controller/disruption/disruption.go getExpectedPodCount`,
//! `pkg/registry/core/pod/rest/eviction.go`.

use super::strategy::Amount;

/// `spec` of a PodDisruptionBudget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// `minAvailable`
    MinAvailable(Amount),
    /// `maxUnavailable`
    MaxUnavailable(Amount),
}

/// The pod that is to be evicted, as far as a budget cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It does not run yet or any more, or terminates already.
    Idle,
    /// It runs, and is not Ready.
    NotReady,
    /// It is Ready.
    Ready,
}

impl Budget {
    /// How many of `expected` pods must stay healthy. Shares are rounded up on
    /// either side.
    fn desired_healthy(self, expected: u32) -> u32 {
        match self {
            Self::MinAvailable(amount) => amount.rounded_up(expected),
            Self::MaxUnavailable(amount) => expected.saturating_sub(amount.rounded_up(expected)),
        }
    }

    /// Whether a pod may be evicted while `healthy` of `expected` are Ready.
    /// Of pods that are not Ready a budget that is kept lets any go
    /// (`unhealthyPodEvictionPolicy: IfHealthyBudget`, the default).
    pub(super) fn allows(self, pod: Health, healthy: u32, expected: u32) -> bool {
        let desired = self.desired_healthy(expected);
        match pod {
            Health::Idle => true,
            Health::NotReady => healthy >= desired && desired > 0,
            Health::Ready => healthy > desired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_replica_of_which_one_must_stay_never_goes() {
        for budget in [
            Budget::MinAvailable(Amount::Count(1)),
            Budget::MinAvailable(Amount::Percent(100)),
            Budget::MaxUnavailable(Amount::Count(0)),
        ] {
            assert!(!budget.allows(Health::Ready, 1, 1), "{budget:?}");
            assert!(budget.allows(Health::Idle, 0, 1), "{budget:?}");
            assert!(!budget.allows(Health::NotReady, 0, 1), "{budget:?}");
        }
    }

    #[test]
    fn of_two_one_may_go_while_both_are_ready() {
        let budget = Budget::MinAvailable(Amount::Count(1));
        assert!(budget.allows(Health::Ready, 2, 2));
        assert!(!budget.allows(Health::Ready, 1, 2));
        assert!(budget.allows(Health::NotReady, 1, 2));
    }

    #[test]
    fn shares_are_rounded_up() {
        assert_eq!(
            Budget::MinAvailable(Amount::Percent(50)).desired_healthy(3),
            2
        );
        assert_eq!(
            Budget::MaxUnavailable(Amount::Percent(25)).desired_healthy(3),
            2
        );
    }
}
