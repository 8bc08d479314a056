//! The namespace controller with one namespace to delete.
//!
//! Source: `pkg/controller/namespace/namespace_controller.go`,
//! `deletion/{namespaced_resources_deleter,status_condition_utils}.go`.

use std::rc::Rc;
use std::time::Duration;

use seam::{Host, Moment};
use tokio::time::{Instant, sleep};

use super::ApiAccess;
use super::discovery::{complete_listing, resources};
use super::groups;
use super::rest::Rest;
use crate::event::{Event, Observer, Outcome, Recorder};

const USER_AGENT: &str = "kube-controller-manager/v1.36.0 (linux/amd64) kubernetes/0000000/\
                          system:serviceaccount:kube-system:namespace-controller";

/// Source: namespace_controller.go `nsControllerRateLimiter`: 5 ms, doubling
/// up to a minute.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Deletes an empty namespace from `first` on, until it is gone.
///
/// Each attempt becomes one [`Event::Response`]: 200 once the namespace is
/// gone; before, how the metrics API's discovery failed, with the condition
/// that the namespace has meanwhile.
pub async fn run(host: Host, access: ApiAccess, first: Moment, recorder: Rc<dyn Recorder>) {
    let rest = Rest::new(&host, access, USER_AGENT);
    first.come().await;
    let mut wait = FIRST_WAIT;
    loop {
        let asked = Instant::now();
        let (outcome, text) = delete(&rest).await;
        recorder.record(
            host.name(),
            Event::Response {
                observer: Observer::NamespaceController,
                target: "/apis".to_owned(),
                outcome,
                text,
                took: asked.elapsed(),
            },
        );
        if outcome == Outcome::Status(200) {
            return;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Everything in the namespace goes only once everything is known that could
/// be in it.
async fn delete(rest: &Rest) -> (Outcome, String) {
    let listing = groups::apis(rest).await;
    let resources = resources(rest).await;
    let failed = match (&listing, &resources) {
        (Err(error), _) => Some(error.outcome()),
        (Ok(groups::Listing::Stale), _) => Some(Outcome::Status(503)),
        (Ok(groups::Listing::Legacy), Err(error)) => Some(error.outcome()),
        (Ok(_), _) => None,
    };
    let (_, text) = complete_listing(listing, &resources);
    match failed {
        None => (Outcome::Status(200), "the namespace is deleted".to_owned()),
        Some(outcome) => (
            outcome,
            format!(
                "NamespaceDeletionDiscoveryFailure: Discovery failed for some groups, 1 failing: \
                 {text}"
            ),
        ),
    }
}
