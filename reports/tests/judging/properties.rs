//! Goal: no trace makes the judge or its reports panic, and what they say is
//! whole.
//! Method: any order of any events on any machine, most of which no world
//! produces, judged for cases with every kind of claim.

use crate::common::{NODES, k3s, node};
use proptest::collection::vec;
use proptest::prelude::*;
use reports::case::{Case, Change, Pending};
use reports::exit::ExitStatus;
use reports::expectation::{
    Bounds, Claim, Condition, Expectation, Happening, Listed, Measure, Mode, Service, Window,
};
use reports::json::Document;
use reports::judgement::{ScenarioJudgement, judge};
use reports::moment::{AnswerFilter, EventFilter, ExitFilter, LogFilter};
use reports::text::{self, Style};
use reports::trace::{Event, Record, Trace};

const PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

fn names(words: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    vec(word(words), 0..3)
}

const OUTCOMES: &[&str] = &["200", "401", "500", "503", "refused", "timeout", "tls", ""];
const TEXTS: &[&str] = &[
    "",
    "ok",
    "x509: \u{1b}[31m",
    "ü\nline two",
    "lookup a: no such host",
];

fn answer() -> impl Strategy<Value = Event> {
    let observer = word(&[
        "readiness-probe",
        "liveness-probe",
        "startup-probe",
        "aggregator-check",
        "kubectl-top",
        "hpa",
        "controller-manager",
        "somebody",
    ]);
    let target = word(&["/readyz", "/livez", NODES, PODS, "/apis", ""]);
    (
        observer,
        target,
        word(OUTCOMES),
        word(TEXTS),
        0..40_000_000_000_u64,
    )
        .prop_map(
            |(observer, target, outcome, text, duration_ns)| Event::Response {
                observer,
                target,
                outcome,
                text,
                duration_ns,
            },
        )
}

fn witness() -> impl Strategy<Value = Event> {
    (
        word(&["/readyz", NODES, PODS]),
        word(OUTCOMES),
        names(&["pi", "b"]),
        names(&["kube-system/coredns"]),
    )
        .prop_map(|(target, outcome, nodes, pods)| Event::Witness {
            target,
            outcome,
            text: String::new(),
            nodes,
            pods,
        })
}

fn life() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..4_u32).prop_map(|restart| Event::ProcessStarted { restart }),
        Just(Event::PodCreated),
        (0..3_u32).prop_map(|revision| Event::ReplicaCreated {
            object: "metrics-server-x".to_owned(),
            revision,
        }),
        Just(Event::ReplicaDeleted),
        Just(Event::PortBound {
            address: String::new()
        }),
        Just(Event::InformersSynced),
        Just(Event::Serving {
            address: String::new()
        }),
        (word(&["I", "E", "F"]), word(TEXTS))
            .prop_map(|(severity, text)| Event::Log { severity, text }),
        (
            -1..300_i32,
            word(&["Error", "OOMKilled", ""]),
            prop::option::of(word(&["liveness", "startup", "action", "eviction"]))
        )
            .prop_map(|(code, reason, killed_by)| Event::ProcessExited {
                code,
                reason,
                killed_by
            }),
        any::<u64>().prop_map(|nominal_ns| Event::BackOff { nominal_ns }),
        (word(&["Ready", "PodScheduled"]), any::<bool>()).prop_map(|(condition, status)| {
            Event::PodCondition {
                condition,
                status,
                reason: String::new(),
            }
        }),
    ]
}

fn scraping() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..3_u64).prop_map(|nodes| Event::TickStarted { tick: 0, nodes }),
        (
            word(&["pi", "b"]),
            word(OUTCOMES),
            word(TEXTS),
            any::<u64>()
        )
            .prop_map(|(node, outcome, text, duration_ns)| Event::Scraped {
                node,
                outcome,
                text,
                duration_ns
            }),
        (0..3_u64, 0..3_u64, 0..3_u64, 0..3_u64).prop_map(
            |(nodes, pods, servable_nodes, servable_pods)| Event::TickStored {
                tick: 0,
                nodes,
                pods,
                servable_nodes,
                servable_pods
            }
        ),
    ]
}

fn surroundings() -> impl Strategy<Value = Event> {
    prop_oneof![
        names(&["10.42.0.9"]).prop_map(|ready| Event::EndpointSlice {
            ready,
            not_ready: Vec::new()
        }),
        Just(Event::ApiServiceRegistered),
        (word(&["True", "False", "Unknown"]), word(TEXTS)).prop_map(|(status, message)| {
            Event::ApiService {
                status,
                reason: "MissingEndpoints".to_owned(),
                message,
            }
        }),
        word(TEXTS).prop_map(|message| Event::Kubernetes {
            kind: "Warning".to_owned(),
            reason: "Unhealthy".to_owned(),
            message
        }),
        Just(Event::Changed {
            what: "kubelet: state".to_owned()
        }),
        Just(Event::PathRuleHit {
            rule: "cut".to_owned()
        }),
        any::<u64>().prop_map(|count| Event::PathTotals {
            totals: vec![("cut".to_owned(), count)]
        }),
        any::<u64>().prop_map(|count| Event::FaultTotals {
            totals: vec![("clock".to_owned(), count)]
        }),
        Just(Event::NotModelled {
            request: "GET /".to_owned()
        }),
        word(&["until", "stuck"]).prop_map(|reason| Event::Ended { reason }),
    ]
}

