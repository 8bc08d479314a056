//! Durations as people read them.

/// Nanoseconds as seconds to the millisecond, rounded down in size:
/// `45.570s`, `-3.200s`.
#[must_use]
pub fn seconds(ns: i64) -> String {
    let ms = ns.unsigned_abs() / 1_000_000;
    let sign = if ns < 0 && ms > 0 { "-" } else { "" };
    format!("{sign}{}.{:03}s", ms / 1000, ms % 1000)
}

/// As [`seconds`], for a duration that cannot be negative.
#[must_use]
pub fn duration(ns: u64) -> String {
    seconds(i64::try_from(ns).unwrap_or(i64::MAX))
}

/// `time` relative to `origin`, negative before it.
#[must_use]
pub fn since(origin: u64, time: u64) -> i64 {
    // Virtual time stays below 292 years, so the difference fits.
    i64::try_from(i128::from(time) - i128::from(origin)).unwrap_or(i64::MAX)
}

/// `1 restart`, `3 restarts`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_three_decimals() {
        assert_eq!(seconds(45_570_999_999), "45.570s");
        assert_eq!(seconds(-3_200_000_000), "-3.200s");
        assert_eq!(seconds(-999_999), "0.000s");
        assert_eq!(duration(1_000_000), "0.001s");
    }

    #[test]
    fn times_before_the_origin_are_negative() {
        assert_eq!(since(10, 4), -6);
        assert_eq!(since(4, 10), 6);
    }
}
