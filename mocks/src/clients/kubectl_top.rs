//! `kubectl top nodes`, again and again.
//!
//! Source: `kubectl/pkg/cmd/top/top_node.go`, `kubectl/pkg/cmd/util/helpers.go`.

use std::collections::BTreeMap;
use std::rc::Rc;

use http::uri::PathAndQuery;
use seam::Host;
use serde::Deserialize;
use tokio::time::Instant;

use super::groups::{self, Listing};
use super::rest::{Answer, JSON, Rest, RestError, Subject};
use super::table::{self, Resources};
use super::{Entry, Grid, NODES, Restarted, Timetable};
use crate::event::{Event, Observer, Outcome, Recorder};

pub(super) const USER_AGENT: &str = "kubectl/v1.36.0 (linux/amd64) kubernetes/0000000";

/// What one call printed, and which request decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) target: String,
    pub(super) outcome: Outcome,
    /// Exit code.
    pub(super) code: u8,
    /// Standard output if the code is 0, standard error otherwise.
    pub(super) text: String,
}

impl Printed {
    /// As reports show it.
    pub(super) fn event(self, asked: Instant) -> Event {
        Event::Response {
            observer: Observer::KubectlTop,
            text: first_line(&self.text),
            target: self.target,
            outcome: self.outcome,
            took: asked.elapsed(),
        }
    }
}

