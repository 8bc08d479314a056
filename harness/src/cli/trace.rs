//! `firstlight trace`: one run's trace as JSON lines.

use std::path::PathBuf;

use clap::Args;
use reports::exit::Exit;

use super::{Engine, complain, output};
use crate::seed::Seed;
use crate::{run, scenario};

/// Which run to trace.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The scenario file
    file: PathBuf,
    /// The run's seed; the scenario's first seed if absent
    #[arg(long)]
    seed: Option<u64>,
    /// What simulates
    #[arg(long, value_enum, default_value_t = Engine::Virtual)]
    engine: Engine,
}

/// Runs the scenario and prints its trace.
pub fn run(arguments: &Arguments) -> Exit {
    let scenario = match scenario::load(&arguments.file) {
        Ok(scenario) => scenario,
        Err(diagnostics) => {
            output::stderr(&diagnostics.render_coloured());
            return Exit::InvalidInput;
        }
    };
    let seed = arguments
        .seed
        .or(scenario.seeds.first().copied())
        .unwrap_or(1);
    match run::play(arguments.engine.simulator(), &scenario, Seed(seed)) {
        Ok(played) => match output::stdout(&played.trace.to_ndjson()) {
            Ok(()) => Exit::Ok,
            Err(error) => complain(
                Exit::Io,
                &format!("cannot write to standard output: {error}"),
            ),
        },
        Err(failure) => complain(failure.exit(), &failure.to_string()),
    }
}
