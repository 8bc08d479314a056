//! The reference page of the language, as Markdown.

use std::collections::BTreeMap;

use super::super::document::SCENARIO_SHAPE;
use super::super::presets::PRESETS;
use super::super::suggest::choice;
use super::super::vocabulary::{FAILURES, names};
use super::examples::{Step, places};
use super::schema::words;
use super::{Choice, Key, Kind, Presence, Shape};

const INTRODUCTION: &str = "\
# The scenario language

<!-- Made from the descriptions beside the decoder; a test compares them. -->

A scenario is one YAML document. It names a preset, says what differs from it, what happens during the run, and what must come of it.
The layers are the preset, then the scenario, then each entry of `changes` from its time on. Mappings are merged key by key; any other value is replaced as a whole. Only `metricsServer.args` are edited flag by flag.

Every key is checked. Keys that begin with `x-` are the author's own and are ignored. `null` removes what the preset says, where a key is marked *may be missing*.

`firstlight schema` prints the JSON Schema of the language for editors: begin a scenario with the line
`# yaml-language-server: $schema=PATH` and name the file there.

";

/// The page.
#[must_use]
pub fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("## Values\n\n| value | how it is written |\n|---|---|\n");
    for (name, how) in scalars() {
        page.push_str(&format!("| {name} | {how} |\n"));
    }
    page.push_str("\n## Mappings\n");
    let used = uses();
    for shape in shapes() {
        mapping(&mut page, shape, &used);
    }
    page
}

/// The mappings, in the order in which a reader meets them.
fn shapes() -> Vec<&'static Shape> {
    let mut shapes: Vec<&'static Shape> = Vec::new();
    for place in places() {
        for step in place.steps {
            if let Step::Key(shape, _) = step
                && !shapes.iter().any(|known| known.name == shape.name)
            {
                shapes.push(shape);
            }
        }
    }
    shapes
}

/// For each mapping, where it stands.
fn uses() -> BTreeMap<&'static str, Vec<String>> {
    let mut uses: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    collect(&SCENARIO_SHAPE, String::new(), &mut uses);
    uses
}

fn collect(shape: &'static Shape, path: String, uses: &mut BTreeMap<&'static str, Vec<String>>) {
    uses.entry(shape.name).or_default().push(path.clone());
    for key in shape.keys {
        let path = match path.as_str() {
            "" => key.name.to_owned(),
            path => format!("{path}.{}", key.name),
        };
        collect_kind(&key.kind, path, uses);
    }
}

fn collect_kind(kind: &'static Kind, path: String, uses: &mut BTreeMap<&'static str, Vec<String>>) {
    match kind {
        Kind::Mapping(shape) | Kind::Change(shape, _) => collect(shape, path, uses),
        Kind::List(element) => collect_kind(element, format!("{path}[]"), uses),
        Kind::Named(_, value) => collect_kind(value, format!("{path}.*"), uses),
        Kind::OneOf(kinds) => {
            for kind in *kinds {
                collect_kind(kind, path.clone(), uses);
            }
        }
        _ => {}
    }
}

/// Places to name before the rest is only counted.
const PLACES: usize = 4;

fn mapping(page: &mut String, shape: &'static Shape, used: &BTreeMap<&'static str, Vec<String>>) {
    page.push_str(&format!("\n### {}\n\n{}\n", shape.name, shape.doc));
    let places = used.get(shape.name).map_or(&[][..], Vec::as_slice);
    if places.iter().any(|place| !place.is_empty()) {
        let mut shown: Vec<String> = places
            .iter()
            .take(PLACES)
            .map(|place| format!("`{place}`"))
            .collect();
        if places.len() > PLACES {
            shown.push(format!("{} more", places.len() - PLACES));
        }
        page.push_str(&format!("Stands at {}.\n", shown.join(", ")));
    }
    for wanted in [shape.choice, shape.also] {
        let (how_many, keys) = match wanted {
            Choice::Free => continue,
            Choice::One(keys) => ("Exactly", keys),
            Choice::Some(keys) => ("At least", keys),
        };
        let keys = choice(keys.iter().copied());
        page.push_str(&format!("{how_many} one of {keys}.\n"));
    }
    page.push_str("\n| key | takes | example | meaning |\n|---|---|---|---|\n");
    for key in shape.keys {
        page.push_str(&row(key));
    }
}

