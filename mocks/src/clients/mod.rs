//! Clients of the metrics API, and the witness, who is none.
//!
//! Each asks as its Go original does and reports what that one's user would
//! read. In reading order:
//!
//! - `rest`: client-go's requests, retries and errors;
//! - `groups`: both forms of API discovery;
//! - [`kubectl_top`]: `kubectl top nodes`, with its `table`;
//! - [`hpa`]: the horizontal pod autoscaler, with its `pod_groups`;
//! - [`discovery`]: whoever lists the server's resources;
//! - [`witness`]: looks the moment something may have changed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::http_client::Target;

pub mod discovery;
mod groups;
pub mod hpa;
pub mod kubectl_top;
mod pod_groups;
mod rest;
mod table;
pub mod witness;

/// The group and version of the metrics API.
const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";
const GROUP_VERSION: &str = "metrics.k8s.io/v1beta1";
const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
const PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";

/// How a client reaches the API server, and as whom.
#[derive(Debug, Clone)]
pub struct ApiAccess {
    /// The API server.
    pub target: Rc<Target>,
    /// What the client trusts, and its certificate if it has one.
    pub tls: Arc<rustls::ClientConfig>,
    /// Its bearer token, if it has one.
    pub token: Option<String>,
}

/// When a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timetable {
    /// The first time.
    pub first: Instant,
    /// The time between two questions.
    pub every: Duration,
}

/// A grid of points in time of which those that are missed are left out.
struct Grid {
    next: Instant,
    every: Duration,
}

impl Grid {
    fn new(timetable: Timetable) -> Self {
        Self {
            next: timetable.first,
            every: timetable.every.max(Duration::from_millis(1)),
        }
    }

    async fn next(&mut self) {
        while self.next < Instant::now() {
            self.next += self.every;
        }
        sleep_until(self.next).await;
        self.next += self.every;
    }
}
