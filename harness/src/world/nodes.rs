//! Nodes: their objects in the API, and their kubelets.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mocks::apiserver::objects::{self, NodeReady};
use mocks::kubelet::{self, Authorizer, KubeletBehaviour, KubeletConfig};
use mocks::load::{self, CurrentLoad, Load};
use mocks::script::Script;
use mocks::store::{Sketch, Store};
use seam::{Host, Moment, Timestamp};
use serde_json::Value;

use super::kubelets::Translator;
use super::outlook::Doors;
use super::trust::{SERVICE_ACCOUNT_TOKEN, Trust};
use crate::engine::clock::SimulatedClock;
use crate::record::TraceRecorder;
use crate::scenario::model::{self, Node};
use crate::seed::Seed;

/// What a node is set up with.
pub struct Site<'a> {
    /// The node, as the scenario has it.
    pub node: &'a Node,
    /// The machine.
    pub host: &'a Host,
    /// The machine's wall clock.
    pub clock: &'a Arc<SimulatedClock>,
    /// Virtual time zero.
    pub start: Moment,
    /// What right clocks show at virtual time zero.
    pub epoch: Timestamp,
    /// The cluster's objects.
    pub store: &'a Store,
    /// The cluster's authorities.
    pub trust: &'a Trust,
    /// The run's seed.
    pub seed: Seed,
    /// Who is told.
    pub recorder: &'a Rc<TraceRecorder>,
    /// Whom kubelets ask whether metrics may be read.
    pub authorizer: &'a Authorizer,
}

impl Site<'_> {
    /// Starts the kubelet, and puts the node's objects into the API: now, or
    /// when the node joins. `doors` learn how the kubelet receives dials.
    pub fn start(&self, doors: &Doors) {
        let load = CurrentLoad::new(load(self.node));
        let node = Rc::new(self.node.clone());
        doors.add(self.node.ip, self.start_kubelet(load.clone()));
        if *self.node.there.at(Duration::ZERO) {
            put_node(self.node, Duration::ZERO, self.store, self.epoch);
            let runs = |index: &usize| node.pods[*index].appears_at().is_zero();
            for index in (0..node.pods.len()).filter(runs) {
                put_pod(&node, index, self.store, self.epoch);
            }
        }
        self.start_life(node, load);
    }

    fn start_kubelet(&self, load: CurrentLoad) -> Script<KubeletBehaviour> {
        let clock = Arc::clone(self.clock);
        let (start, epoch) = (self.start, self.epoch);
        let behaviour = self.behaviour();
        let config = KubeletConfig {
            node: self.node.name.clone(),
            address: self.node.ip,
            start,
            behaviour: behaviour.clone(),
            load,
            wall_at: Rc::new(move |elapsed_ns| clock.at(elapsed_ns)),
            true_time: Rc::new(move || epoch.after(start.elapsed())),
            authority: Rc::clone(&self.trust.cluster),
            unknown: Rc::clone(&self.trust.unknown),
            seed: self.seed.0.to_string().into(),
            token: SERVICE_ACCOUNT_TOKEN.into(),
            authorizer: Rc::clone(self.authorizer),
        };
        let process = self.host.process();
        let recorder = Rc::clone(self.recorder);
        process.clone().spawn(async move {
            // The simulated machine has no other program on the port, unless
            // metrics-server shares the node's network and was first.
            let _ = kubelet::run(process, config, recorder).await;
        });
        behaviour
    }

    fn behaviour(&self) -> Script<KubeletBehaviour> {
        Translator {
            node: self.node,
            epoch: self.epoch,
            host: self.host,
            recorder: self.recorder,
        }
        .script(self.start)
    }

    /// Joining, leaving, changes of the Node object, and what happens to pods.
    fn start_life(&self, node: Rc<Node>, load: CurrentLoad) {
        let steps = steps(&node);
        if steps.is_empty() {
            return;
        }
        let (start, host, store) = (self.start, self.host.clone(), self.store.clone());
        self.host.spawn(async move {
            for (at, step) in steps {
                (start + at).come().await;
                step.apply(&node, at, &store, &load, host.now());
            }
        });
    }
}

/// Less than anything in a scenario lasts.
const INSTANT: Duration = Duration::from_nanos(1);

