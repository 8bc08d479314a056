//! `firstlight check`: validate only.

use std::path::PathBuf;

use clap::Args;
use reports::exit::Exit;

use super::{complain, files, output};
use crate::scenario;

/// What to validate.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Scenario files, or directories to search
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
}

/// Validates every file and prints every mistake.
pub fn run(arguments: &Arguments) -> Exit {
    let files = files::scenario_files(&arguments.paths);
    if files.is_empty() {
        return complain(Exit::NothingRun, "no scenario files found");
    }
    let mut wrong = 0;
    for file in &files {
        if let Err(diagnostics) = scenario::load(file) {
            wrong += 1;
            output::stderr(&diagnostics.render());
        }
    }
    let right = files.len() - wrong;
    let summary = format!("{} checked: {right} right, {wrong} wrong\n", files.len());
    match output::stdout(&summary) {
        Err(error) => complain(
            Exit::Io,
            &format!("cannot write to standard output: {error}"),
        ),
        Ok(()) if wrong > 0 => Exit::InvalidInput,
        Ok(()) => Exit::Ok,
    }
}
