//! The Deployment of metrics-server: how many pods there are, from which
//! template, and on which nodes.
//!
//! In reading order:
//!
//! - this file: [`Deployment`] and what it is made of;
//! - [`strategy`]: the arithmetic of a rollout;
//! - `controller`: Deployment and ReplicaSets: creates pods and deletes them;
//! - `progress`: whether a rollout gets on;
//! - `scheduler`: which node a pod is bound to; [`placement`]: what a pod asks
//!   of it;
//! - `member`: one pod, and how the API shows it;
//! - [`budget`], `drain`: what a disruption budget lets go, `kubectl drain`;
//! - `node_life`: what becomes of the pods of a node that is not Ready.
//!
//! DIFFERENCE: the controllers keep Deployment, ReplicaSets and budget to
//! themselves and act on the pods that the API shows; the objects that clients
//! see follow from those pods, see [`crate::deployment_objects`]. The pods of the first template exist from the beginning and are
//! bound without the API server, as after a reboot.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use seam::{Host, Random};
use tokio::sync::Notify;

use crate::apiserver::{Behaviour, Sampler};
use crate::event::{Event, Recorder};
use crate::event_objects::{EventObjects, Involved, Writable};
use crate::pod::events::EventLog;
use crate::pod::{Pod, PodConfig};
use crate::script::Script;
use crate::store::Store;

pub mod budget;
mod controller;
mod drain;
mod member;
mod node_life;
pub mod placement;
mod progress;
mod scheduler;
pub mod strategy;
#[cfg(test)]
mod tests;

pub use budget::Budget;
pub use strategy::{Amount, Strategy};

use member::Member;

/// `progressDeadlineSeconds` where a Deployment says nothing.
/// Source: `pkg/apis/apps/v1/defaults.go SetDefaults_Deployment`.
pub const DEFAULT_PROGRESS_DEADLINE: Duration = Duration::from_secs(600);

/// A Deployment.
#[derive(Clone)]
pub struct DeploymentConfig {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `spec.replicas`
    pub replicas: u32,
    /// `spec.strategy`
    pub strategy: Strategy,
    /// `spec.progressDeadlineSeconds`
    pub progress_deadline: Duration,
    /// The PodDisruptionBudget, if there is one.
    pub budget: Option<Budget>,
    /// All nodes. Pod number n prefers the n-th, then those that follow.
    pub nodes: Vec<String>,
    /// How many of [`DeploymentConfig::nodes`], from the first, the pods of
    /// the beginning may be bound to.
    pub first_choice: usize,
    /// Whether the pods of the beginning were bound before anybody looks:
    /// before their nodes could be found wanting.
    pub bound_before: bool,
    /// What a write to the API server costs a controller.
    pub write_latency: Sampler,
}

/// What a Deployment needs besides its configuration.
pub struct DeploymentParts {
    /// The control plane's machine, as the controllers' process sees it.
    pub host: Host,
    /// Where the objects live.
    pub store: Store,
    /// Who is told what happens.
    pub recorder: Rc<dyn Recorder>,
    /// The API server that the controllers work through.
    pub api_server: Script<Behaviour>,
    /// What makes the pods.
    pub pods: Rc<dyn PodFactory>,
}

/// Makes pods of the Deployment's templates.
pub trait PodFactory {
    /// Pod number `ordinal`, from 1, of template `revision`, from 1, before it
    /// has a node.
    fn template(&self, ordinal: u32, revision: u32) -> PodConfig;

    /// The same pod on `node`, one of the Deployment's nodes.
    fn place(&self, ordinal: u32, revision: u32, config: PodConfig, node: &str) -> Pod;
}

/// A handle to the Deployment. Cloning gives another.
#[derive(Clone)]
pub struct Deployment {
    shared: Rc<Shared>,
}

/// What the parts of a Deployment share.
struct Shared {
    config: DeploymentConfig,
    host: Host,
    store: Store,
    recorder: Rc<dyn Recorder>,
    api_server: Script<Behaviour>,
    pods: Rc<dyn PodFactory>,
    events: EventLog,
    names: RefCell<Box<dyn Random>>,
    replicas: Cell<u32>,
    strategy: Cell<Strategy>,
    budget: Cell<Option<Budget>>,
    revision: Cell<u32>,
    created: Cell<u32>,
    /// Names of the ReplicaSets and how many pods each should have.
    sets: RefCell<BTreeMap<u32, ReplicaSet>>,
    /// Pods whose objects exist, in order of creation.
    members: RefCell<Vec<Rc<Member>>>,
    /// Something changed that the controllers look at.
    changed: Notify,
    /// Something changed that the scheduler looks at.
    room: Notify,
}

/// The pods of one template.
struct ReplicaSet {
    name: String,
    wanted: u32,
}

