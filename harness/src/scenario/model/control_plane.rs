//! The control plane of a checked scenario: API servers, the metrics API's
//! registration, who may do what, and who uses it all.

use std::net::IpAddr;
use std::time::Duration;

pub use mocks::apiserver::Trouble;

use super::{Clock, Distribution, Timeline};

/// An API server and the machine that it runs on.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiServerNode {
    /// `apiserver`; `apiserver-a` where there are several.
    pub name: String,
    /// The machine's wall clock.
    pub clock: Clock,
    /// How it behaves over time.
    pub over_time: Timeline<ApiServer>,
}

/// The API server's behaviour.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiServer {
    /// What a dial to it meets.
    pub state: ApiServerState,
    /// How long it takes to answer a request.
    pub latency: Distribution,
    /// How long a write to its datastore takes besides: requests that change
    /// objects, and the writes of controllers and kubelets.
    pub write_latency: Distribution,
    /// What becomes of watches.
    pub watches: Watches,
    /// What it serves with.
    pub certificate: ServingCertificate,
    /// What it answers instead of serving.
    pub trouble: Option<Trouble>,
    /// Its own `--enable-aggregator-routing`, in place of
    /// [`Aggregation::endpoint_routing`].
    pub endpoint_routing: Option<bool>,
    /// Its own `--proxy-client-cert-file`, in place of
    /// [`Aggregation::front_proxy`].
    pub front_proxy: Option<FrontProxy>,
}

impl ApiServer {
    /// What its aggregation layer shows to extension servers.
    #[must_use]
    pub fn front_proxy<'a>(&'a self, aggregation: &'a Aggregation) -> &'a FrontProxy {
        self.front_proxy
            .as_ref()
            .unwrap_or(&aggregation.front_proxy)
    }
}

/// Flags of an API server's aggregation layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregatorFlags {
    /// `--enable-aggregator-routing`
    pub endpoint_routing: bool,
    /// `--proxy-client-cert-file`
    pub front_proxy: FrontProxy,
}

impl ApiServerNode {
    /// The flags of its aggregation layer over time: its own, or what holds
    /// for every API server.
    #[must_use]
    pub fn flags(&self, aggregation: &Timeline<Aggregation>) -> Timeline<AggregatorFlags> {
        let own = self.over_time.0.iter().map(|(at, _)| *at);
        let shared = aggregation.0.iter().map(|(at, _)| *at);
        let mut times: Vec<Duration> = own.chain(shared).collect();
        times.sort_unstable();
        let flags = |at: Duration| {
            let (server, shared) = (self.over_time.at(at), aggregation.at(at));
            AggregatorFlags {
                endpoint_routing: server.endpoint_routing.unwrap_or(shared.endpoint_routing),
                front_proxy: server.front_proxy(shared).clone(),
            }
        };
        Timeline::of_changes(times.into_iter().map(|at| (at, flags(at))).collect())
    }
}

/// What a dial to the API server meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiServerState {
    /// Nobody listens: connection refused.
    Down,
    /// TCP connects, nothing answers.
    Hang,
    /// It listens; paths of aggregated APIs are not installed yet (503).
    Starting,
    /// Serves.
    Up,
}

/// What becomes of watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watches {
    /// They tell what happens.
    Served,
    /// They stay open and tell nothing, not even that they end.
    Silent,
    /// The watch cache is being built: watches end, lists and new watches are
    /// answered 429.
    Initializing,
}

/// The API server's serving certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingCertificate {
    /// Whether the cluster's authority signed it, or one that nobody knows.
    pub trusted: bool,
    /// First instant of validity, in nanoseconds from virtual time zero.
    pub not_before_ns: i64,
    /// Last instant of validity, in nanoseconds from virtual time zero.
    pub not_after_ns: i64,
    /// Its addresses, if they are not those of the server and its Service.
    pub ips: Option<Vec<IpAddr>>,
}

/// The aggregation layer, and the APIService object that it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregation {
    /// Whether it says Available from before the run.
    pub available: bool,
    /// `spec.insecureSkipTLSVerify`
    pub insecure_skip_tls_verify: bool,
    /// `spec.caBundle`
    pub ca_bundle: CaBundle,
    /// `spec.service`
    pub service: ServiceReference,
    /// `spec.groupPriorityMinimum`
    pub group_priority_minimum: u32,
    /// `spec.versionPriority`
    pub version_priority: u32,
    /// `--enable-aggregator-routing`: dial endpoints rather than the ClusterIP.
    pub endpoint_routing: bool,
    /// Phase of the availability controller's 30 s resync, below 30 s. Drawn
    /// uniformly from the seed when absent.
    pub resync_phase: Option<Duration>,
    /// What the aggregation layer shows to extension servers.
    pub front_proxy: FrontProxy,
}

