//! The horizontal pod autoscaler, with one HPA that wants CPU utilization.
//!
//! Source: `pkg/controller/podautoscaler/{horizontal,replica_calculator}.go`,
//! `metrics/client.go`.
//!
//! DIFFERENCE: it stops where the replica count would be computed; nothing is
//! scaled.

use std::rc::Rc;

use http::uri::PathAndQuery;
use seam::{Host, Timestamp};
use tokio::time::{Instant, sleep};

use super::pod_groups::{self, PodMetrics};
use super::rest::{JSON, Rest, Subject};
use super::{ApiAccess, Timetable};
use crate::event::{Event, Observer, Outcome, Recorder};
use crate::event_objects::{EventObjects, Involved};
use crate::pod::events::{EventLog, Severity};
use crate::store::{Store, bears};

const USER_AGENT: &str = "kube-controller-manager/v1.36.0 (linux/amd64) kubernetes/0000000/\
                          system:serviceaccount:kube-system:horizontal-pod-autoscaler";

/// The component that its Events come from.
const SOURCE: &str = "horizontal-pod-autoscaler";

/// Message of the condition `ScalingActive` while it is true.
const ACTIVE: &str = "the HPA was able to successfully calculate a replica count from cpu resource \
                      utilization (percentage of request)";

/// What an HPA scales: the pods of a namespace that bear all these labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleTarget {
    /// The namespace.
    pub namespace: String,
    /// The selector, as key and value; empty selects every pod.
    pub labels: Vec<(String, String)>,
}

impl ScaleTarget {
    /// The autoscaler's name: that of the application, where a label names it.
    fn name(&self) -> &str {
        let names = ["app.kubernetes.io/name", "app", "k8s-app"];
        let labelled = self
            .labels
            .iter()
            .find(|(key, _)| names.contains(&key.as_str()));
        labelled.map_or("autoscaler", |(_, value)| value)
    }
}

/// What one sync came to.
struct Synced {
    outcome: Outcome,
    /// The error, without what the controller puts before it.
    result: Result<(), String>,
}

/// Syncs the HPA for ever: a real one first 15 s after it was created, and
/// then 15 s after each sync's end.
/// Source: `rate_limiters.go NewDefaultHPARateLimiter`.
///
/// Each sync becomes one [`Event::Response`], whose text is the error chain or
/// the message of `ScalingActive`. A failure also makes the controller's
/// Events.
///
/// `store` stands for the controller's cache of pods. As in the controller, a
/// pod without `status.startTime` or without a Ready condition counts as
/// unready, and its metrics are not used.
pub async fn run(
    host: Host,
    access: ApiAccess,
    timetable: Timetable,
    target: ScaleTarget,
    store: Store,
    recorder: Rc<dyn Recorder>,
) {
    let rest = Rest::new(&host, access, USER_AGENT);
    let about = Involved {
        kind: "HorizontalPodAutoscaler",
        api_version: "autoscaling/v2",
        resource: "horizontalpodautoscalers",
        namespace: Some(target.namespace.clone()),
        name: target.name().to_owned(),
    };
    // An autoscaler that gets this far has the API server's lists.
    let objects = EventObjects::new(&host, &store, about, Rc::new(|| true));
    let events = EventLog::new(host.name(), Rc::clone(&recorder), objects);
    let path = request_path(&target);
    timetable.first.come().await;
    loop {
        let asked = Instant::now();
        let synced = sync(&rest, &path, &target, &store, &host).await;
        let took = asked.elapsed();
        let text = match synced.result {
            Ok(()) => ACTIVE.to_owned(),
            Err(error) => {
                complain(&events, &error);
                error
            }
        };
        let event = Event::Response {
            observer: Observer::Hpa,
            target: path.as_str().to_owned(),
            outcome: synced.outcome,
            text,
            took,
        };
        recorder.record(host.name(), event);
        sleep(timetable.every).await;
    }
}

