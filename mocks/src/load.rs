//! Ground truth of resource use: a pure function of simulated time.
//!
//! Whatever a report says about usage can be held against this. CPU is
//! cumulative, `nanocores × elapsed` in integers; memory is constant. Time is
//! true time: nanoseconds since the simulation's start, negative for what came
//! before. No clock step moves it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A node and what runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// CPU use of the whole node, in nanocores.
    pub cpu_nanocores: u64,
    /// Working set of the whole node, in bytes.
    pub memory_bytes: u64,
    /// How long the node had been up when the simulation started.
    pub up_for: Duration,
    /// The pods on the node.
    pub pods: Vec<Pod>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// One life of a container. A restart is another container of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// When it started: nanoseconds since the simulation's start.
    pub started_ns: i64,
    /// CPU use in nanocores.
    pub cpu_nanocores: u64,
    /// Working set in bytes.
    pub memory_bytes: u64,
}

/// What something has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Cumulative CPU time in core-nanoseconds.
    pub cpu_ns: u64,
    /// Working set in bytes.
    pub memory_bytes: u64,
}

impl Load {
    /// When the node booted: nanoseconds since the simulation's start, not
    /// positive.
    #[must_use]
    pub fn booted_ns(&self) -> i64 {
        -i64::try_from(self.up_for.as_nanos()).unwrap_or(i64::MAX)
    }

    /// How many pods and how many containers run at `at_ns`.
    #[must_use]
    pub fn running(&self, at_ns: i64) -> (u32, u32) {
        let (mut pods, mut containers) = (0, 0);
        for pod in &self.pods {
            let started = pod.containers.iter().filter(|one| one.started_ns <= at_ns);
            let started = u32::try_from(started.count()).unwrap_or(u32::MAX);
            pods += u32::from(started > 0);
            containers += started;
        }
        (pods, containers)
    }

    /// What the node has used at `at_ns`.
    #[must_use]
    pub fn usage(&self, at_ns: i64) -> Usage {
        Usage {
            cpu_ns: cpu_ns(self.cpu_nanocores, self.booted_ns(), at_ns),
            memory_bytes: self.memory_bytes,
        }
    }
}

impl Pod {
    /// When its first container started; `None` without containers.
    #[must_use]
    pub fn started_ns(&self) -> Option<i64> {
        self.containers
            .iter()
            .map(|container| container.started_ns)
            .min()
    }

    /// What the containers that run at `at_ns` have used, together; `None` if
    /// none runs.
    #[must_use]
    pub fn usage(&self, at_ns: i64) -> Option<Usage> {
        let running = self
            .containers
            .iter()
            .filter_map(|container| container.usage(at_ns));
        running.reduce(|sum, one| Usage {
            cpu_ns: sum.cpu_ns.saturating_add(one.cpu_ns),
            memory_bytes: sum.memory_bytes.saturating_add(one.memory_bytes),
        })
    }
}

impl Container {
    /// What the container has used at `at_ns`; `None` before its start.
    #[must_use]
    pub fn usage(&self, at_ns: i64) -> Option<Usage> {
        (at_ns >= self.started_ns).then(|| Usage {
            cpu_ns: cpu_ns(self.cpu_nanocores, self.started_ns, at_ns),
            memory_bytes: self.memory_bytes,
        })
    }
}

fn cpu_ns(nanocores: u64, since_ns: i64, at_ns: i64) -> u64 {
    let elapsed = u128::from(at_ns.saturating_sub(since_ns).max(0).unsigned_abs());
    u64::try_from(u128::from(nanocores) * elapsed / NANOS_PER_SECOND).unwrap_or(u64::MAX)
}

/// The load of one node as it is now: pods come, go and restart. Cloning
/// gives another handle to the same node.
#[derive(Debug, Clone)]
pub struct CurrentLoad(Rc<RefCell<Rc<Load>>>);

impl CurrentLoad {
    /// A node that has `load` until it is replaced.
    #[must_use]
    pub fn new(load: Load) -> Self {
        Self(Rc::new(RefCell::new(Rc::new(load))))
    }

    /// The load in force. Two calls return the same allocation unless the
    /// load was replaced between them.
    #[must_use]
    pub fn get(&self) -> Rc<Load> {
        Rc::clone(&self.0.borrow())
    }

    /// Changes the load from now on.
    pub fn replace(&self, load: Load) {
        *self.0.borrow_mut() = Rc::new(load);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn container(started_ns: i64, cpu_nanocores: u64) -> Container {
        Container {
            name: "app".to_owned(),
            started_ns,
            cpu_nanocores,
            memory_bytes: 1 << 20,
        }
    }

    #[test]
    fn cpu_is_nanocores_times_elapsed() {
        let quarter = container(-10 * SECOND, 250_000_000);
        assert_eq!(quarter.usage(10 * SECOND).unwrap().cpu_ns, 5_000_000_000);
        // One nanocore needs a second for one core-nanosecond.
        let tiny = container(0, 1);
        assert_eq!(tiny.usage(SECOND - 1).unwrap().cpu_ns, 0);
        assert_eq!(tiny.usage(SECOND).unwrap().cpu_ns, 1);
    }

    #[test]
    fn what_has_not_started_does_not_run() {
        let pod = |started: &[i64]| Pod {
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            containers: started.iter().map(|at| container(*at, 1)).collect(),
        };
        let load = Load {
            cpu_nanocores: 0,
            memory_bytes: 0,
            up_for: Duration::ZERO,
            pods: vec![pod(&[0, 5 * SECOND]), pod(&[9 * SECOND])],
        };
        assert_eq!(
            [-1, 0, 5, 9].map(|at| load.running(at * SECOND)),
            [(0, 0), (1, 1), (1, 2), (2, 3)]
        );
    }

    #[test]
    fn a_container_has_no_usage_before_it_starts() {
        assert_eq!(container(SECOND, 1).usage(SECOND - 1), None);
        assert_eq!(container(SECOND, 1).usage(SECOND).unwrap().cpu_ns, 0);
    }

    #[test]
    fn a_pod_uses_what_its_running_containers_use() {
        let pod = Pod {
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            containers: vec![
                container(0, 1_000_000_000),
                container(5 * SECOND, 500_000_000),
            ],
        };
        assert_eq!(pod.usage(-1), None);
        assert_eq!(pod.usage(4 * SECOND).unwrap().cpu_ns, 4_000_000_000);
        assert_eq!(
            pod.usage(7 * SECOND),
            Some(Usage {
                cpu_ns: 8_000_000_000,
                memory_bytes: 2 << 20
            })
        );
    }

    #[test]
    fn ten_years_of_32_cores_do_not_overflow() {
        let load = Load {
            cpu_nanocores: 32_000_000_000,
            memory_bytes: 0,
            up_for: Duration::from_secs(10 * 365 * 86_400),
            pods: Vec::new(),
        };
        assert_eq!(load.usage(0).cpu_ns, 32 * 315_360_000 * 1_000_000_000);
    }
}
