//! The JSON Schema of the language, draft-07: what editors complete and
//! underline by.
//!
//! It refuses what the decoder refuses for its shape, and leaves to the
//! decoder what needs the preset or the rest of the file: names, times within
//! the run, contradictions.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::document::SCENARIO_SHAPE;
use super::super::presets::PRESETS;
use super::super::vocabulary::{FAILURES, names};
use super::super::{source, yaml};
use super::{Choice, Key, Kind, Presence, Shape, Word};

/// The schema of a scenario file.
#[must_use]
pub fn schema() -> Value {
    let mut writer = Writer::default();
    let scenario = writer.shape(&SCENARIO_SHAPE, Mode::Whole);
    let mut document = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "firstlight scenario",
    });
    let root = document.as_object_mut().expect("an object");
    root.extend(reference(&scenario));
    root.insert(
        "definitions".to_owned(),
        writer.definitions.into_iter().collect(),
    );
    document
}

/// The schema as it is committed and printed.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// Whether a mapping stands for itself or refines what holds already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Whole,
    /// In `changes`: nothing must be there, and what cannot change must not.
    Change,
}

#[derive(Default)]
struct Writer {
    /// `Null` while a definition is being written.
    definitions: BTreeMap<String, Value>,
}

fn reference(name: &str) -> Map<String, Value> {
    let link = json!({ "$ref": format!("#/definitions/{name}") });
    // Siblings of `$ref` are ignored in draft-07.
    Map::from_iter([("allOf".to_owned(), json!([link]))])
}

impl Writer {
    /// Writes the definition of `shape`, once; its name.
    fn shape(&mut self, shape: &'static Shape, mode: Mode) -> String {
        let name = match mode {
            Mode::Whole => shape.name.to_owned(),
            Mode::Change => format!("{}Change", shape.name),
        };
        if !self.definitions.contains_key(&name) {
            self.definitions.insert(name.clone(), Value::Null);
            let definition = self.mapping(shape, mode);
            self.definitions.insert(name.clone(), definition);
        }
        name
    }

    fn mapping(&mut self, shape: &'static Shape, mode: Mode) -> Value {
        let keys = shape.keys.iter();
        let keys = keys.filter(|key| mode == Mode::Whole || key.fixed.is_none());
        let properties: Map<String, Value> = keys
            .clone()
            .map(|key| (key.name.to_owned(), self.property(key, mode)))
            .collect();
        let mut mapping = object(shape.doc, properties);
        if mode == Mode::Whole {
            let required: Vec<&str> = keys
                .filter(|key| required(key, mode))
                .map(|key| key.name)
                .collect();
            require(&mut mapping, &required, shape);
        }
        mapping.into()
    }

    /// A change: the keys of `own`, and those of `rest` that can change.
    fn change(&mut self, own: &'static Shape, rest: &'static Shape) -> String {
        let name = own.name.to_owned();
        if !self.definitions.contains_key(&name) {
            self.definitions.insert(name.clone(), Value::Null);
            let mut properties = Map::new();
            for key in own.keys {
                properties.insert(key.name.to_owned(), self.property(key, Mode::Whole));
            }
            for key in rest.keys.iter().filter(|key| key.fixed.is_none()) {
                properties.insert(key.name.to_owned(), self.property(key, Mode::Change));
            }
            let mut mapping = object(own.doc, properties);
            let keys = own.keys.iter();
            let required: Vec<&str> = keys
                .filter(|key| required(key, Mode::Whole))
                .map(|key| key.name)
                .collect();
            require(&mut mapping, &required, own);
            self.definitions.insert(name.clone(), mapping.into());
        }
        name
    }

    fn property(&mut self, key: &'static Key, mode: Mode) -> Value {
        let mut schema = self.kind(&key.kind, mode);
        if matches!(key.kind, Kind::Named(..)) && required(key, mode) {
            schema.insert("minProperties".to_owned(), 1.into());
        }
        if key.presence == Presence::Optional {
            schema = Map::from_iter([("anyOf".to_owned(), json!([schema, { "type": "null" }]))]);
        }
        let mut description = key.doc.to_owned();
        for (word, meaning) in words(&key.kind).filter(|(_, meaning)| !meaning.is_empty()) {
            description.push_str(&format!("\n- `{word}`: {meaning}"));
        }
        schema.insert("description".to_owned(), description.into());
        schema.insert("examples".to_owned(), json!([example(key)]));
        schema.into()
    }

