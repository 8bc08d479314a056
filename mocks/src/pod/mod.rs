//! metrics-server's pod, as its kubelet runs it.
//!
//! From creation to the first start, then for ever: probes, kills, restarts,
//! back-off, and the status that the rest of the cluster sees. In reading
//! order:
//!
//! - this file: [`Pod`] and the [`ContainerRuntime`] behind it;
//! - `config`: what a pod is;
//! - `prepare`: network, sandbox, init containers, image;
//! - `lifecycle`: creation → container → exit → restart → the pod's end;
//! - `timing`: how quickly the kubelet acts;
//! - `backoff`: when a container that ended may start again;
//! - `prober`: the rules from tick to result;
//! - `http_probe`: one probe on the wire;
//! - `state`: what the kubelet believes;
//! - `status`: that belief on its way into the API server;
//! - `object`: its form there;
//! - `events`: Kubernetes Events, and those that a flood drowns.
//!
//! DIFFERENCE: creating and binding the pod take no API server; the pod counts
//! as known to its kubelet from `scheduling` on, also while the API server is
//! down, as after a reboot of a node that ran it before.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use seam::{Host, Timestamp};
use tokio::sync::{Notify, mpsc};

use crate::event::{Observer, Recorder};
use crate::event_objects::{EventObjects, Involved};
use crate::store::Store;
use crate::tls::{Verify, client_config};

mod backoff;
mod config;
pub(crate) mod events;
mod http_probe;
mod lifecycle;
mod object;
mod prepare;
mod prober;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod timing;

pub use config::{InitContainer, PodConfig, Probe, RestartTiming, Scheme};
use events::EventLog;
use state::Belief;

/// Starts containers: the container runtime, as far as one pod needs it.
pub trait ContainerRuntime {
    /// Starts the container; `restart` is 0 for the first time.
    fn start(&self, restart: u32) -> Box<dyn RunningContainer>;
}

/// A container that was started.
pub trait RunningContainer {
    /// Waits until the main process has ended. Called once.
    fn exited(&mut self) -> LocalBoxFuture<'static, Exit>;

    /// Sends SIGKILL.
    fn kill(&self);

    /// Sends SIGTERM.
    fn terminate(&self);
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit code; 137 after SIGKILL.
    pub code: i32,
    /// `Completed`, `Error`, `OOMKilled`
    pub reason: String,
}

/// What a pod needs besides its configuration.
pub struct PodParts {
    /// The node, as the kubelet's process sees it.
    pub node: Host,
    /// What runs the container.
    pub runtime: Rc<dyn ContainerRuntime>,
    /// Where the pod object lives.
    pub store: Store,
    /// Who is told what happens.
    pub recorder: Rc<dyn Recorder>,
    /// Whether the kubelet can write to the API server now.
    pub apiserver_reachable: Rc<dyn Fn() -> bool>,
    /// How long a write to the API server's datastore takes besides
    /// [`PodConfig::status_latency`].
    pub write_latency: Rc<dyn Fn() -> Duration>,
}

/// A handle to the pod. Cloning gives another.
#[derive(Clone)]
pub struct Pod {
    shared: Rc<Shared>,
}

/// What the parts of a pod share.
struct Shared {
    node: Host,
    config: PodConfig,
    runtime: Rc<dyn ContainerRuntime>,
    store: Store,
    recorder: Rc<dyn Recorder>,
    apiserver_reachable: Rc<dyn Fn() -> bool>,
    write_latency: Rc<dyn Fn() -> Duration>,
    probe_tls: Arc<rustls::ClientConfig>,
    belief: Belief,
    events: EventLog,
    ending: Ending,
    commands: mpsc::UnboundedSender<Command>,
    inbox: Cell<Option<mpsc::UnboundedReceiver<Command>>>,
}

/// What reaches the one who minds the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    /// SIGKILL from outside.
    Kill,
    /// SIGTERM from outside.
    Terminate,
    /// Start, whatever the back-off says.
    Start,
    /// A probe condemned the container of this restart count.
    Condemned { by: ProbeKind, restart: u32 },
    /// The pod's end has begun: see [`Ending`].
    End,
}

/// Why a pod ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// It was deleted in the API.
    Deleted,
    /// Its kubelet evicts it, with the message of its status.
    Evicted(String),
    /// Its machine is gone.
    Lost,
}

impl End {
    /// Who ends the container, in records.
    fn word(&self) -> &'static str {
        match self {
            Self::Deleted => "deletion",
            Self::Evicted(_) => "eviction",
            Self::Lost => "node-loss",
        }
    }
}

/// The pod's end, from when on it is certain.
#[derive(Default)]
struct Ending {
    end: RefCell<Option<End>>,
    bell: Notify,
}

impl Ending {
    /// The loss of a machine overtakes any other end; otherwise the first
    /// counts.
    fn begin(&self, end: End) {
        let mut current = self.end.borrow_mut();
        if current.is_none() || end == End::Lost {
            *current = Some(end);
            self.bell.notify_one();
        }
    }

    fn end(&self) -> Option<End> {
        self.end.borrow().clone()
    }

    fn has_begun(&self) -> bool {
        self.end.borrow().is_some()
    }

    async fn begun(&self) {
        while !self.has_begun() {
            self.bell.notified().await;
        }
    }
}

/// One of the three probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeKind {
    Readiness,
    Liveness,
    Startup,
}

