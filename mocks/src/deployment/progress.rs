//! Whether a rollout gets on.
//!
//! Source: `pkg/controller/deployment/progress.go`,
//! `pkg/controller/deployment/util/deployment_util.go DeploymentProgressing`,
//! `DeploymentComplete`, `DeploymentTimedOut`.

use std::time::Duration;

use tokio::time::Instant;

/// How many pods there are, without those that terminate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    new: u32,
    old: u32,
    ready: u32,
    new_ready: u32,
}

impl Counts {
    pub(super) fn add(&mut self, new: bool, ready: bool) {
        let one = u32::from;
        self.new += one(new);
        self.old += one(!new);
        self.ready += one(ready);
        self.new_ready += one(new && ready);
    }

    fn is_progress_from(self, before: Self) -> bool {
        self.new > before.new || self.old < before.old || self.ready > before.ready
    }

    fn is_complete(self, replicas: u32) -> bool {
        self.old == 0 && self.new == replicas && self.new_ready == replicas
    }
}

/// A condition to be told: status, reason, and the message after the
/// ReplicaSet's name.
type Condition = (bool, &'static str, &'static str);

/// One rollout after the other.
pub(super) struct Progress {
    patience: Duration,
    revision: u32,
    last: Counts,
    since: Instant,
    complete: bool,
    timed_out: bool,
}

impl Progress {
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            revision: 1,
            last: Counts::default(),
            since: Instant::now(),
            complete: false,
            timed_out: false,
        }
    }

    /// When the rollout times out if nothing happens until then.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.complete && !self.timed_out).then(|| self.since + self.patience)
    }

    /// Takes in what there is now.
    pub(super) fn observe(
        &mut self,
        revision: u32,
        replicas: u32,
        counts: Counts,
    ) -> Option<Condition> {
        let now = Instant::now();
        if revision != self.revision {
            self.revision = revision;
            self.complete = false;
            self.timed_out = false;
            self.since = now;
        }
        if counts.is_progress_from(self.last) {
            self.since = now;
            self.timed_out = false;
        }
        self.last = counts;
        if counts.is_complete(replicas) {
            let first = revision == 1;
            let told = std::mem::replace(&mut self.complete, true);
            self.timed_out = false;
            return (!told && !first).then_some((
                true,
                "NewReplicaSetAvailable",
                "has successfully progressed.",
            ));
        }
        // A rollout that was complete once does not time out any more: pods
        // that are lost later are the ReplicaSet's affair.
        if self.complete || self.timed_out || now < self.since + self.patience {
            return None;
        }
        self.timed_out = true;
        Some((
            false,
            "ProgressDeadlineExceeded",
            "has timed out progressing.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client::testing::paused;

    fn counts(pods: &[(bool, bool)]) -> Counts {
        let mut counts = Counts::default();
        for (new, ready) in pods {
            counts.add(*new, *ready);
        }
        counts
    }

    #[test]
    fn progress_puts_the_deadline_off_and_completion_ends_it() {
        paused(async {
            let seconds = Duration::from_secs;
            let mut progress = Progress::new(seconds(60));
            let start = Instant::now();
            assert_eq!(progress.observe(1, 1, counts(&[(true, true)])), None);
            assert_eq!(progress.deadline(), None);

            tokio::time::advance(seconds(100)).await;
            let both = counts(&[(false, true), (true, false)]);
            assert_eq!(progress.observe(2, 1, both), None);
            assert_eq!(progress.deadline(), Some(start + seconds(160)));
            tokio::time::advance(seconds(60)).await;
            let (status, reason, _) = progress.observe(2, 1, both).expect("timed out");
            assert_eq!((status, reason), (false, "ProgressDeadlineExceeded"));
            assert_eq!(progress.observe(2, 1, both), None);

            let ready = counts(&[(false, true), (true, true)]);
            assert_eq!(progress.observe(2, 1, ready), None);
            assert!(progress.deadline().is_some());
            let (status, reason, _) = progress
                .observe(2, 1, counts(&[(true, true)]))
                .expect("complete");
            assert_eq!((status, reason), (true, "NewReplicaSetAvailable"));
        });
    }
}
