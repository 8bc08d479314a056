//! Scalars and distributions of the language, with their mistakes noted.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::Distribution;
use super::shape::{Choice, Key, Kind, Shape};
use super::source::Span;
use super::tree::Value;
use super::values::{self, Refusal, show_duration};

/// A TCP port.
pub(crate) const PORT: Kind = Kind::Integer(1, 65_535);

/// A duration, or how it is drawn from the seed.
pub(crate) const DISTRIBUTION: Kind = Kind::OneOf(&DISTRIBUTION_KINDS);

static DISTRIBUTION_KINDS: [Kind; 2] = [Kind::Duration, Kind::Mapping(&DISTRIBUTION_SHAPE)];

pub(crate) static DISTRIBUTION_SHAPE: Shape = Shape::new(
    "Distribution",
    "A duration that a run draws from its seed, each use of it from a stream of its own. A plain duration such as `15s` is one that is always the same.",
    &[
        Key::optional("constant", Kind::Duration, "30ms", "Always this; the same as the plain duration."),
        Key::optional("uniform", Kind::List(&Kind::Duration), "[5ms, 50ms]", "From the first up to the second, every value as likely as any other."),
        Key::optional(
            "quantiles",
            Kind::Named("`p0` to `p100`, with at most one decimal", &Kind::Duration),
            "{p0: 10ms, p50: 40ms, p99: 2s, p100: 9s}",
            "What share of the draws lies below which value, as monitoring shows latencies; straight lines in between. `p0` and `p100` must be there.",
        ),
    ],
)
.choice(Choice::One(&["constant", "uniform", "quantiles"]));

impl Decoder {
    /// A duration with a unit.
    pub(crate) fn duration(&mut self, item: Item<'_>) -> Option<Duration> {
        self.scalar(
            item,
            |kind| matches!(kind, Kind::Duration),
            Code::BadDuration,
            "a duration such as `15s`",
            values::duration,
        )
    }

    /// A duration with a unit and perhaps a sign, in nanoseconds.
    pub(crate) fn signed_duration(&mut self, item: Item<'_>) -> Option<i64> {
        self.scalar(
            item,
            |kind| matches!(kind, Kind::SignedDuration),
            Code::BadDuration,
            "a duration such as `-10m`",
            values::signed_duration,
        )
    }

    /// A duration within the run.
    pub(crate) fn time(&mut self, item: Item<'_>, until: Option<Duration>) -> Option<Duration> {
        let at = self.duration(item)?;
        let Some(until) = until.filter(|until| at >= *until) else {
            return Some(at);
        };
        self.note(Diagnostic::at(
            Code::AfterEnd,
            item.span(),
            format!(
                "`{}: {}` is not before the end of the scenario",
                item.name,
                show_duration(at)
            ),
            format!(
                "the scenario ends at {}: choose an earlier time, or a later `until`",
                show_duration(until)
            ),
        ));
        None
    }

    pub(crate) fn cpu(&mut self, item: Item<'_>) -> Option<u64> {
        self.scalar(
            item,
            |kind| matches!(kind, Kind::Cpu),
            Code::BadNumber,
            "an amount of CPU such as `300m`",
            values::cpu,
        )
    }

    pub(crate) fn memory(&mut self, item: Item<'_>) -> Option<u64> {
        self.scalar(
            item,
            |kind| matches!(kind, Kind::Memory),
            Code::BadNumber,
            "an amount of memory such as `20M`",
            values::memory,
        )
    }

    pub(crate) fn share(&mut self, item: Item<'_>) -> Option<u32> {
        self.scalar(
            item,
            |kind| matches!(kind, Kind::Share),
            Code::BadNumber,
            "a share such as `1%`",
            values::share,
        )
    }

    pub(crate) fn drift(&mut self, item: Item<'_>) -> Option<i64> {
        self.scalar(
            item,
            |kind| matches!(kind, Kind::Drift),
            Code::BadNumber,
            "a drift such as `20ppm`",
            values::drift,
        )
    }

