//! `at`, `when`, `after` and `for`: when something comes, and for how long.
//!
//! A time that depends on what happens in the run is found by running: see
//! [`crate::trigger`]. Until it is known, the entry is pending; once it is,
//! the scenario is read again with the time in its place.

use std::collections::BTreeMap;
use std::time::Duration;

use reports::moment::{AnswerFilter, EventFilter, ExitFilter, LogFilter, Moment};

use super::code::Code;
use super::decoder::{Decoder, Item, Object};
use super::diagnostic::Diagnostic;
use super::expect::{observer, outcome};
use super::model::Trigger;
use super::pods::METRICS_SERVER;
use super::shape::{Choice, Key, Kind, Shape};
use super::source::Sources;
use super::suggest::choice;
use super::values::show_duration;
use super::vocabulary::{MILESTONES, OBSERVERS, SEVERITIES, names};

/// Where a `when` stands in the file → the time that it was found to mean.
pub type Moments = BTreeMap<usize, Duration>;

pub(crate) const AT: Key = Key::optional("at", Kind::Duration, "40s", "When, in virtual time.");
pub(crate) const WHEN: Key = Key::optional(
    "when",
    WHEN_KIND,
    "readyz200",
    "What it waits for, instead of a time: a milestone, or something that happens. Where that never happens the run is inconclusive.",
);
pub(crate) const AFTER: Key = Key::optional(
    "after",
    Kind::Duration,
    "5s",
    "How long after `when`. Missing: at the next millisecond.",
)
.beside("when: readyz200");
pub(crate) const NTH: Key = Key::optional(
    "nth",
    Kind::Integer(1, MOST),
    "2",
    "Which occurrence of `when`, from 1. Missing: the first.",
)
.beside("when: {response: {observer: readiness-probe}}");

/// An entry comes at a time or at an event.
pub(crate) const ONE_TIME: Choice = Choice::One(&["when", "at"]);

const WHEN_KIND: Kind = Kind::OneOf(&WHEN_KINDS);
static WHEN_KINDS: [Kind; 2] = [Kind::Word(&MILESTONES), Kind::Mapping(&HAPPENING)];

static HAPPENING: Shape = Shape::new(
    "Happening",
    "Something that happens.",
    &[
        Key::optional(
            "response",
            Kind::Mapping(&ANSWER),
            "{observer: readiness-probe, outcome: 200}",
            "An answer, or the want of one.",
        ),
        Key::optional(
            "log",
            Kind::OneOf(&[Kind::Text, Kind::Mapping(&LOG)]),
            "Serving securely",
            "A line that metrics-server writes: a part of it, or more.",
        ),
        Key::optional(
            "event",
            Kind::OneOf(&[Kind::Text, Kind::Mapping(&EVENT)]),
            "Unhealthy",
            "A Kubernetes Event: its reason, or more.",
        ),
        Key::optional(
            "exit",
            Kind::OneOf(&[EXIT_CODE_KIND, Kind::Mapping(&EXIT)]),
            "137",
            "The end of a process of metrics-server: its exit code, or more; `{}` is any.",
        ),
    ],
)
.choice(Choice::One(&HAPPENINGS));

pub(crate) static ANSWER: Shape = Shape::new(
    "Answer",
    "An answer to an observer that matches all that is said here.",
    &[OBSERVER, TARGET, OUTCOME, ANSWER_TEXT, ON],
);
static LOG: Shape = Shape::new(
    "LogLine",
    "A log line that matches all that is said here.",
    &[LINE_TEXT, SEVERITY, ON],
);
static EVENT: Shape = Shape::new(
    "KubernetesEvent",
    "A Kubernetes Event that matches all that is said here.",
    &[EVENT_REASON, EVENT_TEXT, ON],
);
static EXIT: Shape = Shape::new(
    "Exit",
    "The end of a process that matches all that is said here.",
    &[EXIT_CODE, EXIT_REASON, ON],
);

