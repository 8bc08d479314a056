//! Looks at readiness and at the metrics API the moment they may have changed.
//!
//! No such client exists in a cluster. It tells when something *was* so, where
//! a client only tells when it was first seen.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use http::uri::PathAndQuery;
use seam::Host;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::rest::{JSON, Rest};
use super::{ApiAccess, NODES, PODS};
use crate::event::{Event, Outcome, Recorder};
use crate::http_client::Timeouts;

/// What it calls itself.
pub const USER_AGENT: &str = "firstlight-witness";

/// What the witness looks at, and how.
#[derive(Debug, Clone)]
pub struct WitnessConfig {
    /// metrics-server itself, nothing verified, no credentials; absent where
    /// its pods are looked at one by one: see [`Witness::look_at`].
    pub metrics_server: Option<ApiAccess>,
    /// The path that tells whether it is ready: `/readyz`, of old `/healthz`.
    pub readiness: &'static str,
    /// The API server, as somebody who may list everything.
    pub api_server: ApiAccess,
    /// How long after [`Change::Routing`] it looks a second time: longer than a
    /// change takes from the API server's store to its routing.
    pub settle: Duration,
    /// How long it waits for an answer.
    pub patience: Duration,
}

/// What may have changed, hence where the witness looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Anything, on either side of the aggregation layer.
    Routing,
    /// A tick was stored: `/readyz`, and the lists if other subjects than
    /// before can be served.
    Stored {
        /// Whether they are others.
        others: bool,
    },
}

/// A handle to the witness. Cloning gives another.
#[derive(Clone)]
pub struct Witness {
    shared: Rc<Shared>,
}

struct Shared {
    host: Host,
    settle: Duration,
    patience: Duration,
    recorder: Rc<dyn Recorder>,
    bells: RefCell<Vec<Rc<Bell>>>,
}

/// Calls the witness to one of its places.
#[derive(Debug)]
struct Bell {
    rung: Notify,
    /// Whether the place is a list, and not `/readyz`.
    is_list: bool,
    /// Whether to look again after [`WitnessConfig::settle`].
    twice: Cell<bool>,
}

/// What was seen at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sight {
    outcome: Outcome,
    /// The error, or the body of an answer other than 200 without the newline
    /// at its end.
    text: String,
    names: Vec<String>,
}

impl Witness {
    /// Starts the witness on `host`. It looks once at the start.
    ///
    /// [`Event::Witness`] is recorded for what differs from the last look.
    #[must_use]
    pub fn start(host: &Host, config: &WitnessConfig, recorder: &Rc<dyn Recorder>) -> Self {
        let witness = Self {
            shared: Rc::new(Shared {
                host: host.clone(),
                settle: config.settle,
                patience: config.patience,
                recorder: Rc::clone(recorder),
                bells: RefCell::default(),
            }),
        };
        if let Some(metrics_server) = &config.metrics_server {
            witness.watch(config.readiness, metrics_server.clone(), host.name());
        }
        for path in [NODES, PODS] {
            witness.watch(path, config.api_server.clone(), host.name());
        }
        witness
    }

    /// Looks from now on at the path that tells whether one of several pods is
    /// ready. What it sees is recorded as seen on the host `pod`.
    pub fn look_at(&self, pod: &str, readiness: &'static str, access: ApiAccess) {
        self.watch(readiness, access, pod);
    }

    fn watch(&self, path: &'static str, access: ApiAccess, recorded_as: &str) {
        let shared = &self.shared;
        let timeouts = Timeouts {
            total: Some(shared.patience),
            ..Timeouts::default()
        };
        let place = Place {
            rest: Rest::with_timeouts(&shared.host, access, USER_AGENT, timeouts),
            path,
            recorder: Rc::clone(&shared.recorder),
            host: recorded_as.to_owned(),
            last: None,
        };
        let bell = Rc::new(Bell {
            rung: Notify::new(),
            is_list: path == NODES || path == PODS,
            twice: Cell::new(true),
        });
        shared.bells.borrow_mut().push(Rc::clone(&bell));
        let settle = shared.settle;
        shared
            .host
            .spawn(async move { place.watch(&bell, settle).await });
    }

