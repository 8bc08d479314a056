//! The way of a request: latency, authentication, authorization, answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use http::header::{self, HeaderName, HeaderValue};
use seam::{Host, Random};
use tokio::time::timeout;

use super::authentication::Authenticator;
use super::documents::{self, Tagged};
use super::negotiate::{self, Discovery, Include};
use super::rbac::{Attempt, Decision, User, denial};
use super::reply::{self, Failure};
use super::request::{Query, RequestInfo};
use super::resources::{self, ResourceType};
use super::view::View;
use super::{ApiServerConfig, State, Watches, health, list, openapi, responsive, reviews, watch};
use crate::aggregation::{Aggregation, Context, Forward};
use crate::event::{Event, Met, Recorder};
use crate::http_server::{Handler, Request, Response};
use crate::store::Store;

/// How long a request may take unless it is a watch.
///
/// Source: apiserver `pkg/server/config.go: RequestTimeout`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a request waits for a version that the server has not reached.
///
/// Source: apiserver `pkg/storage/cacher/watch_cache.go: blockTimeout`.
const FRESHNESS_TIMEOUT: Duration = Duration::from_secs(3);

/// One process of the API server.
pub(super) struct Server {
    process: Host,
    config: Rc<ApiServerConfig>,
    store: Store,
    recorder: Rc<dyn Recorder>,
    authenticator: Authenticator,
    watch_timeouts: RefCell<Box<dyn Random>>,
    /// Set once all paths are installed.
    aggregation: RefCell<Option<Rc<Aggregation>>>,
    /// `GET /api` in aggregated form, by form: it never changes.
    core_documents: RefCell<BTreeMap<&'static str, documents::Tagged>>,
}

/// The server as its connections know it.
pub(super) struct Connections(pub(super) Rc<Server>);

impl Handler for Connections {
    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Response> {
        let server = Rc::clone(&self.0);
        async move { server.answer(request).await }.boxed_local()
    }
}

impl Server {
    pub(super) fn new(
        process: &Host,
        config: &Rc<ApiServerConfig>,
        store: &Store,
        recorder: &Rc<dyn Recorder>,
    ) -> Self {
        Self {
            process: process.clone(),
            config: Rc::clone(config),
            store: store.clone(),
            recorder: Rc::clone(recorder),
            authenticator: Authenticator::new(config.client_ca.clone(), config.tokens.clone()),
            watch_timeouts: RefCell::new(process.random("watch-timeouts")),
            aggregation: RefCell::default(),
            core_documents: RefCell::default(),
        }
    }

    /// Whether all paths are installed.
    pub(super) fn is_complete(&self) -> bool {
        self.aggregation.borrow().is_some()
    }

    /// Installs the paths of aggregated APIs and starts their controllers.
    pub(super) fn complete(&self, was_up_before: bool) {
        let context = Context::new(
            &self.process,
            &self.store,
            &self.config.behaviour,
            &self.config.aggregation,
            &self.recorder,
        );
        let aggregation = Aggregation::start(&context, was_up_before);
        *self.aggregation.borrow_mut() = Some(Rc::new(aggregation));
    }

    /// Tells that whoever made `request` met a part of the server.
    fn met(&self, request: &Request, what: Met) {
        if self.config.witness != Some(request.peer.ip()) {
            self.recorder.record(self.process.name(), Event::Met(what));
        }
    }

    async fn answer(self: Rc<Self>, request: Request) -> Response {
        if self.config.behaviour.current().state == State::Hang {
            self.met(&request, Met::ApiServer);
        }
        let query = Query::parse(request.query.as_deref().unwrap_or_default());
        let info = RequestInfo::new(request.method.as_str(), &request.path, &query);
        let is_watch = info.verb == "watch";
        let work = self.work(request, &query, &info);
        let answer = if is_watch {
            work.await
        } else {
            let answer = timeout(REQUEST_TIMEOUT, work).await;
            answer.unwrap_or_else(|_| Err(Failure::request_timed_out()))
        };
        responsive(&self.config.behaviour).await;
        answer.unwrap_or_else(|failure| reply::failure(&failure))
    }