pub(crate) const OBSERVER: Key = Key::required(
    "observer",
    Kind::OneOf(&[Kind::Word(&OBSERVERS), Kind::Text]),
    "readiness-probe",
    "Who asked: one of these words, or a consumer by the name that the scenario gives it.",
);
pub(crate) const TARGET: Key = Key::optional(
    "target",
    Kind::Text,
    "/readyz",
    "What was asked for: a path, or for `scraper` the node.",
);
pub(crate) const OUTCOME: Key = Key::optional(
    "outcome",
    Kind::Outcome,
    "500",
    "The status code, or what became of the request without one.",
);
pub(crate) const ANSWER_TEXT: Key = Key::optional(
    "text",
    Kind::Text,
    "certificate has expired",
    "A part of the text of the answer or of the error.",
);
pub(crate) const ON: Key = Key::optional(
    "on",
    Kind::Text,
    "metrics-server-2",
    "The machine that it happened on, as the trace names it: a replica, a node, `apiserver`.",
);
pub(crate) const LINE_TEXT: Key = Key::optional(
    "text",
    Kind::Text,
    "Failed to scrape node",
    "A part of the line.",
);
pub(crate) const SEVERITY: Key =
    Key::optional("severity", Kind::Word(&SEVERITIES), "E", "How grave it is.");
pub(crate) const EVENT_REASON: Key =
    Key::optional("reason", Kind::Text, "Unhealthy", "Its reason.");
pub(crate) const EVENT_TEXT: Key = Key::optional(
    "text",
    Kind::Text,
    "Readiness probe failed",
    "A part of its message.",
);
const EXIT_CODE_KIND: Kind = Kind::Integer(0, 255);
pub(crate) const EXIT_CODE: Key = Key::optional("code", EXIT_CODE_KIND, "137", "Its exit code.");
pub(crate) const EXIT_REASON: Key = Key::optional(
    "reason",
    Kind::Text,
    "OOMKilled",
    "What Kubernetes calls it.",
);

/// What can be waited for besides a milestone.
const HAPPENINGS: [&str; 4] = ["response", "log", "event", "exit"];

/// The most occurrences that one can wait for.
const MOST: u64 = 1_000_000;

/// When something comes.
#[derive(Debug, Clone)]
pub(crate) enum Timing {
    /// At this virtual time.
    At(Duration),
    /// At this one, which was found for what it waits for.
    Found(Duration),
    /// Once something has happened, which is not known yet.
    Pending(Trigger),
}

/// Entries in order of time, and those whose time is not known yet.
#[derive(Debug, Clone)]
pub(crate) struct Timed<T> {
    pub(crate) due: Vec<(Duration, T)>,
    pub(crate) pending: Vec<(Trigger, T)>,
    /// Those among both that wait for something, be its time known or not.
    pub(crate) waiting: Vec<T>,
}

