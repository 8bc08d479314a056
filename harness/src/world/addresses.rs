//! Who has which address on the simulated network.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::scenario::model::{Cluster, Scenario};

/// Port of the kubelet-like secure ports: kubelets and metrics-server.
const HTTPS: u16 = 443;

/// The addresses of everything that is not a node.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The first API server's host and port.
    first_api_server: SocketAddr,
    /// `kubernetes.default.svc`, as pods see the API server.
    pub kubernetes_service: SocketAddr,
    /// `metrics-server.kube-system.svc`
    pub metrics_service: SocketAddr,
    /// metrics-server's pods that are not in their node's network, by their
    /// number from 1.
    pub pods: Vec<IpAddr>,
    /// The nodes in whose network a pod of metrics-server may be.
    host_network: Vec<IpAddr>,
    /// The host of the clients.
    pub clients: IpAddr,
    /// The witness's host, which no path rule touches.
    pub witness: IpAddr,
    /// The cluster's name server.
    pub name_server: SocketAddr,
}

/// An address within a range of at least a /16.
fn within(range: Ipv4Addr, third: u8, fourth: u8) -> IpAddr {
    let offset = u32::from(third) << 8 | u32::from(fourth);
    IpAddr::V4(Ipv4Addr::from(u32::from(range) | offset))
}

impl Addresses {
    /// Host and port of an API server, by its number among at most nine: the
    /// clients' addresses follow.
    #[must_use]
    pub fn api_server(&self, number: usize) -> SocketAddr {
        let first = self.first_api_server;
        let IpAddr::V4(ip) = first.ip() else {
            return first;
        };
        let [a, b, c, d] = ip.octets();
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        let ip = Ipv4Addr::new(a, b, c, d.saturating_add(number));
        SocketAddr::new(IpAddr::V4(ip), first.port())
    }

    /// The address plan of a scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let Cluster { pods, services } = scenario.cluster;
        let ip = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        let pod = |index: usize| {
            let index = u8::try_from(index).expect("fewer pods than addresses");
            within(pods, 0, 9 + index)
        };
        Self {
            first_api_server: SocketAddr::new(ip(192, 168, 0, 10), 6443),
            kubernetes_service: SocketAddr::new(within(services, 0, 1), HTTPS),
            metrics_service: SocketAddr::new(within(services, 180, 48), HTTPS),
            pods: (0..scenario.most_pods()).map(pod).collect(),
            host_network: host_network(scenario),
            clients: ip(192, 168, 0, 20),
            witness: ip(192, 168, 0, 21),
            name_server: SocketAddr::new(within(services, 0, 10), 53),
        }
    }
}

impl Addresses {
    /// Every address that a pod of metrics-server may have.
    #[must_use]
    pub fn metrics_server(&self) -> BTreeSet<IpAddr> {
        let all = self.pods.iter().chain(&self.host_network);
        all.copied().collect()
    }
}

/// A scenario in which pods can move has them on any node, otherwise they stay
/// on the nodes that they were created for.
fn host_network(scenario: &Scenario) -> Vec<IpAddr> {
    let templates = scenario.templates();
    if !templates.iter().any(|(_, server)| server.host_network) {
        return Vec::new();
    }
    if scenario.has_several_pods() {
        return scenario.nodes.iter().map(|node| node.ip).collect();
    }
    let nodes = scenario.metrics_server.nodes.iter();
    nodes.map(|node| scenario.nodes[*node].ip).collect()
}
