//! `expect`: what must hold for the scenario to pass.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Claim, Expectation};
use super::shape::{Choice, Key, Kind, Shape, Word, keys_of};
use super::source::Sources;
use super::suggest::choice;
use super::values::show_duration;
use super::vocabulary::{FAILURES, MILESTONES, OBSERVERS, VERDICTS, names};

/// Restarts beyond any that back-off allows in a run.
const MOST_RESTARTS: u64 = 100_000;

const RESTARTS: Kind = Kind::Integer(0, MOST_RESTARTS);
const COUNT: Kind = Kind::Integer(0, 1_000_000_000);

pub(crate) static EXPECT: Shape = Shape::new(
    "Expect",
    "What must hold for the scenario to pass. Times count from the start of metrics-server's process.",
    &[
        Key::optional(
            "verdict",
            Kind::Word(&VERDICTS),
            "READY",
            "The judge's word for the run.",
        ),
        Key::optional(
            "timeToReady",
            MILESTONE,
            "{min: 20s, max: 30s}",
            "When the pod is Ready for the first time, or `never`.",
        ),
        Key::optional(
            "timeToFirstApi200",
            MILESTONE,
            "{max: 40s}",
            "When the metrics API first answers through the API server, or `never`.",
        ),
        Key::optional(
            "milestones",
            Kind::Mapping(&MILESTONES_SHAPE),
            "{readyz200: {max: 20s}}",
            "When other things happen for the first time.",
        ),
        Key::optional(
            "responses",
            Kind::List(&Kind::Mapping(&RESPONSES)),
            "[{observer: readiness-probe, outcome: 500, max: 3}]",
            "How many answers somebody gets.",
        ),
        Key::optional(
            "outcomes",
            Kind::Mapping(&OUTCOMES),
            "{readiness-probe: [500, 200]}",
            "What somebody gets at all, in any order, and nothing else.",
        ),
        Key::optional(
            "restarts",
            RESTARTS_OR_BOUNDS,
            "0",
            "How often the container is restarted.",
        ),
    ],
);

const MILESTONE: Kind = Kind::OneOf(&MILESTONE_KINDS);
static MILESTONE_KINDS: [Kind; 2] = [
    Kind::Word(&[("never", "not within the run")]),
    Kind::Mapping(&TIME_BOUNDS),
];

static TIME_BOUNDS: Shape = Shape::new(
    "TimeBounds",
    "Bounds of a time.",
    &[
        Key::optional("min", Kind::Duration, "20s", "Not before."),
        Key::optional("max", Kind::Duration, "30s", "Not after."),
    ],
)
.choice(Choice::Some(&["min", "max"]));

static MILESTONES_SHAPE: Shape = Shape::new(
    "Milestones",
    "What a start reaches, and when.",
    &MILESTONE_KEYS,
);
static MILESTONE_KEYS: [Key; MILESTONES.len()] = keys_of(&MILESTONES, MILESTONE, "{max: 60s}");

static RESPONSES: Shape = Shape::new(
    "Responses",
    "The number of answers to an observer that match all that is said here.",
    &[
        Key::required(
            "observer",
            Kind::Word(&OBSERVERS),
            "readiness-probe",
            "Who asked.",
        ),
        Key::optional(
            "outcome",
            Kind::Outcome,
            "500",
            "The status code, or what became of the request without one.",
        ),
        Key::optional(
            "text",
            Kind::Text,
            "certificate has expired",
            "A part of the text of the answer or of the error.",
        ),
        Key::optional(
            "from",
            Kind::Duration,
            "20s",
            "Only answers at or after this time.",
        ),
        Key::optional(
            "to",
            Kind::Duration,
            "55s",
            "Only answers before this time.",
        ),
        Key::optional("min", COUNT, "2", "At least so many."),
        Key::optional("max", COUNT, "4", "At most so many."),
    ],
)
.choice(Choice::Some(&["min", "max"]));

static OUTCOMES: Shape = Shape::new(
    "Outcomes",
    "The set of status codes and failures that each observer gets.",
    &OUTCOME_KEYS,
);
static OUTCOME_KEYS: [Key; OBSERVERS.len()] = keys_of(
    &OBSERVERS,
    Kind::List(&Kind::Outcome),
    "[refused, 500, 200]",
);

