//! The aggregation layer: availability, proxying and discovery of an API that
//! another server serves.
//!
//! It lives in the API server's process and ends with it. In reading order:
//!
//! - this file: what it needs, and how a life of it begins;
//! - `api_service`: the APIService object;
//! - `resolve`: Service → address, and the checks that need no request;
//! - `availability`: the controller that keeps the condition Available;
//! - `check`: its question to the backend;
//! - `registration`: from objects to routes;
//! - `proxy`: requests to the backend;
//! - `discovery`: what clients learn of the API;
//! - `queue`: the work queue of all three controllers.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use seam::{Host, Random};

use crate::apiserver::{Behaviour, Sampler, responsive, uniform};
use crate::event::{Event, Met, Outcome, Recorder};
use crate::http_client::{ClientError, IncomingResponse};
use crate::pki::Identity;
use crate::script::Script;
use crate::store::Store;

mod api_service;
mod availability;
mod check;
mod discovery;
mod proxy;
pub(crate) mod queue;
mod registration;
mod resolve;
#[cfg(test)]
mod tests;

pub(crate) use discovery::Manager as DiscoveryManager;
pub(crate) use proxy::Forward;
pub(crate) use registration::Routes;
pub use resolve::Routing;

use api_service::ServiceRef;

/// How the aggregation layer is set up.
#[derive(Clone)]
pub struct AggregationConfig {
    /// What it shows to backends: `--proxy-client-cert-file`.
    pub front_proxy: Script<Identity>,
    /// How it reaches them.
    pub routing: Script<Routing>,
    /// When the first 30 s resync falls after the simulation's start, if the
    /// API server was up before. One that starts later resyncs every 30 s from
    /// its start on.
    pub resync_phase: Duration,
    /// How long its own steps take.
    pub timing: Timing,
}

/// How long the aggregation layer's own steps take.
#[derive(Clone)]
pub struct Timing {
    /// From a change of an object to a controller's notice of it.
    pub informer: Sampler,
    /// Writing an APIService's status.
    pub write: Sampler,
    /// What a discovery check on new connections costs both ends, on top of
    /// the network: five handshakes.
    pub handshakes: Sampler,
}

impl Timing {
    /// As recorded on one machine: 3 to 5 ms from an EndpointSlice to a
    /// condition that needs no check, 25 ms to one that does (medians).
    #[must_use]
    pub fn observed(host: &Host) -> Self {
        let between = |name: &str, from: u64, to: u64| {
            let (from, to) = (Duration::from_micros(from), Duration::from_micros(to));
            uniform(host, name, from, to)
        };
        Self {
            informer: between("aggregation-informer", 500, 1_500),
            write: between("aggregation-write", 1_500, 4_500),
            handshakes: between("aggregation-handshakes", 10_000, 26_000),
        }
    }
}

/// What every part of the aggregation layer works with.
pub(crate) struct Context {
    /// The API server's process: its tasks end with it.
    pub(crate) process: Host,
    pub(crate) store: Store,
    pub(crate) behaviour: Script<Behaviour>,
    pub(crate) config: AggregationConfig,
    pub(crate) recorder: Rc<dyn Recorder>,
    endpoints: RefCell<Box<dyn Random>>,
}

impl Context {
    /// What a life needs. `process` is the API server's.
    pub(crate) fn new(
        process: &Host,
        store: &Store,
        behaviour: &Script<Behaviour>,
        config: &AggregationConfig,
        recorder: &Rc<dyn Recorder>,
    ) -> Rc<Self> {
        Rc::new(Self {
            endpoints: RefCell::new(process.random("aggregation-endpoints")),
            process: process.clone(),
            store: store.clone(),
            behaviour: behaviour.clone(),
            config: config.clone(),
            recorder: Rc::clone(recorder),
        })
    }

    fn resolve(&self, service: &ServiceRef) -> Result<SocketAddr, String> {
        let mut random = self.endpoints.borrow_mut();
        let routing = *self.config.routing.current();
        resolve::resolve(&self.store, routing, service, &mut **random)
    }

    fn record(&self, event: Event) {
        self.recorder.record(self.process.name(), event);
    }

    /// Tells what a request to a backend has met.
    fn met(&self, answer: &Result<IncomingResponse, ClientError>) {
        let (verified, shown) = match answer {
            Ok(_) => (true, true),
            Err(error) => (error.outcome == Outcome::Tls, false),
        };
        if verified {
            self.record(Event::Met(Met::CaBundle));
        }
        if shown {
            self.record(Event::Met(Met::FrontProxy));
        }
    }

    async fn informed(&self) {
        tokio::time::sleep((self.config.timing.informer)()).await;
        responsive(&self.behaviour).await;
    }
}

/// One life of the aggregation layer.
pub(crate) struct Aggregation {
    pub(crate) routes: Rc<Routes>,
    pub(crate) discovery: Rc<DiscoveryManager>,
}

impl Aggregation {
    /// Begins: what is registered has a route when this returns, available or
    /// not as its object says. `was_up_before` says that the API server has
    /// been running since before the simulation began.
    ///
    /// Source: `kube-aggregator/pkg/apiserver/apiserver.go`.
    pub(crate) fn start(context: &Rc<Context>, was_up_before: bool) -> Self {
        let first_resync = if was_up_before {
            context.config.resync_phase
        } else {
            availability::RESYNC
        };
        let proxy = Rc::new(proxy::Proxy::new(Rc::clone(context)));
        let routes = Rc::new(Routes::new(Rc::clone(&proxy)));
        let discovery = DiscoveryManager::start(context, &routes);
        registration::start(context, &routes, &discovery);
        availability::start(context, &proxy, first_resync);
        Self { routes, discovery }
    }
}
