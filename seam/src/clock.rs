//! Wall-clock time, as one machine believes it to be.

use std::fmt::Debug;
use std::time::Duration;

/// An instant on some machine's wall clock: nanoseconds since the Unix epoch.
///
/// The range is that of an `i64` of nanoseconds, years 1677 to 2262, which is
/// Go's `time.UnixNano` range too. Arithmetic saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch, 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The instant `nanos` nanoseconds after the Unix epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The instant `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// The instant `seconds` seconds after the Unix epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the Unix epoch, rounded towards the past.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole seconds since the Unix epoch, rounded towards the past.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// This instant moved by a signed number of nanoseconds.
    #[must_use]
    pub const fn offset(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// This instant moved into the future.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self.offset(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Signed nanoseconds from `earlier` to `self`.
    #[must_use]
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A machine's wall clock.
///
/// It may be wrong, drift, and be stepped. It is for comparisons that the real
/// components make against wall time: certificate validity, sample timestamps,
/// token expiry. Waiting is done with `tokio::time`, which no step moves.
pub trait WallClock: Debug + Send + Sync + 'static {
    /// What the clock shows now.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_instants_before_the_epoch_round_towards_the_past() {
        let just_before = Timestamp::from_nanos(-1);
        assert_eq!(just_before.as_millis(), -1);
        assert_eq!(just_before.as_seconds(), -1);
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::from_seconds(i64::MAX).as_nanos(), i64::MAX);
        let end = Timestamp::from_nanos(i64::MAX);
        assert_eq!(end.after(Duration::from_secs(1)), end);
    }
}
