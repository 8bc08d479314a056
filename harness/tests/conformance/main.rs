//! Recorded reality: the same start, simulated, must reach the recorded
//! milestones with the recorded codes and texts.
//!
//! The recordings are timelines of the real metrics-server behind a real
//! kube-apiserver; `../recordings/README.md` tells how they were made. For
//! each, [`scenario`] writes a scenario with its parameters, probe phase and
//! start cost included.
//!
//! What is compared: the first `/readyz` 200, the pod's Ready condition, the
//! APIService's Available condition and the first 200 through the aggregation
//! layer, each within 0.7 s (every observer of the recordings looked at least
//! that often); every probe's code and time; exits and restarts; the codes and
//! texts that clients of the aggregation layer saw; and the errors that the
//! server logged for its scrapes.

mod recording;
mod scenario;

use std::path::PathBuf;

use firstlight::run;
use firstlight::seed::Seed;
use recording::Recording;
use reports::trace::{Event, Trace};

/// How far a simulated instant may lie from the recorded one.
const TOLERANCE_MS: i64 = 700;

/// How often the recorder asked the aggregation layer.
const OBSERVER_PERIOD_MS: i64 = 500;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

/// Simulates a recording and lists where the two disagree.
fn disagreements(name: &str) -> Vec<String> {
    let recording = Recording::read(&directory().join(format!("{name}.json")));
    let text = scenario::yaml(&recording);
    let scenario = match firstlight::scenario::parse(&format!("{name}.yaml"), &text) {
        Ok(scenario) => scenario,
        Err(diagnostics) => panic!("{text}\n{diagnostics}"),
    };
    let trace = run::simulate(&scenario, Seed(1)).expect("time moves");
    let seen = Seen::of(&trace);
    let mut found = Vec::new();
    for (what, recorded, simulated) in [
        ("/readyz 200", recording.readyz_200(), seen.readyz_200),
        ("pod Ready", recording.pod_ready(), seen.pod_ready),
        (
            "APIService Available",
            recording.api_service_available(),
            seen.available,
        ),
        (
            "first 200 of the API",
            recording.first_api_200(),
            seen.first_api_200,
        ),
    ] {
        compare(&mut found, what, recorded, simulated);
    }
    compare_series(&mut found, "probe", &recording.probes(), &seen.probes);
    compare_series(&mut found, "process", &recording.process(), &seen.process);
    compare_sets(
        &mut found,
        "aggregation layer",
        &recording.aggregation_texts(),
        &seen.api_texts(),
    );
    compare_sets(
        &mut found,
        "scrape error",
        &recording.scrape_errors(),
        &seen.scrape_errors,
    );
    found
}

fn compare(found: &mut Vec<String>, what: &str, recorded: Expected, simulated: Option<i64>) {
    match (recorded, simulated) {
        (Expected::Unknown, _) | (Expected::Never, None) => {}
        (Expected::At(recorded), Some(simulated))
            if (recorded - simulated).abs() <= TOLERANCE_MS => {}
        (recorded, simulated) => {
            found.push(format!(
                "{what}: recorded {recorded:?}, simulated {simulated:?} ms"
            ));
        }
    }
}

/// Same words in the same order, each about the same time.
fn compare_series(
    found: &mut Vec<String>,
    what: &str,
    recorded: &[(i64, String)],
    simulated: &[(i64, String)],
) {
    let close =
        |(a, b): (&(i64, String), &(i64, String))| a.1 == b.1 && (a.0 - b.0).abs() <= TOLERANCE_MS;
    let same = recorded.len() == simulated.len() && recorded.iter().zip(simulated).all(close);
    if !same {
        found.push(format!(
            "{what}s\n  recorded  {recorded:?}\n  simulated {simulated:?}"
        ));
    }
}

/// Everything recorded was seen, and nothing else.
fn compare_sets(found: &mut Vec<String>, what: &str, recorded: &[String], simulated: &[String]) {
    for text in recorded.iter().filter(|text| !simulated.contains(text)) {
        found.push(format!("{what}: recorded only: {text}"));
    }
    for text in simulated.iter().filter(|text| !recorded.contains(text)) {
        found.push(format!("{what}: simulated only: {text}"));
    }
}

/// What a recording says about a milestone.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// Reached this many milliseconds after the process started.
    At(i64),
    /// Not reached.
    Never,
    /// The recording cannot say.
    Unknown,
}

/// What the simulation showed, in milliseconds since the process started.
#[derive(Default)]
struct Seen {
    readyz_200: Option<i64>,
    pod_ready: Option<i64>,
    available: Option<i64>,
    first_api_200: Option<i64>,
    probes: Vec<(i64, String)>,
    process: Vec<(i64, String)>,
    api_answers: Vec<(i64, String)>,
    scrape_errors: Vec<String>,
}

const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";

impl Seen {
    fn of(trace: &Trace) -> Self {
        let start = trace
            .records
            .iter()
            .find(|record| matches!(record.event, Event::ProcessStarted { .. }))
            .expect("the process starts")
            .t;
        let mut seen = Self::default();
        for record in &trace.records {
            let at = (i64::try_from(record.t).expect("short")
                - i64::try_from(start).expect("short"))
                / 1_000_000;
            seen.note(at, &record.event);
        }
        seen
    }

