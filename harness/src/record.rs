//! From what happens in the world to the trace.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use mocks::event::{Event as Seen, Recorder as MockRecorder};
use reports::trace::{Event, Record, Trace};
use tokio::time::Instant;

/// Collects everything that happens in one run, in order.
pub struct TraceRecorder {
    start: Instant,
    records: RefCell<Vec<Record>>,
    wake_witness: RefCell<Option<Box<dyn Fn()>>>,
    silent: Cell<bool>,
}

impl TraceRecorder {
    /// An empty trace whose time zero is `start`.
    #[must_use]
    pub fn new(start: Instant) -> Rc<Self> {
        Rc::new(Self {
            start,
            records: RefCell::new(Vec::with_capacity(512)),
            wake_witness: RefCell::new(None),
            silent: Cell::new(false),
        })
    }

    /// Has `wake` called whenever the metrics API or its readiness may have
    /// changed.
    pub fn set_witness(&self, wake: impl Fn() + 'static) {
        *self.wake_witness.borrow_mut() = Some(Box::new(wake));
    }

    /// Appends an event that happened on `host` now.
    pub fn push(&self, host: &str, event: Event) {
        if self.silent.get() {
            return;
        }
        let may_matter = matters_to_the_witness(&event);
        let mut records = self.records.borrow_mut();
        let seq = records.len() as u64;
        let t = u64::try_from(self.start.elapsed().as_nanos())
            .expect("a run is shorter than five centuries");
        records.push(Record {
            t,
            seq,
            host: host.to_owned(),
            event,
        });
        drop(records);
        if may_matter && let Some(wake) = &*self.wake_witness.borrow() {
            wake();
        }
    }

    /// The trace so far; nothing is recorded from then on.
    #[must_use]
    pub fn finish(&self) -> Trace {
        self.silent.set(true);
        Trace {
            records: self.records.take(),
        }
    }
}

/// Whether `/readyz` or the lists of the metrics API may answer differently
/// after this event.
fn matters_to_the_witness(event: &Event) -> bool {
    matches!(
        event,
        Event::Serving { .. }
            | Event::TickStored { .. }
            | Event::ApiService { .. }
            | Event::ApiServiceRegistered
            | Event::ProcessExited { .. }
            | Event::Changed { .. }
    )
}

impl MockRecorder for TraceRecorder {
    fn record(&self, host: &str, event: Seen) {
        self.push(host, translate(event));
    }
}

fn translate(event: Seen) -> Event {
    match event {
        Seen::Response {
            observer,
            target,
            outcome,
            text,
        } => Event::Response {
            observer: observer.name().to_owned(),
            target,
            outcome: outcome.to_string(),
            text,
        },
        Seen::Witness {
            target,
            outcome,
            text,
            nodes,
            pods,
        } => Event::Witness {
            target,
            outcome: outcome.to_string(),
            text,
            nodes,
            pods,
        },
        Seen::PodCondition {
            condition,
            status,
            reason,
        } => Event::PodCondition {
            condition: condition.to_owned(),
            status,
            reason,
        },
        Seen::ContainerStarted { restart } => Event::ProcessStarted { restart },
        Seen::ContainerExited {
            code,
            reason,
            killed_by,
        } => Event::ProcessExited {
            code,
            reason,
            killed_by: killed_by.map(str::to_owned),
        },
        Seen::BackOff { nominal_ns } => Event::BackOff { nominal_ns },
        Seen::EndpointSlice { ready, not_ready } => Event::EndpointSlice { ready, not_ready },
        Seen::ApiServiceRegistered => Event::ApiServiceRegistered,
        Seen::ApiService {
            status,
            reason,
            message,
        } => Event::ApiService {
            status: status.to_owned(),
            reason,
            message,
        },
        Seen::Kubernetes {
            kind,
            reason,
            message,
        } => Event::Kubernetes {
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            message,
        },
        Seen::NotModelled { request } => Event::NotModelled { request },
        Seen::KubeletServed { status } => Event::KubeletServed { status },
    }
}
