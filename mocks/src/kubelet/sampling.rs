//! When usage is read, and what it was then.
//!
//! cAdvisor reads each cgroup on a schedule of its own, from the moment it
//! sees it: the next reading follows after the interval and up to as much
//! again. A scrape returns the last reading, so that two scrapes can return
//! the same one. No timer runs for this: which readings have happened is
//! worked out when somebody asks.
//!
//! DIFFERENCE: the interval does not grow while usage stands still.
//!
//! Source: google/cadvisor manager/container.go, `housekeeping`,
//! `nextHousekeepingInterval`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::exposition::{Exposition, Marks, Sample, Samples};
use crate::load::{CurrentLoad, Load, Usage};

use super::{Housekeeping, WallAt};

/// The readings of everything on a node.
pub(super) struct Sampler {
    load: Rc<Load>,
    exposition: Exposition,
    samples: Samples,
    node: Schedule,
    pods: Vec<Schedule>,
    containers: Vec<Schedule>,
    /// When cAdvisor started: nanoseconds since the simulation's start.
    since_ns: i64,
    seed: u64,
}

impl Sampler {
    /// cAdvisor starts at `since_ns`. If that is the simulation's start, it
    /// has been running for a while already.
    pub(super) fn new(load: &CurrentLoad, wall_at: &WallAt, since_ns: i64, seed: u64) -> Self {
        let load = load.get();
        let mut sampler = Self {
            exposition: exposition(&load, wall_at),
            node: Schedule::new(seed, ""),
            load,
            samples: Samples::default(),
            pods: Vec::new(),
            containers: Vec::new(),
            since_ns,
            seed,
        };
        sampler.schedule();
        sampler
    }

    /// Takes up what has changed on the node. What was there before keeps its
    /// schedule.
    pub(super) fn follow(&mut self, load: &CurrentLoad, wall_at: &WallAt) {
        let load = load.get();
        if !Rc::ptr_eq(&load, &self.load) {
            self.exposition = exposition(&load, wall_at);
            self.load = load;
            self.schedule();
        }
    }

    fn schedule(&mut self) {
        let mut known: BTreeMap<u64, Schedule> = BTreeMap::new();
        for old in self.pods.drain(..).chain(self.containers.drain(..)) {
            known.insert(old.key, old);
        }
        let keep = |new: Schedule| known.get(&new.key).copied().unwrap_or(new);
        for pod in self.exposition.pods() {
            let pod = &self.load.pods[pod];
            let name = format!("{}/{}", pod.namespace, pod.name);
            self.pods.push(keep(Schedule::new(self.seed, &name)));
        }
        for (pod, container) in self.exposition.containers() {
            let pod = &self.load.pods[pod];
            let container = &pod.containers[container];
            // Another life of a container is another cgroup.
            let name = format!(
                "{}/{}/{}/{}",
                pod.namespace, pod.name, container.name, container.started_ns
            );
            self.containers.push(keep(Schedule::new(self.seed, &name)));
        }
    }

    /// The last readings at `now_ns`, and the text that they go into.
    pub(super) fn read(
        &mut self,
        now_ns: i64,
        housekeeping: Housekeeping,
        wall_at: &WallAt,
    ) -> (&Exposition, &Samples) {
        let nanos = |interval: Option<Duration>| {
            interval
                .map(|interval| i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX))
                .filter(|interval| *interval > 0)
        };
        let of_containers = nanos(housekeeping.containers);
        let since_ns = self.since_ns;
        let read_every =
            |interval: Option<i64>, schedule: &mut Schedule, born_ns: i64| match interval {
                Some(interval) => schedule.last_reading(born_ns, since_ns, now_ns, interval),
                None => now_ns,
            };
        let read_at =
            |schedule: &mut Schedule, born_ns: i64| read_every(of_containers, schedule, born_ns);
        // Most readings of a scrape are of the same moment.
        let mut last = (now_ns, wall_at(now_ns));
        let mut sample = |at_ns: i64, usage: Usage| {
            if at_ns != last.0 {
                last = (at_ns, wall_at(at_ns));
            }
            Sample {
                cpu_ns: usage.cpu_ns,
                memory_bytes: usage.memory_bytes,
                time_ms: last.1.as_millis(),
                marks: Marks::NONE,
            }
        };

