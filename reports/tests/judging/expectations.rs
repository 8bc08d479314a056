//! Each kind of claim with a run that keeps it, one that breaks it, and one
//! that cannot tell.

use crate::common::{MS, Story, firewall, healthy, k3s, late_certificate};
use reports::case::{Case, Change};
use reports::exit::ExitStatus;
use reports::expectation::{Bounds, Claim, Expectation, Happening, Measure, Outcome, Window};
use reports::judgement::{RunJudgement, ScenarioJudgement, judge};
use reports::moment::AnswerFilter;
use reports::trace::{Event, Trace};

fn judged(claim: Claim, trace: &Trace) -> RunJudgement {
    let expectations = vec![Expectation {
        claim,
        line: 31,
        column: 5,
    }];
    judge(
        &Case {
            expectations,
            ..k3s("pi")
        },
        trace,
        7,
    )
}

/// What came of a claim: outcome, got, want, by.
fn check(claim: Claim, trace: &Trace, outcome: Outcome, seen: [&str; 3]) {
    let run = judged(claim, trace);
    let result = &run.expectations[0];
    let by = result.by.as_deref().unwrap_or("");
    assert_eq!(
        (result.outcome, [&*result.got, &*result.want, by]),
        (outcome, seen)
    );
    assert_eq!(run.outcome, outcome);
    assert_eq!((result.line, result.column), (31, 5));
}

/// The container never starts.
fn unscheduled() -> Trace {
    Story::new().end(120_000)
}

fn milestone(name: &str, min: Option<u64>, max: Option<u64>) -> Claim {
    let ns = |seconds: u64| seconds * 1_000 * MS;
    Claim::Milestone {
        name: name.to_owned(),
        bounds: Bounds {
            min: min.map(ns),
            max: max.map(ns),
        },
    }
}

fn responses(observer: &str, outcome: Option<&str>, min: Option<u64>, max: Option<u64>) -> Claim {
    Claim::Happening {
        what: Happening::Responses(AnswerFilter {
            observer: observer.to_owned(),
            outcome: outcome.map(str::to_owned),
            ..AnswerFilter::default()
        }),
        window: Window::default(),
        measure: Measure::Count(Bounds { min, max }),
    }
}

#[test]
fn a_verdict_is_the_word_or_not() {
    let claim = || Claim::Verdict("READY".to_owned());
    check(claim(), &healthy(), Outcome::Pass, ["READY", "READY", ""]);
    check(
        claim(),
        &late_certificate(),
        Outcome::Fail,
        ["READY_LATE", "READY", ""],
    );
}

#[test]
fn a_milestone_lies_within_bounds_or_misses_by_so_much() {
    let claim = |max| milestone("timeToReady", None, Some(max));
    check(
        claim(30),
        &healthy(),
        Outcome::Pass,
        ["16.430s", "at most 30.000s", ""],
    );
    check(
        claim(30),
        &late_certificate(),
        Outcome::Fail,
        ["46.430s", "at most 30.000s", "over by 16.430s"],
    );
    check(
        milestone("podReady", Some(20), None),
        &healthy(),
        Outcome::Fail,
        ["16.430s", "at least 20.000s", "under by 3.570s"],
    );
    check(
        claim(30),
        &firewall(),
        Outcome::Fail,
        ["never, in 118.000s", "at most 30.000s", ""],
    );
}

#[test]
fn a_milestone_may_still_come_in_time_after_the_end() {
    check(
        milestone("timeToReady", None, Some(200)),
        &firewall(),
        Outcome::Inconclusive,
        [
            "not by the end of the run at 118.000s",
            "at most 200.000s",
            "",
        ],
    );
}

#[test]
fn never_is_a_claim_too() {
    let claim = || Claim::NoMilestone("firstScrapeStored".to_owned());
    check(
        claim(),
        &firewall(),
        Outcome::Pass,
        ["never, in 118.000s", "never", ""],
    );
    check(claim(), &healthy(), Outcome::Fail, ["0.590s", "never", ""]);
    check(
        claim(),
        &unscheduled(),
        Outcome::Pass,
        ["never, in 119.000s", "never", ""],
    );
    let nothing = Trace {
        records: Vec::new(),
    };
    let doubtful = ["there was no pod", "never", ""];
    check(claim(), &nothing, Outcome::Inconclusive, doubtful);
}

