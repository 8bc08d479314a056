//! What a pod waited for before its process started.
//!
//! Milestones count from the start of the process: this is the time that they
//! leave out, and what Kubernetes said while it passed.

use serde::{Deserialize, Serialize};

use crate::milestone::origin_ns;
use crate::trace::{Event, Trace};

/// More than a pod takes from its creation to its process where nothing is in
/// its way: bound at once, with its image on the node.
const NOTABLE_NS: u64 = 5_000_000_000;

/// How machines are called on which controllers record what they have to say of other
/// objects than the pod.
const API_SERVER: &str = "apiserver";

/// The time from a pod's creation to the first start of its process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BeforeStart {
    /// How long it was.
    pub ns: u64,
    /// The longest stretch of it in which Kubernetes recorded nothing.
    pub longest_ns: u64,
    /// The Kubernetes Event after which that came: its reason.
    pub reason: Option<String>,
    /// Its message.
    pub message: Option<String>,
}

impl BeforeStart {
    /// Whether it is longer than usual.
    #[must_use]
    pub fn is_notable(&self) -> bool {
        self.ns > NOTABLE_NS
    }
}

/// What came before the first start of the process; `None` if it never started.
#[must_use]
pub fn before_start(trace: &Trace) -> Option<BeforeStart> {
    let records = &trace.records;
    let starts = |event: &Event| matches!(event, Event::ProcessStarted { .. });
    records.iter().find(|record| starts(&record.event))?;
    let start = origin_ns(trace);
    let created = records
        .iter()
        .find(|record| matches!(record.event, Event::PodCreated))?
        .t;
    let mut since = (created, None);
    let mut longest = (0, None);
    let events = records
        .iter()
        .skip_while(|record| record.t < created)
        .take_while(|record| record.t <= start)
        .filter(|record| !record.host.starts_with(API_SERVER));
    for record in events {
        let Event::Kubernetes {
            reason, message, ..
        } = &record.event
        else {
            continue;
        };
        longest = later(longest, since, record.t);
        since = (record.t, Some((reason, message)));
    }
    let (longest_ns, after) = later(longest, since, start);
    Some(BeforeStart {
        ns: start.saturating_sub(created),
        longest_ns,
        reason: after.map(|(reason, _)| reason.clone()),
        message: after.map(|(_, message)| message.clone()),
    })
}

/// The longer one of a stretch and that from `since` to `t`.
fn later<T>(longest: (u64, T), since: (u64, T), t: u64) -> (u64, T) {
    let ns = t.saturating_sub(since.0);
    match ns > longest.0 {
        true => (ns, since.1),
        false => longest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Record;

    fn event(reason: &str) -> Event {
        Event::Kubernetes {
            kind: "Normal".to_owned(),
            reason: reason.to_owned(),
            message: format!("{reason} it"),
        }
    }

    fn trace(events: Vec<(u64, Event)>) -> Trace {
        let record = |(t, event): (u64, Event)| {
            let is_of_another = matches!(&event, Event::Kubernetes { reason, .. }
                if reason.starts_with("FailedGet"));
            let host = if is_of_another { API_SERVER } else { "pi" };
            Record {
                t,
                seq: 0,
                host: host.to_owned(),
                event,
            }
        };
        Trace {
            records: events.into_iter().map(record).collect(),
        }
    }

    #[test]
    fn the_longest_silence_is_told_with_what_came_before_it() {
        let found = before_start(&trace(vec![
            (1, Event::PodCreated),
            (3, event("Scheduled")),
            (4, event("Pulling")),
            (50, event("FailedGetResourceMetric")),
            (90, event("Pulled")),
            (95, Event::ProcessStarted { restart: 0 }),
            (500, event("Unhealthy")),
        ]));
        let found = found.expect("it started");
        assert_eq!((found.ns, found.longest_ns), (94, 86));
        assert_eq!(found.reason.as_deref(), Some("Pulling"));
        assert_eq!(found.message.as_deref(), Some("Pulling it"));
    }

    #[test]
    fn a_pod_that_never_started_has_no_such_time() {
        assert_eq!(before_start(&trace(vec![(1, Event::PodCreated)])), None);
    }

    #[test]
    fn without_events_it_is_the_creation_that_came_before() {
        let found = before_start(&trace(vec![
            (0, Event::PodCreated),
            (6_000_000_000, Event::ProcessStarted { restart: 0 }),
        ]));
        let found = found.expect("it started");
        assert!(found.is_notable());
        assert_eq!(found.reason, None);
    }
}
