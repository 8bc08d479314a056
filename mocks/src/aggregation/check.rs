//! The discovery check: does the backend answer at all?

use std::rc::Rc;
use std::time::Duration;

use http::HeaderMap;
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Context;
use super::api_service::ApiService;
use super::proxy::{Proxy, identify};
use crate::apiserver::User;
use crate::event::Outcome;
use crate::http_client::OutgoingRequest;

/// Requests sent at the same time.
const ATTEMPTS: usize = 5;

/// `http.Client.Timeout` of each. A second guard, 6 s around each attempt,
/// exists for dials that ignore the first and never decides here.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a check failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) outcome: Outcome,
    pub(super) text: String,
}

/// Asks the backend five times at once for its group version. The first
/// success wins and is returned as its status; if all fail, the failure that
/// came last is reported. Attempts that are no longer awaited run on.
///
/// `warm` says that connections are open from an earlier check.
///
/// Source: `kube-aggregator/pkg/controllers/status/remote/
/// remote_available_controller.go: sync`.
pub(super) async fn discovery_check(
    context: &Rc<Context>,
    proxy: &Rc<Proxy>,
    api: &ApiService,
    warm: bool,
) -> Result<u16, Failure> {
    let (sender, mut results) = mpsc::unbounded_channel();
    for _ in 0..ATTEMPTS {
        let (context, proxy, api) = (Rc::clone(context), Rc::clone(proxy), api.clone());
        let sender = sender.clone();
        let process = context.process.clone();
        process.spawn(async move {
            // Nobody listens to the slower ones after a success.
            let _ = sender.send(attempt(&context, &proxy, &api).await);
        });
    }
    drop(sender);
    let mut last = None;
    while let Some(result) = results.recv().await {
        let decided = result.is_ok();
        last = Some(result);
        if decided {
            break;
        }
    }
    let last = last.expect("every attempt reports before its task ends");
    let answered = matches!(
        &last,
        Ok(_)
            | Err(Failure {
                outcome: Outcome::Status(_),
                ..
            })
    );
    if answered && !warm {
        tokio::time::sleep((context.config.timing.handshakes)()).await;
    }
    last
}

async fn attempt(context: &Context, proxy: &Proxy, api: &ApiService) -> Result<u16, Failure> {
    let address = context.resolve(&api.service).map_err(|text| Failure {
        outcome: Outcome::Status(503),
        text,
    })?;
    let path = api.path();
    let url = format!("https://{address}{path}");
    let failing = |outcome, error: String| Failure {
        outcome,
        text: format!("failing or missing response from {url}: {error}"),
    };
    let client = proxy.client(&api.trust).map_err(|text| Failure {
        outcome: Outcome::Tls,
        text,
    })?;
    let path: PathAndQuery = path
        .parse()
        .map_err(|error| failing(Outcome::Unreachable, format!("{error}")))?;
    let mut headers = HeaderMap::new();
    identify(&mut headers, &kube_aggregator());
    let request = OutgoingRequest {
        headers,
        ..OutgoingRequest::get(&super::proxy::target(address, &api.service), path)
    };
    let answer = timeout(TIMEOUT, client.send(request)).await;
    if let Ok(answer) = &answer {
        context.met(answer);
    }
    let result = match answer {
        Err(_) => Err(failing(
            Outcome::Timeout,
            format!(
                "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while \
                 awaiting headers)"
            ),
        )),
        Ok(Err(error)) => Err(failing(error.outcome, error.to_string())),
        Ok(Ok(response)) if !response.status.is_success() => {
            let status = response.status.as_u16();
            Err(failing(
                Outcome::Status(status),
                format!("bad status from {url}: {status}"),
            ))
        }
        Ok(Ok(response)) => Ok(response.status.as_u16()),
    };
    if result.is_err() {
        client.close_idle();
    }
    result
}

/// Whom the aggregation layer's own requests are from. A member of
/// `system:masters` needs no review by the backend.
pub(super) fn kube_aggregator() -> User {
    User {
        name: "system:kube-aggregator".to_owned(),
        groups: vec!["system:masters".to_owned()],
        ..User::default()
    }
}
