//! When each stage of a start-up was reached.
//!
//! Milestones count from the first start of the metrics-server process: what
//! came before (scheduling, pulling the image) is not metrics-server's doing.
//! A stage that was reached before that, such as an APIService still marked
//! Available from before a power cut, counts as reached at 0.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::case::Case;
use crate::trace::{Event, Record, Trace};

/// A stage of a start-up, in the order in which a healthy one reaches them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Milestone {
    /// The process started for the first time: zero.
    ProcessStarted,
    /// It bound its serving port: connections are no longer refused.
    PortBound,
    /// Its node and pod informers are synced; scraping begins.
    InformersSynced,
    /// It stored the first scrape that held a node or a pod.
    FirstScrapeStored,
    /// `/readyz`, in 0.3 `/healthz`, answered 200, to the witness or to a
    /// probe.
    Readyz200,
    /// The pod's Ready condition became true: the moment Kubernetes considers
    /// metrics-server ready. *Time to ready* means this milestone, also for a
    /// Service that publishes addresses that are not ready.
    PodReady,
    /// The Service's EndpointSlice holds a ready address.
    EndpointPublished,
    /// The APIService's Available condition became true.
    ApiServiceAvailable,
    /// A list of metrics was answered 200 through the API server, to the
    /// witness or to any client. *Time to first API 200* means this one.
    FirstApi200,
    /// The list of nodes held every node that the cluster then had.
    FirstCompleteAnswer,
}

impl Milestone {
    /// All, in order.
    pub const ALL: [Self; 10] = [
        Self::ProcessStarted,
        Self::PortBound,
        Self::InformersSynced,
        Self::FirstScrapeStored,
        Self::Readyz200,
        Self::PodReady,
        Self::EndpointPublished,
        Self::ApiServiceAvailable,
        Self::FirstApi200,
        Self::FirstCompleteAnswer,
    ];

    /// Its name in scenarios and JSON: `podReady`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ProcessStarted => "processStarted",
            Self::PortBound => "portBound",
            Self::InformersSynced => "informersSynced",
            Self::FirstScrapeStored => "firstScrapeStored",
            Self::Readyz200 => "readyz200",
            Self::PodReady => "podReady",
            Self::EndpointPublished => "endpointPublished",
            Self::ApiServiceAvailable => "apiServiceAvailable",
            Self::FirstApi200 => "firstApi200",
            Self::FirstCompleteAnswer => "firstCompleteAnswer",
        }
    }

    /// Its name in reports that people read.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ProcessStarted => "process started",
            Self::PortBound => "port bound",
            Self::InformersSynced => "informers synced",
            Self::FirstScrapeStored => "first scrape stored",
            Self::Readyz200 => "/readyz answers 200",
            Self::PodReady => "pod Ready",
            Self::EndpointPublished => "endpoint published",
            Self::ApiServiceAvailable => "APIService Available",
            Self::FirstApi200 => "first 200 through the API server",
            Self::FirstCompleteAnswer => "first complete list of nodes",
        }
    }

    /// The milestone of this name. `timeToReady` and `timeToFirstApi200` name
    /// the milestones that they measure.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "timeToReady" => Some(Self::PodReady),
            "timeToFirstApi200" => Some(Self::FirstApi200),
            _ => Self::ALL
                .into_iter()
                .find(|milestone| milestone.name() == name),
        }
    }
}

/// When each milestone was reached first, in nanoseconds since the first
/// start of the process. An object with all ten names in JSON, `null` where a
/// milestone was never reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Milestones([Option<u64>; Milestone::ALL.len()]);

impl Milestones {
    /// When `milestone` was reached, if it was.
    #[must_use]
    pub fn at(&self, milestone: Milestone) -> Option<u64> {
        self.0[milestone as usize]
    }

    /// All ten, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Milestone, Option<u64>)> + '_ {
        Milestone::ALL
            .into_iter()
            .map(|milestone| (milestone, self.at(milestone)))
    }

    fn reach(&mut self, milestone: Milestone, at: u64) {
        self.0[milestone as usize].get_or_insert(at);
    }
}

/// The virtual time from which a run's times are counted: the first start of
/// the process; the pod's creation if the process never started; else zero.
#[must_use]
pub fn origin_ns(trace: &Trace) -> u64 {
    let first = |wanted: fn(&Event) -> bool| {
        trace
            .records
            .iter()
            .find(|record| wanted(&record.event))
            .map(|record| record.t)
    };
    first(|event| matches!(event, Event::ProcessStarted { .. }))
        .or_else(|| first(|event| matches!(event, Event::PodCreated)))
        .unwrap_or(0)
}

