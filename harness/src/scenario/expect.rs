//! `expect`: what must hold for the scenario to pass.
//!
//! - `happenings`: answers, log lines, Events and exits;
//! - `served`: nodes and pods;
//! - `replicas`: single pods of metrics-server;
//! - `conditions`: what holds always, eventually, never, sometimes; causes.

mod conditions;
mod happenings;
mod replicas;
mod served;

use std::rc::Rc;
use std::time::Duration;

use reports::expectation::{Bounds, Mode};

use super::code::Code;
use super::decoder::{Decoder, Item, Object};
use super::diagnostic::Diagnostic;
use super::fleet::Fleet;
use super::model::{Claim, Expectation};
use super::shape::{Choice, Key, Kind, Shape, Word, keys_of};
use super::source::Sources;
use super::suggest::choice;
use super::tree::{Node, Value};
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
            Kind::List(&Kind::Mapping(&happenings::RESPONSES)),
            "[{observer: readiness-probe, outcome: 500, max: 3}]",
            "What somebody is answered: how often, when, at what intervals, how fast.",
        ),
        Key::optional(
            "outcomes",
            Kind::Named("an observer as in `responses`", &OUTCOMES),
            "{readiness-probe: [500, 200]}",
            "What somebody gets at all, in any order, and nothing else.",
        ),
        Key::optional(
            "logs",
            Kind::List(&Kind::Mapping(&happenings::LOGS)),
            "[{text: Failed to scrape node, severity: E, max: 3}]",
            "Which lines metrics-server writes.",
        ),
        Key::optional(
            "events",
            Kind::List(&Kind::Mapping(&happenings::EVENTS)),
            "[{reason: Unhealthy, max: 10}]",
            "Which Kubernetes Events are recorded.",
        ),
        Key::optional(
            "exits",
            Kind::List(&Kind::Mapping(&happenings::EXITS)),
            "[{code: 137, max: 0}]",
            "How processes of metrics-server end.",
        ),
        Key::optional(
            "restarts",
            RESTARTS_OR_BOUNDS,
            "0",
            "How often the container is restarted.",
        ),
        Key::optional(
            "nodes",
            Kind::Named("a node or a group of nodes", &served::SERVICE),
            "{node-1: served}",
            "Which nodes are in the answered lists, and when.",
        ),
        Key::optional(
            "pods",
            Kind::Named("`namespace/name`", &served::SERVICE),
            "{kube-system/coredns: never}",
            "Which pods are in the answered lists, and when.",
        ),
        Key::optional(
            "cause",
            conditions::CAUSE_KIND,
            "connection refused",
            "The first cause in the explanation: a part of its words, or its setting.",
        ),
        Key::optional(
            "causes",
            Kind::List(&conditions::CAUSE),
            "[x509, no such host]",
            "The causes in order. Of a pod that is never Ready, those that would block it next are found by trying what would help.",
        ),
        Key::optional(
            "always",
            Kind::List(&Kind::Mapping(&conditions::STRETCH)),
            "[{podReady: true, from: 40s}]",
            "What holds at every moment.",
        ),
        Key::optional(
            "eventually",
            Kind::List(&Kind::Mapping(&conditions::BY_THEN)),
            "[{podReady: true, by: 50s}]",
            "What holds at some moment, in every run.",
        ),
        Key::optional(
            "never",
            Kind::List(&Kind::Mapping(&conditions::STRETCH)),
            "[{metricsApi: 503, from: 50s}]",
            "What holds at no moment.",
        ),
        Key::optional(
            "sometimes",
            Kind::List(&Kind::Mapping(&conditions::STRETCH)),
            "[{readyz: 200}]",
            "What holds at some moment in at least one of the scenario's runs.",
        ),
        Key::optional(
            "perReplica",
            Kind::Named("a pod, as `metrics-server-2`", &replicas::REPLICA),
            "{metrics-server-2: {timeToReady: {max: 60s}, restarts: 0}}",
            "What must hold of single pods, each taken as if there were no other. Times count from the start of its own process.",
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

/// What somebody gets.
static OUTCOMES: Kind = Kind::List(&Kind::Outcome);

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

/// The quantifiers over conditions.
const MODES: [(&str, Mode); 4] = [
    ("always", Mode::Always),
    ("eventually", Mode::Eventually),
    ("never", Mode::Never),
    ("sometimes", Mode::Sometimes),
];

/// What has been read so far.
#[derive(Default)]
struct Found {
    expectations: Vec<Expectation>,
    mistaken: bool,
}

impl Found {
    fn keep(&mut self, read: Option<Option<Vec<Expectation>>>) {
        match read {
            Some(expectations) => self.expectations.extend(expectations.unwrap_or_default()),
            None => self.mistaken = true,
        }
    }
}

/// Reads expectations of one document.
pub(crate) struct Reader<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) until: Option<Duration>,
    pub(crate) fleet: &'a Fleet,
    /// The names of consumers.
    pub(crate) consumers: &'a [String],
}