const RESTARTS_OR_BOUNDS: Kind = Kind::OneOf(&RESTARTS_KINDS);
static RESTARTS_KINDS: [Kind; 2] = [RESTARTS, Kind::Mapping(&COUNT_BOUNDS)];

static COUNT_BOUNDS: Shape = Shape::new(
    "CountBounds",
    "Bounds of a number.",
    &[
        Key::optional("min", COUNT, "1", "At least."),
        Key::optional("max", COUNT, "3", "At most."),
    ],
)
.choice(Choice::Some(&["min", "max"]));

/// Reads expectations of one document.
pub(crate) struct Reader<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) until: Option<Duration>,
}

impl Reader<'_> {
    /// Reads `expect`.
    pub(crate) fn expectations(
        &self,
        decoder: &mut Decoder,
        item: Item<'_>,
    ) -> Option<Vec<Expectation>> {
        let mut object = decoder.object(item, &EXPECT)?;
        let mut found = Vec::new();
        let mut all_well = true;
        let mut keep = |read: Option<Option<Vec<Expectation>>>| match read {
            Some(expectations) => found.extend(expectations.unwrap_or_default()),
            None => all_well = false,
        };
        keep(object.optional(decoder, "verdict", |decoder, item| {
            let verdict = word(decoder, item, "a verdict", &VERDICTS)?;
            Some(vec![self.at(item, Claim::Verdict(verdict))])
        }));
        for key in ["timeToReady", "timeToFirstApi200"] {
            keep(object.optional(decoder, key, |decoder, item| {
                self.milestone(decoder, item, key)
                    .map(|expectation| vec![expectation])
            }));
        }
        keep(object.optional(decoder, "milestones", |decoder, item| {
            self.milestones(decoder, item)
        }));
        keep(object.optional(decoder, "responses", |decoder, item| {
            decoder.list(item, |decoder, item| self.responses(decoder, item))
        }));
        keep(object.optional(decoder, "outcomes", |decoder, item| {
            self.outcomes(decoder, item)
        }));
        keep(object.optional(decoder, "restarts", |decoder, item| {
            let (min, max) = restarts(decoder, item)?;
            Some(vec![self.at(item, Claim::Restarts { min, max })])
        }));
        object.finish(decoder);
        all_well.then_some(found)
    }

    fn at(&self, item: Item<'_>, claim: Claim) -> Expectation {
        let (line, column) = self.sources.position(item.key_span());
        Expectation {
            claim,
            line,
            column,
        }
    }

    fn milestones(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let mut object = decoder.object(item, &MILESTONES_SHAPE)?;
        let read: Vec<Option<Option<Expectation>>> = names(&MILESTONES)
            .map(|key| {
                object.optional(decoder, key, |decoder, item| {
                    self.milestone(decoder, item, key)
                })
            })
            .collect();
        object.finish(decoder);
        let read: Vec<Option<Expectation>> = read.into_iter().collect::<Option<_>>()?;
        Some(read.into_iter().flatten().collect())
    }

    /// `never`, or bounds.
    fn milestone(&self, decoder: &mut Decoder, item: Item<'_>, name: &str) -> Option<Expectation> {
        if item.node.text() == Some("never") {
            return Some(self.at(item, Claim::NoMilestone(name.to_owned())));
        }
        if item.node.text().is_some() {
            return decoder.wrong_type(item, "`never` or bounds such as `{min: 20s, max: 30s}`");
        }
        let mut object = decoder.object(item, &TIME_BOUNDS)?;
        let min = object.optional(decoder, "min", |decoder, item| {
            decoder.time(item, self.until)
        });
        let max = object.optional(decoder, "max", Decoder::duration);
        object.finish(decoder);
        let (min, max) = (min?, max?);
        check_bounds(decoder, item, min, max, |bound| show_duration(*bound))?;
        let name = name.to_owned();
        Some(self.at(item, Claim::Milestone { name, min, max }))
    }

    fn responses(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Expectation> {
        let mut object = decoder.object(item, &RESPONSES)?;
        let observer = object.required(decoder, "observer", observer);
        let outcome = object.optional(decoder, "outcome", outcome);
        let text = object.optional(decoder, "text", |decoder, item| {
            decoder.text(item).map(str::to_owned)
        });
        let from = object.optional(decoder, "from", |decoder, item| {
            decoder.time(item, self.until)
        });
        let to = object.optional(decoder, "to", Decoder::duration);
        let min = object.optional(decoder, "min", count);
        let max = object.optional(decoder, "max", count);
        object.finish(decoder);
        let (from, to, min, max) = (from?, to?, min?, max?);
        check_bounds(decoder, item, min, max, u64::to_string)?;
        if let (Some(from), Some(to)) = (from, to)
            && from >= to
        {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "no time lies between `from` and `to`",
                "choose `to` later than `from`",
            ));
            return None;
        }
        let claim = Claim::Responses {
            observer: observer?,
            outcome: outcome?,
            text: text?,
            from,
            to,
            min,
            max,
        };
        Some(self.at(item, claim))
    }

    fn outcomes(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let mut object = decoder.object(item, &OUTCOMES)?;
        let mut read = Vec::new();
        for key in names(&OBSERVERS) {
            read.push(object.optional(decoder, key, |decoder, item| {
                let outcomes = decoder.list(item, outcome)?;
                let observer = key.to_owned();
                Some(self.at(item, Claim::Outcomes { observer, outcomes }))
            }));
        }
        object.finish(decoder);
        let read: Vec<Option<Expectation>> = read.into_iter().collect::<Option<_>>()?;
        Some(read.into_iter().flatten().collect())
    }
}

