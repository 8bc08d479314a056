//! Rollouts, drains and lost nodes of pods that are Ready as soon as their
//! image is there.

use std::net::IpAddr;

use futures_util::future::{FutureExt, LocalBoxFuture};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::*;
use crate::apiserver::State;
use crate::apiserver::testing::{millis, script};
use crate::event::Observer;
use crate::http_client::testing::{Pipes, Recording, TestClock, paused};
use crate::pod::{ContainerRuntime, Exit, PodParts, RunningContainer};

/// Runs until it is told to end.
struct Idle;

struct IdleContainer {
    end: RefCell<Option<oneshot::Sender<i32>>>,
    ended: Option<oneshot::Receiver<i32>>,
}

impl ContainerRuntime for Idle {
    fn start(&self, _: u32) -> Box<dyn RunningContainer> {
        let (end, ended) = oneshot::channel();
        Box::new(IdleContainer {
            end: RefCell::new(Some(end)),
            ended: Some(ended),
        })
    }
}

impl RunningContainer for IdleContainer {
    fn exited(&mut self) -> LocalBoxFuture<'static, Exit> {
        let ended = self.ended.take().expect("asked once");
        let exit = |code| Exit {
            code,
            reason: "Completed".to_owned(),
        };
        async move { exit(ended.await.unwrap_or(137)) }.boxed_local()
    }

    fn kill(&self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(137);
        }
    }

    fn terminate(&self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(0);
        }
    }
}

/// What each template's pods are like.
#[derive(Clone, Copy)]
struct Template {
    /// Seconds until Ready; absent if never.
    ready: Option<u64>,
    /// Whether they are in their node's network.
    host_network: bool,
    /// Whether each wants a node without another.
    apart: bool,
}

impl Template {
    const fn after(seconds: u64) -> Self {
        Self {
            ready: Some(seconds),
            host_network: false,
            apart: false,
        }
    }
}

struct Templates {
    network: Rc<Pipes>,
    clock: std::sync::Arc<TestClock>,
    store: Store,
    recorder: Rc<dyn Recorder>,
    templates: Vec<Template>,
}

impl PodFactory for Templates {
    fn template(&self, ordinal: u32, revision: u32) -> PodConfig {
        let ip: IpAddr = format!("10.42.0.{ordinal}").parse().expect("an address");
        let Template {
            ready,
            host_network,
            apart,
        } = self.templates[revision as usize - 1];
        let mut config = PodConfig::metrics_server("", ip, ip);
        config.recorded_as = Some(format!("metrics-server-{ordinal}"));
        config.restart_timing.jitter = false;
        config.host_network = host_network;
        config.placement.anti_affinity = apart;
        config.image_pull = Duration::from_secs(ready.unwrap_or(1));
        if ready.is_none() {
            config.image_available = crate::script::Script::always(false);
        }
        config
    }

    fn place(&self, _: u32, _: u32, mut config: PodConfig, node: &str) -> Pod {
        config.node_name = node.to_owned();
        let parts = PodParts {
            node: self.network.host(node, &self.clock).process(),
            runtime: Rc::new(Idle),
            store: self.store.clone(),
            recorder: Rc::clone(&self.recorder),
            apiserver_reachable: Rc::new(|| true),
            write_latency: Rc::new(|| std::time::Duration::ZERO),
        };
        Pod::new(config, parts)
    }
}

struct World {
    deployment: Deployment,
    recording: Rc<Recording>,
    store: Store,
    start: Instant,
}

impl World {
    fn new(
        nodes: &[&str],
        templates: &[Template],
        adjust: impl FnOnce(&mut DeploymentConfig),
    ) -> Self {
        let (network, clock) = (Pipes::new(), TestClock::new());
        let host = network.host("control-plane", &clock);
        let (store, recording) = (Store::new(), Recording::new());
        for node in nodes {
            store.put("nodes", node_object(node, true));
        }
        let recorder = Rc::clone(&recording) as Rc<dyn Recorder>;
        let mut config = DeploymentConfig {
            namespace: "kube-system".to_owned(),
            name: "metrics-server".to_owned(),
            replicas: 1,
            strategy: Strategy::DEFAULT,
            progress_deadline: DEFAULT_PROGRESS_DEADLINE,
            budget: None,
            nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
            first_choice: nodes.len(),
            bound_before: true,
            write_latency: millis(5),
        };
        adjust(&mut config);
        let deployment = Deployment::new(
            config,
            DeploymentParts {
                host: host.clone(),
                store: store.clone(),
                recorder: Rc::clone(&recorder),
                api_server: script(&[(0, State::Up)]),
                pods: Rc::new(Templates {
                    network,
                    clock,
                    store: store.clone(),
                    recorder,
                    templates: templates.to_vec(),
                }),
            },
        );
        let running = deployment.clone();
        host.spawn(async move { running.run().await });
        Self {
            deployment,
            recording,
            store,
            start: Instant::now(),
        }
    }