impl<T> Default for Timed<T> {
    fn default() -> Self {
        Self {
            due: Vec::new(),
            pending: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

impl<T: Clone> Timed<T> {
    /// Sorts what was read by what is known of it.
    pub(crate) fn of(entries: Vec<(Timing, T)>) -> Self {
        let mut timed = Self::default();
        for (timing, entry) in entries {
            if !matches!(timing, Timing::At(_)) {
                timed.waiting.push(entry.clone());
            }
            match timing {
                Timing::At(at) | Timing::Found(at) => timed.due.push((at, entry)),
                Timing::Pending(trigger) => timed.pending.push((trigger, entry)),
            }
        }
        timed.due.sort_by_key(|(at, _)| *at);
        timed
    }
}

/// Reads timings of one document.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) until: Option<Duration>,
    pub(crate) moments: &'a Moments,
    /// The names of consumers.
    pub(crate) consumers: &'a [String],
}

impl Reader<'_> {
    /// Reads the keys that say when the entry `item`, which is `object`, comes.
    pub(crate) fn timing<'t>(
        &self,
        decoder: &mut Decoder,
        object: &mut Object<'t>,
        item: Item<'t>,
    ) -> Option<Timing> {
        let at = object.optional(decoder, "at", |decoder, item| {
            decoder.time(item, self.until)
        });
        let when = object.optional(decoder, "when", |decoder, item| {
            self.moment(decoder, item).map(|moment| (item, moment))
        });
        let after = object.optional(decoder, "after", |decoder, item| {
            decoder.duration(item).map(|after| (item, after))
        });
        let nth = object.optional(decoder, "nth", |decoder, item| {
            decoder.integer(item, 1..=MOST).map(|nth| (item, nth))
        });
        let (at, when, after, nth) = (at?, when?, after?, nth?);
        if let (Some(_), Some((when, _))) = (at, &when) {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                when.key_span(),
                "an entry comes at a time or at an event, not at both",
                "keep one of `at` and `when`",
            ));
            return None;
        }
        if let Some(at) = at {
            let idle = after.map(|(item, _)| item).or(nth.map(|(item, _)| item));
            let Some(idle) = idle else {
                return Some(Timing::At(at));
            };
            decoder.note(Diagnostic::at(
                Code::SaysNothing,
                idle.key_span(),
                format!("`{}` says nothing beside `at`", idle.name),
                "it refines `when`: remove it, or wait for something with `when`",
            ));
            return None;
        }
        let Some((place, moment)) = when else {
            decoder.note(Diagnostic::at(
                Code::MissingKey,
                item.key_span(),
                format!("an entry of `{}` lacks the key `at`", item.name),
                "add `at:` with a time such as `40s`, or `when:` with an event such as `readyz200`",
            ));
            return None;
        };
        let after = after.map(|(_, after)| after);
        let nth = nth.map(|(_, nth)| nth);
        Some(self.resolve(place, moment, after, nth))
    }

    /// A milestone's name, or a mapping with one of [`HAPPENINGS`].
    fn moment(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Moment> {
        if let Some(text) = item.node.text() {
            if names(&MILESTONES).any(|word| word == text) {
                return Some(Moment::Milestone(text.to_owned()));
            }
            decoder.unknown(Code::UnknownWord, item, "a milestone", names(&MILESTONES));
            return None;
        }
        let mut object = decoder.object(item, &HAPPENING)?;
        let read = [
            object.optional(decoder, "response", |decoder, item| {
                let mut object = decoder.object(item, &ANSWER)?;
                let filter = answer_filter(decoder, &mut object, self.consumers);
                object.finish(decoder);
                filter.map(Moment::Response)
            }),
            object.optional(decoder, "log", |decoder, item| {
                log(decoder, item).map(Moment::Log)
            }),
            object.optional(decoder, "event", |decoder, item| {
                event(decoder, item).map(Moment::Event)
            }),
            object.optional(decoder, "exit", |decoder, item| {
                exit(decoder, item).map(Moment::Exit)
            }),
        ];
        object.finish(decoder);
        let read: Vec<Option<Moment>> = read.into_iter().collect::<Option<_>>()?;
        let mut given = read.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(moment), None) => Some(moment),
            _ => {
                decoder.note(Diagnostic::at(
                    Code::Contradiction,
                    item.key_span(),
                    "`when` waits for exactly one thing",
                    format!(
                        "write a milestone such as `when: readyz200`, or one of {}",
                        choice(HAPPENINGS)
                    ),
                ));
                None
            }
        }
    }

    fn resolve(
        &self,
        place: Item<'_>,
        moment: Moment,
        after: Option<Duration>,
        nth: Option<u64>,
    ) -> Timing {
        let key = place.key_span().start;
        if let Some(at) = self.moments.get(&key) {
            return Timing::Found(*at);
        }
        let (line, column) = self.sources.position(place.key_span());
        let mut words = format!("when: {}", place.node.to_flow());
        if let Some(nth) = nth {
            words.push_str(&format!(", nth: {nth}"));
        }
        if let Some(after) = after {
            words.push_str(&format!(", after: {}", show_duration(after)));
        }
        Timing::Pending(Trigger {
            key,
            moment,
            nth: nth.unwrap_or(1),
            after: after.unwrap_or_default(),
            words,
            line,
            column,
        })
    }
}

