//! What may happen so many times at once, and once more each interval.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A token bucket.
///
/// Source: client-go `util/flowcontrol/throttle.go
/// NewTokenBucketRateLimiter`.
pub(crate) struct TokenBucket {
    interval: Duration,
    burst: u32,
    /// When the bucket is full again if nothing more is taken.
    full_at: Cell<Instant>,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens, to which one comes each `interval`.
    pub(crate) fn new(interval: Duration, burst: u32) -> Self {
        Self {
            interval,
            burst,
            full_at: Cell::new(Instant::now()),
        }
    }

    /// Takes a token, which may have to be waited for.
    pub(crate) async fn take(&self) {
        let (full_at, due) = self.after_one_more();
        self.full_at.set(full_at);
        sleep_until(due).await;
    }

    /// Takes a token if there is one.
    pub(crate) fn try_take(&self) -> bool {
        let (full_at, due) = self.after_one_more();
        let is_there = due <= Instant::now();
        if is_there {
            self.full_at.set(full_at);
        }
        is_there
    }

    /// When the bucket is full again after another token is taken, and when
    /// that token is there.
    fn after_one_more(&self) -> (Instant, Instant) {
        let now = Instant::now();
        let full_at = self.full_at.get().max(now) + self.interval;
        let whole = self.interval * self.burst;
        let due = full_at.checked_sub(whole).map_or(now, |at| at.max(now));
        (full_at, due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_the_rest_one_by_one() {
        let bucket = TokenBucket::new(Duration::from_millis(20), 100);
        let start = Instant::now();
        let mut passed = Vec::new();
        for _ in 0..103 {
            bucket.take().await;
            passed.push(start.elapsed().as_millis());
        }
        assert_eq!(passed[99..], [0, 20, 40, 60]);
        tokio::time::advance(Duration::from_secs(1)).await;
        let later = Instant::now();
        for _ in 0..51 {
            bucket.take().await;
        }
        assert_eq!(later.elapsed().as_millis(), 20, "50 came back in a second");
    }
}
