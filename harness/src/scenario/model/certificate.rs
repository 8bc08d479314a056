//! Kubelets' serving certificates, and how they come about.

use std::net::IpAddr;
use std::time::Duration;

use super::Distribution;

/// A kubelet's serving certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Who signed it.
    pub issuer: Issuer,
    /// `notBefore` relative to virtual time zero in true time, in nanoseconds.
    pub not_before_ns: i64,
    /// `notAfter`, likewise.
    pub not_after_ns: i64,
    /// Subject alternative names: addresses.
    pub ips: Vec<IpAddr>,
    /// Subject alternative names: host names.
    pub dns: Vec<String>,
    /// Whether the kubelet asked for it (`serverTLSBootstrap`) and so has none
    /// once it has expired, instead of showing an expired one.
    pub managed: bool,
}

/// Who signed a kubelet's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// The cluster's authority, which metrics-server trusts.
    Cluster,
    /// The kubelet itself.
    SelfSigned,
    /// Another authority.
    Unknown,
}

/// What a file of metrics-server's pod holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileContent {
    /// The certificate of the authority of the cluster.
    ClusterAuthority,
    /// That of the front proxy.
    FrontProxyAuthority,
    /// That of another authority.
    UnknownAuthority,
    /// A serving certificate.
    Certificate(PodCertificate),
    /// The private key of the serving certificates among the files.
    OwnKey,
    /// That of another certificate.
    OtherKey,
    /// Anything else.
    Text(String),
}

/// A serving certificate in a file of metrics-server's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodCertificate {
    /// Who signed it.
    pub issuer: Issuer,
    /// First instant of validity, in nanoseconds from virtual time zero.
    pub not_before_ns: i64,
    /// Last instant of validity, in nanoseconds from virtual time zero.
    pub not_after_ns: i64,
    /// Its host names.
    pub dns: Vec<String>,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
}

impl PodCertificate {
    /// One that names nothing and ends when it begins: of use only for its key.
    pub const FOR_ITS_KEY: Self = Self {
        issuer: Issuer::Cluster,
        not_before_ns: 0,
        not_after_ns: 0,
        dns: Vec::new(),
        ips: Vec::new(),
    };
}

/// How a kubelet gets its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuance {
    /// It is there from this virtual time on.
    After(Distribution),
    /// The kubelet asks for it.
    Request(Csr),
}

/// The life of the CertificateSigningRequests of a kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Csr {
    /// When the first one is made, in virtual time; when the node joins if
    /// absent.
    pub requested_at: Option<Distribution>,
    /// How long the approver takes for each; never if absent.
    pub approved_after: Option<Distribution>,
    /// What it says to the first, second, … request; the last one stays.
    pub verdicts: Vec<Verdict>,
    /// An approver that runs at these virtual times only and then looks at
    /// what is pending. `approved_after` does not matter where there is one.
    pub approver_runs: Vec<Duration>,
    /// Time from a request that came to nothing to the next.
    pub retry_every: Duration,
    /// From issuance to expiry.
    pub validity: Duration,
    /// Whether the certificate's dates are those of the scenario instead of
    /// those of the issuance.
    pub keeps_dates: bool,
    /// Whether the scenario leaves it to the node's addresses what the
    /// certificate names: a node with new ones asks anew.
    pub follows_addresses: bool,
}

impl Csr {
    /// Whether the same approver looks at requests as in `other`.
    #[must_use]
    pub fn has_approver_of(&self, other: &Self) -> bool {
        (&self.approved_after, &self.approver_runs) == (&other.approved_after, &other.approver_runs)
    }
}

/// What an approver says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// `Approved`; the signer issues at once.
    Approved,
    /// `Denied`
    Denied,
    /// Nothing: it stays `Pending`.
    Ignored,
}
