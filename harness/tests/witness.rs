//! An independent witness for the virtual engine: every scenario of at most
//! ten nodes, one test each, runs on turmoil too and comes to the same.
//!
//! On turmoil whatever goes from one machine to another takes a tick, and
//! nothing can spare it that; so it takes as long on the virtual engine here.
//! The two must then agree
//!
//! - exactly on the verdict, the restarts, and who was answered what, in which
//!   words, how often;
//! - within two ticks on every milestone, and on the first and the last time of
//!   each answer. Two, because what machines share in memory, above all the
//!   cluster's objects, turmoil shows to some of them in the next tick.
//!
//! There are two exceptions. Of two requests that reach an API server at the
//! same instant each engine lets another be first and draw the first latency;
//! where answers differ, API servers that take equally long for all of them
//! must make them agree. And where several API servers answer each other
//! through the objects, as when they disagree on an APIService, each round may
//! take turmoil a tick: milestones may be ten ticks apart there, counts of
//! answers may differ by a hundredth, and their times are not compared.
//!
//! As users run it, with nothing taking time from one machine to another, the
//! virtual engine must come to the same verdict.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlight::engine::Simulator;
use firstlight::engine::turmoil::TICK;
use firstlight::scenario::model::{Distribution, Scenario};
use firstlight::seed::Seed;
use firstlight::{cli, run, scenario};
use libtest_mimic::{Arguments, Failed, Trial};
use reports::judgement::RunJudgement;
use reports::response::ResponseRow;

const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");

/// The largest cluster for which turmoil is asked.
const MOST_NODES: usize = 10;

/// How far apart two times may be, in ticks.
const TICKS: u32 = 2;

/// The same where several API servers work on the same objects.
const TICKS_OF_SEVERAL: u32 = 10;

/// Runs end that much later than the scenario says: what happens at its very
/// end, on a full second, would be cut off on one engine and not on the other.
const AFTERWARDS: Duration = Duration::from_millis(500);

