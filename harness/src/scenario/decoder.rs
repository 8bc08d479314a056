//! Decoding a tree into values, noting every mistake instead of stopping at
//! the first.
//!
//! A method returns `None` once it has noted why; callers go on with the other
//! fields and put the whole together only if every part is there.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::code::Code;
use super::diagnostic::Diagnostic;
use super::shape::{Key, Kind, Presence, Shape};
use super::source::Span;
use super::suggest::{choice, nearest};
use super::tree::{Entry, Node, Value};

/// What messages call the document itself.
pub(crate) const SCENARIO: &str = "the scenario";

/// What a mapping looks like.
pub(crate) const MAPPING: &str = "a mapping such as `{key: value}`";

/// Collects mistakes.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    found: Vec<Diagnostic>,
}

/// A value and what it is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'t> {
    /// The key it stands under, or its list's.
    pub(crate) name: &'t str,
    key_span: Span,
    /// Whether it is an element of the list of that name.
    is_element: bool,
    /// What the language says it is; `None` for what is not decoded from here.
    kind: Option<&'static Kind>,
    pub(crate) node: &'t Rc<Node>,
}

impl<'t> Item<'t> {
    pub(crate) fn of(entry: &'t Entry) -> Self {
        Self::named(&entry.key, entry.key_span, &entry.value)
    }

    /// A value that stands under no key of its own.
    pub(crate) fn named(name: &'t str, key_span: Span, node: &'t Rc<Node>) -> Self {
        Self {
            name,
            key_span,
            is_element: false,
            kind: None,
            node,
        }
    }

    /// The document itself.
    pub(crate) fn root(node: &'t Rc<Node>) -> Self {
        Self::named(SCENARIO, first_key(node).unwrap_or(node.span), node)
    }

    /// What to underline: the scalar, else the key.
    pub(crate) fn span(self) -> Span {
        match self.node.value {
            Value::Scalar { .. } if !self.node.span.is_empty() => self.node.span,
            _ => self.key_span,
        }
    }

    pub(crate) fn key_span(self) -> Span {
        self.key_span
    }

    /// Checks, where debugging, that it is read as what it is described as.
    #[track_caller]
    pub(crate) fn assert_is(self, such: impl Fn(&Kind) -> bool) {
        debug_assert!(
            self.kind.is_none_or(|kind| kind.is(such)),
            "{} is read as something else than its shape says: {:?}",
            self.shown(),
            self.kind
        );
    }

    /// What messages call it.
    fn shown(self) -> String {
        match self.name {
            SCENARIO => SCENARIO.to_owned(),
            name if self.is_element => format!("an entry of `{name}`"),
            name => format!("`{name}`"),
        }
    }

    /// The elements of a list, each under the list's name.
    fn elements(self) -> impl Iterator<Item = Item<'t>> {
        self.node.items().iter().map(move |node| Item {
            name: self.name,
            is_element: true,
            kind: self.kind.and_then(Kind::element),
            key_span: first_key(node).unwrap_or(if node.span.is_empty() {
                self.key_span
            } else {
                node.span
            }),
            node,
        })
    }
}

/// The first key of a mapping, by which it is recognised in a list.
fn first_key(node: &Node) -> Option<Span> {
    node.entries().first().map(|entry| entry.key_span)
}

/// A mapping whose keys are being asked for one by one.
pub(crate) struct Object<'t> {
    /// What messages call it.
    shown: String,
    at: Span,
    entries: &'t [Entry],
    shape: &'static Shape,
    /// Keys that have been asked for.
    asked: Vec<&'static str>,
}

impl Decoder {
    pub(crate) fn note(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    pub(crate) fn into_found(self) -> Vec<Diagnostic> {
        self.found
    }

    /// How many mistakes have been noted so far.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// Notes a value of the wrong kind; `wanted` reads like "a duration such
    /// as `15s`".
    pub(crate) fn wrong_type<T>(&mut self, item: Item<'_>, wanted: &str) -> Option<T> {
        let got = match &item.node.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        };
        self.note(Diagnostic::at(
            Code::WrongType,
            item.span(),
            format!("{} takes {wanted}, not {got}", item.shown()),
            format!("write {wanted}"),
        ));
        None
    }