/// The first occurrence of each milestone in `trace`.
#[must_use]
pub fn milestones(case: &Case, trace: &Trace) -> Milestones {
    let origin = origin_ns(trace);
    let mut reached = Milestones::default();
    for record in &trace.records {
        for milestone in reached_by(case, record).into_iter().flatten() {
            reached.reach(milestone, record.t.saturating_sub(origin));
        }
    }
    reached
}

/// The milestones that a record shows to be reached: at most two.
fn reached_by(case: &Case, record: &Record) -> [Option<Milestone>; 2] {
    let only = |milestone| [Some(milestone), None];
    match &record.event {
        Event::ProcessStarted { .. } => only(Milestone::ProcessStarted),
        Event::PortBound { .. } => only(Milestone::PortBound),
        Event::InformersSynced => only(Milestone::InformersSynced),
        Event::TickStored { nodes, pods, .. } if *nodes > 0 || *pods > 0 => {
            only(Milestone::FirstScrapeStored)
        }
        Event::PodCondition {
            condition,
            status: true,
            ..
        } if condition == "Ready" => only(Milestone::PodReady),
        Event::EndpointSlice { ready, .. } if !ready.is_empty() => {
            only(Milestone::EndpointPublished)
        }
        Event::ApiService { status, .. } if status == "True" => {
            only(Milestone::ApiServiceAvailable)
        }
        Event::Witness {
            target,
            outcome,
            nodes,
            ..
        } if outcome == "200" => [
            reached_by_answer(case, target),
            (lists_nodes(target) && is_complete(case, record.t, nodes))
                .then_some(Milestone::FirstCompleteAnswer),
        ],
        Event::Response {
            target, outcome, ..
        } if outcome == "200" => [reached_by_answer(case, target), None],
        _ => [None, None],
    }
}

fn reached_by_answer(case: &Case, target: &str) -> Option<Milestone> {
    match path(target) {
        path if path == case.readiness_path() => Some(Milestone::Readyz200),
        _ if lists_nodes(target) || lists_pods(target) => Some(Milestone::FirstApi200),
        _ => None,
    }
}

/// Whether `target` is the list of nodes in the metrics API.
pub(crate) fn lists_nodes(target: &str) -> bool {
    in_metrics_group(target) == Some("nodes")
}

/// Whether `target` is the list of all pods in the metrics API.
pub(crate) fn lists_all_pods(target: &str) -> bool {
    in_metrics_group(target) == Some("pods")
}

/// Whether `target` is a list of pods in the metrics API, of one namespace or
/// of all.
pub(crate) fn lists_pods(target: &str) -> bool {
    match in_metrics_group(target) {
        Some("pods") => true,
        Some(rest) => {
            let mut parts = rest.split('/');
            parts.next() == Some("namespaces")
                && parts.next().is_some()
                && parts.next() == Some("pods")
                && parts.next().is_none()
        }
        None => false,
    }
}

/// What follows the group and version, without a query.
fn in_metrics_group(target: &str) -> Option<&str> {
    path(target).strip_prefix("/apis/metrics.k8s.io/v1beta1/")
}

fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

fn is_complete(case: &Case, t: u64, listed: &[String]) -> bool {
    let listed: BTreeSet<_> = listed.iter().collect();
    let mut present = case
        .nodes
        .iter()
        .filter(|node| node.present_at(t))
        .peekable();
    present.peek().is_some() && present.all(|node| listed.contains(&node.name))
}

