//! Where the time went: known traces part by part, and sums of any trace.

use crate::common::{MS, Story, crash_loop, firewall, healthy, k3s, late_certificate};
use proptest::collection::vec;
use proptest::prelude::*;
use reports::attribution::{Attribution, attribute};
use reports::case::{Case, ProbeBrief};
use reports::judgement::judge;
use reports::milestone::milestones;
use reports::trace::{Event, Record, Trace};

fn attribution(case: &Case, trace: &Trace) -> Attribution {
    attribute(case, trace, &milestones(case, trace))
}

/// Parts as `(milliseconds, start of the words, name of the setting)`.
fn check(case: &Case, trace: &Trace, expected: &[(u64, &str, &str)]) {
    let attribution = attribution(case, trace);
    let seen: Vec<_> = attribution
        .parts
        .iter()
        .map(|part| (part.ns / MS, &*part.what, &*part.governed_by.name))
        .collect();
    assert_eq!(seen.len(), expected.len(), "{seen:#?}");
    for ((ms, what, setting), expected) in seen.iter().zip(expected) {
        assert_eq!((*ms, *setting), (expected.0, expected.2), "{seen:#?}");
        assert!(what.starts_with(expected.1), "{seen:#?}");
    }
}

#[test]
fn a_healthy_start_waits_for_the_second_scrape_and_the_probe() {
    check(
        &k3s("pi"),
        &healthy(),
        &[
            (450, "process start and serving certificate", "startCost"),
            (120, "configuration and informer sync", "apiServer"),
            (
                15_000,
                "storage needs two good scrapes",
                "--metric-resolution",
            ),
            (
                20,
                "the deciding scrape: slowest node pi answered after 0.020s",
                "nodes.pi.kubelet",
            ),
            (
                810,
                "waiting for the next readiness probe",
                "readinessProbe.periodSeconds",
            ),
            (
                30,
                "from the probe to the pod's Ready condition",
                "apiServer",
            ),
        ],
    );
}

#[test]
fn a_late_certificate_shows_as_failed_scrapes_of_that_node() {
    let trace = late_certificate();
    let parts = attribution(&k3s("pi"), &trace).parts;
    let waiting = &parts[2];
    assert_eq!(waiting.ns, 30_000 * MS);
    assert_eq!(
        waiting.what,
        format!(
            "2 scrapes failed: node pi: {}",
            crate::common::NO_CERTIFICATE
        )
    );
    assert_eq!(parts[3].what, "storage needs two good scrapes");
    assert_eq!(parts[3].ns, 15_000 * MS);
}

#[test]
fn what_never_came_blocks_the_last_part() {
    let attribution = attribution(&k3s("pi"), &firewall());
    assert!(!attribution.ready);
    assert_eq!(attribution.total_ns, 118_000 * MS);
    let blocking: Vec<_> = attribution
        .parts
        .iter()
        .filter(|part| part.blocking)
        .collect();
    let [part] = blocking[..] else {
        panic!("one part blocks: {blocking:?}")
    };
    assert!(
        part.what.starts_with("8 scrapes failed: node pi: "),
        "{}",
        part.what
    );
    assert!(attribution.after_ready.is_empty());
}

#[test]
fn a_network_rule_that_took_effect_governs_what_it_kept_away() {
    let rule = Event::PathRuleHit {
        rule: "firewall".to_owned(),
    };
    let governing = |outcome, value: &str| {
        let mut story = Story::new();
        story
            .start(2_000, 0)
            .bind(2_000)
            .serve(2_000)
            .at(2_000, rule.clone());
        story.tick(2_000, &[("pi", outcome, "", 10_000)], 0);
        let mut case = k3s("pi");
        case.settings.push(reports::case::Setting {
            name: "nodes.pi.kubelet".to_owned(),
            value: value.to_owned(),
            origin: String::new(),
        });
        attribution(&case, &story.end(14_000)).parts[0]
            .governed_by
            .name
            .clone()
    };
    assert_eq!(governing("timeout", ""), "network.firewall");
    assert_eq!(governing("tls", ""), "nodes.pi.kubelet");
    assert_eq!(governing("timeout", "state: HangHttp"), "nodes.pi.kubelet");
}

/// Goal: an end is explained by what the process said over it, not by what it
/// happened to log before.
#[test]
fn a_fatal_error_explains_an_end() {
    let mut story = Story::new();
    story
        .start(2_000, 0)
        .fatal(2_300, "unknown flag: --nosuch")
        .error(2_301, "something else");
    story.exit(2_400, 2, None);
    check(
        &k3s("pi"),
        &story.end(3_000),
        &[
            (
                400,
                "1 start ended with exit 2: unknown flag: --nosuch",
                "args",
            ),
            (600, "waiting to be restarted", "restartPolicy"),
        ],
    );
}