/// Calls `kubectl top nodes` for ever.
///
/// Each call becomes one [`Event::Response`]: the target and outcome are those
/// of the request that decided what was printed; the text is the error, or the
/// table's first line.
///
/// DIFFERENCE: where discovery decides, the outcome is what discovery says of
/// the metrics API: 503 if it is stale, 404 if it is absent, as a request for
/// `/apis/metrics.k8s.io/v1beta1` is answered. The document that says so is a
/// 200, which nobody who counts successes wants to see.
pub async fn run(host: Host, entry: Entry, timetable: Timetable, recorder: Rc<dyn Recorder>) {
    let kubectl = Restarted::new(&host, entry, USER_AGENT);
    let mut grid = Grid::new(timetable);
    loop {
        grid.next().await;
        let asked = Instant::now();
        let printed = top_nodes(&kubectl.next()).await;
        recorder.record(host.name(), printed.event(asked));
    }
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

/// Where a server tells what the group version consists of.
const GROUP_PATH: &str = "/apis/metrics.k8s.io/v1beta1";
/// Source: `top_node.go RunTopNode`.
const UNAVAILABLE: &str = "Metrics API not available";

/// Source: `top_node.go RunTopNode`.
async fn top_nodes(rest: &Rest) -> Printed {
    if let Some(printed) = without_metrics_api(rest).await {
        return printed;
    }
    let path = PathAndQuery::from_static(NODES);
    let metrics = match rest
        .get(&path, JSON, Subject::Get("nodes.metrics.k8s.io"))
        .await
    {
        Err(error) => return failed(NODES, &error),
        Ok(answer) => usages(&answer),
    };
    if metrics.is_empty() {
        return complaint(NODES, 200, "metrics not available yet");
    }
    let path = PathAndQuery::from_static("/api/v1/nodes");
    match rest.get(&path, JSON, Subject::Get("nodes")).await {
        Err(error) => failed("/api/v1/nodes", &error),
        Ok(answer) => Printed {
            target: NODES.to_owned(),
            outcome: Outcome::Status(200),
            code: 0,
            text: table::nodes(&metrics, allocatable(&answer)),
        },
    }
}

/// What is printed if discovery says that there are no metrics.
///
/// Source: `top_node.go RunTopNode`, `top_pod.go RunTopPod`.
pub(super) async fn without_metrics_api(rest: &Rest) -> Option<Printed> {
    if let Err(error) = groups::legacy_api(rest).await {
        return Some(failed("/api", &error));
    }
    match groups::apis(rest).await {
        Err(error) => Some(failed("/apis", &error)),
        Ok(Listing::Absent) => Some(complaint(GROUP_PATH, 404, UNAVAILABLE)),
        Ok(Listing::Stale) => Some(complaint(GROUP_PATH, 503, UNAVAILABLE)),
        Ok(Listing::Current(_) | Listing::Legacy) => None,
    }
}

pub(super) fn complaint(target: &str, status: u16, text: &str) -> Printed {
    Printed {
        target: target.to_owned(),
        outcome: Outcome::Status(status),
        code: 1,
        text: format!("error: {text}"),
    }
}

pub(super) fn failed(target: &str, error: &RestError) -> Printed {
    Printed {
        target: target.to_owned(),
        outcome: error.outcome(),
        code: 1,
        text: error_text(error),
    }
}

/// Source: `kubectl/pkg/cmd/util/helpers.go StandardErrorMessage`.
fn error_text(error: &RestError) -> String {
    match error {
        RestError::Api(error) => match error.reason.as_str() {
            "" => format!("Error from server: {}", error.message),
            "Unauthorized" => {
                format!(
                    "error: You must be logged in to the server ({})",
                    error.message
                )
            }
            reason => format!("Error from server ({reason}): {}", error.message),
        },
        RestError::Transport(error) if error.text.contains("connection refused") => {
            let url = error.url();
            let server = url.split('/').nth(2).unwrap_or(url);
            format!(
                "The connection to the server {server} was refused - did you specify the right \
                 host or port?"
            )
        }
        RestError::Transport(error) => {
            format!("Unable to connect to the server: {}", error.text)
        }
    }
}

fn usages(answer: &Answer) -> BTreeMap<String, Resources> {
    #[derive(Deserialize)]
    struct Item {
        metadata: Metadata,
        usage: Resources,
    }
    let items = items::<Item>(&answer.body);
    items
        .into_iter()
        .map(|item| (item.metadata.name, item.usage))
        .collect()
}

fn allocatable(answer: &Answer) -> BTreeMap<String, Resources> {
    #[derive(Deserialize)]
    struct Item {
        metadata: Metadata,
        #[serde(default)]
        status: Status,
    }
    #[derive(Deserialize, Default)]
    struct Status {
        #[serde(default)]
        allocatable: Resources,
    }
    let items = items::<Item>(&answer.body);
    items
        .into_iter()
        .map(|item| (item.metadata.name, item.status.allocatable))
        .collect()
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

pub(super) fn items<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Vec<T> {
    #[derive(Deserialize)]
    struct List<T> {
        items: Vec<T>,
    }
    serde_json::from_slice::<List<T>>(body).map_or_else(|_| Vec::new(), |list| list.items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    use http::header::CONTENT_TYPE;
    use http::{HeaderValue, Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;

    use super::super::ApiAccess;
    use crate::http_client::testing::{Pipes, TestClock, answer, any_tls, paused, plain, serve};

    /// A phase of the API server.
    #[derive(Clone, Copy)]
    enum Phase {
        NoApiService,
        Stale,
        BackendGone,
        Empty,
        Serving,
    }

    fn json(body: &str, form: &'static str) -> Response<Full<bytes::Bytes>> {
        let mut response = answer(200, body);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(form));
        response
    }

    fn api(phase: Phase, request: &Request<Incoming>) -> Response<Full<bytes::Bytes>> {
        let form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let version = |freshness: &str| {
            format!(
                r#"{{"items":[{{"metadata":{{"name":"metrics.k8s.io"}},
                "versions":[{{"version":"v1beta1","freshness":"{freshness}"}}]}}]}}"#
            )
        };
        match (request.uri().path(), phase) {
            ("/api", _) | ("/apis", Phase::NoApiService) => json(r#"{"items":[]}"#, form),
            ("/apis", Phase::Stale) => json(&version("Stale"), form),
            ("/apis", _) => json(&version("Current"), form),
            ("/api/v1/nodes", _) => json(
                r#"{"items":[{"metadata":{"name":"node-1"},
                "status":{"allocatable":{"cpu":"4","memory":"16Gi"}}}]}"#,
                JSON,
            ),
            (_, Phase::Empty) => json(r#"{"items":[]}"#, JSON),
            (_, Phase::Serving) => json(
                r#"{"items":[{"metadata":{"name":"node-1"},
                "usage":{"cpu":"299999999n","memory":"1464844Ki"}}]}"#,
                JSON,
            ),
            _ => {
                let mut response = answer(503, "error trying to reach service: EOF\n");
                let form = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(CONTENT_TYPE, form);
                response
            }
        }
    }

    /// The texts and exit codes of recording E14.
    #[test]
    fn every_phase_prints_what_was_recorded() {
        paused(async {
            let host = Pipes::new().host("laptop", &TestClock::new());
            let target = plain("10.43.0.1:443");
            let access = ApiAccess {
                target: target.clone(),
                tls: any_tls(&host),
                token: None,
            };
            let rest = Rest::new(&host, access, USER_AGENT);
            let refused = top_nodes(&rest).await;
            assert_eq!((refused.outcome, refused.code), (Outcome::Refused, 1));
            assert_eq!(
                refused.text,
                "The connection to the server 10.43.0.1:443 was refused - did you specify the \
                 right host or port?"
            );

            let phase = Rc::new(Cell::new(Phase::NoApiService));
            let now = Rc::clone(&phase);
            let handler = move |request: &Request<Incoming>| api(now.get(), request);
            serve(&host, target.address, Rc::new(handler)).await;
            let unavailable = "error: Metrics API not available";
            let gone = "Error from server (ServiceUnavailable): the server is currently unable to \
                        handle the request (get nodes.metrics.k8s.io)";
            let shown = "NAME     CPU(cores)   CPU(%)   MEMORY(bytes)   MEMORY(%)   \n\
                         node-1   300m         7%       1430Mi          8%          \n";
            for (now, target, outcome, code, text) in [
                (Phase::NoApiService, GROUP_PATH, 404, 1, unavailable),
                (Phase::Stale, GROUP_PATH, 503, 1, unavailable),
                (Phase::BackendGone, NODES, 503, 1, gone),
                (
                    Phase::Empty,
                    NODES,
                    200,
                    1,
                    "error: metrics not available yet",
                ),
                (Phase::Serving, NODES, 200, 0, shown),
            ] {
                phase.set(now);
                let outcome = Outcome::Status(outcome);
                let (text, target) = (text.to_owned(), target.to_owned());
                assert_eq!(
                    top_nodes(&rest).await,
                    Printed {
                        target,
                        outcome,
                        code,
                        text
                    }
                );
            }
        });
    }

    #[test]
    fn a_user_without_credentials_is_told_to_log_in() {
        let error = super::super::rest::ApiError {
            code: 401,
            reason: "Unauthorized".to_owned(),
            message: "Unauthorized".to_owned(),
        };
        assert_eq!(
            error_text(&RestError::Api(error)),
            "error: You must be logged in to the server (Unauthorized)"
        );
    }
}
