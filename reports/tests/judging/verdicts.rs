//! Each verdict with a run that earns it, and the nearest run that does not.

use crate::common::{NODES, Story, crash_loop, firewall, healthy, k3s, late_certificate, node};
use reports::case::{Case, PodBrief, ProbeBrief};
use reports::judgement::judge;
use reports::trace::{Event, Record, Trace};
use reports::verdict::{Verdict, ready_by};

fn check(case: &Case, trace: &Trace, verdict: Verdict, because: &str) {
    let finding = judge(case, trace, 7).finding;
    assert_eq!(finding.verdict, verdict, "{}", finding.because);
    assert!(finding.because.contains(because), "{}", finding.because);
}

/// A pod that became Ready in the normal time, so that more can happen to it.
fn ready_pod() -> Story {
    let mut story = Story::new();
    story.start(2_000, 0).bind(2_450).serve(2_570);
    story
        .tick(2_570, &[("pi", "200", "", 20)], 0)
        .tick(17_570, &[("pi", "200", "", 20)], 1);
    story.becomes_reachable(18_430, &["pi"]);
    story
}

#[test]
fn fifteen_seconds_of_500_are_normal_on_k3s() {
    check(&k3s("pi"), &healthy(), Verdict::Ready, "normal");
}

#[test]
fn a_certificate_after_25_s_is_late() {
    check(
        &k3s("pi"),
        &late_certificate(),
        Verdict::ReadyLate,
        "Ready at 46.430s",
    );
}

#[test]
fn the_normal_time_follows_from_the_settings() {
    let mut case = k3s("pi");
    // 1.4 s start, 15 s resolution, 8 ms stagger, 1 s scrape; 2 s period, 1.5 s propagation.
    assert_eq!(ready_by(&case), 20_908 * crate::common::MS);
    case.readiness = Some(ProbeBrief {
        initial_delay_ns: 20_000 * crate::common::MS,
        period_ns: 10_000 * crate::common::MS,
        ..ProbeBrief::default()
    });
    assert_eq!(ready_by(&case), 31_500 * crate::common::MS);
    case.resolution_ns = 60_000 * crate::common::MS;
    assert_eq!(ready_by(&case), 73_908 * crate::common::MS);
}

#[test]
fn a_firewall_that_never_opens_is_not_ready() {
    check(&k3s("pi"), &firewall(), Verdict::NotReady, "never Ready");
}

#[test]
fn ready_that_is_lost_for_good_is_not_ready() {
    let trace = ready_pod().ready(60_000, false).end(120_000);
    check(&k3s("pi"), &trace, Verdict::NotReady, "is not at the end");
}

#[test]
fn one_outage_is_not_flapping_and_two_are() {
    let mut story = ready_pod();
    story.ready(50_000, false).ready(60_000, true);
    check(
        &k3s("pi"),
        &story.clone().end(120_000),
        Verdict::Ready,
        "normal",
    );
    story.ready(70_000, false).ready(80_000, true);
    check(
        &k3s("pi"),
        &story.end(120_000),
        Verdict::Flapping,
        "Ready was lost",
    );
}

#[test]
fn an_api_service_that_toggles_is_flapping() {
    let mut story = ready_pod();
    for at in [40_000, 60_000] {
        story.api_service(at, "False", "FailedDiscoveryCheck");
        story.api_service(at + 5_000, "True", "Passed");
    }
    check(
        &k3s("pi"),
        &story.end(120_000),
        Verdict::Flapping,
        "the APIService was lost",
    );
}

#[test]
fn one_in_three_answers_is_flapping_at_the_client() {
    let mut story = ready_pod();
    for (step, at) in (30_000..90_000).step_by(5_000).enumerate() {
        let outcome = if step % 3 == 0 { "200" } else { "503" };
        story.response(at, "kubectl-top", NODES, outcome, "");
    }
    check(
        &k3s("pi"),
        &story.end(120_000),
        Verdict::Flapping,
        "kubectl-top",
    );
}

#[test]
fn a_node_that_flickers_is_flapping_but_one_that_left_is_not() {
    let mut story = ready_pod();
    for at in [40_000, 70_000] {
        story
            .witness(at, "200", &["pi"])
            .witness(at + 15_000, "200", &["b", "pi"]);
    }
    story
        .witness(100_000, "200", &["pi"])
        .witness(115_000, "200", &["b", "pi"]);
    let mut case = k3s("pi");
    case.nodes.push(node("b"));
    let trace = story.end(120_000);
    check(&case, &trace, Verdict::Flapping, "node b was lost");
    case.nodes[1].stays[0].to_ns = Some(60_000 * crate::common::MS);
    check(&case, &trace, Verdict::Ready, "normal");
}