impl Reader<'_> {
    /// Reads `expect`.
    pub(crate) fn expectations(
        &self,
        decoder: &mut Decoder,
        item: Item<'_>,
    ) -> Option<Vec<Expectation>> {
        let mut object = decoder.object(item, &EXPECT)?;
        let mut found = Found::default();
        let times = ["timeToReady", "timeToFirstApi200"];
        self.times(decoder, &mut object, &times, &mut found);
        self.happenings(decoder, &mut object, &mut found);
        self.reasons(decoder, &mut object, &mut found);
        self.conditions_over_time(decoder, &mut object, &MODES, &mut found);
        found.keep(object.optional(decoder, "perReplica", |decoder, item| {
            self.replicas(decoder, item)
        }));
        object.finish(decoder);
        (!found.mistaken).then_some(found.expectations)
    }

    fn times(
        &self,
        decoder: &mut Decoder,
        object: &mut Object<'_>,
        times: &[&'static str],
        found: &mut Found,
    ) {
        found.keep(object.optional(decoder, "verdict", |decoder, item| {
            let verdict = word(decoder, item, "a verdict", &VERDICTS)?;
            Some(vec![self.at(item, Claim::Verdict(verdict))])
        }));
        for key in times {
            found.keep(object.optional(decoder, key, |decoder, item| {
                self.milestone(decoder, item, key)
                    .map(|expectation| vec![expectation])
            }));
        }
        found.keep(object.optional(decoder, "milestones", |decoder, item| {
            self.milestones(decoder, item)
        }));
    }

    fn happenings(&self, decoder: &mut Decoder, object: &mut Object<'_>, found: &mut Found) {
        found.keep(self.entries(decoder, object, "responses", Self::responses));
        found.keep(object.optional(decoder, "outcomes", |decoder, item| {
            self.outcomes(decoder, item)
        }));
        found.keep(self.entries(decoder, object, "logs", Self::logs));
        found.keep(self.entries(decoder, object, "events", Self::events));
        found.keep(self.entries(decoder, object, "exits", Self::exits));
        found.keep(object.optional(decoder, "restarts", |decoder, item| {
            let bounds = restarts(decoder, item)?;
            Some(vec![self.at(item, Claim::Restarts(bounds))])
        }));
    }

    fn reasons(&self, decoder: &mut Decoder, object: &mut Object<'_>, found: &mut Found) {
        found.keep(object.optional(decoder, "nodes", |decoder, item| self.nodes(decoder, item)));
        found.keep(object.optional(decoder, "pods", |decoder, item| self.pods(decoder, item)));
        found.keep(object.optional(decoder, "cause", |decoder, item| {
            self.cause(decoder, item, 1).map(|cause| vec![cause])
        }));
        found.keep(object.optional(decoder, "causes", |decoder, item| {
            self.causes(decoder, item)
        }));
    }

    fn conditions_over_time(
        &self,
        decoder: &mut Decoder,
        object: &mut Object<'_>,
        modes: &[(&'static str, Mode)],
        found: &mut Found,
    ) {
        for (key, mode) in modes {
            found.keep(object.optional(decoder, key, |decoder, item| {
                decoder.list(item, |decoder, item| self.condition(decoder, item, *mode))
            }));
        }
    }

    /// A list under `key`, each of whose entries is read by `read`.
    fn entries<'t>(
        &self,
        decoder: &mut Decoder,
        object: &mut Object<'t>,
        key: &'static str,
        read: fn(&Self, &mut Decoder, Item<'_>) -> Option<Vec<Expectation>>,
    ) -> Option<Option<Vec<Expectation>>> {
        object.optional(decoder, key, |decoder, item| {
            let entries = decoder.list(item, |decoder, item| read(self, decoder, item))?;
            Some(entries.into_iter().flatten().collect())
        })
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
        let bounds = Bounds {
            min: min.map(nanos),
            max: max.map(nanos),
        };
        let name = name.to_owned();
        Some(self.at(item, Claim::Milestone { name, bounds }))
    }

    fn outcomes(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let read = decoder.named(item)?.into_iter().map(|entry| {
            let name = Rc::new(Node {
                span: entry.key_span(),
                value: Value::Scalar {
                    text: entry.name.into(),
                    quoted: true,
                },
            });
            let name = Item::named(entry.name, entry.key_span(), &name);
            let observer = observer(decoder, name, self.consumers);
            let outcomes = decoder.list(entry, outcome)?;
            let observer = observer?;
            Some(self.at(entry, Claim::Outcomes { observer, outcomes }))
        });
        let read: Vec<Option<Expectation>> = read.collect();
        read.into_iter().collect()
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

/// Somebody of every cluster, or a consumer of this scenario.
pub(crate) fn observer(
    decoder: &mut Decoder,
    item: Item<'_>,
    consumers: &[String],
) -> Option<String> {
    let own: Vec<&str> = consumers.iter().map(String::as_str).collect();
    let known = || OBSERVERS.iter().map(|(name, _)| *name).chain(own.clone());
    let text = decoder.text(item)?;
    if known().any(|name| name == text) {
        return Some(text.to_owned());
    }
    decoder.unknown(Code::UnknownWord, item, "an observer", known());
    None
}

/// A status code, or the word for a request without one.
pub(crate) fn outcome(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
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
fn restarts(decoder: &mut Decoder, item: Item<'_>) -> Option<Bounds> {
    if item.node.text().is_some() {
        let exactly = decoder.integer(item, 0..=MOST_RESTARTS)?;
        return Some(Bounds::exactly(exactly));
    }
    let mut object = decoder.object(item, &COUNT_BOUNDS)?;
    let min = object.optional(decoder, "min", count);
    let max = object.optional(decoder, "max", count);
    object.finish(decoder);
    let (min, max) = (min?, max?);
    check_bounds(decoder, item, min, max, u64::to_string)?;
    Some(Bounds { min, max })
}

fn says_nothing<T>(decoder: &mut Decoder, item: Item<'_>, help: &str) -> Option<T> {
    let message = format!("`{}` expects nothing", item.name);
    decoder.note(Diagnostic::at(
        Code::SaysNothing,
        item.key_span(),
        message,
        help,
    ));
    None
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
