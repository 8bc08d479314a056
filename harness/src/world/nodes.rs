//! Nodes: their objects in the API, and their kubelets.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mocks::apiserver::objects;
use mocks::kubelet::{self, Authorizer, KubeletBehaviour, KubeletConfig, Latency, Timestamps};
use mocks::load::{self, CurrentLoad, Load};
use mocks::pki::Authority;
use mocks::script::Script;
use mocks::store::Store;
use seam::{Host, Timestamp};
use tokio::time::Instant;

use super::trust::SERVICE_ACCOUNT_TOKEN;
use crate::engine::clock::SimulatedClock;
use crate::record::TraceRecorder;
use crate::scenario::model::{self, Kubelet, Node};
use crate::seed::Seed;

/// The minor of every kubelet's Kubernetes.
const MINOR: u32 = 36;

/// What a node is set up with.
pub struct Site<'a> {
    /// The node, as the scenario has it.
    pub node: &'a Node,
    /// The machine.
    pub host: &'a Host,
    /// The machine's wall clock.
    pub clock: &'a Arc<SimulatedClock>,
    /// Virtual time zero.
    pub start: Instant,
    /// What right clocks show at virtual time zero.
    pub epoch: Timestamp,
    /// The cluster's objects.
    pub store: &'a Store,
    /// The cluster's authority.
    pub authority: &'a Rc<Authority>,
    /// The run's seed.
    pub seed: Seed,
    /// Who is told.
    pub recorder: &'a Rc<TraceRecorder>,
    /// Whom kubelets ask whether metrics may be read.
    pub authorizer: &'a Authorizer,
}

impl Site<'_> {
    /// Starts the kubelet, and puts the node's objects into the API: now, or
    /// when the node joins.
    pub fn start(&self) {
        self.start_kubelet();
        if self.node.joins_at.is_zero() {
            put_objects(self.node, self.store, self.epoch);
        }
        self.start_life();
    }

    fn start_kubelet(&self) {
        let clock = Arc::clone(self.clock);
        let (start, epoch) = (self.start, self.epoch);
        let config = KubeletConfig {
            node: self.node.name.clone(),
            address: self.node.ip,
            start: self.start,
            behaviour: self.behaviour(),
            load: CurrentLoad::new(load(self.node)),
            wall_at: Rc::new(move |elapsed_ns| clock.at(elapsed_ns)),
            true_time: Rc::new(move || epoch.after(start.elapsed())),
            authority: Rc::clone(self.authority),
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
    }

    fn behaviour(&self) -> Script<KubeletBehaviour> {
        let entries = self.node.kubelet.0.iter().enumerate();
        let entries = entries
            .map(|(index, (at, kubelet))| (*at, self.translate(index, kubelet)))
            .collect();
        Script::new(self.start, entries)
    }

    fn translate(&self, index: usize, kubelet: &Kubelet) -> KubeletBehaviour {
        // Each stretch of the script has a stream of its own, so that a change
        // of one does not shift another.
        let random = RefCell::new(self.host.random(&format!("kubelet-latency/{index}")));
        let latency = kubelet.latency.clone();
        KubeletBehaviour {
            port: kubelet.port,
            state: state(kubelet.state),
            certificate: self.certificate(&kubelet.certificate),
            latency: Latency::independent(Rc::new(move || {
                latency.sample(&mut **random.borrow_mut())
            })),
            access: kubelet::Access::default(),
            minor: MINOR,
            status: kubelet.status,
            payload: payload(&kubelet.payload),
            flaws: Rc::new([]),
            endpoints: Rc::new([]),
            attempts: None,
            housekeeping: kubelet.housekeeping,
            timestamps: if kubelet.timestamps {
                Timestamps::Read
            } else {
                Timestamps::Missing
            },
            effects: Rc::new(|_| ()),
        }
    }

    fn certificate(&self, certificate: &model::Certificate) -> kubelet::Certificate {
        kubelet::Certificate {
            issuer: match certificate.issuer {
                model::Issuer::Cluster => kubelet::Issuer::Cluster,
                model::Issuer::SelfSigned => kubelet::Issuer::SelfSigned,
                model::Issuer::Unknown => kubelet::Issuer::Unknown,
            },
            not_before: self.epoch.offset(certificate.not_before_ns),
            not_after: self.epoch.offset(certificate.not_after_ns),
            ips: certificate.ips.clone(),
            dns: certificate.dns.clone(),
            managed: false,
        }
    }

    /// Joining, leaving and changes of the Ready condition.
    fn start_life(&self) {
        let mut steps: Vec<(Duration, Step)> = Vec::new();
        if !self.node.joins_at.is_zero() {
            steps.push((self.node.joins_at, Step::Join));
        }
        steps.extend(
            self.node
                .ready
                .0
                .iter()
                .skip(1)
                .map(|(at, ready)| (*at, Step::Ready(*ready))),
        );
        steps.extend(self.node.leaves_at.map(|at| (at, Step::Leave)));
        steps.sort_by_key(|(at, _)| *at);
        if steps.is_empty() {
            return;
        }
        let (start, host, store) = (self.start, self.host.clone(), self.store.clone());
        let node = self.node.clone();
        self.host.spawn(async move {
            for (at, step) in steps {
                tokio::time::sleep_until(start + at).await;
                step.apply(&node, &store, host.now());
            }
        });
    }
}