#[test]
fn an_api_service_that_is_not_available_makes_it_unreachable() {
    let mut story = ready_pod();
    story.api_service(18_500, "False", "FailedDiscoveryCheck");
    let trace = story.end(120_000);
    check(
        &k3s("pi"),
        &trace,
        Verdict::ReadyButUnreachable,
        "FailedDiscoveryCheck",
    );
}

#[test]
fn a_caller_who_is_forbidden_makes_it_unreachable() {
    let mut story = ready_pod();
    story.response(
        90_000,
        "kubectl-top",
        NODES,
        "403",
        "Error from server (Forbidden)",
    );
    check(
        &k3s("pi"),
        &story.end(120_000),
        Verdict::ReadyButUnreachable,
        "403",
    );
}

#[test]
fn a_run_that_ends_right_after_ready_is_not_called_unreachable() {
    let mut story = Story::new();
    story
        .start(2_000, 0)
        .bind(2_450)
        .serve(2_570)
        .ready(18_000, true);
    check(
        &k3s("pi"),
        &story.clone().end(18_500),
        Verdict::Ready,
        "normal",
    );
    check(
        &k3s("pi"),
        &story.end(21_000),
        Verdict::ReadyButUnreachable,
        "MissingEndpoints",
    );
}

#[test]
fn a_node_that_is_never_served_degrades_but_a_newcomer_does_not() {
    let mut case = k3s("pi");
    case.nodes.push(node("fargate"));
    let trace = ready_pod().end(120_000);
    check(
        &case,
        &trace,
        Verdict::ReadyDegraded,
        "node fargate of 2 is not served",
    );
    case.nodes[1].stays[0].from_ns = 100_000 * crate::common::MS;
    check(&case, &trace, Verdict::Ready, "normal");
}

#[test]
fn pods_that_are_missing_degrade() {
    let mut case = k3s("pi");
    let pod = |name: &str| PodBrief {
        name: name.to_owned(),
        ..PodBrief::default()
    };
    case.nodes[0].pods = vec![pod("web/one"), pod("web/two")];
    let mut story = ready_pod();
    story.at(
        20_000,
        Event::Witness {
            target: "/apis/metrics.k8s.io/v1beta1/pods".to_owned(),
            outcome: "200".to_owned(),
            text: String::new(),
            nodes: Vec::new(),
            pods: vec!["web/one".to_owned()],
        },
    );
    check(
        &case,
        &story.end(120_000),
        Verdict::ReadyDegraded,
        "web/two",
    );
    // One that has only just started is not missed yet.
    case.nodes[0].pods[1].complete_at_ns = 100_000 * crate::common::MS;
    check(&case, &story.end(120_000), Verdict::Ready, "normal");
}

#[test]
fn ends_of_its_own_again_and_again_are_a_crash_loop() {
    check(
        &k3s("pi"),
        &crash_loop(),
        Verdict::CrashLoop,
        "4 times, last with exit 2: unable",
    );
}

#[test]
fn one_crash_is_not_a_loop() {
    let mut story = Story::new();
    story.start(2_000, 0).bind(2_450).exit(2_500, 2, None);
    check(
        &k3s("pi"),
        &story.end(30_000),
        Verdict::NotReady,
        "never Ready",
    );
}

#[test]
fn kills_by_the_liveness_probe_are_a_liveness_loop() {
    let mut story = Story::new();
    for (restart, start) in [(0, 2_000), (1, 32_500)] {
        story
            .start(start, restart)
            .bind(start + 450)
            .exit(start + 30_000, 137, Some("liveness"));
    }
    check(
        &k3s("pi"),
        &story.end(70_000),
        Verdict::LivenessLoop,
        "liveness probe 2 times",
    );
}

#[test]
fn kills_by_the_scenario_are_nobody_s_loop() {
    let mut story = Story::new();
    for (restart, start) in [(0, 2_000), (1, 32_500)] {
        story
            .start(start, restart)
            .bind(start + 450)
            .exit(start + 30_000, 137, Some("action"));
    }
    check(
        &k3s("pi"),
        &story.end(70_000),
        Verdict::NotReady,
        "never Ready",
    );
}

