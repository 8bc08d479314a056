//! A YAML document as a tree whose every part knows its place, and layering
//! of one tree over another.

use std::rc::Rc;

use super::files::FILE;
use super::kubelet::SHIFTED;
use super::network::EFFECT_SHAPE;
use super::payload::PAYLOAD_SHAPE;
use super::scalars::DISTRIBUTION_SHAPE;
use super::shape::Shape;
use super::source::Span;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Any other scalar, with its text. Its type is the reader's decision:
    /// `500` is an outcome here and a number there.
    Scalar {
        text: Rc<str>,
        /// Written in quotes or as a block, hence certainly a text.
        quoted: bool,
    },
    /// A sequence.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order of the text.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Rc<str>,
    pub(crate) key_span: Span,
    pub(crate) value: Rc<Node>,
}

impl Node {
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key == key)
    }

    /// The entry under these keys, one mapping inside the other.
    pub(crate) fn path(&self, keys: &[&str]) -> Option<&Entry> {
        let (first, rest) = keys.split_first()?;
        let entry = self.entry(first)?;
        if rest.is_empty() {
            Some(entry)
        } else {
            entry.value.path(rest)
        }
    }

    pub(crate) fn items(&self) -> &[Rc<Node>] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Whether it is one value to its reader: not a mapping of settings, but a
    /// scalar, a list, or a mapping that stands for one value.
    pub(crate) fn is_one_value(&self) -> bool {
        self.entries().is_empty() || is_one_shape(self.entries())
    }

    /// The value as JSON, plain scalars typed as YAML's core schema types
    /// them.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar { text, quoted: true } => (&**text).into(),
            Value::Scalar { text, .. } => scalar_to_json(text),
            Value::List(items) => items.iter().map(|item| item.to_json()).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.to_string(), entry.value.to_json()))
                .collect(),
        }
    }

    /// The value on one line, as YAML in flow style.
    pub(crate) fn to_flow(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Scalar { text, quoted } => scalar_to_flow(text, *quoted),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(|item| item.to_flow()).collect();
                format!("[{}]", items.join(", "))
            }
            Value::Map(entries) => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|entry| {
                        format!(
                            "{}: {}",
                            scalar_to_flow(&entry.key, false),
                            entry.value.to_flow()
                        )
                    })
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }
}

fn scalar_to_json(text: &str) -> serde_json::Value {
    let is_number = text.contains(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    match text {
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        text if is_number => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) => whole.into(),
            (_, Ok(number)) => number.into(),
            _ => text.into(),
        },
        text => text.into(),
    }
}

/// A plain scalar where that is certainly safe, else in double quotes.
fn scalar_to_flow(text: &str, quoted: bool) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./+%".contains(c);
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let signed = text
        .strip_prefix(['-', '+'])
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if !quoted && (begins_well || signed) && text.chars().all(harmless) && !is_null_text(text) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_ascii() && !c.is_ascii_control() => out.push(c),
            c if u32::from(c) <= 0xFFFF => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Whether a plain scalar of this text is YAML's null.
pub(crate) fn is_null_text(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// Mappings that are one value of several possible forms: a layer replaces
/// them as a whole instead of mixing `uniform` with `quantiles`.
static ONE_VALUES: [&Shape; 5] = [
    &DISTRIBUTION_SHAPE,
    &EFFECT_SHAPE,
    &FILE,
    &PAYLOAD_SHAPE,
    &SHIFTED,
];

/// `over` laid over `base`: mappings merge key by key, anything else
/// replaces. Keys of `base` keep their order; new ones follow.
pub(crate) fn overlay(base: &Rc<Node>, over: &Rc<Node>) -> Rc<Node> {
    let (Value::Map(below), Value::Map(above)) = (&base.value, &over.value) else {
        return Rc::clone(over);
    };
    if is_one_shape(below) || is_one_shape(above) {
        return Rc::clone(over);
    }
    let mut merged = below.clone();
    for entry in above {
        match merged.iter_mut().find(|existing| existing.key == entry.key) {
            Some(existing) => {
                *existing = Entry {
                    value: overlay(&existing.value, &entry.value),
                    ..entry.clone()
                }
            }
            None => merged.push(entry.clone()),
        }
    }
    Rc::new(Node {
        span: over.span,
        value: Value::Map(merged),
    })
}

fn is_one_shape(entries: &[Entry]) -> bool {
    let marks = |entry: &Entry| {
        let mut shapes = ONE_VALUES.iter();
        // Pods stand under this key elsewhere too, and merge.
        &*entry.key != "pods" && shapes.any(|shape| shape.key(&entry.key).is_some())
    };
    entries.iter().any(marks)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::source::{SourceId, Span};
    use super::*;

    pub(crate) fn node(value: Value) -> Rc<Node> {
        Rc::new(Node {
            span: Span::beginning(SourceId::FILE),
            value,
        })
    }

    pub(crate) fn scalar(text: &str) -> Rc<Node> {
        node(Value::Scalar {
            text: text.into(),
            quoted: false,
        })
    }

    pub(crate) fn map(entries: &[(&str, Rc<Node>)]) -> Rc<Node> {
        let entries = entries.iter().map(|(key, value)| Entry {
            key: (*key).into(),
            key_span: Span::beginning(SourceId::FILE),
            value: Rc::clone(value),
        });
        node(Value::Map(entries.collect()))
    }

    #[test]
    fn mappings_merge_and_everything_else_is_replaced() {
        let base = map(&[
            ("a", map(&[("x", scalar("1")), ("y", scalar("2"))])),
            ("b", scalar("3")),
        ]);
        let over = map(&[("a", map(&[("y", scalar("5"))])), ("c", node(Value::Null))]);
        assert_eq!(
            overlay(&base, &over).to_flow(),
            "{a: {x: 1, y: 5}, b: 3, c: null}"
        );
    }

    #[test]
    fn a_distribution_is_replaced_as_a_whole() {
        let base = map(&[(
            "latency",
            map(&[("quantiles", map(&[("p0", scalar("1s"))]))]),
        )]);
        let over = map(&[("latency", map(&[("constant", scalar("2s"))]))]);
        assert_eq!(overlay(&base, &over).to_flow(), "{latency: {constant: 2s}}");
    }

    #[test]
    fn an_untouched_branch_is_shared_not_copied() {
        let branch = scalar("1");
        let merged = overlay(
            &map(&[("a", Rc::clone(&branch))]),
            &map(&[("b", scalar("2"))]),
        );
        assert!(Rc::ptr_eq(&merged.entries()[0].value, &branch));
    }
}
