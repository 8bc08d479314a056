//! What clients learn of the APIs that backends serve.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use serde_json::Value;
use tokio::time::timeout;

use super::api_service::ApiService;
use super::check::kube_aggregator;
use super::queue::WorkQueue;
use super::{Context, Routes};
use crate::apiserver::documents::{Addition, Tagged, aggregated, from_legacy};
use crate::apiserver::responsive;
use crate::http_server::{Body, Response};

/// Back-off after a failed fetch, and the wait after a good one.
///
/// Source: `kube-aggregator/pkg/apiserver/handler_discovery.go`.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
const REFRESH: Duration = Duration::from_secs(60);
const WORKERS: usize = 2;

/// Same source: `http.TimeoutHandler` around each fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                      application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// Fetches discovery documents of backends and merges them into `/apis`.
pub(crate) struct Manager {
    context: Rc<Context>,
    routes: Rc<Routes>,
    queue: WorkQueue,
    /// By name of the APIService; `None` is stale.
    published: RefCell<BTreeMap<String, Addition>>,
    /// The last aggregated document of each backend.
    cached: RefCell<BTreeMap<String, Cached>>,
    /// `/apis` by version of its form, until something changes.
    documents: RefCell<BTreeMap<&'static str, Tagged>>,
}

#[derive(Clone)]
struct Cached {
    etag: Option<String>,
    document: Value,
}

impl Manager {
    pub(super) fn start(context: &Rc<Context>, routes: &Rc<Routes>) -> Rc<Self> {
        let manager = Rc::new(Self {
            context: Rc::clone(context),
            routes: Rc::clone(routes),
            queue: WorkQueue::new(BACKOFF.0, BACKOFF.1),
            published: RefCell::default(),
            cached: RefCell::default(),
            documents: RefCell::default(),
        });
        for _ in 0..WORKERS {
            context.process.spawn(Rc::clone(&manager).work());
        }
        manager
    }

    /// Asks a backend now: its APIService was created, changed or deleted.
    pub(super) fn refresh(&self, name: &str) {
        self.queue.add(name);
    }

    /// Publishes an API that nobody has asked for yet as stale. A server is
    /// ready only once it has asked for every API that it found at its start;
    /// until then that is what is known.
    pub(super) fn assume_stale(&self, api: &ApiService) {
        let unknown = Addition {
            group: api.group.clone(),
            version: api.version.clone(),
            resources: None,
        };
        self.publish(&api.name, Some(unknown));
    }

    /// `GET /apis` in aggregated form.
    pub(crate) fn document(&self, form: &'static str) -> Tagged {
        let mut documents = self.documents.borrow_mut();
        let document = documents.entry(form).or_insert_with(|| {
            let additions: Vec<Addition> = self.published.borrow().values().cloned().collect();
            aggregated(form, &additions)
        });
        document.clone()
    }

    async fn work(self: Rc<Self>) {
        loop {
            let name = self.queue.next().await;
            responsive(&self.context.behaviour).await;
            if self.sync(&name).await {
                self.queue.forget(&name);
                self.queue.add_after(&name, REFRESH);
            } else {
                self.queue.add_rate_limited(&name);
            }
            self.queue.done(&name);
        }
    }

    /// Publishes what a backend says of itself, or that it is stale; returns
    /// whether it could be asked.
    ///
    /// DIFFERENCE: an APIService that was deleted is looked for once a minute.
    async fn sync(&self, name: &str) -> bool {
        let object = self.context.store.get("apiservices", None, name);
        let Some(api) = object.as_deref().and_then(ApiService::read) else {
            self.publish(name, None);
            return true;
        };
        let resources = self.fetch(&api).await;
        let fresh = resources.is_some();
        self.publish(
            name,
            Some(Addition {
                group: api.group,
                version: api.version,
                resources,
            }),
        );
        fresh
    }

    fn publish(&self, name: &str, addition: Option<Addition>) {
        let mut published = self.published.borrow_mut();
        if published.get(name) == addition.as_ref() {
            return;
        }
        match addition {
            Some(addition) => published.insert(name.to_owned(), addition),
            None => published.remove(name),
        };
        self.documents.borrow_mut().clear();
    }

    /// Source: handler_discovery.go `fetchFreshDiscoveryForService`.
    async fn fetch(&self, api: &ApiService) -> Option<Value> {
        let key = api.service.server_name();
        let cached = self.cached.borrow().get(&key).cloned();
        let etag = cached.as_ref().and_then(|cached| cached.etag.clone());
        let answer = self.get(api, "/apis", ACCEPT, etag.as_deref()).await?;
        match answer.status {
            503 => None,
            304 => resources_of(&cached?.document, api),
            200 if content_type(&answer).contains("as=APIGroupDiscoveryList") => {
                let etag = header(&answer, &header::ETAG);
                let document: Value = serde_json::from_slice(&body(answer)?).ok()?;
                let resources = resources_of(&document, api);
                self.cached
                    .borrow_mut()
                    .insert(key, Cached { etag, document });
                resources
            }
            _ => {
                let answer = self.get(api, &api.path(), "application/json", None).await?;
                if answer.status != 200 {
                    return None;
                }
                let list: Value = serde_json::from_slice(&body(answer)?).ok()?;
                from_legacy(&list, &api.group, &api.version)
            }
        }
    }

    /// Asks through the proxy, whether or not the API counts as available.
    async fn get(
        &self,
        api: &ApiService,
        path: &str,
        accept: &'static str,
        etag: Option<&str>,
    ) -> Option<Response> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            headers.insert(header::IF_NONE_MATCH, etag);
        }
        let user = kube_aggregator();
        let answer = self.routes.ask(&api.name, &user, path, headers, true);
        timeout(FETCH_TIMEOUT, answer).await.ok().flatten()
    }
}

/// The resources of one group version in a backend's aggregated document.
fn resources_of(document: &Value, api: &ApiService) -> Option<Value> {
    let groups = document["items"].as_array()?;
    let group = groups
        .iter()
        .find(|group| group["metadata"]["name"] == api.group)?;
    let versions = group["versions"].as_array()?;
    let version = versions
        .iter()
        .find(|version| version["version"] == api.version)?;
    Some(version["resources"].clone())
}

fn body(response: Response) -> Option<Bytes> {
    match response.body {
        Body::Full(bytes) => Some(bytes),
        // An answer that broke off.
        Body::Stream(_) => None,
    }
}

fn header(response: &Response, name: &header::HeaderName) -> Option<String> {
    let found = response.headers.iter().find(|(known, _)| known == name);
    found
        .and_then(|(_, value)| value.to_str().ok())
        .map(str::to_owned)
}

fn content_type(response: &Response) -> String {
    header(response, &header::CONTENT_TYPE).unwrap_or_default()
}
