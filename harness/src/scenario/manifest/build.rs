//! Making nodes of a tree.

use std::rc::Rc;

use super::super::source::Span;
use super::super::tree::{Entry, Node, Value};

pub(super) fn mapping(span: Span, entries: Vec<Entry>) -> Rc<Node> {
    Rc::new(Node {
        span,
        value: Value::Map(entries),
    })
}

pub(super) fn scalar(span: Span, text: &str) -> Rc<Node> {
    Rc::new(Node {
        span,
        value: Value::Scalar {
            text: text.into(),
            quoted: false,
        },
    })
}

pub(super) fn list(span: Span, items: Vec<Rc<Node>>) -> Rc<Node> {
    Rc::new(Node {
        span,
        value: Value::List(items),
    })
}

pub(super) fn null(span: Span) -> Rc<Node> {
    Rc::new(Node {
        span,
        value: Value::Null,
    })
}

pub(super) fn entry(key: &str, key_span: Span, value: Rc<Node>) -> Entry {
    Entry {
        key: key.into(),
        key_span,
        value,
    }
}

/// The entry `key` of `node` under another name, or null at `place`.
pub(super) fn renamed(node: &Node, key: &str, name: &str, place: Span) -> Entry {
    match node.entry(key) {
        Some(found) => entry(name, found.key_span, Rc::clone(&found.value)),
        None => entry(name, place, null(place)),
    }
}

/// Keys of `node` that are in none of the lists, each below `path`.
pub(super) fn others(node: &Node, path: &str, known: &[&str]) -> Vec<String> {
    let entries = node.entries().iter();
    let unknown = entries.filter(|entry| !known.contains(&&*entry.key) && !is_empty(&entry.value));
    unknown
        .map(|entry| format!("{path}{}", entry.key))
        .collect()
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Map(entries) => entries.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Scalar { .. } => false,
    }
}
