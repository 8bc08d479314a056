use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::*;
use crate::http_client::testing::{Pipes, Recording, TestClock, paused};
use crate::http_server::testing::{Answer, Client, PATIENCE, connect};
use crate::load::{Container, Load, Pod};
use crate::tls::{Verify, client_config};
use tokio::time::Instant;

const TOKEN: &str = "token-of-metrics-server";
const HOUR: i64 = 3_600_000_000_000;

/// Seconds since the start, and a change to a healthy behaviour.
type Entry<'a> = (u64, &'a dyn Fn(&mut KubeletBehaviour));

/// A kubelet on a machine of its own, and a client's machine.
struct World {
    clients: Host,
    start: Instant,
    recording: Rc<Recording>,
    authority: Rc<Authority>,
    load: CurrentLoad,
    /// Steps of the clock: since when, and by how much, in nanoseconds.
    steps: Rc<Cell<(i64, i64)>>,
    address: SocketAddr,
}

impl World {
    fn new(entries: &[Entry<'_>]) -> Self {
        let clock = TestClock::new();
        let network = Pipes::new();
        let (host, clients) = (network.host("pi", &clock), network.host("clients", &clock));
        let (start, recording) = (Instant::now(), Recording::new());
        let ip = IpAddr::from([10, 0, 0, 5]);
        let now = host.now();
        let authority = Rc::new(authority("cluster", now));
        let load = CurrentLoad::new(load());
        let script = entries.iter().map(|(seconds, change)| {
            let mut behaviour = healthy(ip, now);
            change(&mut behaviour);
            (Duration::from_secs(*seconds), behaviour)
        });
        let steps = Rc::new(Cell::new((i64::MAX, 0)));
        let known_steps = Rc::clone(&steps);
        let config = KubeletConfig {
            node: "pi".to_owned(),
            address: ip,
            start: start.into(),
            behaviour: Script::new(start, script.collect()),
            load: load.clone(),
            wall_at: Rc::new(move |at_ns| {
                let (since_ns, by_ns) = known_steps.get();
                now.offset(at_ns)
                    .offset(if at_ns >= since_ns { by_ns } else { 0 })
            }),
            true_time: {
                let host = host.clone();
                Rc::new(move || host.now())
            },
            authority: Rc::clone(&authority),
            seed: "7".into(),
            token: TOKEN.into(),
            authorizer: Rc::new(|_| Review::Allowed),
        };
        host.spawn(run(host.clone(), config, recording.clone()));
        Self {
            clients,
            start,
            recording,
            authority,
            load,
            steps,
            address: SocketAddr::new(ip, 10250),
        }
    }

    async fn connect(&self) -> Result<Client, String> {
        self.connect_with(&Verify::Insecure).await
    }

    async fn connect_with(&self, verify: &Verify) -> Result<Client, String> {
        // A kubelet listens once it has run for the first time.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let config = client_config(verify, None, self.clients.clock());
        connect(&self.clients, self.address, Some(config)).await
    }

    /// A scrape on a connection of its own.
    async fn scrape(&self) -> Result<Answer, String> {
        self.connect().await?.send(scrape(TOKEN)).await
    }

    fn statuses(&self) -> Vec<u16> {
        let served = self.recording.picked(|event| match event {
            Event::KubeletServed { status } => Some(*status),
            _ => None,
        });
        served.into_iter().map(|(_, status)| status).collect()
    }
}

fn authority(name: &str, now: Timestamp) -> Authority {
    Authority::new(name, name, now.offset(-HOUR), now.offset(100 * HOUR))
}

fn healthy(ip: IpAddr, now: Timestamp) -> KubeletBehaviour {
    KubeletBehaviour {
        port: 10250,
        boot: 0,
        state: KubeletState::Open,
        certificate: Certificate {
            issuer: Issuer::Cluster,
            not_before: now.offset(-HOUR),
            not_after: now.offset(HOUR),
            ips: vec![ip],
            dns: vec!["pi".to_owned()],
            managed: false,
        },
        latency: Latency::independent(Rc::new(|| Duration::from_millis(20))),
        access: Access::default(),
        minor: 36,
        status: 200,
        payload: Payload::Healthy,
        flaws: Rc::new([]),
        endpoints: Rc::new([]),
        attempts: None,
        housekeeping: Housekeeping::every(None),
        timestamps: Timestamps::Read,
        effects: Rc::new(|_| ()),
    }
}

fn load() -> Load {
    Load {
        cpu_nanocores: 500_000_000,
        memory_bytes: 1 << 30,
        up_for: Duration::from_secs(100),
        pods: vec![Pod {
            namespace: "default".to_owned(),
            name: "web-0".to_owned(),
            containers: vec![Container {
                name: "web".to_owned(),
                started_ns: -50_000_000_000,
                cpu_nanocores: 100_000_000,
                memory_bytes: 1 << 20,
            }],
        }],
    }
}

fn scrape(token: &str) -> Request<Full<Bytes>> {
    Request::get("/metrics/resource")
        .header("host", "10.0.0.5:10250")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::default())
        .expect("a fixed request")
}

