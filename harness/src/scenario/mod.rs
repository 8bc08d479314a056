//! The scenario language: YAML in, a checked [`model::Scenario`] out, or
//! every mistake at once.
//!
//! In reading order:
//!
//! - [`model`]: what a checked scenario is;
//! - `yaml`: text → `tree`, spans kept; the only place that knows the library;
//! - `document`: preset ⊕ scenario, then decoded part by part by `head`, `server`
//!   (with `pod_start`), `probe`, `fleet`, `node`, `clock`, `node_pods`, `kubelet` (with `certificate`,
//!   `latency`, `payload` and `attempts`), `network`, `dns`, `expect`; what the
//!   control plane is made of by `plane`, with `api_server`, `aggregation`,
//!   `service`, `validity`, `rbac` and `consumers`; `consistency`: whether the
//!   parts go together;
//!   `placement`: taints, and what pods ask of nodes;
//! - `manifest`: a real manifest as a layer between the two;
//! - `layers`: one layer over another;
//! - `changes`: what holds from a later time on, as further layers; `over_time`
//!   lays them over each other, `nodes_over_time` makes nodes of the result;
//! - `shape`: what every mapping looks like;
//! - `timing`: when changes and `actions` come, at a time or at an event;
//! - `decoder`, `scalars`, `values`: reading with all mistakes noted;
//! - [`diagnostic`]: how a mistake is shown;
//! - `settings`: who set what.
//!
//! Layers are merged as trees before anything is decoded, so that a preset, a
//! scenario and each of its changes have one grammar and one set of checks,
//! and every scalar remembers the line that it comes from.

use std::io::Read as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use diagnostic::Diagnostic;
pub use diagnostic::{Code, Diagnostics};
use model::Scenario;
use source::{SourceId, Sources, Span};
pub use timing::Moments;

mod actions;
mod address_plan;
mod aggregation;
mod api_server;
mod args;
mod attempts;
pub(crate) mod certificate;
mod changes;
mod clock;
mod code;
mod consistency;
mod consumers;
mod decoder;
mod deployment;
pub mod diagnostic;
mod dns;
mod document;
mod expect;
mod files;
mod fleet;
mod head;
mod kubelet;
mod latency;
mod layers;
pub mod manifest;
pub mod model;
mod network;
mod node;
mod node_pods;
mod nodes_over_time;
mod over_time;
mod path_checks;
mod payload;
mod placement;
mod plane;
mod pod_start;
pub mod pods;
pub mod presets;
mod probe;
mod rbac;
mod resources;
mod scalars;
mod security;
mod server;
mod service;
mod settings;
pub mod shape;
mod source;
mod suggest;
mod timing;
mod tree;
mod validity;
mod values;
mod vocabulary;
mod yaml;

/// Group, resource and subresource of what `rbac` calls a resource; `None` for
/// a path.
#[must_use]
pub fn rbac_resource(object: &str) -> Option<(&'static str, &'static str, &'static str)> {
    let known = rbac::RESOURCES.iter().find(|(name, ..)| *name == object);
    known.map(|(_, group, resource, subresource)| (*group, *resource, *subresource))
}

/// Largest scenario file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// The path that stands for standard input.
pub const STDIN: &str = "-";

/// Reads and checks the scenario file at `path`, or standard input for
/// [`STDIN`].
///
/// # Errors
///
/// Everything that is wrong with it, in the order of the file. A file that is
/// larger than [`MAX_BYTES`] is refused without being read whole.
pub fn load(path: &Path) -> Result<Scenario, Diagnostics> {
    let name = match path {
        path if path == Path::new(STDIN) => "<stdin>".to_owned(),
        path => path.display().to_string(),
    };
    let refuse = |mistake| Diagnostics::new(Sources::default(), vec![mistake]);
    let bytes = read_limited(path).map_err(|error| {
        refuse(Diagnostic::without_place(
            Code::Unreadable,
            format!("`{name}` cannot be read: {error}"),
            "check that the path names a file that you may read",
        ))
    })?;
    if bytes.len() > MAX_BYTES {
        return Err(refuse(too_large(&name)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse(&name, &text),
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            Err(refuse(Diagnostic::without_place(
                Code::NotUtf8,
                format!("`{name}` is not UTF-8 text: see line {}", line + 1),
                "save the file as UTF-8",
            )))
        }
    }
}

/// At most one byte more than is allowed.
fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_BYTES).expect("1 MiB") + 1;
    let mut bytes = Vec::new();
    if path == Path::new(STDIN) {
        std::io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?
            .take(limit)
            .read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn too_large(name: &str) -> Diagnostic {
    Diagnostic::without_place(
        Code::TooLarge,
        format!("`{name}` is larger than {} KiB", MAX_BYTES / 1024),
        "a scenario is a short text: write many equal nodes as one entry with `count`",
    )
}

/// Checks the scenario `text`. Messages call the file `name`.
///
/// # Errors
///
/// As for [`load`].
pub fn parse(name: &str, text: &str) -> Result<Scenario, Diagnostics> {
    parse_with(name, text, &Moments::new(), None)
}

/// `scenario` with times for its triggers, by their keys: those changes and
/// actions are then among the others.
///
/// # Errors
///
/// If changes contradict each other at these times.
pub fn at_moments(scenario: &Scenario, moments: &Moments) -> Result<Scenario, Diagnostics> {
    let name = scenario.file.display().to_string();
    let layer = scenario.layer.as_deref();
    parse_with(&name, &scenario.text, moments, layer)
}

/// `scenario` with the YAML `layer` laid over it as a change is: mappings
/// merge, arguments replace those of the same flag, anything else replaces.
///
/// # Errors
///
/// What is wrong with the scenario once it is changed like that.
pub fn with_layer(scenario: &Scenario, layer: &str) -> Result<Scenario, Diagnostics> {
    let name = scenario.file.display().to_string();
    parse_with(&name, &scenario.text, &Moments::new(), Some(layer))
}

fn parse_with(
    name: &str,
    text: &str,
    moments: &Moments,
    layer: Option<&str>,
) -> Result<Scenario, Diagnostics> {
    let mut sources = Sources::default();
    if text.len() > MAX_BYTES {
        return Err(Diagnostics::new(sources, vec![too_large(name)]));
    }
    sources.add(name, text);
    if let Some(at) = text.find('\0') {
        let place = Span {
            source: SourceId::FILE,
            start: at,
            end: at + 1,
        };
        let help = "scenarios are text: this looks like a binary file";
        let mistake = Diagnostic::at(Code::NotYaml, place, "not YAML: a zero byte", help);
        return Err(Diagnostics::new(sources, vec![mistake]));
    }
    let digest = reports::trace::hex(&Sha256::digest(text.as_bytes()));
    let knowing = document::Knowing { moments, layer };
    let scenario = document::read(sources, &digest, knowing)?;
    Ok(Scenario {
        layer: layer.map(Into::into),
        ..scenario
    })
}
