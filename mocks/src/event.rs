//! What a stand-in tells the world about a run.

use std::fmt;
use std::time::Duration;

/// Somebody who asked and was, or was not, answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Observer {
    /// The kubelet's readiness probe.
    ReadinessProbe,
    /// The kubelet's liveness probe.
    LivenessProbe,
    /// The kubelet's startup probe.
    StartupProbe,
    /// The availability controller of the aggregation layer.
    AggregatorCheck,
    /// `kubectl top`.
    KubectlTop,
    /// The horizontal pod autoscaler.
    Hpa,
    /// A discovery client.
    Discovery,
    /// `kubectl drain`.
    KubectlDrain,
    /// The namespace controller.
    NamespaceController,
    /// A controller manager on its way to its controllers.
    ControllerManager,
    /// `kubectl wait`.
    KubectlWait,
    /// `helm install --wait`.
    HelmInstall,
}

impl Observer {
    /// The observer's name in reports: `readiness-probe`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReadinessProbe => "readiness-probe",
            Self::LivenessProbe => "liveness-probe",
            Self::StartupProbe => "startup-probe",
            Self::AggregatorCheck => "aggregator-check",
            Self::KubectlTop => "kubectl-top",
            Self::Hpa => "hpa",
            Self::Discovery => "discovery",
            Self::KubectlDrain => "kubectl-drain",
            Self::NamespaceController => "namespace-controller",
            Self::ControllerManager => "controller-manager",
            Self::KubectlWait => "kubectl-wait",
            Self::HelmInstall => "helm-install",
        }
    }
}

/// What came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// An HTTP answer with this status.
    Status(u16),
    /// The connection was refused.
    Refused,
    /// Nothing came in time.
    Timeout,
    /// The connection was reset or ended early.
    Reset,
    /// TLS failed.
    Tls,
    /// The name did not resolve.
    Dns,
    /// No route to the host.
    Unreachable,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "{code}"),
            Self::Refused => f.write_str("refused"),
            Self::Timeout => f.write_str("timeout"),
            Self::Reset => f.write_str("reset"),
            Self::Tls => f.write_str("tls"),
            Self::Dns => f.write_str("dns"),
            Self::Unreachable => f.write_str("unreachable"),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request was answered, or was not.
    Response {
        /// Who asked.
        observer: Observer,
        /// What was asked: `/readyz`, `/apis/metrics.k8s.io/v1beta1/nodes`.
        target: String,
        /// What came back.
        outcome: Outcome,
        /// What the asker made of it: a body or an error, as its user sees it.
        text: String,
        /// From asking to knowing.
        took: Duration,
    },
    /// The witness looked at something the moment it may have changed. Not a
    /// response: no such client exists in a cluster.
    Witness {
        /// `/readyz` or `/apis/metrics.k8s.io/v1beta1/nodes`
        target: String,
        /// What came back.
        outcome: Outcome,
        /// The body of an answer other than 200, or the error; empty for 200.
        text: String,
        /// Names of the nodes listed, for the list of nodes.
        nodes: Vec<String>,
        /// Namespaced names of the pods listed, for the list of pods.
        pods: Vec<String>,
    },
    /// A pod object was created.
    PodCreated,
    /// Which pod that is, where there can be several.
    ReplicaCreated {
        /// `metadata.name`
        object: String,
        /// The template it was made from, from 1.
        revision: u32,
    },
    /// A pod, where there can be several, was bound to a node.
    ReplicaBound {
        /// The node.
        node: String,
    },
    /// A pod's object is gone.
    ReplicaDeleted,
    /// The Deployment's Progressing condition changed, after the first rollout
    /// for the worse or after a later one at all.
    Progressing {
        /// Its status.
        status: bool,
        /// `NewReplicaSetAvailable`, `ProgressDeadlineExceeded`
        reason: &'static str,
        /// Its message.
        message: String,
    },
    /// The pod object was created, bound, … : a condition changed.
    PodCondition {
        /// `PodScheduled`, `ContainersReady`, `Ready`
        condition: &'static str,
        /// Its status.
        status: bool,
        /// Its reason, or empty.
        reason: String,
    },
    /// The container started.
    ContainerStarted {
        /// 0 for the first start, then the restart count.
        restart: u32,
    },
    /// The container ended.
    ContainerExited {
        /// Exit code; 137 after SIGKILL.
        code: i32,
        /// `Error`, `Completed`, `OOMKilled`
        reason: String,
        /// Who ended it, if not itself: `liveness`, `startup`, `action`,
        /// `deletion`, `eviction`, `node-loss`.
        killed_by: Option<&'static str>,
    },
    /// The kubelet waits before the next start.
    BackOff {
        /// Nominal wait in nanoseconds.
        nominal_ns: u64,
    },
    /// The Service's EndpointSlice was written.
    EndpointSlice {
        /// Addresses with `ready: true`.
        ready: Vec<String>,
        /// Other addresses.
        not_ready: Vec<String>,
    },
    /// The APIService object was created.
    ApiServiceRegistered,
    /// The APIService object was deleted.
    ApiServiceDeleted,
    /// The APIService's Available condition was written.
    ApiService {
        /// `True`, `False`, `Unknown`
        status: &'static str,
        /// `Passed`, `MissingEndpoints`, …
        reason: String,
        /// The condition's message.
        message: String,
    },
    /// A Kubernetes Event object was recorded by a component.
    Kubernetes {
        /// `Warning` or `Normal`
        kind: &'static str,
        /// `Unhealthy`, `Killing`, `BackOff`, …
        reason: &'static str,
        /// Its message.
        message: String,
    },
    /// A client asked for something that is not modelled, and was told so.
    NotModelled {
        /// Method and path.
        request: String,
    },
    /// Somebody met a part of the world. Whether there is anything wrong with it
    /// at that time is for the world to know.
    Met(Met),
    /// A client began to watch a resource, which client-go's informers do once
    /// they hold the first list.
    WatchRequested {
        /// Who: `system:serviceaccount:kube-system:metrics-server`.
        user: String,
        /// What: `nodes`.
        resource: String,
    },
    /// A kubelet answered or refused a scrape.
    KubeletServed {
        /// Status; 0 when no HTTP answer was given.
        status: u16,
    },
}

/// A part of the world that can be wrong, and that somebody met.
///
/// Kubelets tell what met their clients in their own words:
/// [`crate::kubelet::Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// An API server was dialled, or asked while it stands still.
    ApiServer,
    /// An API server answered with an error instead of serving.
    Trouble,
    /// Paths of aggregated APIs that are not installed yet were asked for.
    AggregatedPaths,
    /// A watch was asked for, or kept from telling, or ended.
    Watches,
    /// A connection was made to an API server, which shows its certificate.
    ServingCertificate,
    /// The aggregation layer showed its client certificate.
    FrontProxy,
    /// The aggregation layer verified a backend.
    CaBundle,
    /// The ConfigMap by which extension servers know who asks was asked for.
    AuthenticationConfig,
    /// A pod waited for its node's network.
    Network,
    /// A pod's image could not be pulled.
    Image,
    /// A pod waited for an init container: that failed, or for what that waits
    /// for.
    InitContainer,
}

/// Where events go. The receiver stamps them with virtual time and order.
pub trait Recorder {
    /// Records that `event` happened on `host` now.
    fn record(&self, host: &str, event: Event);
}