/// Value and timestamp of the first sample that begins with `name`.
fn sample(answer: &Answer, name: &str) -> (f64, i64) {
    let line = answer.text().lines().find(|line| line.starts_with(name));
    let mut words = line.expect("the series is there").rsplit(' ');
    let time = words.next().unwrap().parse().expect("a timestamp");
    (words.next().unwrap().parse().expect("a value"), time)
}

async fn until(seconds: u64, world: &World) {
    tokio::time::sleep_until(world.start + Duration::from_secs(seconds)).await;
}

#[test]
fn each_state_meets_a_client_in_its_own_way() {
    let state =
        |state: KubeletState| move |behaviour: &mut KubeletBehaviour| behaviour.state = state;
    paused(async move {
        let world = World::new(&[
            (0, &state(KubeletState::Closed)),
            (20, &state(KubeletState::HangTls)),
            (40, &state(KubeletState::NoCertificate)),
            (60, &state(KubeletState::HangHttp)),
            (80, &state(KubeletState::Open)),
        ]);
        assert_eq!(world.scrape().await.unwrap_err(), "ConnectionRefused");
        until(20, &world).await;
        let asked = Instant::now();
        assert_eq!(world.scrape().await.unwrap_err(), "timeout");
        assert!(asked.elapsed() >= PATIENCE);
        until(40, &world).await;
        let alert = "remote error: tls: internal error";
        assert_eq!(world.scrape().await.unwrap_err(), alert);
        until(60, &world).await;
        world.connect().await.expect("TLS answers");
        assert_eq!(world.scrape().await.unwrap_err(), "timeout");
        until(80, &world).await;
        assert_eq!(world.scrape().await.unwrap().status, 200);
        assert_eq!(world.statuses(), [0, 0, 0, 200]);
    });
}

#[test]
fn closing_ends_connections_and_opening_takes_new_ones() {
    paused(async {
        let world = World::new(&[
            (0, &|_| {}),
            (10, &|behaviour| behaviour.state = KubeletState::Closed),
            (20, &|_| {}),
        ]);
        let mut client = world.connect().await.unwrap();
        client.send(scrape(TOKEN)).await.expect("it serves");
        until(9, &world).await;
        assert!(client.is_open());
        until(11, &world).await;
        assert!(!client.is_open());
        assert_eq!(world.scrape().await.unwrap_err(), "ConnectionRefused");
        until(20, &world).await;
        assert_eq!(world.scrape().await.unwrap().status, 200);
    });
}

#[test]
fn another_port_is_another_process() {
    paused(async {
        let mut world = World::new(&[(0, &|_| {}), (10, &|behaviour| behaviour.port = 10260)]);
        let client = world.connect().await.unwrap();
        until(11, &world).await;
        assert!(!client.is_open());
        assert_eq!(world.scrape().await.unwrap_err(), "ConnectionRefused");
        world.address.set_port(10260);
        assert_eq!(world.scrape().await.unwrap().status, 200);
    });
}

