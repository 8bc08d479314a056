//! `firstlight run`: simulate and judge.

use std::path::PathBuf;

use clap::Args;
use rayon::prelude::*;
use reports::case::Case;
use reports::exit::{self, Exit, ExitStatus};
use reports::json::Document;
use reports::judgement::{RunJudgement, ScenarioJudgement};
use reports::junit::junit;
use reports::markdown::markdown;
use reports::text::{self, Style};

use super::output::{self, ReportFile};
use super::{Engine, complain, files};
use crate::run::Failure;
use crate::scenario::model::Scenario;
use crate::seed::Seed;
use crate::{brief, run, scenario};

/// What to simulate, and where to report.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Scenario files, or directories to search
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// Run this seed instead of the scenario's own
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these seeds instead of the scenario's own: 7, or 1..50 with both ends
    #[arg(long, value_parser = parse_seeds)]
    seeds: Option<SeedRange>,
    /// Runs at the same time; as many as there are cores if absent
    #[arg(short, long, env = "FIRSTLIGHT_JOBS", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// What simulates
    #[arg(long, value_enum, default_value_t = Engine::Virtual)]
    engine: Engine,
    /// Write a report for other tools: json=PATH, junit=PATH or md=PATH; may be repeated
    #[arg(long = "report", value_name = "FORMAT=PATH", value_parser = parse_report)]
    reports: Vec<ReportOption>,
    /// One line per scenario, and details of what did not pass
    #[arg(short, long)]
    quiet: bool,
}

/// A report that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportOption {
    format: ReportFormat,
    path: PathBuf,
}

/// What a report is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReportFormat {
    /// The result document.
    Json,
    /// A test report for CI systems.
    Junit,
    /// A summary to paste.
    Markdown,
}

/// How formats are called.
const FORMATS: [(&str, ReportFormat); 3] = [
    ("json", ReportFormat::Json),
    ("junit", ReportFormat::Junit),
    ("md", ReportFormat::Markdown),
];

/// Seeds from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SeedRange(u64, u64);

/// The most runs that one scenario may ask for at once.
const MAX_SEEDS: u64 = 1_000_000;

/// Simulates, judges, prints, writes reports.
pub fn run(arguments: &Arguments) -> Exit {
    let files = files::scenario_files(&arguments.paths);
    if files.is_empty() {
        return complain(
            Exit::NothingRun,
            "no scenario files found; name a file or a directory",
        );
    }
    let scenarios = match load_all(&files) {
        Ok(scenarios) => scenarios,
        Err(exit) => return exit,
    };
    let sinks = match open_reports(&arguments.reports) {
        Ok(sinks) => sinks,
        Err(exit) => return exit,
    };
    let mut judgements = match simulate_all(&scenarios, arguments) {
        Ok(judgements) => judgements,
        Err(failure) => return complain(failure.exit(), &failure.to_string()),
    };
    if let ([scenario], [judgement]) = (&*scenarios, &mut *judgements)
        && !arguments.quiet
        && let Err(failure) = try_remedies(arguments.engine, scenario, judgement)
    {
        return complain(failure.exit(), &failure.to_string());
    }
    let status = ExitStatus::worst(exit::causes(&judgements));
    if let Err(error) = print(&judgements, arguments.quiet) {
        return complain(
            Exit::Io,
            &format!("cannot write to standard output: {error}"),
        );
    }
    write_reports(sinks, &judgements, status)
}

/// Writes every report. Returns the exit of `status`, unless a report cannot be
/// written.
pub(super) fn write_reports(
    sinks: Vec<(ReportOption, ReportFile)>,
    judgements: &[ScenarioJudgement],
    status: ExitStatus,
) -> Exit {
    let document = Document::new(judgements, status);
    for (ReportOption { format, path }, sink) in sinks {
        let contents = match format {
            ReportFormat::Json => document.to_json(),
            ReportFormat::Junit => junit(judgements),
            ReportFormat::Markdown => markdown(judgements),
        };
        if let Err(error) = sink.write(&contents) {
            return complain(
                Exit::Io,
                &format!("cannot write {}: {error}", path.display()),
            );
        }
    }
    Exit::ALL
        .into_iter()
        .find(|exit| exit.code() == document.exit.code)
        .unwrap_or(Exit::Internal)
}

/// Loads every scenario, or prints every mistake of every file.
fn load_all(files: &[PathBuf]) -> Result<Vec<Scenario>, Exit> {
    let (mut scenarios, mut wrong) = (Vec::new(), false);
    for file in files {
        match scenario::load(file) {
            Ok(scenario) => {
                output::notes(file, &scenario.notes);
                scenarios.push(scenario);
            }
            Err(diagnostics) => {
                wrong = true;
                output::stderr(&diagnostics.render_coloured());
            }
        }
    }
    if wrong {
        output::stderr("nothing was simulated\n");
        return Err(Exit::InvalidInput);
    }
    Ok(scenarios)
}

/// Opens every report, so that a path that cannot be written is known before
/// anything is simulated.
pub(super) fn open_reports(
    wanted: &[ReportOption],
) -> Result<Vec<(ReportOption, ReportFile)>, Exit> {
    let open = |wanted: &ReportOption| match ReportFile::create(&wanted.path) {
        Ok(file) => Ok((wanted.clone(), file)),
        Err(error) => {
            let path = wanted.path.display();
            let message = format!("cannot write {path}: {error}; nothing was simulated");
            Err(complain(Exit::Io, &message))
        }
    };
    wanted.iter().map(open).collect()
}

