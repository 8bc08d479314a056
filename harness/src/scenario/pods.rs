//! How many pods of metrics-server there are, and when.
//!
//! Pods are numbered in order of creation. Where there is only ever one it is
//! called `metrics-server`; otherwise they are `metrics-server-1`,
//! `metrics-server-2` and so on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::model::{
    ActionKind, Availability, Dns, FileContent, MetricsServer, Node, PodStart, Scenario, Timeline,
};

/// What records and rules call the only pod, or all of them.
pub const METRICS_SERVER: &str = "metrics-server";

/// More pods than this in one run are not told apart by address.
pub(crate) const MOST_PODS: usize = 200;

impl MetricsServer {
    /// These settings as they are for pod number `ordinal`.
    #[must_use]
    pub fn of_pod(&self, ordinal: u32) -> &Self {
        self.per_replica.get(&ordinal).unwrap_or(self)
    }

    /// Whether a kubelet leaves its pods alone when its node runs out of
    /// something.
    ///
    /// Source: `pkg/kubelet/types/pod_update.go IsCriticalPod`,
    /// `pkg/apis/scheduling/types.go SystemCriticalPriority`.
    #[must_use]
    pub fn is_critical(&self) -> bool {
        let critical = ["system-cluster-critical", "system-node-critical"];
        let class = self.priority_class.as_deref();
        class.is_some_and(|class| critical.contains(&class))
    }

    /// Whether the process may bind a port below 1024.
    ///
    /// Source: metrics-server's release notes of v0.6.0, "Remove
    /// cap_net_bind_service".
    #[must_use]
    pub fn may_bind_any_port(&self) -> bool {
        let image_may = self.version.minor() <= 5 && self.security.allows_escalation;
        !self.security.is_unprivileged || image_may
    }

    /// Whether the pod template is another than in `before`.
    #[must_use]
    pub fn is_new_template(&self, before: &Self) -> bool {
        let same = self.version == before.version
            && self.args == before.args
            && self.readiness == before.readiness
            && self.liveness == before.liveness
            && self.startup == before.startup
            && self.termination_grace == before.termination_grace
            && self.host_network == before.host_network
            && self.placement == before.placement
            && self.priority_class == before.priority_class
            && self.container_port == before.container_port
            && self.security == before.security
            && self.limits == before.limits
            && self.start_cost == before.start_cost;
        !same
    }
}

impl Scenario {
    /// The settings of metrics-server at `at`.
    #[must_use]
    pub fn metrics_server_at(&self, at: Duration) -> &MetricsServer {
        let changes = self.metrics_server_changes.iter().rev();
        let mut begun = changes.filter(|(from, _)| *from <= at);
        begun
            .next()
            .map_or(&self.metrics_server, |(_, server)| server)
    }

    /// The pod templates: from when on each holds. A restart of the rollout makes
    /// a new one of the same settings.
    #[must_use]
    pub fn templates(&self) -> Vec<(Duration, &MetricsServer)> {
        let actions = self.actions.iter();
        let restarts = actions.filter(|action| action.kind == ActionKind::RolloutRestart);
        let restarts: BTreeSet<Duration> = restarts.map(|action| action.at).collect();
        let changes = self.metrics_server_changes.iter().map(|(at, _)| *at);
        let times: BTreeSet<Duration> = changes.chain(restarts.iter().copied()).collect();
        let mut last = &self.metrics_server;
        let mut templates = vec![(Duration::ZERO, last)];
        for at in times {
            let server = self.metrics_server_at(at);
            if restarts.contains(&at) || server.is_new_template(last) {
                templates.push((at, server));
                last = server;
            }
        }
        templates
    }

