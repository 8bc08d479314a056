//! Cases and traces written by hand: what a run would record, on a grid that
//! is easy to check by eye. Times are milliseconds of virtual time.

use reports::case::{Case, NodeBrief, ProbeBrief, Setting, Stay, setting};
use reports::trace::{Event, Record, Trace};

pub(crate) const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
pub(crate) const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const PORT: &str = "[::]:10250";

pub(crate) const REFUSED: &str =
    "Get \"https://10.42.0.9:10250/readyz\": dial tcp 10.42.0.9:10250: connect: connection refused";
pub(crate) const STATUS_500: &str = "HTTP probe failed with statuscode: 500";
pub(crate) const NO_CERTIFICATE: &str =
    "Get \"https://192.168.1.20:10250/metrics/resource\": remote error: tls: internal error";
pub(crate) const DROPPED: &str =
    "Get \"https://192.168.1.20:10250/metrics/resource\": context deadline exceeded";
pub(crate) const NO_CONFIGMAP: &str = "unable to load configmap based request-header-client-ca-file: Get \
     \"https://10.43.0.1:443/api/v1/namespaces/kube-system/configmaps/\
     extension-apiserver-authentication\": dial tcp 10.43.0.1:443: connect: connection refused";

/// K3s' manifest on one node, to be run for two minutes.
pub(crate) fn k3s(name: &str) -> Case {
    let set = |name: &str, value: &str| Setting {
        name: name.to_owned(),
        value: value.to_owned(),
        origin: "k3s-1.36".to_owned(),
    };
    Case {
        name: name.to_owned(),
        description: "a test".to_owned(),
        file: format!("scenarios/{name}.yaml"),
        input_digest: "00".repeat(32),
        preset: "k3s-1.36".to_owned(),
        until_ns: 120 * SECOND,
        version: "0.8".to_owned(),
        resolution_ns: 15 * SECOND,
        request_timeout_ns: 10 * SECOND,
        start_cost_ns: 1_400 * MS,
        readiness: Some(ProbeBrief {
            path: "/readyz".to_owned(),
            initial_delay_ns: 0,
            period_ns: 2 * SECOND,
            timeout_ns: SECOND,
            success_threshold: 1,
            failure_threshold: 3,
        }),
        nodes: vec![node("pi")],
        settings: vec![
            set(setting::RESOLUTION, "15s"),
            set(setting::READINESS_PERIOD, "2"),
            set(setting::READINESS_INITIAL_DELAY, "0"),
        ],
        ..Case::default()
    }
}

pub(crate) fn node(name: &str) -> NodeBrief {
    NodeBrief {
        name: name.to_owned(),
        stays: vec![Stay::default()],
        ..NodeBrief::default()
    }
}

/// Events in any order, put in order at the end.
#[derive(Default, Clone)]
pub(crate) struct Story {
    events: Vec<(u64, &'static str, Event)>,
}

impl Story {
    /// An APIService that waits for endpoints, and a pod created at 1 s.
    pub(crate) fn new() -> Self {
        let mut story = Self::default();
        story.at(
            0,
            Event::Began {
                scenario: "test".to_owned(),
                input_digest: "00".repeat(32),
                seed: 7,
                tool: "0.0.0".to_owned(),
            },
        );
        story.at(0, Event::ApiServiceRegistered);
        story.api_service(0, "False", "MissingEndpoints");
        story.at(1_000, Event::PodCreated);
        story
    }

    pub(crate) fn at(&mut self, ms: u64, event: Event) -> &mut Self {
        let host = match &event {
            Event::Began { .. } | Event::Ended { .. } | Event::Changed { .. } => "world",
            Event::PodCreated | Event::ApiService { .. } | Event::ApiServiceRegistered => {
                "apiserver"
            }
            Event::Response { .. } | Event::Witness { .. } => "clients",
            _ => "metrics-server",
        };
        self.events.push((ms, host, event));
        self
    }

    pub(crate) fn start(&mut self, ms: u64, restart: u32) -> &mut Self {
        self.at(ms, Event::ProcessStarted { restart })
    }

    pub(crate) fn bind(&mut self, ms: u64) -> &mut Self {
        self.at(
            ms,
            Event::PortBound {
                address: PORT.to_owned(),
            },
        )
    }

