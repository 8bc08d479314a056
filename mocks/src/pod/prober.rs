//! From a probe's tick to its result.
//!
//! Source: `pkg/kubelet/prober/worker.go doProbe`; the numbers in comments are
//! the order of its decisions.

use std::rc::Rc;
use std::time::Duration;

use seam::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::http_probe::{Answer, HttpProbe, Verdict};
use super::state::Instance;
use super::{Command, Probe, ProbeKind, Shared};
use crate::event::Event;

/// A result. Source: `pkg/kubelet/prober/results/results_manager.go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeResult {
    Success,
    Failure,
}

/// One probe's memory.
#[derive(Debug)]
struct Worker {
    kind: ProbeKind,
    initial_delay: i64,
    success_threshold: u32,
    failure_threshold: u32,
    /// The container it knows, by restart count.
    container: Option<u32>,
    last: ProbeResult,
    run: u32,
    on_hold: bool,
}

impl Worker {
    fn new(kind: ProbeKind, probe: &Probe) -> Self {
        Self {
            kind,
            initial_delay: i64::try_from(probe.initial_delay.as_secs()).unwrap_or(i64::MAX),
            success_threshold: probe.success_threshold,
            failure_threshold: probe.failure_threshold,
            container: None,
            // The zero value of the enumeration is Success, with run length 0.
            last: ProbeResult::Success,
            run: 0,
            on_hold: false,
        }
    }

    /// Decides whether to probe `instance` when the wall clock shows `now`.
    fn is_due(&mut self, instance: &Instance, now: Timestamp) -> bool {
        // 4: a new container. Its initial results, not ready, alive and not
        // known to have started, are those of a new `Instance`.
        if self.container != Some(instance.restart) {
            self.container = Some(instance.restart);
            self.on_hold = false;
        }
        // 5
        if self.on_hold {
            return false;
        }
        // 6: a result of Failure, which the status shows already.
        if instance.ended.is_some() {
            return false;
        }
        // 8: the status holds the start in whole seconds, and the difference
        // is cut to whole seconds, so that a probe may come up to one second
        // early. A clock that was set back makes it negative.
        let started = Timestamp::from_seconds(instance.started_at.as_seconds());
        if now.nanos_since(started) / 1_000_000_000 < self.initial_delay {
            return false;
        }
        // 9
        instance.started != (self.kind == ProbeKind::Startup)
    }

    /// Takes in a probe's result; returns the stored result if this set it.
    fn take(&mut self, result: ProbeResult) -> Option<ProbeResult> {
        // 11
        self.run = if self.last == result { self.run + 1 } else { 1 };
        self.last = result;
        // 12
        let threshold = match result {
            ProbeResult::Failure => self.failure_threshold,
            _ => self.success_threshold,
        };
        if self.run < threshold {
            return None;
        }
        // 13
        let condemned = self.kind == ProbeKind::Liveness && result == ProbeResult::Failure;
        if condemned || self.kind == ProbeKind::Startup {
            self.on_hold = true;
            self.run = 0;
        }
        Some(result)
    }
}

/// Runs one probe's worker from the container's first start on, for ever.
pub(super) async fn run(shared: Rc<Shared>, kind: ProbeKind, first_start: Instant) {
    let probe = shared
        .probe(kind)
        .expect("a worker runs only for a probe that is configured")
        .clone();
    let request = HttpProbe::new(&shared, &probe);
    let mut worker = Worker::new(kind, &probe);
    let mut ticker = Ticker::new(first_start + probe.phase, probe.period);
    loop {
        ticker.tick().await;
        tick(&shared, &mut worker, &request).await;
    }
}

async fn tick(shared: &Shared, worker: &mut Worker, request: &HttpProbe) {
    let Some(instance) = shared.belief.instance() else {
        return;
    };
    // 7: a pod that ends is asked whether it is ready, not whether it lives.
    if worker.kind != ProbeKind::Readiness && shared.ending.has_begun() {
        return;
    }
    if !worker.is_due(&instance, shared.node.now()) {
        return;
    }
    if !shared.is_there() {
        return;
    }
    let asked = Instant::now();
    let answer = request.probe().await;
    // Nobody is left to take it in.
    if !shared.is_there() {
        return;
    }
    let result = report(shared, worker.kind, request, answer, asked.elapsed());
    let Some(stored) = result.and_then(|result| worker.take(result)) else {
        return;
    };
    match (worker.kind, stored) {
        (ProbeKind::Readiness, result) => {
            let ready = result == ProbeResult::Success;
            shared
                .belief
                .set_ready(instance.restart, ready, shared.node.now());
        }
        (ProbeKind::Startup, ProbeResult::Success) => {
            shared
                .belief
                .set_started(instance.restart, shared.node.now());
        }
        (ProbeKind::Liveness, ProbeResult::Success) => {}
        (by, _) => shared.command(Command::Condemned {
            by,
            restart: instance.restart,
        }),
    }
}