    async fn work(
        &self,
        request: Request,
        query: &Query,
        info: &RequestInfo,
    ) -> Result<Response, Failure> {
        responsive(&self.config.behaviour).await;
        let latency = (self.config.behaviour.current().latency)(request.peer.ip());
        tokio::time::sleep(latency).await;
        responsive(&self.config.behaviour).await;
        let user = self
            .authenticator
            .authenticate(&request, self.process.now())
            .map_err(|_| Failure::unauthorized())?;
        let trouble = self.config.behaviour.current().trouble;
        if let Some(trouble) = trouble.filter(|_| !health::is_health(&info.path)) {
            self.met(&request, Met::Trouble);
            return Ok(reply::trouble(trouble));
        }
        self.authorize(&user, info)?;
        if info.verb == "watch" {
            let event = Event::WatchRequested {
                user: user.name.clone(),
                resource: info.resource.clone(),
            };
            self.recorder.record(self.process.name(), event);
        }
        if request.headers.contains_key("impersonate-user") {
            return Err(self.not_modelled(&request));
        }
        if let Some(response) = self.fixed_path(&request, query, info)? {
            return Ok(response);
        }
        if let Some(resource) = resources::find(&info.group, &info.version, &info.resource) {
            return self.resource(resource, &user, &request, query, info).await;
        }
        if let Some(response) = self.openapi(&request, info).await? {
            return Ok(response);
        }
        self.elsewhere(&user, request, info).await
    }

    fn authorize(&self, user: &User, info: &RequestInfo) -> Result<(), Failure> {
        let attempt = Attempt {
            verb: info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: &info.path,
        };
        match self.config.policy.authorize(user, &attempt) {
            Decision::Allowed { .. } => Ok(()),
            Decision::Denied => Err(Failure::forbidden(
                &info.group,
                &info.resource,
                &info.name,
                &denial(user, &attempt),
            )),
        }
    }

    /// Paths that name no resource: health, version, discovery.
    fn fixed_path(
        &self,
        request: &Request,
        query: &Query,
        info: &RequestInfo,
    ) -> Result<Option<Response>, Failure> {
        if info.is_resource || request.method != http::Method::GET {
            return Ok(None);
        }
        if let Some(health) = health::respond(&info.path, query, self.is_complete()) {
            return Ok(Some(health));
        }
        let parts: Vec<&str> = info
            .path
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        let document = match parts.as_slice() {
            [] => documents::root(&self.registered()),
            ["version"] => return Ok(Some(health::version())),
            ["api"] | ["apis"] => return self.groups(request, &parts).map(Some),
            ["api", "v1"] => documents::resource_list("", "v1"),
            ["apis", group] => match self.version_of(group) {
                Some(version) => documents::group(group, &version),
                None => return Ok(None),
            },
            ["apis", group, version] if resources::GROUPS.contains(&(*group, *version)) => {
                documents::resource_list(group, version)
            }
            _ => return Ok(None),
        };
        Ok(Some(reply::json(200, &document)))
    }

    /// `/api` and `/apis`, in the form that the client prefers.
    fn groups(&self, request: &Request, parts: &[&str]) -> Result<Response, Failure> {
        let is_core = parts == ["api"];
        let aggregation = self.aggregation.borrow();
        if aggregation.is_none() && !is_core {
            self.met(request, Met::AggregatedPaths);
        }
        let form = negotiate::discovery(text(request, &header::ACCEPT));
        match form.ok_or_else(Failure::not_acceptable)? {
            Discovery::Legacy if is_core => {
                let address = self.config.addresses.first().map(ToString::to_string);
                let document = documents::core_versions(&address.unwrap_or_default());
                Ok(reply::json(200, &document))
            }
            Discovery::Legacy => {
                let registered = aggregation
                    .as_ref()
                    .map(|layer| layer.routes.group_versions());
                let document = documents::group_list(&registered.unwrap_or_default());
                Ok(reply::json(200, &document))
            }
            Discovery::Aggregated(form) => {
                let document = match aggregation.as_ref() {
                    _ if is_core => self.core_document(form),
                    Some(layer) => layer.discovery.document(form),
                    None => documents::aggregated(form, &[]),
                };
                Ok(tagged(request, form, document))
            }
        }
    }