fn row(key: &'static Key) -> String {
    let mut meaning = key.doc.to_owned();
    for (word, what) in words(&key.kind).filter(|(_, what)| !what.is_empty()) {
        meaning.push_str(&format!("<br>`{word}`: {what}"));
    }
    let presence = match key.presence {
        Presence::Required => "required",
        Presence::Given => "from the preset",
        Presence::Optional => "may be missing",
    };
    let fixed = if key.fixed.is_some() {
        ", for the whole run"
    } else {
        ""
    };
    let cells = [
        format!("`{}`", key.name),
        format!("{}; *{presence}{fixed}*", takes(&key.kind)),
        format!("`{}: {}`", key.name, key.example),
        meaning,
    ];
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// What a kind takes, in words.
fn takes(kind: &'static Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Form(what, _) => (*what).to_owned(),
        Kind::Word(words) if words.len() > 6 => "one of the words below".to_owned(),
        Kind::Word(words) => choice(names(words)),
        Kind::Boolean => "`true` or `false`".to_owned(),
        Kind::Integer(from, to) => format!("whole number {from}–{to}"),
        Kind::Duration => "duration".to_owned(),
        Kind::SignedDuration => "signed duration".to_owned(),
        Kind::Cpu => "CPU".to_owned(),
        Kind::Memory => "memory".to_owned(),
        Kind::Share => "share".to_owned(),
        Kind::Drift => "drift".to_owned(),
        Kind::Instant => "instant".to_owned(),
        Kind::Seeds => "seeds".to_owned(),
        Kind::Ip => "IP address".to_owned(),
        Kind::ObjectName => "name".to_owned(),
        Kind::Preset => "preset".to_owned(),
        Kind::Outcome => "outcome".to_owned(),
        Kind::List(element) => format!("list of {}", takes(element)),
        Kind::Mapping(shape) => link(shape),
        Kind::Change(own, rest) => format!("{} and {}", link(own), link(rest)),
        Kind::Named(key, value) => format!("{key}: {}", takes(value)),
        Kind::OneOf(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(takes).collect();
            kinds.join(", or ")
        }
    }
}

fn link(shape: &Shape) -> String {
    format!("[{}](#{})", shape.name, shape.name.to_lowercase())
}

/// The scalars of the language, and how they are written.
fn scalars() -> Vec<(&'static str, String)> {
    let row = |name, how: &str| (name, how.to_owned());
    vec![
        row(
            "duration",
            "numbers with the units `h`, `m`, `s`, `ms`, `us`, `ns`: `90s`, `1m30s`, `1.5h`; a bare `0` is zero",
        ),
        row(
            "signed duration",
            "a duration with a sign if it is negative: `-10m`",
        ),
        row("CPU", "as in Kubernetes: cores `0.5` or thousandths `300m`"),
        row("memory", "as in Kubernetes: `20M`, `128Mi`, `1.5G`"),
        row("share", "per cent: `1%`, `0.05%`"),
        row("drift", "parts per million or billion: `20ppm`, `-300ppb`"),
        row(
            "instant",
            "date and time with a zone: `2026-11-23T09:00:00Z`",
        ),
        row("seeds", "`7`, `1..20` with both ends, or a list of both"),
        row("IP address", "`10.0.0.1`, `fd00::1`"),
        row(
            "name",
            "lower-case letters, digits, `-` and `.`, as Kubernetes allows",
        ),
        ("preset", choice(PRESETS.iter().map(|preset| preset.name))),
        (
            "outcome",
            format!(
                "a status code such as `500`, or {}",
                choice(names(&FAILURES))
            ),
        ),
    ]
}