    pub(crate) fn instant(&mut self, item: Item<'_>) -> Option<i64> {
        self.scalar(
            item,
            |kind| matches!(kind, Kind::Instant),
            Code::BadValue,
            "an instant such as `2026-11-23T09:00:00Z`",
            values::instant,
        )
    }

    /// Seeds: one, a range, or a list of both.
    pub(crate) fn seeds(&mut self, item: Item<'_>) -> Option<Vec<u64>> {
        let one = |decoder: &mut Self, item: Item<'_>| {
            decoder.scalar(
                item,
                |kind| matches!(kind, Kind::Seeds),
                Code::BadNumber,
                "a seed or a range such as `1..20`",
                values::seeds,
            )
        };
        let seeds = match item.node.value {
            Value::List(_) => self.list(item, one)?.concat(),
            _ => one(self, item)?,
        };
        if seeds.is_empty() {
            self.note(Diagnostic::at(
                Code::SaysNothing,
                item.span(),
                "a scenario without seeds never runs",
                "write at least one seed, such as `[1]`",
            ));
            return None;
        }
        Some(seeds)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, item: Item<'_>) -> Option<bool> {
        self.word(item, &[("true", true), ("false", false)])
    }

    /// A whole number within a range.
    pub(crate) fn integer(&mut self, item: Item<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        item.assert_is(|kind| matches!(kind, Kind::Integer(from, to) if (*from..=*to) == range));
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(text) = item.node.text() else {
            return self.wrong_type(item, &wanted);
        };
        let value = text
            .parse()
            .ok()
            .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(value) = value.filter(|value| range.contains(value)) {
            return Some(value);
        }
        self.note(Diagnostic::at(
            Code::BadNumber,
            item.span(),
            format!("`{text}` is not {wanted}"),
            format!("write {wanted}, without a unit"),
        ));
        None
    }

    pub(crate) fn port(&mut self, item: Item<'_>) -> Option<u16> {
        let port = self.integer(item, 1..=u64::from(u16::MAX))?;
        u16::try_from(port).ok()
    }

    pub(crate) fn ip(&mut self, item: Item<'_>) -> Option<IpAddr> {
        item.assert_is(|kind| matches!(kind, Kind::Ip));
        let text = self.text(item)?;
        if let Ok(ip) = text.parse() {
            return Some(ip);
        }
        self.note(Diagnostic::at(
            Code::BadValue,
            item.span(),
            format!("`{text}` is not an IP address"),
            "write an address such as `10.0.0.1`",
        ));
        None
    }

    /// A lower-case name as Kubernetes allows for nodes and pods.
    /// Source: apimachinery `pkg/util/validation/validation.go
    /// IsDNS1123Subdomain`.
    pub(crate) fn object_name(&mut self, name: &str, place: Span) -> bool {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let label = |part: &str| {
            part.starts_with(edge)
                && part.ends_with(edge)
                && part.chars().all(|c| edge(c) || c == '-')
        };
        if !name.is_empty() && name.len() <= 253 && name.split('.').all(label) {
            return true;
        }
        self.note(Diagnostic::at(
            Code::BadValue,
            place,
            format!("`{name}` is not a name that Kubernetes accepts"),
            "use lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit",
        ));
        false
    }

    /// A duration, or a distribution of durations.
    pub(crate) fn distribution(&mut self, item: Item<'_>) -> Option<Distribution> {
        if item.node.text().is_some() {
            return self.duration(item).map(Distribution::Constant);
        }
        if item.node.entries().is_empty() {
            return self.wrong_type(
                item,
                "a duration such as `15s`, `{uniform: [1s, 2s]}` or `{quantiles: {p0: 1s, p100: 2s}}`",
            );
        }
        let mut object = self.object(item, &DISTRIBUTION_SHAPE)?;
        let constant = object.optional(self, "constant", Self::duration);
        let uniform = object.optional(self, "uniform", Self::uniform);
        let quantiles = object.optional(self, "quantiles", Self::quantiles);
        let before = self.count();
        object.finish(self);
        let has_unknown = self.count() > before;
        let given: Vec<Distribution> =
            [constant?.map(Distribution::Constant), uniform?, quantiles?]
                .into_iter()
                .flatten()
                .collect();
        match <[Distribution; 1]>::try_from(given) {
            Ok([only]) => Some(only),
            Err(none) if none.is_empty() && has_unknown => None,
            Err(_) => {
                self.note(Diagnostic::at(
                    Code::Contradiction,
                    item.key_span(),
                    format!("`{}` must have exactly one shape", item.name),
                    "keep one of `constant`, `uniform` and `quantiles`",
                ));
                None
            }
        }
    }

    fn uniform(&mut self, item: Item<'_>) -> Option<Distribution> {
        let bounds = self.list(item, Self::duration)?;
        if let [from, to] = bounds[..]
            && from <= to
        {
            return Some(Distribution::Uniform(from, to));
        }
        self.note(Diagnostic::at(
            Code::BadValue,
            item.span(),
            "`uniform` takes two durations, the smaller one first",
            "write `uniform: [5ms, 50ms]`",
        ));
        None
    }

    /// Anchors `p0`, `p50`, `p99.9`, `p100`.
    fn quantiles(&mut self, item: Item<'_>) -> Option<Distribution> {
        let named = self.named(item)?;
        let read: Vec<Option<(u32, Duration)>> = named
            .into_iter()
            .map(|anchor| {
                let per_mille = self.quantile_name(anchor);
                let value = self.duration(anchor);
                Some((per_mille?, value?))
            })
            .collect();
        let mut anchors: Vec<(u32, Duration)> = read.into_iter().collect::<Option<_>>()?;
        anchors.sort_by_key(|(per_mille, _)| *per_mille);
        let complete = anchors.first().is_some_and(|(first, _)| *first == 0)
            && anchors.last().is_some_and(|(last, _)| *last == 1000);
        let increasing = anchors
            .windows(2)
            .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        if complete && increasing {
            return Some(Distribution::Quantiles(anchors));
        }
        self.note(Diagnostic::at(
            Code::BadValue,
            item.span(),
            "quantiles must increase from `p0` to `p100`",
            "write the smallest and the largest value too, such as `{p0: 10ms, p50: 40ms, p99: 2s, p100: 9s}`",
        ));
        None
    }

    /// `p50` is 500 per mille, `p99.9` is 999.
    fn quantile_name(&mut self, anchor: Item<'_>) -> Option<u32> {
        let number = anchor.name.strip_prefix('p').unwrap_or("");
        let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
        let well_formed = !whole.is_empty()
            && tenth.len() == 1
            && number.chars().all(|c| c.is_ascii_digit() || c == '.');
        let per_mille = whole.parse::<u32>().ok().zip(tenth.parse::<u32>().ok());
        let per_mille =
            per_mille.and_then(|(whole, tenth)| whole.checked_mul(10)?.checked_add(tenth));
        if let Some(per_mille) = per_mille.filter(|per_mille| well_formed && *per_mille <= 1000) {
            return Some(per_mille);
        }
        self.note(Diagnostic::at(
            Code::BadValue,
            anchor.key_span(),
            format!("`{}` is not a quantile", anchor.name),
            "write `p0` to `p100`, with at most one decimal, such as `p50` or `p99.9`",
        ));
        None
    }

    fn scalar<T>(
        &mut self,
        item: Item<'_>,
        described: impl Fn(&Kind) -> bool,
        code: Code,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        item.assert_is(described);
        let Some(text) = item.node.text() else {
            return self.wrong_type(item, wanted);
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let diagnostic = Diagnostic::at(code, item.span(), refusal.message, refusal.help);
                self.note(match refusal.replacement {
                    Some(text) => diagnostic.replacement(text),
                    None => diagnostic,
                });
                None
            }
        }
    }
}
