//! What a kubelet does, at one time.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use seam::Timestamp;

use super::attempts::Attempts;
use super::flaw::Flaw;

/// Told of each time that something unhealthy met a client.
pub type Effects = Rc<dyn Fn(Fault)>;

/// Something unhealthy about a kubelet, as a client met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Its state: it hung, or had no certificate.
    State,
    /// A certificate was shown that nobody can believe, or there was none any
    /// more.
    Certificate,
    /// An answer took as long as the behaviour says.
    Latency,
    /// Credentials were not accepted.
    Authentication,
    /// An answer had another status than 200 because the behaviour says so.
    Status,
    /// The exposition was not what a healthy kubelet would have sent.
    Payload,
    /// The samples' times were not when they were read, or missing.
    Timestamps,
    /// An entry of the script other than `ok`.
    Script,
}

/// How long the answer to a scrape takes: asked once per scrape.
#[derive(Clone)]
pub struct Latency {
    /// What every answer takes.
    pub base: Rc<dyn Fn() -> Duration>,
    /// On top of it, for each pod that runs on the node.
    pub per_pod: Duration,
    /// For each container that runs.
    pub per_container: Duration,
    /// For each other request that is still being worked on, also for clients
    /// that have given up.
    pub per_concurrent: Duration,
}

impl Latency {
    /// A latency that does not depend on load.
    #[must_use]
    pub fn independent(base: Rc<dyn Fn() -> Duration>) -> Self {
        Self {
            base,
            per_pod: Duration::ZERO,
            per_container: Duration::ZERO,
            per_concurrent: Duration::ZERO,
        }
    }
}

/// Whom a kubelet lets in.
///
/// Source: `KubeletConfiguration`, `authentication` and `authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// `authentication.anonymous.enabled`: who shows no credentials, or some
    /// that nobody looks at, is `system:anonymous`.
    pub anonymous: bool,
    /// `authentication.webhook.enabled`: bearer tokens are reviewed by the API
    /// server. Where it is off nobody looks at them.
    pub webhook: bool,
    /// `authorization.mode: AlwaysAllow`; else the API server decides, and
    /// denies `system:anonymous`.
    pub always_allow: bool,
}

impl Default for Access {
    /// The defaults of `KubeletConfiguration`.
    fn default() -> Self {
        Self {
            anonymous: false,
            webhook: true,
            always_allow: false,
        }
    }
}

/// The shortest time between two readings of the same cgroup; the longest is
/// twice that. `None` reads usage at each scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Housekeeping {
    /// Of the node.
    pub node: Option<Duration>,
    /// Of pods and containers.
    pub containers: Option<Duration>,
}

impl Housekeeping {
    /// The same for the node and its containers.
    #[must_use]
    pub fn every(interval: Option<Duration>) -> Self {
        Self {
            node: interval,
            containers: interval,
        }
    }
}

/// When samples say they were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// When usage was read, by the node's clock.
    Read,
    /// They do not say.
    Missing,
    /// So many nanoseconds after (negative: before) they were read.
    Shifted(i64),
    /// Nothing has been read since this many nanoseconds after the
    /// simulation's start: values and times stand still.
    FrozenSince(i64),
}

/// What differs at one path.
#[derive(Clone, Default)]
pub struct Endpoint {
    /// `/metrics/resource`, `/stats/summary`
    pub path: String,
    /// In place of [`KubeletBehaviour::latency`].
    pub latency: Option<Latency>,
    /// In place of [`KubeletBehaviour::status`].
    pub status: Option<u16>,
    /// In place of [`KubeletBehaviour::payload`].
    pub payload: Option<Payload>,
}

/// What a kubelet does, until its script says otherwise.
///
/// Connections outlive a change unless it closes the port: a new certificate
/// is seen by new connections, everything else by the next request.
#[derive(Clone)]
pub struct KubeletBehaviour {
    /// The port it listens on. Another port means another process.
    pub port: u16,
    /// How often its machine has booted since the simulation's start. Another
    /// number means another process.
    pub boot: u32,
    /// What a dial to the port meets.
    pub state: KubeletState,
    /// The certificate that it serves with.
    pub certificate: Certificate,
    /// How long it takes to answer a scrape, whatever the answer.
    pub latency: Latency,
    /// Whom it lets in.
    pub access: Access,
    /// The minor of its Kubernetes version, which decides what it serves.
    pub minor: u32,
    /// The status it answers authenticated scrapes with.
    pub status: u16,
    /// What is wrong with the exposition, if anything.
    pub payload: Payload,
    /// What is wrong with the series of single pods and containers.
    pub flaws: Rc<[Flaw]>,
    /// What differs at single paths.
    pub endpoints: Rc<[Endpoint]>,
    /// What the next attempts meet, one after the other, before the rest of
    /// the behaviour counts.
    pub attempts: Option<Rc<Attempts>>,
    /// How often usage is read.
    pub housekeeping: Housekeeping,
    /// When samples say they were taken.
    pub timestamps: Timestamps,
    /// Who is told of what took effect.
    pub effects: Effects,
}