impl Deployment {
    /// A Deployment that does not exist yet: see [`Deployment::run`].
    #[must_use]
    pub fn new(config: DeploymentConfig, parts: DeploymentParts) -> Self {
        let about = Involved {
            kind: "Deployment",
            api_version: "apps/v1",
            resource: "deployments",
            namespace: Some(config.namespace.clone()),
            name: config.name.clone(),
        };
        let writable = writable(&parts.api_server);
        let objects = EventObjects::new(&parts.host, &parts.store, about, writable);
        let events = EventLog::new(&config.name, Rc::clone(&parts.recorder), objects);
        Self {
            shared: Rc::new(Shared {
                names: RefCell::new(parts.host.random("pod-names")),
                replicas: Cell::new(config.replicas),
                strategy: Cell::new(config.strategy),
                budget: Cell::new(config.budget),
                revision: Cell::new(1),
                created: Cell::new(0),
                sets: RefCell::default(),
                members: RefCell::default(),
                changed: Notify::new(),
                room: Notify::new(),
                events,
                config,
                host: parts.host,
                store: parts.store,
                recorder: parts.recorder,
                api_server: parts.api_server,
                pods: parts.pods,
            }),
        }
    }

    /// Creates the pods of the first template and runs the controllers for
    /// ever.
    pub async fn run(&self) {
        controller::run(Rc::clone(&self.shared)).await;
    }

    /// A new pod template: its revision, from 2.
    pub fn roll_out(&self) -> u32 {
        let revision = self.shared.revision.get() + 1;
        self.shared.revision.set(revision);
        self.shared.changed.notify_one();
        revision
    }

    /// Sets `spec.replicas`.
    pub fn scale(&self, replicas: u32) {
        self.shared.replicas.set(replicas);
        self.shared.changed.notify_one();
    }

    /// Sets `spec.strategy`: it holds from the next step of a rollout on.
    pub fn set_strategy(&self, strategy: Strategy) {
        self.shared.strategy.set(strategy);
        self.shared.changed.notify_one();
    }

    /// Replaces the PodDisruptionBudget, or deletes it.
    pub fn set_budget(&self, budget: Option<Budget>) {
        self.shared.budget.set(budget);
    }

    /// `kubectl delete pod` of pod number `ordinal`, from 1, or of all there are.
    pub fn delete(&self, ordinal: Option<u32>) {
        let members: Vec<Rc<Member>> = self.shared.members.borrow().clone();
        let is_meant = |member: &&Rc<Member>| ordinal.is_none_or(|one| member.ordinal == one);
        for member in members.iter().filter(is_meant) {
            if self.shared.view(member).active {
                self.shared.delete(member);
            }
        }
    }

    /// `kubectl drain NODE` of metrics-server's pods: returns when none is
    /// left on it.
    pub async fn drain(&self, node: &str) {
        drain::drain(&self.shared, node).await;
    }

    /// The machine of this node is gone, and what ran there with it.
    pub fn lose(&self, node: &str) {
        for pod in self.shared.pods_on(node) {
            pod.lose();
        }
    }

    /// The kubelet of this node reports that it lacks memory: nothing is
    /// scheduled there until five minutes later.
    pub fn memory_pressure(&self, node: &str) {
        let shared = Rc::clone(&self.shared);
        let node = node.to_owned();
        self.shared
            .host
            .spawn(async move { node_life::memory_pressure(&shared, &node).await });
    }

    /// Pod number `ordinal`, from 1, if it was bound to a node.
    #[must_use]
    pub fn pod(&self, ordinal: u32) -> Option<Pod> {
        let members = self.shared.members.borrow();
        let member = members.iter().find(|member| member.ordinal == ordinal)?;
        member.pod.borrow().clone()
    }

    /// All pods that were bound to a node, in order of creation.
    #[must_use]
    pub fn all_pods(&self) -> Vec<Pod> {
        let members = self.shared.members.borrow();
        let pods = members
            .iter()
            .filter_map(|member| member.pod.borrow().clone());
        pods.collect()
    }
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment")
            .field("name", &self.shared.config.name)
            .finish_non_exhaustive()
    }
}

/// Whether a component can write to the API server now.
fn writable(api_server: &Script<Behaviour>) -> Writable {
    let api_server = api_server.clone();
    Rc::new(move || api_server.current().serves())
}

impl Shared {
    /// Events about one of the pods that components of the control plane
    /// record.
    fn events_about(&self, pod: &str, recorded_as: Option<&str>) -> EventLog {
        let about = Involved {
            kind: "Pod",
            api_version: "v1",
            resource: "pods",
            namespace: Some(self.config.namespace.clone()),
            name: pod.to_owned(),
        };
        let writable = writable(&self.api_server);
        let objects = EventObjects::new(&self.host, &self.store, about, writable);
        let host = recorded_as.unwrap_or(&self.config.name);
        EventLog::new(host, Rc::clone(&self.recorder), objects)
    }

    /// Records what concerns one of the pods.
    fn tell(&self, member: &Member, event: Event) {
        // The only pod is recorded under its node's name, as it does itself.
        let node = member.node.borrow();
        let host = member.recorded_as.as_deref().or(node.as_deref());
        self.recorder
            .record(host.unwrap_or(&self.config.name), event);
    }

    /// Records what is told only where there can be several pods.
    fn tell_of_several(&self, member: &Member, event: Event) {
        if member.recorded_as.is_some() {
            self.tell(member, event);
        }
    }

    fn pods_on(&self, node: &str) -> Vec<Pod> {
        let members = self.members.borrow();
        let here = members
            .iter()
            .filter(|member| member.node.borrow().as_deref() == Some(node));
        here.filter_map(|member| member.pod.borrow().clone())
            .collect()
    }
}
