//! What a process costs its machine: processor time that it lacks, and memory
//! that it uses up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use aggregator::environment::Event;
use aggregator::pace::{Pace, Unhindered, Work};
use seam::Moment;

use crate::scenario::model::{Cpu, Distribution, Memory, MetricsServer, Scenario};
use crate::seed::{Seed, Stream};

/// What the eviction manager keeps free of a node's memory.
/// Source: `pkg/kubelet/apis/config/v1beta1/defaults_linux.go
/// DefaultEvictionHard`, `memory.available: 100Mi`.
pub const EVICTION_THRESHOLD: u64 = 100 << 20;

/// How often the eviction manager looks.
/// Source: `pkg/kubelet/kubelet.go evictionMonitoringPeriod`.
pub const EVICTION_PERIOD: Duration = Duration::from_secs(10);

/// A value of metrics-server's settings for one pod over time.
fn over_time<T>(
    scenario: &Scenario,
    ordinal: u32,
    of: impl Fn(&MetricsServer) -> T,
) -> Vec<(Duration, T)> {
    let changes = scenario.metrics_server_changes.iter();
    std::iter::once((Duration::ZERO, &scenario.metrics_server))
        .chain(changes.map(|(at, server)| (*at, server)))
        .map(|(at, server)| (at, of(server.of_pod(ordinal))))
        .collect()
}

fn current<T>(start: Moment, entries: &[(Duration, T)]) -> &T {
    let now = start.elapsed();
    let next = entries.partition_point(|(from, _)| *from <= now);
    &entries[next.saturating_sub(1)].1
}

/// Told each time that a setting takes effect.
pub type Met = Rc<dyn Fn()>;

/// What holds the process of pod `ordinal` up. `met` is told each time that it
/// does.
#[must_use]
pub fn pace(
    scenario: &Scenario,
    ordinal: u32,
    name: &str,
    seed: Seed,
    start: Moment,
    met: Met,
) -> Rc<dyn Pace> {
    let entries = over_time(scenario, ordinal, |server| server.cpu.clone());
    if entries.iter().all(|(_, cpu)| cpu.is_none()) {
        return Rc::new(Unhindered);
    }
    Rc::new(Throttled {
        start,
        entries,
        request: RefCell::new(seed.stream(&format!("{name}/cpu/request"))),
        tick: RefCell::new(seed.stream(&format!("{name}/cpu/tick"))),
        met,
    })
}

/// A process on a starved processor.
struct Throttled {
    start: Moment,
    entries: Vec<(Duration, Option<Cpu>)>,
    request: RefCell<Stream>,
    tick: RefCell<Stream>,
    met: Met,
}

impl Pace for Throttled {
    /// A request is held up once, between its head and its answer; a tick
    /// once, before its result is stored.
    fn delay(&self, work: &Work<'_>) -> Duration {
        let draw = |distribution: &Distribution, random: &RefCell<Stream>| {
            distribution.sample(&mut *random.borrow_mut())
        };
        let delay = match (current(self.start, &self.entries), work) {
            (Some(cpu), Work::Request { .. }) => draw(&cpu.request, &self.request),
            (Some(cpu), Work::Store { .. }) => draw(&cpu.tick, &self.tick),
            _ => Duration::ZERO,
        };
        if !delay.is_zero() {
            (self.met)();
        }
        delay
    }
}

/// What became of a process that took more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// Nothing.
    None,
    /// It has more than its limit: the kernel kills it.
    /// Source: cgroup v2 `memory.max`.
    OverLimit,
    /// Nothing limits it, and its node has too little left: so many bytes are
    /// in use.
    NodeLow(u64),
}

/// The memory of one process.
pub struct MemoryGauge {
    start: Moment,
    entries: Vec<(Duration, Option<Memory>)>,
    limit: Option<u64>,
    node_free: u64,
    nodes: Cell<u64>,
    pods: Cell<u64>,
    ticks: Cell<u64>,
    met: Met,
}

impl MemoryGauge {
    /// The gauge of a process of pod `ordinal` with `limit`, on a node that
    /// has `node_free` bytes for it. `None` if the scenario does not say what
    /// the process uses. `met` is told each time that it is weighed.
    #[must_use]
    pub fn new(
        scenario: &Scenario,
        ordinal: u32,
        limit: Option<u64>,
        node_free: u64,
        start: Moment,
        met: Met,
    ) -> Option<Self> {
        let entries = over_time(scenario, ordinal, |server| server.memory);
        let says = entries.iter().any(|(_, memory)| memory.is_some());
        says.then(|| Self {
            start,
            entries,
            limit,
            node_free,
            nodes: Cell::new(0),
            pods: Cell::new(0),
            ticks: Cell::new(0),
            met,
        })
    }

    /// Takes in what the process did.
    pub fn observe(&self, event: &Event<'_>) -> Pressure {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match event {
            Event::InformerSynced {
                resource: "nodes",
                objects,
            } => self.nodes.set(count(*objects)),
            Event::TickStored { nodes, pods, .. } => {
                self.nodes.set(count(*nodes));
                self.pods.set(count(*pods));
                self.ticks.set(self.ticks.get() + 1);
            }
            _ => return Pressure::None,
        }
        self.weigh()
    }

    /// Compares what is used with what there is.
    pub fn weigh(&self) -> Pressure {
        let Some(memory) = current(self.start, &self.entries) else {
            return Pressure::None;
        };
        (self.met)();
        let times = |bytes: u64, count: &Cell<u64>| bytes.saturating_mul(count.get());
        let used = memory
            .base
            .saturating_add(times(memory.per_node, &self.nodes))
            .saturating_add(times(memory.per_pod, &self.pods))
            .saturating_add(times(memory.per_tick, &self.ticks));
        match self.limit {
            Some(limit) if used > limit => Pressure::OverLimit,
            Some(_) => Pressure::None,
            None if used > self.node_free => Pressure::NodeLow(used),
            None => Pressure::None,
        }
    }
}