impl ProbeKind {
    fn observer(self) -> Observer {
        match self {
            Self::Readiness => Observer::ReadinessProbe,
            Self::Liveness => Observer::LivenessProbe,
            Self::Startup => Observer::StartupProbe,
        }
    }

    /// As events begin.
    fn title(self) -> &'static str {
        match self {
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
            Self::Startup => "Startup",
        }
    }

    /// As events speak of it within.
    fn word(self) -> &'static str {
        match self {
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
            Self::Startup => "startup",
        }
    }
}

impl Pod {
    /// A pod that does not exist yet: see [`Pod::run`].
    #[must_use]
    pub fn new(config: PodConfig, parts: PodParts) -> Self {
        // Source: `pkg/probe/http/http.go New`: probes verify nothing.
        let probe_tls = client_config(&Verify::Insecure, None, parts.node.clock());
        let (commands, inbox) = mpsc::unbounded_channel();
        let recorded_as = config.recorded_as.as_deref().unwrap_or(parts.node.name());
        let about = Involved {
            kind: "Pod",
            api_version: "v1",
            resource: "pods",
            namespace: Some(config.namespace.clone()),
            name: config.name.clone(),
        };
        let events = EventLog::new(
            recorded_as,
            Rc::clone(&parts.recorder),
            EventObjects::new(
                &parts.node,
                &parts.store,
                about,
                Rc::clone(&parts.apiserver_reachable),
            ),
        );
        let belief = Belief::new(&config);
        Self {
            shared: Rc::new(Shared {
                node: parts.node,
                config,
                runtime: parts.runtime,
                store: parts.store,
                recorder: parts.recorder,
                apiserver_reachable: parts.apiserver_reachable,
                write_latency: parts.write_latency,
                probe_tls,
                belief,
                events,
                ending: Ending::default(),
                commands,
                inbox: Cell::new(Some(inbox)),
            }),
        }
    }

    /// Creates the pod, binds it and runs it until its end. Its tasks belong
    /// to the node's process, which is the pod's own.
    ///
    /// # Panics
    ///
    /// If called twice, or after [`Pod::run_bound`].
    pub async fn run(&self) {
        create(
            &self.shared.store,
            &self.shared.config,
            self.shared.node.now(),
        );
        tokio::time::sleep(self.shared.config.scheduling).await;
        self.run_bound().await;
    }

    /// Binds the pod, whose object exists already, and runs it until its end.
    ///
    /// # Panics
    ///
    /// If called twice, or after [`Pod::run`].
    pub async fn run_bound(&self) {
        let inbox = self.shared.inbox.take().expect("a pod is run once");
        lifecycle::run(Rc::clone(&self.shared), inbox).await;
    }

    /// The pod was deleted in the API: the container gets SIGTERM and its grace
    /// period, then the object goes.
    pub fn delete(&self) {
        self.end(End::Deleted);
    }

    /// The kubelet evicts the pod to relieve its node: the container is killed
    /// and the pod Failed, with this message.
    pub fn evict(&self, message: impl Into<String>) {
        self.end(End::Evicted(message.into()));
    }

    /// The machine is gone, and with it the container and the kubelet. The
    /// object stays as it was.
    pub fn lose(&self) {
        self.end(End::Lost);
    }

    fn end(&self, end: End) {
        self.shared.ending.begin(end);
        self.shared.command(Command::End);
    }

    /// Has the pod's own process do [`Pod::run_bound`].
    ///
    /// # Panics
    ///
    /// If called twice.
    pub fn spawn_bound(&self) {
        let pod = self.clone();
        self.shared.node.spawn(async move { pod.run_bound().await });
    }

    /// SIGKILL to the container's process. A container that does not run stays
    /// as it is.
    pub fn kill(&self) {
        self.shared.command(Command::Kill);
    }

    /// SIGTERM to the container's process. Nothing follows if it ignores it.
    pub fn terminate(&self) {
        self.shared.command(Command::Terminate);
    }

    /// Starts the container now if it has ended, whatever the back-off says.
    pub fn start(&self) {
        self.shared.command(Command::Start);
    }
}

impl std::fmt::Debug for Pod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pod")
            .field("name", &self.shared.config.name)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn command(&self, command: Command) {
        // After the run's end nobody listens, and nothing is to be done.
        let _ = self.commands.send(command);
    }

    fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Readiness => self.config.readiness.as_ref(),
            ProbeKind::Liveness => self.config.liveness.as_ref(),
            ProbeKind::Startup => self.config.startup.as_ref(),
        }
    }

    fn probed_address(&self, probe: &Probe) -> SocketAddr {
        SocketAddr::new(self.config.pod_ip, probe.port.unwrap_or(self.config.port))
    }

    /// What records of the run call the pod.
    fn recorded_as(&self) -> &str {
        let config = &self.config;
        config.recorded_as.as_deref().unwrap_or(self.node.name())
    }

    /// A random stream of this pod.
    fn random(&self, name: &str) -> Box<dyn seam::Random> {
        match &self.config.recorded_as {
            None => self.node.random(&format!("kubelet/{name}")),
            Some(pod) => self.node.random(&format!("kubelet/{pod}/{name}")),
        }
    }
}

/// Creates a pod's object, without a node.
pub fn create(store: &Store, config: &PodConfig, now: Timestamp) {
    store.put("pods", object::unscheduled(config, now));
}
