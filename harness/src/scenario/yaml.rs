//! From text to tree. The only file that knows the YAML library.

use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, Options, Spanned};

use super::code::Code;
use super::diagnostic::Diagnostic;
use super::source::{SourceId, Sources, Span};
use super::tree::{Entry, Node, Value, is_null_text};

/// Largest number of scalars, lists and mappings, after expansion of aliases.
/// The largest scenario of the library has some hundred.
const MAX_NODES: usize = 20_000;
/// Deepest nesting. The language itself needs ten levels.
const MAX_DEPTH: usize = 32;
/// Largest number of aliases.
const MAX_ALIASES: usize = 100;

/// Reads the text of `id`.
///
/// # Errors
///
/// The first mistake of syntax: what follows one cannot be trusted.
pub(crate) fn read(sources: &Sources, id: SourceId) -> Result<Rc<Node>, Box<Diagnostic>> {
    let text = sources.text(id);
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| Box::new(explain(&error, text, id)))?;
    let tree = Builder { text, id }.node(raw);
    if tree.is_null() {
        return Err(Box::new(Diagnostic::without_place(
            Code::Empty,
            format!("`{}` contains no scenario", sources.name(id)),
            "begin with `apiVersion: firstlight/v1`, `kind: Scenario`, `metadata`, `preset` and `nodes`",
        )));
    }
    Ok(tree)
}

/// Reads every document of the text of `id`, leaving out empty ones.
///
/// # Errors
///
/// The first mistake of syntax.
pub(crate) fn documents(sources: &Sources, id: SourceId) -> Result<Vec<Rc<Node>>, Box<Diagnostic>> {
    let text = sources.text(id);
    let mut documents = Vec::new();
    for (start, end) in pieces(text) {
        // Everything before is blanked out instead of cut off, so that lines
        // and offsets stay those of the file.
        let blank = text[..start]
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' });
        let piece: String = blank.chain(text[start..end].chars()).collect();
        let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(&piece, options())
            .map_err(|error| Box::new(explain(&error, text, id)))?;
        let tree = Builder { text, id }.node(raw);
        if !tree.is_null() {
            documents.push(tree);
        }
    }
    Ok(documents)
}

/// Where documents begin and end: between lines that begin with `---` or are
/// `...`, which YAML allows for nothing else.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        let is_marker = |marker: &str| {
            let rest = line.strip_prefix(marker);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        };
        if is_marker("---") || is_marker("...") {
            pieces.push((start, at));
            start = at + "---".len();
        }
        at += line.len();
    }
    pieces.push((start, text.len()));
    pieces.retain(|(start, end)| !text[*start..*end].trim().is_empty());
    pieces
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_merge_keys: MAX_ALIASES,
            max_recorded_anchor_events: 4 * MAX_NODES,
            // A second document has a message of its own.
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 4 * MAX_NODES,
            max_replay_stack_depth: 8,
        },
        with_snippet: false,
        // Repeated keys are found by the decoder, all of them at once.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        reject_unsupported_tags: true,
        strict_booleans: true,
    }
}

/// What the library hands over. Its idea of a scalar's type is dropped: the
/// text is read again from the source.
enum Raw {
    Null,
    Text(String),
    Typed,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// Turns the library's locations into ours.
struct Builder<'a> {
    text: &'a str,
    id: SourceId,
}

impl Builder<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Rc<Node> {
        let span = self.span(raw.defined);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Text(text) => self.scalar(span, Some(&text)),
            Raw::Typed => self.scalar(span, None),
            Raw::List(items) => {
                Value::List(items.into_iter().map(|item| self.node(item)).collect())
            }
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| self.entry(key, value))
                    .collect(),
            ),
        };
        Rc::new(Node {
            span: self.first_line(span),
            value,
        })
    }

    fn entry(&self, key: Spanned<String>, value: Spanned<Raw>) -> Entry {
        Entry {
            key: key.value.into(),
            key_span: self.first_line(self.span(key.defined)),
            value: self.node(value),
        }
    }

    /// A plain scalar on one line is taken as it is written: `1.50` stays
    /// `1.50`, `020` stays `020`.
    fn scalar(&self, span: Span, parsed: Option<&str>) -> Value {
        let written = self.text.get(span.start..span.end).unwrap_or("");
        let quoted = written.starts_with(['"', '\'', '|', '>'])
            || parsed.is_some_and(|text| text.contains('\n'));
        let text = match parsed {
            Some(parsed) if quoted || written.contains('\n') => parsed,
            _ => written,
        };
        Value::Scalar {
            text: text.into(),
            quoted: quoted || is_null_text(text),
        }
    }

    fn span(&self, location: Location) -> Span {
        let span = location.span();
        let byte = |value: Option<u64>| {
            value
                .and_then(|value| usize::try_from(value).ok())
                .unwrap_or(0)
        };
        let start = byte(span.byte_offset()).min(self.text.len());
        let end = (start + byte(span.byte_len())).min(self.text.len());
        Span {
            source: self.id,
            start,
            end,
        }
    }

    /// Underlining stops at the end of the line.
    fn first_line(&self, span: Span) -> Span {
        let shown = self.text.get(span.start..span.end).unwrap_or("");
        let length = shown.find(['\n', '\r']).unwrap_or(shown.len());
        Span {
            end: span.start + length,
            ..span
        }
    }
}

