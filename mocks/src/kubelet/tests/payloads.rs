//! What an answer says, whole or spoilt.

use super::*;

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
