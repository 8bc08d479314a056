//! What differs between releases, seen from outside.

use std::rc::Rc;

use aggregator::version::Version;
use serde_json::Value;

use super::peers::{Kubelet, KubeletMode};
use super::{ARGUMENTS, World, run};

fn release(text: &str) -> Version {
    text.parse().expect("a known release")
}

/// A world with a kubelet that serves, and a process of this release.
async fn started(version: &str, mode: KubeletMode) -> (World, Rc<Kubelet>) {
    let world = World::new();
    world.start_api_server().await;
    let kubelet = world.start_kubelet().await;
    kubelet.mode.set(mode);
    world.start(release(version), ARGUMENTS);
    (world, kubelet)
}

async fn status(world: &World, path: &str) -> u16 {
    world.get(path, &[], None).await.0
}

/// Each release is ready after as many ticks as it needs, by its own path, and
/// asks kubelets at its own.
#[test]
fn every_release_becomes_ready_in_its_own_time() {
    run(async || {
        for version in Version::all() {
            let (world, kubelet) = started(&version.to_string(), KubeletMode::Answers).await;
            world.until(10_000).await;
            let (path, ready_after, asked) = match version.minor() {
                3 if version < release("0.3.2") => ("/healthz", 15_000, "/stats/summary"),
                3 => ("/healthz", 0, "/stats/summary"),
                4 => ("/readyz", 0, "/stats/summary"),
                5 => ("/readyz", 15_000, "/stats/summary"),
                _ => ("/readyz", 15_000, "/metrics/resource"),
            };
            let early = status(&world, path).await;
            assert_eq!(early == 200, ready_after == 0, "{version}: {early}");
            world.until(17_000).await;
            assert_eq!(status(&world, path).await, 200, "{version}");
            let target = kubelet.asked.borrow().clone();
            assert_eq!(target.split('?').next(), Some(asked), "{version}");
            let (status, body) = world
                .get("/apis/metrics.k8s.io/v1beta1/nodes/node-1", &[], None)
                .await;
            assert_eq!(status, 200, "{version}: {body}");
            let node: Value = serde_json::from_str(&body).expect("JSON");
            let window = node["window"].as_str().expect("a window");
            match version.minor() {
                ..=4 => {
                    assert_eq!((window, &node["usage"]["cpu"]), ("30s", &"250m".into()));
                }
                5 => assert_eq!((window, &node["usage"]["cpu"]), ("15s", &"250m".into())),
                _ => assert!(window.starts_with("15"), "{version}: {window}"),
            }
        }
    });
}

/// Source: kubernetes-sigs/metrics-server#136, mended by #177 in 0.3.2: 0.3.0
/// and 0.3.1 do not scrape before one resolution has passed.
#[test]
fn the_first_releases_wait_for_their_first_tick() {
    run(async || {
        for (version, first) in [("0.3.1", 15_500), ("0.3.2", 500)] {
            let (world, _) = started(version, KubeletMode::Answers).await;
            world.until(30_000).await;
            let tick = world.seen.times("TickStarted { tick: 1")[0];
            assert!((first..first + 60).contains(&tick), "{version}: {tick}");
        }
    });
}

/// Source: kubernetes-sigs/metrics-server#540 for 0.3.6, #767 for 0.4.
#[test]
fn a_kubelet_that_never_answers_shows_by_each_releases_rule() {
    run(async || {
        // The first tick ends at 14 s, when nine tenths of 15 s are over.
        for (version, path, before, after) in [
            ("0.3.6", "/healthz", 500, 500),
            ("0.4.4", "/readyz", 200, 500),
            ("0.4.4", "/livez", 200, 200),
            ("0.5.2", "/readyz", 500, 500),
        ] {
            let (world, kubelet) = started(version, KubeletMode::Hangs).await;
            world.until(10_000).await;
            assert_eq!(status(&world, path).await, before, "{version} {path}");
            world.until(14_500).await;
            assert_eq!(status(&world, path).await, after, "{version} {path}");
            // One good tick is enough up to 0.4.
            kubelet.mode.set(KubeletMode::Answers);
            world.until(17_000).await;
            let recovered = status(&world, path).await == 200;
            assert_eq!(recovered, version < "0.5", "{version} {path}");
        }
    });
}

