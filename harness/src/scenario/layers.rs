//! Laying one layer of a scenario over another: a file over its preset, a
//! change over what holds until then.
//!
//! Mappings merge and anything else is replaced, but for metrics-server's
//! arguments: they are edited flag by flag.

use std::rc::Rc;

use super::args::{arguments, flag_name, laid_over};
use super::code::Code;
use super::decoder::Decoder;
use super::diagnostic::Diagnostic;
use super::suggest::{choice, nearest};
use super::tree::{Entry, Node, Value, overlay};

/// The key of the container's arguments.
pub(crate) const ARGS: &str = "args";
/// The key of the flags that are taken out of them.
pub(crate) const WITHOUT_ARGS: &str = "withoutArgs";

/// A whole document laid over another. Flags that are to go and are not there
/// are noted.
pub(crate) fn lay(decoder: &mut Decoder, base: &Rc<Node>, over: &Rc<Node>) -> Rc<Node> {
    let merged = overlay(base, over);
    let key = "metricsServer";
    let (Some(below), Some(above)) = (base.entry(key), over.entry(key)) else {
        return merged;
    };
    let server = lay_server(decoder, &below.value, &above.value);
    with_entry(&merged, above, server)
}

/// One `metricsServer` laid over another.
pub(crate) fn lay_server(decoder: &mut Decoder, base: &Rc<Node>, over: &Rc<Node>) -> Rc<Node> {
    let mut merged = overlay(base, over);
    let (own, without) = (over.entry(ARGS), over.entry(WITHOUT_ARGS));
    let Some(said) = own.or(without) else {
        return merged;
    };
    let is_list = |entry: &Entry| matches!(entry.value.value, Value::List(_));
    let earlier = base.entry(ARGS).filter(|entry| is_list(entry));
    // What is wrong with another value is noted where it is decoded.
    let (Some(earlier), true) = (earlier, own.is_none_or(is_list)) else {
        return merged;
    };
    let own_args = own.map_or(&[][..], |own| own.value.items());
    let given = arguments(own_args);
    let is_not_given = |flag: &&Rc<Node>| {
        let name = flag_name(flag.text().unwrap_or(""));
        given.iter().all(|arg| arg.flag != name)
    };
    if let Some(without) = without {
        // Given and taken out at once is another mistake.
        let alone = without.value.items().iter().filter(is_not_given);
        note_what_is_not_there(decoder, earlier, alone);
    }
    let removed: Vec<&str> = without.map_or_else(Vec::new, |without| {
        let flags = without.value.items().iter().filter_map(|flag| flag.text());
        flags.map(flag_name).collect()
    });
    let args = laid_over(earlier.value.items(), own_args, &removed);
    let place = own.unwrap_or(earlier);
    merged = with_entry(&merged, place, list(place, args));
    // A flag that is given again is not removed any more.
    if let Some(before) = base.entry(WITHOUT_ARGS).filter(|_| without.is_none()) {
        let still = before.value.items().iter().filter(is_not_given);
        let still = still.map(Rc::clone).collect();
        merged = with_entry(&merged, before, list(said, still));
    }
    merged
}

fn note_what_is_not_there<'t>(
    decoder: &mut Decoder,
    earlier: &Entry,
    without: impl Iterator<Item = &'t Rc<Node>>,
) {
    let there = arguments(earlier.value.items());
    let there = there.iter().map(|arg| format!("--{}", arg.flag));
    let there: Vec<String> = there.filter(|flag| flag.len() > 2).collect();
    let known = || there.iter().map(String::as_str);
    for flag in without {
        let text = flag.text().unwrap_or("");
        let name = flag_name(text);
        if name.is_empty() || known().any(|known| flag_name(known) == name) {
            continue;
        }
        let message = format!("there is no argument `{text}` to take out");
        decoder.note(match nearest(text, known()) {
            Some(right) => {
                let help = format!("did you mean `{right}`?");
                Diagnostic::at(Code::SaysNothing, flag.span, message, help).replacement(right)
            }
            None => {
                let help = format!("remove it; there are {}", choice(known()));
                Diagnostic::at(Code::SaysNothing, flag.span, message, help)
            }
        });
    }
}

fn list(place: &Entry, items: Vec<Rc<Node>>) -> Rc<Node> {
    Rc::new(Node {
        span: place.value.span,
        value: Value::List(items),
    })
}

/// `mapping` with `value` under the key of `entry`.
fn with_entry(mapping: &Rc<Node>, entry: &Entry, value: Rc<Node>) -> Rc<Node> {
    let Value::Map(entries) = &mapping.value else {
        return Rc::clone(mapping);
    };
    let mut entries = entries.clone();
    let new = Entry {
        value,
        ..entry.clone()
    };
    match entries.iter_mut().find(|known| known.key == entry.key) {
        Some(known) => *known = new,
        None => entries.push(new),
    }
    Rc::new(Node {
        span: mapping.span,
        value: Value::Map(entries),
    })
}