#[test]
fn ends_before_the_port_is_bound_are_a_configuration_error() {
    let mut story = Story::new();
    for (restart, start) in [(0, 2_000), (1, 2_100), (2, 12_300)] {
        story.start(start, restart);
        story.fatal(
            start + 10,
            "metric-resolution should be larger than kubelet-request-timeout",
        );
        story.exit(start + 11, 2, None);
    }
    check(
        &k3s("pi"),
        &story.end(30_000),
        Verdict::ConfigError,
        "metric-resolution should be",
    );
}

#[test]
fn a_bad_node_selector_is_a_configuration_error_after_the_port_is_bound() {
    let mut story = Story::new();
    for (restart, start) in [(0, 2_000), (1, 2_700)] {
        story.start(start, restart).bind(start + 450);
        story.fatal(
            start + 600,
            "unable to parse requirement: found '=', expected: identifier",
        );
        story.exit(start + 610, 2, None);
    }
    check(
        &k3s("pi"),
        &story.end(10_000),
        Verdict::ConfigError,
        "found '='",
    );
}

#[test]
fn a_missed_deadline_fails_the_installation_even_if_ready_comes_later() {
    let mut case = k3s("pi");
    case.deadline_ns = Some(30_000 * crate::common::MS);
    check(&case, &healthy(), Verdict::Ready, "normal");
    check(
        &case,
        &late_certificate(),
        Verdict::InstallFailed,
        "30.000s after the pod was created",
    );
    check(
        &case,
        &firewall(),
        Verdict::InstallFailed,
        "30.000s after the pod was created",
    );
    case.deadline_ns = Some(600_000 * crate::common::MS);
    check(&case, &firewall(), Verdict::NotReady, "never Ready");
}

/// Goal: whoever gives up installing fails the run, under whatever name.
/// Method: the same answer by an installer, by one that succeeds, and by a
/// consumer that installs nothing.
#[test]
fn an_installer_that_gives_up_fails_the_installation() {
    let mut case = k3s("pi");
    let gives_up = |outcome: &str| {
        let mut trace = healthy();
        let text = "Error: INSTALLATION FAILED: context deadline exceeded";
        let event = Event::Response {
            observer: "chart".to_owned(),
            target: "/apis/apps/v1/deployments".to_owned(),
            outcome: outcome.to_owned(),
            text: text.to_owned(),
            duration_ns: 10_000 * crate::common::MS,
        };
        let record = Record {
            t: 12_000 * crate::common::MS,
            seq: 0,
            host: "clients".to_owned(),
            event,
        };
        trace.records.push(record);
        trace.records.sort_by_key(|record| record.t);
        trace
    };
    check(&case, &gives_up("timeout"), Verdict::Ready, "normal");
    let kind = "helm-install".to_owned();
    case.consumers.insert("chart".to_owned(), kind);
    let because = "chart gave up after 10.000s: Error: INSTALLATION FAILED";
    check(&case, &gives_up("timeout"), Verdict::InstallFailed, because);
    check(&case, &gives_up("200"), Verdict::Ready, "normal");
}

#[test]
fn waiting_for_each_other_is_a_deadlock() {
    let mut story = Story::new();
    story.start(2_000, 0).bind(2_450);
    check(
        &k3s("pi"),
        &story.clone().end(60_000),
        Verdict::NotReady,
        "never Ready",
    );
    story.response(20_000, "discovery", "/apis", "503", "service unavailable");
    check(
        &k3s("pi"),
        &story.clone().end(30_000),
        Verdict::NotReady,
        "never Ready",
    );
    check(
        &k3s("pi"),
        &story.end(60_000),
        Verdict::Deadlock,
        "discovery waits",
    );
}

#[test]
fn without_a_readiness_probe_ready_is_at_once_and_normal() {
    let mut case = k3s("pi");
    case.readiness = None;
    let mut story = Story::new();
    story.start(2_000, 0).becomes_reachable(2_100, &["pi"]);
    check(&case, &story.end(60_000), Verdict::Ready, "normal");
}

#[test]
fn an_empty_trace_is_not_ready() {
    check(
        &k3s("pi"),
        &Trace::default(),
        Verdict::NotReady,
        "never started",
    );
}