#[test]
fn liveness_allows_a_tenth_up_to_0_4_and_a_half_after_it() {
    run(async || {
        for (version, alive) in [("0.4.4", 500), ("0.5.0", 200), ("0.8.1", 200)] {
            let mut world = World::new();
            world.pace = super::pace::slow(|work| match work {
                aggregator::pace::Work::Store { .. } => 60_000,
                _ => 0,
            });
            world.start_api_server().await;
            world.start_kubelet().await;
            world.start(release(version), ARGUMENTS);
            // The tick began at about 0.5 s; 1.1 × 15 s and 1.5 × 15 s later.
            world.until(16_500).await;
            assert_eq!(status(&world, "/livez").await, 200, "{version}");
            world.until(18_000).await;
            assert_eq!(status(&world, "/livez").await, alive, "{version}");
            world.until(23_500).await;
            assert_eq!(status(&world, "/livez").await, 500, "{version}");
        }
    });
}

#[test]
fn only_healthz_exists_in_0_3() {
    run(async || {
        let (world, _) = started("0.3.6", KubeletMode::Answers).await;
        world.until(5_000).await;
        for path in ["/livez", "/readyz", "/readyz/metric-storage-ready"] {
            assert_eq!(status(&world, path).await, 404, "{path}");
        }
        let (_, body) = world.get("/", &[], None).await;
        assert!(
            body.contains("\"/healthz\"") && !body.contains("livez"),
            "{body}"
        );
    });
}

/// Source: incident PR-05: up to 0.4 probes other than `/healthz` are allowed
/// only by the API server or by a flag.
#[test]
fn old_releases_ask_before_they_answer_livez() {
    run(async || {
        for (version, flag, expected) in [
            ("0.4.4", "", 403),
            (
                "0.4.4",
                " --authorization-always-allow-paths=/livez,/readyz",
                200,
            ),
            ("0.5.0", "", 200),
        ] {
            let world = World::new();
            world.start_api_server().await;
            world.api.allowed.borrow_mut().clear();
            world.start_kubelet().await;
            world.start(release(version), &format!("{ARGUMENTS}{flag}"));
            world.until(5_000).await;
            assert_eq!(status(&world, "/livez").await, expected, "{version}{flag}");
        }
    });
}

/// Source: incident KB-03: 0.5.0 takes a node that began after its last sample
/// for restarted.
#[test]
fn a_start_time_close_to_now_hides_the_node_in_0_5_0_only() {
    run(async || {
        for (version, nodes) in [("0.5.0", 0), ("0.5.1", 1), ("0.8.1", 1)] {
            let (world, kubelet) = started(version, KubeletMode::Answers).await;
            kubelet.up_for.set(10_000);
            world.until(32_000).await;
            let (status, body) = world
                .get("/apis/metrics.k8s.io/v1beta1/nodes", &[], None)
                .await;
            let list: Value = serde_json::from_str(&body).expect("JSON");
            let found = list["items"].as_array().map(Vec::len);
            assert_eq!((status, found), (200, Some(nodes)), "{version}");
        }
    });
}

#[test]
fn each_release_has_its_own_words_for_a_failed_scrape() {
    run(async || {
        let refused = "dial tcp 10.98.0.1:10250: connect: connection refused";
        let summary = "https://10.98.0.1:10250/stats/summary?only_cpu_and_memory=true";
        for (version, expected) in [
            (
                "0.3.6",
                format!(
                    "E] unable to fully collect metrics: unable to fully scrape metrics from source \
                     kubelet_summary:node-1: unable to fetch metrics from Kubelet node-1 (10.98.0.1): \
                     Get {summary}: {refused}"
                ),
            ),
            (
                "0.4.4",
                format!(
                    "E] unable to fully scrape metrics: unable to fully scrape metrics from node node-1: \
                     unable to fetch metrics from node node-1: Get \"{summary}\": {refused}"
                ),
            ),
            (
                "0.5.2",
                format!(
                    "E] \"Failed to scrape node\" err=\"Get \\\"{summary}\\\": {refused}\" node=\"node-1\""
                ),
            ),
            (
                "0.6.4",
                format!(
                    "E] \"Failed to scrape node\" err=\"Get \\\"https://10.98.0.1:10250/metrics/resource\\\": \
                     {refused}\" node=\"node-1\""
                ),
            ),
        ] {
            let world = World::new();
            world.start_api_server().await;
            world.start(release(version), ARGUMENTS);
            world.until(10_000).await;
            assert_eq!(world.seen.all("E] "), [expected], "{version}");
        }
    });
}

#[test]
fn only_0_7_and_later_tell_a_time_out_apart() {
    run(async || {
        for (version, apart) in [("0.6.4", false), ("0.7.0", true)] {
            let (world, _) = started(version, KubeletMode::Hangs).await;
            world.until(20_000).await;
            let lines = world.seen.all("Failed to scrape node");
            assert!(lines[0].contains("context deadline exceeded"), "{lines:?}");
            assert_eq!(
                lines[0].contains("timeout to access kubelet"),
                apart,
                "{lines:?}"
            );
        }
    });
}
