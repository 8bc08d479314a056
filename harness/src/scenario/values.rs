//! The small grammars inside scalars: durations, quantities, shares, times,
//! seeds.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Longer durations than this are refused: certificates live decades, nothing
/// lives longer.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// More seeds than this in one scenario are a mistake.
const MOST_SEEDS: u64 = 100_000;

/// What is wrong with a scalar, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) help: String,
    /// The right text, where it is beyond doubt.
    pub(crate) replacement: Option<String>,
}

impl Refusal {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
            replacement: None,
        }
    }
}

/// A duration in Go's syntax, as Kubernetes writes it: `1m30s`, `-10m`,
/// `1.5h`; a bare `0` is zero. Nanoseconds.
pub(crate) fn signed_duration(text: &str) -> Result<i64, Refusal> {
    if text == "0" {
        return Ok(0);
    }
    if !is_go_duration(text) {
        return Err(refuse_duration(text));
    }
    let too_long = || {
        Refusal::new(
            format!("`{text}` is longer than a hundred years"),
            "write a shorter duration, such as `8760h` for a year",
        )
    };
    let duration: SignedDuration = text.parse().map_err(|_| too_long())?;
    if duration.unsigned_abs() > LONGEST {
        return Err(too_long());
    }
    i64::try_from(duration.as_nanos()).map_err(|_| too_long())
}

/// A duration that is not negative.
pub(crate) fn duration(text: &str) -> Result<Duration, Refusal> {
    let nanos = signed_duration(text)?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| {
        Refusal::new(
            format!("`{text}` is negative"),
            "this duration counts forward from the start of the run: drop the `-`",
        )
    })
}

/// Numbers with units of Go's `time.ParseDuration`, after an optional sign.
fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let digits = &rest[..number];
        if !digits.contains(|c: char| c.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return false;
        }
        let unit = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"]
            .into_iter()
            .filter(|unit| rest[number..].starts_with(unit))
            .max_by_key(|unit| unit.len());
        let Some(unit) = unit else { return false };
        rest = &rest[number + unit.len()..];
    }
    true
}

fn refuse_duration(text: &str) -> Refusal {
    if text.parse::<f64>().is_ok_and(f64::is_finite) {
        return Refusal {
            message: format!("`{text}` has no unit"),
            help: format!("add a unit: `{text}s`"),
            replacement: Some(format!("{text}s")),
        };
    }
    let days = text
        .strip_suffix('d')
        .and_then(|days| days.parse::<u32>().ok());
    if let Some(days) = days {
        let hours = u64::from(days) * 24;
        return Refusal {
            message: format!("`{text}` is not a duration: there is no unit for days"),
            help: format!("write hours: `{hours}h`"),
            replacement: Some(format!("{hours}h")),
        };
    }
    Refusal::new(
        format!("`{text}` is not a duration"),
        "write numbers with units `h`, `m`, `s`, `ms`, `us` or `ns`, such as `90s`, `1m30s` or `1.5h`",
    )
}

/// A duration in Go's syntax, without rounding.
pub(crate) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 && !duration.is_zero() {
        return match duration.subsec_nanos() {
            nanos if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
            nanos if nanos % 1_000 == 0 => format!("{}us", nanos / 1_000),
            nanos => format!("{nanos}ns"),
        };
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = String::new();
    if hours > 0 {
        text.push_str(&format!("{hours}h"));
    }
    if minutes > 0 {
        text.push_str(&format!("{minutes}m"));
    }
    let fraction = match duration.subsec_nanos() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    if !seconds.is_multiple_of(60) || !fraction.is_empty() || text.is_empty() {
        text.push_str(&format!("{}{fraction}s", seconds % 60));
    }
    text
}

/// CPU in Kubernetes' notation, as nanocores, rounded up: `300m`, `0.5`, `2`.
pub(crate) fn cpu(text: &str) -> Result<u64, Refusal> {
    const UNITS: &[(&str, u128)] = &[
        ("n", 1),
        ("u", 1_000),
        ("m", 1_000_000),
        ("", 1_000_000_000),
    ];
    quantity(text, UNITS).ok_or_else(|| {
        Refusal::new(
            format!("`{text}` is not an amount of CPU"),
            "write cores or thousandths of one, such as `0.5` or `300m`",
        )
    })
}