/// The library's error in our words: what is wrong and what to do.
fn explain(error: &Error, text: &str, id: SourceId) -> Diagnostic {
    let mut error = error.without_snippet();
    while let Error::AliasError { error: inner, .. } = error {
        error = inner.without_snippet();
    }
    let location = error.location();
    let place = location.map_or(Span::beginning(id), |location| {
        character(text, id, location)
    });
    let line = location.map_or(0, |location| location.line());
    if let Error::Budget { .. }
    | Error::AliasReplayLimitExceeded { .. }
    | Error::AliasExpansionLimitExceeded { .. }
    | Error::AliasReplayStackDepthExceeded { .. } = error
    {
        return too_complex(place);
    }
    let message = match error {
        Error::MultipleDocuments { .. } => {
            "the file contains more than one YAML document".to_owned()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            "an alias refers to a value that contains it".to_owned()
        }
        Error::NullIntoString { .. } | Error::Unexpected { .. } => {
            "a key must be a single word".to_owned()
        }
        other => without_position(&other.to_string()),
    };
    if message.contains("limit") || message.contains("depth") || message.contains("nesting") {
        return too_complex(place);
    }
    let help = syntax_help(
        error,
        &message,
        text.lines()
            .nth((line as usize).saturating_sub(1))
            .unwrap_or(""),
    );
    Diagnostic::at(Code::NotYaml, place, format!("not YAML: {message}"), help)
}

fn too_complex(place: Span) -> Diagnostic {
    Diagnostic::at(
        Code::TooComplex,
        place,
        "the YAML is nested or repeated beyond what a scenario needs",
        format!(
            "stay below {MAX_NODES} values, {MAX_DEPTH} levels and {MAX_ALIASES} aliases; \
             many equal nodes are one entry with `count`"
        ),
    )
}

fn syntax_help(error: &Error, message: &str, line: &str) -> &'static str {
    let indentation = &line[..line.len() - line.trim_start().len()];
    if indentation.contains('\t') || message.contains("tab") {
        return "indent with spaces: YAML does not allow tabs there";
    }
    match error {
        Error::MultipleDocuments { .. } => {
            return "write one scenario per file, without a second `---`";
        }
        Error::UnknownAnchor { .. } => {
            return "a value that begins with `*` needs quotes, or an anchor of that name above";
        }
        _ => {}
    }
    if message.contains("unclosed") || message.contains("unterminated") {
        "close it, on the same line if possible"
    } else if message.contains("tag") {
        "remove the tag, the word that begins with `!`: the language has none"
    } else if message.contains("single word") {
        "write `key: value` with a plain word as the key"
    } else {
        "check the indentation of this line and of the one before; a value that contains `: ` or ` #`, \
         or begins with one of `*&!|>%@`, needs quotes"
    }
}

/// Cuts the position off a message, which shows it elsewhere.
fn without_position(message: &str) -> String {
    let first = message.lines().next().unwrap_or("");
    let cut = first.rfind(" at line ").unwrap_or(first.len());
    first[..cut].to_owned()
}

