//! How many pods of which template a rollout wants next.
//!
//! Source: `pkg/controller/deployment/{rolling,recreate}.go`,
//! `pkg/controller/deployment/util/deployment_util.go NewRSNewReplicas`,
//! `ResolveFenceposts`.

/// A number of pods, or a share of the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many per cent.
    Percent(u32),
}

impl Amount {
    /// In pods, a share rounded up.
    #[must_use]
    pub fn rounded_up(self, of: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (percent * of).div_ceil(100),
        }
    }

    /// In pods, a share rounded down.
    #[must_use]
    pub fn rounded_down(self, of: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => percent * of / 100,
        }
    }
}

/// `strategy` of a Deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// All old pods go before the first new one comes.
    Recreate,
    /// New pods come and old ones go, within limits.
    RollingUpdate {
        /// How many replicas may be missing.
        max_unavailable: Amount,
        /// How many pods more than the replicas there may be.
        max_surge: Amount,
    },
}

impl Strategy {
    /// What Kubernetes does where a Deployment says nothing.
    /// Source: `pkg/apis/apps/v1/defaults.go SetDefaults_Deployment`.
    pub const DEFAULT: Self = Self::RollingUpdate {
        max_unavailable: Amount::Percent(25),
        max_surge: Amount::Percent(25),
    };

    /// The most pods of all templates at a time, without those that terminate.
    #[must_use]
    pub fn most_pods(&self, replicas: u32) -> u32 {
        match self {
            Self::Recreate => replicas,
            Self::RollingUpdate { .. } => replicas + self.limits(replicas).1,
        }
    }

    /// How many replicas may be missing while a rollout replaces pods; with
    /// [`Recreate`](Self::Recreate) the question does not arise.
    /// Source: `pkg/controller/deployment/util MaxUnavailable`.
    #[must_use]
    pub fn max_unavailable(&self, replicas: u32) -> u32 {
        match self {
            Self::Recreate => 0,
            Self::RollingUpdate { .. } => self.limits(replicas).0,
        }
    }

    /// Replicas that may be missing, and pods that may be too many. The surge
    /// is rounded up and the other down; if both come to nothing, one replica
    /// may be missing, or no rollout could move.
    fn limits(&self, replicas: u32) -> (u32, u32) {
        let Self::RollingUpdate {
            max_unavailable,
            max_surge,
        } = self
        else {
            return (replicas, 0);
        };
        let surge = max_surge.rounded_up(replicas);
        let unavailable = max_unavailable.rounded_down(replicas).min(replicas);
        match (unavailable, surge) {
            (0, 0) => (1, 0),
            both => both,
        }
    }
}

/// The pods of one template.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// How many there should be: the ReplicaSet's `spec.replicas`.
    pub(super) wanted: u32,
    /// How many of them are Ready.
    pub(super) available: u32,
}

/// What a Deployment knows of its pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// `spec.replicas`
    pub(super) replicas: u32,
    /// Pods of the present template.
    pub(super) new: Set,
    /// Pods of earlier templates, oldest first.
    pub(super) old: Vec<Set>,
    /// Whether any pod of an earlier template still runs, terminating ones
    /// included.
    pub(super) old_runs: bool,
}

/// One step: the state with the numbers of pods that should be there next.
pub(super) fn step(strategy: &Strategy, state: &State) -> State {
    let mut next = state.clone();
    match strategy {
        Strategy::Recreate => recreate(&mut next),
        Strategy::RollingUpdate { .. } => {
            if !scale_up(strategy, &mut next) {
                scale_down(strategy, &mut next);
            }
        }
    }
    next
}

fn recreate(state: &mut State) {
    let had_old = state.old.iter().any(|set| set.wanted > 0);
    for set in &mut state.old {
        set.wanted = 0;
    }
    if !had_old && !state.old_runs {
        state.new.wanted = state.replicas;
    }
}

/// Source: `rolling.go reconcileNewReplicaSet`. True if that was the step.
fn scale_up(strategy: &Strategy, state: &mut State) -> bool {
    if state.new.wanted >= state.replicas {
        let changed = state.new.wanted > state.replicas;
        state.new.wanted = state.replicas;
        return changed;
    }
    let room = strategy
        .most_pods(state.replicas)
        .saturating_sub(total(state));
    let more = room.min(state.replicas - state.new.wanted);
    state.new.wanted += more;
    more > 0
}

