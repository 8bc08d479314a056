//! Clients of the metrics API, and the witness, who is none.
//!
//! Each asks as its Go original does and reports what that one's user would
//! read. In reading order:
//!
//! - `rest`: client-go's requests, retries and errors;
//! - `groups`: both forms of API discovery;
//! - [`kubectl_top`]: `kubectl top nodes`, with its `table`;
//! - [`hpa`]: the horizontal pod autoscaler, with its `pod_groups`;
//! - [`kubectl_top_pods`]: `kubectl top pods`;
//! - [`helm_install`]: `helm install --wait` with its deadline;
//! - [`kubectl_wait`]: `kubectl wait` for the APIService or the pod;
//! - [`discovery`]: whoever lists the server's resources;
//! - [`namespace_controller`]: a namespace that cannot be deleted before that;
//! - [`controller_manager`]: controllers that do not start before that;
//! - [`witness`]: looks the moment something may have changed.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use seam::{Host, Moment};
use tokio::time::{Instant, sleep_until};

use crate::http_client::Target;
use rest::Rest;

pub mod controller_manager;
pub mod discovery;
mod groups;
pub mod helm_install;
pub mod hpa;
pub mod kubectl_top;
pub mod kubectl_top_pods;
pub mod kubectl_wait;
pub mod namespace_controller;
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

/// How one `kubectl` after the other reaches an API server.
#[derive(Clone)]
pub enum Entry {
    /// There is one API server.
    Direct(ApiAccess),
    /// A load balancer stands before several: each call gives the next.
    Balanced(Rc<dyn Fn() -> ApiAccess>),
}

/// A client that is started again and again.
///
/// DIFFERENCE: a real user's every call is a new process with a new connection
/// to the API server; where there is one API server, its connection is kept
/// between calls.
enum Restarted {
    Kept(Rc<Rest>),
    Anew(Box<dyn Fn() -> Rest>),
}

impl Restarted {
    fn new(host: &Host, entry: Entry, user_agent: &'static str) -> Self {
        match entry {
            Entry::Direct(access) => Self::Kept(Rc::new(Rest::new(host, access, user_agent))),
            Entry::Balanced(next) => {
                let host = host.clone();
                Self::Anew(Box::new(move || Rest::new(&host, next(), user_agent)))
            }
        }
    }

    fn next(&self) -> Rc<Rest> {
        match self {
            Self::Kept(rest) => Rc::clone(rest),
            Self::Anew(start) => Rc::new(start()),
        }
    }
}

/// When a client asks.
#[derive(Debug, Clone, Copy)]
pub struct Timetable {
    /// The first time.
    pub first: Moment,
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
            next: timetable.first.here(),
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