#[test]
fn crashes_and_their_back_off_are_told_apart() {
    check(
        &k3s("pi"),
        &crash_loop(),
        &[
            (
                2_000,
                "4 starts ended with exit 2: unable to load configmap",
                "apiServer",
            ),
            (
                56_000,
                "waiting to be restarted, back-off 10s, 20s, 40s",
                "restartPolicy",
            ),
        ],
    );
}

#[test]
fn an_initial_delay_is_told_from_the_probe_s_phase() {
    let mut case = k3s("pi");
    case.readiness = Some(ProbeBrief {
        initial_delay_ns: 20_000 * MS,
        period_ns: 10_000 * MS,
        ..ProbeBrief::default()
    });
    let mut story = Story::new();
    story.start(2_000, 0).bind(2_400).serve(2_500);
    story
        .tick(2_500, &[("pi", "200", "", 20)], 0)
        .tick(17_500, &[("pi", "200", "", 20)], 1);
    story
        .probe(25_500, "200", "")
        .becomes_reachable(25_500, &["pi"]);
    check(
        &case,
        &story.end(60_000),
        &[
            (400, "process start", "startCost"),
            (100, "configuration", "apiServer"),
            (
                15_000,
                "storage needs two good scrapes",
                "--metric-resolution",
            ),
            (20, "the deciding scrape", "nodes.pi.kubelet"),
            (
                4_480,
                "readiness probe not begun",
                "readinessProbe.initialDelaySeconds",
            ),
            (
                3_500,
                "waiting for the next readiness probe",
                "readinessProbe.periodSeconds",
            ),
        ],
    );
}

#[test]
fn a_fresh_container_needs_only_one_scrape() {
    let mut story = Story::new();
    story
        .start(2_000, 0)
        .bind(2_400)
        .serve(2_500)
        .tick(2_500, &[("pi", "200", "", 20)], 1);
    story.probe(3_000, "200", "").ready(3_000, true);
    check(
        &k3s("pi"),
        &story.end(60_000),
        &[
            (400, "process start", "startCost"),
            (100, "configuration", "apiServer"),
            (20, "the deciding scrape", "nodes.pi.kubelet"),
            (
                480,
                "waiting for the next readiness probe",
                "readinessProbe.periodSeconds",
            ),
        ],
    );
}

/// Goal: a good scrape of one node does not help another.
/// Method: a and b succeed in turn; only from the third tick does b twice.
#[test]
fn two_good_scrapes_must_be_of_the_same_node() {
    let good = |node| (node, "200", "", 20);
    let bad = |node| (node, "refused", "connection refused", 5);
    let mut story = Story::new();
    story.start(2_000, 0).bind(2_000).serve(2_000);
    story
        .tick(2_000, &[good("a"), bad("b")], 0)
        .tick(17_000, &[bad("a"), good("b")], 0);
    story
        .tick(32_000, &[bad("a"), good("b")], 1)
        .probe(32_400, "200", "")
        .ready(32_400, true);
    check(
        &k3s("pi"),
        &story.end(60_000),
        &[
            (
                15_000,
                "1 scrape failed: node b: connection refused",
                "nodes.b.kubelet",
            ),
            (
                15_000,
                "storage needs two good scrapes",
                "--metric-resolution",
            ),
            (
                20,
                "the deciding scrape: slowest node b answered",
                "nodes.b.kubelet",
            ),
            (
                380,
                "waiting for the next readiness probe",
                "readinessProbe.periodSeconds",
            ),
        ],
    );
}

#[test]
fn samples_without_nodes_do_not_make_0_9_ready() {
    let case = Case {
        version: "0.9".to_owned(),
        ..k3s("pi")
    };
    let stored = |servable_pods| Event::TickStored {
        tick: 0,
        nodes: 0,
        pods: 3,
        servable_nodes: 0,
        servable_pods,
    };
    let mut story = Story::new();
    story.start(2_000, 0).bind(2_000).serve(2_000);
    for (at, servable) in [(2_000, 0), (17_000, 3), (32_000, 3)] {
        story
            .at(at, Event::TickStarted { tick: 0, nodes: 1 })
            .at(at + 20, stored(servable));
    }
    check(
        &case,
        &story.end(40_000),
        &[(38_000, "3 scrapes brought no node samples", "nodes")],
    );
}

#[test]
fn probes_that_fail_although_the_storage_is_ready_are_named() {
    let mut story = Story::new();
    story.start(2_000, 0).bind(2_000).serve(2_000);
    story
        .tick(2_000, &[("pi", "200", "", 20)], 0)
        .tick(17_000, &[("pi", "200", "", 20)], 1);
    story
        .probe(18_000, "timeout", "context deadline exceeded")
        .probe(20_000, "200", "");
    story.ready(20_010, true);
    let parts = attribution(&k3s("pi"), &story.end(60_000)).parts;
    let failing = &parts[2];
    assert_eq!(
        (&*failing.what, failing.ns / MS, &*failing.governed_by.name),
        (
            "readiness probes fail although the storage is ready: context deadline exceeded",
            2_980,
            "readinessProbe.timeoutSeconds"
        )
    );
}