    /// A mapping with the keys of `shape`, each of which will be asked for.
    pub(crate) fn object<'t>(
        &mut self,
        item: Item<'t>,
        shape: &'static Shape,
    ) -> Option<Object<'t>> {
        debug_assert!(
            item.kind.is_none_or(|kind| kind.has_shape(shape)),
            "{} is read as a {} and described as {:?}",
            item.shown(),
            shape.name,
            item.kind
        );
        let Value::Map(entries) = &item.node.value else {
            return self.wrong_type(item, MAPPING);
        };
        Some(Object {
            shown: item.shown(),
            at: item.key_span,
            entries,
            shape,
            asked: Vec::new(),
        })
    }

    /// A mapping with freely chosen keys, in order.
    pub(crate) fn named<'t>(&mut self, item: Item<'t>) -> Option<Vec<Item<'t>>> {
        let Value::Map(entries) = &item.node.value else {
            return self.wrong_type(item, MAPPING);
        };
        Some(
            entries
                .iter()
                .filter(|entry| !is_extension(&entry.key))
                .map(|entry| Item {
                    kind: item.kind.and_then(Kind::named),
                    ..Item::of(entry)
                })
                .collect(),
        )
    }

    /// A list, each element read by `read`. All elements are read even if
    /// one is wrong.
    pub(crate) fn list<'t, T>(
        &mut self,
        item: Item<'t>,
        mut read: impl FnMut(&mut Self, Item<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Value::List(_) = &item.node.value else {
            return self.wrong_type(item, "a list such as `[a, b]`");
        };
        let values: Vec<Option<T>> = item.elements().map(|element| read(self, element)).collect();
        values.into_iter().collect()
    }

    /// Any text.
    pub(crate) fn text<'t>(&mut self, item: Item<'t>) -> Option<&'t str> {
        match item.node.text() {
            Some(text) => Some(text),
            None => self.wrong_type(item, "a text"),
        }
    }

    /// One of a fixed choice of words.
    pub(crate) fn word<T: Clone>(
        &mut self,
        item: Item<'_>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        item.assert_is(|kind| match kind {
            Kind::Word(described) => {
                let described = described.iter().map(|(word, _)| *word);
                described.eq(words.iter().map(|(word, _)| *word))
            }
            Kind::Preset => true,
            Kind::Boolean => words.len() == 2,
            _ => false,
        });
        let names = || words.iter().map(|(name, _)| *name);
        let Some(text) = item.node.text() else {
            return self.wrong_type(item, &format!("one of the words {}", choice(names())));
        };
        if let Some((_, value)) = words.iter().find(|(name, _)| *name == text) {
            return Some(value.clone());
        }
        self.unknown(
            Code::UnknownWord,
            item,
            &format!("a value of `{}`", item.name),
            names(),
        );
        None
    }

    /// Notes a word that is none of `candidates`, hence not `what`: "a verdict".
    pub(crate) fn unknown<'a>(
        &mut self,
        code: Code,
        item: Item<'_>,
        what: &str,
        candidates: impl Iterator<Item = &'a str> + Clone,
    ) {
        let text = item.node.text().unwrap_or("");
        let message = format!("`{text}` is not {what}");
        let diagnostic = match nearest(text, candidates.clone()) {
            Some(right) => Diagnostic::at(
                code,
                item.span(),
                message,
                format!("did you mean `{right}`?"),
            )
            .replacement(right),
            None => Diagnostic::at(
                code,
                item.span(),
                message,
                format!("write {}", choice(candidates)),
            ),
        };
        self.note(diagnostic);
    }
}

/// Keys that begin with `x-` are the author's own and never read.
pub(crate) fn is_extension(key: &str) -> bool {
    key.starts_with("x-")
}

