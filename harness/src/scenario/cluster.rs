//! `network`.

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::fleet::Fleet;
use super::model::{Party, PathEffect, PathRule};
use super::scalars::{DISTRIBUTION, PORT};
use super::shape::{Choice, Key, Kind, Shape};

/// `network`: rules by name.
pub(crate) const NETWORK: Kind = Kind::Named("a name for the rule", &Kind::Mapping(&PATH_RULE));

static PATH_RULE: Shape = Shape::new(
    "PathRule",
    "What the network does with traffic from one party to another. Parties are `metrics-server`, `apiserver` (one of several is `apiserver-NAME`), `clients`, `nodes` (each of them) and the name of a node. `null` removes a rule.",
    &[
        Key::required("from", Kind::Text, "metrics-server", "Who sends."),
        Key::required("to", Kind::Text, "nodes", "Who receives."),
        Key::optional(
            "direction",
            Kind::Word(&[
                ("to", "only on the way there"),
                ("both", "on the way there and back"),
            ]),
            "both",
            "Which way the rule holds. Default: `to`.",
        ),
        Key::optional(
            "port",
            PORT,
            "10250",
            "Only connections to this port. Missing: all.",
        ),
        Key::required("effect", EFFECT, "drop", "What happens to the traffic."),
    ],
);

const EFFECT: Kind = Kind::OneOf(&EFFECTS);

static EFFECTS: [Kind; 2] = [
    Kind::Word(&[
        ("drop", "it vanishes"),
        ("refuse", "a reset comes back: connection refused"),
        ("reject", "an ICMP rejection comes back: no route to host"),
    ]),
    Kind::Mapping(&EFFECT_SHAPE),
];

static EFFECT_SHAPE: Shape = Shape::new(
    "PathEffect",
    "What happens to traffic that arrives all the same.",
    &[
        Key::optional(
            "delay",
            DISTRIBUTION,
            "50ms",
            "It takes this much longer, one way.",
        ),
        Key::optional(
            "loss",
            Kind::Share,
            "1%",
            "This share of segments is lost and sent again.",
        ),
    ],
)
.choice(Choice::One(&["delay", "loss"]));

/// Reads `network`: rules by name, without those that are null.
pub(crate) fn network(
    decoder: &mut Decoder,
    item: Item<'_>,
    fleet: &Fleet,
) -> Option<Vec<PathRule>> {
    let rules = decoder.named(item)?;
    let read: Vec<Option<PathRule>> = rules
        .into_iter()
        .filter(|rule| !rule.node.is_null())
        .map(|rule| path_rule(decoder, rule, fleet))
        .collect();
    read.into_iter().collect()
}

fn path_rule(decoder: &mut Decoder, item: Item<'_>, fleet: &Fleet) -> Option<PathRule> {
    let mut object = decoder.object(item, &PATH_RULE)?;
    let from = object.required(decoder, "from", |decoder, item| party(decoder, item, fleet));
    let to = object.required(decoder, "to", |decoder, item| party(decoder, item, fleet));
    let both = object.or(decoder, "direction", false, |decoder, item| {
        decoder.word(item, &[("to", false), ("both", true)])
    });
    let port = object.optional(decoder, "port", Decoder::port);
    let effect = object.required(decoder, "effect", effect);
    if from.is_some()
        && from == to
        && from != Some(Party::AllNodes)
        && let Some(item) = object.item("to")
    {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            "the rule leads from a party to itself",
            "choose two different parties: traffic of a machine with itself does not cross the network",
        ));
    }
    object.finish(decoder);
    Some(PathRule {
        name: item.name.to_owned(),
        from: from?,
        to: to?,
        both: both?,
        port: port?,
        effect: effect?,
    })
}

fn party(decoder: &mut Decoder, item: Item<'_>, fleet: &Fleet) -> Option<Party> {
    const PARTIES: [(&str, Party); 4] = [
        ("metrics-server", Party::MetricsServer),
        ("apiserver", Party::ApiServer),
        ("clients", Party::Clients),
        ("nodes", Party::AllNodes),
    ];
    let name = decoder.text(item)?;
    if let Some((_, party)) = PARTIES.iter().find(|(word, _)| *word == name) {
        return Some(party.clone());
    }
    if let Some(index) = fleet.index(name) {
        return Some(Party::Node(index));
    }
    if let Some(index) = fleet.api_server(name) {
        return Some(Party::OneApiServer(index));
    }
    if fleet.members().is_empty() {
        // Then what is wrong with the nodes has been noted already.
        return None;
    }
    let parties = PARTIES.iter().map(|(word, _)| *word);
    decoder.unknown(
        Code::UnknownName,
        item,
        "a party",
        parties
            .chain(fleet.api_servers())
            .chain(fleet.names().take(5)),
    );
    None
}

/// A word, or `{delay: …}` or `{loss: …}`.
fn effect(decoder: &mut Decoder, item: Item<'_>) -> Option<PathEffect> {
    if item.node.entries().is_empty() {
        return decoder.word(
            item,
            &[
                ("drop", PathEffect::Drop),
                ("refuse", PathEffect::Refuse),
                ("reject", PathEffect::Reject),
            ],
        );
    }
    let mut object = decoder.object(item, &EFFECT_SHAPE)?;
    let delay = object.optional(decoder, "delay", Decoder::distribution);
    let loss = object.optional(decoder, "loss", Decoder::share);
    object.finish(decoder);
    match (delay?, loss?) {
        (Some(delay), None) => Some(PathEffect::Delay(delay)),
        (None, Some(loss)) => Some(PathEffect::Loss(loss)),
        _ => {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "a rule must have exactly one effect",
                "keep one of `delay` and `loss`, or write `drop`, `refuse` or `reject`",
            ));
            None
        }
    }
}
