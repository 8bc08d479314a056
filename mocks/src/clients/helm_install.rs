//! `helm install --wait --timeout …` of metrics-server's chart.
//!
//! The objects exist once the command waits. It looks at the Deployment every
//! two seconds, or as often as it is told, until enough pods are Ready; nothing else of the chart can keep
//! it waiting, the APIService neither.
//!
//! Source: Helm 3.19 `pkg/kube/{wait,ready}.go`, `cmd/helm/install.go`.
//!
//! DIFFERENCE: here the Deployment appears with its first pod. Until then Helm
//! is told that there is none and waits, where a real one finds it at once
//! and waits for its pods.

use std::rc::Rc;
use std::time::Duration;

use http::uri::PathAndQuery;
use seam::Host;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::kubectl_wait::Patience;
use super::rest::{JSON, Rest, RestError, Subject};
use super::{Entry, Restarted};
use crate::event::{Event, Observer, Outcome, Recorder};

/// Source: `pkg/cli/environment.go`, `internal/version`.
const USER_AGENT: &str = "Helm/3.19.0";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/kube-system/deployments/metrics-server";
/// Failed looks in a row that are borne. Source: `waitRetries`.
const BORNE: u32 = 30;

/// Gives the command once. Its end becomes one [`Event::Response`], whose text
/// is what it printed.
pub async fn run(host: Host, entry: Entry, patience: Patience, recorder: Rc<dyn Recorder>) {
    patience.first.come().await;
    let rest = Restarted::new(&host, entry, USER_AGENT).next();
    let asked = Instant::now();
    let end = (patience.first + patience.timeout).here();
    let waited = timeout_at(end, wait(&rest, patience.every)).await;
    let (outcome, text) = match waited {
        Ok(Ok(())) => (Outcome::Status(200), "STATUS: deployed".to_owned()),
        Ok(Err(error)) => (error.outcome(), failed(&error.to_string())),
        Err(_) => (Outcome::Timeout, failed("context deadline exceeded")),
    };
    let event = Event::Response {
        observer: Observer::HelmInstall,
        target: DEPLOYMENT.to_owned(),
        outcome,
        text,
        took: asked.elapsed(),
    };
    recorder.record(host.name(), event);
}

fn failed(why: &str) -> String {
    format!("Error: INSTALLATION FAILED: {why}")
}

async fn wait(rest: &Rest, every: Duration) -> Result<(), RestError> {
    let path = PathAndQuery::from_static(DEPLOYMENT);
    let mut failures = 0;
    loop {
        match rest
            .get(&path, JSON, Subject::Get("deployments.apps"))
            .await
        {
            Ok(answer) => {
                failures = 0;
                let deployment = serde_json::from_slice(&answer.body).unwrap_or_default();
                if is_ready(&deployment) {
                    return Ok(());
                }
            }
            Err(RestError::Api(error)) if error.code == 404 => failures = 0,
            Err(error) if failures < BORNE && may_pass(&error) => failures += 1,
            Err(error) => return Err(error),
        }
        sleep(every).await;
    }
}

/// Source: `isRetryableError`.
fn may_pass(error: &RestError) -> bool {
    match error {
        RestError::Transport(_) => true,
        RestError::Api(error) => error.code == 429 || error.code >= 500 && error.code != 501,
    }
}

/// Whether as many pods are Ready as must be at any time of a rollout: with
/// one replica, of which one may be missing, none. Source: `deploymentReady`.
fn is_ready(deployment: &Value) -> bool {
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    let missing = &spec["strategy"]["rollingUpdate"]["maxUnavailable"];
    let wanted = replicas.saturating_sub(missing.as_u64().unwrap_or(0));
    let observed =
        status["observedGeneration"].as_u64() >= deployment["metadata"]["generation"].as_u64();
    observed && status["readyReplicas"].as_u64().unwrap_or(0) >= wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: u64, missing: u64, ready: u64) -> Value {
        json!({
            "metadata": {"generation": 1},
            "spec": {"replicas": replicas,
                     "strategy": {"rollingUpdate": {"maxUnavailable": missing}}},
            "status": {"observedGeneration": 1, "readyReplicas": ready},
        })
    }

    #[test]
    fn as_many_pods_must_be_ready_as_a_rollout_leaves() {
        assert!(!is_ready(&deployment(1, 0, 0)));
        assert!(is_ready(&deployment(1, 0, 1)));
        assert!(is_ready(&deployment(1, 1, 0)), "K3s's manifest");
        assert!(!is_ready(&deployment(2, 1, 0)));
        assert!(is_ready(&deployment(2, 1, 1)));
        let mut unseen = deployment(1, 0, 1);
        unseen["metadata"]["generation"] = json!(2);
        assert!(!is_ready(&unseen));
    }
}
