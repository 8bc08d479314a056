//! `clock`: a machine's wall clock.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::Clock;
use super::shape::{Key, Kind, Shape};

pub(crate) static CLOCK: Shape = Shape::new(
    "Clock",
    "A wall clock that may be wrong. Timers run on the monotonic clock and keep their pace.",
    &[
        Key::optional(
            "offset",
            Kind::SignedDuration,
            "-10m",
            "How far it is ahead (positive) or behind when the run begins. Default: 0s.",
        ),
        Key::optional(
            "drift",
            Kind::Drift,
            "20ppm",
            "How much too fast it runs. Default: 0.",
        ),
        Key::optional(
            "steps",
            Kind::List(&Kind::Mapping(&STEP)),
            "[{at: 40s, by: 10m}]",
            "Corrections, in order of time.",
        ),
    ],
);

static STEP: Shape = Shape::new(
    "ClockStep",
    "A correction of a clock, as NTP makes it.",
    &[
        Key::required("at", Kind::Duration, "40s", "When, in time of the run."),
        Key::required(
            "by",
            Kind::SignedDuration,
            "10m",
            "By how much, forward if positive.",
        ),
    ],
);

/// Reads a machine's `clock`.
pub(crate) fn clock(
    decoder: &mut Decoder,
    item: Item<'_>,
    until: Option<Duration>,
) -> Option<Clock> {
    let mut object = decoder.object(item, &CLOCK)?;
    let offset_ns = object.or(decoder, "offset", 0, Decoder::signed_duration);
    let drift_ppb = object.or(decoder, "drift", 0, Decoder::drift);
    let steps = object.or(decoder, "steps", Vec::new(), |decoder, item| {
        decoder.list(item, |decoder, item| step(decoder, item, until))
    });
    if let Some(steps) = &steps
        && !steps.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && let Some(item) = object.item("steps")
    {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            "the steps of a clock are not in order of time",
            "sort them by `at`, with one step at a time",
        ));
    }
    object.finish(decoder);
    Some(Clock {
        offset_ns: offset_ns?,
        drift_ppb: drift_ppb?,
        steps: steps?,
    })
}

fn step(decoder: &mut Decoder, item: Item<'_>, until: Option<Duration>) -> Option<(Duration, i64)> {
    let mut object = decoder.object(item, &STEP)?;
    let at = object.required(decoder, "at", |decoder, item| decoder.time(item, until));
    let by = object.required(decoder, "by", Decoder::signed_duration);
    object.finish(decoder);
    Some((at?, by?))
}
