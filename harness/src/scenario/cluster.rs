//! `network`.

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::fleet::Fleet;
use super::model::{Party, PathEffect, PathRule};

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
    let mut object = decoder.object(item)?;
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
    let mut object = decoder.object(item)?;
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
