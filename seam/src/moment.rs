//! Points of a run's time that several machines know.

use std::ops::Add;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A point of a run's time, which may travel between machines.
///
/// A tokio [`Instant`] belongs to the clock of one runtime. Where an engine
/// gives every machine a runtime of its own, an instant that one machine has
/// read means nothing on another, as the uptimes of two real machines cannot
/// be compared. So whatever is agreed on for a whole run is a moment, and each
/// machine finds it on its own clock when it needs it.
#[derive(Debug, Clone, Copy)]
pub struct Moment(Kind);

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// All machines count on one clock, and this is the moment on it.
    Shared(Instant),
    /// The moment so long after time zero, where each machine knows how much
    /// time has passed since then.
    Told {
        elapsed: fn() -> Duration,
        after: Duration,
    },
}

impl Moment {
    /// Time zero of a run in which every machine has a clock of its own.
    /// `elapsed` tells, on whichever machine runs when it is called, how much
    /// time has passed since.
    #[must_use]
    pub fn zero_of(elapsed: fn() -> Duration) -> Self {
        Self(Kind::Told {
            elapsed,
            after: Duration::ZERO,
        })
    }

    /// The moment on the clock of the machine that runs now.
    #[must_use]
    pub fn here(self) -> Instant {
        match self.0 {
            Kind::Shared(instant) => instant,
            Kind::Told { elapsed, after } => {
                let (now, elapsed) = (Instant::now(), elapsed());
                match after.checked_sub(elapsed) {
                    Some(ahead) => now + ahead,
                    None => now - (elapsed - after),
                }
            }
        }
    }

    /// How long ago it was; zero if it is still to come.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        match self.0 {
            Kind::Shared(instant) => instant.elapsed(),
            Kind::Told { elapsed, after } => elapsed().saturating_sub(after),
        }
    }

    /// How long after it `instant` is, which the machine that runs now has
    /// read off its clock; zero if `instant` is earlier.
    #[must_use]
    pub fn until(self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.here())
    }

    /// Whether it has come.
    #[must_use]
    pub fn is_past(self) -> bool {
        Instant::now() >= self.here()
    }

    /// Waits for it.
    pub async fn come(self) {
        sleep_until(self.here()).await;
    }
}

impl From<Instant> for Moment {
    /// A moment of a run in which all machines count on one clock.
    fn from(instant: Instant) -> Self {
        Self(Kind::Shared(instant))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(match self.0 {
            Kind::Shared(instant) => Kind::Shared(instant + duration),
            Kind::Told { elapsed, after } => Kind::Told {
                elapsed,
                after: after + duration,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn on_a_paused_clock(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without I/O");
        runtime.block_on(test);
    }

    #[test]
    fn one_clock_and_many_tell_the_same() {
        on_a_paused_clock(async {
            // This machine was started seven seconds before time zero.
            let boot = Instant::now();
            tokio::time::advance(7 * SECOND).await;
            let shared = Moment::from(Instant::now());
            let told = Moment::zero_of(|| 3 * SECOND);
            tokio::time::advance(3 * SECOND).await;
            for zero in [shared, told] {
                assert_eq!(zero.here(), boot + 7 * SECOND);
                assert_eq!(zero.elapsed(), 3 * SECOND);
                assert_eq!(zero.until(boot + 9 * SECOND), 2 * SECOND);
                assert_eq!(zero.until(boot), Duration::ZERO);
                let (past, future) = (zero + SECOND, zero + 5 * SECOND);
                assert_eq!(past.elapsed(), 2 * SECOND);
                assert_eq!(future.here(), boot + 12 * SECOND);
                assert_eq!(future.elapsed(), Duration::ZERO);
                assert!(past.is_past() && (zero + 3 * SECOND).is_past() && !future.is_past());
            }
        });
    }

    #[test]
    fn a_moment_comes_when_it_is_due() {
        on_a_paused_clock(async {
            let zero = Moment::from(Instant::now());
            (zero + SECOND).come().await;
            assert_eq!(zero.elapsed(), SECOND);
        });
    }
}