/// Source: `rolling.go reconcileOldReplicaSets`, `cleanupUnhealthyReplicas`,
/// `scaleDownOldReplicaSetsForRollingUpdate`.
fn scale_down(strategy: &Strategy, state: &mut State) {
    let least = state.replicas - strategy.limits(state.replicas).0;
    let unavailable = state.new.wanted.saturating_sub(state.new.available);
    let Some(most) = total(state).checked_sub(least + unavailable) else {
        return;
    };
    let available: u32 =
        state.new.available + state.old.iter().map(|set| set.available).sum::<u32>();
    // Old pods that are not Ready go first: they serve nobody.
    let mut unhealthy = most;
    for set in &mut state.old {
        let gone = unhealthy.min(set.wanted.saturating_sub(set.available));
        set.wanted -= gone;
        unhealthy -= gone;
    }
    if most == 0 {
        return;
    }
    let mut healthy = available.saturating_sub(least);
    for set in &mut state.old {
        let gone = healthy.min(set.wanted);
        set.wanted -= gone;
        healthy -= gone;
    }
}

fn total(state: &State) -> u32 {
    state.new.wanted + state.old.iter().map(|set| set.wanted).sum::<u32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    fn rolling(max_unavailable: Amount, max_surge: Amount) -> Strategy {
        Strategy::RollingUpdate {
            max_unavailable,
            max_surge,
        }
    }

    fn set(wanted: u32, available: u32) -> Set {
        Set { wanted, available }
    }

    fn next(strategy: &Strategy, replicas: u32, new: Set, old: &[Set]) -> (u32, Vec<u32>) {
        let state = step(
            strategy,
            &State {
                replicas,
                new,
                old: old.to_vec(),
                old_runs: old.iter().any(|set| set.available > 0),
            },
        );
        (
            state.new.wanted,
            state.old.iter().map(|set| set.wanted).collect(),
        )
    }

    #[test]
    fn shares_are_rounded_as_kubernetes_rounds_them() {
        assert_eq!(Strategy::DEFAULT.limits(1), (0, 1));
        assert_eq!(Strategy::DEFAULT.limits(2), (0, 1));
        assert_eq!(Strategy::DEFAULT.limits(4), (1, 1));
        assert_eq!(Strategy::DEFAULT.limits(10), (2, 3));
        let nothing = rolling(Amount::Percent(10), Amount::Count(0));
        assert_eq!(nothing.limits(3), (1, 0));
    }

    #[test]
    fn with_no_replica_to_spare_the_old_pod_stays_until_the_new_is_ready() {
        let strategy = rolling(Amount::Count(0), Amount::Count(1));
        assert_eq!(next(&strategy, 1, set(0, 0), &[set(1, 1)]), (1, vec![1]));
        assert_eq!(next(&strategy, 1, set(1, 0), &[set(1, 1)]), (1, vec![1]));
        assert_eq!(next(&strategy, 1, set(1, 1), &[set(1, 1)]), (1, vec![0]));
    }

    #[test]
    fn an_old_pod_that_is_not_ready_does_not_hold_the_rollout_up() {
        let strategy = rolling(Amount::Count(0), Amount::Count(1));
        // Two pods, none Ready: only the surplus one may go.
        assert_eq!(next(&strategy, 1, set(1, 0), &[set(1, 0)]), (1, vec![1]));
        let strategy = rolling(Amount::Count(1), Amount::Count(0));
        assert_eq!(next(&strategy, 1, set(0, 0), &[set(1, 1)]), (0, vec![0]));
        assert_eq!(next(&strategy, 1, set(0, 0), &[set(0, 0)]), (1, vec![0]));
    }

    #[test]
    fn recreate_waits_for_the_last_old_pod_to_be_gone() {
        let step = |old_wanted, old_runs| {
            let state = State {
                replicas: 2,
                new: set(0, 0),
                old: vec![set(old_wanted, old_wanted)],
                old_runs,
            };
            let state = super::step(&Strategy::Recreate, &state);
            (state.new.wanted, state.old[0].wanted)
        };
        assert_eq!(step(2, true), (0, 0));
        assert_eq!(step(0, true), (0, 0));
        assert_eq!(step(0, false), (2, 0));
    }

    proptest! {
        /// Whatever the numbers, a rollout whose pods all become Ready ends,
        /// never has too many pods, and never takes away too many that are
        /// Ready.
        #[test]
        fn a_rollout_of_healthy_pods_ends_within_its_limits(
            replicas in 1u32..12, unavailable in 0u32..=100, surge in 0u32..=100,
        ) {
            let strategy = rolling(Amount::Percent(unavailable), Amount::Percent(surge));
            let mut state = State {
                replicas,
                new: set(0, 0),
                old: vec![set(replicas, replicas)],
                old_runs: true,
            };
            let least = replicas - strategy.limits(replicas).0;
            for _ in 0..200 {
                let after = step(&strategy, &state);
                prop_assert!(total(&after) <= strategy.most_pods(replicas).max(total(&state)));
                let old = after.old[0].wanted.min(state.old[0].available);
                prop_assert!(old + state.new.available >= least);
                let settled = after == state;
                state = after;
                state.old[0].available = old;
                if settled {
                    if state.new.available == state.new.wanted {
                        break;
                    }
                    state.new.available = state.new.wanted;
                }
            }
            prop_assert_eq!((state.new.wanted, state.old[0].wanted), (replicas, 0));
        }
    }
}