#[test]
fn without_a_readiness_probe_nothing_else_is_waited_for() {
    let case = Case {
        readiness: None,
        ..k3s("pi")
    };
    let mut story = Story::new();
    story.start(2_000, 0).ready(2_100, true).bind(2_450);
    check(
        &case,
        &story.end(60_000),
        &[(100, "no readiness probe", "readinessProbe")],
    );
}

#[test]
fn steps_after_ready_count_from_one_another() {
    let steps: Vec<_> = attribution(&k3s("pi"), &healthy())
        .after_ready
        .iter()
        .map(|step| (step.milestone.name(), step.ns.map(|ns| ns / MS)))
        .collect();
    assert_eq!(
        steps,
        [
            ("endpointPublished", Some(5)),
            ("apiServiceAvailable", Some(25)),
            ("firstApi200", Some(1)),
            ("firstCompleteAnswer", Some(0)),
        ]
    );
}

/// Any event that attribution looks at, sensible or not.
fn event() -> impl Strategy<Value = Event> {
    let word = |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned);
    let small = 0..3_u64;
    prop_oneof![
        (0..4_u32).prop_map(|restart| Event::ProcessStarted { restart }),
        Just(Event::PortBound {
            address: String::new()
        }),
        Just(Event::InformersSynced),
        Just(Event::Serving {
            address: String::new()
        }),
        Just(Event::BackOff {
            nominal_ns: 10_000_000_000
        }),
        (word(&["I", "E"]), word(&["one", "two"]))
            .prop_map(|(severity, text)| Event::Log { severity, text }),
        (
            0..3_i32,
            prop::option::of(word(&["liveness", "startup", "action"]))
        )
            .prop_map(|(code, killed_by)| Event::ProcessExited {
                code,
                reason: String::new(),
                killed_by
            }),
        (small.clone()).prop_map(|nodes| Event::TickStarted { tick: 0, nodes }),
        (word(&["a", "b"]), word(&["200", "tls"]), 0..9_u64).prop_map(
            |(node, outcome, duration_ns)| Event::Scraped {
                node,
                outcome,
                text: String::new(),
                duration_ns
            }
        ),
        (small.clone(), small.clone(), small.clone(), small).prop_map(
            |(nodes, pods, servable_nodes, servable_pods)| Event::TickStored {
                tick: 0,
                nodes,
                pods,
                servable_nodes,
                servable_pods
            }
        ),
        (
            word(&["readiness-probe", "startup-probe"]),
            word(&["200", "500", "refused"])
        )
            .prop_map(|(observer, outcome)| Event::Response {
                observer,
                target: "/readyz".to_owned(),
                outcome,
                text: String::new(),
                duration_ns: 0
            }),
        prop::bool::weighted(0.8).prop_map(|status| Event::PodCondition {
            condition: "Ready".to_owned(),
            status,
            reason: String::new()
        }),
    ]
}

fn any_trace() -> impl Strategy<Value = Trace> {
    vec((0..5_000_000_000_u64, event()), 0..80).prop_map(|events| {
        let mut t = 0;
        let record = |(seq, (wait, event))| {
            t += wait;
            Record {
                t,
                seq: seq as u64,
                host: String::new(),
                event,
            }
        };
        Trace {
            records: events.into_iter().enumerate().map(record).collect(),
        }
    })
}

fn any_case() -> impl Strategy<Value = Case> {
    let probe = || {
        prop::option::of(
            (0..30_u64, 1..10_u64).prop_map(|(delay, period)| ProbeBrief {
                initial_delay_ns: delay * 1_000_000_000,
                period_ns: period * 1_000_000_000,
                ..ProbeBrief::default()
            }),
        )
    };
    let version = prop::sample::select(&["0.8", "0.9"][..]);
    (probe(), probe(), version).prop_map(|(readiness, startup, version)| Case {
        readiness,
        startup,
        version: version.to_owned(),
        ..k3s("any")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Goal: the parts sum to the time to ready, or to the whole run.
    /// Method: any order of any events, most of which no world produces.
    #[test]
    fn parts_sum_exactly_whatever_happened(case in any_case(), trace in any_trace()) {
        let run = judge(&case, &trace, 1);
        let attribution = &run.attribution;
        let sum: u64 = attribution.parts.iter().map(|part| part.ns).sum();
        prop_assert_eq!(sum, attribution.total_ns);
        prop_assert_eq!(run.time_to_ready_ns().unwrap_or(sum), sum);
        prop_assert!(attribution.parts.iter().all(|part| part.ns > 0));
        prop_assert!(attribution.parts.iter().all(|part| !part.what.is_empty()));
        let blocking = attribution.parts.iter().filter(|part| part.blocking).count();
        prop_assert_eq!(blocking, usize::from(!attribution.ready && sum > 0));
    }
}
