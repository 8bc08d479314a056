//! `responses`, `logs`, `events`, `exits`: how many, when, how far apart.

use std::time::Duration;

use reports::expectation::{Bounds, Claim, Expectation, Happening, Measure, Window};

use super::{Reader, check_bounds, count, nanos};
use crate::scenario::code::Code;
use crate::scenario::decoder::{Decoder, Item, Object};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::shape::{Choice, Key, Kind, Shape};
use crate::scenario::timing::{self, answer_filter, event_filter, exit_filter, log_filter};
use crate::scenario::values::show_duration;

/// What the entries of all these lists can measure.
const FROM: Key = Key::optional(
    "from",
    Kind::Duration,
    "20s",
    "Only at or after this virtual time.",
);
const TO: Key = Key::optional(
    "to",
    Kind::Duration,
    "55s",
    "Only before this virtual time.",
);
const MIN: Key = Key::optional("min", super::COUNT, "2", "At least so many.");
const MAX: Key = Key::optional("max", super::COUNT, "4", "At most so many.");
const EVERY: Key = Key::optional(
    "every",
    TIMES,
    "{min: 14.9s, max: 15.1s}",
    "The time from each to the next of the same machine and target.",
);
const FIRST: Key = Key::optional(
    "first",
    TIMES,
    "{max: 30s}",
    "When the first comes, since the first start of the process.",
);
const LAST: Key = Key::optional(
    "last",
    TIMES,
    "{max: 50s}",
    "When the last comes, since the first start of the process.",
);

/// When and where they count, and what of them is measured: the keys that all
/// entries have.
const MEASURED: [Key; 8] = [timing::ON, FROM, TO, MIN, MAX, EVERY, FIRST, LAST];

/// An entry measures something.
const MEASURES: [&str; 5] = ["every", "first", "last", "min", "max"];

/// The keys that say which are meant, and the common ones.
const fn measured<const OWN: usize, const ALL: usize>(own: [Key; OWN]) -> [Key; ALL] {
    assert!(
        OWN + MEASURED.len() == ALL,
        "all keys are the own and the common ones"
    );
    let mut keys = [timing::ON; ALL];
    let mut index = 0;
    while index < ALL {
        keys[index] = match index < OWN {
            true => own[index],
            false => MEASURED[index - OWN],
        };
        index += 1;
    }
    keys
}

static RESPONSE_KEYS: [Key; 13] = measured([
    timing::OBSERVER,
    timing::TARGET,
    timing::OUTCOME,
    timing::ANSWER_TEXT,
    Key::optional(
        "duration",
        TIMES,
        "{max: 1s}",
        "How long each takes, from asking to knowing.",
    ),
]);
pub(super) static RESPONSES: Shape = Shape::new(
    "Responses",
    "The answers to an observer that match all that is said here.",
    &RESPONSE_KEYS,
)
.choice(Choice::Some(&[
    "every", "duration", "first", "last", "min", "max",
]));

static LOG_KEYS: [Key; 10] = measured([timing::LINE_TEXT, timing::SEVERITY]);
pub(super) static LOGS: Shape = Shape::new(
    "Logs",
    "The log lines that match all that is said here.",
    &LOG_KEYS,
)
.choice(Choice::Some(&MEASURES));

static EVENT_KEYS: [Key; 10] = measured([timing::EVENT_REASON, timing::EVENT_TEXT]);
pub(super) static EVENTS: Shape = Shape::new(
    "Events",
    "The Kubernetes Events that match all that is said here.",
    &EVENT_KEYS,
)
.choice(Choice::Some(&MEASURES));

static EXIT_KEYS: [Key; 10] = measured([timing::EXIT_CODE, timing::EXIT_REASON]);
pub(super) static EXITS: Shape = Shape::new(
    "Exits",
    "The ends of processes that match all that is said here.",
    &EXIT_KEYS,
)
.choice(Choice::Some(&MEASURES));

pub(super) const TIMES: Kind = Kind::OneOf(&TIMES_KINDS);
static TIMES_KINDS: [Kind; 2] = [Kind::Duration, Kind::Mapping(&SPAN_BOUNDS)];

static SPAN_BOUNDS: Shape = Shape::new(
    "SpanBounds",
    "Bounds of a span of time.",
    &[
        Key::optional("min", Kind::Duration, "1s", "At least."),
        Key::optional("max", Kind::Duration, "20s", "At most."),
    ],
)
.choice(Choice::Some(&["min", "max"]));