impl KubeletBehaviour {
    /// The latency at `path`.
    #[must_use]
    pub fn latency_at(&self, path: &str) -> &Latency {
        let own = self.endpoint(path).and_then(|own| own.latency.as_ref());
        own.unwrap_or(&self.latency)
    }

    /// The status at `path`.
    #[must_use]
    pub fn status_at(&self, path: &str) -> u16 {
        let own = self.endpoint(path).and_then(|own| own.status);
        own.unwrap_or(self.status)
    }

    /// The payload at `path`.
    #[must_use]
    pub fn payload_at(&self, path: &str) -> &Payload {
        let own = self.endpoint(path).and_then(|own| own.payload.as_ref());
        own.unwrap_or(&self.payload)
    }

    fn endpoint(&self, path: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.path == path)
    }

    /// Tells that `fault` met a client.
    pub fn met(&self, fault: Fault) {
        (self.effects)(fault);
    }
}

impl fmt::Debug for KubeletBehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeletBehaviour")
            .field("port", &self.port)
            .field("state", &self.state)
            .field("certificate", &self.certificate)
            .field("status", &self.status)
            .field("payload", &self.payload)
            .field("housekeeping", &self.housekeeping)
            .field("timestamps", &self.timestamps)
            .finish_non_exhaustive()
    }
}

/// What a dial to a kubelet's port meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubeletState {
    /// The process is not there: connections are refused, and those that
    /// existed are gone.
    Closed,
    /// TCP connects, nothing answers: neither handshakes nor requests on
    /// connections that exist.
    HangTls,
    /// TLS answers, HTTP does not.
    HangHttp,
    /// Handshakes end with the alert `internal_error`: `serverTLSBootstrap`
    /// and no certificate yet. Connections that exist go on.
    NoCertificate,
    /// Serves.
    Open,
}

/// The certificate that a kubelet serves with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Who signed it.
    pub issuer: Issuer,
    /// First second of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// Subject alternative names: addresses.
    pub ips: Vec<IpAddr>,
    /// Subject alternative names: host names.
    pub dns: Vec<String>,
    /// Whether the kubelet's certificate manager holds it
    /// (`serverTLSBootstrap`). Once it has expired by the node's clock there
    /// is none any more. A certificate from files is shown all the same.
    ///
    /// Source: client-go/util/certificate/certificate_manager.go, `Current`.
    pub managed: bool,
}

/// Who signed a kubelet's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// The cluster's authority.
    Cluster,
    /// The kubelet itself.
    SelfSigned,
    /// An authority that nobody knows.
    Unknown,
}

/// What is wrong with an exposition. Status and headers are those of a
/// healthy kubelet throughout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Nothing.
    Healthy,
    /// No `node_*` series.
    NoNodeSeries,
    /// No `container_*` series.
    NoContainerSeries,
    /// Node CPU and memory are zero.
    ZeroNode,
    /// Every container lacks its CPU series.
    NoContainerCpu,
    /// Every container lacks its memory series.
    NoContainerMemory,
    /// Only `resource_scrape_error 1`.
    ScrapeError,
    /// An empty body.
    Empty,
    /// This text; `{CPU}` and `{TS}` stand for the node's CPU seconds and the
    /// sample time in milliseconds.
    Raw(String),
    /// Random bytes, others at each scrape.
    Garbage,
    /// A healthy body that breaks off after this many bytes, before the length
    /// that was declared.
    Truncated(usize),
    /// A healthy beginning and then comments without an end.
    Endless,
    /// Every CPU sample of the node and its containers twice.
    DuplicateSeries,
    /// A healthy body with one more container, whose name is not UTF-8.
    InvalidUtf8,
    /// Every CPU and memory sample of the node and its containers is `NaN`.
    Nan,
    /// The containers' samples carry no labels.
    Unlabelled,
    /// In a summary the node says that it started this long before the sample.
    NodeStarted(Duration),
}
