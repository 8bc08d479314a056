//! Claims about nodes and pods in the lists of the metrics API.
//!
//! Only lists that were answered count: while nobody is answered, nothing is
//! served, and nothing is lost either; the responses tell that.

use serde::{Deserialize, Serialize};

use super::Evidence;
use super::bounds::{Bounds, Weighed};
use crate::milestone::{lists_all_pods, lists_nodes};
use crate::trace::{Event, Trace};
use crate::units::duration;

/// What is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Listed {
    /// A node, by its name.
    Node(String),
    /// A pod, `namespace/name`.
    Pod(String),
}

/// What is claimed of it. Times are nanoseconds since the first start of the
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Service {
    /// It is served, first within these bounds.
    First(Bounds),
    /// It is never served.
    Never,
    /// It is served, and later lost, first within these bounds.
    Lost(Bounds),
    /// It is served, and from then on in every list.
    Kept,
    /// Whether it is in the last list.
    AtEnd(bool),
}

/// How one node or pod was listed over time.
struct History {
    /// Whether there was any list to be in.
    answered: bool,
    first: Option<u64>,
    lost: Option<u64>,
    at_end: bool,
}

impl Listed {
    fn words(&self) -> String {
        match self {
            Self::Node(name) => format!("node {name}"),
            Self::Pod(name) => format!("pod {name}"),
        }
    }

    fn history(&self, trace: &Trace, origin: u64) -> History {
        let mut history = History {
            answered: false,
            first: None,
            lost: None,
            at_end: false,
        };
        for record in &trace.records {
            let Event::Witness {
                target,
                outcome,
                nodes,
                pods,
                ..
            } = &record.event
            else {
                continue;
            };
            let listed = match self {
                Self::Node(name) if lists_nodes(target) => nodes.contains(name),
                Self::Pod(name) if lists_all_pods(target) => pods.contains(name),
                _ => continue,
            };
            if outcome != "200" {
                continue;
            }
            let at = record.t.saturating_sub(origin);
            history.answered = true;
            history.at_end = listed;
            if listed {
                history.first.get_or_insert(at);
            } else if history.first.is_some() {
                history.lost.get_or_insert(at);
            }
        }
        history
    }
}

/// Holds a claim about a node or pod against the lists.
pub(super) fn weigh(what: &Listed, service: Service, evidence: &Evidence<'_>) -> Weighed {
    let history = what.history(evidence.trace, evidence.origin_ns);
    let subject = what.words();
    let shown = |label: &str, at: Option<u64>| match at {
        Some(at) => format!("{label} at {}", duration(at)),
        None => format!("never {label}"),
    };
    match service {
        Service::First(bounds) => {
            let want = wanted("served", bounds);
            weigh_time(
                subject,
                want,
                bounds,
                history.first,
                shown("served", history.first),
            )
        }
        Service::Never => {
            let got = shown("served", history.first);
            Weighed::holds(
                subject,
                history.first.is_none(),
                got,
                "never served".to_owned(),
            )
        }
        Service::Lost(bounds) => {
            let want = wanted("lost", bounds);
            if history.first.is_none() {
                return Weighed::inconclusive(subject, "never served".to_owned(), want);
            }
            weigh_time(
                subject,
                want,
                bounds,
                history.lost,
                shown("lost", history.lost),
            )
        }
        Service::Kept => {
            let want = "served and never lost".to_owned();
            match (history.first, history.lost) {
                (None, _) => {
                    let got = "never served".to_owned();
                    let fails = Weighed::holds(subject, false, got, want);
                    fails.by(None)
                }
                (Some(_), Some(lost)) => {
                    let got = format!("lost at {}", duration(lost));
                    Weighed::holds(subject, false, got, want)
                }
                (Some(first), None) => {
                    let got = format!("served from {}", duration(first));
                    Weighed::holds(subject, true, got, want)
                }
            }
        }
        Service::AtEnd(wanted) => {
            let subject = format!("{subject} at the end");
            let word = |served| if served { "served" } else { "not served" };
            if !history.answered {
                let got = "no list was ever answered".to_owned();
                return Weighed::inconclusive(subject, got, word(wanted).to_owned());
            }
            let (got, want) = (word(history.at_end), word(wanted));
            Weighed::holds(subject, got == want, got.to_owned(), want.to_owned())
        }
    }
}

fn wanted(label: &str, bounds: Bounds) -> String {
    if bounds.is_open() {
        label.to_owned()
    } else {
        format!("{label} {}", bounds.want(duration))
    }
}

fn weigh_time(
    subject: String,
    want: String,
    bounds: Bounds,
    at: Option<u64>,
    got: String,
) -> Weighed {
    match at {
        Some(at) => {
            Weighed::holds(subject, bounds.hold(at), got, want).by(bounds.missed_by(at, duration))
        }
        None => Weighed::holds(subject, false, got, want),
    }
}