/// An authority in a place where one is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaBundle {
    /// The cluster's own.
    Cluster,
    /// One that signed nothing here.
    Unknown,
    /// None.
    Absent,
}

/// `spec.service` of an APIService.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceReference {
    /// `namespace`
    pub namespace: String,
    /// `name`
    pub name: String,
    /// `port`
    pub port: u16,
}

/// The aggregation layer's client certificate: `--proxy-client-cert-file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontProxy {
    /// Who signed it.
    pub issuer: FrontProxyIssuer,
    /// Its common name.
    pub common_name: String,
    /// First instant of validity, in nanoseconds from virtual time zero.
    pub not_before_ns: i64,
    /// Last instant of validity, in nanoseconds from virtual time zero.
    pub not_after_ns: i64,
}

/// Who signed the aggregation layer's client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrontProxyIssuer {
    /// The authority that extension servers are told of.
    FrontProxy,
    /// The cluster's authority.
    Cluster,
    /// An authority that nobody knows.
    Unknown,
}

/// The Service in front of metrics-server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `spec.ports[0].port`
    pub port: u16,
    /// `spec.ports[0].name`
    pub port_name: String,
    /// `spec.ports[0].targetPort`: a number or the name of a container's port.
    pub target_port: TargetPort,
    /// `spec.ports[0].appProtocol`
    pub app_protocol: Option<String>,
    /// `spec.selector`
    pub selector: Vec<(String, String)>,
    /// `spec.publishNotReadyAddresses`
    pub publish_not_ready_addresses: bool,
}

/// `targetPort` of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// A number.
    Number(u16),
    /// The name of a container's port.
    Name(String),
}

/// The ConfigMap `kube-system/extension-apiserver-authentication`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    /// Whether it exists.
    pub present: bool,
    /// `client-ca-file`
    pub client_ca: CaBundle,
    /// `requestheader-client-ca-file`; `Cluster` is the front proxy's.
    pub request_header_ca: CaBundle,
    /// `requestheader-allowed-names`
    pub allowed_names: Vec<String>,
}

/// What somebody may or may not do, whatever the roles of the manifests say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RbacRule {
    /// Who.
    pub subject: RbacSubject,
    /// What, as written: `nodes/metrics`, `nodes.metrics.k8s.io`, `/livez`.
    pub object: String,
    /// Whether they may.
    pub allowed: bool,
}

/// Somebody whose rights a scenario changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RbacSubject {
    /// metrics-server's service account.
    MetricsServer,
    /// The autoscaler's service account.
    Hpa,
    /// Whoever uses `kubectl`, and discovery.
    Clients,
    /// Who shows no credentials, such as the kubelet's probes.
    Anonymous,
}

/// Somebody who uses the metrics API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its key in `consumers`, and its name in reports.
    pub name: String,
    /// What it does.
    pub kind: ConsumerKind,
    /// When it asks first.
    pub from: Duration,
    /// When it asks no more.
    pub until: Option<Duration>,
    /// How often it asks.
    pub every: Duration,
    /// The API server that it asks, by its place in
    /// [`Scenario::api_servers`](super::Scenario::api_servers); each new
    /// connection goes to the next one if absent.
    pub api_server: Option<usize>,
}

/// What a consumer does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsumerKind {
    /// `kubectl top nodes` and its discovery.
    KubectlTop,
    /// `kubectl top pods` in a namespace, or in all.
    KubectlTopPods(Option<String>),
    /// The horizontal pod autoscaler.
    Hpa,
    /// A discovery client: the API groups and the group's resources.
    Discovery,
    /// The namespace controller, with a namespace to delete.
    NamespaceController,
    /// A controller manager that starts its controllers, that of endpoints
    /// among them, only once discovery is complete.
    ControllerManager,
    /// `kubectl wait` for a condition.
    KubectlWait(Awaited),
    /// `helm install --wait --timeout` with this time-out.
    HelmInstall(Duration),
}

impl ConsumerKind {
    /// Its word in the language.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::KubectlTop | Self::KubectlTopPods(_) => "kubectl-top",
            Self::Hpa => "hpa",
            Self::Discovery => "discovery",
            Self::NamespaceController => "namespace-controller",
            Self::ControllerManager => "controller-manager",
            Self::KubectlWait(_) => "kubectl-wait",
            Self::HelmInstall(_) => "helm-install",
        }
    }
}

/// What `kubectl wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// `--for=condition=Available apiservice/v1beta1.metrics.k8s.io`
    ApiServiceAvailable,
    /// `--for=condition=Ready pod -l k8s-app=metrics-server`
    PodReady,
}
