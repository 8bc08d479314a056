//! A checked scenario: everything a run needs, every value decided.
//!
//! Nothing here is optional because somebody forgot it: presets have been
//! applied, durations parsed, names resolved and contradictions refused. A
//! value that a run draws from its seed is a [`Distribution`].

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mocks::deployment::placement::Placement;
use mocks::deployment::{Budget, Strategy};
use reports::moment::Moment;

mod certificate;
mod control_plane;
mod dns;
mod kubelet;
mod network;
mod node;

pub use aggregator::version::Version;
pub use certificate::{
    Certificate, Csr, FileContent, Issuance, Issuer, PodCertificate, Verdict as CsrVerdict,
};
pub use control_plane::{
    Aggregation, AggregatorFlags, ApiServer, ApiServerNode, ApiServerState, Authentication,
    Awaited, CaBundle, Consumer, ConsumerKind, FrontProxy, FrontProxyIssuer, RbacRule, RbacSubject,
    Service, ServiceReference, ServingCertificate, TargetPort, Trouble, Watches,
};
pub use dns::{Answer, Dns, DnsRefinement};
pub use kubelet::{
    Access, Attempt, Endpoint, Flaw, FlawKind, Kubelet, KubeletPlan, KubeletState, Latency,
    Payload, Timestamps,
};
pub use network::{Direction, Party, PathEffect, PathRule, Tunnel};
pub use node::{Clock, Container, Node, Pod, Presence};
pub use reports::expectation::{Claim, Expectation};

/// What happens, to whom, and what must come of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// `metadata.name`
    pub name: String,
    /// `metadata.description`
    pub description: String,
    /// `metadata.tags`
    pub tags: Vec<String>,
    /// `metadata.links`: where the incident or the figures come from.
    pub links: Vec<String>,
    /// The file it was read from, as given on the command line.
    pub file: PathBuf,
    /// SHA-256 of the file's bytes, lower-case hexadecimal; where it names a
    /// manifest, of that digest, a space and the manifest's digest.
    pub input_digest: String,
    /// What its manifest has that is not modelled, in sentences.
    pub notes: Vec<String>,
    /// The preset it builds on.
    pub preset: String,
    /// Where the simulation stops, in virtual time.
    pub until: Duration,
    /// The seeds it runs with unless the command line says otherwise.
    pub seeds: Vec<u64>,
    /// What the wall clocks of machines with a right clock show at virtual
    /// time zero: nanoseconds since the Unix epoch.
    pub epoch_unix_ns: i64,
    /// The address ranges of pods and Services.
    pub cluster: Cluster,
    /// The wall clock of the machine of `kubectl` and discovery clients.
    pub clients: Clock,
    /// metrics-server and its pod.
    pub metrics_server: MetricsServer,
    /// metrics-server's settings from later times on. What concerns the pod
    /// template is a rollout.
    pub metrics_server_changes: Vec<(Duration, MetricsServer)>,
    /// The nodes, in the order of the file.
    pub nodes: Vec<Node>,
    /// The API servers: one, or several that share a datastore.
    pub api_servers: Vec<ApiServerNode>,
    /// The aggregation layer and the APIService over time.
    pub aggregation: Timeline<Aggregation>,
    /// Whether the APIService is there, over time.
    pub api_service_there: Timeline<bool>,
    /// The Service in front of metrics-server over time.
    pub service: Timeline<Service>,
    /// Whether it is there, over time.
    pub service_there: Timeline<bool>,
    /// What extension servers are told of authentication, over time.
    pub authentication: Timeline<Authentication>,
    /// What differs from the roles of the manifests, over time.
    pub rbac: Timeline<Vec<RbacRule>>,
    /// Rules for the paths between parties, over time.
    pub network: Timeline<Vec<PathRule>>,
    /// How names resolve for metrics-server, over time.
    pub dns: Timeline<Dns>,
    /// Who uses the metrics API, over time.
    pub consumers: Timeline<Vec<Consumer>>,
    /// One-off happenings, in time order.
    pub actions: Vec<Action>,
    /// Changes and actions whose time is not known yet: they wait for
    /// something to happen in the run, and are not among the others.
    pub triggers: Vec<Trigger>,
    /// Whether something that waits for its time may have a pod replaced, be
    /// its time known or not: what pods are called must not depend on it.
    pub waits_to_replace_pods: bool,
    /// The file's text, from which the scenario is read again once a time is
    /// known.
    pub text: Arc<str>,
    /// What is laid over the file, if a change of it is being tried.
    pub layer: Option<Arc<str>>,
    /// What must hold for the scenario to pass.
    pub expectations: Vec<Expectation>,
    /// Where the settings that govern the time to ready were set.
    pub settings: Settings,
}

/// A value that changes at given virtual times. The first entry is at zero;
/// times increase strictly.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline<T>(pub Vec<(Duration, T)>);

impl<T> Timeline<T> {
    /// A value that never changes.
    pub fn constant(value: T) -> Self {
        Self(vec![(Duration::ZERO, value)])
    }

    /// The value in force at `at`.
    pub fn at(&self, at: Duration) -> &T {
        let next = self.0.partition_point(|(from, _)| *from <= at);
        &self.0[next.saturating_sub(1)].1
    }

