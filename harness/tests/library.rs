//! Every scenario of the library, one test each: its expectations hold for
//! each of its seeds.

use std::path::Path;

use firstlight::seed::Seed;
use firstlight::{cli, run, scenario};
use libtest_mimic::{Arguments, Failed, Trial};
use reports::expectation::Outcome;

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
    for seed in &scenario.seeds {
        let run = run::run(&scenario, Seed(*seed))?;
        if run.judgement.outcome != Outcome::Pass {
            let complaints: Vec<String> = run
                .judgement
                .complaints()
                .map(|complaint| complaint.to_string())
                .collect();
            return Err(format!("seed {seed}\n{}", complaints.join("\n")).into());
        }
    }
    Ok(())
}
