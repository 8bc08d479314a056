//! `kubectl wait --for=condition=…`.
//!
//! Source: `kubectl/pkg/cmd/wait/{wait,condition}.go`.
//!
//! DIFFERENCE: it asks for the list again and again instead of watching.

use std::rc::Rc;
use std::time::Duration;

use http::uri::PathAndQuery;
use seam::{Host, Moment};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::kubectl_top::{USER_AGENT, failed};
use super::rest::{JSON, Rest, RestError, Subject};
use super::{Entry, Restarted};
use crate::event::{Event, Observer, Outcome, Recorder};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// The list that holds it.
    path: &'static str,
    subject: &'static str,
    /// How it is called when it is there: `pod/metrics-server`.
    kind: &'static str,
    /// How when it is not: `pods/metrics-server`.
    kinds: &'static str,
    condition: &'static str,
}

impl Awaited {
    /// `kubectl wait --for=condition=Available
    /// apiservice/v1beta1.metrics.k8s.io`
    pub const API_SERVICE_AVAILABLE: Self = Self {
        path: "/apis/apiregistration.k8s.io/v1/apiservices?fieldSelector=metadata.name%3Dv1beta1.metrics.k8s.io",
        subject: "apiservices.apiregistration.k8s.io",
        kind: "apiservice.apiregistration.k8s.io",
        kinds: "apiservices",
        condition: "Available",
    };
    /// `kubectl -n kube-system wait --for=condition=Ready pod -l
    /// k8s-app=metrics-server`
    pub const POD_READY: Self = Self {
        path: "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dmetrics-server",
        subject: "pods",
        kind: "pod",
        kinds: "pods",
        condition: "Ready",
    };
}

/// When it looks, and how long it waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// When the command is given.
    pub first: Moment,
    /// The time between two looks.
    pub every: Duration,
    /// `--timeout`
    pub timeout: Duration,
}

/// Gives the command once. Its end becomes one [`Event::Response`], whose text
/// is what it printed.
pub async fn run(
    host: Host,
    entry: Entry,
    patience: Patience,
    awaited: Awaited,
    recorder: Rc<dyn Recorder>,
) {
    patience.first.come().await;
    let rest = Restarted::new(&host, entry, USER_AGENT).next();
    let asked = Instant::now();
    let end = (patience.first + patience.timeout).here();
    let waited = timeout_at(end, wait(&rest, awaited, patience.every)).await;
    let (outcome, text) = match waited {
        Ok((outcome, text)) => (outcome, text),
        Err(_) => (Outcome::Timeout, timed_out(awaited)),
    };
    let event = Event::Response {
        observer: Observer::KubectlWait,
        target: awaited
            .path
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned(),
        outcome,
        text,
        took: asked.elapsed(),
    };
    recorder.record(host.name(), event);
}

fn timed_out(awaited: Awaited) -> String {
    let name = match awaited.kinds {
        "apiservices" => "v1beta1.metrics.k8s.io",
        _ => "metrics-server",
    };
    format!(
        "error: timed out waiting for the condition on {}/{name}",
        awaited.kinds
    )
}

async fn wait(rest: &Rest, awaited: Awaited, every: Duration) -> (Outcome, String) {
    let path = PathAndQuery::from_static(awaited.path);
    loop {
        match rest.get(&path, JSON, Subject::Get(awaited.subject)).await {
            Err(error @ RestError::Api(_)) => {
                let printed = failed(awaited.path, &error);
                return (printed.outcome, printed.text);
            }
            // A watch that breaks is opened again.
            Err(RestError::Transport(_)) => {}
            Ok(answer) => {
                let list: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let objects = list["items"].as_array().map_or(&[][..], Vec::as_slice);
                if objects.is_empty() {
                    return (
                        Outcome::Status(404),
                        "error: no matching resources found".into(),
                    );
                }
                if let Some(met) = met(objects, awaited) {
                    return (Outcome::Status(200), met);
                }
            }
        }
        sleep(every).await;
    }
}

/// What is printed once every object has the condition.
fn met(objects: &[Value], awaited: Awaited) -> Option<String> {
    let has = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| {
            condition["type"] == awaited.condition && condition["status"] == "True"
        })
    };
    let lines: Vec<String> = objects
        .iter()
        .map(|object| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            format!("{}/{name} condition met", awaited.kind)
        })
        .collect();
    objects.iter().all(has).then(|| lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_object_must_have_the_condition() {
        let pod = |name: &str, status: &str| {
            json!({"metadata": {"name": name},
                   "status": {"conditions": [{"type": "Ready", "status": status}]}})
        };
        let ready = [pod("a", "True"), pod("b", "True")];
        let expected = "pod/a condition met\npod/b condition met";
        assert_eq!(met(&ready, Awaited::POD_READY).as_deref(), Some(expected));
        let mixed = [pod("a", "True"), pod("b", "False")];
        assert_eq!(met(&mixed, Awaited::POD_READY), None);
        assert_eq!(
            timed_out(Awaited::API_SERVICE_AVAILABLE),
            "error: timed out waiting for the condition on apiservices/v1beta1.metrics.k8s.io"
        );
    }
}