/// The token at a line and column, or one character where there is none.
fn character(text: &str, id: SourceId, location: Location) -> Span {
    let number = |value: u64| {
        usize::try_from(value)
            .unwrap_or(usize::MAX)
            .saturating_sub(1)
    };
    let line_start = text
        .split_inclusive('\n')
        .take(number(location.line()))
        .map(str::len)
        .sum::<usize>()
        .min(text.len());
    let line = text[line_start..].lines().next().unwrap_or("");
    let (column, c) = line
        .char_indices()
        .nth(number(location.column()))
        .unwrap_or((line.len(), '\0'));
    let start = line_start + column;
    Span {
        source: id,
        start,
        end: if c == '\0' {
            start
        } else {
            start + c.len_utf8()
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::source::SourceId;
    use super::super::tree::tests::{map, node, scalar};
    use super::*;

    fn parsed(text: &str) -> Result<Rc<Node>, Box<Diagnostic>> {
        let mut sources = Sources::default();
        sources.add("test.yaml", text);
        read(&sources, SourceId::FILE)
    }

    fn flow(text: &str) -> String {
        parsed(text).expect("valid").to_flow()
    }

    #[test]
    fn plain_scalars_keep_the_text_as_written() {
        assert_eq!(
            flow("a: 1.50\nb: 020\nc: true\nd: 1e999\ne: .nan"),
            "{a: 1.50, b: 020, c: true, d: 1e999, e: \".nan\"}"
        );
        assert_eq!(
            flow("[2026-11-23T09:00:00Z, 10.0.0.1, ~, null]"),
            "[\"2026-11-23T09:00:00Z\", 10.0.0.1, null, null]"
        );
    }

    #[test]
    fn quoted_scalars_are_texts_even_if_they_look_like_nothing() {
        assert_eq!(
            flow("a: ''\nb: \"null\"\nc: 'it''s'"),
            "{a: \"\", b: \"null\", c: \"it's\"}"
        );
        assert_eq!(
            flow("a: |\n  one\n  two\n"),
            "{a: \"one\\u000Atwo\\u000A\"}"
        );
    }

    #[test]
    fn every_scalar_and_key_knows_its_place() {
        let text = "é: [15s, 'q']\nb: &x {c: *y}\n".replace("*y", "5");
        let tree = parsed(&text).expect("valid");
        let shown = |span: Span| &text[span.start..span.end];
        let list = &tree.entries()[0];
        assert_eq!(shown(list.key_span), "é");
        assert_eq!(shown(list.value.items()[0].span), "15s");
        assert_eq!(shown(list.value.items()[1].span), "'q'");
        assert_eq!(shown(tree.path(&["b", "c"]).expect("there").key_span), "c");
    }

    /// A library that loses places loses them silently: here every key and
    /// every plain scalar of the presets must be found where it says it is.
    #[test]
    fn no_place_of_a_preset_is_lost() {
        fn check(node: &Node, text: &str) -> usize {
            let shown = |span: Span| &text[span.start..span.end];
            if let Value::Scalar {
                text,
                quoted: false,
            } = &node.value
            {
                assert_eq!(shown(node.span), &**text);
            }
            let entries = node.entries().iter().map(|entry| {
                assert_eq!(shown(entry.key_span), &*entry.key);
                1 + check(&entry.value, text)
            });
            let items = node.items().iter().map(|item| check(item, text));
            entries.chain(items).sum()
        }
        let presets = super::super::presets::PRESETS.iter();
        let keys = presets.map(|preset| check(&parsed(preset.text).expect("valid"), preset.text));
        assert!(keys.sum::<usize>() > 150);
    }

    #[test]
    fn documents_keep_their_places_in_the_file() {
        let text = "# é\n---\na: 1\n--- # two\nb: {c: |\n  text\n}\n...\n---\n\n---\n# nothing\n--- {d: 4}\n";
        let text = text.replace("{c: |\n  text\n}", "x");
        let mut sources = Sources::default();
        let id = sources.add("a.yaml", &text);
        let documents = documents(&sources, id).expect("YAML");
        let shown: Vec<String> = documents.iter().map(|tree| tree.to_flow()).collect();
        assert_eq!(shown, ["{a: 1}", "{b: x}", "{d: 4}"]);
        for (tree, key) in documents.iter().zip(["a", "b", "d"]) {
            let span = tree.entries()[0].key_span;
            assert_eq!(&text[span.start..span.end], key);
        }
    }

    #[test]
    fn aliases_and_merge_keys_are_expanded() {
        assert_eq!(
            flow("a: &x {q: 5s}\nb: *x\nc: {<<: *x, r: 1}"),
            "{a: {q: 5s}, b: {q: 5s}, c: {r: 1, q: 5s}}"
        );
    }

    #[test]
    fn bombs_and_towers_are_refused_quickly() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let before = level - 1;
            bomb.push_str(&format!(
                "a{level}: &a{level} [{}]\n",
                vec![format!("*a{before}"); 10].join(", ")
            ));
        }
        for text in [
            bomb,
            "[".repeat(100_000),
            "{a: ".repeat(100_000),
            "- ".repeat(100_000),
        ] {
            let mistake = parsed(&text).expect_err("refused");
            assert_eq!(mistake.code(), Code::TooComplex, "{mistake:?}");
        }
    }

    fn any_tree() -> impl Strategy<Value = Rc<Node>> {
        let text = prop_oneof![
            "[a-z0-9.:-]{0,8}",
            "\\PC{0,8}",
            Just("null".to_owned()),
            "[\\n\\t \"'#]{1,4}"
        ];
        let leaf = prop_oneof![
            1 => Just(()).prop_map(|()| node(Value::Null)),
            5 => (text, any::<bool>()).prop_map(|(text, quoted)| {
                let quoted = quoted || is_null_text(&text);
                node(Value::Scalar { text: text.into(), quoted })
            }),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let entries = proptest::collection::btree_map("[a-zA-Z-]{1,6}", inner.clone(), 0..6);
            prop_oneof![
                proptest::collection::vec(inner, 0..6).prop_map(|items| node(Value::List(items))),
                entries.prop_map(|entries| {
                    let entries: Vec<(&str, Rc<Node>)> = entries
                        .iter()
                        .map(|(key, value)| (key.as_str(), Rc::clone(value)))
                        .collect();
                    map(&entries)
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_tree_survives_rendering_and_reading(tree in any_tree()) {
            let wrapped = map(&[("root", tree)]);
            let text = wrapped.to_flow();
            prop_assert_eq!(parsed(&text).expect("rendered YAML is valid").to_flow(), text);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*|[-\\[\\]{}:,&*!|>'\"%@`# \\n\\ta-c0-1]{0,60}") {
            let _ = parsed(&text);
        }
    }

    #[test]
    fn a_scalar_is_no_mapping() {
        assert_eq!(
            parsed("just text").expect("YAML").to_flow(),
            scalar("\"just text\"").text().expect("text")
        );
    }
}