/// A change of a node in the API, or of what runs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Join,
    Ready(bool),
    Addresses,
    Labels,
    Allocatable,
    Taints,
    Port,
    Leave,
    /// The pod of this number comes.
    PodStarts(usize),
    PodDeleted(usize),
    /// A container of a pod starts again.
    Restart(usize, usize),
}

/// Everything that happens to a node after virtual time zero, in order of
/// time.
fn steps(node: &Node) -> Vec<(Duration, Step)> {
    let mut steps: Vec<(Duration, Step)> = Vec::new();
    let comes = |is_there: bool| {
        let changes = node.there.0.iter().skip(1);
        changes.filter(move |(_, is)| *is == is_there)
    };
    steps.extend(comes(true).map(|(at, _)| (*at, Step::Join)));
    let ready = node.seen_ready();
    let ready = ready.0.into_iter().skip(1);
    steps.extend(ready.map(|(at, ready)| (at, Step::Ready(ready))));
    steps.extend(node.addresses.changes().map(|at| (at, Step::Addresses)));
    steps.extend(node.labels.changes().map(|at| (at, Step::Labels)));
    let allocatable = node.allocatable.changes();
    steps.extend(allocatable.map(|at| (at, Step::Allocatable)));
    steps.extend(node.taints.changes().map(|at| (at, Step::Taints)));
    let ports = node.kubelet.map(|kubelet| kubelet.port);
    steps.extend(ports.changes().map(|at| (at, Step::Port)));
    for (index, pod) in node.pods.iter().enumerate() {
        let appears = pod.appears_at();
        if !appears.is_zero() {
            steps.push((appears, Step::PodStarts(index)));
        }
        for (container, settings) in pod.containers.iter().enumerate() {
            let restarts = settings.restarts.iter();
            steps.extend(restarts.map(|at| (*at, Step::Restart(index, container))));
        }
        steps.extend(pod.deleted_at.map(|at| (at, Step::PodDeleted(index))));
    }
    steps.extend(comes(false).map(|(at, _)| (*at, Step::Leave)));
    steps.sort_by_key(|(at, _)| *at);
    steps
}

impl Step {
    fn apply(
        self,
        node: &Rc<Node>,
        at: Duration,
        store: &Store,
        load: &CurrentLoad,
        now: Timestamp,
    ) {
        let is_there = *node.there.at(at);
        match self {
            Self::Join => {
                put_node(node, at, store, now);
                let runs = |index: &usize| {
                    let pod = &node.pods[*index];
                    pod.appears_at() <= at && pod.deleted_at.is_none_or(|deleted| deleted > at)
                };
                for index in (0..node.pods.len()).filter(runs) {
                    put_pod(node, index, store, now);
                }
            }
            Self::Ready(ready) => rewrite(node, store, |object| {
                objects::with_node_ready(object, seen(node, ready, at), now)
            }),
            Self::Addresses => rewrite(node, store, |object| {
                objects::with_node_addresses(object, node.addresses.at(at))
            }),
            Self::Labels => rewrite(node, store, |object| {
                let before = node.labels.at(at.saturating_sub(INSTANT));
                objects::with_node_labels(object, before, node.labels.at(at))
            }),
            Self::Allocatable => rewrite(node, store, |object| with_allocatable(object, node, at)),
            Self::Taints => rewrite(node, store, |object| {
                let before = node.taints.at(at.saturating_sub(INSTANT));
                objects::with_node_taints(object, before, node.taints.at(at))
            }),
            Self::Port => rewrite(node, store, |object| {
                objects::with_kubelet_port(object, node.kubelet.at(at).port)
            }),
            Self::Leave => {
                store.delete("nodes", None, &node.name);
                for pod in &node.pods {
                    store.delete("pods", Some(&pod.namespace), &pod.name);
                }
            }
            Self::PodStarts(index) if is_there => put_pod(node, index, store, now),
            Self::PodStarts(_) => {}
            Self::PodDeleted(index) => {
                let pod = &node.pods[index];
                store.delete("pods", Some(&pod.namespace), &pod.name);
                let mut new = (*load.get()).clone();
                // Another of the same name may follow.
                if let Some(index) = new.pods.iter().position(|one| is_called(one, pod)) {
                    new.pods.remove(index);
                }
                load.replace(new);
            }
            Self::Restart(index, container) => {
                let pod = &node.pods[index];
                let mut new = (*load.get()).clone();
                let mut pods = new.pods.iter_mut();
                if let Some(running) = pods.find(|one| is_called(one, pod)) {
                    running.containers[container].started_ns =
                        i64::try_from(nanos(at)).unwrap_or(i64::MAX);
                    load.replace(new);
                }
            }
        }
    }
}