/// Tells the world of a probe; `None` if it is to count for nothing.
fn report(
    shared: &Shared,
    kind: ProbeKind,
    request: &HttpProbe,
    answer: Answer,
    took: Duration,
) -> Option<ProbeResult> {
    let title = kind.title();
    let text = &answer.text;
    let result = match answer.verdict {
        Verdict::Success => Some(ProbeResult::Success),
        Verdict::Warning => {
            shared
                .events
                .warning("ProbeWarning", format!("{title} probe warning: {text}"));
            Some(ProbeResult::Success)
        }
        Verdict::Failure => {
            shared
                .events
                .warning("Unhealthy", format!("{title} probe failed: {text}"));
            Some(ProbeResult::Failure)
        }
        Verdict::Error => {
            let message = format!("{title} probe errored and resulted in failure state: {text}");
            shared.events.warning("Unhealthy", message);
            None
        }
    };
    let event = Event::Response {
        observer: kind.observer(),
        target: request.path().to_owned(),
        outcome: answer.outcome,
        text: answer.text,
        took,
    };
    shared.recorder.record(shared.recorded_as(), event);
    result
}

/// Go's `time.Ticker`: ticks on a fixed grid; while nobody listens one is
/// kept, and the others are dropped.
struct Ticker {
    first: Instant,
    period: Duration,
    next: u32,
}

impl Ticker {
    fn new(first: Instant, period: Duration) -> Self {
        Self {
            first,
            period,
            next: 0,
        }
    }

    async fn tick(&mut self) {
        let due = self.first + self.period * self.next;
        let now = Instant::now();
        if now <= due {
            sleep_until(due).await;
            self.next += 1;
        } else {
            let passed = (now - self.first).as_nanos() / self.period.as_nanos().max(1);
            self.next = u32::try_from(passed).unwrap_or(u32::MAX - 1) + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client::testing::paused;
    use crate::pod::Scheme;
    use tokio::time::sleep;

    fn probe(initial_delay: u64) -> Probe {
        Probe {
            scheme: Scheme::Https,
            path: "/readyz".to_owned(),
            port: None,
            initial_delay: Duration::from_secs(initial_delay),
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
            phase: Duration::ZERO,
        }
    }

    fn instance(restart: u32) -> Instance {
        Instance {
            restart,
            started_at: Timestamp::from_millis(1_000_900),
            started: true,
            ready: false,
            ended: None,
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn the_initial_delay_counts_whole_seconds_and_may_end_early() {
        let mut worker = Worker::new(ProbeKind::Readiness, &probe(20));
        assert!(!worker.is_due(&instance(0), at(1_019_999)));
        assert!(worker.is_due(&instance(0), at(1_020_000)));
    }

    #[test]
    fn a_clock_set_back_before_the_start_freezes_even_probes_without_delay() {
        let mut worker = Worker::new(ProbeKind::Liveness, &probe(0));
        assert!(worker.is_due(&instance(0), at(1_000_950)));
        assert!(worker.is_due(&instance(0), at(999_500)));
        assert!(!worker.is_due(&instance(0), at(998_900)));
    }

    #[test]
    fn one_success_makes_ready_and_three_failures_in_a_row_unready() {
        use ProbeResult::{Failure, Success};
        let mut worker = Worker::new(ProbeKind::Readiness, &probe(0));
        worker.is_due(&instance(0), at(1_001_000));
        let results = [
            Success, Failure, Failure, Success, Failure, Failure, Failure, Failure,
        ];
        let stored = results.map(|result| worker.take(result));
        let (s, f) = (Some(Success), Some(Failure));
        assert_eq!(stored, [s, None, None, s, None, None, f, f]);
    }

    #[test]
    fn a_condemned_container_is_not_probed_again_but_its_successor_is() {
        let mut worker = Worker::new(ProbeKind::Liveness, &probe(0));
        worker.is_due(&instance(0), at(1_001_000));
        for _ in 0..3 {
            worker.take(ProbeResult::Failure);
        }
        assert!(!worker.is_due(&instance(0), at(1_002_000)));
        assert!(worker.is_due(&instance(1), at(1_002_000)));
        assert_eq!(worker.run, 0);
    }

    #[test]
    fn a_startup_probe_gates_the_others_and_ends_with_its_first_result() {
        let starting = Instance {
            started: false,
            ..instance(0)
        };
        let mut startup = Worker::new(ProbeKind::Startup, &probe(0));
        let mut readiness = Worker::new(ProbeKind::Readiness, &probe(0));
        assert!(startup.is_due(&starting, at(1_001_000)));
        assert!(!readiness.is_due(&starting, at(1_001_000)));
        startup.take(ProbeResult::Success);
        assert!(!startup.is_due(&starting, at(1_002_000)));
        assert!(readiness.is_due(&instance(0), at(1_002_000)));
    }

    #[test]
    fn a_slow_probe_is_followed_by_the_one_tick_it_missed() {
        paused(async {
            let start = Instant::now();
            let mut ticker = Ticker::new(start + Duration::from_secs(1), Duration::from_secs(2));
            let mut ticks = Vec::new();
            for busy in [0, 5, 0, 0] {
                ticker.tick().await;
                ticks.push(start.elapsed().as_secs());
                sleep(Duration::from_secs(busy)).await;
            }
            assert_eq!(ticks, [1, 3, 8, 9]);
        });
    }
}
