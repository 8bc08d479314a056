//! What a kubelet does, at one time.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use seam::Timestamp;

/// How long the answer to a scrape takes: asked once per scrape.
pub type Latency = Rc<dyn Fn() -> Duration>;

/// What a kubelet does, until its script says otherwise.
///
/// Connections outlive a change unless it closes the port: a new certificate
/// is seen by new connections, everything else by the next request.
#[derive(Clone)]
pub struct KubeletBehaviour {
    /// The port it listens on. Another port means another process.
    pub port: u16,
    /// What a dial to the port meets.
    pub state: KubeletState,
    /// The certificate that it serves with.
    pub certificate: Certificate,
    /// How long it takes to answer a scrape, whatever the answer.
    pub latency: Latency,
    /// The status it answers authenticated scrapes with.
    pub status: u16,
    /// What is wrong with the exposition, if anything.
    pub payload: Payload,
    /// The shortest time between two readings of the same container; the
    /// longest is twice that. `None` reads usage at each scrape.
    pub housekeeping: Option<Duration>,
    /// Whether samples carry timestamps.
    pub timestamps: bool,
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
}