        let load = &self.load;
        let of_node = nanos(housekeeping.node);
        let node_at = read_every(of_node, &mut self.node, load.booted_ns());
        self.samples.node = Some(sample(node_at, load.usage(node_at)));
        self.samples.pods.clear();
        for (pod, schedule) in self.exposition.pods().zip(&mut self.pods) {
            let pod = &load.pods[pod];
            let born_ns = pod.started_ns().filter(|started| *started <= now_ns);
            self.samples.pods.push(born_ns.and_then(|born_ns| {
                let at = read_at(schedule, born_ns);
                Some(sample(at, pod.usage(at)?))
            }));
        }
        self.samples.containers.clear();
        for ((pod, container), schedule) in self.exposition.containers().zip(&mut self.containers) {
            let container = &load.pods[pod].containers[container];
            let runs = container.started_ns <= now_ns;
            self.samples.containers.push(
                runs.then(|| read_at(schedule, container.started_ns))
                    .and_then(|at| Some(sample(at, container.usage(at)?))),
            );
        }
        (&self.exposition, &self.samples)
    }
}

fn exposition(load: &Load, wall_at: &WallAt) -> Exposition {
    Exposition::new(load, |container| wall_at(container.started_ns).as_nanos())
}

/// When one cgroup is read.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    /// Tells its gaps from others'. Other cgroups coming and going leave them
    /// as they are.
    key: u64,
    /// The last reading that was due when somebody asked.
    last_ns: i64,
    /// How many gaps have passed; none before the first reading.
    gaps: u32,
}

impl Schedule {
    fn new(seed: u64, name: &str) -> Self {
        // FNV-1a.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            key: scatter(seed ^ hash),
            last_ns: i64::MIN,
            gaps: 0,
        }
    }

    /// The last reading up to `now_ns` of a cgroup that exists since
    /// `born_ns`, by a cAdvisor that runs since `since_ns`.
    fn last_reading(&mut self, born_ns: i64, since_ns: i64, now_ns: i64, interval: i64) -> i64 {
        if self.last_ns == i64::MIN {
            self.last_ns = if since_ns > 0 || born_ns >= 0 {
                // Seen by a cAdvisor that starts, or started while one runs.
                born_ns.max(since_ns)
            } else {
                // Both are older than the simulation: somewhere in a gap.
                let gap = self.gap(interval);
                born_ns.max(-self.draw(1, gap))
            };
        }
        loop {
            let next = self.last_ns.saturating_add(self.gap(interval));
            if next > now_ns {
                return self.last_ns.min(now_ns);
            }
            self.last_ns = next;
            self.gaps += 1;
        }
    }

    fn gap(&self, interval: i64) -> i64 {
        interval.saturating_add(self.draw(0, interval))
    }

    /// A number in `0..bound` for the current gap.
    fn draw(&self, purpose: u64, bound: i64) -> i64 {
        let bits = scatter(self.key ^ (u64::from(self.gaps) << 1 | purpose));
        let wide = u128::from(bits) * u128::from(bound.unsigned_abs());
        i64::try_from(wide >> 64).expect("below a bound that fits")
    }
}