    fn core_document(&self, form: &'static str) -> documents::Tagged {
        let mut documents = self.core_documents.borrow_mut();
        let document = documents
            .entry(form)
            .or_insert_with(|| documents::aggregated_core(form));
        document.clone()
    }

    fn version_of(&self, group: &str) -> Option<String> {
        let built_in = resources::GROUPS.iter().find(|(known, _)| *known == group);
        if let Some((_, version)) = built_in {
            return Some((*version).to_owned());
        }
        let aggregation = self.aggregation.borrow();
        let registered = aggregation.as_ref()?.routes.group_versions();
        let found = registered.into_iter().find(|(known, _)| known == group);
        found.map(|(_, version)| version)
    }

    async fn resource(
        &self,
        resource: &'static ResourceType,
        user: &User,
        request: &Request,
        query: &Query,
        info: &RequestInfo,
    ) -> Result<Response, Failure> {
        let include = Include::parse(query.get("includeObject"))?;
        let representation = negotiate::representation(text(request, &header::ACCEPT), include)
            .ok_or_else(Failure::not_acceptable)?;
        if !info.subresource.is_empty() || !resource.verbs.contains(&info.verb) {
            return Err(self.not_modelled(request));
        }
        if info.verb == "create" {
            return self.review(resource, user, request);
        }
        if is_misplaced(resource, info) {
            return Ok(reply::page_not_found());
        }
        let view = View {
            resource,
            representation,
            clock: self.process.clock(),
        };
        if resource.plural == "configmaps" {
            self.met(request, Met::AuthenticationConfig);
        }
        let caches = self.config.behaviour.current().watches;
        if info.verb == "watch" || caches == Watches::Initializing && info.verb == "list" {
            self.met(request, Met::Watches);
        }
        match info.verb {
            "get" => list::get(&self.store, &view, info),
            _ if caches == Watches::Initializing => {
                Err(Failure::cache_not_ready(self.config.behaviour.held()))
            }
            "list" => {
                self.reached(query).await?;
                list::list(&self.store, &view, info, query)
            }
            _ => {
                self.reached(query).await?;
                let (host, recorder) = (self.process.clone(), Rc::clone(&self.recorder));
                let server = watch::Server {
                    store: &self.store,
                    behaviour: &self.config.behaviour,
                    met: Rc::new(move || recorder.record(host.name(), Event::Met(Met::Watches))),
                };
                let random = &mut **self.watch_timeouts.borrow_mut();
                watch::watch(&server, view, info, query, random)
            }
        }
    }

    /// What can only be created, and is answered instead of kept.
    fn review(
        &self,
        resource: &ResourceType,
        user: &User,
        request: &Request,
    ) -> Result<Response, Failure> {
        let content_type = text(request, &header::CONTENT_TYPE).unwrap_or(reply::JSON);
        let format = content_type.split(';').next().unwrap_or_default().trim();
        let asked = reviews::read(resource.plural, format, &request.body)?;
        let (policy, now) = (&self.config.policy, self.process.now());
        match resource.plural {
            "tokenreviews" => reviews::token_review(&self.authenticator, &asked, now),
            "subjectaccessreviews" => Ok(reviews::subject_access_review(policy, &asked)),
            "selfsubjectaccessreviews" => {
                Ok(reviews::self_subject_access_review(policy, user, &asked))
            }
            "selfsubjectrulesreviews" => reviews::self_subject_rules_review(policy, user, &asked),
            "selfsubjectreviews" => Ok(reviews::self_subject_review(user)),
            _ => Err(self.not_modelled(request)),
        }
    }

