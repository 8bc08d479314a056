//! Changes and actions that wait for something to happen.

use std::cell::Cell;
use std::time::Duration;

use firstlight::run;
use firstlight::scenario::model::{KubeletState, Scenario};
use firstlight::scenario::{Diagnostics, parse, with_layer};
use firstlight::seed::Seed;
use firstlight::trigger::{Failure, play};
use reports::expectation::Outcome;
use reports::trace::{Event, Record, Trace};

const SEED: Seed = Seed(1);

fn read(rest: &str) -> Result<Scenario, Diagnostics> {
    let head =
        "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {name: test}\npreset: k3s-1.36\n";
    parse(
        "test.yaml",
        &format!("{head}until: 60s\nnodes: {{pi: {{}}}}\n{rest}"),
    )
}

fn scenario(rest: &str) -> Scenario {
    read(rest).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn record(ms: u64, event: Event) -> Record {
    Record {
        t: ms * 1_000_000,
        seq: 0,
        host: "metrics-server".to_owned(),
        event,
    }
}

fn exit(code: i32) -> Event {
    Event::ProcessExited {
        code,
        reason: "Error".to_owned(),
        killed_by: None,
    }
}

/// A pass that exits at 10 s and 20 s, and once more when the kubelet has
/// closed its port.
fn pass(scenario: &Scenario) -> Result<Trace, Failure> {
    let mut records = vec![
        record(2_000, Event::ProcessStarted { restart: 0 }),
        record(10_000, exit(2)),
        record(20_000, exit(2)),
    ];
    let closes = scenario.nodes[0].kubelet.0.iter();
    for (at, _) in closes.filter(|(_, kubelet)| kubelet.state == KubeletState::Closed) {
        let ms = u64::try_from(at.as_millis()).expect("small");
        records.push(record(ms, exit(137)));
    }
    records.sort_by_key(|record| record.t);
    Ok(Trace { records })
}

const CLOSE: &str = "nodes: {pi: {kubelet: {state: Closed}}}";

#[test]
fn a_scenario_without_triggers_is_run_once_and_one_with_two_thrice_at_most() {
    let passes = |rest: &str| {
        let count = Cell::new(0);
        let scenario = scenario(rest);
        let played = play(&scenario, SEED, |scenario| {
            count.set(count.get() + 1);
            pass(scenario)
        });
        let played = played.unwrap_or_else(|failure| panic!("{failure}"));
        (count.get(), played.scenario.triggers.len())
    };
    assert_eq!(passes(""), (1, 0));
    assert_eq!(passes(&format!("changes: [{{at: 5s, {CLOSE}}}]")), (1, 0));
    assert_eq!(
        passes(&format!("changes: [{{when: {{exit: 2}}, {CLOSE}}}]")),
        (2, 0)
    );
    // The second waits for what the first brings about.
    let chain = format!(
        "changes: [{{when: {{exit: 2}}, {CLOSE}}}]\nactions: [{{when: {{exit: 137}}, kill: metrics-server}}]"
    );
    assert_eq!(passes(&chain), (3, 0));
    assert_eq!(
        passes(&format!("changes: [{{when: {{exit: 9}}, {CLOSE}}}]")),
        (1, 1)
    );
}

#[test]
fn a_change_comes_after_its_event_and_is_undone() {
    let rest = format!("changes: [{{when: {{exit: 2}}, nth: 2, after: 1500ms, for: 4s, {CLOSE}}}]");
    let scenario = scenario(&rest);
    let played = play(&scenario, SEED, pass).unwrap_or_else(|failure| panic!("{failure}"));
    let states: Vec<_> = played.scenario.nodes[0]
        .kubelet
        .0
        .iter()
        .map(|(at, kubelet)| (*at, kubelet.state))
        .collect();
    assert_eq!(
        states,
        [
            (Duration::ZERO, KubeletState::Open),
            (Duration::from_millis(21_500), KubeletState::Closed),
            (Duration::from_millis(25_500), KubeletState::Open),
        ]
    );
}

#[test]
fn what_is_due_after_the_end_never_comes() {
    let scenario = scenario(&format!(
        "changes: [{{when: {{exit: 2}}, after: 55s, {CLOSE}}}]"
    ));
    let played = play(&scenario, SEED, pass).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(played.scenario.triggers.len(), 1);
}

#[test]
fn a_pass_that_does_not_repeat_the_one_before_is_a_defect() {
    let scenario = scenario(&format!("changes: [{{when: {{exit: 2}}, {CLOSE}}}]"));
    let count = Cell::new(0);
    let drifting = |scenario: &Scenario| {
        count.set(count.get() + 1);
        let mut trace = pass(scenario)?;
        trace.records[0].t += count.get();
        Ok::<_, Failure>(trace)
    };
    let failure = play(&scenario, SEED, drifting).expect_err("they differ");
    assert!(matches!(failure, Failure::Unrepeatable { .. }), "{failure}");
    assert_eq!(failure.exit().code(), 70);
}

#[test]
fn a_pending_change_is_checked_before_anything_runs() {
    let wrong = read("changes: [{when: readyz200, nodes: {pi: {kubelet: {latency: soon}}}}]");
    assert_eq!(wrong.map(|_| ()).expect_err("no duration").count(), 1);
    for both in [
        "at: 5s, when: readyz200",
        "at: 5s, after: 2s",
        "when: {}",
        "for: 5s",
    ] {
        assert!(
            read(&format!("changes: [{{{both}, {CLOSE}}}]")).is_err(),
            "{both}"
        );
    }
}

/// The whole of it, with the real world.
#[test]
fn a_run_is_the_same_up_to_its_trigger() {
    let rest = "actions: [{when: podReady, after: 3s, kill: metrics-server}]";
    let with = run::run(&scenario(rest), SEED).unwrap_or_else(|failure| panic!("{failure}"));
    let without = run::run(&scenario(""), SEED).unwrap_or_else(|failure| panic!("{failure}"));
    let ready = without.judgement.time_to_ready_ns();
    assert_eq!(with.judgement.time_to_ready_ns(), ready);
    assert_eq!(with.judgement.restarts, 1);
    assert_eq!(with.judgement.outcome, Outcome::Pass);
    let never = "actions: [{when: {event: NoSuchReason}, kill: metrics-server}]";
    let vain = run::run(&scenario(never), SEED).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(vain.judgement.outcome, Outcome::Inconclusive);
    assert_eq!(
        vain.judgement.doubts,
        [
            "`when: {event: NoSuchReason}` (test.yaml:7:12) did not happen before the end, and what \
          waits for it never came"
        ]
    );
}

#[test]
fn a_layer_adds_arguments_and_refines_the_rest() {
    let scenario = scenario("metricsServer: {args: [--v=2]}");
    let changed = with_layer(
        &scenario,
        "metricsServer: {args: [--kubelet-insecure-tls], readinessProbe: {periodSeconds: 7}}",
    )
    .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let args = &changed.metrics_server.args;
    assert_eq!(args[args.len() - 2..], ["--v=2", "--kubelet-insecure-tls"]);
    let probe = changed
        .metrics_server
        .readiness
        .expect("the preset has one");
    assert_eq!(probe.period, Duration::from_secs(7));
    assert_eq!(probe.failure_threshold, 3);
}