/// Runs every scenario with each of its seeds, on as many threads as asked.
/// Each run has a thread to itself while it lasts; results are in the order of
/// the scenarios and seeds, whatever finished first.
fn simulate_all(
    scenarios: &[Scenario],
    arguments: &Arguments,
) -> Result<Vec<ScenarioJudgement>, Failure> {
    let runs: Vec<(usize, u64)> = scenarios
        .iter()
        .enumerate()
        .flat_map(|(index, scenario)| seeds(scenario, arguments).map(move |seed| (index, seed)))
        .collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.jobs.map_or(0, usize::from))
        .build()
        .expect("threads can be started");
    let engine = arguments.engine.simulator();
    let judged: Vec<RunJudgement> = pool.install(|| {
        runs.par_iter()
            .map(|(index, seed)| {
                run::run_on(engine, &scenarios[*index], Seed(*seed)).map(|run| run.judgement)
            })
            .collect::<Result<_, _>>()
    })?;
    let mut judgements: Vec<ScenarioJudgement> = scenarios
        .iter()
        .map(|scenario| ScenarioJudgement {
            case: Case {
                engine: arguments.engine.in_reports(),
                ..brief::case(scenario)
            },
            runs: Vec::new(),
        })
        .collect();
    for ((index, _), judgement) in runs.into_iter().zip(judged) {
        judgements[index].runs.push(judgement);
    }
    Ok(judgements)
}

/// Finds out what would help the run that is shown in full.
fn try_remedies(
    engine: Engine,
    scenario: &Scenario,
    judgement: &mut ScenarioJudgement,
) -> Result<(), Failure> {
    let Some(seed) = judgement.worst().map(|run| run.seed) else {
        return Ok(());
    };
    let tried = run::run_and_try(engine.simulator(), scenario, Seed(seed))?.judgement;
    let mut runs = judgement.runs.iter_mut();
    if let Some(shown) = runs.find(|run| run.seed == seed) {
        *shown = tried;
    }
    Ok(())
}

fn seeds(scenario: &Scenario, arguments: &Arguments) -> Box<dyn Iterator<Item = u64>> {
    match (arguments.seed, arguments.seeds) {
        (Some(seed), _) => Box::new(std::iter::once(seed)),
        (None, Some(SeedRange(first, last))) => Box::new(first..=last),
        (None, None) => Box::new(scenario.seeds.clone().into_iter()),
    }
}

/// Prints a full report per scenario, of the run that went worst, and a
/// summary where there are several.
fn print(judgements: &[ScenarioJudgement], quiet: bool) -> std::io::Result<()> {
    // Colours are always written; the stream drops them where they are not wanted.
    let style = Style::COLOUR;
    let mut page = String::new();
    if !quiet {
        for scenario in judgements {
            if let Some(run) = scenario.worst() {
                page.push_str(&text::report(&scenario.case, run, style));
                page.push('\n');
            }
        }
    }
    if quiet || judgements.len() > 1 || judgements.iter().any(|scenario| scenario.runs.len() > 1) {
        page.push_str(&text::library(judgements, style));
    }
    output::stdout(&page)
}

fn parse_seeds(text: &str) -> Result<SeedRange, String> {
    let number = |part: &str| {
        part.parse::<u64>()
            .map_err(|_| format!("`{part}` is not a seed; write 7 or 1..50"))
    };
    let (first, last) = match text.split_once("..") {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("`{text}` is empty; the first seed comes first"));
    }
    if last - first >= MAX_SEEDS {
        return Err(format!("`{text}` is more than {MAX_SEEDS} seeds"));
    }
    Ok(SeedRange(first, last))
}

pub(super) fn parse_report(text: &str) -> Result<ReportOption, String> {
    let forms = || FORMATS.map(|(name, _)| format!("{name}=PATH")).join(", ");
    let Some((format, path)) = text.split_once('=') else {
        return Err(format!(
            "`{text}` names no format; write one of {}",
            forms()
        ));
    };
    let known = FORMATS.iter().find(|(name, _)| *name == format);
    match known {
        Some((name, _)) if path.is_empty() => Err(format!("name a file: {name}=PATH")),
        Some((_, format)) => Ok(ReportOption {
            format: *format,
            path: PathBuf::from(path),
        }),
        None => Err(format!(
            "there is no format `{format}`; write one of {}",
            forms()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_one_or_a_range_with_both_ends() {
        assert_eq!(parse_seeds("7"), Ok(SeedRange(7, 7)));
        assert_eq!(parse_seeds("1..50"), Ok(SeedRange(1, 50)));
        for wrong in ["", "x", "5..1", "1..x", "0..99999999999"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_report_has_a_format_and_a_path() {
        let wanted = |format, path: &str| ReportOption {
            format,
            path: PathBuf::from(path),
        };
        let json = wanted(ReportFormat::Json, "a=b.json");
        assert_eq!(parse_report("json=a=b.json"), Ok(json));
        let junit = wanted(ReportFormat::Junit, "out/junit.xml");
        assert_eq!(parse_report("junit=out/junit.xml"), Ok(junit));
        for wrong in ["out.json", "json=", "md=", "html=x"] {
            assert!(parse_report(wrong).is_err(), "{wrong}");
        }
    }
}
