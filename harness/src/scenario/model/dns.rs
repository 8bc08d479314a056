//! How names resolve.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Distribution;

/// The cluster's name server, as metrics-server finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// What it says of single names.
    pub records: BTreeMap<String, Answer>,
    /// What it says of every other name.
    pub default: Answer,
    /// How long it takes for each query. A short name takes several.
    pub latency: Distribution,
}

/// What a name server says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses.
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN
    NoSuchHost,
    /// SERVFAIL
    ServerFailure,
    /// Nothing.
    Timeout,
}
