//! From what happens in the world to the trace.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use mocks::clients::witness::Change;
use mocks::event::{Event as Seen, Met, Recorder as MockRecorder};
use reports::trace::{Event, Record, Trace};
use seam::Moment;

type WakeWitness = Box<dyn Fn(Change)>;
type Follower = Box<dyn Fn(&Record)>;
type Blame = Box<dyn Fn(&str, Met) -> Option<String>>;

/// Collects everything that happens in one run, in order.
pub struct TraceRecorder {
    start: Moment,
    records: RefCell<Vec<Record>>,
    wake_witness: RefCell<Option<WakeWitness>>,
    follower: RefCell<Option<Follower>>,
    overhearer: RefCell<Option<Rc<dyn MockRecorder>>>,
    blame: RefCell<Option<Blame>>,
    faults: RefCell<BTreeMap<String, u64>>,
    silent: Cell<bool>,
}

impl TraceRecorder {
    /// An empty trace whose time zero is `start`.
    #[must_use]
    pub fn new(start: Moment) -> Rc<Self> {
        Rc::new(Self {
            start,
            records: RefCell::new(Vec::with_capacity(512)),
            wake_witness: RefCell::new(None),
            follower: RefCell::new(None),
            overhearer: RefCell::new(None),
            blame: RefCell::new(None),
            faults: RefCell::default(),
            silent: Cell::new(false),
        })
    }

    /// Has `wake` called whenever the metrics API or its readiness may have
    /// changed.
    pub fn set_witness(&self, wake: impl Fn(Change) + 'static) {
        *self.wake_witness.borrow_mut() = Some(Box::new(wake));
    }

    /// Has `follow` called with every record as it is made.
    pub fn set_follower(&self, follow: impl Fn(&Record) + 'static) {
        *self.follower.borrow_mut() = Some(Box::new(follow));
    }

    /// Lets `overhearer` hear, after this recorder, all that stand-ins tell.
    pub fn set_overhearer(&self, overhearer: Rc<dyn MockRecorder>) {
        *self.overhearer.borrow_mut() = Some(overhearer);
    }

    /// Lets `blame` say which fault somebody has met who met a part of the
    /// world on a machine.
    pub fn set_blame(&self, blame: impl Fn(&str, Met) -> Option<String> + 'static) {
        *self.blame.borrow_mut() = Some(Box::new(blame));
    }

    /// Somebody met a part of the world on `host`.
    pub fn met(&self, host: &str, what: Met) {
        let blame = self.blame.borrow();
        let fault = blame.as_ref().and_then(|blame| blame(host, what));
        drop(blame);
        if let Some(fault) = fault {
            self.fault(host, &fault);
        }
    }

    /// Has the witness look at what may have changed.
    pub fn wake_witness(&self, change: Change) {
        if let Some(wake) = &*self.wake_witness.borrow() {
            wake(change);
        }
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
        let record = Record {
            t,
            seq,
            host: host.to_owned(),
            event,
        };
        if let Some(follow) = &*self.follower.borrow() {
            follow(&record);
        }
        records.push(record);
        drop(records);
        if may_matter {
            self.wake_witness(Change::Routing);
        }
    }

    /// Counts that the fault of this name took effect on `host`; the first time
    /// is recorded as an event of its own.
    pub fn fault(&self, host: &str, fault: &str) {
        self.fault_times(host, fault, 1);
    }

    /// As [`Self::fault`], so many times at once.
    pub fn fault_times(&self, host: &str, fault: &str, times: u64) {
        let first = match self.faults.borrow_mut().get_mut(fault) {
            Some(count) => {
                *count += times;
                false
            }
            None => true,
        };
        if first {
            self.faults.borrow_mut().insert(fault.to_owned(), times);
            let fault = fault.to_owned();
            self.push(host, Event::FaultHit { fault });
        }
    }

    /// How often each fault took effect so far, in alphabetical order; those
    /// that never did are absent.
    #[must_use]
    pub fn fault_totals(&self) -> Vec<(String, u64)> {
        let faults = self.faults.borrow();
        faults
            .iter()
            .map(|(name, count)| (name.clone(), *count))
            .collect()
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

/// Records what a consumer sees under the consumer's own name.
pub struct Named {
    /// The consumer's name.
    pub name: String,
    /// Where it is recorded.
    pub recorder: Rc<TraceRecorder>,
}

impl MockRecorder for Named {
    fn record(&self, host: &str, event: Seen) {
        match event {
            Seen::Met(what) => self.recorder.met(host, what),
            event => {
                let Some(mut event) = translate(event) else {
                    return;
                };
                if let Event::Response { observer, .. } = &mut event {
                    observer.clone_from(&self.name);
                }
                self.recorder.push(host, event);
            }
        }
    }
}

/// Whether `/readyz` or the lists of the metrics API may answer differently
/// after this event. What a stored tick changes, only the process can tell.
fn matters_to_the_witness(event: &Event) -> bool {
    matches!(
        event,
        Event::Serving { .. }
            | Event::ApiService { .. }
            | Event::ApiServiceRegistered
            | Event::ApiServiceDeleted
            | Event::ProcessExited { .. }
            | Event::Changed { .. }
    )
}

impl MockRecorder for TraceRecorder {
    fn record(&self, host: &str, event: Seen) {
        let overhearer = self.overhearer.borrow().clone();
        let overheard = overhearer.map(|overhearer| (overhearer, event.clone()));
        match event {
            Seen::Met(what) => self.met(host, what),
            event => {
                if let Some(event) = translate(event) {
                    self.push(host, event);
                }
            }
        }
        if let Some((overhearer, event)) = overheard {
            overhearer.record(host, event);
        }
    }
}

/// A record of it; `None` for what a trace does not hold.
fn translate(event: Seen) -> Option<Event> {
    Some(match event {
        Seen::Response {
            observer,
            target,
            outcome,
            text,
            took,
        } => Event::Response {
            observer: observer.name().to_owned(),
            target,
            outcome: outcome.to_string(),
            text,
            duration_ns: u64::try_from(took.as_nanos())
                .expect("a run is shorter than five centuries"),
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
        Seen::PodCreated => Event::PodCreated,
        Seen::ReplicaCreated { object, revision } => Event::ReplicaCreated { object, revision },
        Seen::ReplicaBound { node } => Event::ReplicaBound { node },
        Seen::ReplicaDeleted => Event::ReplicaDeleted,
        Seen::Progressing {
            status,
            reason,
            message,
        } => Event::Progressing {
            status,
            reason: reason.to_owned(),
            message,
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
        Seen::ApiServiceDeleted => Event::ApiServiceDeleted,
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
        // The process itself tells when its informers are synced.
        Seen::WatchRequested { .. } | Seen::Met(_) => return None,
    })
}