#[test]
fn responses_are_counted_if_somebody_asked() {
    check(
        responses("readiness-probe", Some("500"), Some(7), Some(9)),
        &healthy(),
        Outcome::Pass,
        [
            "7 responses",
            "at least 7 responses, at most 9 responses",
            "",
        ],
    );
    check(
        responses("readiness-probe", Some("500"), None, Some(8)),
        &late_certificate(),
        Outcome::Fail,
        ["22 responses", "at most 8 responses", "over by 14"],
    );
    check(
        responses("hpa", Some("503"), None, Some(0)),
        &healthy(),
        Outcome::Inconclusive,
        ["hpa never asked", "at most 0 responses", ""],
    );
}

#[test]
fn a_window_in_which_nobody_asked_shows_nothing() {
    let claim = |from: u64, to: u64| Claim::Happening {
        what: Happening::Responses(AnswerFilter {
            observer: "readiness-probe".to_owned(),
            outcome: Some("500".to_owned()),
            text: Some("statuscode".to_owned()),
            ..AnswerFilter::default()
        }),
        window: Window {
            from_ns: Some(from * MS),
            to_ns: Some(to * MS),
        },
        measure: Measure::Count(Bounds {
            min: None,
            max: Some(0),
        }),
    };
    let want = "at most 0 responses";
    check(
        claim(60_000, 70_000),
        &healthy(),
        Outcome::Pass,
        ["0 responses", want, ""],
    );
    check(
        claim(4_000, 8_400),
        &healthy(),
        Outcome::Fail,
        ["2 responses", want, "over by 2"],
    );
    check(
        claim(60_500, 60_600),
        &healthy(),
        Outcome::Inconclusive,
        ["readiness-probe did not ask in that time", want, ""],
    );
}

#[test]
fn outcomes_are_a_set() {
    let claim = |observer: &str, outcomes: &[&str]| Claim::Outcomes {
        observer: observer.to_owned(),
        outcomes: outcomes.iter().map(|&outcome| outcome.to_owned()).collect(),
    };
    let seen = "200, 500, refused";
    check(
        claim("readiness-probe", &["refused", "500", "200"]),
        &healthy(),
        Outcome::Pass,
        [seen, seen, ""],
    );
    check(
        claim("readiness-probe", &["200", "timeout"]),
        &healthy(),
        Outcome::Fail,
        [
            seen,
            "200, timeout",
            "missing timeout; unexpected 500, refused",
        ],
    );
    check(
        claim("kubectl-top", &["200"]),
        &healthy(),
        Outcome::Inconclusive,
        ["kubectl-top never asked", "200", ""],
    );
}

#[test]
fn restarts_are_counted_if_there_was_a_start() {
    let claim = |min, max| {
        Claim::Restarts(Bounds {
            min: Some(min),
            max: Some(max),
        })
    };
    check(
        claim(0, 0),
        &healthy(),
        Outcome::Pass,
        ["0 restarts", "exactly 0 restarts", ""],
    );
    check(
        claim(0, 2),
        &crate::common::crash_loop(),
        Outcome::Fail,
        [
            "3 restarts",
            "at least 0 restarts, at most 2 restarts",
            "over by 1",
        ],
    );
    check(
        claim(0, 0),
        &unscheduled(),
        Outcome::Pass,
        ["0 restarts", "exactly 0 restarts", ""],
    );
}

/// What is doubtful about a run of `case`.
fn doubts(case: &Case, trace: &Trace) -> Vec<String> {
    let run = judge(case, trace, 7);
    assert_eq!(run.outcome == Outcome::Inconclusive, !run.doubts.is_empty());
    run.doubts
}

#[test]
fn a_rule_that_never_took_effect_makes_the_run_inconclusive() {
    let case = Case {
        path_rules: vec!["firewall".to_owned()],
        ..k3s("pi")
    };
    let hits = |count| {
        let mut trace = healthy();
        let totals = vec![("firewall".to_owned(), count)];
        let end = trace.records.len() - 1;
        let mut record = trace.records[end].clone();
        record.event = Event::PathTotals { totals };
        trace.records.insert(end, record);
        trace
    };
    assert!(doubts(&case, &hits(3)).is_empty());
    let never = ["network rule `firewall` never took effect"];
    assert_eq!(doubts(&case, &hits(0)), never);
    assert_eq!(doubts(&case, &healthy()), never);
}

#[test]
fn a_change_that_never_happened_makes_the_run_inconclusive() {
    let kill = || "SIGKILL to metrics-server".to_owned();
    let twice = [40_000, 80_000].map(|ms| Change {
        at_ns: ms * MS,
        what: kill(),
        ..Change::default()
    });
    let case = Case {
        changes: twice.to_vec(),
        ..k3s("pi")
    };
    let never = |at| format!("`SIGKILL to metrics-server` at {at} of virtual time never happened");
    let mut story = Story::new();
    assert_eq!(
        doubts(&case, &story.clone().end(120_000)),
        [never("40.000s"), never("80.000s")]
    );
    story.at(40_000, Event::Changed { what: kill() });
    assert_eq!(
        doubts(&case, &story.clone().end(120_000)),
        [never("80.000s")]
    );
    story.at(80_000, Event::Changed { what: kill() });
    assert!(doubts(&case, &story.end(120_000)).is_empty());
}