    /// A value that changes at these times, which do not decrease and begin
    /// at zero. Of several values at one time the last one holds; a value
    /// equal to the one before is no change.
    pub fn of_changes(values: Vec<(Duration, T)>) -> Self
    where
        T: PartialEq,
    {
        let mut entries: Vec<(Duration, T)> = Vec::with_capacity(values.len());
        for (at, value) in values {
            if entries.last().is_some_and(|(last, _)| *last == at) {
                entries.pop();
            }
            if entries.last().is_none_or(|(_, last)| *last != value) {
                entries.push((at, value));
            }
        }
        Self(entries)
    }

    /// What `part` takes out of it, over time.
    #[must_use]
    pub fn map<U: PartialEq>(&self, part: impl Fn(&T) -> U) -> Timeline<U> {
        let parts = self.0.iter().map(|(at, value)| (*at, part(value)));
        Timeline::of_changes(parts.collect())
    }

    /// The times at which the value changes after zero.
    pub fn changes(&self) -> impl Iterator<Item = Duration> + '_ {
        self.0.iter().skip(1).map(|(from, _)| *from)
    }
}

impl Timeline<Option<bool>> {
    /// Whether something is there: what is said of it, and where nothing is
    /// said whether it is between `begin` and `end`.
    #[must_use]
    pub fn or_between(&self, begin: Duration, end: Option<Duration>) -> Timeline<bool> {
        let mut times: Vec<Duration> = self.0.iter().map(|(at, _)| *at).collect();
        times.extend([begin].into_iter().chain(end));
        times.sort_unstable();
        let is_between = |at| begin <= at && end.is_none_or(|end| at < end);
        let is_there = |at| self.at(at).unwrap_or_else(|| is_between(at));
        let entries = times.into_iter().map(|at| (at, is_there(at)));
        Timeline::of_changes(entries.collect())
    }
}

/// A duration that a run draws from its seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distribution {
    /// Always the same.
    Constant(Duration),
    /// Uniform from the first up to, not including, the second.
    Uniform(Duration, Duration),
    /// Linear interpolation between anchors of (per mille, value), the first
    /// at 0 and the last at 1000, both increasing.
    Quantiles(Vec<(u32, Duration)>),
}

/// The first addresses of the ranges of pods and Services, each with room for
/// 65,536.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster {
    /// Pods'.
    pub pods: Ipv4Addr,
    /// Services'.
    pub services: Ipv4Addr,
}

/// metrics-server's container and the pod around it.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsServer {
    /// Which release's rules apply.
    pub version: Version,
    /// The image without its tag.
    pub image: String,
    /// The container's whole argument list: the preset's, each flag that the
    /// scenario gives or takes out replaced.
    pub args: Vec<String>,
    /// `securityContext`
    pub security: SecurityContext,
    /// What the pod's volumes hold, by path.
    pub files: BTreeMap<String, FileContent>,
    /// `spec.replicas`
    pub replicas: u32,
    /// The nodes that the first pods may run on, one after the other, as
    /// indices into [`Scenario::nodes`]; never empty.
    pub nodes: Vec<usize>,
    /// `spec.strategy`
    pub strategy: Strategy,
    /// The PodDisruptionBudget of the pods, if there is one.
    pub budget: Option<Budget>,
    /// What refines single pods, by their number from 1: the whole settings.
    pub per_replica: BTreeMap<u32, MetricsServer>,
    /// What differs of the name server for this pod.
    pub dns: DnsRefinement,
    /// `containerPort` of the port named `https`; the secure port if absent.
    pub container_port: Option<u16>,
    /// What a starved processor adds to the process's work.
    pub cpu: Option<Cpu>,
    /// What the process uses of its memory.
    pub memory: Option<Memory>,
    /// `resources.limits`
    pub limits: Limits,
    /// When the pod is created, and what it waits for before its container
    /// starts.
    pub pod: PodStart,
    /// What the process itself costs before it serves.
    pub start_cost: StartCost,
    /// `readinessProbe`
    pub readiness: Option<Probe>,
    /// `livenessProbe`
    pub liveness: Option<Probe>,
    /// `startupProbe`
    pub startup: Option<Probe>,
    /// `terminationGracePeriodSeconds`
    pub termination_grace: Duration,
    /// `priorityClassName`
    pub priority_class: Option<String>,
    /// What its pods ask of their nodes.
    pub placement: Placement,
    /// `hostNetwork`
    pub host_network: bool,
    /// Whether exits are followed by restarts (`restartPolicy: Always`).
    pub restart: bool,
    /// Whether the kubelet notices an exit at a random point of its relist
    /// period and prolongs waits at random, as it does; exact where false.
    pub restart_jitter: bool,
    /// `progressDeadlineSeconds`, or the patience of whoever waits for the
    /// installation, counted from the pod's creation. Absent: nobody waits.
    pub progress_deadline: Option<Duration>,
}

/// What metrics-server's container may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityContext {
    /// Whether it runs as another user than root, without root's rights.
    pub is_unprivileged: bool,
    /// `readOnlyRootFilesystem`
    pub read_only_root: bool,
    /// `allowPrivilegeEscalation`
    pub allows_escalation: bool,
}

