//! The `firstlight` command: arguments in, exit code out.
//!
//! - [`run`]: `firstlight run`, simulate and judge;
//! - [`serve`]: `firstlight serve`, on loopback in real time;
//! - [`trace`]: `firstlight trace`, one run's trace;
//! - [`check`]: `firstlight check`, validate only;
//! - [`new`], [`import`], [`list`], [`presets`], [`schema`]: the library and the language;
//! - [`files`]: which scenario files are meant;
//! - [`output`]: standard output that may be closed, and report files.

pub mod check;
pub mod files;
pub mod import;
pub mod list;
pub mod new;
pub mod output;
pub mod presets;
pub mod run;
pub mod schema;
pub mod serve;
pub mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use reports::exit::Exit;

use crate::engine::Simulator;

/// Replays the cold start of a Kubernetes metrics-server in virtual time:
/// when it is ready, what its users see until then, why, and which setting
/// governs it.
#[derive(Debug, Parser)]
#[command(name = "firstlight", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to use colour; NO_COLOR and CLICOLOR_FORCE are honoured
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true, env = "FIRSTLIGHT_COLOR")]
    color: Color,
}

const EXAMPLES: &str = "\
Examples:
  firstlight run                                     every scenario under scenarios/
  firstlight run scenarios/k3s/first-boot.yaml       one scenario, full report
  firstlight run my.yaml --seeds 1..50 --report json=out.json --report junit=junit.xml
  firstlight trace my.yaml --seed 7 | sha256sum      the digest that the report shows
  firstlight serve my.yaml --kubeconfig k.yaml       the same on loopback, for kubectl
  firstlight new slow-disk --preset k3s-1.36         a scenario to begin with

Exit codes: 0 every expectation held, 1 one did not, 2 usage, 3 invalid scenario,
4 nothing to run, 6 inconclusive, 7 nondeterminism, 70 a defect in firstlight,
74 a file could not be written or an address is taken, 143 SIGTERM.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulate scenarios and judge them
    Run(run::Arguments),
    /// Serve a scenario on loopback in real time: to kubectl, and to any metrics-server
    Serve(serve::Arguments),
    /// Print one run's trace as JSON lines; its SHA-256 is the report's digest
    Trace(trace::Arguments),
    /// Validate scenarios without simulating them
    Check(check::Arguments),
    /// Create a scenario to begin with
    New(new::Arguments),
    /// Make a scenario from a real manifest
    Import(import::Arguments),
    /// List scenarios with what they claim and expect
    List(list::Arguments),
    /// List the presets, or show one with its sources
    Presets(presets::Arguments),
    /// Print the JSON Schema of the scenario language
    Schema,
}

/// What simulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Event by event, in virtual time
    Virtual,
    /// Tick by tick, by the crate turmoil: to check the other. Slow beyond ten nodes
    Turmoil,
}

impl Engine {
    fn simulator(self) -> Simulator {
        match self {
            Self::Virtual => Simulator::VIRTUAL,
            Self::Turmoil => Simulator::Turmoil,
        }
    }

    /// What a report calls it; nothing for the one that goes without saying.
    fn in_reports(self) -> Option<String> {
        match self {
            Self::Virtual => None,
            Self::Turmoil => Some("turmoil".to_owned()),
        }
    }
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Parses the process's arguments, does what they say, and returns the code
/// to exit with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let exit = match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Trace(arguments) => trace::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::New(arguments) => new::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::Presets(arguments) => presets::run(&arguments),
        Command::Schema => schema::run(),
    };
    ExitCode::from(exit.code())
}

/// Prints a message for the user to standard error.
pub(crate) fn complain(exit: Exit, message: &str) -> Exit {
    output::stderr(&format!("error: {message}\n"));
    exit
}

/// The exit after printing what was asked for.
pub(crate) fn printed(result: std::io::Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Ok,
        Err(error) => complain(
            Exit::Io,
            &format!("cannot write to standard output: {error}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
