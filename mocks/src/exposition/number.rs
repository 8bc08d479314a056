//! Numbers as Go writes them: `strconv.FormatFloat(f, 'g', -1, 64)`, the
//! shortest decimal that reads back as the same float, with an exponent from
//! 1e+06 upwards and from 1e-05 downwards.

/// Below this, a decimal has at most 15 significant digits. Decimals that
/// short have distinct nearest floats, so that the decimal itself, without
/// trailing zeros, is the shortest for its float: no float need be formed.
const EXACT: u64 = 1_000_000_000_000_000;

/// Appends `whole` as a float.
pub(super) fn push_whole(out: &mut Vec<u8>, whole: u64) {
    if whole < EXACT {
        push_decimal(out, whole, 0);
    } else {
        push_float(out, to_float(whole));
    }
}

/// Appends `billionths / 1e9` as a float, divided as Go divides: both are
/// made floats first.
pub(super) fn push_billionths(out: &mut Vec<u8>, billionths: u64) {
    if billionths < EXACT {
        push_decimal(out, billionths, 9);
    } else {
        push_float(out, to_float(billionths) / 1e9);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Go's float64(x) rounds the same way"
)]
fn to_float(n: u64) -> f64 {
    n as f64
}

/// Appends `digits × 10^-scale`.
fn push_decimal(out: &mut Vec<u8>, digits: u64, scale: i32) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(digits).as_bytes();
    let point = length(text) - scale;
    push_digits(out, text, point);
}

/// Appends a positive finite float that has more than 15 digits.
fn push_float(out: &mut Vec<u8>, float: f64) {
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(float);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent
        .parse()
        .expect("ryu writes the exponent as an integer");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole.as_bytes(), fraction.as_bytes()].concat();
    push_digits(out, &digits, length(whole.as_bytes()) + exponent);
}

/// Appends the number whose significant digits are `digits`, the first of
/// them not zero unless the number is, with the decimal point after `point`
/// of them.
///
/// Source: strconv/ftoa.go, `formatDigits`, `fmtE`, `fmtF`.
fn push_digits(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    let significant = digits
        .iter()
        .rposition(|&digit| digit != b'0')
        .map_or(0, |last| last + 1);
    let digits = &digits[..significant];
    if digits.is_empty() {
        out.push(b'0');
    } else if (-3..=6).contains(&point) {
        push_plain(out, digits, point);
    } else {
        push_exponential(out, digits, point - 1);
    }
}

fn push_plain(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    match usize::try_from(point) {
        Ok(point) if point >= digits.len() => {
            out.extend_from_slice(digits);
            out.extend_from_slice(&b"000000"[..point - digits.len()]);
        }
        Ok(point @ 1..) => {
            out.extend_from_slice(&digits[..point]);
            out.push(b'.');
            out.extend_from_slice(&digits[point..]);
        }
        _ => {
            out.extend_from_slice(&b"0.000"[..2 + point.unsigned_abs() as usize]);
            out.extend_from_slice(digits);
        }
    }
}

fn push_exponential(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let exponent = exponent.unsigned_abs();
    if exponent < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
}

fn length(text: &[u8]) -> i32 {
    i32::try_from(text.len()).expect("a number has a few dozen digits")
}

/// What follows the value on a line: a space, the sample time and a line
/// feed, or the line feed alone.
pub(super) struct LineEnd {
    text: [u8; 22],
    length: usize,
}

impl LineEnd {
    pub(super) fn bare() -> Self {
        let mut text = [0; 22];
        text[0] = b'\n';
        Self { text, length: 1 }
    }

    pub(super) fn with_time(time_ms: i64) -> Self {
        let mut buffer = itoa::Buffer::new();
        let time = buffer.format(time_ms).as_bytes();
        let mut text = [b' '; 22];
        text[1..=time.len()].copy_from_slice(time);
        text[1 + time.len()] = b'\n';
        Self {
            text,
            length: time.len() + 2,
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(n: u64) -> String {
        let mut out = Vec::new();
        push_whole(&mut out, n);
        String::from_utf8(out).unwrap()
    }

    fn billionths(n: u64) -> String {
        let mut out = Vec::new();
        push_billionths(&mut out, n);
        String::from_utf8(out).unwrap()
    }

    /// The right-hand sides are what Go prints.
    #[test]
    fn numbers_look_like_go() {
        for (bytes, text) in [
            (0, "0"),
            (1, "1"),
            (10, "10"),
            (100_000, "100000"),
            (999_999, "999999"),
            (1_000_000, "1e+06"),
            (13_107_200, "1.31072e+07"),
            (8_589_934_592, "8.589934592e+09"),
            (u64::MAX, "1.8446744073709552e+19"),
        ] {
            assert_eq!(whole(bytes), text);
        }
        for (nanos, text) in [
            (0, "0"),
            (1, "1e-09"),
            (10_000, "1e-05"),
            (99_999, "9.9999e-05"),
            (100_000, "0.0001"),
            (123_456, "0.000123456"),
            (512_345_000, "0.512345"),
            (1_000_000_000, "1"),
            (10_000_000_000, "10"),
            (123_456_789_012_345, "123456.789012345"),
            (1_000_000_000_000_000, "1e+06"),
            (1_760_000_000_123_456_000, "1.760000000123456e+09"),
        ] {
            assert_eq!(billionths(nanos), text);
        }
    }

    /// An independent road to the same text: the standard library's shortest
    /// digits in scientific form.
    fn reference(float: f64) -> String {
        let scientific = format!("{float:e}");
        let (mantissa, exponent) = scientific.split_once('e').unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        if (-4..6).contains(&exponent) {
            format!("{float}")
        } else {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
    }

    proptest! {
        #[test]
        fn any_number_is_the_shortest_that_reads_back(
            n in prop_oneof![any::<u64>(), 0..EXACT, 0..1_000_000_u64, EXACT - 9..EXACT + 9],
        ) {
            prop_assert_eq!(whole(n), reference(n as f64));
            prop_assert_eq!(billionths(n), reference(n as f64 / 1e9));
        }
    }

    #[test]
    fn the_longest_time_fits() {
        assert_eq!(
            LineEnd::with_time(i64::MIN).as_bytes(),
            b" -9223372036854775808\n"
        );
        assert_eq!(LineEnd::bare().as_bytes(), b"\n");
    }
}