    /// Informers synced and, 15 ms later, serving.
    pub(crate) fn serve(&mut self, ms: u64) -> &mut Self {
        self.at(ms, Event::InformersSynced);
        self.at(
            ms + 15,
            Event::Serving {
                address: PORT.to_owned(),
            },
        )
    }

    pub(crate) fn exit(&mut self, ms: u64, code: i32, killed_by: Option<&str>) -> &mut Self {
        let killed_by = killed_by.map(str::to_owned);
        self.at(
            ms,
            Event::ProcessExited {
                code,
                reason: "Error".to_owned(),
                killed_by,
            },
        )
    }

    /// What a process prints before it ends with 2.
    pub(crate) fn fatal(&mut self, ms: u64, text: &str) -> &mut Self {
        for text in [format!("Error: {text}"), format!("panic: {text}")] {
            let severity = "F".to_owned();
            self.at(ms, Event::Log { severity, text });
        }
        self
    }

    pub(crate) fn error(&mut self, ms: u64, text: &str) -> &mut Self {
        self.at(
            ms,
            Event::Log {
                severity: "E".to_owned(),
                text: text.to_owned(),
            },
        )
    }

    /// A tick in which `nodes` answer after 20 ms, or fail after `took` ms
    /// with a reason: (node, outcome, text, took).
    pub(crate) fn tick(
        &mut self,
        ms: u64,
        scrapes: &[(&str, &str, &str, u64)],
        servable_nodes: u64,
    ) -> &mut Self {
        self.at(
            ms,
            Event::TickStarted {
                tick: 0,
                nodes: scrapes.len() as u64,
            },
        );
        for (node, outcome, text, took) in scrapes {
            self.at(
                ms + took,
                Event::Scraped {
                    node: (*node).to_owned(),
                    outcome: (*outcome).to_owned(),
                    text: (*text).to_owned(),
                    duration_ns: took * MS,
                },
            );
        }
        let good = scrapes
            .iter()
            .filter(|(_, outcome, ..)| *outcome == "200")
            .count() as u64;
        let took = scrapes.iter().map(|(.., took)| *took).max().unwrap_or(0);
        self.at(
            ms + took,
            Event::TickStored {
                tick: 0,
                nodes: good,
                pods: 2 * good,
                servable_nodes,
                servable_pods: 2 * servable_nodes,
            },
        )
    }

    pub(crate) fn probe(&mut self, ms: u64, outcome: &str, text: &str) -> &mut Self {
        self.response(ms, "readiness-probe", "/readyz", outcome, text)
    }

    pub(crate) fn response(
        &mut self,
        ms: u64,
        observer: &str,
        target: &str,
        outcome: &str,
        text: &str,
    ) -> &mut Self {
        self.at(
            ms,
            Event::Response {
                observer: observer.to_owned(),
                target: target.to_owned(),
                outcome: outcome.to_owned(),
                text: text.to_owned(),
                duration_ns: 0,
            },
        )
    }

    pub(crate) fn ready(&mut self, ms: u64, status: bool) -> &mut Self {
        self.at(
            ms,
            Event::PodCondition {
                condition: "Ready".to_owned(),
                status,
                reason: String::new(),
            },
        )
    }

    pub(crate) fn api_service(&mut self, ms: u64, status: &str, reason: &str) -> &mut Self {
        self.at(
            ms,
            Event::ApiService {
                status: status.to_owned(),
                reason: reason.to_owned(),
                message: String::new(),
            },
        )
    }

    /// The witness reads the list of nodes.
    pub(crate) fn witness(&mut self, ms: u64, outcome: &str, nodes: &[&str]) -> &mut Self {
        self.at(
            ms,
            Event::Witness {
                target: NODES.to_owned(),
                outcome: outcome.to_owned(),
                text: String::new(),
                nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
                pods: Vec::new(),
            },
        )
    }

    /// The pod becomes Ready: endpoint, APIService and answer follow.
    pub(crate) fn becomes_reachable(&mut self, ms: u64, nodes: &[&str]) -> &mut Self {
        self.ready(ms, true);
        let ready = vec!["10.42.0.9".to_owned()];
        self.at(
            ms + 5,
            Event::EndpointSlice {
                ready,
                not_ready: Vec::new(),
            },
        );
        self.api_service(ms + 30, "True", "Passed");
        self.witness(ms + 31, "200", nodes)
    }

