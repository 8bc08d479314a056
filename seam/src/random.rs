//! Random numbers, as named streams.

/// One stream of random numbers.
///
/// Only integers come out: no platform's floating point may decide a simulated
/// value.
pub trait Random {
    /// The next 64 uniformly distributed bits.
    fn next_u64(&mut self) -> u64;

    /// A uniformly distributed integer in `0..bound`; 0 if `bound` is 0.
    ///
    /// The widening multiplication has a bias below `bound / 2^64`, which is
    /// of no consequence here, and draws exactly once, so that a stream's
    /// position never depends on the values drawn.
    fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a 128-bit product fits in 64 bits")
    }

    /// A uniformly distributed duration in `from..to` with nanosecond
    /// resolution; `from` if the range is empty.
    fn duration_between(
        &mut self,
        from: std::time::Duration,
        to: std::time::Duration,
    ) -> std::time::Duration {
        let span = u64::try_from(to.saturating_sub(from).as_nanos()).unwrap_or(u64::MAX);
        from + std::time::Duration::from_nanos(self.below(span))
    }
}

impl<R: Random + ?Sized> Random for Box<R> {
    fn next_u64(&mut self) -> u64 {
        (**self).next_u64()
    }
}

/// A source of independent random streams.
pub trait Entropy {
    /// The stream called `name`, from its beginning.
    ///
    /// Under simulation the same name gives the same numbers for the same
    /// seed, and no draw from one stream moves another. In a real process
    /// every call gives fresh numbers. Names are paths: `node/pi/cert-delay`.
    fn stream(&self, name: &str) -> Box<dyn Random>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    struct Fixed(u64);

    impl Random for Fixed {
        fn next_u64(&mut self) -> u64 {
            self.0
        }
    }

    #[test]
    fn below_covers_the_range_and_never_reaches_the_bound() {
        assert_eq!(Fixed(0).below(10), 0);
        assert_eq!(Fixed(u64::MAX).below(10), 9);
        assert_eq!(Fixed(u64::MAX / 2 + 1).below(10), 5);
        assert_eq!(Fixed(u64::MAX).below(0), 0);
    }

    #[test]
    fn an_empty_range_of_durations_gives_its_start() {
        let two = Duration::from_secs(2);
        assert_eq!(Fixed(u64::MAX).duration_between(two, two), two);
    }
}