#[test]
fn a_machine_that_boots_ends_connections_and_keeps_its_port() {
    paused(async {
        let world = World::new(&[(0, &|_| {}), (10, &|behaviour| behaviour.boot = 1)]);
        let mut client = world.connect().await.unwrap();
        client.send(scrape(TOKEN)).await.expect("it serves");
        until(11, &world).await;
        assert!(!client.is_open());
        let answer = world.scrape().await.unwrap();
        assert_eq!(answer.status, 200);
        // Another process, started ten seconds later.
        assert_eq!(answer.headers["process-start-time-unix"], "1795425730");
    });
}

/// Source: kubernetes/minikube#13969, where nodes were read every few seconds
/// and containers every five minutes.
#[test]
fn containers_can_be_read_less_often_than_their_node() {
    paused(async {
        let world = World::new(&[(0, &|behaviour| {
            behaviour.housekeeping = Housekeeping {
                node: None,
                containers: Some(Duration::from_secs(300)),
            };
        })]);
        let first = world.scrape().await.unwrap();
        until(15, &world).await;
        let second = world.scrape().await.unwrap();
        let time = |answer: &Answer, name| sample(answer, name).1;
        assert!(time(&second, "node_cpu") > time(&first, "node_cpu"));
        assert_eq!(
            time(&second, "container_cpu"),
            time(&first, "container_cpu")
        );
    });
}

/// Source: the recorded start-up E6, where each scrape of a hanging kubelet
/// lasts its whole deadline although the kubelet recovers during one.
#[test]
fn a_request_that_hangs_goes_on_hanging_after_the_recovery() {
    paused(async {
        let world = World::new(&[
            (0, &|behaviour| behaviour.state = KubeletState::HangHttp),
            (5, &|_| {}),
        ]);
        assert_eq!(world.scrape().await.unwrap_err(), "timeout");
        assert_eq!(world.scrape().await.unwrap().status, 200);
    });
}

#[test]
fn a_connection_goes_on_while_new_ones_find_no_certificate() {
    paused(async {
        let world = World::new(&[
            (0, &|_| {}),
            (10, &|behaviour| {
                behaviour.state = KubeletState::NoCertificate
            }),
        ]);
        let mut client = world.connect().await.unwrap();
        until(11, &world).await;
        assert_eq!(client.send(scrape(TOKEN)).await.unwrap().status, 200);
        assert!(world.connect().await.is_err());
    });
}

#[test]
fn each_certificate_is_refused_for_its_defect() {
    const PREFIX: &str = "tls: failed to verify certificate: x509: ";
    const VALIDITY: &str = "certificate has expired or is not yet valid: current time ";
    let check = |change: &dyn Fn(&mut Certificate), expected: &str| {
        paused(async {
            let world = World::new(&[(0, &|behaviour| change(&mut behaviour.certificate))]);
            let roots = Verify::Roots(vec![world.authority.certificate()]);
            let result = world.connect_with(&roots).await;
            let text = result.err().unwrap_or_else(|| "ok".to_owned());
            assert_eq!(text.strip_prefix(PREFIX).unwrap_or(&text), expected);
            world
                .connect()
                .await
                .expect("an insecure client does not mind");
        });
    };
    check(&|_| {}, "ok");
    check(
        &|certificate| certificate.issuer = Issuer::Unknown,
        "certificate signed by unknown authority",
    );
    check(
        &|certificate| {
            certificate.issuer = Issuer::SelfSigned;
            certificate.ips.clear();
        },
        "cannot validate certificate for 10.0.0.5 because it doesn't contain any IP SANs",
    );
    check(
        &|certificate| certificate.issuer = Issuer::SelfSigned,
        "certificate signed by unknown authority",
    );
    check(
        &|certificate| certificate.ips = vec![IpAddr::from([127, 0, 0, 1])],
        "certificate is valid for 127.0.0.1, not 10.0.0.5",
    );
    check(
        &|certificate| certificate.not_before = certificate.not_before.offset(2 * HOUR),
        &format!("{VALIDITY}2026-11-23T09:22:00Z is before 2026-11-23T10:22:00Z"),
    );
    check(
        &|certificate| certificate.not_after = certificate.not_after.offset(-2 * HOUR),
        &format!("{VALIDITY}2026-11-23T09:22:00Z is after 2026-11-23T08:22:00Z"),
    );
}

