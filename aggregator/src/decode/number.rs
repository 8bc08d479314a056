//! Values and timestamps, read and converted as Go does it.

use memchr::memchr3;

use super::error::NumberError;
use super::quote::quote;

/// Reads a sample's value.
///
/// Rust's reader rounds correctly, as Go's does, and takes the same spellings
/// but for those handled here.
pub(super) fn parse_float(text: &[u8]) -> Result<f64, NumberError> {
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|t| t.parse::<f64>().ok());
    match parsed {
        Some(value) if value.is_finite() => Ok(value),
        // `+NaN` is a number to Rust, and none to Go.
        Some(value) if value.is_nan() && !matches!(text[0], b'+' | b'-') => Ok(value),
        Some(value) if value.is_infinite() => {
            if text.iter().any(u8::is_ascii_digit) {
                Err(NumberError::FloatRange(quote(text)))
            } else {
                Ok(value)
            }
        }
        _ if memchr3(b'p', b'P', b'_', text).is_some() => Err(NumberError::UnsupportedCharacter),
        _ => Err(NumberError::FloatSyntax(quote(text))),
    }
}

/// Reads a timestamp, which is digits only.
pub(super) fn parse_timestamp(digits: &[u8]) -> Result<i64, NumberError> {
    digits
        .iter()
        .try_fold(0_i64, |sum, digit| {
            sum.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
        })
        .ok_or_else(|| NumberError::IntegerRange(quote(digits)))
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// Go's `uint64(f)` on amd64: truncated; negative values wrap, and what does
/// not fit is 2^63.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "truncation is the point"
)]
pub(super) fn to_u64(value: f64) -> u64 {
    if (TWO_TO_63..TWO_TO_64).contains(&value) {
        value as u64
    } else {
        to_i64(value) as u64
    }
}

/// Go's `int64(f)` on amd64: truncated; what does not fit is −2^63.
#[expect(clippy::cast_possible_truncation, reason = "truncation is the point")]
pub(super) fn to_i64(value: f64) -> i64 {
    if (-TWO_TO_63..TWO_TO_63).contains(&value) {
        value as i64
    } else {
        i64::MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_go_are_taken_and_no_others() {
        for text in [
            "0",
            "-0",
            "+1",
            "1.",
            ".5",
            "1e3",
            "1E+3",
            "1.5e-9",
            "inf",
            "+Inf",
            "-INFINITY",
            "NaN",
            "nan",
            "12.e1",
            "1e-400",
        ] {
            assert!(parse_float(text.as_bytes()).is_ok(), "{text}");
        }
        for (text, error) in [
            ("0x1p4", "unsupported character in float"),
            ("1_000", "unsupported character in float"),
            ("oops", "unsupported character in float"),
            (
                "bar",
                r#"strconv.ParseFloat: parsing "bar": invalid syntax"#,
            ),
            (
                "1.5e",
                r#"strconv.ParseFloat: parsing "1.5e": invalid syntax"#,
            ),
            (".", r#"strconv.ParseFloat: parsing ".": invalid syntax"#),
            (
                "0x10",
                r#"strconv.ParseFloat: parsing "0x10": invalid syntax"#,
            ),
            (
                "+NaN",
                r#"strconv.ParseFloat: parsing "+NaN": invalid syntax"#,
            ),
            (
                "infinit",
                r#"strconv.ParseFloat: parsing "infinit": invalid syntax"#,
            ),
            (
                "1,5",
                r#"strconv.ParseFloat: parsing "1,5": invalid syntax"#,
            ),
            (
                "-1e999",
                r#"strconv.ParseFloat: parsing "-1e999": value out of range"#,
            ),
        ] {
            let refused = parse_float(text.as_bytes()).map_err(|e| e.to_string());
            assert_eq!(refused, Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn timestamps_end_at_the_largest_int64() {
        assert_eq!(parse_timestamp(b"9223372036854775807"), Ok(i64::MAX));
        assert_eq!(
            parse_timestamp(b"9223372036854775808").map_err(|e| e.to_string()),
            Err(
                r#"strconv.ParseInt: parsing "9223372036854775808": value out of range"#.to_owned()
            )
        );
    }

    /// Source: `uint64(f)` and `int64(f)` as Go compiles them for amd64.
    #[test]
    fn floats_out_of_range_convert_as_on_amd64() {
        assert_eq!(to_u64(357.354_91 * 1e9), 357_354_910_000);
        assert_eq!(to_u64(-1e9), u64::MAX - 999_999_999);
        assert_eq!(to_u64(1e19), 10_000_000_000_000_000_000);
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2e19, 1e300] {
            assert_eq!(to_u64(odd), 1 << 63, "{odd}");
            assert_eq!(to_i64(odd), i64::MIN, "{odd}");
        }
    }
}
