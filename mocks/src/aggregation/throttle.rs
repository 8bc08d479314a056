//! The limit of a client's requests.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A token bucket: so many requests at once, and one more each interval.
///
/// Source: client-go `util/flowcontrol/throttle.go
/// NewTokenBucketRateLimiter`.
pub(super) struct Throttle {
    interval: Duration,
    burst: u32,
    /// When the bucket is full again if nothing more is taken.
    full_at: Cell<Instant>,
}

impl Throttle {
    /// A full bucket.
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / per_second,
            burst,
            full_at: Cell::new(Instant::now()),
        }
    }

    /// Takes a token, which may have to be waited for.
    pub(super) async fn pass(&self) {
        let now = Instant::now();
        let full_at = self.full_at.get().max(now) + self.interval;
        self.full_at.set(full_at);
        let whole = self.interval * self.burst;
        sleep_until(full_at.checked_sub(whole).map_or(now, |at| at.max(now))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_one_by_one() {
        let throttle = Throttle::new(50, 100);
        let start = Instant::now();
        let mut passed = Vec::new();
        for _ in 0..103 {
            throttle.pass().await;
            passed.push(start.elapsed().as_millis());
        }
        assert_eq!(passed[99..], [0, 20, 40, 60]);
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = Instant::now();
        for _ in 0..51 {
            throttle.pass().await;
        }
        assert_eq!(later.elapsed().as_millis(), 20, "50 came back in a second");
    }
}
