//! `kubectl top pods`, again and again.
//!
//! Source: `kubectl/pkg/cmd/top/top_pod.go`.

use std::rc::Rc;
use std::time::Duration;

use http::uri::PathAndQuery;
use seam::{Host, Timestamp};
use serde::Deserialize;
use tokio::time::Instant;

use super::kubectl_top::{Printed, USER_AGENT, complaint, failed, items, without_metrics_api};
use super::rest::{JSON, Rest, Subject};
use super::{Entry, Grid, PODS, Restarted, Timetable};
use crate::event::{Outcome, Recorder};

/// A pod that is older than this should have metrics.
/// Source: `top_pod.go metricsCreationDelay`.
const CREATION_DELAY: Duration = Duration::from_secs(120);

/// Calls `kubectl top pods` for ever: of `namespace`, or with
/// `--all-namespaces`.
///
/// Each call becomes one [`Event::Response`](crate::event::Event::Response), as
/// for `kubectl top nodes`. The text of a success is the table's header.
pub async fn run(
    host: Host,
    entry: Entry,
    timetable: Timetable,
    namespace: Option<String>,
    recorder: Rc<dyn Recorder>,
) {
    let kubectl = Restarted::new(&host, entry, USER_AGENT);
    let mut grid = Grid::new(timetable);
    loop {
        grid.next().await;
        let asked = Instant::now();
        let printed = top_pods(&kubectl.next(), namespace.as_deref(), host.now()).await;
        recorder.record(host.name(), printed.event(asked));
    }
}

/// Source: `top_pod.go RunTopPod`.
async fn top_pods(rest: &Rest, namespace: Option<&str>, now: Timestamp) -> Printed {
    if let Some(printed) = without_metrics_api(rest).await {
        return printed;
    }
    let metrics = match namespace {
        Some(namespace) => PODS.replace("/pods", &format!("/namespaces/{namespace}/pods")),
        None => PODS.to_owned(),
    };
    let Ok(path) = metrics.parse::<PathAndQuery>() else {
        return complaint(&metrics, 404, "the namespace has no name");
    };
    match rest
        .get(&path, JSON, Subject::Get("pods.metrics.k8s.io"))
        .await
    {
        Err(error) => failed(&metrics, &error),
        Ok(answer) if items::<Pod>(&answer.body).is_empty() => {
            without_metrics(rest, namespace, &metrics, now).await
        }
        Ok(_) => Printed {
            target: metrics,
            outcome: Outcome::Status(200),
            code: 0,
            text: match namespace {
                Some(_) => "NAME   CPU(cores)   MEMORY(bytes)".to_owned(),
                None => "NAMESPACE   NAME   CPU(cores)   MEMORY(bytes)".to_owned(),
            },
        },
    }
}

/// The list of metrics is empty: is there anything to measure?
///
/// Source: `top_pod.go verifyEmptyMetrics, checkPodAge`.
async fn without_metrics(
    rest: &Rest,
    namespace: Option<&str>,
    metrics: &str,
    now: Timestamp,
) -> Printed {
    let target = match namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/pods"),
        None => "/api/v1/pods".to_owned(),
    };
    let Ok(path) = target.parse::<PathAndQuery>() else {
        return complaint(&target, 404, "the namespace has no name");
    };
    let pods = match rest.get(&path, JSON, Subject::Get("pods")).await {
        Err(error) => return failed(&target, &error),
        Ok(answer) => items::<Pod>(&answer.body),
    };
    if pods.is_empty() {
        return Printed {
            target: metrics.to_owned(),
            outcome: Outcome::Status(200),
            code: 0,
            text: match namespace {
                Some(namespace) => format!("No resources found in {namespace} namespace."),
                None => "No resources found".to_owned(),
            },
        };
    }
    let age = |pod: &Pod| {
        let created: jiff::Timestamp = pod.metadata.creation_timestamp.parse().ok()?;
        u64::try_from(now.as_seconds() - created.as_second()).ok()
    };
    let old = pods.iter().find_map(|pod| {
        let age = Duration::from_secs(age(pod)?);
        (age > CREATION_DELAY).then_some((pod, age))
    });
    match old {
        None => complaint(metrics, 200, "metrics not available yet"),
        Some((pod, age)) => {
            let Metadata {
                namespace, name, ..
            } = &pod.metadata;
            let age = go_seconds(age);
            let text = format!("Metrics not available for pod {namespace}/{name}, age: {age}");
            complaint(metrics, 200, &text)
        }
    }
}

/// Go's `Duration.String` of whole seconds.
///
/// DIFFERENCE: Go prints fractions of a second too, which a creation time has
/// not.
fn go_seconds(age: Duration) -> String {
    let seconds = age.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{}s", seconds % 60),
        _ => format!("{hours}h{minutes}m{}s", seconds % 60),
    }
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    creation_timestamp: String,
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use http::{HeaderValue, Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;

    use super::super::ApiAccess;
    use super::*;
    use crate::http_client::testing::{Pipes, TestClock, answer, any_tls, paused, plain, serve};

    fn json(body: &str, form: &'static str) -> Response<Full<bytes::Bytes>> {
        let mut response = answer(200, body);
        let form = HeaderValue::from_static(form);
        response.headers_mut().insert(CONTENT_TYPE, form);
        response
    }

    /// What one call prints against these lists of metrics and of pods.
    fn printed(metrics: &'static str, pods: &'static str) -> (u8, String) {
        let slot: Rc<std::cell::RefCell<Option<(u8, String)>>> = Rc::default();
        let filled = Rc::clone(&slot);
        paused(async move {
            let host = Pipes::new().host("clients", &TestClock::new());
            let target = plain("10.0.0.1:6443");
            let form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            let handler = move |request: &Request<Incoming>| match request.uri().path() {
                "/api" => json(r#"{"items":[]}"#, form),
                "/apis" => json(
                    r#"{"items":[{"metadata":{"name":"metrics.k8s.io"},
                    "versions":[{"version":"v1beta1","freshness":"Current"}]}]}"#,
                    form,
                ),
                path if path.starts_with("/apis/") => json(metrics, JSON),
                _ => json(pods, JSON),
            };
            serve(&host, target.address, Rc::new(handler)).await;
            let access = ApiAccess {
                target,
                tls: any_tls(&host),
                token: None,
            };
            let rest = Rest::new(&host, access, USER_AGENT);
            let now = Timestamp::from_seconds(1_800_000_000);
            let printed = top_pods(&rest, Some("default"), now).await;
            *filled.borrow_mut() = Some((printed.code, printed.text));
        });
        slot.take().expect("one call")
    }

    #[test]
    fn an_empty_list_is_judged_by_the_age_of_pods() {
        let empty = r#"{"items":[]}"#;
        let some = r#"{"items":[{"metadata":{"name":"a"}}]}"#;
        assert_eq!(printed(some, empty).0, 0);
        let (code, text) = printed(empty, empty);
        assert_eq!(
            (code, &*text),
            (0, "No resources found in default namespace.")
        );
        let young = r#"{"items":[{"metadata":{"namespace":"default","name":"a",
            "creationTimestamp":"2027-01-15T07:58:01Z"}}]}"#;
        let (code, text) = printed(empty, young);
        assert_eq!((code, &*text), (1, "error: metrics not available yet"));
        let old = r#"{"items":[{"metadata":{"namespace":"default","name":"a",
            "creationTimestamp":"2027-01-15T07:57:59Z"}}]}"#;
        let expected = "error: Metrics not available for pod default/a, age: 2m1s";
        assert_eq!(printed(empty, old), (1, expected.to_owned()));
    }
}
