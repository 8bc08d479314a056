//! When a container that ended may start again.

use std::time::Duration;

use seam::Timestamp;

/// Source: `pkg/kubelet/kubelet.go` (`backOff`), `MaxContainerBackOff`.
const INITIAL: Duration = Duration::from_secs(10);
const MAX: Duration = Duration::from_secs(300);

/// The kubelet's back-off entry for one container.
///
/// Its comparisons are between times on the node's wall clock: a forward step
/// ends a wait at the next look, a backward step prolongs it.
///
/// Source: `client-go/util/flowcontrol/backoff.go Backoff`.
#[derive(Debug, Default)]
pub(super) struct CrashLoop {
    entry: Option<Entry>,
}

#[derive(Debug)]
struct Entry {
    delay: Duration,
    updated: Timestamp,
}

/// Whether to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Start,
    Wait {
        /// The entry: 10 s, 20 s, …
        nominal: Duration,
        /// What is left of it.
        remaining: Duration,
    },
}

impl CrashLoop {
    /// Decides at `now` about a container whose latest visible instance
    /// exited at `exited`. Deciding to start advances the entry.
    ///
    /// Source: `pkg/kubelet/kuberuntime/kuberuntime_manager.go doBackOff`.
    pub(super) fn decide(&mut self, exited: Option<Timestamp>, now: Timestamp) -> Decision {
        let Some(exited) = exited else {
            return Decision::Start;
        };
        let remembered = self
            .entry
            .as_ref()
            .filter(|entry| exited.nanos_since(entry.updated) <= nanos(2 * MAX));
        let delay = match remembered {
            Some(entry) => {
                let left = nanos(entry.delay) - now.nanos_since(exited);
                if let Ok(left @ 1..) = u64::try_from(left) {
                    return Decision::Wait {
                        nominal: entry.delay,
                        remaining: Duration::from_nanos(left),
                    };
                }
                (2 * entry.delay).min(MAX)
            }
            None => INITIAL,
        };
        self.entry = Some(Entry {
            delay,
            updated: now,
        });
        Decision::Start
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp::from_seconds(seconds))
    }

    /// Waits that a container exiting `life` seconds after each start meets.
    fn waits(life: i64, exits: usize) -> Vec<u64> {
        let mut backoff = CrashLoop::default();
        let mut now = Timestamp::from_seconds(1_000);
        let mut waits = Vec::new();
        for _ in 0..exits {
            let exited = now.offset(life * 1_000_000_000);
            now = exited;
            let mut waited = 0;
            while let Decision::Wait { remaining, .. } = backoff.decide(Some(exited), now) {
                now = now.after(remaining);
                waited += remaining.as_secs();
            }
            waits.push(waited);
        }
        waits
    }

    #[test]
    fn a_crashing_process_waits_twice_as_long_each_time_up_to_five_minutes() {
        assert_eq!(waits(1, 9), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn ten_quiet_minutes_are_forgiven() {
        assert_eq!(waits(601, 4), [0, 0, 0, 0]);
        let mut backoff = CrashLoop::default();
        assert_eq!(
            backoff.decide(at(0), Timestamp::from_seconds(1)),
            Decision::Start
        );
        assert_eq!(
            backoff.decide(at(602), Timestamp::from_seconds(603)),
            Decision::Start
        );
        assert!(matches!(
            backoff.decide(at(604), Timestamp::from_seconds(605)),
            Decision::Wait {
                nominal: INITIAL,
                ..
            }
        ));
    }

    #[test]
    fn without_a_visible_exit_nothing_is_remembered() {
        let mut backoff = CrashLoop::default();
        assert_eq!(
            backoff.decide(None, Timestamp::from_seconds(5)),
            Decision::Start
        );
        assert!(backoff.entry.is_none());
    }

    #[test]
    fn steps_of_the_wall_clock_move_the_end_of_a_wait() {
        let mut backoff = CrashLoop::default();
        let remaining = |decision| match decision {
            Decision::Wait { remaining, .. } => remaining.as_secs(),
            Decision::Start => 0,
        };
        backoff.decide(at(0), Timestamp::from_seconds(0));
        assert_eq!(
            remaining(backoff.decide(at(5), Timestamp::from_seconds(6))),
            9
        );
        assert_eq!(
            remaining(backoff.decide(at(5), Timestamp::from_seconds(-54))),
            69
        );
        assert_eq!(
            remaining(backoff.decide(at(5), Timestamp::from_seconds(66))),
            0
        );
    }
}