impl Reader<'_> {
    /// One entry of `responses`.
    pub(super) fn responses(
        &self,
        decoder: &mut Decoder,
        item: Item<'_>,
    ) -> Option<Vec<Expectation>> {
        let mut object = decoder.object(item, &RESPONSES)?;
        let what = answer_filter(decoder, &mut object, self.consumers).map(Happening::Responses);
        let took = object.optional(decoder, "duration", times);
        let claims = self.claims(decoder, &mut object, item, what);
        object.finish(decoder);
        let (mut claims, took) = (claims?, took?);
        claims.extend_measure(took.map(Measure::Duration));
        claims.into_expectations(self, decoder, item)
    }

    /// One entry of `logs`.
    pub(super) fn logs(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let mut object = decoder.object(item, &LOGS)?;
        let what = log_filter(decoder, &mut object).map(Happening::Logs);
        let claims = self.claims(decoder, &mut object, item, what);
        object.finish(decoder);
        claims?.into_expectations(self, decoder, item)
    }

    /// One entry of `events`.
    pub(super) fn events(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let mut object = decoder.object(item, &EVENTS)?;
        let what = event_filter(decoder, &mut object).map(Happening::Events);
        let claims = self.claims(decoder, &mut object, item, what);
        object.finish(decoder);
        claims?.into_expectations(self, decoder, item)
    }

    /// One entry of `exits`.
    pub(super) fn exits(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let mut object = decoder.object(item, &EXITS)?;
        let what = exit_filter(decoder, &mut object).map(Happening::Exits);
        let claims = self.claims(decoder, &mut object, item, what);
        object.finish(decoder);
        claims?.into_expectations(self, decoder, item)
    }

    /// The keys that all of them have.
    fn claims<'t>(
        &self,
        decoder: &mut Decoder,
        object: &mut Object<'t>,
        item: Item<'t>,
        what: Option<Happening>,
    ) -> Option<Claims> {
        let window = self.window(decoder, object, item, "to");
        let min = object.optional(decoder, "min", count);
        let max = object.optional(decoder, "max", count);
        let every = object.optional(decoder, "every", times);
        let first = object.optional(decoder, "first", times);
        let last = object.optional(decoder, "last", times);
        let (min, max) = (min?, max?);
        let (every, first, last) = (every?, first?, last?);
        let mut claims = Claims {
            what: what?,
            window: window?,
            measures: Vec::new(),
        };
        if min.is_some() || max.is_some() {
            check_bounds(decoder, item, min, max, u64::to_string)?;
            claims.extend_measure(Some(Measure::Count(Bounds { min, max })));
        }
        claims.extend_measure(every.map(Measure::Every));
        claims.extend_measure(first.map(Measure::First));
        claims.extend_measure(last.map(Measure::Last));
        Some(claims)
    }

    /// `from` and `to`, or what the end is called.
    pub(super) fn window<'t>(
        &self,
        decoder: &mut Decoder,
        object: &mut Object<'t>,
        item: Item<'t>,
        end: &'static str,
    ) -> Option<Window> {
        let from = object.optional(decoder, "from", |decoder, item| {
            decoder.time(item, self.until)
        });
        let to = object.optional(decoder, end, Decoder::duration);
        let (from, to) = (from?, to?);
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                format!("no time lies between `from` and `{end}`"),
                format!("choose `{end}` later than `from`"),
            ));
            return None;
        }
        Some(Window {
            from_ns: from.map(nanos),
            to_ns: to.map(nanos),
        })
    }
}

/// What one entry claims.
struct Claims {
    what: Happening,
    window: Window,
    measures: Vec<Measure>,
}

impl Claims {
    fn extend_measure(&mut self, measure: Option<Measure>) {
        self.measures.extend(measure);
    }

    /// One expectation per measure; an entry without any says nothing.
    fn into_expectations(
        self,
        reader: &Reader<'_>,
        decoder: &mut Decoder,
        item: Item<'_>,
    ) -> Option<Vec<Expectation>> {
        if self.measures.is_empty() {
            check_bounds::<u64>(decoder, item, None, None, u64::to_string)?;
        }
        let claim = |measure| Claim::Happening {
            what: self.what.clone(),
            window: self.window,
            measure,
        };
        let measures = self.measures.iter();
        Some(
            measures
                .map(|measure| reader.at(item, claim(*measure)))
                .collect(),
        )
    }
}

/// A duration, which it is exactly, or bounds.
pub(super) fn times(decoder: &mut Decoder, item: Item<'_>) -> Option<Bounds> {
    if item.node.text().is_some() {
        let exactly = decoder.duration(item)?;
        return Some(Bounds::exactly(nanos(exactly)));
    }
    let mut object = decoder.object(item, &SPAN_BOUNDS)?;
    let min = object.optional(decoder, "min", Decoder::duration);
    let max = object.optional(decoder, "max", Decoder::duration);
    object.finish(decoder);
    let (min, max): (Option<Duration>, Option<Duration>) = (min?, max?);
    check_bounds(decoder, item, min, max, |bound| show_duration(*bound))?;
    Some(Bounds {
        min: min.map(nanos),
        max: max.map(nanos),
    })
}
