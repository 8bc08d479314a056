//! Goal: what one client of the API server waits does not depend on which
//! others there are, so that two scenarios that differ in their consumers can
//! be compared. Method: the times at which metrics-server knows nodes and pods,
//! with few consumers and with many, over several seeds.

use firstlight::run;
use firstlight::scenario::parse;
use firstlight::seed::Seed;
use reports::trace::Event;

/// When the informers are synced, in nanoseconds of virtual time.
fn synced_at(consumers: &str, seed: u64) -> u64 {
    let text = format!(
        "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {{name: t}}\npreset: upstream-0.8\nuntil: 30s\n\
         nodes: {{a: {{}}}}\napiServer: {{latency: {{uniform: [5ms, 500ms]}}}}\nconsumers: {{{consumers}}}\n"
    );
    let scenario = parse("t.yaml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let run = run::run(&scenario, Seed(seed)).unwrap_or_else(|failure| panic!("{failure}"));
    let mut records = run.trace.records.iter();
    let synced = records.find(|record| matches!(record.event, Event::InformersSynced));
    synced.expect("nothing is in the way").t
}

#[test]
fn another_consumer_does_not_change_what_metrics_server_waits() {
    let many = "hpa: {every: 1s}, kubectl-top: {every: 1s}, more: {kind: discovery, every: 1s}";
    for seed in 1..=5 {
        let alone = synced_at("hpa: null, kubectl-top: null", seed);
        assert_eq!(synced_at(many, seed), alone, "seed {seed}");
    }
}
