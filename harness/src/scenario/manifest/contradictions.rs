//! What a scenario says otherwise than its manifest.

use super::super::args::{flag_name, flags};
use super::super::code::Code;
use super::super::decoder::Decoder;
use super::super::diagnostic::Diagnostic;
use super::super::layers::{ARGS, WITHOUT_ARGS};
use super::super::source::Span;
use super::super::tree::{Entry, Node};

/// Notes every value of `scenario` that `manifest` has otherwise. What the
/// manifest leaves open is no contradiction.
pub(crate) fn note(decoder: &mut Decoder, manifest: &Node, scenario: &Node) {
    for said in manifest.entries() {
        if &*said.key == ARGS
            && let Some(without) = scenario.entry(WITHOUT_ARGS)
        {
            note_left_out(decoder, said, without);
        }
        let Some(own) = scenario.entry(&said.key) else {
            continue;
        };
        if said.value.is_null() {
            continue;
        }
        if &*said.key == ARGS {
            note_args(decoder, said, own);
        } else if said.value.is_one_value() || own.value.is_one_value() {
            if said.value.to_flow() != own.value.to_flow() {
                let values = (said.value.to_flow(), own.value.to_flow());
                let places = (place(said), place(own));
                note_one(decoder, &said.key, values, places);
            }
        } else {
            note(decoder, &said.value, &own.value);
        }
    }
}

fn note_args(decoder: &mut Decoder, said: &Entry, own: &Entry) {
    let said = flags(said.value.items());
    for (flag, value, own_place) in flags(own.value.items()) {
        let other = said.iter().rev().find(|(other, ..)| *other == flag);
        if let Some((_, other, place)) = other.filter(|(_, other, _)| *other != value) {
            let values = ((*other).to_owned(), value.to_owned());
            note_one(decoder, flag, values, (*place, own_place));
        }
    }
}

/// What the manifest gives and the scenario leaves out.
fn note_left_out(decoder: &mut Decoder, said: &Entry, without: &Entry) {
    let said = flags(said.value.items());
    for flag in without.value.items() {
        let name = flag_name(flag.text().unwrap_or(""));
        let given = said.iter().find(|(given, ..)| flag_name(given) == name);
        if let Some((given, value, place)) = given.filter(|_| !name.is_empty()) {
            let values = ((*value).to_owned(), "left out".to_owned());
            note_one(decoder, given, values, (*place, flag.span));
        }
    }
}

fn place(entry: &Entry) -> Span {
    match entry.value.text() {
        Some(_) if !entry.value.span.is_empty() => entry.value.span,
        _ => entry.key_span,
    }
}

fn note_one(
    decoder: &mut Decoder,
    key: &str,
    (said, own): (String, String),
    (there, here): (Span, Span),
) {
    let diagnostic = Diagnostic::at(
        Code::Contradiction,
        here,
        format!("`{key}` is {own} here and {said} in the manifest"),
        "remove it here to keep what the manifest says, or change the manifest",
    );
    decoder.note(diagnostic.related(there, "the manifest says"));
}