/// Memory in Kubernetes' notation, as bytes, rounded up: `20M`, `1.5Gi`.
pub(crate) fn memory(text: &str) -> Result<u64, Refusal> {
    const UNITS: &[(&str, u128)] = &[
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("", 1),
    ];
    quantity(text, UNITS).ok_or_else(|| {
        Refusal::new(
            format!("`{text}` is not an amount of memory"),
            "write bytes with a suffix of Kubernetes, such as `20M`, `128Mi` or `1.5G`",
        )
    })
}

/// A non-negative decimal with one of the suffixes, rounded up to a whole
/// number of the smallest unit, as Kubernetes rounds.
fn quantity(text: &str, units: &[(&str, u128)]) -> Option<u64> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (_, factor) = units.iter().find(|(unit, _)| *unit == suffix)?;
    let (mantissa, decimals) = decimal(number)?;
    let divisor = 10u128.pow(decimals);
    u64::try_from((mantissa * factor).div_ceil(divisor)).ok()
}

/// Digits with at most one point, as a whole number and the count of digits
/// after the point. At most 15 digits, so that products do not overflow.
fn decimal(text: &str) -> Option<(u128, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    let sane = !digits.is_empty()
        && digits.len() <= 15
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    let decimals = u32::try_from(fraction.len()).ok()?;
    sane.then(|| digits.parse().ok().map(|mantissa| (mantissa, decimals)))?
}

/// A share in per cent, as parts per million: `1%`, `0.05%`.
pub(crate) fn share(text: &str) -> Result<u32, Refusal> {
    let refusal = || {
        Refusal::new(
            format!("`{text}` is not a share"),
            "write per cent between `0%` and `100%`, such as `1%` or `0.05%`",
        )
    };
    let (mantissa, decimals) = text
        .strip_suffix('%')
        .and_then(decimal)
        .ok_or_else(refusal)?;
    let millionths = (mantissa * 10_000) / 10u128.pow(decimals);
    u32::try_from(millionths)
        .ok()
        .filter(|share| *share <= 1_000_000)
        .ok_or_else(refusal)
}

/// A clock's drift, as parts per billion: `20ppm`, `-300ppb`.
pub(crate) fn drift(text: &str) -> Result<i64, Refusal> {
    let refusal = || {
        Refusal::new(
            format!("`{text}` is not a drift"),
            "write parts per million or billion, below 1000000ppm, such as `20ppm` or `-300ppb`",
        )
    };
    let (number, factor) = if let Some(number) = text.strip_suffix("ppm") {
        (number, 1000)
    } else if let Some(number) = text.strip_suffix("ppb") {
        (number, 1)
    } else if text == "0" {
        return Ok(0);
    } else {
        return Err(refusal());
    };
    let value: i64 = number.parse().map_err(|_| refusal())?;
    value
        .checked_mul(factor)
        .filter(|ppb| ppb.abs() < 1_000_000_000)
        .ok_or_else(refusal)
}

/// An instant such as `2026-11-23T09:00:00Z`, in nanoseconds since the Unix
/// epoch.
pub(crate) fn instant(text: &str) -> Result<i64, Refusal> {
    text.parse::<Timestamp>()
        .ok()
        .and_then(|instant| i64::try_from(instant.as_nanosecond()).ok())
        .ok_or_else(|| {
            Refusal::new(
                format!("`{text}` is not an instant"),
                "write date and time with a zone, such as `2026-11-23T09:00:00Z`",
            )
        })
}

