//! Field selectors: `metadata.name=a,metadata.namespace!=b`.
//!
//! Source: apimachinery `pkg/fields/selector.go`.

use crate::decode::quote::quote;

/// A field selector: every term must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct FieldSelector(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: Field,
    equal: bool,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
}

impl FieldSelector {
    /// Reads a selector; terms are checked in sorted order.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (field, equal, value) = operands(part)
                .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            terms.push((field, equal, unescape(value)?));
        }
        let terms = terms.into_iter().map(|(field, equal, value)| {
            let field = match field {
                "metadata.name" => Field::Name,
                "metadata.namespace" => Field::Namespace,
                other => {
                    return Err(format!(
                        "{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
                        quote(other.as_bytes())
                    ));
                }
            };
            Ok(Term { field, equal, value })
        });
        terms.collect::<Result<_, _>>().map(Self)
    }

    /// Whether an object is selected. The namespace of what has none is empty.
    pub(super) fn matches(&self, name: &str, namespace: &str) -> bool {
        self.0.iter().all(|term| {
            let actual = match term.field {
                Field::Name => name,
                Field::Namespace => namespace,
            };
            (actual == term.value) == term.equal
        })
    }
}

/// Splits at commas that no backslash escapes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The field, whether it must be equal, and the value as written.
fn operands(term: &str) -> Option<(&str, bool, &str)> {
    (0..term.len())
        .filter(|at| term.is_char_boundary(*at))
        .find_map(|at| {
            let (field, rest) = term.split_at(at);
            let operators = [("!=", false), ("==", true), ("=", true)];
            operators
                .into_iter()
                .find_map(|(operator, equal)| Some((field, equal, rest.strip_prefix(operator)?)))
        })
}

fn unescape(value: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                other => {
                    let sequence: String = ['\\'].into_iter().chain(other).collect();
                    return Err(format!(
                        "invalid field selector: invalid escape sequence: {sequence}"
                    ));
                }
            },
            ',' | '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: {character}"
                ));
            }
            _ => plain.push(character),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_namespaces_can_be_selected() {
        for (selector, selected) in [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a", true),
            ("metadata.name=b", false),
            ("metadata.name!=b,metadata.namespace=ns", true),
            ("metadata.namespace!=ns", false),
            ("metadata.name=a\\,b", false),
        ] {
            let parsed = FieldSelector::parse(selector).expect(selector);
            assert_eq!(parsed.matches("a", "ns"), selected, "{selector}");
        }
    }

    #[test]
    fn other_fields_and_broken_terms_are_refused() {
        for (selector, error) in [
            (
                "spec.foo=1",
                r#""spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace""#,
            ),
            ("abc", "invalid selector: 'abc'; can't understand 'abc'"),
            (
                "metadata.name=a=b",
                "invalid field selector: unescaped character in value: =",
            ),
            (
                "metadata.name=\\x",
                "invalid field selector: invalid escape sequence: \\x",
            ),
        ] {
            assert_eq!(
                FieldSelector::parse(selector),
                Err(error.to_owned()),
                "{selector}"
            );
        }
    }
}