fn main() {
    let root = PathBuf::from(SCENARIOS);
    let mut small: Vec<(Duration, PathBuf)> =
        cli::files::scenario_files(std::slice::from_ref(&root))
            .into_iter()
            .filter_map(|file| {
                let scenario = scenario::load(&file).ok()?;
                (scenario.nodes.len() <= MOST_NODES).then_some((scenario.until, file))
            })
            .collect();
    // The longest first, so that no core is left with one of them at the end.
    small.sort_by_key(|(until, _)| Reverse(*until));
    let mut trials = vec![
        Trial::test("the comparison is sharp", check_sharpness),
        Trial::test("the witness is constant", check_constancy),
    ];
    trials.extend(small.into_iter().map(|(_, file)| {
        let name = file.strip_prefix(&root).unwrap_or(&file);
        let name = name.display().to_string();
        Trial::test(name, move || check(&file))
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn check(file: &Path) -> Result<(), Failed> {
    let mut scenario = scenario::load(file).map_err(|diagnostics| diagnostics.render())?;
    scenario.until += AFTERWARDS;
    let [is, witness] = both(&scenario)?;
    complain(&start_up_differences(&scenario, &is, &witness))?;
    let as_users_run_it = judged(Simulator::VIRTUAL, &scenario)?;
    complain(&verdicts_differ(&as_users_run_it, &witness))?;
    if answers_differ(&scenario, &is, &witness).is_empty() {
        return Ok(());
    }
    let scenario = with_even_answers(scenario);
    let [is, witness] = both(&scenario)?;
    complain(&start_up_differences(&scenario, &is, &witness))?;
    complain(&answers_differ(&scenario, &is, &witness))
}

/// The scenario on the virtual engine, where it is as far from one machine to
/// another as on turmoil, and on turmoil.
fn both(scenario: &Scenario) -> Result<[RunJudgement; 2], Failed> {
    Ok([
        judged(Simulator::Virtual { latency: TICK }, scenario)?,
        judged(Simulator::Turmoil, scenario)?,
    ])
}

fn judged(engine: Simulator, scenario: &Scenario) -> Result<RunJudgement, Failed> {
    let seed = Seed(scenario.seeds.first().copied().unwrap_or(1));
    Ok(run::run_on(engine, scenario, seed)?.judgement)
}

fn healthy() -> Result<Scenario, Failed> {
    let file = Path::new(SCENARIOS).join("upstream/healthy-15s.yaml");
    Ok(scenario::load(&file).map_err(|diagnostics| diagnostics.render())?)
}

/// The comparison is sharp enough to tell two milliseconds per packet from one.
fn check_sharpness() -> Result<(), Failed> {
    let scenario = healthy()?;
    let is = judged(Simulator::Virtual { latency: 2 * TICK }, &scenario)?;
    let witness = judged(Simulator::Turmoil, &scenario)?;
    match start_up_differences(&scenario, &is, &witness).len() {
        0..4 => Err("packets that take twice as long should show".into()),
        _ => Ok(()),
    }
}

/// The witness says the same each time that it is asked.
fn check_constancy() -> Result<(), Failed> {
    let scenario = healthy()?;
    let [one, other] = [(); 2].map(|()| judged(Simulator::Turmoil, &scenario));
    match one?.trace_digest == other?.trace_digest {
        true => Ok(()),
        false => Err("the same run differs from itself".into()),
    }
}

/// The scenario with API servers that answer everybody equally fast.
fn with_even_answers(mut scenario: Scenario) -> Scenario {
    for server in &mut scenario.api_servers {
        for (_, behaviour) in &mut server.over_time.0 {
            behaviour.latency = Distribution::Constant(behaviour.latency.median());
        }
    }
    scenario
}

fn complain(differences: &[String]) -> Result<(), Failed> {
    match differences {
        [] => Ok(()),
        differences => Err(differences.join("\n").into()),
    }
}

fn verdicts_differ(is: &RunJudgement, witness: &RunJudgement) -> Vec<String> {
    let (here, there) = (is.finding.verdict, witness.finding.verdict);
    let differ = here != there;
    let words = differ.then(|| format!("verdict: virtual {here:?}, turmoil {there:?}"));
    words.into_iter().collect()
}

/// What the two runs do not agree on, in words.
fn start_up_differences(
    scenario: &Scenario,
    is: &RunJudgement,
    witness: &RunJudgement,
) -> Vec<String> {
    let ticks = match is_written_by_several(scenario) {
        true => TICKS_OF_SEVERAL,
        false => TICKS,
    };
    let mut found = verdicts_differ(is, witness);
    if is.restarts != witness.restarts {
        found.push(format!(
            "restarts: virtual {}, turmoil {}",
            is.restarts, witness.restarts
        ));
    }
    for (milestone, at) in is.milestones.iter() {
        let there = witness.milestones.at(milestone);
        if !near(ticks, at.map(signed), there.map(signed)) {
            found.push(format!(
                "{milestone:?}: virtual {}, turmoil {}",
                shown(at.map(signed)),
                shown(there.map(signed))
            ));
        }
    }
    found
}

/// Who was answered what, in which words.
type Key<'r> = (&'r str, &'r str, &'r str, &'r str);

fn answers_differ(scenario: &Scenario, is: &RunJudgement, witness: &RunJudgement) -> Vec<String> {
    let drifts = is_written_by_several(scenario);
    let agree = |here: &ResponseRow, there: &ResponseRow| {
        let at_once = near(TICKS, Some(here.first_ns), Some(there.first_ns))
            && near(TICKS, Some(here.last_ns), Some(there.last_ns));
        match drifts {
            true => here.count.abs_diff(there.count) <= here.count / 100,
            false => here.count == there.count && at_once,
        }
    };
    let (here, there) = (rows(&is.responses), rows(&witness.responses));
    let keys: BTreeSet<Key<'_>> = here.keys().chain(there.keys()).copied().collect();
    let differing = keys.into_iter().filter_map(|key| {
        let (here, there) = (here.get(&key), there.get(&key));
        let same = matches!((here, there), (Some(here), Some(there)) if agree(here, there));
        (!same).then(|| format!("{key:?}: virtual {}, turmoil {}", told(here), told(there)))
    });
    differing.collect()
}

fn rows(rows: &[ResponseRow]) -> BTreeMap<Key<'_>, &ResponseRow> {
    rows.iter().map(|row| (key(row), row)).collect()
}

fn key(row: &ResponseRow) -> Key<'_> {
    (&row.observer, &row.target, &row.outcome, &row.text)
}

fn told(row: Option<&&ResponseRow>) -> String {
    match row {
        Some(row) => format!(
            "{} times from {} to {}",
            row.count,
            shown(Some(row.first_ns)),
            shown(Some(row.last_ns))
        ),
        None => "never".to_owned(),
    }
}

fn is_written_by_several(scenario: &Scenario) -> bool {
    scenario.api_servers.len() > 1
}

fn near(ticks: u32, one: Option<i64>, other: Option<i64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => u128::from(one.abs_diff(other)) <= (ticks * TICK).as_nanos(),
        (one, other) => one == other,
    }
}

fn signed(ns: u64) -> i64 {
    i64::try_from(ns).expect("a run is shorter than two centuries")
}

fn shown(ns: Option<i64>) -> String {
    match ns {
        Some(ns) => format!("{}.{:06} ms", ns / 1_000_000, (ns % 1_000_000).abs()),
        None => "never".to_owned(),
    }
}