/// The output function of Sebastiano Vigna's SplitMix64.
fn scatter(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use seam::Timestamp;

    use super::*;
    use crate::load::{Container, Pod};

    const SECOND: i64 = 1_000_000_000;
    const TEN: Option<Duration> = Some(Duration::from_secs(10));

    fn load(containers: &[(&str, i64)]) -> Load {
        let pods = containers.iter().map(|(name, started_ns)| Pod {
            namespace: "default".to_owned(),
            name: format!("{name}-0"),
            containers: vec![Container {
                name: (*name).to_owned(),
                started_ns: *started_ns,
                cpu_nanocores: 1_000_000_000,
                memory_bytes: 1,
            }],
        });
        Load {
            cpu_nanocores: 2_000_000_000,
            memory_bytes: 2,
            up_for: Duration::from_secs(86_400),
            pods: pods.collect(),
        }
    }

    fn sampler(containers: &[(&str, i64)], since_ns: i64) -> (Sampler, CurrentLoad) {
        let load = CurrentLoad::new(load(containers));
        (Sampler::new(&load, &true_time(), since_ns, 7), load)
    }

    /// A wall clock that shows the time since the simulation's start.
    fn true_time() -> WallAt {
        Rc::new(Timestamp::from_nanos)
    }

    fn times(sampler: &mut Sampler, now_ns: i64) -> Vec<Option<i64>> {
        let (_, samples) = sampler.read(now_ns, Housekeeping::every(TEN), &true_time());
        let node = samples.node.iter().map(|sample| Some(sample.time_ms));
        let containers = samples.containers.iter();
        node.chain(containers.map(|sample| sample.map(|sample| sample.time_ms)))
            .collect()
    }

    #[test]
    fn without_housekeeping_usage_is_read_at_the_scrape() {
        let (mut sampler, _) = sampler(&[("a", -SECOND)], 0);
        let (_, samples) = sampler.read(3 * SECOND, Housekeeping::every(None), &true_time());
        let expected = Sample {
            cpu_ns: 4_000_000_000,
            memory_bytes: 1,
            time_ms: 3_000,
            marks: Marks::NONE,
        };
        assert_eq!(samples.containers, [Some(expected)]);
        assert_eq!(samples.pods, [Some(expected)]);
        assert_eq!(samples.node.unwrap().time_ms, 3_000);
    }

    /// Goal: gaps of U[interval, 2 × interval), and usage as of the reading.
    /// Method: look every 100 ms; each distinct time is a reading.
    #[test]
    fn readings_are_one_to_two_intervals_apart() {
        let (mut sampler, _) = sampler(&[("a", -3_600 * SECOND)], 0);
        let mut seen = Vec::new();
        for tenths in 0..20_000 {
            let (_, samples) =
                sampler.read(tenths * SECOND / 10, Housekeeping::every(TEN), &true_time());
            let sample = samples.containers[0].unwrap();
            let age_ms = tenths * 100 - sample.time_ms;
            assert!((0..20_000).contains(&age_ms), "{age_ms}");
            let usage_ms = i64::try_from(sample.cpu_ns / 1_000_000).unwrap();
            assert_eq!(usage_ms, 3_600_000 + sample.time_ms);
            seen.push(sample.time_ms);
        }
        seen.dedup();
        let gaps: Vec<i64> = seen.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(
            gaps.iter().all(|gap| (9_999..=20_001).contains(gap)),
            "{gaps:?}"
        );
        let mean = gaps.iter().sum::<i64>() / i64::try_from(gaps.len()).unwrap();
        assert!((14_000..16_000).contains(&mean), "{mean}");
    }

    #[test]
    fn a_cadvisor_that_starts_reads_everything_at_once() {
        let (mut sampler, _) = sampler(&[("a", -SECOND), ("b", 30 * SECOND)], 25 * SECOND);
        assert_eq!(
            times(&mut sampler, 26 * SECOND),
            [Some(25_000), Some(25_000), None]
        );
        assert_eq!(times(&mut sampler, 31 * SECOND)[2], Some(30_000));
    }

    #[test]
    fn a_container_that_comes_does_not_move_the_others_readings() {
        let (mut alone, _) = sampler(&[("b", -SECOND)], 0);
        let (mut joined, load_of_joined) = sampler(&[("b", -SECOND)], 0);
        assert_eq!(
            times(&mut alone, 40 * SECOND),
            times(&mut joined, 40 * SECOND)
        );
        load_of_joined.replace(load(&[("a", 45 * SECOND), ("b", -SECOND)]));
        joined.follow(&load_of_joined, &true_time());
        let (alone, joined) = (
            times(&mut alone, 90 * SECOND),
            times(&mut joined, 90 * SECOND),
        );
        assert_eq!((alone[0], alone[1]), (joined[0], joined[2]));
    }

    #[test]
    fn readings_do_not_depend_on_when_one_looks() {
        let (mut often, _) = sampler(&[("a", -SECOND)], 0);
        let (mut once, _) = sampler(&[("a", -SECOND)], 0);
        for second in 0..300 {
            times(&mut often, second * SECOND);
        }
        assert_eq!(
            times(&mut often, 300 * SECOND),
            times(&mut once, 300 * SECOND)
        );
    }
}
