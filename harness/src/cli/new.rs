//! `firstlight new`: a scenario to begin with.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use reports::exit::Exit;

use super::{complain, output, printed};
use crate::scenario::parse;

/// What to create.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the scenario, and of its file: lower-case letters, digits and dashes
    name: String,
    /// The distribution to build on; `firstlight presets` lists them
    #[arg(long, default_value = "upstream-0.8", value_parser = super::presets::value_parser())]
    preset: String,
    /// Where to put it
    #[arg(long, default_value = "scenarios", value_name = "DIRECTORY")]
    dir: PathBuf,
}

/// The schema's name in a library of scenarios.
const SCHEMA: &str = "scenario.schema.json";

/// Writes the file.
pub fn run(arguments: &Arguments) -> Exit {
    let path = arguments.dir.join(format!("{}.yaml", arguments.name));
    let text = text(&arguments.name, &arguments.preset, &arguments.dir);
    if let Err(mistakes) = parse(&path.display().to_string(), &text) {
        output::stderr(&mistakes.render_coloured());
        return Exit::InvalidInput;
    }
    match write(&path, &text) {
        Ok(()) => printed(output::stdout(&format!(
            "created {0}\nnext: firstlight run {0}\n",
            path.display()
        ))),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => complain(
            Exit::Io,
            &format!("{} exists already: choose another name", path.display()),
        ),
        Err(error) => complain(
            Exit::Io,
            &format!("cannot write {}: {error}", path.display()),
        ),
    }
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    File::create_new(path)?.write_all(text.as_bytes())
}

/// The scenario. Editors are told of the schema where there is one beside or
/// above it.
fn text(name: &str, preset: &str, directory: &Path) -> String {
    let above = ["", "../", "../../"];
    let schema = above
        .iter()
        .find(|above| directory.join(above).join(SCHEMA).is_file())
        .map(|above| format!("# yaml-language-server: $schema={above}{SCHEMA}\n"))
        .unwrap_or_default();
    format!(
        "{schema}\
# Claim: in one sentence, what this scenario shows.
#
# Keys and their meaning: docs/scenario-language.md; what holds without being
# said here: firstlight presets show {preset}
apiVersion: firstlight/v1
kind: Scenario
metadata:
  name: {name}
  description: One healthy node.
  tags: []
preset: {preset}
until: 2m
seeds: 1..20
nodes:
  node-1: {{}}
expect:
  verdict: READY
  timeToReady: {{ max: 60s }}
  restarts: 0
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_gives_a_valid_scenario() {
        for preset in crate::scenario::presets::PRESETS {
            let text = text("first", preset.name, Path::new("nowhere"));
            let scenario = parse("first.yaml", &text).unwrap_or_else(|m| panic!("{m}"));
            assert_eq!(scenario.preset, preset.name);
        }
    }
}