/// Source: `horizontal.go reconcileAutoscaler`, `computeReplicasForMetrics`.
fn complain(events: &EventLog, error: &str) {
    let warn = |reason, text| events.record(SOURCE, Severity::Warning, reason, text);
    warn("FailedGetResourceMetric", error.to_owned());
    warn(
        "FailedComputeMetricsReplicas",
        format!(
            "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource \
             metric value: {error}"
        ),
    );
}

async fn sync(
    rest: &Rest,
    path: &PathAndQuery,
    target: &ScaleTarget,
    store: &Store,
    host: &Host,
) -> Synced {
    let subject = Subject::Get("pods.metrics.k8s.io");
    let (outcome, result) = match rest.get(path, JSON, subject).await {
        Err(error) => {
            let text = format!("unable to fetch metrics from resource metrics API: {error}");
            (error.outcome(), Err(unavailable(&text)))
        }
        Ok(answer) => {
            let outcome = Outcome::Status(answer.status);
            let metrics = pod_groups::metrics(&answer.body);
            (outcome, evaluate(metrics, target, store, host.now()))
        }
    };
    let result = result.map_err(|error| format!("failed to get cpu utilization: {error}"));
    Synced { outcome, result }
}

fn unavailable(cause: &str) -> String {
    format!("unable to get metrics for resource cpu: {cause}")
}

/// Source: `metrics/client.go GetResourceMetric`,
/// `replica_calculator.go GetResourceReplicas`.
fn evaluate(
    metrics: Option<PodMetrics>,
    target: &ScaleTarget,
    store: &Store,
    now: Timestamp,
) -> Result<(), String> {
    let mut metrics =
        metrics.ok_or_else(|| unavailable("no metrics returned from resource metrics API"))?;
    let pods = store.select("pods", &target.namespace, |pod| bears(pod, &target.labels));
    if pods.is_empty() {
        return Err("no pods returned by selector while calculating replica count".to_owned());
    }
    pod_groups::leave_ready(&mut metrics, &pods, now);
    match metrics.is_empty() {
        true => Err("did not receive metrics for targeted pods (pods might be unready)".to_owned()),
        false => Ok(()),
    }
}

fn request_path(target: &ScaleTarget) -> PathAndQuery {
    let selector: Vec<String> = target
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mut path = format!(
        "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods",
        target.namespace
    );
    if !selector.is_empty() {
        path.push_str("?labelSelector=");
        path.push_str(&query_escape(&selector.join(",")));
    }
    PathAndQuery::try_from(path).expect("names and labels need no other escapes")
}