impl<'t> Object<'t> {
    /// The entry under `key`, whatever it holds.
    pub(crate) fn item(&mut self, key: &'static str) -> Option<Item<'t>> {
        let described = self.shape.key(key);
        debug_assert!(
            described.is_some(),
            "the shape {} lacks `{key}`",
            self.shape.name
        );
        self.asked.push(key);
        let entry = self.entries.iter().find(|entry| &*entry.key == key)?;
        Some(Item {
            kind: described.map(|key| &key.kind),
            ..Item::of(entry)
        })
    }

    /// Checks, where debugging, that a key may be missing, or that it must be
    /// there.
    fn assert_presence(&self, key: &str, may_be_missing: bool) {
        debug_assert!(
            self.shape
                .key(key)
                .is_none_or(|key| (key.presence == Presence::Optional) == may_be_missing),
            "`{key}` of {} is optional in one place and required in the other",
            self.shape.name
        );
    }

    /// A key that may be missing or null: outer `None` after a mistake.
    pub(crate) fn optional<T>(
        &mut self,
        decoder: &mut Decoder,
        key: &'static str,
        read: impl FnOnce(&mut Decoder, Item<'t>) -> Option<T>,
    ) -> Option<Option<T>> {
        self.assert_presence(key, true);
        match self.item(key) {
            Some(item) if !item.node.is_null() => read(decoder, item).map(Some),
            _ => Some(None),
        }
    }

    /// A key that may be missing, with what that means.
    pub(crate) fn or<T>(
        &mut self,
        decoder: &mut Decoder,
        key: &'static str,
        default: T,
        read: impl FnOnce(&mut Decoder, Item<'t>) -> Option<T>,
    ) -> Option<T> {
        self.optional(decoder, key, read)
            .map(|value| value.unwrap_or(default))
    }

    /// A key that must be there.
    pub(crate) fn required<T>(
        &mut self,
        decoder: &mut Decoder,
        key: &'static str,
        read: impl FnOnce(&mut Decoder, Item<'t>) -> Option<T>,
    ) -> Option<T> {
        self.assert_presence(key, false);
        self.needed(decoder, key, read)
    }

    /// A key that must be there in this case, though not in every one.
    pub(crate) fn needed<T>(
        &mut self,
        decoder: &mut Decoder,
        key: &'static str,
        read: impl FnOnce(&mut Decoder, Item<'t>) -> Option<T>,
    ) -> Option<T> {
        match self.item(key) {
            Some(item) if item.node.is_null() => {
                decoder.note(Diagnostic::at(
                    Code::MissingKey,
                    item.key_span(),
                    format!("`{key}` needs a value"),
                    format!("write a value after `{key}:`, or remove the line to keep what the preset says"),
                ));
                None
            }
            Some(item) => read(decoder, item),
            None => {
                decoder.note(Diagnostic::at(
                    Code::MissingKey,
                    self.at,
                    format!("{} lacks the key `{key}`", self.shown),
                    format!("add `{key}:` to it"),
                ));
                None
            }
        }
    }

    /// Notes a key that must not be there in this case.
    pub(crate) fn exclude(&mut self, decoder: &mut Decoder, key: &'static str, why: &str) {
        if let Some(item) = self.item(key).filter(|item| !item.node.is_null()) {
            let message = format!("{} cannot have `{key}`", self.shown);
            let help = format!("remove it: {why}");
            let diagnostic = Diagnostic::at(Code::Contradiction, item.key_span(), message, help);
            decoder.note(diagnostic);
        }
    }

    /// Notes keys that the language does not have.
    pub(crate) fn finish(self, decoder: &mut Decoder) {
        let unread = |key: &&Key| !self.asked.contains(&key.name);
        debug_assert!(
            !self.shape.keys.iter().any(|key| unread(&key)),
            "{} is described with keys that nobody reads: {:?}",
            self.shape.name,
            self.shape.keys.iter().find(unread)
        );
        for entry in self.entries {
            if is_extension(&entry.key) || self.shape.key(&entry.key).is_some() {
                continue;
            }
            let message = format!("unknown key `{}` in {}", entry.key, self.shown);
            // A key that the file has already is no candidate for another.
            let in_file = |key: &str| {
                let mut entries = self.entries.iter();
                entries.any(|other| &*other.key == key && other.key_span.is_in_file())
            };
            let free = self.shape.names().filter(|key| !in_file(key));
            let diagnostic = match nearest(&entry.key, free) {
                Some(right) => {
                    let help = format!("did you mean `{right}`?");
                    Diagnostic::at(Code::UnknownKey, entry.key_span, message, help)
                        .replacement(right)
                }
                None => {
                    let help = format!(
                        "keys of {} are {}; keys that begin with `x-` are ignored",
                        self.shown,
                        choice(self.shape.names())
                    );
                    Diagnostic::at(Code::UnknownKey, entry.key_span, message, help)
                }
            };
            decoder.note(diagnostic);
        }
    }
}

/// Notes every key that stands twice in one mapping, anywhere in the tree.
pub(crate) fn note_duplicate_keys(decoder: &mut Decoder, node: &Node) {
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    for entry in node.entries() {
        if let Some(earlier) = first.get(&*entry.key) {
            let diagnostic = Diagnostic::at(
                Code::DuplicateKey,
                entry.key_span,
                format!("`{}` stands twice", entry.key),
                "keep one of the two",
            );
            decoder.note(
                diagnostic
                    .label("again here")
                    .related(*earlier, "first here"),
            );
        } else {
            first.insert(&entry.key, entry.key_span);
        }
        note_duplicate_keys(decoder, &entry.value);
    }
    for item in node.items() {
        note_duplicate_keys(decoder, item);
    }
}
