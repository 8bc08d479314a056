//! metrics-server's own test cases, said again.
//!
//! Points are written (start, timestamp, CPU, memory): seconds after a common
//! start, core-seconds, MiB. Stores use a resolution of 60 s.

use std::time::Duration;

use aggregator::decode::decode;
use aggregator::sample::{MetricsBatch, MetricsPoint, PodRef};
use aggregator::store::{Points, Store, Usage};
use aggregator::version::Version;
use seam::Timestamp;

const START: Timestamp = Timestamp::from_seconds(1_600_000_000);
const CORE_SECOND: u64 = 1_000_000_000;
const MIB: u64 = 1 << 20;

/// Start, timestamp, CPU, memory.
type Point = (Option<i64>, i64, u64, u64);

fn after(seconds: i64) -> Timestamp {
    START.offset(seconds * 1_000_000_000)
}

fn point((start, timestamp, cpu, memory): Point) -> MetricsPoint {
    MetricsPoint {
        start: start.map(after),
        timestamp: after(timestamp),
        cumulative_cpu_ns: cpu * CORE_SECOND,
        memory_bytes: memory * MIB,
    }
}

fn usage(timestamp: i64, window: i64, millicores: u64, memory: u64) -> Usage {
    Usage {
        timestamp: after(timestamp),
        window_ns: window * 1_000_000_000,
        cpu_nanocores: millicores * 1_000_000,
        memory_bytes: memory * MIB,
    }
}

fn node_batch(node: Point) -> MetricsBatch {
    MetricsBatch {
        nodes: [("node1".into(), point(node))].into(),
        ..MetricsBatch::default()
    }
}

fn pod1() -> PodRef {
    PodRef::new("ns1", "pod1")
}

fn pod_batch(containers: &[(&str, Point)]) -> MetricsBatch {
    let containers = containers
        .iter()
        .map(|(name, p)| ((*name).into(), point(*p)));
    MetricsBatch {
        pods: [(pod1(), containers.collect())].into(),
        ..MetricsBatch::default()
    }
}

fn store_all(batches: impl IntoIterator<Item = MetricsBatch>) -> Store {
    let mut store = Store::new(Version::V0_9, Duration::from_secs(60));
    for batch in batches {
        store.store(batch);
    }
    store
}

/// Source: `pkg/storage/node_test.go`.
mod nodes {
    use super::*;

    fn check(points: &[Point], expected: Option<Usage>) {
        let store = store_all(points.iter().copied().map(node_batch));
        assert_eq!(store.node("node1").and_then(Result::ok), expected);
    }

    #[test]
    fn provides_node_metrics_from_stored_batches() {
        for start in [Some(0), None] {
            let mut store = store_all([node_batch((start, 10, 10, 2))]);
            assert!(!store.node_ready());
            assert_eq!(store.node("node1"), None);
            store.store(node_batch((start, 20, 20, 3)));
            assert!(store.node_ready());
            assert_eq!(store.node("node1"), Some(Ok(usage(20, 10, 1000, 3))));
            assert_eq!(store.node("node2"), None);
            store.store(MetricsBatch::default());
            assert_eq!(store.node("node1"), None);
        }
    }

    #[test]
    fn handle_repeated_node_metric_point() {
        let batch = node_batch((Some(0), 10, 10, 2));
        let store = store_all([batch.clone(), batch]);
        assert!(!store.node_ready());
        assert_eq!(store.node("node1"), None);
    }

    #[test]
    fn exposes_correct_node_metrics() {
        let mut store = store_all([]);
        assert_eq!(store.points(), None);
        store.store(node_batch((Some(0), 10, 10, 2)));
        assert_eq!(
            store.points(),
            Some(Points {
                nodes: 0,
                containers: 0
            })
        );
        store.store(node_batch((Some(0), 20, 21, 3)));
        assert_eq!(
            store.points(),
            Some(Points {
                nodes: 1,
                containers: 0
            })
        );
    }

    #[test]
    fn should_detect_node_restart_and_skip_metric() {
        check(&[(Some(0), 10, 10, 2), (Some(15), 20, 5, 3)], None);
    }

    #[test]
    fn empty_node_metrics_if_decreased_data_point() {
        check(&[(Some(0), 15, 50, 3), (Some(0), 25, 10, 5)], None);
    }

    #[test]
    fn metrics_older_than_prev() {
        check(
            &[
                (Some(0), 15, 10, 3),
                (Some(0), 35, 50, 5),
                (Some(0), 5, 6, 2),
            ],
            None,
        );
    }

    #[test]
    fn metrics_between_prev_and_last() {
        let points = [
            (Some(0), 15, 10, 1),
            (Some(0), 35, 50, 4),
            (Some(0), 25, 35, 2),
        ];
        check(&points, Some(usage(25, 10, 2500, 2)));
    }
}

