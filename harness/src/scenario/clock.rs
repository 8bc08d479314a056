//! `clock`: a machine's wall clock.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Clock, Timeline};
use super::shape::{Key, Kind, Shape};

pub(crate) static CLOCK: Shape = Shape::new(
    "Clock",
    "A wall clock that may be wrong. Timers run on the monotonic clock and keep their pace. A change of it is a step to another `offset`, or another `drift` from then on.",
    &[
        Key::optional(
            "offset",
            Kind::SignedDuration,
            "-10m",
            "How far it is ahead (positive) or behind, apart from what it has drifted. Default: 0s.",
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
        )
        .fixed("a change that sets `offset` is a step at its time"),
    ],
);

pub(crate) static CLIENTS: Shape = Shape::new(
    "Clients",
    "The machine of those who use `kubectl`, and of discovery clients. Controllers run beside an API server.",
    &[Key::optional(
        "clock",
        Kind::Mapping(&CLOCK),
        "{offset: -10m}",
        "Its wall clock. Missing: right.",
    )],
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
        drift_ppb: Timeline::constant(drift_ppb?),
        steps: steps?,
    })
}

/// Reads `clients`: the clock of their machine.
pub(crate) fn of_clients(
    decoder: &mut Decoder,
    item: Item<'_>,
    until: Option<Duration>,
) -> Option<Clock> {
    if item.node.is_null() {
        return Some(Clock::default());
    }
    let mut object = decoder.object(item, &CLIENTS)?;
    let clock = object.or(decoder, "clock", Clock::default(), |decoder, item| {
        clock(decoder, item, until)
    });
    object.finish(decoder);
    clock
}

fn step(decoder: &mut Decoder, item: Item<'_>, until: Option<Duration>) -> Option<(Duration, i64)> {
    let mut object = decoder.object(item, &STEP)?;
    let at = object.required(decoder, "at", |decoder, item| decoder.time(item, until));
    let by = object.required(decoder, "by", Decoder::signed_duration);
    object.finish(decoder);
    Some((at?, by?))
}
