//! A controller manager on its way to its controllers: it wants to know every
//! resource of the cluster before it starts any of them.
//!
//! Source: kubernetes-sigs/metrics-server issue 28 and kubernetes-retired/
//! kube-aws issue 1039, for clusters of 2017 and 2018: the service rules need
//! the controller manager, and it needs discovery. Later releases start their
//! controllers with what discovery could find.

use std::rc::Rc;

use seam::Host;
use tokio::time::Instant;

use super::discovery::{complete_listing, resources};
use super::groups::{self, Listing};
use super::rest::Rest;
use super::{ApiAccess, Grid, Timetable};
use crate::event::{Event, Observer, Outcome, Recorder};

const USER_AGENT: &str = "kube-controller-manager/v1.36.0 (linux/amd64) kubernetes/0000000";

/// Asks until discovery is complete. Each attempt becomes one
/// [`Event::Response`]: 200 for the complete one, else how the metrics API's
/// discovery failed.
pub async fn run(host: Host, access: ApiAccess, timetable: Timetable, recorder: Rc<dyn Recorder>) {
    let rest = Rest::new(&host, access, USER_AGENT);
    let mut grid = Grid::new(timetable);
    loop {
        grid.next().await;
        let asked = Instant::now();
        let listing = groups::apis(&rest).await;
        let resources = resources(&rest).await;
        let outcome = match (&listing, &resources) {
            (Err(error), _) | (Ok(Listing::Legacy), Err(error)) => error.outcome(),
            (Ok(Listing::Stale), _) => Outcome::Status(503),
            (Ok(_), _) => Outcome::Status(200),
        };
        let (_, text) = complete_listing(listing, &resources);
        let complete = outcome == Outcome::Status(200);
        recorder.record(
            host.name(),
            Event::Response {
                observer: Observer::ControllerManager,
                target: "/apis".to_owned(),
                outcome,
                text: match complete {
                    true => text,
                    false => format!("unable to get all supported resources from server: {text}"),
                },
                took: asked.elapsed(),
            },
        );
        if complete {
            return;
        }
    }
}