fn any_trace() -> impl Strategy<Value = Trace> {
    let event = prop_oneof![answer(), witness(), life(), scraping(), surroundings()];
    let host = word(&[
        "metrics-server",
        "metrics-server-2",
        "pi",
        "apiserver-b",
        "clients",
    ]);
    vec((0..20_000_000_000_u64, host, event), 0..60).prop_map(|events| {
        let mut t = 0;
        let record = |(seq, (wait, host, event))| {
            t += wait;
            Record {
                t,
                seq: seq as u64,
                host,
                event,
            }
        };
        Trace {
            records: events.into_iter().enumerate().map(record).collect(),
        }
    })
}

/// Every kind of claim.
fn claims() -> Vec<Expectation> {
    let bounds = Bounds {
        min: Some(1),
        max: Some(20_000_000_000),
    };
    let answers = AnswerFilter {
        observer: "readiness-probe".to_owned(),
        outcome: Some("500".to_owned()),
        ..AnswerFilter::default()
    };
    let mut claims = vec![
        Claim::Verdict("READY".to_owned()),
        Claim::Milestone {
            name: "timeToReady".to_owned(),
            bounds,
        },
        Claim::NoMilestone("firstApi200".to_owned()),
        Claim::Outcomes {
            observer: "scraper".to_owned(),
            outcomes: vec!["200".to_owned()],
        },
        Claim::Restarts(bounds),
        Claim::Cause {
            place: 2,
            text: Some("x509".to_owned()),
            setting: Some("nodes".to_owned()),
        },
    ];
    for what in [
        Happening::Responses(answers.clone()),
        Happening::Logs(LogFilter::default()),
        Happening::Events(EventFilter::default()),
        Happening::Exits(ExitFilter::default()),
    ] {
        for measure in [
            Measure::Count(bounds),
            Measure::Every(bounds),
            Measure::Duration(bounds),
            Measure::First(bounds),
            Measure::Last(bounds),
        ] {
            claims.push(Claim::Happening {
                what: what.clone(),
                window: Window {
                    from_ns: Some(5_000_000_000),
                    to_ns: None,
                },
                measure,
            });
        }
    }
    for service in [
        Service::First(bounds),
        Service::Never,
        Service::Lost(bounds),
        Service::Kept,
        Service::AtEnd(true),
    ] {
        claims.push(Claim::Served {
            what: Listed::Node("pi".to_owned()),
            service,
        });
        claims.push(Claim::Served {
            what: Listed::Pod("kube-system/coredns".to_owned()),
            service,
        });
    }
    for condition in [
        Condition::MetricsApi("200".to_owned()),
        Condition::Readyz("200".to_owned()),
        Condition::PodReady(true),
        Condition::ApiServiceAvailable(true),
        Condition::ServesNode("pi".to_owned()),
        Condition::ServesPod("kube-system/coredns".to_owned()),
        Condition::Running(false),
        Condition::Response(answers),
    ] {
        for mode in [Mode::Always, Mode::Eventually, Mode::Never, Mode::Sometimes] {
            claims.push(Claim::Holds {
                condition: condition.clone(),
                mode,
                window: Window {
                    from_ns: None,
                    to_ns: Some(60_000_000_000),
                },
            });
        }
    }
    claims
        .into_iter()
        .map(|claim| Expectation {
            claim,
            line: 1,
            column: 1,
        })
        .collect()
}

fn case() -> Case {
    Case {
        nodes: vec![node("pi"), node("b")],
        expectations: claims(),
        path_rules: vec!["cut".to_owned()],
        faults: vec!["clock".to_owned()],
        changes: vec![Change {
            at_ns: 5_000_000_000,
            what: "kubelet: state".to_owned(),
            kubelet: Some("pi".to_owned()),
            undoes: false,
        }],
        pending: vec![Pending {
            what: "when: readyz200".to_owned(),
            line: 3,
            column: 5,
        }],
        deadline_ns: Some(60_000_000_000),
        ..k3s("any")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_trace_makes_the_judge_panic(trace in any_trace()) {
        let case = case();
        let run = judge(&case, &trace, 1);
        prop_assert_eq!(run.expectations.len(), case.expectations.len());
        let unready = run.finding.verdict != reports::verdict::Verdict::Ready;
        prop_assert_eq!(unready, !run.explanation.causes.is_empty(), "{:?}", run.finding);
        let named = |cause: &reports::explanation::Cause| {
            !cause.what.is_empty() && !cause.governed_by.name.is_empty()
        };
        prop_assert!(run.explanation.causes.iter().all(named));
        let report = text::report(&case, &run, Style::PLAIN);
        let steers_the_terminal = report.contains('\u{1b}');
        prop_assert!(!steers_the_terminal);
        let scenario = ScenarioJudgement { case, runs: vec![run] };
        prop_assert!(!text::library(std::slice::from_ref(&scenario), Style::ASCII).is_empty());
        let document = Document::new(std::slice::from_ref(&scenario), ExitStatus::of(std::slice::from_ref(&scenario)));
        let read: Document = serde_json::from_str(&document.to_json()).expect("JSON");
        prop_assert_eq!(read, document);
    }
}
