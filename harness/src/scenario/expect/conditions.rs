//! `always`, `eventually`, `never`, `sometimes`, and `causes`.

use reports::expectation::{Claim, Condition, Expectation, Mode};

use super::{Reader, outcome, says_nothing};
use crate::scenario::code::Code;
use crate::scenario::decoder::{Decoder, Item, Object};
use crate::scenario::diagnostic::Diagnostic;
use crate::scenario::shape::{Choice, Key, Kind, Shape};
use crate::scenario::suggest::choice;
use crate::scenario::timing::{self, answer_filter, text};

/// What can be claimed, as keys of a mapping that also says when.
const fn conditions(from: Key, end: Key) -> [Key; 10] {
    [
        Key::optional(
            "metricsApi",
            Kind::Outcome,
            "200",
            "How a list of nodes through the API server is answered.",
        ),
        Key::optional("readyz", Kind::Outcome, "200", "How `/readyz` is answered."),
        Key::optional(
            "podReady",
            Kind::Boolean,
            "true",
            "Whether the pod is Ready; with several replicas, whether one is.",
        ),
        Key::optional(
            "apiServiceAvailable",
            Kind::Boolean,
            "true",
            "Whether the APIService is Available.",
        ),
        Key::optional(
            "servesNode",
            Kind::Text,
            "node-1",
            "Whether the last answered list holds this node.",
        ),
        Key::optional(
            "servesPod",
            Kind::Text,
            "kube-system/coredns",
            "Whether the last answered list holds this pod.",
        ),
        Key::optional(
            "running",
            Kind::Boolean,
            "true",
            "Whether a process of metrics-server runs.",
        ),
        Key::optional(
            "response",
            Kind::Mapping(&timing::ANSWER),
            "{observer: readiness-probe, outcome: 200}",
            "What an observer is answered.",
        ),
        from,
        end,
    ]
}

const FROM: Key = Key::optional(
    "from",
    Kind::Duration,
    "20s",
    "Only at or after this virtual time.",
);

static STRETCH_KEYS: [Key; 10] = conditions(
    FROM,
    Key::optional(
        "to",
        Kind::Duration,
        "55s",
        "Only before this virtual time.",
    ),
);
pub(super) static STRETCH: Shape = Shape::new(
    "Stretch",
    "Something that is so or not, over a stretch of the run.",
    &STRETCH_KEYS,
)
.choice(Choice::One(&CONDITIONS));

static BY_THEN_KEYS: [Key; 10] = conditions(
    FROM,
    Key::optional("by", Kind::Duration, "55s", "Before this virtual time."),
);
pub(super) static BY_THEN: Shape =
    Shape::new("ByThen", "Something that comes to be so.", &BY_THEN_KEYS)
        .choice(Choice::One(&CONDITIONS));

pub(super) const CAUSE_KIND: Kind = Kind::OneOf(&CAUSE_KINDS);
static CAUSE_KINDS: [Kind; 2] = [Kind::Text, Kind::Mapping(&CAUSE_SHAPE)];
pub(super) static CAUSE: Kind = CAUSE_KIND;

static CAUSE_SHAPE: Shape = Shape::new(
    "Cause",
    "A cause in the explanation.",
    &[
        Key::optional("text", Kind::Text, "no such host", "A part of its words."),
        Key::optional(
            "setting",
            Kind::Text,
            "network.firewall",
            "The setting that governs it as the report names it, what that begins with (`network` means every rule), or a key that the report shows of it (`nodes.pi.kubelet.certificate`).",
        ),
    ],
)
.choice(Choice::Some(&["text", "setting"]));

/// What can be claimed of a stretch of the run.
const CONDITIONS: [&str; 8] = [
    "metricsApi",
    "readyz",
    "podReady",
    "apiServiceAvailable",
    "servesNode",
    "servesPod",
    "running",
    "response",
];