#[test]
fn what_comes_after_the_end_on_many_nodes_is_said_once() {
    let certificate = |node: &str, at| Change {
        at_ns: at * MS,
        what: "kubelet: state NoCertificate → Open".to_owned(),
        kubelet: Some(node.to_owned()),
        undoes: false,
    };
    let case = Case {
        changes: vec![certificate("pi", 600_000), certificate("other", 700_000)],
        ..k3s("pi")
    };
    assert_eq!(
        doubts(&case, &healthy()),
        ["`kubelet: state NoCertificate → Open` was due after the end of the run (2 times)"]
    );
}

#[test]
fn a_broken_promise_is_not_hidden_by_what_cannot_be_told() {
    let expect = |claim, line| Expectation {
        claim,
        line,
        column: 5,
    };
    let case = Case {
        path_rules: vec!["firewall".to_owned()],
        expectations: vec![
            expect(milestone("timeToReady", None, Some(30)), 31),
            expect(milestone("firstApi200", None, Some(10_000)), 32),
        ],
        ..k3s("pi")
    };
    let run = judge(&case, &late_certificate(), 7);
    assert_eq!(run.outcome, Outcome::Fail);
    let scenario = ScenarioJudgement {
        case,
        runs: vec![run],
    };
    assert_eq!(scenario.outcome(), Outcome::Fail);
    let page = reports::text::library(std::slice::from_ref(&scenario), reports::text::Style::PLAIN);
    assert!(page.starts_with("        FAIL "), "{page}");
    // What cannot be told decides the exit, and both are named.
    let status = ExitStatus::of(std::slice::from_ref(&scenario));
    assert_eq!(status.code, 6);
    assert!(
        page.contains("never took effect") && page.contains("timeToReady"),
        "{page}"
    );
}

#[test]
fn a_run_cut_short_is_inconclusive() {
    assert_eq!(
        doubts(&k3s("pi"), &Story::new().broken_off()),
        ["the trace breaks off before the end of the run"]
    );
    let mut story = Story::new();
    story.at(
        5_000,
        Event::Ended {
            reason: "more than 1000000 events".to_owned(),
        },
    );
    assert_eq!(
        doubts(&k3s("pi"), &story.broken_off()),
        ["the run ended early: more than 1000000 events"]
    );
}

#[test]
fn asking_for_what_is_not_modelled_makes_the_run_inconclusive_once() {
    let mut story = Story::new();
    let request = "GET /apis/apps/v1/deployments".to_owned();
    for at in [3_000, 4_000] {
        story.at(
            at,
            Event::NotModelled {
                request: request.clone(),
            },
        );
    }
    assert_eq!(
        doubts(&k3s("pi"), &story.end(60_000)),
        ["metrics-server asked for what is not modelled: GET /apis/apps/v1/deployments"]
    );
}

#[test]
fn without_expectations_a_sound_run_passes() {
    let run = judge(&k3s("pi"), &firewall(), 7);
    assert_eq!(run.outcome, Outcome::Pass);
    assert_eq!(run.complaints().count(), 0);
}

#[test]
fn the_exit_says_who_failed_and_inconclusive_outweighs_failure() {
    let claim = milestone("timeToReady", None, Some(30));
    let expectations = vec![Expectation {
        claim,
        line: 31,
        column: 5,
    }];
    let case = Case {
        expectations,
        ..k3s("pi")
    };
    let late = judge(&case, &late_certificate(), 7);
    let failed = ScenarioJudgement {
        case: case.clone(),
        runs: vec![late.clone()],
    };
    let status = ExitStatus::of(std::slice::from_ref(&failed));
    assert_eq!((status.code, &*status.name), (1, "expectation-failed"));
    assert_eq!(
        status.reasons,
        ["pi seed 7: timeToReady: got 46.430s, want at most 30.000s (over by 16.430s)"]
    );
    let cut_short = judge(&case, &Story::new().broken_off(), 8);
    let doubtful = ScenarioJudgement {
        case,
        runs: vec![late, cut_short],
    };
    assert_eq!(doubtful.outcome(), Outcome::Fail);
    assert_eq!(ExitStatus::of(&[failed, doubtful]).code, 6);
}