    /// Codes and texts of the list of nodes other than 200, as far as they
    /// lasted: the recorder looked every half second, the witness at once.
    fn api_texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for (index, (at, answer)) in self.api_answers.iter().enumerate() {
            let end = self
                .api_answers
                .get(index + 1)
                .map_or(i64::MAX, |(at, _)| *at);
            let an_answer = answer.starts_with(|c: char| c.is_ascii_digit());
            let seen = end - at >= OBSERVER_PERIOD_MS && an_answer && !answer.starts_with("200");
            if seen && !texts.contains(answer) {
                texts.push(answer.clone());
            }
        }
        texts
    }

    fn running(&self) -> bool {
        self.process.last().is_some_and(|(_, what)| what == "start")
    }

    fn note(&mut self, at: i64, event: &Event) {
        let first = |slot: &mut Option<i64>| *slot = slot.or(Some(at));
        match event {
            Event::Witness {
                target, outcome, ..
            } if target == "/readyz" && outcome == "200" => {
                first(&mut self.readyz_200);
            }
            Event::Witness {
                target,
                outcome,
                text,
                ..
            } if target == NODES => {
                if outcome == "200" {
                    first(&mut self.first_api_200);
                }
                self.api_answers
                    .push((at, recording::answer(outcome, text)));
            }
            Event::PodCondition {
                condition,
                status: true,
                ..
            } if condition == "Ready" => {
                first(&mut self.pod_ready);
            }
            Event::ApiService { status, .. } if status == "True" => first(&mut self.available),
            // The recorder's prober knew at once when the process was gone; a
            // kubelet goes on probing for up to a second.
            Event::Response {
                observer, outcome, ..
            } if observer == "readiness-probe" && self.running() => {
                self.probes.push((at, outcome.clone()));
            }
            Event::ProcessStarted { .. } => self.process.push((at, "start".to_owned())),
            Event::ProcessExited { code, .. } => self.process.push((at, format!("exit {code}"))),
            Event::Scraped { text, .. } if !text.is_empty() => {
                let line = recording::normalised(text);
                if !self.scrape_errors.contains(&line) {
                    self.scrape_errors.push(line);
                }
            }
            _ => {}
        }
    }
}

fn check(name: &str) {
    let found = disagreements(name);
    assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
}

macro_rules! recordings {
    ($($test:ident: $name:literal;)*) => {
        $(#[test] fn $test() { check($name); })*
    };
}

recordings! {
    e1_healthy_15s_1: "E1-healthy-15s-pod-r1";
    e1_healthy_15s_2: "E1-healthy-15s-pod-r2";
    e1_healthy_15s_3: "E1-healthy-15s-pod-r3";
    e1_healthy_15s_v0_9: "E1-healthy-15s-pod-v090b";
    e2_healthy_60s_1: "E2-healthy-60s-static-r1";
    e2_healthy_60s_2: "E2-healthy-60s-static-r2";
    e3_port_closed_1: "E3-port-closed-25s-r1";
    e3_port_closed_2: "E3-port-closed-25s-r2";
    e3_port_closed_3: "E3-port-closed-25s-r3";
    e3_port_closed_not_ready_v0_9: "E3-port-closed-25s-notready-v090b";
    e4_no_certificate_1: "E4-no-cert-25s-r1";
    e4_no_certificate_2: "E4-no-cert-25s-r2";
    e6_http_hangs: "E6-hang_http-until-62s-r1";
    e7_http_status: "E7-http-status-r1";
    e8_one_of_three_late: "E8-1-of-3-late-40s-pod-r1";
    e9_apiservice_late_1: "E9-apiservice-late-36s-r1";
    e9_apiservice_late_2: "E9-apiservice-late-36s-r2";
    e10_killed_pod: "E10-kill55-start85-pod-r1";
    e10_killed_static_1: "E10-kill55-start85-static-r1";
    e10_killed_static_2: "E10-kill55-start85-static-r2";
    e10b_killed_and_restarted: "E10b-kill55-restart57-pod";
    e11_apiserver_starts_late_1: "E11-apiserver-starts-20s-r1";
    e11_apiserver_starts_late_2: "E11-apiserver-starts-20s-r2";
    e11b_api_refused: "E11b-api-refused-20s";
    e11c_api_hangs_20s: "E11c-api-hangs-20s";
    e11c_api_hangs_75s: "E11c-api-hangs-75s";
    e13_start_times_1: "E13-start-times-15s-r1";
    e13_start_times_2: "E13-start-times-15s-r2";
    e14_kubectl_top_pod: "E14-kubectl-top-pod";
    e14_kubectl_top_static: "E14-kubectl-top-static";
    e14_kubectl_top_no_apiservice: "E14-kubectl-top-no-apiservice";
    e17_slow_2s_pod: "E17-slow-2s-pod";
    e17_slow_2s: "E17-slow-2s";
    e17_slow_9s: "E17-slow-9s";
    e17_slow_14s: "E17-slow-14s";
    e17b_timeout_flag_invalid: "E17b-timeout-flag-invalid";
    e17c_resolution_invalid: "E17c-resolution-5s-invalid";
}
