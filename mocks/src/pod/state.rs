//! What the kubelet believes about the pod.

use std::cell::RefCell;

use seam::Timestamp;
use tokio::sync::Notify;

use super::{Exit, PodConfig};

/// One start of the container.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    /// Its restart count, which serves as its ID.
    pub(super) restart: u32,
    pub(super) started_at: Timestamp,
    /// `started` of its status: past its startup probe.
    pub(super) started: bool,
    /// `ready` of its status.
    pub(super) ready: bool,
    pub(super) ended: Option<Ended>,
}

/// The end of a container.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) at: Timestamp,
}

/// A pod condition.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) name: &'static str,
    pub(super) status: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) since: Timestamp,
}

/// The kubelet's view of the pod, and a bell that rings when it changes.
pub(super) struct Belief {
    state: RefCell<State>,
    /// Holds one ring, as the status manager's channel does.
    pub(super) changed: Notify,
    has_readiness: bool,
    has_startup: bool,
}

/// The view itself.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// When the kubelet first saw the pod.
    pub(super) accepted_at: Timestamp,
    pub(super) instance: Option<Instance>,
    /// The instance before that.
    pub(super) previous: Option<Instance>,
    /// Why nothing runs: reason and message.
    pub(super) waiting: (&'static str, String),
    pub(super) conditions: Vec<Condition>,
    /// Whether an init container was started.
    pub(super) initializing: bool,
    /// Why the kubelet evicted the pod, if it did.
    pub(super) evicted: Option<String>,
    /// Init containers that have not succeeded yet.
    uninitialized: Vec<String>,
    sandbox: bool,
}

impl Belief {
    pub(super) fn new(config: &PodConfig) -> Self {
        Self {
            state: RefCell::new(State {
                accepted_at: Timestamp::EPOCH,
                instance: None,
                previous: None,
                waiting: match config.init_containers.is_empty() {
                    true => ("ContainerCreating", String::new()),
                    false => ("PodInitializing", String::new()),
                },
                conditions: Vec::new(),
                initializing: false,
                evicted: None,
                uninitialized: config
                    .init_containers
                    .iter()
                    .map(|container| container.name.clone())
                    .collect(),
                sandbox: false,
            }),
            changed: Notify::new(),
            has_readiness: config.readiness.is_some(),
            has_startup: config.startup.is_some(),
        }
    }

    /// The container's latest instance.
    pub(super) fn instance(&self) -> Option<Instance> {
        self.state.borrow().instance.clone()
    }

    /// Looks at the whole view.
    pub(super) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.borrow())
    }

    /// The kubelet saw the pod for the first time.
    pub(super) fn accepted(&self, now: Timestamp) {
        self.change(now, |state| state.accepted_at = now);
    }

    /// Sandbox and network are there.
    pub(super) fn sandbox_ready(&self, now: Timestamp) {
        self.change(now, |state| state.sandbox = true);
    }

    /// An init container runs.
    pub(super) fn init_started(&self, now: Timestamp) {
        self.change(now, |state| state.initializing = true);
    }

    /// An init container succeeded.
    pub(super) fn init_succeeded(&self, name: &str, now: Timestamp) {
        self.change(now, |state| state.uninitialized.retain(|init| init != name));
    }

    /// The container does not run yet, for this reason.
    pub(super) fn waiting(&self, reason: &'static str, message: String, now: Timestamp) {
        self.change(now, |state| state.waiting = (reason, message));
    }

    /// The kubelet gave the pod up.
    pub(super) fn evicted(&self, message: String, now: Timestamp) {
        self.change(now, |state| state.evicted = Some(message));
    }

    /// The container runs.
    pub(super) fn container_started(&self, restart: u32, now: Timestamp) {
        self.change(now, |state| {
            let instance = Instance {
                restart,
                started_at: now,
                started: !self.has_startup,
                ready: !self.has_startup && !self.has_readiness,
                ended: None,
            };
            state.previous = state.instance.replace(instance);
        });
    }

    /// The kubelet noticed the container's end.
    pub(super) fn container_ended(&self, ended: Ended, now: Timestamp) {
        self.change(now, |state| {
            state.waiting = ("", String::new());
            if let Some(instance) = &mut state.instance {
                instance.ended = Some(ended);
                instance.ready = false;
                instance.started = false;
            }
        });
    }

    /// The readiness probe's stored result changed.
    pub(super) fn set_ready(&self, restart: u32, ready: bool, now: Timestamp) {
        self.change_running(restart, now, |instance| instance.ready = ready);
    }

    /// The startup probe succeeded.
    pub(super) fn set_started(&self, restart: u32, now: Timestamp) {
        let ready = !self.has_readiness;
        self.change_running(restart, now, |instance| {
            instance.started = true;
            instance.ready = ready;
        });
    }

    fn change_running(&self, restart: u32, now: Timestamp, change: impl FnOnce(&mut Instance)) {
        self.change(now, |state| {
            let current = state
                .instance
                .as_mut()
                .filter(|instance| instance.restart == restart && instance.ended.is_none());
            if let Some(instance) = current {
                change(instance);
            }
        });
    }

    fn change(&self, now: Timestamp, change: impl FnOnce(&mut State)) {
        let mut state = self.state.borrow_mut();
        change(&mut state);
        state.renew_conditions(now);
        self.changed.notify_one();
    }
}

impl State {
    /// Whether the pod is Ready.
    pub(super) fn ready(&self) -> bool {
        self.instance
            .as_ref()
            .is_some_and(|instance| instance.ready)
    }

    /// Source: `pkg/kubelet/status/generate.go`.
    fn renew_conditions(&mut self, now: Timestamp) {
        let (reason, message) = match self.ready() {
            true => ("", String::new()),
            false => (
                "ContainersNotReady",
                "containers with unready status: [metrics-server]".to_owned(),
            ),
        };
        let missing = self.uninitialized.join(" ");
        let (initialized, uninitialized) = match missing.is_empty() {
            true => ("", String::new()),
            false => (
                "ContainersNotInitialized",
                format!("containers with incomplete status: [{missing}]"),
            ),
        };
        let none = String::new;
        let wanted = [
            ("PodReadyToStartContainers", self.sandbox, "", none()),
            (
                "Initialized",
                missing.is_empty(),
                initialized,
                uninitialized,
            ),
            ("Ready", self.ready(), reason, message.clone()),
            ("ContainersReady", self.ready(), reason, message),
            ("PodScheduled", true, "", none()),
        ];
        let before = std::mem::take(&mut self.conditions);
        self.conditions = wanted
            .into_iter()
            .map(|(name, status, reason, message)| {
                let same = before
                    .iter()
                    .find(|old| old.name == name && old.status == status);
                let since = same.map_or(now, |old| old.since);
                Condition {
                    name,
                    status,
                    reason,
                    message,
                    since,
                }
            })
            .collect();
    }
}