    /// OpenAPI documents; those of aggregated APIs come from their backends.
    async fn openapi(
        &self,
        request: &Request,
        info: &RequestInfo,
    ) -> Result<Option<Response>, Failure> {
        let Some(path) = info.path.strip_prefix("/openapi/") else {
            return Ok(None);
        };
        if request.method != http::Method::GET {
            return Ok(None);
        }
        if !negotiate::takes_json(text(request, &header::ACCEPT)) {
            // Source: kube-openapi `pkg/handler/handler.go`: no body.
            return Ok(Some(Response::new(406, bytes::Bytes::new())));
        }
        if let Some(document) = openapi::document(path, &self.registered()) {
            return Ok(Some(reply::json(200, &document)));
        }
        let aggregation = self.aggregation.borrow().clone();
        let (Some(aggregation), Some(name)) = (aggregation, openapi::api_service(path)) else {
            return Ok(None);
        };
        let mut headers = http::HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(reply::JSON));
        let user = User::new("system:aggregator", &[]);
        let answer = aggregation
            .routes
            .ask(&name, &user, &info.path, headers, false);
        Ok(answer.await)
    }

    /// Groups and versions that APIServices add.
    fn registered(&self) -> Vec<(String, String)> {
        let aggregation = self.aggregation.borrow();
        let layer = aggregation.as_ref();
        layer
            .map(|layer| layer.routes.group_versions())
            .unwrap_or_default()
    }

    /// Waits for the version that a client has seen elsewhere.
    async fn reached(&self, query: &Query) -> Result<(), Failure> {
        let requested = query
            .get("resourceVersion")
            .and_then(|text| text.parse().ok());
        let Some(requested) = requested.filter(|&version| version > self.store.resource_version())
        else {
            return Ok(());
        };
        tokio::time::sleep(FRESHNESS_TIMEOUT).await;
        match self.store.resource_version() {
            current if current >= requested => Ok(()),
            current => Err(Failure::too_large_resource_version(requested, current)),
        }
    }

    /// Aggregated APIs, and what nobody serves.
    async fn elsewhere(
        &self,
        user: &User,
        request: Request,
        info: &RequestInfo,
    ) -> Result<Response, Failure> {
        if info.is_resource && resources::is_built_in(&info.group) || is_absent(&info.path) {
            return Err(self.not_modelled(&request));
        }
        let aggregation = self.aggregation.borrow().clone();
        let Some(aggregation) = aggregation else {
            self.met(&request, Met::AggregatedPaths);
            return Err(Failure::paths_not_installed());
        };
        if !aggregation.routes.covers(&info.path) {
            return Ok(reply::page_not_found());
        }
        let target = match &request.query {
            Some(query) => format!("{}?{query}", request.path),
            None => request.path.clone(),
        };
        let forward = Forward {
            method: request.method,
            target,
            headers: request.headers,
            body: request.body,
            peer: Some(request.peer),
            timeout: None,
        };
        Ok(aggregation.routes.forward(user, forward).await)
    }

    fn not_modelled(&self, request: &Request) -> Failure {
        let request = format!("{} {}", request.method, request.path);
        let failure = Failure::not_modelled(&request);
        self.recorder
            .record(self.process.name(), Event::NotModelled { request });
        failure
    }
}

/// Whether a path names a namespace for what is in none, or none for what is
/// in one: there is no such path.
fn is_misplaced(resource: &ResourceType, info: &RequestInfo) -> bool {
    let own = resource.plural == "namespaces";
    let in_namespace = !info.namespace.is_empty() && !own;
    let names_object = info.verb == "get";
    match resource.namespaced {
        true => names_object && !in_namespace,
        false => in_namespace,
    }
}

/// Paths of a real API server that name no resource and are not served here.
fn is_absent(path: &str) -> bool {
    let root = path.split('/').nth(1).unwrap_or_default();
    match root {
        "openapi" | "metrics" | "openid" | ".well-known" | "debug" | "logs" | "" => true,
        "apis" => {
            let group = path.split('/').nth(2).unwrap_or_default();
            resources::is_built_in(group)
        }
        _ => false,
    }
}

fn text<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    request
        .headers
        .get(name)
        .and_then(|value| value.to_str().ok())
}

/// A discovery document, or 304 for a client that has it.
///
/// Source: apiserver `pkg/endpoints/discovery/aggregated/etag.go:
/// ServeHTTPWithETag`.
fn tagged(request: &Request, form: &str, document: Tagged) -> Response {
    let known = text(request, &header::IF_NONE_MATCH) == Some(document.etag.as_str());
    let response = if known {
        Response::new(304, bytes::Bytes::new())
    } else {
        let kind =
            format!("application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList");
        Response::new(200, document.body).with_header(header::CONTENT_TYPE, &kind)
    };
    response
        .with_header(header::CACHE_CONTROL, "public")
        .with_header(header::ETAG, &document.etag)
        .with_header(header::VARY, "Accept")
}