    /// Ends the run and puts everything in order.
    pub(crate) fn end(&mut self, ms: u64) -> Trace {
        self.at(
            ms,
            Event::Ended {
                reason: "until".to_owned(),
            },
        );
        self.broken_off()
    }

    /// Puts everything in order without an end.
    pub(crate) fn broken_off(&self) -> Trace {
        let mut events = self.events.clone();
        events.sort_by_key(|(ms, ..)| *ms);
        let record = |(seq, (ms, host, event)): (usize, (u64, &str, Event))| Record {
            t: ms * MS,
            seq: seq as u64,
            host: host.to_owned(),
            event,
        };
        Trace {
            records: events.into_iter().enumerate().map(record).collect(),
        }
    }
}

/// A pod whose container starts at 2 s, ticks from 2.57 s on a grid of 15 s,
/// and is probed at 2.4 s and every 2 s. Its only kubelet, `pi`, fails with
/// `failure` until `good_from` and answers in 20 ms from then on; ready when
/// the second good tick is stored.
pub(crate) fn cold_start(failure: (&str, &str, u64), good_from: u64, until: u64) -> Trace {
    let mut story = Story::new();
    story.start(2_000, 0).bind(2_450).serve(2_570);
    let (outcome, text, took) = failure;
    let mut stored_ready = None;
    let mut before_good = false;
    for start in (2_570..until).step_by(15_000) {
        let good = start >= good_from;
        let scrape = if good {
            ("pi", "200", "", 20)
        } else {
            ("pi", outcome, text, took)
        };
        if start + scrape.3 >= until {
            break;
        }
        let servable = good && before_good;
        story.tick(start, &[scrape], u64::from(servable));
        if servable {
            stored_ready.get_or_insert(start + scrape.3);
        }
        before_good = good;
    }
    let ready_from = stored_ready.unwrap_or(u64::MAX);
    for at in (2_400..until).step_by(2_000) {
        match at {
            2_400 => story.probe(at, "refused", REFUSED),
            _ if at < ready_from => story.probe(at, "500", STATUS_500),
            _ => story.probe(at, "200", ""),
        };
    }
    if let Some(stored) = stored_ready {
        let readyz = Event::Witness {
            target: "/readyz".to_owned(),
            outcome: "200".to_owned(),
            text: String::new(),
            nodes: Vec::new(),
            pods: Vec::new(),
        };
        story.at(stored, readyz);
        let passed = 2_400 + (stored - 2_400).div_ceil(2_000) * 2_000;
        story.becomes_reachable(passed + 30, &["pi"]);
    }
    story.end(until)
}

/// Nothing is wrong.
pub(crate) fn healthy() -> Trace {
    cold_start(("", "", 0), 0, 120_000)
}

/// The kubelet's certificate comes 25 s after the process.
pub(crate) fn late_certificate() -> Trace {
    cold_start(("tls", NO_CERTIFICATE, 8), 27_000, 120_000)
}

/// A firewall drops everything to the kubelet, for ever.
pub(crate) fn firewall() -> Trace {
    cold_start(("timeout", DROPPED, 10_000), u64::MAX, 120_000)
}

/// The API server refuses: the process ends with 2 again and again.
pub(crate) fn crash_loop() -> Trace {
    let mut story = Story::new();
    let starts = [
        (2_000, None),
        (2_600, Some(10)),
        (13_100, Some(20)),
        (34_000, Some(40)),
    ];
    for (restart, (start, back_off)) in (0..).zip(starts) {
        story
            .start(start, restart)
            .bind(start + 450)
            .fatal(start + 490, NO_CONFIGMAP);
        story.exit(start + 500, 2, None);
        if let Some(seconds) = back_off {
            story.at(
                start + 501,
                Event::BackOff {
                    nominal_ns: seconds * SECOND,
                },
            );
        }
    }
    for at in (2_400..60_000).step_by(2_000) {
        story.probe(at, "refused", REFUSED);
    }
    story.end(60_000)
}