/// A change of a node in the API.
#[derive(Debug, Clone, Copy)]
enum Step {
    Join,
    Ready(bool),
    Leave,
}

impl Step {
    fn apply(self, node: &Node, store: &Store, now: Timestamp) {
        match self {
            Self::Join => put_objects(node, store, now),
            Self::Ready(ready) => {
                if let Some(object) = store.get("nodes", None, &node.name) {
                    store.put("nodes", objects::with_node_ready(&object, ready, now));
                }
            }
            Self::Leave => {
                store.delete("nodes", None, &node.name);
                for pod in &node.pods {
                    store.delete("pods", Some(&pod.namespace), &pod.name);
                }
            }
        }
    }
}

fn put_objects(node: &Node, store: &Store, now: Timestamp) {
    store.put(
        "nodes",
        objects::node(&objects::Node {
            name: &node.name,
            labels: &node.labels,
            addresses: &node.addresses,
            kubelet_port: node.kubelet.0[0].1.port,
            ready: *node.ready.at(Duration::ZERO),
            created: now,
            ready_since: now,
            cpu: "4",
            memory: "16384Mi",
        }),
    );
    for pod in &node.pods {
        let containers: Vec<String> = pod.containers.iter().map(|c| c.name.clone()).collect();
        let started = pod
            .containers
            .iter()
            .map(|container| container.started_ns)
            .min();
        store.put(
            "pods",
            objects::pod(&objects::Pod {
                namespace: &pod.namespace,
                name: &pod.name,
                labels: &pod.labels,
                node: &node.name,
                containers: &containers,
                host_ip: node.ip,
                ip: None,
                created: now.offset(started.unwrap_or(0).min(0)),
            }),
        );
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

fn state(state: model::KubeletState) -> kubelet::KubeletState {
    match state {
        model::KubeletState::Closed => kubelet::KubeletState::Closed,
        model::KubeletState::HangTls => kubelet::KubeletState::HangTls,
        model::KubeletState::HangHttp => kubelet::KubeletState::HangHttp,
        model::KubeletState::NoCertificate => kubelet::KubeletState::NoCertificate,
        model::KubeletState::Open => kubelet::KubeletState::Open,
    }
}

fn payload(payload: &model::Payload) -> kubelet::Payload {
    match payload {
        model::Payload::Healthy => kubelet::Payload::Healthy,
        model::Payload::NoNodeSeries => kubelet::Payload::NoNodeSeries,
        model::Payload::NoContainerSeries => kubelet::Payload::NoContainerSeries,
        model::Payload::ZeroNode => kubelet::Payload::ZeroNode,
        model::Payload::NoContainerCpu => kubelet::Payload::NoContainerCpu,
        model::Payload::NoContainerMemory => kubelet::Payload::NoContainerMemory,
        model::Payload::ScrapeError => kubelet::Payload::ScrapeError,
        model::Payload::Empty => kubelet::Payload::Empty,
        model::Payload::Raw(text) => kubelet::Payload::Raw(text.clone()),
        model::Payload::Garbage => kubelet::Payload::Garbage,
        model::Payload::Truncated(bytes) => kubelet::Payload::Truncated(*bytes),
        model::Payload::Endless => kubelet::Payload::Endless,
    }
}
