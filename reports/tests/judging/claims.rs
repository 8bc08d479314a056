//! Claims about cadence, durations, log lines, Events, exits, nodes, causes
//! and conditions: each kept, broken, and with nothing to look at.

use crate::common::{MS, Story, crash_loop, firewall, healthy, k3s, late_certificate};
use reports::case::{Case, Change};
use reports::expectation::{
    Bounds, Claim, Condition, Expectation, Happening, Listed, Measure, Mode, Outcome, Service,
    Window,
};
use reports::judgement::{ScenarioJudgement, judge};
use reports::moment::{AnswerFilter, EventFilter, ExitFilter, LogFilter};
use reports::trace::{Event, Trace};

const SECOND: u64 = 1_000 * MS;

/// What came of a claim about a run of K3s' manifest: outcome, subject, got,
/// want, by.
fn seen(claim: Claim, trace: &Trace) -> (Outcome, String) {
    let case = Case {
        expectations: vec![Expectation {
            claim,
            line: 31,
            column: 5,
        }],
        ..k3s("pi")
    };
    let run = judge(&case, trace, 7);
    let result = &run.expectations[0];
    (
        result.outcome,
        format!("{}: {}", result.subject, result.seen()),
    )
}

#[track_caller]
fn check(claim: Claim, trace: &Trace, outcome: Outcome, shown: &str) {
    assert_eq!(seen(claim, trace), (outcome, shown.to_owned()));
}

fn between(min: u64, max: u64) -> Bounds {
    Bounds {
        min: Some(min),
        max: Some(max),
    }
}

fn answers(observer: &str, outcome: &str, measure: Measure) -> Claim {
    Claim::Happening {
        what: Happening::Responses(AnswerFilter {
            observer: observer.to_owned(),
            outcome: Some(outcome.to_owned()),
            ..AnswerFilter::default()
        }),
        window: Window::default(),
        measure,
    }
}

#[test]
fn errors_come_at_a_cadence() {
    let every = |bounds| answers("scraper", "timeout", Measure::Every(bounds));
    check(
        every(Bounds::exactly(15 * SECOND)),
        &firewall(),
        Outcome::Pass,
        "scraper timeout interval: got 15.000s, want exactly 15.000s",
    );
    check(
        every(Bounds::exactly(10 * SECOND)),
        &firewall(),
        Outcome::Fail,
        "scraper timeout interval: got 15.000s, want exactly 10.000s (over by 5.000s)",
    );
    check(
        every(Bounds::exactly(15 * SECOND)),
        &healthy(),
        Outcome::Inconclusive,
        "scraper timeout interval: fewer than two, so there is no interval; want exactly 15.000s",
    );
}

#[test]
fn a_scrape_takes_its_time() {
    let took = |bounds| answers("scraper", "timeout", Measure::Duration(bounds));
    check(
        took(Bounds::exactly(10 * SECOND)),
        &firewall(),
        Outcome::Pass,
        "scraper timeout duration: got 10.000s, want exactly 10.000s",
    );
    check(
        took(between(13 * SECOND, 14 * SECOND)),
        &firewall(),
        Outcome::Fail,
        "scraper timeout duration: got 10.000s, want at least 13.000s, at most 14.000s \
         (under by 3.000s)",
    );
    check(
        took(Bounds::exactly(10 * SECOND)),
        &healthy(),
        Outcome::Inconclusive,
        "scraper timeout duration: there was none to time; want exactly 10.000s",
    );
}

#[test]
fn the_first_and_the_last_of_a_kind_have_times() {
    let first = |bounds| answers("readiness-probe", "500", Measure::First(bounds));
    check(
        first(between(2 * SECOND, 3 * SECOND)),
        &healthy(),
        Outcome::Pass,
        "readiness-probe 500 first: got 2.400s, want at least 2.000s, at most 3.000s",
    );
    let last = answers(
        "readiness-probe",
        "500",
        Measure::Last(between(0, 10 * SECOND)),
    );
    check(
        last,
        &healthy(),
        Outcome::Fail,
        "readiness-probe 500 last: got 14.400s, want at least 0.000s, at most 10.000s \
         (over by 4.400s)",
    );
}

