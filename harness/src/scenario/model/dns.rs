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

/// What differs of it for one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsRefinement {
    /// What it says of single names, on top of the others.
    pub records: BTreeMap<String, Answer>,
    /// In place of [`Dns::default`].
    pub default: Option<Answer>,
    /// In place of [`Dns::latency`].
    pub latency: Option<Distribution>,
}

impl Dns {
    /// The name server with what differs of it.
    #[must_use]
    pub fn refined(&self, by: &DnsRefinement) -> Self {
        let mut refined = self.clone();
        refined.records.extend(by.records.clone());
        if let Some(default) = &by.default {
            refined.default = default.clone();
        }
        if let Some(latency) = &by.latency {
            refined.latency = latency.clone();
        }
        refined
    }
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
    /// REFUSED
    Refused,
    /// Nothing.
    Timeout,
}