#[test]
fn only_the_known_token_is_let_in() {
    let request = |path: &str, authorization: &str| {
        Request::get(path)
            .header("authorization", authorization)
            .body(Full::default())
            .unwrap()
    };
    paused(async move {
        let world = World::new(&[(0, &|_| {})]);
        let known = format!("bearer {TOKEN}");
        for (path, authorization, status, body) in [
            ("/metrics/resource", "", 401, Some("Unauthorized")),
            ("/metrics/resource", "Bearer", 401, Some("Unauthorized")),
            (
                "/metrics/resource",
                "Bearer another",
                401,
                Some("Unauthorized"),
            ),
            ("/metrics/resource", "Basic dTpw", 401, Some("Unauthorized")),
            ("/metrics/resource", &known, 200, None),
            ("/nowhere", "Bearer another", 401, Some("Unauthorized")),
            ("/nowhere", &known, 404, Some("404 page not found\n")),
            (
                "/stats/container",
                &known,
                501,
                Some("not modelled: GET /stats/container\n"),
            ),
        ] {
            let mut client = world.connect().await.unwrap();
            let answer = client.send(request(path, authorization)).await.unwrap();
            assert_eq!(answer.status, status, "{path} {authorization}");
            if let Some(body) = body {
                assert_eq!(answer.text(), body);
            }
        }
        assert_eq!(world.statuses(), [401, 401, 401, 401, 200]);
        let not_modelled = world.recording.picked(|event| match event {
            Event::NotModelled { request } => Some(request.clone()),
            _ => None,
        });
        assert_eq!(not_modelled[0].1, "GET /stats/container");
    });
}

#[test]
fn refusals_have_the_kubelets_texts() {
    for (status, body) in [
        (401, "Unauthorized"),
        (
            403,
            "Forbidden (user=system:serviceaccount:kube-system:metrics-server, verb=get, \
             resource=nodes, subresource(s)=[metrics])",
        ),
        (404, "404 page not found\n"),
        (
            500,
            "Authorization error (user=system:serviceaccount:kube-system:metrics-server, \
             verb=get, resource=nodes, subresource=metrics)",
        ),
        (503, "Service Unavailable\n"),
        (204, ""),
    ] {
        paused(async {
            let world = World::new(&[(0, &|behaviour| behaviour.status = status)]);
            let answer = world.scrape().await.unwrap();
            assert_eq!((answer.status, answer.text()), (status, body));
            assert_eq!(world.statuses(), [status]);
        });
    }
}

#[test]
fn a_healthy_answer_is_marked_as_a_kubelets() {
    paused(async {
        let world = World::new(&[(0, &|_| {})]);
        let asked = Instant::now();
        let answer = world.scrape().await.unwrap();
        // A millisecond before it dials, twenty of latency.
        assert_eq!(asked.elapsed(), Duration::from_millis(21));
        let header = |name: &str| answer.headers[name].to_str().unwrap();
        assert_eq!(
            header("content-type"),
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        );
        assert_eq!(header("process-start-time-unix"), "1795425720");
        let (cpu, time) = sample(&answer, "node_cpu_usage_seconds_total");
        assert_eq!((cpu, time), (50.0105, 1_795_425_720_021));
        assert_eq!(sample(&answer, "container_cpu").0, 5.0021);
        assert_eq!(sample(&answer, "pod_memory").0, 1_048_576.0);
        assert!(answer.text().ends_with("resource_scrape_error 0\n"));
    });
}

fn ask(path: &str) -> Request<Full<Bytes>> {
    let mut request = scrape(TOKEN);
    *request.uri_mut() = path.parse().expect("a path");
    request
}

const SUMMARY: &str = "/stats/summary?only_cpu_and_memory=true";