fn is_called(one: &load::Pod, pod: &model::Pod) -> bool {
    (&one.namespace, &one.name) == (&pod.namespace, &pod.name)
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

/// Changes the Node object, if it is there.
fn rewrite(node: &Node, store: &Store, change: impl FnOnce(&Value) -> Value) {
    if let Some(object) = store.get("nodes", None, &node.name) {
        store.put("nodes", change(&object));
    }
}

fn put_node(node: &Node, at: Duration, store: &Store, now: Timestamp) {
    let object = objects::node(&objects::Node {
        name: &node.name,
        labels: node.labels.at(at),
        addresses: node.addresses.at(at),
        kubelet_port: node.kubelet.at(at).port,
        taints: node.taints.at(at),
        ready: seen(node, *node.seen_ready().at(at), at),
        created: now,
        ready_since: now,
        cpu: "4",
        memory: "16384Mi",
    });
    // A new object has all of it already.
    let object = match node.allocatable.at(at) {
        Some(amounts) => objects::with_allocatable(&object, *amounts),
        None => object,
    };
    store.put("nodes", object);
}

fn with_allocatable(object: &Value, node: &Node, at: Duration) -> Value {
    match node.allocatable.at(at) {
        Some(amounts) => objects::with_allocatable(object, *amounts),
        None => {
            let mut object = object.clone();
            object["status"]["allocatable"] = object["status"]["capacity"].clone();
            object
        }
    }
}

/// Nothing is heard of a node whose machine is down.
fn seen(node: &Node, ready: bool, at: Duration) -> NodeReady {
    match ready {
        true => NodeReady::True,
        false if *node.up.at(at) => NodeReady::False,
        false => NodeReady::Unknown,
    }
}

fn put_pod(node: &Rc<Node>, index: usize, store: &Store, now: Timestamp) {
    let pod = NodePod {
        created: now.offset(node.pods[index].started_ns().min(0)),
        node: Rc::clone(node),
        index,
    };
    store.put_sketch("pods", pod.object(&[]).metadata(), pod);
}

/// A pod of a node, at which nobody may ever look.
struct NodePod {
    node: Rc<Node>,
    index: usize,
    created: Timestamp,
}

impl NodePod {
    fn object<'a>(&'a self, containers: &'a [String]) -> objects::Pod<'a> {
        let pod = &self.node.pods[self.index];
        objects::Pod {
            namespace: &pod.namespace,
            name: &pod.name,
            labels: &pod.labels,
            node: &self.node.name,
            containers,
            host_ip: self.node.ip,
            ip: None,
            created: self.created,
        }
    }
}

impl Sketch for NodePod {
    fn complete(&self, metadata: Value) -> Value {
        let containers = self.node.pods[self.index].containers.iter();
        let containers: Vec<String> = containers.map(|c| c.name.clone()).collect();
        objects::pod_with(&self.object(&containers), metadata)
    }

    fn field(&self, path: &[&str]) -> Option<&str> {
        match path {
            ["status", "phase"] => Some(objects::RUNNING),
            ["spec", "nodeName"] => Some(&self.node.name),
            _ => None,
        }
    }
}

fn load(node: &Node) -> Load {
    let container = |container: &model::Container| load::Container {
        name: container.name.clone(),
        started_ns: container.started_ns,
        cpu_nanocores: container.cpu_nanocores,
        memory_bytes: container.memory_bytes,
    };
    let pod = |pod: &model::Pod| load::Pod {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        containers: pod.containers.iter().map(container).collect(),
    };
    Load {
        cpu_nanocores: node.cpu_nanocores,
        memory_bytes: node.memory_bytes,
        up_for: node.up_for,
        pods: node.pods.iter().map(pod).collect(),
    }
}
