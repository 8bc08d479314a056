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
    pub(super) message: &'static str,
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
    sandbox: bool,
}

impl Belief {
    pub(super) fn new(config: &PodConfig) -> Self {
        Self {
            state: RefCell::new(State {
                accepted_at: Timestamp::EPOCH,
                instance: None,
                previous: None,
                waiting: ("ContainerCreating", String::new()),
                conditions: Vec::new(),
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

    /// The kubelet waits before it starts the container again.
    pub(super) fn backing_off(&self, message: String, now: Timestamp) {
        self.change(now, |state| state.waiting = ("CrashLoopBackOff", message));
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
        const UNREADY: &str = "containers with unready status: [metrics-server]";
        let (reason, message) = match self.ready() {
            true => ("", ""),
            false => ("ContainersNotReady", UNREADY),
        };
        let wanted = [
            ("PodReadyToStartContainers", self.sandbox, "", ""),
            ("Initialized", true, "", ""),
            ("Ready", self.ready(), reason, message),
            ("ContainersReady", self.ready(), reason, message),
            ("PodScheduled", true, "", ""),
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
