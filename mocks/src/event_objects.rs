//! Kubernetes Events as objects in the store: what `kubectl get events` and
//! `kubectl describe` show.
//!
//! Source: client-go `tools/record/{event,events_cache}.go`.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use seam::{Host, Timestamp};
use serde_json::{Value, json};

use crate::apiserver::objects::rfc3339;
use crate::store::Store;

/// How long a recorder waits before it tries to write an Event again, and how
/// often it tries. Source: event.go `defaultSleepDuration`, `maxTriesPerEvent`.
const RETRY: Duration = Duration::from_secs(10);
const TRIES: u32 = 12;

const KUBELET: &str = "kubelet";
const SCHEDULER: &str = "default-scheduler";

/// The object that Events are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Involved {
    pub(crate) kind: &'static str,
    pub(crate) api_version: &'static str,
    /// Its resource's plural, under which the store holds it.
    pub(crate) resource: &'static str,
    /// `None` for objects of the cluster.
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

/// What happened to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Occurrence {
    /// The component that says so: `kubelet`.
    pub(crate) source: &'static str,
    /// `Normal` or `Warning`
    pub(crate) kind: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// The part of the object: `spec.containers{web}`, or empty.
    pub(crate) field_path: String,
}

/// Whether the component can write to the API server now.
pub(crate) type Writable = Rc<dyn Fn() -> bool>;

/// Writes Events about one object; the same occurrence again is counted on the
/// Event that there is.
#[derive(Clone)]
pub(crate) struct EventObjects {
    shared: Rc<Shared>,
}

struct Shared {
    host: Host,
    store: Store,
    about: Involved,
    writable: Writable,
    observed: RefCell<BTreeMap<Occurrence, Observation>>,
    /// Events that wait for the API server, in order; the first is being tried.
    waiting: RefCell<VecDeque<Value>>,
}

/// What is remembered of an occurrence.
#[derive(Debug, Clone)]
struct Observation {
    name: String,
    first: Timestamp,
    count: u32,
}

impl EventObjects {
    /// Events about `about`, recorded by components on `host`.
    pub(crate) fn new(host: &Host, store: &Store, about: Involved, writable: Writable) -> Self {
        Self {
            shared: Rc::new(Shared {
                host: host.clone(),
                store: store.clone(),
                about,
                writable,
                observed: RefCell::default(),
                waiting: RefCell::default(),
            }),
        }
    }

    /// Counts an occurrence, and writes it unless a flood drowns it: then its
    /// count shows with the next one that is written.
    pub(crate) fn observe(&self, occurrence: Occurrence, written: bool) {
        let now = self.shared.host.now();
        let event = {
            let mut observed = self.shared.observed.borrow_mut();
            let observation = observed
                .entry(occurrence.clone())
                .or_insert_with(|| Observation {
                    name: format!("{}.{:x}", self.shared.about.name, now.as_nanos()),
                    first: now,
                    count: 0,
                });
            observation.count += 1;
            self.shared.event(&occurrence, observation, now)
        };
        if written {
            self.write(event);
        }
    }

    /// One event after the other, as the recorder's only worker does.
    fn write(&self, event: Value) {
        let idle = self.shared.waiting.borrow().is_empty();
        if idle && (self.shared.writable)() {
            self.shared.store.put("events", event);
            return;
        }
        self.shared.waiting.borrow_mut().push_back(event);
        if idle {
            let shared = Rc::clone(&self.shared);
            self.shared.host.spawn(async move { shared.retry().await });
        }
    }
}

impl Shared {
    async fn retry(&self) {
        loop {
            for _ in 1..TRIES {
                tokio::time::sleep(RETRY).await;
                if (self.writable)() {
                    break;
                }
            }
            let mut waiting = self.waiting.borrow_mut();
            // One that could not be written after all tries is given up.
            while (self.writable)()
                && let Some(event) = waiting.pop_front()
            {
                self.store.put("events", event);
            }
            waiting.pop_front();
            if waiting.is_empty() {
                return;
            }
        }
    }

