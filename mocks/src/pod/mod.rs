//! metrics-server's pod, as its kubelet runs it.
//!
//! From creation to the first start, then for ever: probes, kills, restarts,
//! back-off, and the status that the rest of the cluster sees. In reading
//! order:
//!
//! - this file: configuration, [`Pod`] and the [`ContainerRuntime`] behind it;
//! - `lifecycle`: creation → container → exit → restart;
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

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use seam::Host;
use tokio::sync::mpsc;

use crate::event::{Observer, Recorder};
use crate::store::Store;
use crate::tls::{Verify, client_config};

mod backoff;
pub(crate) mod events;
mod http_probe;
mod lifecycle;
mod object;
mod prober;
mod state;
mod status;
#[cfg(test)]
mod tests;

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

/// A pod and what its kubelet does with it.
#[derive(Debug, Clone)]
pub struct PodConfig {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.labels`
    pub labels: Vec<(String, String)>,
    /// `spec.nodeName`
    pub node_name: String,
    /// The node's address.
    pub node_ip: IpAddr,
    /// The pod's address; the node's with `host_network`.
    pub pod_ip: IpAddr,
    /// `spec.hostNetwork`
    pub host_network: bool,
    /// The container's port named `https`, which is probed.
    pub port: u16,
    /// The container's image.
    pub image: String,
    /// The image's size in bytes, for the event that tells of its pull.
    pub image_bytes: u64,
    /// The container's arguments.
    pub args: Vec<String>,
    /// Creation to binding.
    pub scheduling: Duration,
    /// Volumes, sandbox and network.
    pub sandbox: Duration,
    /// Pulling the image; zero if it is there.
    pub image_pull: Duration,
    /// `readinessProbe`
    pub readiness: Option<Probe>,
    /// `livenessProbe`
    pub liveness: Option<Probe>,
    /// `startupProbe`
    pub startup: Option<Probe>,
    /// `terminationGracePeriodSeconds`; the kubelet grants at least two
    /// seconds.
    pub termination_grace: Duration,
    /// Whether the kubelet starts the container again (`restartPolicy:
    /// Always`). If not, only [`Pod::start`] does.
    pub restart: bool,
    /// How quickly the kubelet acts on exits.
    pub restart_timing: RestartTiming,
    /// From a change of the status to its write in the API server, two round
    /// trips.
    pub status_latency: Duration,
}

impl PodConfig {
    /// The pod of the upstream manifests on this node, without probes, with
    /// everything in place.
    /// Source: metrics-server `manifests/base/deployment.yaml`.
    #[must_use]
    pub fn metrics_server(node_name: &str, node_ip: IpAddr, pod_ip: IpAddr) -> Self {
        Self {
            namespace: "kube-system".to_owned(),
            name: "metrics-server-6f7dd4c4c4-x7k2p".to_owned(),
            labels: vec![("k8s-app".to_owned(), "metrics-server".to_owned())],
            node_name: node_name.to_owned(),
            node_ip,
            pod_ip,
            host_network: false,
            port: 10250,
            image: "registry.k8s.io/metrics-server/metrics-server:v0.8.1".to_owned(),
            image_bytes: 22_534_912,
            args: Vec::new(),
            scheduling: Duration::ZERO,
            sandbox: Duration::ZERO,
            image_pull: Duration::ZERO,
            readiness: None,
            liveness: None,
            startup: None,
            termination_grace: Duration::from_secs(30),
            restart: true,
            restart_timing: RestartTiming::default(),
            status_latency: Duration::from_millis(10),
        }
    }
}

/// An HTTP probe: `httpGet` on the port `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// `httpGet.scheme`
    pub scheme: Scheme,
    /// `httpGet.path`, with a query if there is one.
    pub path: String,
    /// `initialDelaySeconds`; fractions are cut off.
    pub initial_delay: Duration,
    /// `periodSeconds`
    pub period: Duration,
    /// `timeoutSeconds`
    pub timeout: Duration,
    /// `successThreshold`
    pub success_threshold: u32,
    /// `failureThreshold`
    pub failure_threshold: u32,
    /// Time from the container's first start to the probe's first tick, below
    /// one period. Ticks follow each period from there, whatever happens to
    /// the container.
    ///
    /// DIFFERENCE: a kubelet's ticks count from the creation of the worker,
    /// and for an unready container each pod sync probes at once and restarts
    /// the ticks. A given phase stands for where all that has put them.
    pub phase: Duration,
}

/// `httpGet.scheme`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `HTTP`
    Http,
    /// `HTTPS`, without verification
    Https,
}

/// How quickly the kubelet acts on exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartTiming {
    /// The longest time until an exit is noticed.
    /// Source: `pkg/kubelet/kubelet.go genericPlegRelistPeriod`.
    pub relist_period: Duration,
    /// Whether exits are noticed at a random point of the relist period, and
    /// waits are prolonged by up to half as the pod workers' queue does. If
    /// not, exits are noticed after exactly one period, and waits are exact.
    pub jitter: bool,
}

impl Default for RestartTiming {
    fn default() -> Self {
        Self {
            relist_period: Duration::from_secs(1),
            jitter: true,
        }
    }
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
    probe_tls: Arc<rustls::ClientConfig>,
    belief: Belief,
    events: EventLog,
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
        let events = EventLog::new(parts.node.name(), Rc::clone(&parts.recorder));
        let belief = Belief::new(&config);
        Self {
            shared: Rc::new(Shared {
                node: parts.node,
                config,
                runtime: parts.runtime,
                store: parts.store,
                recorder: parts.recorder,
                apiserver_reachable: parts.apiserver_reachable,
                probe_tls,
                belief,
                events,
                commands,
                inbox: Cell::new(Some(inbox)),
            }),
        }
    }

    /// Creates the pod and runs it for ever. Its tasks belong to the node's
    /// process.
    ///
    /// # Panics
    ///
    /// If called twice.
    pub async fn run(&self) {
        let inbox = self.shared.inbox.take().expect("a pod is run once");
        lifecycle::run(Rc::clone(&self.shared), inbox).await;
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

    fn probed_address(&self) -> SocketAddr {
        SocketAddr::new(self.config.pod_ip, self.config.port)
    }
}