/// Source: `pkg/storage/pod_test.go`.
mod pods {
    use super::*;

    const C1: &str = "container1";

    /// The served usages of container1 after `points`, one per batch.
    fn check(points: &[Point], expected: Option<&[Usage]>) {
        let store = store_all(points.iter().map(|p| pod_batch(&[(C1, *p)])));
        let pod = store.pod(&pod1());
        let served: Option<Vec<_>> = pod.map(|pod| {
            pod.containers
                .into_iter()
                .filter_map(|(_, usage)| usage.ok())
                .collect()
        });
        assert_eq!(served.as_deref(), expected);
        assert_eq!(store.pod_ready(), expected.is_some());
    }

    #[test]
    fn provides_pod_metrics_from_stored_batches() {
        for start in [Some(0), None] {
            check(&[(start, 120, 1, 4)], None);
            let points = [(start, 120, 1, 4), (start, 125, 6, 5)];
            check(&points, Some(&[usage(125, 5, 1000, 5)]));
        }
        let mut store = store_all([
            pod_batch(&[(C1, (Some(0), 120, 1, 4))]),
            pod_batch(&[(C1, (Some(0), 125, 6, 5))]),
        ]);
        assert_eq!(store.pod(&PodRef::new("ns1", "pod2")), None);
        store.store(MetricsBatch::default());
        assert_eq!(store.pod(&pod1()), None);
    }

    #[test]
    fn timestamp_of_earliest_container() {
        let mut store = store_all([]);
        assert_eq!(store.points(), None);
        store.store(pod_batch(&[
            (C1, (Some(0), 110, 1, 4)),
            ("container2", (Some(0), 115, 2, 5)),
        ]));
        assert_eq!(
            store.points(),
            Some(Points {
                nodes: 0,
                containers: 0
            })
        );
        store.store(pod_batch(&[
            (C1, (Some(0), 120, 6, 6)),
            ("container2", (Some(0), 125, 7, 7)),
        ]));
        assert_eq!(
            store.points(),
            Some(Points {
                nodes: 0,
                containers: 2
            })
        );
        assert!(store.pod_ready());
        let pod = store.pod(&pod1()).expect("both containers have two points");
        let earliest = pod.earliest().expect("both have a usage");
        assert_eq!(
            (earliest.timestamp, earliest.window_ns),
            (after(120), 10_000_000_000)
        );
    }

    #[test]
    fn handle_repeated_pod_metric_point() {
        check(&[(Some(0), 110, 1, 4), (Some(0), 110, 1, 4)], None);
    }

    #[test]
    fn container_restart_uses_window_from_start_time() {
        let points = [(Some(0), 10, 1, 4), (Some(15), 25, 5, 5)];
        check(&points, Some(&[usage(25, 10, 500, 5)]));
    }

    #[test]
    fn decreased_data_point_leaves_a_pod_without_containers() {
        check(&[(Some(0), 110, 20, 4), (Some(0), 120, 10, 4)], Some(&[]));
    }

    #[test]
    fn metrics_older_than_prev() {
        check(
            &[
                (Some(0), 1115, 20, 4),
                (Some(0), 1125, 40, 4),
                (Some(0), 115, 10, 4),
            ],
            None,
        );
    }

    #[test]
    fn metrics_between_prev_and_last() {
        let points = [
            (Some(0), 115, 10, 4),
            (Some(0), 125, 50, 5),
            (Some(0), 120, 35, 5),
        ];
        check(&points, Some(&[usage(120, 5, 5000, 5)]));
    }

    #[test]
    fn one_point_serves_only_a_container_aged_ten_seconds_to_resolution() {
        check(&[(Some(0), 120, 1, 4)], None);
        check(&[(Some(0), 10, 10, 4)], Some(&[usage(10, 10, 1000, 4)]));
        check(&[(Some(0), -10, 10, 4)], None);
        check(&[(Some(0), 9, 10, 4)], None);
        check(&[(Some(0), 60, 10, 4)], None);
    }

    #[test]
    fn not_all_containers_at_first_cycle() {
        let store = store_all([
            pod_batch(&[(C1, (Some(0), 110, 1, 4))]),
            pod_batch(&[
                (C1, (Some(0), 120, 6, 6)),
                ("container2", (Some(0), 120, 8, 5)),
            ]),
        ]);
        assert_eq!(store.pod(&pod1()), None);
    }

