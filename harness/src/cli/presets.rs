//! `firstlight presets`: which presets there are, and what one says.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use reports::exit::Exit;

use super::{output, printed};
use crate::scenario::presets::{self, PRESETS, Preset};

/// What to do with presets; lists them where nothing is said.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a preset with the source of each value, and the presets that it builds on
    Show {
        /// Which
        #[arg(value_parser = value_parser())]
        name: String,
    },
}

/// Reads a preset's name on the command line.
pub(crate) fn value_parser() -> PossibleValuesParser {
    PRESETS
        .iter()
        .map(|preset| preset.name)
        .collect::<Vec<_>>()
        .into()
}

/// Prints the list, or a preset.
pub fn run(arguments: &Arguments) -> Exit {
    let text = match &arguments.command {
        None => list(),
        Some(Command::Show { name }) => show(name),
    };
    printed(output::stdout(&text))
}

/// Name and first sentence of each.
fn list() -> String {
    let width = PRESETS.iter().map(|preset| preset.name.len()).max();
    let width = width.unwrap_or(0);
    let line = |preset: &Preset| format!("{:width$}  {}\n", preset.name, preset.title());
    PRESETS.iter().map(line).collect()
}

/// The preset's text, then those of the presets below it.
fn show(name: &str) -> String {
    let chain = presets::chain(name);
    let texts: Vec<String> = chain
        .iter()
        .map(|preset| format!("# ── {} ──\n{}", preset.name, preset.text))
        .collect();
    texts.join("\n")
}