fn word(decoder: &mut Decoder, item: Item<'_>, what: &str, words: &[Word]) -> Option<String> {
    let text = decoder.text(item)?;
    if names(words).any(|word| word == text) {
        return Some(text.to_owned());
    }
    decoder.unknown(Code::UnknownWord, item, what, names(words));
    None
}

fn observer(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
    word(decoder, item, "an observer", &OBSERVERS)
}

/// A status code, or the word for a request without one.
fn outcome(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
    let text = decoder.text(item)?;
    let is_status = text.len() == 3
        && text
            .parse::<u16>()
            .is_ok_and(|status| (100..=599).contains(&status));
    if is_status || names(&FAILURES).any(|word| word == text) {
        return Some(text.to_owned());
    }
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        decoder.note(Diagnostic::at(
            Code::UnknownWord,
            item.span(),
            format!("`{text}` is not a status code"),
            format!(
                "write a code from `100` to `599`, or {}",
                choice(names(&FAILURES))
            ),
        ));
    } else {
        decoder.unknown(
            Code::UnknownWord,
            item,
            "an outcome",
            names(&FAILURES).chain(["200", "500"]),
        );
    }
    None
}

fn count(decoder: &mut Decoder, item: Item<'_>) -> Option<u64> {
    decoder.integer(item, 0..=1_000_000_000)
}

/// A number, or bounds.
fn restarts(decoder: &mut Decoder, item: Item<'_>) -> Option<(u64, u64)> {
    if item.node.text().is_some() {
        let exactly = decoder.integer(item, 0..=MOST_RESTARTS)?;
        return Some((exactly, exactly));
    }
    let mut object = decoder.object(item, &COUNT_BOUNDS)?;
    let min = object.optional(decoder, "min", count);
    let max = object.optional(decoder, "max", count);
    object.finish(decoder);
    let (min, max) = (min?, max?);
    check_bounds(decoder, item, min, max, u64::to_string)?;
    Some((min.unwrap_or(0), max.unwrap_or(u64::MAX)))
}

fn check_bounds<T: PartialOrd>(
    decoder: &mut Decoder,
    item: Item<'_>,
    min: Option<T>,
    max: Option<T>,
    show: impl Fn(&T) -> String,
) -> Option<()> {
    let diagnostic = match (min, max) {
        (None, None) => Diagnostic::at(
            Code::SaysNothing,
            item.key_span(),
            format!(
                "`{}` expects nothing: it has neither `min` nor `max`",
                item.name
            ),
            "add a bound; to expect none at all write `max: 0`, or `never` for a milestone",
        ),
        (Some(min), Some(max)) if min > max => Diagnostic::at(
            Code::Contradiction,
            item.key_span(),
            format!(
                "nothing is at least {} and at most {}",
                show(&min),
                show(&max)
            ),
            "swap `min` and `max`",
        ),
        _ => return Some(()),
    };
    decoder.note(diagnostic);
    None
}