    /// Observed, not tested upstream: the previous point is looked up by pod.
    #[test]
    fn a_late_container_that_repeats_its_timestamp_is_measured_since_the_year_1() {
        let a = |timestamp| ("a", (None, timestamp, 5, 4));
        let b = ("b", (None, 120, 8, 5));
        let store = store_all([
            pod_batch(&[a(110)]),
            pod_batch(&[a(120), b]),
            pod_batch(&[a(130), b]),
        ]);
        let pod = store
            .pod(&pod1())
            .expect("both containers seem to have two points");
        let b = pod.containers[1]
            .1
            .as_ref()
            .expect("the counter did not go down");
        assert_eq!((b.window_ns, b.cpu_nanocores), (i64::MAX, 0));
    }
}

/// Source: `pkg/storage/ready_test.go`.
mod readiness {
    use super::*;

    fn check(batches: [MetricsBatch; 2], expected: [bool; 2]) {
        let mut store = store_all([]);
        let ready = batches.map(|batch| {
            store.store(batch);
            store.ready()
        });
        assert_eq!(ready, expected);
    }

    fn nodes() -> [MetricsBatch; 2] {
        [(Some(0), 10, 10, 2), (Some(0), 20, 20, 3)].map(node_batch)
    }

    fn pods() -> [MetricsBatch; 2] {
        [(Some(0), 120, 1, 4), (Some(0), 125, 6, 5)].map(|p| pod_batch(&[("container1", p)]))
    }

    #[test]
    fn nodes_and_pods_are_both_needed() {
        check(nodes(), [false, false]);
        check(pods(), [false, false]);
        let [mut first, mut second] = nodes();
        let [first_pods, second_pods] = pods();
        assert!(first.absorb(first_pods).is_empty());
        assert!(second.absorb(second_pods).is_empty());
        check([first, second], [false, true]);
    }
}

/// Source: `pkg/storage/types_test.go: Test_resourceUsage`.
mod usage {
    use super::*;
    use aggregator::store::UsageError;

    /// Start and timestamp in milliseconds, CPU in nanoseconds, bytes.
    fn check(prev: (i64, i64, u64, u64), last: (i64, i64, u64, u64)) -> Result<Usage, UsageError> {
        let point = |(start, timestamp, cpu, memory)| MetricsPoint {
            start: Some(START.offset(start * 1_000_000)),
            timestamp: START.offset(timestamp * 1_000_000),
            cumulative_cpu_ns: cpu,
            memory_bytes: memory,
        };
        let batch = |p| MetricsBatch {
            nodes: [("node1".into(), point(p))].into(),
            ..MetricsBatch::default()
        };
        let store = store_all([batch(prev), batch(last)]);
        store.node("node1").expect("there are two points")
    }

    #[test]
    fn usage_is_the_difference_over_the_window() {
        let expected = Usage {
            timestamp: START.offset(20_000_000),
            window_ns: 10_000_000,
            cpu_nanocores: 20_000,
            memory_bytes: 600,
        };
        assert_eq!(check((0, 10, 300, 400), (0, 20, 500, 600)), Ok(expected));
    }

    #[test]
    fn start_and_counter_may_not_decrease() {
        assert_eq!(
            check((20, 10, 300, 400), (0, 20, 500, 600)),
            Err(UsageError::StartDecreased)
        );
        assert_eq!(
            check((0, 10, 300, 400), (0, 20, 100, 600)),
            Err(UsageError::CpuDecreased)
        );
    }
}

/// Source: `pkg/scraper/client/resource/decode_test.go: TestDecode`.
mod decoding {
    use super::*;

    const POD: &str =
        r#"container="coredns",namespace="kube-system",pod="coredns-558bd4d5db-4dpjz""#;
    const CONTAINER_TIME: &str = " 1633253812125";
    const NODE_TIME: &str = " 1633253809720";

    /// The text with or without each sample.
    fn body(samples: &[(&str, &str, &str)]) -> String {
        let mut text = String::new();
        for (name, value, time) in samples {
            let labels = if name.starts_with("container") {
                format!("{{{POD}}}")
            } else {
                String::new()
            };
            text += &format!("# HELP {name} [STABLE] Something\n# TYPE {name} gauge\n");
            text += &format!("{name}{labels} {value}{time}\n");
        }
        text + "# HELP scrape_error [ALPHA] 1 if there was an error\n# TYPE scrape_error gauge\n\
            scrape_error 0\n"
    }

    const CPU: &str = "container_cpu_usage_seconds_total";
    const MEMORY: &str = "container_memory_working_set_bytes";
    const STARTED: &str = "container_start_time_seconds";
    const NODE_CPU: &str = "node_cpu_usage_seconds_total";
    const NODE_MEMORY: &str = "node_memory_working_set_bytes";