impl Reader<'_> {
    /// One entry of `always`, `eventually`, `never` or `sometimes`.
    pub(super) fn condition(
        &self,
        decoder: &mut Decoder,
        item: Item<'_>,
        mode: Mode,
    ) -> Option<Expectation> {
        let shape = match mode {
            Mode::Eventually => &BY_THEN,
            _ => &STRETCH,
        };
        let mut object = decoder.object(item, shape)?;
        let conditions = self.conditions(decoder, &mut object);
        // Something that is to come about has a time by which, not a stretch.
        let end = match mode {
            Mode::Eventually => "by",
            _ => "to",
        };
        let window = self.window(decoder, &mut object, item, end);
        object.finish(decoder);
        let (conditions, window) = (conditions?, window?);
        let mut conditions = conditions.into_iter();
        match (conditions.next(), conditions.next()) {
            (Some(condition), None) => Some(self.at(
                item,
                Claim::Holds {
                    condition,
                    mode,
                    window,
                },
            )),
            _ => {
                decoder.note(Diagnostic::at(
                    Code::Contradiction,
                    item.key_span(),
                    format!("an entry of `{}` claims exactly one thing", mode.name()),
                    format!(
                        "write one of {}; further claims are further entries",
                        choice(CONDITIONS)
                    ),
                ));
                None
            }
        }
    }

    fn conditions<'t>(
        &self,
        decoder: &mut Decoder,
        object: &mut Object<'t>,
    ) -> Option<Vec<Condition>> {
        let read = [
            object.optional(decoder, "metricsApi", |decoder, item| {
                outcome(decoder, item).map(Condition::MetricsApi)
            }),
            object.optional(decoder, "readyz", |decoder, item| {
                outcome(decoder, item).map(Condition::Readyz)
            }),
            object.optional(decoder, "podReady", |decoder, item| {
                yes_no(decoder, item).map(Condition::PodReady)
            }),
            object.optional(decoder, "apiServiceAvailable", |decoder, item| {
                yes_no(decoder, item).map(Condition::ApiServiceAvailable)
            }),
            object.optional(decoder, "servesNode", |decoder, item| {
                let index = self.fleet.member(decoder, item)?;
                let name = self.fleet.members()[index].name.to_string();
                Some(Condition::ServesNode(name))
            }),
            object.optional(decoder, "servesPod", |decoder, item| {
                text(decoder, item).map(Condition::ServesPod)
            }),
            object.optional(decoder, "running", |decoder, item| {
                yes_no(decoder, item).map(Condition::Running)
            }),
            object.optional(decoder, "response", |decoder, item| {
                let mut object = decoder.object(item, &timing::ANSWER)?;
                let filter = answer_filter(decoder, &mut object, self.consumers);
                object.finish(decoder);
                filter.map(Condition::Response)
            }),
        ];
        let read: Vec<Option<Condition>> = read.into_iter().collect::<Option<_>>()?;
        Some(read.into_iter().flatten().collect())
    }

    /// `causes`: what decided, in order.
    pub(super) fn causes(&self, decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Expectation>> {
        let mut place = 0;
        decoder.list(item, |decoder, item| {
            place += 1;
            self.cause(decoder, item, place)
        })
    }

    /// A part of the cause's words, or these and its setting.
    pub(super) fn cause(
        &self,
        decoder: &mut Decoder,
        item: Item<'_>,
        place: u32,
    ) -> Option<Expectation> {
        if item.node.text().is_some() {
            let claim = Claim::Cause {
                place,
                text: Some(text(decoder, item)?),
                setting: None,
            };
            return Some(self.at(item, claim));
        }
        let mut object = decoder.object(item, &CAUSE_SHAPE)?;
        let words = object.optional(decoder, "text", text);
        let setting = object.optional(decoder, "setting", text);
        object.finish(decoder);
        let (words, setting) = (words?, setting?);
        if words.is_none() && setting.is_none() {
            let help = "write a part of its words as `text`, or the `setting` that governs it";
            return says_nothing(decoder, item, help);
        }
        let claim = Claim::Cause {
            place,
            text: words,
            setting,
        };
        Some(self.at(item, claim))
    }
}

fn yes_no(decoder: &mut Decoder, item: Item<'_>) -> Option<bool> {
    decoder.word(item, &[("true", true), ("false", false)])
}
