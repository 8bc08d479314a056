//! How quickly the kubelet acts.

use std::time::Duration;

use seam::Random;

use super::RestartTiming;

/// A pod worker looks again after at most this, times its jitter.
/// Source: KubeletConfiguration `syncFrequency`, capped in
/// `pkg/kubelet/pod_workers.go completeWork`.
const MAX_REQUEUE: Duration = Duration::from_secs(60);

/// How often the queue of pod workers is looked at.
/// Source: `pkg/kubelet/kubelet.go syncLoop` (`syncTicker`).
const QUEUE_POLL: Duration = Duration::from_secs(1);

/// A kubelet's delays, from a random stream of their own.
pub(super) struct Delays {
    timing: RestartTiming,
    random: Box<dyn Random>,
}

impl Delays {
    pub(super) fn new(timing: RestartTiming, random: Box<dyn Random>) -> Self {
        Self { timing, random }
    }

    /// How long it takes until the pod lifecycle event generator sees an exit.
    pub(super) fn unnoticed(&mut self) -> Duration {
        match self.timing.jitter {
            true => self
                .random
                .duration_between(Duration::ZERO, self.timing.relist_period),
            false => self.timing.relist_period,
        }
    }

    /// How long until the pod's worker looks again when `remaining` is left.
    pub(super) fn requeue(&mut self, remaining: Duration) -> Duration {
        let nominal = remaining.min(MAX_REQUEUE);
        match self.timing.jitter {
            true => {
                self.random.duration_between(nominal, nominal + nominal / 2)
                    + self.random.duration_between(Duration::ZERO, QUEUE_POLL)
            }
            false => nominal,
        }
    }
}