    fn event(&self, what: &Occurrence, observation: &Observation, now: Timestamp) -> Value {
        // Events about objects of the cluster live in `default`.
        let namespace = self.about.namespace.as_deref().unwrap_or("default");
        let mut event = json!({
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {
                "name": observation.name,
                "namespace": namespace,
                "creationTimestamp": rfc3339(now),
            },
            "involvedObject": self.involved(&what.field_path),
            "reason": what.reason,
            "message": what.message,
            "source": {"component": what.source, "host": self.host.name()},
            "firstTimestamp": rfc3339(observation.first),
            "lastTimestamp": rfc3339(now),
            "count": observation.count,
            "type": what.kind,
            "eventTime": null,
            "reportingComponent": what.source,
            "reportingInstance": self.host.name(),
        });
        match what.source {
            KUBELET => {}
            SCHEDULER => as_events_v1(&mut event, now),
            // Controllers do not say where they run.
            _ => {
                event["source"] = json!({"component": what.source});
                event["reportingInstance"] = json!("");
            }
        }
        event
    }

    fn involved(&self, field_path: &str) -> Value {
        let about = &self.about;
        let object = self
            .store
            .get(about.resource, about.namespace.as_deref(), &about.name);
        let mut involved = json!({"kind": about.kind});
        if let Some(namespace) = &about.namespace {
            involved["namespace"] = json!(namespace);
        }
        involved["name"] = json!(about.name);
        if let Some(metadata) = object.as_deref().map(|object| &object["metadata"]) {
            involved["uid"] = metadata["uid"].clone();
        }
        involved["apiVersion"] = json!(about.api_version);
        if let Some(metadata) = object.as_deref().map(|object| &object["metadata"]) {
            involved["resourceVersion"] = metadata["resourceVersion"].clone();
        }
        if !field_path.is_empty() {
            involved["fieldPath"] = json!(field_path);
        }
        involved
    }
}

/// The form of the newer Events API, which the scheduler alone uses here: a
/// time in microseconds instead of two in seconds, and no count.
///
/// Source: client-go `tools/events/event_recorder.go makeEvent`.
fn as_events_v1(event: &mut Value, now: Timestamp) {
    event["source"] = json!({});
    event["firstTimestamp"] = Value::Null;
    event["lastTimestamp"] = Value::Null;
    event["eventTime"] = json!(rfc3339_micro(now));
    event["action"] = json!("Binding");
    event["reportingInstance"] = json!("default-scheduler-control-plane");
    if let Some(event) = event.as_object_mut() {
        event.remove("count");
    }
}

/// As `metav1.MicroTime` is written.
fn rfc3339_micro(at: Timestamp) -> String {
    let seconds = rfc3339(at);
    let micros = at.as_nanos().rem_euclid(1_000_000_000) / 1000;
    format!("{}.{micros:06}Z", seconds.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::http_client::testing::{Pipes, TestClock, paused};

    fn occurrence(message: &str) -> Occurrence {
        Occurrence {
            source: "kubelet",
            kind: "Warning",
            reason: "Unhealthy",
            message: message.to_owned(),
            field_path: "spec.containers{web}".to_owned(),
        }
    }

    fn log(store: &Store, writable: Writable) -> EventObjects {
        let host = Pipes::new().host("n1", &TestClock::new());
        let about = Involved {
            kind: "Pod",
            api_version: "v1",
            resource: "pods",
            namespace: Some("a".to_owned()),
            name: "web".to_owned(),
        };
        EventObjects::new(&host, store, about, writable)
    }

    #[test]
    fn the_same_again_is_counted_and_drowned_ones_show_in_the_next_count() {
        paused(async {
            let store = Store::new();
            let pod = json!({"metadata": {"namespace": "a", "name": "web"}});
            store.put("pods", pod);
            let log = log(&store, Rc::new(|| true));
            log.observe(occurrence("no"), true);
            tokio::time::sleep(Duration::from_secs(2)).await;
            log.observe(occurrence("no"), true);
            log.observe(occurrence("no"), false);
            log.observe(occurrence("no"), true);
            log.observe(occurrence("other"), true);
            let events = store.list("events");
            assert_eq!(events.len(), 2);
            insta::assert_json_snapshot!(*events[0]);
        });
    }

    #[test]
    fn events_wait_for_the_api_server_and_are_given_up_after_two_minutes() {
        paused(async {
            let store = Store::new();
            let up = Rc::new(Cell::new(false));
            let reachable = Rc::clone(&up);
            let log = log(&store, Rc::new(move || reachable.get()));
            log.observe(occurrence("lost"), true);
            tokio::time::sleep(Duration::from_secs(115)).await;
            log.observe(occurrence("kept"), true);
            up.set(true);
            tokio::time::sleep(Duration::from_secs(11)).await;
            let events = store.list("events");
            let messages: Vec<_> = events.iter().map(|event| &event["message"]).collect();
            assert_eq!(messages, ["kept"]);
        });
    }
}
