//! What a run looked like over time, for drawing.
//!
//! Times are nanoseconds since the first start of the process; what came
//! before is drawn at zero.

use crate::life::{Tick, lives};
use crate::milestone::origin_ns;
use crate::replica::deciding;
use crate::response::answers;
use crate::trace::{Event, Trace};

/// The lanes of a run, on a common time axis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// When the run ended.
    pub end_ns: u64,
    /// When the last thing changed that a picture should show.
    pub settled_ns: u64,
    /// The lives of the process.
    pub processes: Vec<ProcessSpan>,
    /// The scrape ticks.
    pub scrapes: Vec<ScrapeSpan>,
    /// What the readiness probe saw: time and outcome.
    pub probes: Vec<(u64, String)>,
    /// The pod's Ready condition: times at which it changed, and to what.
    pub ready: Vec<(u64, bool)>,
    /// The metrics API behind the aggregation layer: times at which it
    /// changed, and to what.
    pub api: Vec<(u64, ApiState)>,
    /// What the scenario changed: time and words.
    pub changes: Vec<(u64, String)>,
}

/// One life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessSpan {
    /// Start.
    pub start_ns: u64,
    /// When it began to answer requests.
    pub serving_ns: Option<u64>,
    /// End, if it ended.
    pub end_ns: Option<u64>,
}

/// One scrape tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapeSpan {
    /// Start.
    pub start_ns: u64,
    /// When its result was stored, if it was.
    pub end_ns: Option<u64>,
    /// What it came to.
    pub result: ScrapeResult,
}

/// What a tick came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapeResult {
    /// Every node answered.
    Whole,
    /// Some did.
    Partial,
    /// None did.
    Nothing,
}

/// What the API server makes of the metrics API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiState {
    /// No APIService: requests are answered 404.
    Absent,
    /// Not Available: 503.
    Unavailable,
    /// Available.
    Available,
}

impl Timeline {
    /// Reads the lanes off a trace. Of several pods it shows the one that was
    /// Ready first.
    #[must_use]
    pub fn of(trace: &Trace) -> Self {
        let origin = origin_ns(trace);
        let whole = trace;
        let trace = &*deciding(whole);
        let at = |t: u64| t.saturating_sub(origin);
        let mut timeline = Self {
            end_ns: whole.records.last().map_or(0, |record| at(record.t)),
            api: vec![(0, ApiState::Absent)],
            ..Self::default()
        };
        for life in lives(trace) {
            timeline.processes.push(ProcessSpan {
                start_ns: at(life.started),
                serving_ns: life.serving.map(at),
                end_ns: life.ended.map(|end| at(end.at)),
            });
            timeline
                .scrapes
                .extend(life.ticks.iter().map(|tick| ScrapeSpan {
                    start_ns: at(tick.started),
                    end_ns: tick.stored.map(|stored| at(stored.at)),
                    result: result(tick),
                }));
        }
        for answer in answers(trace).filter(|answer| answer.observer == "readiness-probe") {
            timeline
                .probes
                .push((at(answer.at), answer.outcome.to_owned()));
        }
        for record in &trace.records {
            timeline.observe(at(record.t), &record.event);
        }
        timeline.settled_ns = timeline.settled();
        timeline
    }

    fn observe(&mut self, at: u64, event: &Event) {
        match event {
            Event::PodCondition {
                condition, status, ..
            } if condition == "Ready" => {
                self.ready.push((at, *status));
                self.ready.dedup_by_key(|(_, ready)| *ready);
            }
            Event::ApiServiceRegistered => self.set_api(at, ApiState::Unavailable),
            Event::ApiServiceDeleted => self.set_api(at, ApiState::Absent),
            Event::ApiService { status, .. } if status == "True" => {
                self.set_api(at, ApiState::Available);
            }
            Event::ApiService { .. } => self.set_api(at, ApiState::Unavailable),
            Event::Changed { what } => self.changes.push((at, what.clone())),
            _ => {}
        }
    }

    fn set_api(&mut self, at: u64, state: ApiState) {
        let (last_at, last) = *self.api.last().expect("begins with a state");
        if last == state {
            return;
        }
        if last_at == at {
            self.api.pop();
        }
        self.api.push((at, state));
    }

    fn settled(&self) -> u64 {
        // A pod that is not Ready never settles.
        if !self.ready.last().is_some_and(|(_, ready)| *ready) {
            return self.end_ns;
        }
        let ends = self.processes.iter().flat_map(|span| {
            [Some(span.start_ns), span.serving_ns, span.end_ns]
                .into_iter()
                .flatten()
        });
        // The last tick that was unlike the one before it.
        let turn = self
            .scrapes
            .windows(2)
            .rev()
            .find(|pair| pair[0].result != pair[1].result);
        let scrape = turn.map(|pair| pair[1].end_ns.unwrap_or(pair[1].start_ns));
        let probe = self
            .probes
            .windows(2)
            .rev()
            .find(|pair| pair[0].1 != pair[1].1);
        ends.chain(scrape)
            .chain(probe.map(|pair| pair[1].0))
            .chain(self.ready.iter().map(|(at, _)| *at))
            .chain(self.api.iter().map(|(at, _)| *at))
            .chain(self.changes.iter().map(|(at, _)| *at))
            .max()
            .unwrap_or(0)
            .min(self.end_ns)
    }
}

fn result(tick: &Tick<'_>) -> ScrapeResult {
    let failed = tick.scrapes.values().any(|scrape| !scrape.is_good());
    match (tick.is_good(), failed) {
        (true, false) => ScrapeResult::Whole,
        (true, true) => ScrapeResult::Partial,
        (false, _) => ScrapeResult::Nothing,
    }
}
