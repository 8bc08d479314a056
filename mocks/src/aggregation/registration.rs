//! From APIService objects to routes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};
use tokio::time::timeout;

use super::api_service::{ApiService, is_available};
use super::proxy::{DISCOVERY_TIMEOUT, Forward, Proxy, Route};
use super::queue::WorkQueue;
use super::{Context, DiscoveryManager};
use crate::apiserver::{User, responsive};
use crate::http_server::Response;
use crate::store::Watch;

/// Back-off of the controller.
///
/// Source: client-go `util/workqueue/default_rate_limiters.go`.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1000));

/// Source: `kube-aggregator/pkg/controllers/openapi/aggregator/aggregator.go`.
const OPENAPI_TIMEOUT: Duration = Duration::from_secs(60);

/// The group versions that backends serve.
pub(crate) struct Routes {
    proxy: Rc<Proxy>,
    by_name: RefCell<BTreeMap<String, Route>>,
}

impl Routes {
    pub(super) fn new(proxy: Rc<Proxy>) -> Self {
        Self {
            proxy,
            by_name: RefCell::default(),
        }
    }

    /// Registered groups and versions, in the order of discovery.
    pub(crate) fn group_versions(&self) -> Vec<(String, String)> {
        let routes = self.by_name.borrow();
        let apis = routes.values().map(|route| &route.api);
        apis.map(|api| (api.group.clone(), api.version.clone()))
            .collect()
    }

    /// Whether a path belongs to a registered group version.
    pub(crate) fn covers(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// Forwards a request that [`Routes::covers`].
    pub(crate) async fn forward(&self, user: &User, mut request: Forward) -> Response {
        let path = request.target.split('?').next().unwrap_or_default();
        let Some(route) = self.find(path) else {
            return Response::text(404, "404 page not found");
        };
        if path.trim_end_matches('/') == route.api.path() {
            request.timeout = Some(DISCOVERY_TIMEOUT);
        }
        self.proxy.forward(&route, user, request).await
    }

    /// What the API server asks a backend for itself. `force` asks although
    /// the API is not available.
    pub(crate) async fn ask(
        &self,
        name: &str,
        user: &User,
        target: &str,
        headers: HeaderMap,
        force: bool,
    ) -> Option<Response> {
        let mut route = self.by_name.borrow().get(name).cloned()?;
        route.available |= force;
        let request = Forward {
            method: Method::GET,
            target: target.to_owned(),
            headers,
            body: Bytes::new(),
            peer: None,
            timeout: None,
        };
        Some(self.proxy.forward(&route, user, request).await)
    }

    fn find(&self, path: &str) -> Option<Route> {
        let routes = self.by_name.borrow();
        let covers = |route: &&Route| {
            let rest = path.strip_prefix(&route.api.path());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        routes.values().find(covers).cloned()
    }

    /// Takes over an object's state; returns whether it was known before.
    fn update(&self, object: &serde_json::Value) -> Option<bool> {
        let api = ApiService::read(object)?;
        let route = Route {
            available: is_available(object),
            api,
        };
        let mut routes = self.by_name.borrow_mut();
        Some(routes.insert(route.api.name.clone(), route).is_some())
    }
}

/// Registers what exists, and starts the controller for what changes.
pub(super) fn start(context: &Rc<Context>, routes: &Rc<Routes>, discovery: &Rc<DiscoveryManager>) {
    let controller = Rc::new(Controller {
        context: Rc::clone(context),
        routes: Rc::clone(routes),
        discovery: Rc::clone(discovery),
        queue: WorkQueue::new(BACKOFF.0, BACKOFF.1),
    });
    let watch = context.store.watch("apiservices");
    for object in context.store.list("apiservices") {
        routes.update(&object);
    }
    for (name, route) in &*routes.by_name.borrow() {
        discovery.assume_stale(&route.api);
        discovery.refresh(name);
    }
    context.process.spawn(Rc::clone(&controller).follow(watch));
    context.process.spawn(controller.work());
}

struct Controller {
    context: Rc<Context>,
    routes: Rc<Routes>,
    discovery: Rc<DiscoveryManager>,
    queue: WorkQueue,
}

impl Controller {
    async fn follow(self: Rc<Self>, mut watch: Watch) {
        loop {
            let change = watch.next().await;
            self.context.informed().await;
            if let Some(name) = change.metadata()["name"].as_str() {
                self.queue.add(name);
            }
        }
    }

    /// One worker: a backend that is slow to give its OpenAPI document delays
    /// the registration of others and discovery, not its own routing.
    async fn work(self: Rc<Self>) {
        loop {
            let name = self.queue.next().await;
            responsive(&self.context.behaviour).await;
            self.sync(&name).await;
            self.queue.forget(&name);
            self.queue.done(&name);
        }
    }

    /// Source: `kube-aggregator/pkg/apiserver/apiserver.go: AddAPIService`.
    async fn sync(&self, name: &str) {
        let object = self.context.store.get("apiservices", None, name);
        let known = object
            .as_deref()
            .and_then(|object| self.routes.update(object));
        match known {
            None => {
                self.routes.by_name.borrow_mut().remove(name);
            }
            Some(false) => {}
            Some(true) => self.download_openapi(name).await,
        }
        self.discovery.refresh(name);
    }

    /// Downloads the document that an update asks for and forgets it: only
    /// the time it takes is of consequence.
    ///
    /// DIFFERENCE: the periodic downloads, once a minute and for version 3,
    /// delay nothing and are left out.
    ///
    /// Source: `kube-aggregator/pkg/controllers/openapi/controller.go:
    /// UpdateAPIService`.
    async fn download_openapi(&self, name: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let user = User::new("system:aggregator", &[]);
        let answer = self.routes.ask(name, &user, "/openapi/v2", headers, false);
        let _ = timeout(OPENAPI_TIMEOUT, answer).await;
    }
}
