//! How many virtual seconds one second of CPU buys, with everything switched
//! on. Run with `just bench`, on an otherwise idle machine.
//!
//! Each scenario is one five-minute start. The best of several runs is
//! printed, in processor time of the thread that runs it: interference only
//! ever makes a run slower.

#![expect(
    clippy::print_stdout,
    reason = "a benchmark's result is what it prints"
)]

use std::path::Path;
use std::time::Duration;

use firstlight::run;
use firstlight::scenario;
use firstlight::seed::Seed;

/// As the command has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Scenario, runs, and the virtual seconds per second to reach.
const CASES: [(&str, u32, f64); 4] = [
    ("one-node-upstream", 20, 8_000.0),
    ("one-node-k3s", 20, 4_000.0),
    ("100-nodes", 5, 1_000.0),
    ("1000-nodes", 2, 60.0),
];

fn main() {
    println!(
        "{:<20} {:>12} {:>12} {:>14} {:>10}",
        "start", "records", "best", "virtual s/s", "target"
    );
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    for (name, runs, target) in CASES {
        if only.is_empty() || only.iter().any(|wanted| name.contains(wanted.as_str())) {
            measure(name, runs, target);
        }
    }
}

fn measure(name: &str, runs: u32, target: f64) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/scenarios/{name}.yaml"));
    let scenario = match scenario::load(&path) {
        Ok(scenario) => scenario,
        Err(diagnostics) => panic!("{diagnostics}"),
    };
    let mut best = Duration::MAX;
    let mut records = 0;
    for seed in 0..u64::from(runs) {
        let (trace, took) = timed(|| run::simulate(&scenario, Seed(seed)));
        records = trace.expect("time moves").records.len();
        best = best.min(took);
    }
    let ratio = scenario.until.as_secs_f64() / best.as_secs_f64();
    println!("{name:<20} {records:>12} {best:>12.1?} {ratio:>14.0} {target:>10.0}");
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = processor_time();
    let result = work();
    (result, processor_time().saturating_sub(before))
}

fn processor_time() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    Duration::from(clock.now().expect("every thread has such a clock"))
}
