//! One tick over several nodes.
//!
//! Source: `pkg/scraper/scraper_test.go`, with real kubelets in place of a
//! fake client.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use aggregator::api::Selector;
use aggregator::environment::{ClusterConfig, Credentials, Unobserved};
use aggregator::informer::state::{ClusterState, NodeSink};
use aggregator::informer::{Node, Sink};
use aggregator::klog::Log;
use aggregator::kubelet::KubeletClient;
use aggregator::options::{self, Command};
use aggregator::pace::Unhindered;
use aggregator::scrape::{Collected, Scraper};
use aggregator::transport::tls::Tls;
use aggregator::version::Version;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::machines::Wires;
use crate::peers::{Authority, Kubelet, KubeletMode, node};
use crate::run;

const NODES: [(&str, &str); 4] = [
    ("node1", "10.98.0.1"),
    ("node-no-host", "10.98.0.2"),
    ("node3", "10.98.0.3"),
    ("node4", "10.98.0.4"),
];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Four nodes whose kubelets take as long as `delays` say.
async fn scraper(delays: [u64; 4], request_timeout: u64, nodes: Vec<Value>) -> Scraper {
    let wires = Wires::default();
    let ca = Authority::new("kubernetes");
    let host = wires.machine("10.42.0.5");
    let tls = Tls::new(host.clock());
    for ((name, address), delay) in NODES.into_iter().zip(delays) {
        let identity = ca.issue("kubelet", &[address]);
        let kubelet = Kubelet::start(&wires.machine(address), &tls, identity).await;
        kubelet.mode.set(KubeletMode::Takes(seconds(delay)));
        *kubelet.pod.borrow_mut() = format!("pod-of-{name}");
    }
    let observer = Rc::new(Unobserved);
    let log = Log::new(observer.clone(), 0);
    let cluster = ClusterState::new(observer.clone());
    let objects = nodes
        .into_iter()
        .map(|node| serde_json::from_value(node).expect("a node"));
    NodeSink(Rc::clone(&cluster)).replace(objects.collect());
    let config = ClusterConfig {
        host: "10.43.0.1".to_owned(),
        port: 6443,
        ca: vec![ca.certificate.clone()],
        insecure: false,
        credentials: Credentials::Anonymous,
        server_name: None,
    };
    let arguments = ["--kubelet-preferred-address-types=InternalIP".to_owned()];
    let Ok(Command::Run(options)) = options::parse(&arguments, Version::V0_8) else {
        panic!("the arguments are valid");
    };
    let kubelets = KubeletClient::new(
        &host,
        &tls,
        &config,
        &options.kubelet,
        Version::V0_8,
        "test",
        log.clone(),
    );
    Scraper {
        version: Version::V0_8,
        kubelets: kubelets.expect("no files are needed"),
        cluster,
        selector: Selector::everything(),
        resolution: seconds(60),
        request_timeout: seconds(request_timeout),
        collected: Collected::new(Version::V0_8, seconds(60)),
        pace: Rc::new(Unhindered),
        log,
        observer,
        stagger: RefCell::new(host.random("scrape-stagger")),
        host,
    }
}

fn all_nodes() -> Vec<Value> {
    NODES
        .iter()
        .map(|(name, address)| node(name, address))
        .collect()
}

/// Scrapes with a tick that may take `tick` seconds; checks how long it took
/// and which nodes and pods are in the result.
async fn check(scraper: &Scraper, tick: u64, takes: u64, expected: &[&str]) {
    let began = Instant::now();
    let batch = scraper.scrape(1, began + seconds(tick)).await;
    let took = began.elapsed();
    assert!(
        took >= seconds(takes) && took <= seconds(takes) + Duration::from_millis(50),
        "{took:?}"
    );
    let nodes: Vec<&str> = batch.nodes.keys().map(|name| &**name).collect();
    assert_eq!(nodes, expected);
    let pods: Vec<String> = batch.pods.keys().map(|pod| pod.name.to_string()).collect();
    let of_nodes: Vec<String> = expected
        .iter()
        .map(|name| format!("pod-of-{name}"))
        .collect();
    assert_eq!(pods, of_nodes);
}

#[test]
fn every_node_that_answers_in_time_is_in_the_result() {
    run(async || {
        let scraper = scraper([1, 1, 1, 1], 3, all_nodes()).await;
        check(&scraper, 4, 1, &["node-no-host", "node1", "node3", "node4"]).await;
    });
}

#[test]
fn a_node_that_is_too_slow_is_missing() {
    run(async || {
        let scraper = scraper([4, 2, 2, 2], 3, all_nodes()).await;
        check(&scraper, 60, 3, &["node-no-host", "node3", "node4"]).await;
    });
}

#[test]
fn the_ticks_deadline_cuts_every_request() {
    run(async || {
        let scraper = scraper([4, 4, 4, 4], 5, all_nodes()).await;
        check(&scraper, 1, 1, &[]).await;
    });
}

#[test]
fn a_node_without_a_usable_address_does_not_disturb_the_others() {
    run(async || {
        let mut nodes = all_nodes();
        nodes[0]["status"]["addresses"] = json!([]);
        let scraper = scraper([1, 1, 1, 1], 3, nodes).await;
        check(&scraper, 4, 1, &["node-no-host", "node3", "node4"]).await;
        let error = scraper
            .kubelets
            .get_metrics(&Node::default(), Instant::now() + seconds(1))
            .await;
        assert_eq!(
            error.expect_err("it has no address").text,
            "no address matched types [InternalIP]"
        );
    });
}

#[test]
fn no_nodes_give_an_empty_result_at_once() {
    run(async || {
        let scraper = scraper([0, 0, 0, 0], 3, Vec::new()).await;
        check(&scraper, 4, 0, &[]).await;
    });
}

#[test]
fn requests_are_counted_and_timed_without_their_stagger() {
    run(async || {
        let scraper = scraper([1, 0, 0, 0], 3, vec![node("node1", NODES[0].1)]).await;
        check(&scraper, 4, 1, &["node1"]).await;
        let text = scraper.collected.registry.borrow().encode();
        for line in [
            "metrics_server_kubelet_request_duration_seconds_bucket{node=\"node1\",le=\"0.5\"} 0",
            "metrics_server_kubelet_request_total{success=\"true\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    });
}

#[test]
fn up_to_0_6_a_nodes_stagger_comes_off_its_time() {
    run(async || {
        let mut scraper = scraper([9, 9, 9, 9], 3, all_nodes()).await;
        scraper.version = Version::V0_6;
        scraper.resolution = seconds(4);
        let began = Instant::now();
        scraper.scrape(1, began + seconds(4)).await;
        assert_eq!(began.elapsed(), Duration::from_millis(3_600));
    });
}
