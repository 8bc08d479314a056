//! Every scenario of the library, one test each: its expectations hold for
//! each of its seeds, and for all of them together.

use std::path::Path;

use firstlight::seed::Seed;
use firstlight::{brief, cli, run, scenario};
use libtest_mimic::{Arguments, Failed, Trial};
use reports::exit;
use reports::expectation::Outcome;
use reports::judgement::ScenarioJudgement;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let trials = cli::files::scenario_files(std::slice::from_ref(&root))
        .into_iter()
        .map(|file| {
            let name = file
                .strip_prefix(&root)
                .unwrap_or(&file)
                .display()
                .to_string();
            Trial::test(name, move || check(&file))
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn check(file: &Path) -> Result<(), Failed> {
    let scenario = scenario::load(file).map_err(|diagnostics| diagnostics.render())?;
    let mut judged = ScenarioJudgement {
        case: brief::case(&scenario),
        runs: Vec::new(),
    };
    for seed in &scenario.seeds {
        judged
            .runs
            .push(run::run(&scenario, Seed(*seed))?.judgement);
    }
    if judged.outcome() == Outcome::Pass {
        return Ok(());
    }
    let complaints: Vec<String> = exit::causes(std::slice::from_ref(&judged))
        .into_iter()
        .map(|(_, complaint)| complaint)
        .collect();
    Err(complaints.join("\n").into())
}
