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
    /// The longest part of it: what passed after Events of one reason, until
    /// there was one of another.
    pub longest_ns: u64,
    /// That reason; none where no Event came before it.
    pub reason: Option<String>,
    /// The message of the last of these Events.
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
    let mut waits: Vec<Wait<'_>> = Vec::new();
    let mut since = (created, None);
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
        add(&mut waits, since, record.t);
        since = (record.t, Some((reason.as_str(), message.as_str())));
    }
    add(&mut waits, since, start);
    // The first of those that are equally long.
    let longest = waits.iter().rev().max_by_key(|wait| wait.ns)?;
    Some(BeforeStart {
        ns: start.saturating_sub(created),
        longest_ns: longest.ns,
        reason: longest.after.map(|(reason, _)| reason.to_owned()),
        message: longest.after.map(|(_, message)| message.to_owned()),
    })
}

/// What passed after Events of one reason.
struct Wait<'a> {
    ns: u64,
    /// Reason and message of the last one.
    after: Option<(&'a str, &'a str)>,
}

/// Adds the time from `since` to `t` to what passed after Events of its reason.
fn add<'a>(waits: &mut Vec<Wait<'a>>, since: (u64, Option<(&'a str, &'a str)>), t: u64) {
    let (from, after) = since;
    let ns = t.saturating_sub(from);
    let reason = |after: Option<(&'a str, _)>| after.map(|(reason, _)| reason);
    match waits
        .iter_mut()
        .find(|wait| reason(wait.after) == reason(after))
    {
        Some(wait) => {
            wait.ns += ns;
            wait.after = after;
        }
        None => waits.push(Wait { ns, after }),
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
    fn what_is_said_again_and_again_is_one_wait() {
        let found = before_start(&trace(vec![
            (0, Event::PodCreated),
            (5, event("NetworkNotReady")),
            (12, event("NetworkNotReady")),
            (14, event("NetworkNotReady")),
            (20, event("Pulling")),
            (28, Event::ProcessStarted { restart: 0 }),
        ]));
        let found = found.expect("it started");
        assert_eq!(found.reason.as_deref(), Some("NetworkNotReady"));
        assert_eq!(found.longest_ns, 15);
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