    /// The most pods that can be created: those of the beginning, and whatever
    /// can replace one.
    #[must_use]
    pub fn most_pods(&self) -> usize {
        let replicas = |server: &MetricsServer| server.replicas as usize;
        let first = replicas(&self.metrics_server);
        let largest = self
            .metrics_server_changes
            .iter()
            .map(|(_, server)| replicas(server))
            .fold(first, usize::max);
        let rollouts = self.templates().len() - 1;
        let scalings = usize::from(largest > first);
        let removals = self
            .actions
            .iter()
            .filter(|action| matches!(action.kind, ActionKind::Drain(_) | ActionKind::Delete));
        let leaving = self.nodes.iter().map(Node::departures);
        let unready = self.nodes.iter().map(|node| node.ready.0.len() - 1);
        let down = self.nodes.iter().map(|node| node.evictions(self.until));
        let tainted = self.nodes.iter().map(Node::expulsions);
        let losses = leaving.chain(unready).chain(down).chain(tainted);
        let evictions = match self.can_be_evicted() {
            true => MOST_PODS,
            false => 0,
        };
        let waiting = usize::from(self.waits_to_replace_pods);
        let replaced = rollouts + scalings + removals.count() + losses.sum::<usize>() + waiting;
        (first + largest * replaced + evictions).min(MOST_PODS)
    }

    /// The name server as pod number `ordinal` finds it.
    #[must_use]
    pub fn dns_of_pod(&self, ordinal: u32) -> Timeline<Dns> {
        let mut times: Vec<Duration> = self.dns.0.iter().map(|(at, _)| *at).collect();
        times.extend(self.metrics_server_changes.iter().map(|(at, _)| *at));
        times.sort_unstable();
        let entries = times.into_iter().map(|at| {
            let own = &self.metrics_server_at(at).of_pod(ordinal).dns;
            (at, self.dns.at(at).refined(own))
        });
        Timeline::of_changes(entries.collect())
    }

    /// What the volumes of pod number `ordinal` hold, over time.
    #[must_use]
    pub fn files_of_pod(&self, ordinal: u32) -> Timeline<BTreeMap<String, FileContent>> {
        let changes = self.metrics_server_changes.iter().map(|(at, _)| *at);
        let times = std::iter::once(Duration::ZERO).chain(changes);
        let files = |at| self.metrics_server_at(at).of_pod(ordinal).files.clone();
        Timeline::of_changes(times.map(|at| (at, files(at))).collect())
    }

    /// Whether `part` of what pod number `ordinal` needs for its start is there,
    /// over time.
    #[must_use]
    pub fn availability(
        &self,
        ordinal: u32,
        part: impl Fn(&PodStart) -> Availability,
    ) -> Timeline<bool> {
        let changes = self.metrics_server_changes.iter();
        let mut times: Vec<Duration> = changes.map(|(at, _)| *at).collect();
        times.insert(0, Duration::ZERO);
        let mut entries = Vec::new();
        for (index, from) in times.iter().enumerate() {
            let server = self.metrics_server_at(*from).of_pod(ordinal);
            let available = match part(&server.pod) {
                Availability::Always => Some(Duration::ZERO),
                Availability::After(after) => Some(after),
                Availability::Never => None,
            };
            entries.push((*from, available.is_some_and(|after| after <= *from)));
            let ends = times.get(index + 1).copied().unwrap_or(self.until);
            let later = available.filter(|after| from < after && *after < ends);
            entries.extend(later.map(|after| (after, true)));
        }
        Timeline::of_changes(entries)
    }

    /// Whether there can be more than one pod.
    #[must_use]
    pub fn has_several_pods(&self) -> bool {
        self.most_pods() > 1
    }

    /// Whether a pod can use up its node's memory and has to go: nothing limits
    /// it.
    fn can_be_evicted(&self) -> bool {
        let states = self.metrics_server_changes.iter().map(|(_, server)| server);
        std::iter::once(&self.metrics_server)
            .chain(states)
            .any(|server| {
                let unlimited = server.limits.memory_bytes.is_none();
                server.memory.is_some() && unlimited && !server.is_critical()
            })
    }

    /// What records and rules call pod number `ordinal`.
    #[must_use]
    pub fn pod_name(&self, ordinal: u32) -> String {
        match self.has_several_pods() {
            true => format!("{METRICS_SERVER}-{ordinal}"),
            false => METRICS_SERVER.to_owned(),
        }
    }
}
