//! The serving side of kubelets.

use std::time::Duration;

use super::{Certificate, Distribution, Issuance};

/// What a scenario says of a kubelet from one time on. Its certificate may
/// come, and be renewed, later.
#[derive(Debug, Clone, PartialEq)]
pub struct KubeletPlan {
    /// What it is once it has its certificate.
    pub kubelet: Kubelet,
    /// How it gets its certificate.
    pub issuance: Issuance,
    /// What a dial meets as long as it has none.
    pub until_then: KubeletState,
}

/// A kubelet's serving side.
#[derive(Debug, Clone, PartialEq)]
pub struct Kubelet {
    /// Serving port; also `status.daemonEndpoints.kubeletEndpoint.Port`.
    pub port: u16,
    /// What a dial to the port meets.
    pub state: KubeletState,
    /// Whether `state` is what it is because there is no certificate yet.
    pub awaits_certificate: bool,
    /// The certificate that it serves with.
    pub certificate: Certificate,
    /// How long it takes to answer a scrape.
    pub latency: Latency,
    /// Whom it lets in.
    pub access: Access,
    /// The minor of its Kubernetes version.
    pub minor: u32,
    /// The status it answers scrapes with: 200, or a refusal such as 401.
    pub status: u16,
    /// What is wrong with the exposition, if anything.
    pub payload: Payload,
    /// What is wrong with the series of single pods and containers.
    pub flaws: Vec<Flaw>,
    /// What differs at single paths.
    pub endpoints: Vec<Endpoint>,
    /// What the next attempts meet, one after the other; the last one stays.
    /// Empty: nothing but the rest.
    pub script: Vec<Attempt>,
    /// Age of the node's sample: the interval at which usage is read. `None`
    /// reads it at each scrape.
    pub housekeeping: Option<Duration>,
    /// Likewise of pods and containers.
    pub container_housekeeping: Option<Duration>,
    /// When samples say they were taken.
    pub timestamps: Timestamps,
}

/// What a dial to the kubelet's port meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubeletState {
    /// Nobody listens: connection refused.
    Closed,
    /// TCP connects, the TLS handshake gets no answer.
    HangTls,
    /// TLS answers, HTTP does not.
    HangHttp,
    /// TLS handshakes end with alert `internal_error`: no certificate yet.
    NoCertificate,
    /// Serves.
    Open,
}

/// How long a kubelet takes to answer a scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// What every answer takes.
    pub base: Distribution,
    /// On top of it, for each pod that runs.
    pub per_pod: Duration,
    /// For each container that runs.
    pub per_container: Duration,
    /// For each other request that it still works on.
    pub per_concurrent: Duration,
}

/// Whom a kubelet lets in: `authentication` and `authorization` of
/// `KubeletConfiguration`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// `authentication.anonymous.enabled`
    pub anonymous: bool,
    /// `authentication.webhook.enabled`
    pub webhook: bool,
    /// `authorization.mode: AlwaysAllow`
    pub always_allow: bool,
}

/// What differs at one path.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// `/metrics/resource`
    pub path: String,
    /// In place of the kubelet's.
    pub latency: Option<Latency>,
    /// In place of the kubelet's.
    pub status: Option<u16>,
    /// In place of the kubelet's.
    pub payload: Option<Payload>,
}

/// What one attempt to scrape meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Connection refused.
    Refused,
    /// The handshake ends with the alert `internal_error`.
    NoCertificate,
    /// No answer.
    Hang,
    /// This status.
    Status(u16),
    /// An answer that takes this much longer.
    Slow(Duration),
    /// Whatever the rest of the settings makes of it.
    Ok,
}

/// When samples say they were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// When usage was read.
    Read,
    /// They do not say.
    Missing,
    /// Usage is not read any more: values and times stand still.
    Frozen,
    /// So many nanoseconds after (negative: before) usage was read.
    Shifted(i64),
}

/// What is wrong with a kubelet's exposition.
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
    /// These bytes instead; `{CPU}`, `{TS}` stand for node CPU seconds and
    /// the sample time in milliseconds.
    Raw(String),
    /// Random bytes.
    Garbage,
    /// The body breaks off after this many bytes, before the declared length.
    Truncated(usize),
    /// A body without an end.
    Endless,
    /// Every CPU sample of the node and its containers twice.
    DuplicateSeries,
    /// One more container, whose name is not UTF-8.
    InvalidUtf8,
    /// Every CPU and memory sample is `NaN`.
    Nan,
    /// The containers' samples carry no labels.
    Unlabelled,
    /// In `/stats/summary` the node says that it started this long before its
    /// sample.
    NodeStarted(Duration),
}

/// What is wrong with the series of one pod's containers, or one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The pod's namespace; any if absent.
    pub namespace: Option<String>,
    /// The pod's name.
    pub pod: String,
    /// The container; all of them if absent.
    pub container: Option<String>,
    /// What is wrong.
    pub kind: FlawKind,
}

/// What is wrong with series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlawKind {
    /// There are none.
    Missing,
    /// No CPU series.
    NoCpu,
    /// No memory series.
    NoMemory,
    /// No start time.
    NoStartTime,
    /// CPU and memory are zero.
    Zero,
    /// CPU and memory are `NaN`.
    Nan,
    /// Each sample stands twice.
    Duplicate,
    /// The samples carry no labels.
    Unlabelled,
}