#[test]
fn log_lines_events_and_exits_are_counted() {
    let count = |what, bounds| Claim::Happening {
        what,
        window: Window::default(),
        measure: Measure::Count(bounds),
    };
    let exits = |code| {
        Happening::Exits(ExitFilter {
            code: Some(code),
            ..ExitFilter::default()
        })
    };
    check(
        count(exits(2), Bounds::exactly(4)),
        &crash_loop(),
        Outcome::Pass,
        "exits with 2: got 4 exits, want exactly 4 exits",
    );
    check(
        count(exits(137), between(1, 9)),
        &crash_loop(),
        Outcome::Fail,
        "exits with 137: got 0 exits, want at least 1 exit, at most 9 exits (under by 1)",
    );
    let lines = Happening::Logs(LogFilter {
        text: Some("unable to load configmap".to_owned()),
        severity: Some("F".to_owned()),
        on: None,
    });
    check(
        count(lines.clone(), Bounds::exactly(8)),
        &crash_loop(),
        Outcome::Pass,
        "log lines F with \"unable to load configmap\": got 8 lines, want exactly 8 lines",
    );
    check(
        count(lines, Bounds::exactly(8)),
        &Story::new().end(60_000),
        Outcome::Inconclusive,
        "log lines F with \"unable to load configmap\": the container never started; \
         want exactly 8 lines",
    );
    let unhealthy = Happening::Events(EventFilter {
        reason: Some("Unhealthy".to_owned()),
        ..EventFilter::default()
    });
    check(
        count(unhealthy, Bounds::exactly(0)),
        &healthy(),
        Outcome::Pass,
        "events Unhealthy: got 0 events, want exactly 0 events",
    );
}

fn flickering() -> Trace {
    let mut story = Story::new();
    story.start(2_000, 0).bind(2_400).serve(2_500);
    story.becomes_reachable(20_000, &["pi"]);
    story
        .witness(40_000, "200", &[])
        .witness(50_000, "503", &[])
        .witness(60_000, "200", &["pi"])
        .end(120_000)
}

#[test]
fn a_node_is_served_lost_kept_or_never_seen() {
    let node = |name: &str, service| Claim::Served {
        what: Listed::Node(name.to_owned()),
        service,
    };
    let open = Bounds::default();
    check(
        node("pi", Service::First(between(0, 20 * SECOND))),
        &flickering(),
        Outcome::Pass,
        "node pi: got served at 18.031s, want served at least 0.000s, at most 20.000s",
    );
    check(
        node("pi", Service::Lost(between(0, 30 * SECOND))),
        &flickering(),
        Outcome::Fail,
        "node pi: got lost at 38.000s, want lost at least 0.000s, at most 30.000s \
         (over by 8.000s)",
    );
    check(
        node("pi", Service::Kept),
        &flickering(),
        Outcome::Fail,
        "node pi: got lost at 38.000s, want served and never lost",
    );
    check(
        node("pi", Service::AtEnd(true)),
        &flickering(),
        Outcome::Pass,
        "node pi at the end: got served",
    );
    check(
        node("pi", Service::Never),
        &flickering(),
        Outcome::Fail,
        "node pi: got served at 18.031s, want never served",
    );
    check(
        node("pi", Service::First(open)),
        &firewall(),
        Outcome::Fail,
        "node pi: got never served, want served",
    );
    check(
        node("pi", Service::Lost(open)),
        &firewall(),
        Outcome::Inconclusive,
        "node pi: never served; want lost",
    );
    check(
        node("pi", Service::AtEnd(false)),
        &firewall(),
        Outcome::Inconclusive,
        "node pi at the end: no list was ever answered; want not served",
    );
}

#[test]
fn the_first_cause_has_words_and_a_setting() {
    let cause = |text: &str, setting: Option<&str>| Claim::Cause {
        place: 1,
        text: Some(text.to_owned()),
        setting: setting.map(str::to_owned),
    };
    let (outcome, _) = seen(
        cause("tls: internal error", Some("nodes.pi.kubelet")),
        &late_certificate(),
    );
    assert_eq!(outcome, Outcome::Pass);
    let (outcome, shown) = seen(cause("x509", None), &late_certificate());
    assert_eq!(outcome, Outcome::Fail);
    assert!(shown.contains("internal error"), "{shown}");
    check(
        cause("x509", Some("nodes")),
        &healthy(),
        Outcome::Fail,
        "first cause: got no cause: nothing is wrong, want \"x509\", governed by nodes",
    );
}

fn holds(mode: Mode, condition: Condition, from: Option<u64>, to: Option<u64>) -> Claim {
    Claim::Holds {
        condition,
        mode,
        window: Window {
            from_ns: from.map(|seconds| seconds * SECOND),
            to_ns: to.map(|seconds| seconds * SECOND),
        },
    }
}