#[test]
fn a_summary_tells_what_the_exposition_tells() {
    paused(async {
        let world = World::new(&[(0, &|_| {})]);
        let mut client = world.connect().await.unwrap();
        let answer = client.send(ask(SUMMARY)).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let expected = serde_json::json!({
            "node": {
                "nodeName": "pi",
                "startTime": "2026-11-23T09:20:20Z",
                "cpu": {
                    "time": "2026-11-23T09:22:00Z",
                    "usageNanoCores": 500_000_000,
                    "usageCoreNanoSeconds": 50_010_500_000_u64,
                },
                "memory": { "time": "2026-11-23T09:22:00Z", "workingSetBytes": 1 << 30 },
            },
            "pods": [{
                "podRef": { "name": "web-0", "namespace": "default" },
                "containers": [{
                    "name": "web",
                    "startTime": "2026-11-23T09:21:10Z",
                    "cpu": {
                        "time": "2026-11-23T09:22:00Z",
                        "usageNanoCores": 100_000_000,
                        "usageCoreNanoSeconds": 5_002_100_000_u64,
                    },
                    "memory": { "time": "2026-11-23T09:22:00Z", "workingSetBytes": 1 << 20 },
                }],
            }],
        });
        assert_eq!((answer.status, body), (200, expected));
    });
}

#[test]
fn a_summary_has_the_defects_of_its_payload() {
    let body = |payload: Payload| {
        let (sender, receiver) = std::sync::mpsc::channel();
        paused(async {
            let world = World::new(&[(0, &|behaviour| behaviour.payload = payload.clone())]);
            let mut client = world.connect().await.unwrap();
            let answer = client.send(ask(SUMMARY)).await.unwrap();
            let body = serde_json::from_slice::<serde_json::Value>(&answer.body);
            sender.send((answer.status, body.ok())).unwrap();
        });
        receiver.recv().unwrap()
    };
    let at = |payload, pointer: &str| {
        let (status, body) = body(payload);
        assert_eq!(status, 200);
        body.expect("JSON").pointer(pointer).cloned()
    };
    let container = |key| format!("/pods/0/containers/0/{key}");
    assert_eq!(at(Payload::NoNodeSeries, "/node/cpu"), None);
    assert_eq!(
        at(Payload::ZeroNode, "/node/cpu/usageNanoCores"),
        Some(0.into())
    );
    assert_eq!(at(Payload::NoContainerCpu, &container("cpu")), None);
    assert!(at(Payload::NoContainerCpu, &container("memory")).is_some());
    assert_eq!(at(Payload::NoContainerMemory, &container("memory")), None);
    assert_eq!(
        at(
            Payload::NodeStarted(Duration::from_secs(46)),
            "/node/startTime"
        ),
        Some("2026-11-23T09:21:14Z".into())
    );
    assert_eq!(body(Payload::ScrapeError).0, 500);
    for payload in [Payload::Empty, Payload::Garbage, Payload::InvalidUtf8] {
        assert_eq!(body(payload), (200, None));
    }
}

#[test]
fn each_payload_has_its_defect_and_no_other() {
    let body = |payload: Payload| {
        let (sender, receiver) = std::sync::mpsc::channel();
        paused(async {
            let world = World::new(&[(0, &|behaviour| behaviour.payload = payload.clone())]);
            let answer = world.scrape().await.unwrap();
            assert_eq!((answer.status, &answer.broken), (200, &None));
            sender.send(answer.body).unwrap();
        });
        receiver.recv().unwrap()
    };
    let text = |payload| String::from_utf8(body(payload)).unwrap();
    let healthy = text(Payload::Healthy);
    let lines = |text: &str, word: &str| text.lines().filter(|line| line.contains(word)).count();
    for (payload, gone) in [
        (Payload::NoNodeSeries, vec!["node_"]),
        (Payload::NoContainerSeries, vec!["container_"]),
        (Payload::NoContainerCpu, vec!["container_cpu"]),
        (Payload::NoContainerMemory, vec!["container_memory"]),
        (Payload::Healthy, vec![]),
    ] {
        let kept = healthy.lines().filter(|line| {
            let name = line
                .trim_start_matches("# HELP ")
                .trim_start_matches("# TYPE ");
            !gone.iter().any(|prefix| name.starts_with(prefix))
        });
        let kept: Vec<&str> = kept.collect();
        assert_eq!(text(payload).lines().collect::<Vec<_>>(), kept);
    }
    assert_eq!(
        text(Payload::ScrapeError).lines().last(),
        Some("resource_scrape_error 1")
    );
    assert_eq!(lines(&text(Payload::ScrapeError), ""), 3);
    assert_eq!(text(Payload::Empty), "");
    let idle = text(Payload::ZeroNode);
    assert!(
        idle.contains("\nnode_cpu_usage_seconds_total 0 1795425720021\n"),
        "{idle}"
    );
    assert!(
        idle.contains("\nnode_memory_working_set_bytes 0 1795425720021\n"),
        "{idle}"
    );
    assert_eq!(lines(&idle, ""), lines(&healthy, ""));
    let raw = Payload::Raw("cpu {CPU} at {TS}, {other}\n".to_owned());
    assert_eq!(text(raw), "cpu 50.0105 at 1795425720021, {other}\n");
    let twice = text(Payload::DuplicateSeries);
    assert_eq!(lines(&twice, "node_cpu_usage_seconds_total 50"), 2);
    assert_eq!(lines(&twice, "container_cpu_usage_seconds_total{"), 2);
    let invalid = body(Payload::InvalidUtf8);
    assert!(invalid.starts_with(healthy.as_bytes()) && std::str::from_utf8(&invalid).is_err());
    assert!(std::str::from_utf8(&body(Payload::Garbage)).is_err());
}

