//! What stands in the way of traffic.

use std::time::Duration;

use super::Distribution;

/// A party on the network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// metrics-server's pods.
    MetricsServer,
    /// One of them, by its number from 1.
    Replica(u32),
    /// The hosts of all API servers.
    ApiServer,
    /// The host of one of several API servers, by index into the scenario's.
    OneApiServer(usize),
    /// A node, by index into the scenario's nodes.
    Node(usize),
    /// Every node.
    AllNodes,
    /// The clients' host.
    Clients,
    /// The address of metrics-server's Service: where dials go before the
    /// dialler's node leads them to an endpoint.
    Service,
}

/// Which way a rule holds, in Chaos Mesh's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What `from` sends to `to`.
    To,
    /// What comes back from `to` to `from`.
    From,
    /// Both.
    Both,
}

/// What the network does with traffic from some parties to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    /// The rule's name, for reports.
    pub name: String,
    /// One end.
    pub from: Vec<Party>,
    /// The other.
    pub to: Vec<Party>,
    /// Which way it holds between them.
    pub direction: Direction,
    /// Whether only connections that `from` opens to `to` are concerned.
    pub stateful: bool,
    /// Restricts the rule to connections to this port.
    pub port: Option<u16>,
    /// What happens.
    pub effect: PathEffect,
    /// From when on it holds.
    pub starts_at: Duration,
    /// How long it holds; to the end if absent.
    pub lasts: Option<Duration>,
}

impl PathRule {
    /// When it holds no longer.
    #[must_use]
    pub fn ends_at(&self) -> Option<Duration> {
        self.lasts.map(|lasts| self.starts_at + lasts)
    }
}

/// What happens to traffic on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathEffect {
    /// It vanishes.
    Drop,
    /// A reset comes back: connection refused.
    Refuse,
    /// An ICMP rejection comes back: no route to host.
    Reject,
    /// Likewise, after this time; connections that exist go on.
    RejectAfter(Duration),
    /// It takes this much longer, one way.
    Delay(Distribution),
    /// This share of segments, in parts per million, is lost and resent.
    Loss(u32),
    /// New connections lead to an HTTP proxy.
    Proxy {
        /// What it answers.
        status: u16,
        /// Whether it takes the connection and answers each request; else it
        /// answers CONNECT like this, and there is no connection.
        connects: bool,
    },
    /// New connections go through a tunnel that does not work.
    Tunnel(Tunnel),
}

/// A tunnel from an API server into the cluster, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnel {
    /// Konnectivity without a connected agent.
    NoAgent,
    /// An HTTP CONNECT tunnel that answers 502.
    BadGateway,
}