impl Serialize for Milestones {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (milestone, at) in self.iter() {
            map.serialize_entry(milestone.name(), &at)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Milestones {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = BTreeMap::<String, Option<u64>>::deserialize(deserializer)?;
        let mut reached = Self::default();
        for milestone in Milestone::ALL {
            if let Some(Some(at)) = named.get(milestone.name()) {
                reached.reach(milestone, *at);
            }
        }
        Ok(reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{NodeBrief, Stay};

    const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";

    fn trace(events: Vec<(u64, Event)>) -> Trace {
        let record = |(seq, (t, event))| Record {
            t,
            seq: seq as u64,
            host: "world".to_owned(),
            event,
        };
        Trace {
            records: events.into_iter().enumerate().map(record).collect(),
        }
    }

    fn witness(target: &str, outcome: &str, nodes: &[&str]) -> Event {
        Event::Witness {
            target: target.to_owned(),
            outcome: outcome.to_owned(),
            text: String::new(),
            nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
            pods: Vec::new(),
        }
    }

    fn available() -> Event {
        Event::ApiService {
            status: "True".to_owned(),
            reason: "Passed".to_owned(),
            message: String::new(),
        }
    }

    #[test]
    fn times_count_from_the_first_start_and_what_came_before_is_zero() {
        let reached = milestones(
            &Case::default(),
            &trace(vec![
                (3, available()),
                (10, Event::ProcessStarted { restart: 0 }),
                (
                    14,
                    Event::PortBound {
                        address: "[::]:10250".to_owned(),
                    },
                ),
                (20, Event::ProcessStarted { restart: 1 }),
                (
                    24,
                    Event::PortBound {
                        address: "[::]:10250".to_owned(),
                    },
                ),
            ]),
        );
        assert_eq!(reached.at(Milestone::ProcessStarted), Some(0));
        assert_eq!(reached.at(Milestone::PortBound), Some(4));
        assert_eq!(reached.at(Milestone::ApiServiceAvailable), Some(0));
        assert_eq!(reached.at(Milestone::PodReady), None);
    }

    #[test]
    fn an_answer_is_complete_when_it_holds_every_node_present() {
        let node = |name: &str, from_ns| NodeBrief {
            name: name.to_owned(),
            stays: vec![Stay {
                from_ns,
                to_ns: None,
            }],
            ..NodeBrief::default()
        };
        let case = Case {
            nodes: vec![node("a", 0), node("b", 0), node("late", 100)],
            ..Case::default()
        };
        let reached = milestones(
            &case,
            &trace(vec![
                (0, Event::ProcessStarted { restart: 0 }),
                (1, witness(NODES, "503", &[])),
                (2, witness(NODES, "200", &["a"])),
                (3, witness(NODES, "200", &["a", "b"])),
            ]),
        );
        assert_eq!(reached.at(Milestone::FirstApi200), Some(2));
        assert_eq!(reached.at(Milestone::FirstCompleteAnswer), Some(3));
    }

    #[test]
    fn an_empty_tick_and_a_discovery_answer_reach_nothing() {
        let empty = Event::TickStored {
            tick: 1,
            nodes: 0,
            pods: 0,
            servable_nodes: 0,
            servable_pods: 0,
        };
        let reached = milestones(
            &Case::default(),
            &trace(vec![
                (0, Event::ProcessStarted { restart: 0 }),
                (1, empty),
                (2, witness("/apis/metrics.k8s.io/v1beta1", "200", &[])),
            ]),
        );
        assert_eq!(reached.iter().filter(|(_, at)| at.is_some()).count(), 1);
    }

    #[test]
    fn lists_are_told_from_single_objects() {
        assert!(lists_nodes("/apis/metrics.k8s.io/v1beta1/nodes?limit=500"));
        assert!(!lists_nodes("/apis/metrics.k8s.io/v1beta1/nodes/pi"));
        assert!(lists_pods("/apis/metrics.k8s.io/v1beta1/pods"));
        assert!(lists_pods(
            "/apis/metrics.k8s.io/v1beta1/namespaces/web/pods?labelSelector=a%3Db"
        ));
        assert!(!lists_pods(
            "/apis/metrics.k8s.io/v1beta1/namespaces/web/pods/one"
        ));
    }

    #[test]
    fn json_has_all_ten_names_in_order_and_reads_back() {
        let mut reached = Milestones::default();
        reached.reach(Milestone::ProcessStarted, 0);
        reached.reach(Milestone::PodReady, 22_100_000_000);
        let json = serde_json::to_string(&reached).expect("serialisable");
        assert_eq!(
            json,
            "{\"processStarted\":0,\"portBound\":null,\"informersSynced\":null,\
             \"firstScrapeStored\":null,\"readyz200\":null,\"podReady\":22100000000,\
             \"endpointPublished\":null,\"apiServiceAvailable\":null,\"firstApi200\":null,\
             \"firstCompleteAnswer\":null}"
        );
        assert_eq!(
            serde_json::from_str::<Milestones>(&json).expect("readable"),
            reached
        );
    }
}