/// Source: Go `net/url.QueryEscape`, for what labels may consist of.
fn query_escape(text: &str) -> String {
    text.replace('=', "%3D")
        .replace(',', "%2C")
        .replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::cell::RefCell;
    use std::time::Duration;
    use tokio::time::Instant;

    use crate::http_client::testing::{
        Pipes, Recording, TestClock, answer, any_tls, paused, plain, serve,
    };

    const PATH: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/load/pods?labelSelector=app%3Dweb";

    fn web_pod() -> Value {
        json!({
            "metadata": {"namespace": "load", "name": "web", "labels": {"app": "web"}},
            "status": {
                "phase": "Running",
                "startTime": "2026-11-23T08:00:00Z",
                "conditions": [{
                    "type": "Ready", "status": "True",
                    "lastTransitionTime": "2026-11-23T08:00:10Z",
                }],
            },
        })
    }

    /// What the autoscaler says about this answer: outcome, text, Events.
    async fn say(status: u16, body: &'static str) -> (Outcome, String, Vec<String>) {
        let host = Pipes::new().host("control-plane", &TestClock::new());
        let target = plain("10.43.0.1:443");
        let paths = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&paths);
        let handler = move |request: &http::Request<_>| {
            seen.borrow_mut().push(request.uri().to_string());
            answer(status, body)
        };
        serve(&host, target.address, Rc::new(handler)).await;
        let recording = Recording::new();
        let store = Store::new();
        store.put("pods", web_pod());
        let timetable = Timetable {
            first: (Instant::now() + Duration::from_secs(15)).into(),
            every: Duration::from_secs(15),
        };
        let scaled = ScaleTarget {
            namespace: "load".to_owned(),
            labels: vec![("app".to_owned(), "web".to_owned())],
        };
        let access = ApiAccess {
            target,
            tls: any_tls(&host),
            token: None,
        };
        let recorder = Rc::clone(&recording) as Rc<dyn Recorder>;
        host.spawn(run(
            host.clone(),
            access,
            timetable,
            scaled,
            store,
            recorder,
        ));
        sleep(Duration::from_secs(16)).await;
        assert_eq!(*paths.borrow(), [PATH]);
        let mut responses = recording.picked(|event| match event {
            Event::Response { outcome, text, .. } => Some((*outcome, text.clone())),
            _ => None,
        });
        let events = recording.picked(|event| match event {
            Event::Kubernetes {
                reason, message, ..
            } => Some(format!("{reason}: {message}")),
            _ => None,
        });
        let (at, (outcome, text)) = responses.remove(0);
        assert_eq!(at, 15_000);
        (
            outcome,
            text,
            events.into_iter().map(|(_, event)| event).collect(),
        )
    }

    #[test]
    fn an_unavailable_api_gives_the_known_chain_and_two_events() {
        paused(async {
            let (outcome, text, events) = say(503, "service unavailable\n").await;
            let chain = "failed to get cpu utilization: unable to get metrics for resource cpu: \
                         unable to fetch metrics from resource metrics API: the server is \
                         currently unable to handle the request (get pods.metrics.k8s.io)";
            assert_eq!(outcome, Outcome::Status(503));
            assert_eq!(text, chain);
            assert_eq!(
                events,
                [
                    format!("FailedGetResourceMetric: {chain}"),
                    format!(
                        "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first \
                         error is: failed to get cpu resource metric value: {chain}"
                    ),
                ]
            );
        });
    }

    #[test]
    fn a_missing_api_and_an_empty_list_have_their_own_causes() {
        for (status, body, cause) in [
            (
                404,
                "404 page not found\n",
                "unable to fetch metrics from resource metrics API: the server could not find the \
                 requested resource (get pods.metrics.k8s.io)",
            ),
            (
                200,
                r#"{"items":[]}"#,
                "no metrics returned from resource metrics API",
            ),
        ] {
            paused(async move {
                let (outcome, text, _) = say(status, body).await;
                assert_eq!(outcome, Outcome::Status(status));
                assert_eq!(
                    text,
                    format!(
                        "failed to get cpu utilization: unable to get metrics for resource cpu: \
                         {cause}"
                    )
                );
            });
        }
    }

    #[test]
    fn metrics_of_a_ready_pod_are_enough() {
        paused(async {
            let body = r#"{"items":[{"metadata":{"name":"web"},
                "timestamp":"2026-11-23T09:22:10Z","window":"15.052s",
                "containers":[{"name":"c","usage":{"cpu":"1m","memory":"1Mi"}}]}]}"#;
            let (outcome, text, events) = say(200, body).await;
            assert_eq!(outcome, Outcome::Status(200));
            assert_eq!(text, ACTIVE);
            assert!(events.is_empty());
        });
    }

    #[test]
    fn a_pod_without_cpu_in_one_container_has_no_metrics() {
        paused(async {
            let body = r#"{"items":[{"metadata":{"name":"web"},
                "timestamp":"2026-11-23T09:22:10Z","window":"15s",
                "containers":[{"name":"c","usage":{"memory":"1Mi"}}]}]}"#;
            let (_, text, _) = say(200, body).await;
            assert_eq!(
                text,
                "failed to get cpu utilization: did not receive metrics for targeted pods (pods \
                 might be unready)"
            );
        });
    }
}
