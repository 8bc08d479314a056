//! A manifest as a scenario of its own: only what differs from a preset.

use std::collections::BTreeSet;

use super::super::args::{Argument, arguments};
use super::super::decoder::Decoder;
use super::super::diagnostic::Diagnostics;
use super::super::layers::{ARGS, WITHOUT_ARGS};
use super::super::presets::{self, PRESETS};
use super::super::source::Sources;
use super::super::tree::Node;

/// What Kubernetes fills in. Source: `pkg/apis/core/v1/defaults.go
/// SetDefaults_Probe`, `pkg/apis/apps/v1/defaults.go SetDefaults_Deployment`.
const FILLED_IN: [(&str, &str); 9] = [
    ("replicas", "1"),
    ("type", "RollingUpdate"),
    ("maxUnavailable", "25%"),
    ("maxSurge", "25%"),
    ("initialDelaySeconds", "0"),
    ("periodSeconds", "10"),
    ("timeoutSeconds", "1"),
    ("successThreshold", "1"),
    ("failureThreshold", "3"),
];

/// What the language takes where a Service or an APIService says nothing.
const USUAL: [(&str, &str); 5] = [
    ("port", "443"),
    ("portName", "https"),
    ("targetPort", "https"),
    ("groupPriorityMinimum", "100"),
    ("versionPriority", "100"),
];

/// A scenario made from a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The scenario, as YAML.
    pub scenario: String,
    /// What the manifest has that is not in it.
    pub notes: Vec<String>,
}

/// Makes a scenario called `name` of the manifest `text`. Without a `preset`
/// it builds on the release manifest of the same release. Messages call the
/// manifest `file`.
///
/// # Errors
///
/// Everything that keeps the manifest from being used.
pub fn import(
    file: &str,
    text: &str,
    name: &str,
    preset: Option<&str>,
) -> Result<Imported, Diagnostics> {
    let mut sources = Sources::default();
    // The scenario that is to be made has the first place.
    sources.add(name, "");
    let id = sources.add_file(file, text);
    let mut decoder = Decoder::default();
    let manifest = super::read(&mut decoder, &sources, id);
    let found = decoder.into_found();
    let Some(manifest) = manifest.filter(|_| found.is_empty()) else {
        return Err(Diagnostics::new(sources, found));
    };
    let preset = preset.unwrap_or_else(|| release_preset(&manifest.layer));
    let base = presets::tree(&mut sources, preset);
    let mut scenario = String::new();
    for note in &manifest.notes {
        scenario.push_str(&format!("# {note}\n"));
    }
    scenario.push_str(&format!(
        "apiVersion: firstlight/v1\nkind: Scenario\nmetadata:\n  name: {name}\npreset: {preset}\n"
    ));
    differences(&manifest.layer, Some(&base), 0, &mut scenario);
    scenario.push_str("nodes:\n  node-1: {}\n");
    Ok(Imported {
        scenario,
        notes: manifest.notes,
    })
}

/// The preset of the release line that the manifest's image is of.
fn release_preset(layer: &Node) -> &'static str {
    let version = layer.path(&["metricsServer", "version"]);
    let version = version.and_then(|entry| entry.value.text()).unwrap_or("");
    let mut line = version.trim_start_matches('v').splitn(3, '.');
    let name = match (line.next(), line.next()) {
        (Some(major), Some(minor)) => format!("upstream-{major}.{minor}"),
        _ => String::new(),
    };
    let known = PRESETS.iter().find(|preset| preset.name == name);
    known.map_or(presets::FALLBACK, |preset| preset.name)
}

/// Writes what `layer` has otherwise than `base`; whether there was anything.
fn differences(layer: &Node, base: Option<&Node>, depth: usize, out: &mut String) -> bool {
    let before = out.len();
    for entry in layer.entries() {
        let below = base
            .and_then(|base| base.entry(&entry.key))
            .map(|entry| &entry.value);
        let indent = "  ".repeat(depth);
        if &*entry.key == ARGS {
            write_args(&entry.value, below.map(|node| &**node), &indent, out);
        } else if entry.value.is_one_value() {
            let value = filled_in(&entry.key, &entry.value);
            let same = match below {
                Some(below) => below.to_flow() == value,
                None => {
                    let usual = USUAL
                        .iter()
                        .any(|(key, usual)| **key == *entry.key && *usual == value);
                    usual || entry.value.is_null()
                }
            };
            if !same {
                out.push_str(&format!("{indent}{}: {value}\n", entry.key));
            }
        } else {
            let heading = format!("{indent}{}:\n", entry.key);
            let start = out.len();
            out.push_str(&heading);
            let below = below.map(|node| &**node);
            if !differences(&entry.value, below, depth + 1, out) {
                out.truncate(start);
            }
        }
    }
    out.len() > before
}

/// What Kubernetes makes of a value that the manifest leaves out.
fn filled_in(key: &str, value: &Node) -> String {
    let default = FILLED_IN.iter().find(|(name, _)| *name == key);
    match default {
        Some((_, default)) if value.is_null() => (*default).to_owned(),
        _ => value.to_flow(),
    }
}

/// An argument as an element of a list in block style, where most need no
/// quotes.
fn argument(arg: &Node) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_=./,+%".contains(c);
    match arg.text() {
        Some(text) if text.starts_with("--") && text.chars().all(harmless) => text.to_owned(),
        _ => arg.to_flow(),
    }
}

/// Only the arguments that differ from the preset's, and the flags of the
/// preset that the manifest lacks.
fn write_args(args: &Node, base: Option<&Node>, indent: &str, out: &mut String) {
    let of_preset = arguments(base.map_or(&[][..], Node::items));
    let own = arguments(args.items());
    let given = |args: &[Argument], flag: &str| -> Vec<String> {
        let these = args.iter().filter(|arg| arg.flag == flag);
        these
            .flat_map(|arg| arg.words.iter().map(|word| argument(word)))
            .collect()
    };
    let differs = |arg: &&Argument| given(&own, &arg.flag) != given(&of_preset, &arg.flag);
    let wanted = own.iter().filter(differs);
    let wanted = wanted.flat_map(|arg| arg.words.iter().map(|word| argument(word)));
    write_list(ARGS, wanted.collect(), indent, out);
    let missing = of_preset.iter().map(|arg| &*arg.flag);
    let missing: BTreeSet<&str> = missing
        .filter(|flag| given(&own, flag).is_empty())
        .collect();
    let missing = missing.into_iter().map(|flag| format!("--{flag}"));
    write_list(WITHOUT_ARGS, missing.collect(), indent, out);
}

/// A list in block style, unless it is empty.
fn write_list(key: &str, items: Vec<String>, indent: &str, out: &mut String) {
    if items.is_empty() {
        return;
    }
    out.push_str(&format!("{indent}{key}:\n"));
    for item in items {
        out.push_str(&format!("{indent}  - {item}\n"));
    }
}