#[test]
fn conditions_hold_always_eventually_or_never() {
    let ready = || Condition::PodReady(true);
    check(
        holds(Mode::Always, ready(), Some(30), None),
        &healthy(),
        Outcome::Pass,
        "always pod Ready from 30.000s: got at every moment",
    );
    check(
        holds(Mode::Eventually, ready(), None, Some(30)),
        &late_certificate(),
        Outcome::Inconclusive,
        "eventually pod Ready before 30.000s: there was nothing to look at; want at some moment",
    );
    let api = |outcome: &str| Condition::MetricsApi(outcome.to_owned());
    check(
        holds(Mode::Never, api("503"), Some(30), None),
        &flickering(),
        Outcome::Fail,
        "never metrics API 503 from 30.000s: got so at 50.000s of virtual time, want at no moment",
    );
    check(
        holds(Mode::Always, api("200"), Some(51), Some(60)),
        &flickering(),
        Outcome::Fail,
        "always metrics API 200 from 51.000s to 60.000s: got not so at 51.000s of virtual time, \
         want at every moment",
    );
    check(
        holds(Mode::Eventually, Condition::Running(true), None, None),
        &Story::new().end(60_000),
        Outcome::Fail,
        "eventually running: got at no moment, want at some moment",
    );
    let probe = Condition::Response(AnswerFilter {
        observer: "readiness-probe".to_owned(),
        outcome: Some("200".to_owned()),
        ..AnswerFilter::default()
    });
    check(
        holds(Mode::Always, probe.clone(), Some(30), None),
        &healthy(),
        Outcome::Pass,
        "always readiness-probe 200 from 30.000s: got at every moment",
    );
    check(
        holds(Mode::Never, probe, Some(30), None),
        &firewall(),
        Outcome::Pass,
        "never readiness-probe 200 from 30.000s: got at no moment",
    );
}

#[test]
fn what_holds_sometimes_needs_one_run_of_several() {
    let case = Case {
        expectations: vec![Expectation {
            claim: holds(
                Mode::Sometimes,
                Condition::Response(AnswerFilter {
                    observer: "scraper".to_owned(),
                    outcome: Some("timeout".to_owned()),
                    ..AnswerFilter::default()
                }),
                None,
                None,
            ),
            line: 31,
            column: 5,
        }],
        ..k3s("pi")
    };
    let judged = |traces: &[Trace]| ScenarioJudgement {
        runs: traces.iter().map(|trace| judge(&case, trace, 7)).collect(),
        case: case.clone(),
    };
    assert_eq!(judged(&[healthy(), firewall()]).outcome(), Outcome::Pass);
    assert_eq!(judged(&[healthy(), healthy()]).outcome(), Outcome::Fail);
    assert_eq!(judged(&[healthy()]).runs[0].outcome, Outcome::Pass);
}

#[test]
fn a_change_of_a_kubelet_that_nobody_scraped_makes_the_run_inconclusive() {
    let words = "kubelet: status 200 → 401";
    let changed = |at_ns, undoes| Change {
        at_ns,
        what: words.to_owned(),
        kubelet: Some("pi".to_owned()),
        undoes,
    };
    let doubts = |from: u64, to: u64, undoes| {
        let case = Case {
            changes: vec![changed(from * MS, undoes), changed(to * MS, true)],
            ..k3s("pi")
        };
        let mut trace = healthy();
        let mut with = Story::new();
        for at in [from, to] {
            with.at(
                at,
                Event::Changed {
                    what: words.to_owned(),
                },
            );
        }
        trace.records.extend(with.broken_off().records.split_off(4));
        trace.records.sort_by_key(|record| record.t);
        judge(&case, &trace, 7).doubts
    };
    // Scraped at 17.57 s and 32.57 s.
    assert!(doubts(30_000, 40_000, false).is_empty());
    assert!(doubts(20_000, 30_000, true).is_empty());
    let unseen = doubts(20_000, 30_000, false);
    assert_eq!(unseen.len(), 1);
    assert!(unseen[0].contains("nobody scraped the node"), "{unseen:?}");
}

#[test]
fn a_fault_that_never_took_effect_makes_the_run_inconclusive() {
    let case = Case {
        faults: vec!["nodes.pi.kubelet.status".to_owned()],
        ..k3s("pi")
    };
    let run = judge(&case, &healthy(), 7);
    assert_eq!(run.outcome, Outcome::Inconclusive);
    assert_eq!(run.doubts, ["`nodes.pi.kubelet.status` never took effect"]);
    let mut trace = healthy();
    let mut hit = trace.records[5].clone();
    hit.event = Event::FaultTotals {
        totals: vec![("nodes.pi.kubelet.status".to_owned(), 3)],
    };
    trace.records.insert(5, hit);
    let run = judge(&case, &trace, 7);
    assert_eq!((run.outcome, run.faults[0].fired), (Outcome::Pass, 3));
}
