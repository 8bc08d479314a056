//! client-go's waits between attempts.

use std::time::Duration;

use seam::Random;
use tokio::time::Instant;

const INITIAL: Duration = Duration::from_millis(800);
const LIMIT: Duration = Duration::from_secs(30);
const RESET: Duration = Duration::from_secs(120);

/// 0.8, 1.6, 3.2, … up to 30 s, each stretched by up to its own length. It
/// starts over two minutes after it last started, failures or not.
///
/// Source: lib: client-go `tools/cache/reflector.go:
/// NewReflectorWithOptions`; apimachinery `pkg/util/wait/backoff.go:
/// DelayWithReset`.
pub struct Backoff {
    next: Duration,
    started: Instant,
    random: Box<dyn Random>,
}

impl Backoff {
    /// At its beginning.
    #[must_use]
    pub fn new(random: Box<dyn Random>) -> Self {
        Self {
            next: INITIAL,
            started: Instant::now(),
            random,
        }
    }

    /// The time to wait now.
    pub fn step(&mut self) -> Duration {
        let now = Instant::now();
        if now.duration_since(self.started) > RESET {
            self.next = INITIAL;
            self.started = now;
        }
        let base = self.next;
        self.next = (base * 2).min(LIMIT);
        self.random.duration_between(base, base * 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Least;

    impl Random for Least {
        fn next_u64(&mut self) -> u64 {
            0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_thirty_seconds_and_start_over_after_two_minutes() {
        let mut backoff = Backoff::new(Box::new(Least));
        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait = backoff.step();
            waits.push(wait.as_millis());
            tokio::time::sleep(wait).await;
        }
        // The sum of the first eight is 110.4 s, of nine 140.4 s.
        assert_eq!(
            waits,
            [
                800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000
            ]
        );
        assert_eq!(backoff.step().as_millis(), 800);
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_at_most_doubles_a_wait() {
        struct Most;
        impl Random for Most {
            fn next_u64(&mut self) -> u64 {
                u64::MAX
            }
        }
        let wait = Backoff::new(Box::new(Most)).step();
        assert!(
            wait > Duration::from_millis(1599) && wait < Duration::from_millis(1600),
            "{wait:?}"
        );
    }
}
