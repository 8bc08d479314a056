//! Drawing durations from distributions, in integers only.

use std::time::Duration;

use seam::Random;

use crate::scenario::model::Distribution;

impl Distribution {
    /// Draws one duration. Exactly one random number is used whatever the
    /// shape, so that changing a shape does not shift later draws.
    pub fn sample(&self, random: &mut dyn Random) -> Duration {
        let draw = random.next_u64();
        match self {
            Self::Constant(value) => *value,
            Self::Uniform(from, to) => between(*from, *to, draw),
            Self::Quantiles(anchors) => quantile(anchors, draw),
        }
    }

    /// The largest duration that can be drawn.
    #[must_use]
    pub fn max(&self) -> Duration {
        match self {
            Self::Constant(value) => *value,
            Self::Uniform(from, to) => (*from).max(*to),
            Self::Quantiles(anchors) => anchors.last().map_or(Duration::ZERO, |(_, value)| *value),
        }
    }

    /// The median.
    #[must_use]
    pub fn median(&self) -> Duration {
        match self {
            Self::Constant(value) => *value,
            Self::Uniform(from, to) => between(*from, *to, u64::MAX / 2 + 1),
            Self::Quantiles(anchors) => quantile(anchors, u64::MAX / 2 + 1),
        }
    }
}

fn between(from: Duration, to: Duration, draw: u64) -> Duration {
    let span = to.saturating_sub(from).as_nanos();
    from + nanos((span * u128::from(draw)) >> 64)
}

/// Linear interpolation between the two anchors around the drawn quantile.
fn quantile(anchors: &[(u32, Duration)], draw: u64) -> Duration {
    // The draw as a fixed-point number of per mille with 64 fractional bits.
    let position = u128::from(draw) * 1000;
    let above = anchors.partition_point(|(mille, _)| (u128::from(*mille) << 64) <= position);
    let (Some(low), Some(high)) = (anchors.get(above.saturating_sub(1)), anchors.get(above)) else {
        return anchors.last().map_or(Duration::ZERO, |(_, value)| *value);
    };
    let width = u128::from(high.0 - low.0);
    let into = position - (u128::from(low.0) << 64);
    // `into / width` is below 2^64; the low 32 bits are dropped so that the
    // product with a duration of up to centuries cannot overflow.
    let fraction = (into / width) >> 32;
    let span = high.1.saturating_sub(low.1).as_nanos();
    low.1 + nanos((span * fraction) >> 32)
}

fn nanos(value: u128) -> Duration {
    Duration::from_nanos(u64::try_from(value).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u64);

    impl Random for Fixed {
        fn next_u64(&mut self) -> u64 {
            self.0
        }
    }

    fn ms(value: u64) -> Duration {
        Duration::from_millis(value)
    }

    fn anchors() -> Distribution {
        Distribution::Quantiles(vec![
            (0, ms(270)),
            (500, ms(570)),
            (900, ms(880)),
            (1000, ms(1390)),
        ])
    }

    #[test]
    fn quantiles_meet_their_anchors() {
        let at = |draw| anchors().sample(&mut Fixed(draw));
        assert_eq!(at(0), ms(270));
        assert_eq!(at(u64::MAX / 2 + 1), ms(570));
        let last = at(u64::MAX);
        assert!(last > ms(1389) && last <= ms(1390), "{last:?}");
    }

    #[test]
    fn quantiles_never_decrease() {
        let mut before = Duration::ZERO;
        for step in 0..=1000u64 {
            let value = anchors().sample(&mut Fixed(step * (u64::MAX / 1000)));
            assert!(value >= before);
            before = value;
        }
    }

    #[test]
    fn uniform_stays_in_its_range() {
        let range = Distribution::Uniform(ms(5), ms(50));
        assert_eq!(range.sample(&mut Fixed(0)), ms(5));
        assert!(range.sample(&mut Fixed(u64::MAX)) < ms(50));
    }

    #[test]
    fn every_shape_draws_once() {
        struct Counting(u32);
        impl Random for Counting {
            fn next_u64(&mut self) -> u64 {
                self.0 += 1;
                7
            }
        }
        for shape in [
            Distribution::Constant(ms(1)),
            Distribution::Uniform(ms(1), ms(2)),
            anchors(),
        ] {
            let mut counting = Counting(0);
            let _ = shape.sample(&mut counting);
            assert_eq!(counting.0, 1, "{shape:?}");
        }
    }
}
