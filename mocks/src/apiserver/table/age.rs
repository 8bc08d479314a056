//! How long ago something was, as `kubectl` shows it.

use seam::Timestamp;
use serde_json::Value;

/// The age of an object, by its `creationTimestamp`.
pub(super) fn of(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now).into()
}

/// How long ago a time in an object is; `<unknown>` without one.
pub(super) fn since(time: &Value, now: Timestamp) -> String {
    match parse(time) {
        Some(at) => human(now.as_nanos().saturating_sub(at)),
        None => "<unknown>".to_owned(),
    }
}

/// Nanoseconds since 1970 of a time in an object.
pub(super) fn parse(time: &Value) -> Option<i64> {
    let time: jiff::Timestamp = time.as_str()?.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// Source: apimachinery `pkg/util/duration/duration.go: HumanDuration`.
fn human(nanos: i64) -> String {
    let seconds = nanos / 1_000_000_000;
    // Clocks of different machines may differ by almost two seconds.
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let two = |large: i64, unit: char, small: i64, small_unit: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{small_unit}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match () {
        () if seconds < 0 => "0s".to_owned(),
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, 'd', hours % 24, 'h'),
        () if days < 365 * 2 => format!("{days}d"),
        () if days < 365 * 8 => two(years, 'y', days % 365, 'd'),
        () => format!("{years}y"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_at_most_two_units() {
        let check = |seconds: i64, expected| {
            assert_eq!(human(seconds * 1_000_000_000), expected, "{seconds}");
        };
        check(-2, "<invalid>");
        check(-1, "0s");
        check(119, "119s");
        check(120, "2m");
        check(121, "2m1s");
        check(3600, "60m");
        check(3 * 3600, "3h");
        check(3 * 3600 + 60, "3h1m");
        check(8 * 3600 + 60, "8h");
        check(49 * 3600, "2d1h");
        check(9 * 86_400, "9d");
        check(800 * 86_400, "2y70d");
        check(3000 * 86_400, "8y");
    }
}
