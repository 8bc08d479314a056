//! Durations in Go's notation.

use std::fmt;
use std::time::Duration;

use crate::klog::Quoted;

/// A Go `time.Duration`: signed nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GoDuration(i64);

const SECOND: i64 = 1_000_000_000;

impl GoDuration {
    /// A whole number of seconds.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// Nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The same time as a standard duration; zero if negative.
    #[must_use]
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }

    /// Reads `1h2m3.5s` and the like.
    ///
    /// Source: Go `time: ParseDuration`.
    ///
    /// # Errors
    ///
    /// Go's texts, such as `time: invalid duration "abc"`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("time: invalid duration {}", Quoted(text));
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let (digits, after) = split_while(rest, |c| c.is_ascii_digit());
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) => split_while(after, |c| c.is_ascii_digit()),
                None => ("", after),
            };
            if digits.is_empty() && fraction.is_empty() {
                return Err(invalid());
            }
            let (unit, after) = split_while(after, |c| c != '.' && !c.is_ascii_digit());
            let nanos = unit_nanos(unit).map_err(|missing| {
                let unit = if missing {
                    "missing unit".to_owned()
                } else {
                    format!("unknown unit {}", Quoted(unit))
                };
                format!("time: {unit} in duration {}", Quoted(text))
            })?;
            total += amount(digits, fraction, nanos).ok_or_else(invalid)?;
            if total > i128::from(i64::MAX) {
                return Err(invalid());
            }
            rest = after;
        }
        let total = i64::try_from(total).map_err(|_| invalid())?;
        Ok(Self(if negative { -total } else { total }))
    }
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

/// Nanoseconds of a unit, or whether it is missing rather than unknown.
fn unit_nanos(unit: &str) -> Result<i64, bool> {
    match unit {
        "ns" => Ok(1),
        "us" | "\u{b5}s" | "\u{3bc}s" => Ok(1_000),
        "ms" => Ok(1_000_000),
        "s" => Ok(SECOND),
        "m" => Ok(60 * SECOND),
        "h" => Ok(3600 * SECOND),
        other => Err(other.is_empty()),
    }
}

/// `digits.fraction` units, cut to whole nanoseconds.
fn amount(digits: &str, fraction: &str, unit: i64) -> Option<i128> {
    let whole: i128 = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let mut nanos = whole.checked_mul(i128::from(unit))?;
    let mut scale = i128::from(unit);
    for digit in fraction.bytes().take(18) {
        let value = i128::from(digit - b'0');
        nanos += value * scale / 10;
        // Exact while the scale is divisible by ten, which it is for every
        // digit that still counts.
        scale /= 10;
    }
    Some(nanos)
}

impl From<Duration> for GoDuration {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for GoDuration {
    /// Source: Go `time: Duration.String`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanos = self.0.unsigned_abs();
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => write_decimal(f, nanos, 3, "\u{b5}s"),
            1_000_000..1_000_000_000 => write_decimal(f, nanos, 6, "ms"),
            _ => {
                let minutes = nanos / 60_000_000_000;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes >= 1 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write_decimal(f, nanos % 60_000_000_000, 9, "s")
            }
        }
    }
}

/// Writes `value / 10^places` without trailing zeros.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u64, places: u32, unit: &str) -> fmt::Result {
    let scale = 10u64.pow(places);
    write!(f, "{}", value / scale)?;
    if !value.is_multiple_of(scale) {
        let digits = format!("{:0width$}", value % scale, width = places as usize);
        write!(f, ".{}", digits.trim_end_matches('0'))?;
    }
    f.write_str(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let ok = |text: &str, nanos| {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration(nanos)), "{text}")
        };
        ok("0", 0);
        ok("15s", 15 * SECOND);
        ok("-10s", -10 * SECOND);
        ok("1h2m3.5s", 3723 * SECOND + SECOND / 2);
        ok(".5m", 30 * SECOND);
        ok("1.5us", 1500);
        ok("11.111111111s", 11_111_111_111);
        let fails = |text: &str, error: &str| {
            assert_eq!(GoDuration::parse(text), Err(error.to_owned()), "{text}");
        };
        fails("abc", "time: invalid duration \"abc\"");
        fails("", "time: invalid duration \"\"");
        fails("10", "time: missing unit in duration \"10\"");
        fails("10x", "time: unknown unit \"x\" in duration \"10x\"");
        fails("99999999999h", "time: invalid duration \"99999999999h\"");
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let check = |nanos, text: &str| assert_eq!(GoDuration(nanos).to_string(), text);
        check(0, "0s");
        check(1, "1ns");
        check(1500, "1.5\u{b5}s");
        check(10_000_000, "10ms");
        check(22 * SECOND + SECOND / 2, "22.5s");
        check(60 * SECOND, "1m0s");
        check(3600 * SECOND, "1h0m0s");
        check(-9 * SECOND, "-9s");
    }
}
