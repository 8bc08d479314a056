//! Nodes: machines, their clocks and what runs there.

use std::net::IpAddr;
use std::time::Duration;

use mocks::deployment::placement::{Amounts, Effect, Taint};

use super::{Distribution, Kubelet, KubeletPlan, Timeline};

/// One node: machine, kubelet and what runs there.
///
/// Times that the seed decides hold their medians until [`crate::settle`] has
/// drawn them.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// `metadata.name`
    pub name: String,
    /// The key it was written under: `worker`, or its own name. Faults are
    /// named after it.
    pub group: String,
    /// `metadata.labels`, over time.
    pub labels: Timeline<Vec<(String, String)>>,
    /// Whether the Node object is there, over time.
    pub there: Timeline<bool>,
    /// What `there` is made of.
    pub presence: Presence,
    /// Taints that the control plane does not set itself, over time.
    pub taints: Timeline<Vec<Taint>>,
    /// What pods may request on it, over time; all that a node has if absent.
    pub allocatable: Timeline<Option<Amounts>>,
    /// Whether the machine is up, over time. Nothing reaches one that is not,
    /// and what ran there ends; its Node object stays.
    pub up: Timeline<bool>,
    /// What the kubelet says of the Ready condition over time.
    pub ready: Timeline<bool>,
    /// `status.addresses` in order, over time: type and value. Literal
    /// addresses of the simulated network, or names for the resolver.
    pub addresses: Timeline<Vec<(String, String)>>,
    /// The machine's address at the start, by which everything else of the run
    /// knows it.
    pub ip: IpAddr,
    /// The address at which it is found, over time.
    pub ips: Timeline<IpAddr>,
    /// The machine's wall clock.
    pub clock: Clock,
    /// The kubelet's behaviour over time, as `plans` and the seed make it.
    pub kubelet: Timeline<Kubelet>,
    /// What the scenario says of the kubelet from each time on; the first
    /// entry is at zero.
    pub plans: Vec<(Duration, KubeletPlan)>,
    /// Pods on the node that the kubelet reports, besides metrics-server.
    pub pods: Vec<Pod>,
    /// CPU use of the whole node, in nanocores.
    pub cpu_nanocores: u64,
    /// Working set of the whole node, in bytes.
    pub memory_bytes: u64,
    /// How long the node had been up at virtual time zero.
    pub up_for: Duration,
}

/// How long the control plane waits for a kubelet that it hears nothing of.
/// Source: `pkg/controller/nodelifecycle/config/v1alpha1/defaults.go
/// NodeMonitorGracePeriod`.
///
/// DIFFERENCE: counted from when the machine goes down, not from the kubelet's
/// last sign of life, and without the period of 5 s with which the controller
/// looks.
const MONITOR_GRACE: Duration = Duration::from_secs(50);

/// How long pods are left on a node after that.
/// Source: `plugin/pkg/admission/defaulttolerationseconds`.
const TOLERATION: Duration = Duration::from_secs(300);

impl Node {
    /// Whether the machine gets another address during the run.
    #[must_use]
    pub fn moves(&self) -> bool {
        self.ips.changes().next().is_some()
    }

    /// How often the Node object is deleted.
    #[must_use]
    pub fn departures(&self) -> usize {
        self.there.0.iter().skip(1).filter(|(_, is)| !is).count()
    }

    /// How often it gets taints that drive pods away.
    #[must_use]
    pub fn expulsions(&self) -> usize {
        let drives_away = |taint: &Taint| taint.effect == Effect::NoExecute;
        let changes = self.taints.0.iter().skip(1);
        changes
            .filter(|(_, taints)| taints.iter().any(drives_away))
            .count()
    }

    /// When the machine is down: from when on, and until when if it comes back.
    fn outages(&self) -> impl Iterator<Item = (Duration, Option<Duration>)> + '_ {
        let entries = self.up.0.iter().enumerate();
        entries
            .filter(|(_, (_, up))| !up)
            .map(|(index, (from, _))| {
                let back = self.up.0.get(index + 1).map(|(at, _)| *at);
                (*from, back)
            })
    }

    /// The Ready condition as the API has it: what the kubelet says, and not True
    /// for a machine of which nothing has been heard for too long.
    #[must_use]
    pub fn seen_ready(&self) -> Timeline<bool> {
        let lost: Vec<(Duration, Option<Duration>)> = self
            .outages()
            .map(|(from, back)| (from + MONITOR_GRACE, back))
            .filter(|(lost, back)| back.is_none_or(|back| *lost < back))
            .collect();
        let mut times: Vec<Duration> = self.ready.0.iter().map(|(at, _)| *at).collect();
        times.extend(
            lost.iter()
                .flat_map(|(from, back)| [Some(*from), *back])
                .flatten(),
        );
        times.sort_unstable();
        times.dedup();
        let is_lost = |at: Duration| {
            let mut lost = lost.iter();
            lost.any(|(from, back)| *from <= at && back.is_none_or(|back| at < back))
        };
        let entries = times
            .into_iter()
            .map(|at| (at, *self.ready.at(at) && !is_lost(at)));
        Timeline::of_changes(entries.collect())
    }

    /// How often in a run that lasts `until` pods are taken off the node because
    /// its machine is down.
    #[must_use]
    pub fn evictions(&self, until: Duration) -> usize {
        let due = |(from, back): &(Duration, Option<Duration>)| {
            from.saturating_add(MONITOR_GRACE + TOLERATION) < back.unwrap_or(until).min(until)
        };
        self.outages().filter(due).count()
    }
}

