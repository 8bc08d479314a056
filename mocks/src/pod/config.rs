//! What a pod is, and how its kubelet treats it.

use std::net::IpAddr;
use std::time::Duration;

use crate::deployment::placement::Placement;
use crate::script::Script;

/// A pod and what its kubelet does with it.
#[derive(Debug, Clone)]
pub struct PodConfig {
    /// What records of the run call the pod. Absent where it is the only one:
    /// then they carry its node's name.
    pub recorded_as: Option<String>,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.labels`
    pub labels: Vec<(String, String)>,
    /// `spec.nodeName`
    pub node_name: String,
    /// Whether its node's machine is there. What runs on one that goes down
    /// ends with it, and starts anew when it comes back.
    pub machine: Script<bool>,
    /// The node's address.
    pub node_ip: IpAddr,
    /// The pod's address; the node's with `host_network`.
    pub pod_ip: IpAddr,
    /// `spec.hostNetwork`
    pub host_network: bool,
    /// `containerPort` of the container's port named `https`: where probes and
    /// the Service lead.
    pub port: u16,
    /// The container's image.
    pub image: String,
    /// The image's size in bytes, for the event that tells of its pull.
    pub image_bytes: u64,
    /// The container's arguments.
    pub args: Vec<String>,
    /// `spec.priorityClassName`
    pub priority_class: Option<String>,
    /// `spec.nodeSelector`, `spec.tolerations`
    pub placement: Placement,
    /// Creation to binding.
    pub scheduling: Duration,
    /// Whether the node's network is ready: no sandbox without it, except for a
    /// pod in the network of its node.
    pub network: Script<bool>,
    /// Volumes, sandbox and network.
    pub sandbox: Duration,
    /// Init containers, one after the other.
    pub init_containers: Vec<InitContainer>,
    /// Whether the image can be had: pulls that begin while it cannot fail.
    pub image_available: Script<bool>,
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
    /// Always`). If not, only [`Pod::start`](super::Pod::start) does.
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
            recorded_as: None,
            namespace: "kube-system".to_owned(),
            name: "metrics-server-6f7dd4c4c4-x7k2p".to_owned(),
            labels: vec![("k8s-app".to_owned(), "metrics-server".to_owned())],
            node_name: node_name.to_owned(),
            machine: Script::always(true),
            node_ip,
            pod_ip,
            host_network: false,
            port: 10250,
            image: "registry.k8s.io/metrics-server/metrics-server:v0.8.1".to_owned(),
            image_bytes: 22_534_912,
            args: Vec::new(),
            priority_class: Some("system-cluster-critical".to_owned()),
            placement: Placement::default(),
            scheduling: Duration::ZERO,
            network: Script::always(true),
            sandbox: Duration::ZERO,
            init_containers: Vec::new(),
            image_available: Script::always(true),
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

/// A container that has to succeed before the next may start. Its image is
/// there.
#[derive(Debug, Clone)]
pub struct InitContainer {
    /// Its name.
    pub name: String,
    /// How long each run takes.
    pub runs: Duration,
    /// Whether what a run waits for before it succeeds is there.
    pub awaited: Script<bool>,
    /// How many runs fail, with exit code 1, before one succeeds.
    pub failures: u32,
}

/// An HTTP probe: `httpGet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// `httpGet.scheme`
    pub scheme: Scheme,
    /// `httpGet.path`, with a query if there is one.
    pub path: String,
    /// `httpGet.port` as a number; absent for the port named `https`.
    pub port: Option<u16>,
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