impl SecurityContext {
    /// Where nothing is said.
    pub const USUAL: Self = Self {
        is_unprivileged: false,
        read_only_root: false,
        allows_escalation: true,
    };
}

/// From the pod's creation to its container's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodStart {
    /// Virtual time at which the pod object is created.
    pub created_at: Duration,
    /// Creation to binding.
    pub scheduling: Distribution,
    /// Time to pull the image; zero when present.
    pub image_pull: Distribution,
    /// Sandbox, network and volumes.
    pub sandbox: Distribution,
    /// When the node's network is ready, so that sandboxes can be made.
    pub network_available: Availability,
    /// When the image can be pulled.
    pub image_available: Availability,
    /// Init containers, one after the other.
    pub init_containers: Vec<InitContainer>,
}

/// From when on something can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// From the beginning.
    Always,
    /// From this virtual time on.
    After(Duration),
    /// Not in this run.
    Never,
}

/// A container that has to succeed before metrics-server's may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitContainer {
    /// Its name.
    pub name: String,
    /// How long a run takes.
    pub runs: Distribution,
    /// What it waits for before a run succeeds: when that is there.
    pub awaited: Availability,
    /// How many runs fail first.
    pub failures: u32,
}

/// What a container may take; as much as there is where absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of CPU, in nanocores.
    pub cpu_nanocores: Option<u64>,
    /// Of memory, in bytes.
    pub memory_bytes: Option<u64>,
}

/// What a starved processor adds to the process's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// To each request that it serves.
    pub request: Distribution,
    /// To each tick, before its result is stored.
    pub tick: Distribution,
}

/// What the process uses of its memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// From its start.
    pub base: u64,
    /// For each node that it knows.
    pub per_node: u64,
    /// For each pod that it stores.
    pub per_pod: u64,
    /// What each tick leaves behind.
    pub per_tick: u64,
}

/// What a metrics-server process costs from exec to its first answer, apart
/// from waiting for others: four parts, one after the other. Source of the
/// defaults: the measurements in `harness/tests/recordings/README.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartCost {
    /// Exec until the serving certificate is looked for.
    pub exec: Distribution,
    /// Generating the serving certificate; the port is bound right after.
    /// Not spent on a restart in the same pod: its volume keeps the files.
    pub certificate: Distribution,
    /// Bound until the first request to the API server.
    pub configure: Distribution,
    /// First tick until the server answers.
    pub serve: Distribution,
}

/// An HTTP probe of the kubelet, with Kubernetes' fields and defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// `httpGet.path`
    pub path: String,
    /// Whether `httpGet.scheme` is `HTTPS`.
    pub tls: bool,
    /// `httpGet.port` where it is neither `https` nor the port of that name.
    pub port: Option<u16>,
    /// `initialDelaySeconds`
    pub initial_delay: Duration,
    /// `periodSeconds`
    pub period: Duration,
    /// `timeoutSeconds`
    pub timeout: Duration,
    /// `successThreshold`
    pub success_threshold: u32,
    /// `failureThreshold`
    pub failure_threshold: u32,
    /// Phase of the probe's ticker: time from the first start of the
    /// container to the first tick, below one period. Drawn uniformly from
    /// the seed when absent.
    pub phase: Option<Duration>,
}

/// Something that happens once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// When, in virtual time.
    pub at: Duration,
    /// What.
    pub kind: ActionKind,
    /// To which pod of metrics-server, by its number from 1; to all of them if
    /// absent.
    pub pod: Option<u32>,
}

impl Action {
    /// Whether it may end a pod of metrics-server for good.
    #[must_use]
    pub fn may_replace_pods(&self) -> bool {
        use ActionKind::{Delete, Drain, RolloutRestart};
        matches!(self.kind, Drain(_) | Delete | RolloutRestart)
    }
}

/// What a change or an action waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Where its `when` begins in the file, which names it.
    pub key: usize,
    /// What has to happen.
    pub moment: Moment,
    /// How often, from 1.
    pub nth: u64,
    /// How long after that it comes.
    pub after: Duration,
    /// As written: `when: readyz200, after: 5s`.
    pub words: String,
    /// Line in the file, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// SIGKILL to the metrics-server process. With `restart` on, the kubelet
    /// starts it again under its rules.
    Kill,
    /// Starts the metrics-server process now, whatever the back-off says.
    Start,
    /// SIGTERM to the metrics-server process.
    Terminate,
    /// `kubectl delete pod`: its ReplicaSet makes another.
    Delete,
    /// `kubectl rollout restart` of the Deployment.
    RolloutRestart,
    /// `kubectl drain` of this node, an index into [`Scenario::nodes`].
    Drain(usize),
}

/// Where the settings that govern the time to ready were set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings(pub Vec<Setting>);

/// A setting, its value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// `--metric-resolution`, `readinessProbe.periodSeconds`, …
    pub name: String,
    /// As written: `15s`.
    pub value: String,
    /// `k3s-1.36` or `scenarios/first.yaml:14`.
    pub origin: String,
}