#[test]
fn a_truncated_body_ends_where_it_should_and_breaks_the_connection() {
    for length in [0, 100, 1_000_000] {
        paused(async {
            let world = World::new(&[(0, &|behaviour| {
                behaviour.payload = Payload::Truncated(length);
            })]);
            let mut client = world.connect().await.unwrap();
            let answer = client.send(scrape(TOKEN)).await.unwrap();
            let declared: usize = answer.headers["content-length"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!(declared > length);
            assert!(answer.broken.is_some_and(|reason| reason != "timeout"));
            assert!(answer.body.len() == length || answer.body.ends_with(b"_error 0\n"));
            assert!(!client.is_open());
        });
    }
}

#[test]
fn an_endless_body_has_no_end() {
    paused(async {
        let world = World::new(&[(0, &|behaviour| behaviour.payload = Payload::Endless)]);
        let answer = world.scrape().await.unwrap();
        assert_eq!(answer.broken.as_deref(), Some("timeout"));
        assert!(
            answer
                .text()
                .contains("resource_scrape_error 0\n# there is more")
        );
        assert!(
            (300_000..1_000_000).contains(&answer.body.len()),
            "{}",
            answer.body.len()
        );
    });
}

/// Goal: what a step of the node's clock looks like from outside. CPU grows
/// with true time; timestamps jump once, with the first reading after it.
#[test]
fn a_step_of_the_clock_shows_in_timestamps_only() {
    paused(async {
        let world = World::new(&[(0, &|behaviour| {
            behaviour.housekeeping = Housekeeping::every(Some(Duration::from_secs(10)));
        })]);
        world.steps.set((60_000_000_000, 3_600_000_000_000));
        let (mut before, mut jumps) = (None, Vec::new());
        for second in (0..120).step_by(5) {
            until(second, &world).await;
            let (cpu, time) = sample(&world.scrape().await.unwrap(), "node_cpu");
            // Half a core since 100 s before the start: when was it read?
            let read_at = ((cpu * 2.0 - 100.0) * 1_000.0).round() as i64;
            // Whole seconds: the timestamp has lost the reading's fraction.
            let ahead = (time - 1_795_425_720_000 - read_at + 500).div_euclid(1_000);
            assert_eq!(ahead, if read_at >= 60_000 { 3_600 } else { 0 });
            if before.is_some_and(|before| before != ahead) {
                jumps.push(second);
            }
            before = Some(ahead);
        }
        assert_eq!(jumps.len(), 1, "{jumps:?}");
        assert!((60..=80).contains(&jumps[0]), "{jumps:?}");
    });
}

#[test]
fn a_container_that_restarts_counts_from_zero() {
    paused(async {
        let world = World::new(&[(0, &|_| {})]);
        let mut load = load();
        load.pods[0].containers[0].started_ns = 30_000_000_000;
        world.load.replace(load);
        let answer = world.scrape().await.unwrap();
        assert!(
            !answer.text().contains("web"),
            "it has not started again yet"
        );
        until(40, &world).await;
        let answer = world.scrape().await.unwrap();
        assert_eq!(sample(&answer, "container_cpu").0, 1.0021);
        assert!(
            answer.text().contains("} 1.79542575e+09\n"),
            "{}",
            answer.text()
        );
    });
}

/// Source: issue texts of fresh nodes, whose kubelets refuse first, are
/// overloaded then, and serve at last.
#[test]
fn a_script_is_met_one_attempt_at_a_time() {
    paused(async {
        let attempts = Rc::new(Attempts::new(vec![
            Attempt::NoCertificate,
            Attempt::Status(503),
            Attempt::Slow(Duration::from_secs(1)),
            Attempt::Hang,
            Attempt::Ok,
        ]));
        let world = World::new(&[(0, &|behaviour| {
            behaviour.attempts = Some(Rc::clone(&attempts));
        })]);
        assert_eq!(
            world.scrape().await.unwrap_err(),
            "remote error: tls: internal error"
        );
        assert_eq!(world.scrape().await.unwrap().status, 503);
        let asked = Instant::now();
        assert_eq!(world.scrape().await.unwrap().status, 200);
        // A millisecond before it dials, twenty of latency.
        assert_eq!(asked.elapsed(), Duration::from_millis(1_021));
        assert_eq!(world.scrape().await.unwrap_err(), "timeout");
        assert_eq!(world.scrape().await.unwrap().status, 200);
        assert_eq!(world.statuses(), [0, 503, 200, 0, 200]);
    });
}

/// Source: apiserver/pkg/authentication/authenticatorfactory/delegating.go:
/// without webhook nobody looks at tokens, so that everybody is anonymous.
#[test]
fn who_is_let_in_depends_on_what_the_kubelet_looks_at() {
    let status = |access: Access, token: &str| {
        let (sender, receiver) = std::sync::mpsc::channel();
        paused(async {
            let world = World::new(&[(0, &|behaviour| behaviour.access = access)]);
            let answer = world.connect().await.unwrap().send(scrape(token)).await;
            let answer = answer.unwrap();
            sender
                .send((answer.status, answer.text().to_owned()))
                .unwrap();
        });
        receiver.recv().unwrap()
    };
    let access = |anonymous, webhook, always_allow| Access {
        anonymous,
        webhook,
        always_allow,
    };
    assert_eq!(status(access(false, true, false), TOKEN).0, 200);
    assert_eq!(status(access(false, false, false), TOKEN).0, 401);
    assert_eq!(status(access(true, true, false), "another").0, 401);
    assert_eq!(
        status(access(true, false, false), TOKEN),
        (
            403,
            "Forbidden (user=system:anonymous, verb=get, resource=nodes, \
             subresource(s)=[metrics])"
                .to_owned()
        )
    );
    assert_eq!(status(access(true, false, true), TOKEN).0, 200);
}

#[test]
fn a_kubelet_of_1_17_does_not_have_the_path() {
    paused(async {
        let world = World::new(&[(0, &|behaviour| behaviour.minor = 17)]);
        assert_eq!(world.scrape().await.unwrap().status, 404);
    });
}

#[test]
fn latency_grows_with_what_runs_and_with_what_is_being_worked_on() {
    paused(async {
        let world = World::new(&[(0, &|behaviour| {
            behaviour.latency = Latency {
                per_pod: Duration::from_millis(30),
                per_container: Duration::from_millis(50),
                per_concurrent: Duration::from_secs(1),
                ..Latency::independent(Rc::new(|| Duration::from_millis(20)))
            };
        })]);
        let asked = Instant::now();
        let both = futures_util::future::join(world.scrape(), world.scrape());
        assert!(both.await.0.is_ok());
        // The second of them waits for the first one's work too.
        assert_eq!(
            asked.elapsed(),
            Duration::from_millis(1 + 20 + 30 + 50 + 1_000)
        );
    });
}

#[test]
fn single_pods_are_spoilt_and_others_are_not() {
    let body = |kind: FlawKind, container: Option<&str>| {
        let (sender, receiver) = std::sync::mpsc::channel();
        paused(async {
            let flaw = Flaw {
                namespace: Some("default".to_owned()),
                pod: "web-0".to_owned(),
                container: container.map(str::to_owned),
                kind,
            };
            let world = World::new(&[(0, &|behaviour| {
                behaviour.flaws = Rc::new([flaw.clone()]);
            })]);
            let mut load = load();
            let mut other = load.pods[0].clone();
            other.name = "db-0".to_owned();
            load.pods.push(other);
            world.load.replace(load);
            sender.send(world.scrape().await.unwrap().body).unwrap();
        });
        String::from_utf8(receiver.recv().unwrap()).unwrap()
    };
    let series = |text: &str, name: &str, pod: &str| {
        let wanted = |line: &&str| line.starts_with(name) && line.contains(pod);
        text.lines().filter(wanted).count()
    };
    let check = |kind, cpu, memory, start| {
        let text = body(kind, None);
        let counted = ["container_cpu", "container_memory", "container_start"]
            .map(|name| series(&text, name, "web-0"));
        assert_eq!(counted, [cpu, memory, start], "{kind:?}");
        assert_eq!(series(&text, "container_", "db-0"), 4, "{kind:?}");
    };
    check(FlawKind::Missing, 0, 0, 0);
    check(FlawKind::NoCpu, 0, 1, 1);
    check(FlawKind::NoMemory, 1, 0, 1);
    check(FlawKind::NoStartTime, 1, 1, 0);
    check(FlawKind::Duplicate, 2, 2, 1);
    check(FlawKind::Unlabelled, 0, 0, 0);
    let text = body(FlawKind::Nan, Some("web"));
    assert_eq!(series(&text, "container_cpu", "web-0\"} NaN "), 1);
    assert_eq!(
        series(&body(FlawKind::Nan, Some("none")), "container_", "NaN"),
        0
    );
    let text = body(FlawKind::Zero, None);
    assert_eq!(series(&text, "container_memory", "web-0\"} 0 "), 1);
}

#[test]
fn samples_can_be_dated_wrongly_or_stand_still() {
    paused(async {
        let world = World::new(&[
            (0, &|behaviour| {
                behaviour.timestamps = Timestamps::Shifted(-60_000_000_000);
            }),
            (10, &|behaviour| {
                behaviour.timestamps = Timestamps::FrozenSince(10_000_000_000);
            }),
        ]);
        let (_, time) = sample(&world.scrape().await.unwrap(), "node_cpu");
        assert_eq!(time, 1_795_425_720_021 - 60_000);
        for second in [20, 30] {
            until(second, &world).await;
            let frozen = sample(&world.scrape().await.unwrap(), "node_cpu");
            assert_eq!(frozen, (55.0, 1_795_425_730_000));
        }
    });
}

/// Source: client-go/util/certificate/certificate_manager.go, `Current`.
#[test]
fn a_manager_does_not_show_a_certificate_that_has_expired() {
    paused(async {
        let world = World::new(&[(0, &|behaviour| {
            behaviour.certificate.managed = true;
            behaviour.certificate.not_after = behaviour.certificate.not_before.offset(HOUR);
            behaviour.certificate.not_before = behaviour.certificate.not_before.offset(-HOUR);
        })]);
        assert_eq!(
            world.scrape().await.unwrap_err(),
            "remote error: tls: internal error"
        );
    });
}

/// Goal: whoever counts faults counts what met a client, once each time.
#[test]
fn every_fault_that_met_a_client_is_told() {
    paused(async {
        let told: Rc<RefCell<Vec<Fault>>> = Rc::default();
        let heard = Rc::clone(&told);
        let world = World::new(&[
            (0, &|behaviour| {
                let heard = Rc::clone(&heard);
                behaviour.effects = Rc::new(move |fault| heard.borrow_mut().push(fault));
                behaviour.status = 503;
                behaviour.certificate.issuer = Issuer::Unknown;
            }),
            (10, &|behaviour| {
                let heard = Rc::clone(&heard);
                behaviour.effects = Rc::new(move |fault| heard.borrow_mut().push(fault));
                behaviour.state = KubeletState::NoCertificate;
            }),
        ]);
        world.scrape().await.unwrap();
        until(10, &world).await;
        let _ = world.scrape().await;
        assert_eq!(
            *told.borrow(),
            [
                Fault::Certificate,
                Fault::Latency,
                Fault::Status,
                Fault::State
            ]
        );
    });
}