/// When a node comes and goes, before anything is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Presence {
    /// `joinsAt`
    pub joins: Distribution,
    /// What the node's place in its group adds to it.
    pub joins_later: Duration,
    /// `leavesAt`
    pub leaves: Option<Distribution>,
    /// What the node's place in its group adds to it.
    pub leaves_later: Duration,
    /// `registered` over time: where it is said it holds in place of the times.
    pub registered: Timeline<Option<bool>>,
}

/// A wall clock that may be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    /// Nanoseconds ahead of (positive) or behind true time at virtual zero.
    pub offset_ns: i64,
    /// Drift in parts per billion, over time.
    pub drift_ppb: Timeline<i64>,
    /// Steps in order of time: virtual time, and nanoseconds by which the clock
    /// is moved then.
    pub steps: Vec<(Duration, i64)>,
}

impl Default for Clock {
    /// A right one.
    fn default() -> Self {
        Self {
            offset_ns: 0,
            drift_ppb: Timeline::constant(0),
            steps: Vec::new(),
        }
    }
}

impl Clock {
    /// One clock from what is said of it from each time on, the first at zero.
    /// A new offset is a step by the difference.
    pub(crate) fn over_time(said: &[(Duration, Self)]) -> Self {
        let mut clock = said
            .first()
            .map_or_else(Self::default, |(_, first)| first.clone());
        for pair in said.windows(2) {
            let (at, before, after) = (pair[1].0, &pair[0].1, &pair[1].1);
            let by = after.offset_ns.saturating_sub(before.offset_ns);
            clock.steps.extend((by != 0).then_some((at, by)));
        }
        clock.steps.sort_by_key(|(at, _)| *at);
        let drift = |(at, clock): &(Duration, Self)| (*at, *clock.drift_ppb.at(Duration::ZERO));
        if !said.is_empty() {
            clock.drift_ppb = Timeline::of_changes(said.iter().map(drift).collect());
        }
        clock
    }

    /// Whether it goes on being as far from true time as at the beginning.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.steps.is_empty() && self.drift_ppb == Timeline::constant(0)
    }
}

/// A pod whose containers a kubelet reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.labels`
    pub labels: Vec<(String, String)>,
    /// When a change brings it; zero if none does.
    pub comes_at: Duration,
    /// When it is deleted, in virtual time.
    pub deleted_at: Option<Duration>,
    /// Its containers.
    pub containers: Vec<Container>,
}

impl Pod {
    /// When the Pod object appears: with its first container.
    #[must_use]
    pub fn appears_at(&self) -> Duration {
        let started = u64::try_from(self.started_ns()).unwrap_or(0);
        Duration::from_nanos(started).max(self.comes_at)
    }

    /// When the last of its containers has started for the last time.
    #[must_use]
    pub fn complete_at(&self) -> Duration {
        let starts = self.containers.iter().map(|container| {
            let started = u64::try_from(container.started_ns).unwrap_or(0);
            let last = container.restarts.last().copied();
            last.unwrap_or(Duration::from_nanos(started))
        });
        starts.max().unwrap_or_default().max(self.comes_at)
    }

    /// When its first container starts, in nanoseconds relative to virtual
    /// time zero.
    #[must_use]
    pub fn started_ns(&self) -> i64 {
        let starts = self.containers.iter().map(|container| container.started_ns);
        starts.min().unwrap_or(0)
    }
}

/// A container that a kubelet reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// When it started, relative to virtual time zero, in nanoseconds.
    pub started_ns: i64,
    /// When it starts again, in virtual time, in order.
    pub restarts: Vec<Duration>,
    /// CPU use in nanocores.
    pub cpu_nanocores: u64,
    /// Working set in bytes.
    pub memory_bytes: u64,
}