    fn decoded(samples: &[(&str, &str, &str)], default: Timestamp) -> MetricsBatch {
        decode(body(samples).as_bytes(), default, "node1").expect("the text is well-formed")
    }

    fn normal<'a>(container_time: &'a str, node_time: &'a str) -> [(&'a str, &'a str, &'a str); 6] {
        [
            (CPU, "4.710169", container_time),
            (MEMORY, "1.253376e+07", container_time),
            (STARTED, "1.633252712e+9", ""),
            (NODE_CPU, "357.35491", node_time),
            (NODE_MEMORY, "1.616273408e+09", node_time),
            ("pod_cpu_usage_seconds_total", "4.67812", container_time),
        ]
    }

    fn expected(container_ms: i64, node_ms: i64) -> MetricsBatch {
        let node = MetricsPoint {
            start: None,
            timestamp: Timestamp::from_millis(node_ms),
            cumulative_cpu_ns: 357_354_910_000,
            memory_bytes: 1_616_273_408,
        };
        let container = MetricsPoint {
            start: Some(Timestamp::from_seconds(1_633_252_712)),
            timestamp: Timestamp::from_millis(container_ms),
            cumulative_cpu_ns: 4_710_169_000,
            memory_bytes: 12_533_760,
        };
        let pod = PodRef::new("kube-system", "coredns-558bd4d5db-4dpjz");
        MetricsBatch {
            nodes: [("node1".into(), node)].into(),
            pods: [(pod, [("coredns".into(), container)].into_iter().collect())].into(),
        }
    }

    #[test]
    fn normal_text() {
        let batch = decoded(&normal(CONTAINER_TIME, NODE_TIME), Timestamp::EPOCH);
        assert_eq!(batch, expected(1_633_253_812_125, 1_633_253_809_720));
    }

    #[test]
    fn samples_without_timestamp_use_the_default_time() {
        // 2077-07-07T07:07:07Z
        let default = Timestamp::from_seconds(3_392_780_827);
        let batch = decoded(&normal("", ""), default);
        assert_eq!(batch, expected(3_392_780_827_000, 3_392_780_827_000));
    }

    #[test]
    fn incomplete_subjects_are_left_out() {
        let (ct, nt) = (CONTAINER_TIME, NODE_TIME);
        for (samples, nodes, pods) in [
            (vec![(CPU, "4.7", ct), (MEMORY, "1e7", ct)], 0, 1),
            (vec![(MEMORY, "1e7", ct)], 0, 0),
            (vec![(CPU, "0", ct), (MEMORY, "1e7", ct)], 0, 0),
            (vec![(CPU, "4.7", ct)], 0, 0),
            (vec![(CPU, "4.7", ct), (MEMORY, "0", ct)], 0, 0),
            (
                vec![(NODE_CPU, "357.3", nt), (NODE_MEMORY, "1.6e9", nt)],
                1,
                0,
            ),
            (vec![(NODE_MEMORY, "1.6e9", nt)], 0, 0),
            (vec![(NODE_CPU, "0", nt), (NODE_MEMORY, "1.6e9", nt)], 0, 0),
            (vec![(NODE_CPU, "357.3", nt)], 0, 0),
            (vec![(NODE_CPU, "357.3", nt), (NODE_MEMORY, "0", nt)], 0, 0),
        ] {
            let batch = decoded(&samples, Timestamp::EPOCH);
            assert_eq!(
                (batch.nodes.len(), batch.pods.len()),
                (nodes, pods),
                "{samples:?}"
            );
        }
    }

    #[test]
    fn an_incorrect_timestamp_fails_the_whole_text() {
        let text = body(&[
            (STARTED, "-6.7953645788713455e+09", " -62135596800000"),
            (STARTED, "1.633252712e+9", ""),
        ]);
        assert!(decode(text.as_bytes(), Timestamp::EPOCH, "node1").is_err());
    }

    /// Source: `client_test.go: TestGetMetrics`.
    #[test]
    fn a_body_of_seventy_pods_gives_seventy_pods() {
        let mut text = String::new();
        let families = [
            "container_cpu_usage_seconds_total",
            "container_memory_working_set_bytes",
        ];
        for family in families {
            for pod in 0..70 {
                text += &format!(
                    "{family}{{container=\"c\",namespace=\"ns\",pod=\"pod-{pod}\"}} 1.5 1633253812125\n"
                );
            }
        }
        text += "node_cpu_usage_seconds_total 357.35491 1633253809720\n";
        text += "node_memory_working_set_bytes 1.616273408e+09 1633253809720\n";
        let batch = decode(text.as_bytes(), Timestamp::EPOCH, "node1").expect("it is well-formed");
        assert_eq!((batch.nodes.len(), batch.pods.len()), (1, 70));
    }
}
