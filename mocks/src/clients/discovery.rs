//! Whoever lists the server's resources: garbage collector, quota controller,
//! `kubectl api-resources`.
//!
//! Source: `client-go/discovery/discovery_client.go`.

use std::rc::Rc;

use http::uri::PathAndQuery;
use seam::Host;
use serde::Deserialize;
use tokio::time::Instant;

use super::groups::{self, Listing};
use super::rest::{JSON, Rest, RestError, Subject};
use super::{ApiAccess, GROUP_VERSION, Grid, Timetable};
use crate::event::{Event, Observer, Outcome, Recorder};

const USER_AGENT: &str = "kube-controller-manager/v1.36.0 (linux/amd64) kubernetes/0000000/\
                          system:serviceaccount:kube-system:generic-garbage-collector";
const RESOURCES: &str = "/apis/metrics.k8s.io/v1beta1";

/// Asks for `/apis` and then for the metrics API's resources, for ever.
///
/// Each answer becomes one [`Event::Response`]. The text for `/apis` is what a
/// client's complete listing says of the metrics API: its resources, or why
/// they are missing.
pub async fn run(host: Host, access: ApiAccess, timetable: Timetable, recorder: Rc<dyn Recorder>) {
    let rest = Rest::new(&host, access, USER_AGENT);
    let mut grid = Grid::new(timetable);
    loop {
        grid.next().await;
        let asked = Instant::now();
        let listing = groups::apis(&rest).await;
        let listed = Instant::now();
        let resources = resources(&rest).await;
        let took = [listed - asked, listed.elapsed()];
        let report = |target: &str, outcome, text, took| {
            let target = target.to_owned();
            let observer = Observer::Discovery;
            let event = Event::Response {
                observer,
                target,
                outcome,
                text,
                took,
            };
            recorder.record(host.name(), event);
        };
        let (outcome, text) = complete_listing(listing, &resources);
        report("/apis", outcome, text, took[0]);
        match resources {
            Ok(names) => report(RESOURCES, Outcome::Status(200), names, took[1]),
            Err(error) => report(RESOURCES, error.outcome(), error.to_string(), took[1]),
        }
    }
}

/// What a complete listing says of the metrics API.
///
/// Source: `ServerGroupsAndResources`.
pub(super) fn complete_listing(
    listing: Result<Listing, RestError>,
    resources: &Result<String, RestError>,
) -> (Outcome, String) {
    let listing = match listing {
        Err(error) => return (error.outcome(), error.to_string()),
        Ok(listing) => listing,
    };
    let served = |names: &str| format!("{GROUP_VERSION}: {names}");
    let text = match (listing, resources) {
        (Listing::Absent, _) => format!("{GROUP_VERSION} is not listed"),
        (Listing::Stale, _) => groups::incomplete(&groups::stale()),
        (Listing::Current(names), _) => served(&names.join(", ")),
        (Listing::Legacy, Ok(names)) => served(names),
        (Listing::Legacy, Err(error)) => groups::incomplete(&error.to_string()),
    };
    (Outcome::Status(200), text)
}

/// Source: `ServerResourcesForGroupVersion`.
pub(super) async fn resources(rest: &Rest) -> Result<String, RestError> {
    #[derive(Deserialize, Default)]
    struct List {
        #[serde(default)]
        resources: Vec<Resource>,
    }
    #[derive(Deserialize)]
    struct Resource {
        name: String,
    }
    let path = PathAndQuery::from_static(RESOURCES);
    let answer = rest.get(&path, JSON, Subject::Path).await?;
    let list: List = serde_json::from_slice(&answer.body).unwrap_or_default();
    let names: Vec<String> = list.resources.into_iter().map(|r| r.name).collect();
    Ok(names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::rest::ApiError;
    use super::*;

    fn unavailable() -> RestError {
        RestError::Api(ApiError {
            code: 503,
            reason: "ServiceUnavailable".to_owned(),
            message: "the server is currently unable to handle the request".to_owned(),
        })
    }

    #[test]
    fn incomplete_listings_read_as_in_client_go() {
        let text = |listing, resources| complete_listing(Ok(listing), &resources).1;
        let incomplete = "unable to retrieve the complete list of server APIs: \
                          metrics.k8s.io/v1beta1: ";
        assert_eq!(
            text(Listing::Stale, Err(unavailable())),
            format!("{incomplete}stale GroupVersion discovery: metrics.k8s.io/v1beta1")
        );
        assert_eq!(
            text(Listing::Legacy, Err(unavailable())),
            format!("{incomplete}the server is currently unable to handle the request")
        );
        assert_eq!(
            text(Listing::Legacy, Ok("nodes, pods".to_owned())),
            "metrics.k8s.io/v1beta1: nodes, pods"
        );
    }
}