/// Seeds as a number or as an inclusive range: `7`, `1..20`.
pub(crate) fn seeds(text: &str) -> Result<Vec<u64>, Refusal> {
    let refusal = |message: String| {
        Refusal::new(
            message,
            "write a seed, a list of seeds or a range such as `1..20`",
        )
    };
    let number = |text: &str| text.parse::<u64>().ok();
    if let Some(seed) = number(text) {
        return Ok(vec![seed]);
    }
    let range = text
        .split_once("..")
        .and_then(|(from, to)| Some((number(from)?, number(to)?)));
    match range {
        None => Err(refusal(format!("`{text}` is not a seed"))),
        Some((from, to)) if from > to => Err(refusal(format!("`{text}` runs backwards"))),
        Some((from, to)) if to - from >= MOST_SEEDS => {
            Err(refusal(format!("`{text}` is more than {MOST_SEEDS} seeds")))
        }
        Some((from, to)) => Ok((from..=to).collect()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_follow_go() {
        let check = |text, nanos| assert_eq!(signed_duration(text), Ok(nanos), "{text}");
        check("0", 0);
        check("0s", 0);
        check("90s", 90_000_000_000);
        check("1m30s", 90_000_000_000);
        check("1.5h", 5_400_000_000_000);
        check("3.24s", 3_240_000_000);
        check("-10m100ns", -600_000_000_100);
        check("250us", 250_000);
        check("250µs", 250_000);
        check("8760h", 8760 * 3_600_000_000_000);
    }

    #[test]
    fn what_is_not_a_go_duration_is_refused() {
        for text in [
            "",
            "s",
            "90",
            "1d",
            "90 seconds",
            "PT1M",
            "1..5s",
            ".s",
            "1h 30m",
            "--1s",
            "1e3s",
            "∞",
            "1w",
        ] {
            assert!(signed_duration(text).is_err(), "{text}");
        }
        assert!(
            signed_duration("99999999h").is_err(),
            "longer than a century"
        );
        assert!(duration("-1s").is_err(), "negative");
    }

    #[test]
    fn a_bare_number_is_told_its_unit() {
        let refusal = signed_duration("90").expect_err("no unit");
        assert_eq!(refusal.help, "add a unit: `90s`");
        assert_eq!(refusal.replacement.as_deref(), Some("90s"));
        let refusal = signed_duration("2d").expect_err("days");
        assert_eq!(refusal.replacement.as_deref(), Some("48h"));
    }

    #[test]
    fn quantities_follow_kubernetes() {
        assert_eq!(cpu("300m"), Ok(300_000_000));
        assert_eq!(cpu("0.5"), Ok(500_000_000));
        assert_eq!(cpu("2"), Ok(2_000_000_000));
        assert_eq!(cpu("1.5n"), Ok(2), "rounded up");
        assert_eq!(memory("20M"), Ok(20_000_000));
        assert_eq!(memory("1.5Gi"), Ok(3 << 29));
        for text in ["", "m", "1x", "-1", "1.2.3", "1e3", "1234567890123456"] {
            assert!(cpu(text).is_err(), "{text}");
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_drifts_instants_and_seeds() {
        assert_eq!(share("1%"), Ok(10_000));
        assert_eq!(share("0.05%"), Ok(500));
        assert_eq!(share("100%"), Ok(1_000_000));
        assert!(share("101%").is_err() && share("0.01").is_err());
        assert_eq!(drift("20ppm"), Ok(20_000));
        assert_eq!(drift("-300ppb"), Ok(-300));
        assert!(drift("20").is_err() && drift("1000000ppm").is_err());
        assert_eq!(instant("1970-01-01T00:00:01Z"), Ok(1_000_000_000));
        assert!(instant("2026-11-23").is_err());
        assert_eq!(seeds("1..3"), Ok(vec![1, 2, 3]));
        assert_eq!(seeds("7"), Ok(vec![7]));
        assert!(
            seeds("3..1").is_err()
                && seeds("a").is_err()
                && seeds("0..18446744073709551615").is_err()
        );
    }

    proptest! {
        #[test]
        fn every_duration_reads_back_as_written(nanos in 0u64..1_000_000_000_000_000) {
            let written = Duration::from_nanos(nanos);
            prop_assert_eq!(duration(&show_duration(written)), Ok(written));
        }

        #[test]
        fn no_text_makes_a_grammar_panic(text in "\\PC*") {
            let _ = signed_duration(&text);
            let _ = cpu(&text);
            let _ = memory(&text);
            let _ = share(&text);
            let _ = drift(&text);
            let _ = instant(&text);
            let _ = seeds(&text);
        }

        #[test]
        fn no_almost_valid_text_makes_a_grammar_panic(text in "[-+]?[0-9.]{0,40}(ns|us|ms|s|m|h|%|ppm|Ki|Ti|\\.\\.|d)?[0-9]{0,30}") {
            let _ = signed_duration(&text);
            let _ = cpu(&text);
            let _ = memory(&text);
            let _ = share(&text);
            let _ = drift(&text);
            let _ = seeds(&text);
        }
    }
}