/// Reads which answers are meant; the caller finishes the object.
pub(crate) fn answer_filter<'t>(
    decoder: &mut Decoder,
    object: &mut Object<'t>,
    consumers: &[String],
) -> Option<AnswerFilter> {
    let who = object.required(decoder, "observer", |decoder, item| {
        observer(decoder, item, consumers)
    });
    let target = object.optional(decoder, "target", text);
    let outcome = object.optional(decoder, "outcome", outcome);
    let part = object.optional(decoder, "text", text);
    let on = object.optional(decoder, "on", text);
    if let (Some("scraper"), Some(item)) = (who.as_deref(), object.item("on"))
        && let Some(machine) = item.node.text()
        && !machine.starts_with(METRICS_SERVER)
    {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            format!("`scraper` asks from the pods of metrics-server, and `{machine}` is none"),
            format!("for the node that was asked write `target: {machine}`"),
        ));
    }
    Some(AnswerFilter {
        observer: who?,
        target: target?,
        outcome: outcome?,
        text: part?,
        on: on?,
    })
}

/// A part of the line, or a mapping.
fn log(decoder: &mut Decoder, item: Item<'_>) -> Option<LogFilter> {
    if item.node.text().is_some() {
        let text = text(decoder, item)?;
        return Some(LogFilter {
            text: Some(text),
            ..LogFilter::default()
        });
    }
    let mut object = decoder.object(item, &LOG)?;
    let filter = log_filter(decoder, &mut object);
    object.finish(decoder);
    filter
}

/// Reads which log lines are meant; the caller finishes the object.
pub(crate) fn log_filter<'t>(decoder: &mut Decoder, object: &mut Object<'t>) -> Option<LogFilter> {
    let part = object.optional(decoder, "text", text);
    let severity = object.optional(decoder, "severity", |decoder, item| {
        let words = SEVERITIES.map(|(word, _)| (word, word.to_owned()));
        decoder.word(item, &words)
    });
    let on = object.optional(decoder, "on", text);
    Some(LogFilter {
        text: part?,
        severity: severity?,
        on: on?,
    })
}

/// A reason, or a mapping.
fn event(decoder: &mut Decoder, item: Item<'_>) -> Option<EventFilter> {
    if item.node.text().is_some() {
        let reason = text(decoder, item)?;
        return Some(EventFilter {
            reason: Some(reason),
            ..EventFilter::default()
        });
    }
    let mut object = decoder.object(item, &EVENT)?;
    let filter = event_filter(decoder, &mut object);
    object.finish(decoder);
    filter
}

/// Reads which Events are meant; the caller finishes the object.
pub(crate) fn event_filter<'t>(
    decoder: &mut Decoder,
    object: &mut Object<'t>,
) -> Option<EventFilter> {
    let reason = object.optional(decoder, "reason", text);
    let part = object.optional(decoder, "text", text);
    let on = object.optional(decoder, "on", text);
    Some(EventFilter {
        reason: reason?,
        text: part?,
        on: on?,
    })
}

/// An exit code, or a mapping; an empty one means any exit.
fn exit(decoder: &mut Decoder, item: Item<'_>) -> Option<ExitFilter> {
    if item.node.text().is_some() {
        let code = exit_code(decoder, item)?;
        return Some(ExitFilter {
            code: Some(code),
            ..ExitFilter::default()
        });
    }
    let mut object = decoder.object(item, &EXIT)?;
    let filter = exit_filter(decoder, &mut object);
    object.finish(decoder);
    filter
}

/// Reads which exits are meant; the caller finishes the object.
pub(crate) fn exit_filter<'t>(
    decoder: &mut Decoder,
    object: &mut Object<'t>,
) -> Option<ExitFilter> {
    let code = object.optional(decoder, "code", exit_code);
    let reason = object.optional(decoder, "reason", text);
    let on = object.optional(decoder, "on", text);
    Some(ExitFilter {
        code: code?,
        reason: reason?,
        on: on?,
    })
}

fn exit_code(decoder: &mut Decoder, item: Item<'_>) -> Option<i32> {
    let code = decoder.integer(item, 0..=255)?;
    i32::try_from(code).ok()
}

pub(crate) fn text(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
    let text = decoder.text(item)?;
    if text.is_empty() {
        decoder.note(Diagnostic::at(
            Code::SaysNothing,
            item.key_span(),
            format!("`{}` is empty, which matches everything", item.name),
            "write a part of the text, or remove the key",
        ));
        return None;
    }
    Some(text.to_owned())
}