    /// Something may have changed: look. Calls that come while it looks are
    /// answered by one more look.
    pub fn look(&self, change: Change) {
        for bell in &*self.shared.bells.borrow() {
            if !bell.is_list || change != (Change::Stored { others: false }) {
                bell.ring(change == Change::Routing);
            }
        }
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

impl Bell {
    fn ring(&self, twice: bool) {
        if twice {
            self.twice.set(true);
        }
        self.rung.notify_one();
    }
}

/// One thing that is looked at.
struct Place {
    rest: Rest,
    path: &'static str,
    recorder: Rc<dyn Recorder>,
    host: String,
    last: Option<Sight>,
}

impl Place {
    async fn watch(mut self, bell: &Bell, settle: Duration) {
        loop {
            self.look().await;
            if bell.twice.take() {
                sleep(settle).await;
                self.look().await;
            }
            bell.rung.notified().await;
        }
    }

    async fn look(&mut self) {
        let sight = self.see().await;
        if self.last.as_ref() == Some(&sight) {
            return;
        }
        let names = sight.names.clone();
        let (nodes, pods) = match self.path {
            NODES => (names, Vec::new()),
            _ => (Vec::new(), names),
        };
        let event = Event::Witness {
            target: self.path.to_owned(),
            outcome: sight.outcome,
            text: sight.text.clone(),
            nodes,
            pods,
        };
        self.recorder.record(&self.host, event);
        self.last = Some(sight);
    }

    async fn see(&self) -> Sight {
        let path = PathAndQuery::from_static(self.path);
        let (outcome, text, names) = match self.rest.send(&path, JSON).await {
            Err(error) => (error.outcome, error.to_string(), Vec::new()),
            Ok(response) => {
                let outcome = Outcome::Status(response.status.as_u16());
                match response.status {
                    StatusCode::OK => (outcome, String::new(), names(&response.body)),
                    _ => (outcome, text(&response.body), Vec::new()),
                }
            }
        };
        Sight {
            outcome,
            text,
            names,
        }
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim_end().to_owned()
}

/// The names in a list, with their namespaces if they have any.
fn names(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        items: Vec<Item<'a>>,
    }
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow)]
        metadata: Metadata<'a>,
    }
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow, default)]
        namespace: Cow<'a, str>,
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    let Ok(list) = serde_json::from_slice::<List<'_>>(body) else {
        return Vec::new();
    };
    let name = |item: Item<'_>| match &*item.metadata.namespace {
        "" => item.metadata.name.into_owned(),
        namespace => format!("{namespace}/{}", item.metadata.name),
    };
    list.items.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    use crate::http_client::testing::{
        Pipes, Recording, TestClock, answer, any_tls, paused, plain, serve,
    };

    #[test]
    fn only_changes_are_recorded_and_late_ones_are_caught() {
        paused(async {
            let host = Pipes::new().host("witness", &TestClock::new());
            let (backend, api) = (plain("10.42.0.9:10250"), plain("10.43.0.1:443"));
            let available = Rc::new(Cell::new(false));
            let now = Rc::clone(&available);
            let asked: Rc<Cell<u32>> = Rc::default();
            let count = Rc::clone(&asked);
            let handler = move |request: &http::Request<_>| {
                count.set(count.get() + 1);
                match (request.uri().path(), now.get()) {
                    (_, false) => answer(503, "service unavailable\n"),
                    (NODES, true) => answer(200, r#"{"items":[{"metadata":{"name":"pi"}}]}"#),
                    _ => answer(
                        200,
                        r#"{"items":[{"metadata":{"namespace":"load","name":"p"}}]}"#,
                    ),
                }
            };
            serve(&host, api.address, Rc::new(handler)).await;
            let access = |target: &Rc<_>| ApiAccess {
                target: Rc::clone(target),
                tls: any_tls(&host),
                token: None,
            };
            let config = WitnessConfig {
                metrics_server: Some(access(&backend)),
                readiness: "/readyz",
                api_server: access(&api),
                settle: Duration::from_millis(50),
                patience: Duration::from_secs(1),
            };
            let recording = Recording::new();
            let recorder = Rc::clone(&recording) as Rc<dyn Recorder>;
            let witness = Witness::start(&host, &config, &recorder);
            sleep(Duration::from_secs(1)).await;
            witness.look(Change::Routing);
            sleep(Duration::from_millis(20)).await;
            available.set(true);
            sleep(Duration::from_secs(1)).await;
            let requests_after = async |change| {
                let before = asked.get();
                witness.look(change);
                sleep(Duration::from_secs(1)).await;
                asked.get() - before
            };
            assert_eq!(requests_after(Change::Stored { others: false }).await, 0);
            assert_eq!(requests_after(Change::Stored { others: true }).await, 2);
            assert_eq!(requests_after(Change::Routing).await, 4);

            let mut seen = recording.picked(|event| match event {
                Event::Witness {
                    target,
                    outcome,
                    text,
                    nodes,
                    pods,
                } => Some((
                    target.clone(),
                    outcome.to_string(),
                    format!("{text}{}{}", nodes.concat(), pods.concat()),
                )),
                _ => None,
            });
            let refused = "Get \"http://10.42.0.9:10250/readyz\": \
                           dial tcp 10.42.0.9:10250: connect: connection refused";
            let expected = [
                (0, NODES, "503", "service unavailable"),
                (0, PODS, "503", "service unavailable"),
                (0, "/readyz", "refused", refused),
                (1_050, NODES, "200", "pi"),
                (1_050, PODS, "200", "load/p"),
            ];
            let owned = |(at, target, outcome, seen): (_, &str, &str, &str)| {
                (at, (target.to_owned(), outcome.to_owned(), seen.to_owned()))
            };
            seen.sort();
            assert_eq!(seen, expected.map(owned));
        });
    }
}
