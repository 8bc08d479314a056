//! Who has which address on the simulated network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::scenario::model::Scenario;

/// Port of the kubelet-like secure ports: kubelets and metrics-server.
const HTTPS: u16 = 443;

/// The addresses of everything that is not a node.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The first API server's host and port.
    first_api_server: SocketAddr,
    /// `kubernetes.default.svc`, as pods see the API server.
    pub kubernetes_service: SocketAddr,
    /// `metrics-server.kube-system.svc`
    pub metrics_service: SocketAddr,
    /// metrics-server's pod.
    pub pod: IpAddr,
    /// The host of the clients.
    pub clients: IpAddr,
    /// The witness's host, which no path rule touches.
    pub witness: IpAddr,
    /// The cluster's name server.
    pub name_server: SocketAddr,
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

    /// The address plan of a scenario: K3s' ranges where its preset is K3s',
    /// kubeadm's elsewhere.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let k3s = scenario.preset.starts_with("k3s");
        // Source: K3s `--cluster-cidr`, `--service-cidr`; kubeadm
        // `networking.serviceSubnet` and flannel's usual pod range.
        let (pods, services) = if k3s { (42, 43) } else { (244, 96) };
        let ip = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        let server = &scenario.metrics_server;
        let pod = if server.host_network {
            scenario.nodes[server.node].ip
        } else {
            ip(10, pods, 0, 9)
        };
        Self {
            first_api_server: SocketAddr::new(ip(192, 168, 0, 10), 6443),
            kubernetes_service: SocketAddr::new(ip(10, services, 0, 1), HTTPS),
            metrics_service: SocketAddr::new(ip(10, services, 180, 48), HTTPS),
            pod,
            clients: ip(192, 168, 0, 20),
            witness: ip(192, 168, 0, 21),
            name_server: SocketAddr::new(ip(10, services, 0, 10), 53),
        }
    }
}