    async fn until(&self, seconds: u64) {
        sleep_until(self.start + Duration::from_secs(seconds)).await;
    }

    /// Nodes of the pods that are Ready.
    fn ready(&self) -> Vec<String> {
        let pods = self.store.list("pods");
        let ready = pods.iter().filter(|pod| {
            let conditions = pod["status"]["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
        });
        let mut nodes: Vec<String> = ready
            .filter_map(|pod| pod["spec"]["nodeName"].as_str())
            .map(str::to_owned)
            .collect();
        nodes.sort();
        nodes
    }

    fn messages(&self, wanted: &str) -> Vec<String> {
        let found = self.recording.picked(|event| match event {
            Event::Kubernetes {
                reason, message, ..
            } if *reason == wanted => Some(message.clone()),
            _ => None,
        });
        found.into_iter().map(|(_, message)| message).collect()
    }

    fn gone(&self) -> Vec<u128> {
        let gone = self
            .recording
            .picked(|event| (*event == Event::ReplicaDeleted).then_some(()));
        gone.into_iter().map(|(at, ())| at / 1000).collect()
    }
}

fn node_object(name: &str, ready: bool) -> serde_json::Value {
    let status = if ready { "True" } else { "Unknown" };
    json!({
        "metadata": {"name": name},
        "spec": {},
        "status": {"conditions": [{"type": "Ready", "status": status}]},
    })
}

fn rolling(max_unavailable: u32, max_surge: u32) -> Strategy {
    Strategy::RollingUpdate {
        max_unavailable: Amount::Count(max_unavailable),
        max_surge: Amount::Count(max_surge),
    }
}

const SOON: Template = Template::after(2);
const NEVER: Template = Template {
    ready: None,
    ..SOON
};
const APART: Template = Template {
    apart: true,
    ..SOON
};

#[test]
fn the_old_pod_serves_until_the_new_one_is_ready() {
    paused(async {
        let world = World::new(&["a"], &[SOON, Template::after(20)], |config| {
            config.strategy = rolling(0, 1);
        });
        world.until(10).await;
        world.deployment.roll_out();
        for second in 11..60 {
            world.until(second).await;
            assert!(!world.ready().is_empty(), "at {second} s");
        }
        assert_eq!(world.store.list("pods").len(), 1);
        assert_eq!(world.gone(), [31]);
        assert_eq!(world.messages("ScalingReplicaSet").len(), 2);
        let told = world.recording.picked(|event| match event {
            Event::Progressing { reason, .. } => Some(*reason),
            _ => None,
        });
        assert_eq!(told[0].1, "NewReplicaSetAvailable");
    });
}

#[test]
fn a_rollout_that_never_becomes_ready_keeps_the_old_pod_and_times_out() {
    paused(async {
        let world = World::new(&["a"], &[SOON, NEVER], |config| {
            config.strategy = rolling(0, 1);
        });
        world.until(10).await;
        world.deployment.roll_out();
        world.until(700).await;
        assert_eq!(world.ready(), ["a"]);
        assert_eq!(world.store.list("pods").len(), 2);
        let told = world.recording.picked(|event| match event {
            Event::Progressing { reason, .. } => Some(*reason),
            _ => None,
        });
        assert_eq!(told, [(610_005, "ProgressDeadlineExceeded")]);
    });
}

#[test]
fn where_one_may_be_missing_the_old_pod_goes_at_once() {
    paused(async {
        let world = World::new(&["a"], &[SOON, NEVER], |config| {
            config.strategy = rolling(1, 0);
        });
        world.until(10).await;
        world.deployment.roll_out();
        world.until(30).await;
        assert!(world.ready().is_empty());
    });
}

#[test]
fn recreate_leaves_a_gap_as_long_as_the_new_pod_needs() {
    paused(async {
        let world = World::new(&["a"], &[SOON, Template::after(7)], |config| {
            config.strategy = Strategy::Recreate;
        });
        world.until(10).await;
        world.deployment.roll_out();
        world.until(15).await;
        assert!(world.ready().is_empty());
        world.until(30).await;
        assert_eq!(world.ready(), ["a"]);
        assert_eq!(world.gone(), [11]);
    });
}

#[test]
fn two_pods_on_one_node_cannot_have_its_port() {
    paused(async {
        let host = Template {
            host_network: true,
            ..SOON
        };
        let world = World::new(&["a"], &[host, host], |config| {
            config.strategy = rolling(0, 1);
        });
        world.until(10).await;
        world.deployment.roll_out();
        world.until(60).await;
        assert_eq!(
            world.messages("FailedScheduling"),
            [
                "0/1 nodes are available: 1 node(s) didn't have free ports for the requested \
              pod ports. no new claims to deallocate, preemption: 0/1 nodes are available: \
              1 No preemption victims found for incoming pod."
            ]
        );
        assert_eq!(world.ready(), ["a"]);
    });
}

#[test]
fn a_budget_that_never_lets_go_holds_a_drain_up_for_ever() {
    paused(async {
        let world = World::new(&["a", "b"], &[SOON], |config| {
            config.budget = Some(Budget::MinAvailable(Amount::Count(1)));
        });
        world.until(10).await;
        let deployment = world.deployment.clone();
        let drain = async move { deployment.drain("a").await };
        let stuck = tokio::time::timeout(Duration::from_secs(50), drain).await;
        assert!(stuck.is_err());
        let refused = world.recording.picked(|event| match event {
            Event::Response {
                observer: Observer::KubectlDrain,
                outcome: crate::event::Outcome::Status(429),
                text,
                ..
            } => Some(text.contains("(will retry after 5s): Cannot evict pod")),
            _ => None,
        });
        assert_eq!(refused.len(), 10);
        assert!(refused.iter().all(|(_, well_put)| *well_put));
        assert_eq!(world.ready(), ["a"]);
    });
}

#[test]
fn of_two_pods_one_moves_to_another_node_while_the_other_serves() {
    paused(async {
        let world = World::new(&["a", "b", "c"], &[APART], |config| {
            config.replicas = 2;
            config.budget = Some(Budget::MinAvailable(Amount::Count(1)));
        });
        world.until(10).await;
        assert_eq!(world.ready(), ["a", "b"]);
        let deployment = world.deployment.clone();
        deployment.drain("a").await;
        world.until(40).await;
        assert_eq!(world.ready(), ["b", "c"]);
    });
}

#[test]
fn the_pod_of_a_lost_node_is_replaced_five_minutes_after_the_node_is_missed() {
    paused(async {
        let world = World::new(&["a", "b"], &[SOON], |_| {});
        world.until(10).await;
        world.deployment.lose("a");
        world.until(60).await;
        assert_eq!(world.ready(), ["a"], "nobody has missed it yet");
        world.store.put("nodes", node_object("a", false));
        world.until(61).await;
        assert!(world.ready().is_empty());
        world.until(359).await;
        assert!(world.ready().is_empty());
        world.until(370).await;
        assert_eq!(world.ready(), ["b"]);
        // The object stays until the node's does: nobody there confirms.
        assert_eq!(world.store.list("pods").len(), 2);
        world.store.delete("nodes", None, "a");
        world.until(371).await;
        assert_eq!(world.store.list("pods").len(), 1);
    });
}

#[test]
fn an_evicted_pod_is_replaced_at_once() {
    paused(async {
        let world = World::new(&["a", "b"], &[SOON], |_| {});
        world.until(10).await;
        let pod = world.deployment.pod(1).expect("it runs");
        world.deployment.memory_pressure("a");
        pod.evict("The node was low on resource: memory.");
        world.until(20).await;
        assert_eq!(world.ready(), ["b"]);
        assert_eq!(world.store.list("pods").len(), 2);
    });
}
