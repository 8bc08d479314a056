//! Wall clocks that may be wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seam::{Moment, Timestamp, WallClock};

use crate::scenario::model::Clock;

/// One machine's wall clock in virtual time:
/// epoch + elapsed × (1 + drift) + offset + the steps so far.
///
/// It is a function of elapsed virtual time, so that reading it never changes
/// what it shows. Timers run on tokio's clock, which no step moves.
#[derive(Debug)]
pub struct SimulatedClock {
    start: Moment,
    epoch: Timestamp,
    settings: Clock,
    wrong_readings: AtomicU64,
}

impl SimulatedClock {
    /// A clock that at `start` shows `epoch` plus the offset in `settings`.
    #[must_use]
    pub fn new(start: Moment, epoch: Timestamp, settings: Clock) -> Self {
        Self {
            start,
            epoch,
            settings,
            wrong_readings: AtomicU64::new(0),
        }
    }

    /// How often it was read while it was wrong, since this was asked last.
    #[must_use]
    pub fn take_wrong_readings(&self) -> u64 {
        self.wrong_readings.swap(0, Ordering::Relaxed)
    }

    /// What the clock shows `elapsed_ns` nanoseconds after the start; before
    /// it where negative.
    #[must_use]
    pub fn at(&self, elapsed_ns: i64) -> Timestamp {
        let drift = drifted(&self.settings, elapsed_ns);
        let stepped = self
            .settings
            .steps
            .iter()
            .take_while(|(at, _)| nanos(*at) <= elapsed_ns)
            .fold(0i64, |sum, (_, by)| sum.saturating_add(*by));
        if drift != 0 || self.settings.offset_ns.saturating_add(stepped) != 0 {
            self.wrong_readings.fetch_add(1, Ordering::Relaxed);
        }
        self.epoch
            .offset(elapsed_ns)
            .offset(drift)
            .offset(self.settings.offset_ns)
            .offset(stepped)
    }
}

/// How far a clock has drifted `elapsed_ns` after the start.
fn drifted(settings: &Clock, elapsed_ns: i64) -> i64 {
    let entries = &settings.drift_ppb.0;
    let parts = entries.iter().enumerate().map(|(index, (from, ppb))| {
        let end = entries
            .get(index + 1)
            .map_or(i64::MAX, |(to, _)| nanos(*to));
        let begin = nanos(*from);
        let lasted = match index {
            0 => end.min(elapsed_ns),
            _ => (end.min(elapsed_ns) - begin).max(0),
        };
        i128::from(lasted) * i128::from(*ppb)
    });
    let drift = parts.sum::<i128>() / 1_000_000_000;
    i64::try_from(drift).unwrap_or(if drift > 0 { i64::MAX } else { i64::MIN })
}

impl WallClock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.at(nanos(self.start.elapsed()))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::model::Timeline;
    use tokio::time::Instant;

    fn shown(settings: Clock, elapsed_s: i64) -> i64 {
        let clock = SimulatedClock::new(
            Instant::now().into(),
            Timestamp::from_seconds(1_000),
            settings,
        );
        clock.at(elapsed_s * 1_000_000_000).as_seconds()
    }

    #[test]
    fn a_step_takes_effect_at_its_time_and_not_before() {
        let pi = || Clock {
            offset_ns: -600_000_000_000,
            steps: vec![(Duration::from_secs(40), 600_000_000_000)],
            ..Clock::default()
        };
        assert_eq!(shown(pi(), 0), 400);
        assert_eq!(shown(pi(), 39), 439);
        assert_eq!(shown(pi(), 40), 1_040);
    }

    #[test]
    fn drift_accumulates_while_it_lasts() {
        let until = Duration::from_secs(100);
        let fast = Clock {
            drift_ppb: Timeline(vec![(Duration::ZERO, 100_000_000), (until, 0)]),
            ..Clock::default()
        };
        let at = [-100, 0, 100, 200].map(|elapsed| shown(fast.clone(), elapsed));
        assert_eq!(at, [890, 1_000, 1_110, 1_210]);
    }
}
