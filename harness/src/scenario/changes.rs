//! `changes`: overlays that hold from a time on.

use std::rc::Rc;
use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item, is_extension};
use super::diagnostic::Diagnostic;
use super::document::SCENARIO_SHAPE;
use super::fleet::Fleet;
use super::shape::{Key, Kind, Shape};
use super::source::Span;
use super::suggest::{choice, nearest};
use super::timing::{self, Timed};
use super::tree::{Entry, Node, Value};

/// An entry of `changes`.
pub(crate) static CHANGE_KIND: Kind = Kind::Change(&CHANGE, &SCENARIO_SHAPE);

static CHANGE: Shape = Shape::new(
    "Change",
    "Settings that hold from a time on. Besides its own keys it has those of a scenario that can change, each refining what holds until then.",
    &[
        timing::AT,
        timing::WHEN,
        timing::AFTER,
        timing::NTH,
        Key::optional(
            LASTS,
            Kind::Duration,
            "30s",
            "How long it lasts; then what it set is undone. Missing: to the end.",
        ),
    ],
)
.also(timing::ONE_TIME)
.needs("apiServer: {state: Down}");

/// The keys of a scenario that can change while it runs.
fn changeable() -> impl Iterator<Item = &'static str> + Clone {
    let keys = SCENARIO_SHAPE.keys.iter();
    keys.filter(|key| key.fixed.is_none()).map(|key| key.name)
}

/// How long a change lasts; for ever without it.
const LASTS: &str = "for";

/// One entry of `changes`.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) at: Duration,
    /// How long it lasts; then what it set is as if it had not been.
    pub(crate) lasts: Option<Duration>,
    pub(crate) overlay: Rc<Node>,
}

/// The keys of a node by which it can become one that runs nothing.
const GONE: [&str; 4] = [".ready", ".machine", ".registered", ".taints"];

impl Change {
    /// Whether it may end a pod of metrics-server for good.
    pub(crate) fn may_replace_pods(&self) -> bool {
        let replaces = |path: &str| {
            let of_node = path.starts_with("nodes.") || path.starts_with("nodeDefaults.");
            path.starts_with("metricsServer.")
                || of_node && GONE.iter().any(|key| path.ends_with(key))
        };
        self.leaves().iter().any(|(path, ..)| replaces(path))
    }

    /// What it sets: path, place and value as written.
    pub(crate) fn leaves(&self) -> Vec<(String, Span, String)> {
        let mut leaves = Vec::new();
        for entry in self
            .overlay
            .entries()
            .iter()
            .filter(|entry| changeable().any(|key| key == &*entry.key))
        {
            collect_leaves(&entry.key, entry.key_span, &entry.value, &mut leaves);
        }
        leaves
    }
}

/// Single values, each with its path. A network rule is one setting however
/// many fields it has; an empty mapping is none.
fn collect_leaves(
    path: &str,
    key_span: Span,
    node: &Node,
    leaves: &mut Vec<(String, Span, String)>,
) {
    let is_rule = path.starts_with("network.");
    let is_empty = matches!(&node.value, Value::Map(entries) if entries.is_empty());
    if !is_rule && (is_empty || !node.is_one_value()) {
        for entry in node
            .entries()
            .iter()
            .filter(|entry| !is_extension(&entry.key))
        {
            let path = format!("{path}.{}", entry.key);
            collect_leaves(&path, entry.key_span, &entry.value, leaves);
        }
    } else {
        leaves.push((path.to_owned(), key_span, node.to_flow()));
    }
}

/// Reads `changes`, in order of time.
pub(crate) fn read(
    decoder: &mut Decoder,
    item: Item<'_>,
    fleet: &Fleet,
    reader: timing::Reader<'_>,
) -> Option<Timed<Change>> {
    let changes = decoder.list(item, |decoder, item| {
        let mut object = decoder.object(item, &CHANGE)?;
        let timing = reader.timing(decoder, &mut object, item);
        let lasts = object.optional(decoder, LASTS, lasts);
        let before = decoder.count();
        check_keys(decoder, item);
        if let Some(nodes) = item.node.entry("nodes") {
            for node in decoder.named(Item::of(nodes))? {
                fleet.meant_by(decoder, node);
            }
        }
        let change = Change {
            at: Duration::ZERO,
            lasts: lasts?,
            overlay: Rc::clone(item.node),
        };
        if change.leaves().is_empty() && decoder.count() == before {
            decoder.note(Diagnostic::at(
                Code::SaysNothing,
                item.key_span(),
                "this change changes nothing",
                "add what changes, such as `nodes: {pi: {kubelet: {state: Open}}}`",
            ));
        }
        Some((timing?, change))
    })?;
    let mut changes = Timed::of(changes);
    for (at, change) in &mut changes.due {
        change.at = *at;
    }
    Some(changes)
}

fn lasts(decoder: &mut Decoder, item: Item<'_>) -> Option<Duration> {
    let lasts = decoder.duration(item)?;
    if !lasts.is_zero() {
        return Some(lasts);
    }
    decoder.note(Diagnostic::at(
        Code::SaysNothing,
        item.span(),
        "a change that lasts no time changes nothing",
        "write how long it lasts, or remove `for`: it then lasts to the end",
    ));
    None
}

fn check_keys(decoder: &mut Decoder, item: Item<'_>) {
    for entry in item.node.entries() {
        let key = &*entry.key;
        if CHANGE.key(key).is_some() || is_extension(key) {
            continue;
        }
        if SCENARIO_SHAPE.key(key).is_some() {
            check_entry(decoder, entry, &SCENARIO_SHAPE);
            continue;
        }
        let message = format!("unknown key `{key}` in `changes`");
        let diagnostic = match nearest(key, changeable().chain(CHANGE.names())) {
            Some(right) => {
                let help = format!("did you mean `{right}`?");
                Diagnostic::at(Code::UnknownKey, entry.key_span, message, help).replacement(right)
            }
            None => {
                let own = choice(CHANGE.names());
                let help = format!("besides {own} a change has {}", choice(changeable()));
                Diagnostic::at(Code::UnknownKey, entry.key_span, message, help)
            }
        };
        decoder.note(diagnostic);
    }
}

/// Notes what `shape` says cannot change, here and below.
fn check_entry(decoder: &mut Decoder, entry: &Entry, shape: &'static Shape) {
    let Some(key) = shape.key(&entry.key) else {
        return;
    };
    if let Some(instead) = key.fixed {
        note_fixed(decoder, key.name, entry.key_span, instead);
    } else {
        check_value(decoder, &entry.value, &key.kind);
    }
}

fn check_value(decoder: &mut Decoder, node: &Node, kind: &'static Kind) {
    for kind in kind.alternatives() {
        for entry in node.entries() {
            match kind {
                Kind::Mapping(shape) => check_entry(decoder, entry, shape),
                Kind::Named(_, value) => check_value(decoder, &entry.value, value),
                _ => {}
            }
        }
    }
}

fn note_fixed(decoder: &mut Decoder, key: &str, place: Span, instead: &str) {
    let message = format!("`{key}` cannot change while the scenario runs");
    decoder.note(Diagnostic::at(Code::CannotChange, place, message, instead));
}
