//! Faults of metrics-server's own pods.

use crate::scenario::model::{Availability, MetricsServer, Scenario};

/// A starved processor: it takes effect when it holds work up.
pub const CPU: &str = "metricsServer.cpu";
/// The use of memory: it takes effect when it is weighed against what there
/// is, whether that is enough or not.
pub const MEMORY: &str = "metricsServer.memory";
/// A node's network that comes late: it takes effect when the pod waits.
pub const NETWORK: &str = "metricsServer.pod.networkAvailableAfter";
/// An image that comes late: it takes effect when a pull fails.
pub const IMAGE: &str = "metricsServer.pod.imageAvailableAfter";
/// Files of volumes: they take effect when they are read.
pub const FILES: &str = "metricsServer.files";
/// Init containers that fail or wait: they take effect when they do.
pub const INIT_CONTAINERS: &str = "metricsServer.pod.initContainers";

/// Those that the scenario asks for.
pub(super) fn faults(scenario: &Scenario) -> impl Iterator<Item = &'static str> {
    let changes = scenario.metrics_server_changes.iter();
    let all: Vec<&MetricsServer> = std::iter::once(&scenario.metrics_server)
        .chain(changes.map(|(_, server)| server))
        .flat_map(|server| std::iter::once(server).chain(server.per_replica.values()))
        .collect();
    let asked = |is_asked: fn(&MetricsServer) -> bool| all.iter().any(|server| is_asked(server));
    let found = [
        (CPU, asked(starves)),
        (MEMORY, asked(|server| server.memory.is_some())),
        (
            NETWORK,
            asked(|server| server.pod.network_available != Availability::Always),
        ),
        (
            IMAGE,
            asked(|server| server.pod.image_available != Availability::Always),
        ),
        (FILES, asked(|server| !server.files.is_empty())),
        (INIT_CONTAINERS, asked(has_to_wait)),
    ];
    let found = found.into_iter().filter(|(_, is_asked)| *is_asked);
    found.map(|(name, _)| name)
}

fn starves(server: &MetricsServer) -> bool {
    let holds_up = |cpu: &crate::scenario::model::Cpu| {
        !cpu.request.max().is_zero() || !cpu.tick.max().is_zero()
    };
    server.cpu.as_ref().is_some_and(holds_up)
}

fn has_to_wait(server: &MetricsServer) -> bool {
    let mut containers = server.pod.init_containers.iter();
    containers.any(|container| container.failures > 0 || container.awaited != Availability::Always)
}