    fn kind(&mut self, kind: &'static Kind, mode: Mode) -> Map<String, Value> {
        let schema = match kind {
            Kind::List(element) => {
                json!({ "type": "array", "items": self.kind(element, Mode::Whole) })
            }
            Kind::Mapping(shape) => return reference(&self.shape(shape, mode)),
            Kind::Change(own, rest) => return reference(&self.change(own, rest)),
            Kind::Named(_, value) => {
                let value = self.kind(value, mode);
                json!({
                    "type": "object",
                    "patternProperties": { "^x-": {} },
                    "additionalProperties": { "anyOf": [value, { "type": "null" }] },
                })
            }
            // A mapping that is one of several kinds of value replaces the
            // whole value, in a change too.
            Kind::OneOf(kinds) => {
                let kinds: Vec<_> = kinds
                    .iter()
                    .map(|kind| self.kind(kind, Mode::Whole))
                    .collect();
                json!({ "anyOf": kinds })
            }
            scalar => scalar_schema(scalar),
        };
        let Value::Object(schema) = schema else {
            unreachable!("every schema is an object")
        };
        schema
    }
}

fn required(key: &Key, mode: Mode) -> bool {
    key.presence == Presence::Required && mode == Mode::Whole
}

fn object(doc: &str, properties: Map<String, Value>) -> Map<String, Value> {
    let object = json!({
        "description": doc,
        "type": "object",
        "properties": properties,
        "patternProperties": { "^x-": {} },
        "additionalProperties": false,
    });
    let Value::Object(object) = object else {
        unreachable!("written as an object")
    };
    object
}

fn require(mapping: &mut Map<String, Value>, required: &[&str], shape: &Shape) {
    if !required.is_empty() {
        mapping.insert("required".to_owned(), json!(required));
    }
    let alternatives = |keys: &[&str]| -> Vec<Value> {
        keys.iter()
            .map(|key| json!({ "required": [key] }))
            .collect()
    };
    let constraint = |choice: Choice| match choice {
        Choice::Free => None,
        Choice::One(keys) => Some(("oneOf", alternatives(keys))),
        Choice::Some(keys) => Some(("anyOf", alternatives(keys))),
    };
    if let Some((word, keys)) = constraint(shape.choice) {
        mapping.insert(word.to_owned(), keys.into());
    }
    if let Some((word, keys)) = constraint(shape.also) {
        mapping.insert("allOf".to_owned(), json!([{ word: keys }]));
    }
}

/// The words of a kind's fixed choices.
pub(super) fn words(kind: &'static Kind) -> impl Iterator<Item = Word> {
    let kinds = kind.alternatives().into_iter();
    kinds.flat_map(|kind| match kind {
        Kind::Word(words) => words.to_vec(),
        _ => Vec::new(),
    })
}

/// The example of a key as JSON.
fn example(key: &Key) -> Value {
    let mut sources = source::Sources::default();
    let id = sources.add("example", key.example);
    let tree = yaml::read(&sources, id).expect("examples are YAML: a test reads them all");
    tree.to_json()
}

fn scalar_schema(kind: &Kind) -> Value {
    const DURATION: &str = r"(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$";
    const NUMBER: &str = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)";
    let text = |pattern: String| json!({ "type": "string", "pattern": pattern });
    let or_number = |pattern: String| json!({ "type": ["string", "number"], "pattern": pattern });
    match kind {
        Kind::Text => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Form(_, pattern) => or_number((*pattern).to_owned()),
        Kind::Word(words) => json!({ "enum": names(words).collect::<Vec<_>>() }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        Kind::Duration => json!({ "anyOf": [text(format!(r"^\+?{DURATION}")), { "const": 0 }] }),
        Kind::SignedDuration => {
            json!({ "anyOf": [text(format!("^[-+]?{DURATION}")), { "const": 0 }] })
        }
        Kind::Cpu => or_number(format!("{NUMBER}[num]?$")),
        Kind::Memory => or_number(format!("{NUMBER}([KMGT]i|[kMGT])?$")),
        Kind::Share => text(format!("{NUMBER}%$")),
        Kind::Drift => json!({ "anyOf": [text("^-?[0-9]+pp[mb]$".to_owned()), { "const": 0 }] }),
        Kind::Instant => text(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]".to_owned()),
        Kind::Seeds => {
            let one = json!([
                { "type": "integer", "minimum": 0 },
                text(r"^[0-9]+(\.\.[0-9]+)?$".to_owned()),
            ]);
            json!({ "anyOf": [{ "anyOf": one }, { "type": "array", "minItems": 1, "items": { "anyOf": one } }] })
        }
        Kind::Ip => {
            json!({ "anyOf": [{ "type": "string", "format": "ipv4" }, { "type": "string", "format": "ipv6" }] })
        }
        Kind::ObjectName => or_number("^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$".to_owned()),
        Kind::Preset => {
            json!({ "enum": PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>() })
        }
        Kind::Outcome => json!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            text("^[1-5][0-9][0-9]$".to_owned()),
            { "enum": names(&FAILURES).collect::<Vec<_>>() },
        ] }),
        Kind::List(_) | Kind::Mapping(_) | Kind::Named(..) | Kind::Change(..) | Kind::OneOf(_) => {
            unreachable!("written by their own functions")
        }
    }
}
