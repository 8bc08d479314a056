//! One request: who asks, may they, and the answer.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use tokio::time::timeout;

use super::Server;
use super::connection::Peer;
use crate::api::query::unescape;
use crate::api::reply::PLAIN_TEXT;
use crate::api::{self, ApiRequest, Note, Reply, View, status};
use crate::auth::attributes::Question;
use crate::auth::authorize::Decision;
use crate::exposition;
use crate::health::{self, Endpoint};
use crate::klog::Quoted;
use crate::pace::{Work, hold_up};

/// Source: lib: apiserver `pkg/server/filters/maxinflight.go: retryAfter`.
const RETRY_AFTER: &str = "1";

impl Server {
    /// Answers a request.
    ///
    /// DIFFERENCE: `/debug/pprof`, `/debug/flags/v` and `/statusz` are not
    /// served.
    ///
    /// Source: lib: apiserver `pkg/server/config.go: DefaultBuildHandlerChain`.
    pub(super) async fn handle(&self, peer: &Peer, head: &Parts) -> Response<Full<Bytes>> {
        let accept = joined(&head.headers, header::ACCEPT);
        let text = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let request = ApiRequest {
            method: head.method.as_str(),
            path: head.uri.path(),
            query: head.uri.query(),
            accept: accept.as_deref(),
            user_agent: text(header::USER_AGENT),
            if_none_match: text(header::IF_NONE_MATCH),
            accept_encoding: text(header::ACCEPT_ENCODING),
        };
        let limit = self.options.server.request_timeout.to_std();
        let reply = match timeout(limit, self.decide(peer, &head.headers, &request)).await {
            Ok(reply) => reply,
            Err(_) => status::timeout(&request),
        };
        self.response(&head.headers, reply)
    }

    async fn decide(&self, peer: &Peer, headers: &HeaderMap, request: &ApiRequest<'_>) -> Reply {
        hold_up(&*self.pace, Work::Request { path: request.path }).await;
        let user = match self
            .authenticator
            .authenticate(headers, peer.certificates.as_deref())
            .await
        {
            Ok(user) => user,
            Err(error) => {
                let message = match self.version.names_unverified_certificates() {
                    true => {
                        let error = Quoted(&error);
                        format!("\"Unable to authenticate the request\" err={error}")
                    }
                    false => format!("Unable to authenticate the request due to an error: {error}"),
                };
                self.log.error("authentication.go:75", message);
                return status::unauthorized(request);
            }
        };
        let is_master = user.groups.iter().any(|group| group == "system:masters");
        let _place = match self.in_flight.enter() {
            Some(place) => Some(place),
            None if is_master => None,
            None => return too_many_requests(),
        };
        let path = unescape(request.path).unwrap_or(Cow::Borrowed(request.path));
        let asked = Question::of(request.method, &path, request.query);
        match self.authorizer.authorize(&user, &asked).await {
            Decision::Allow => {
                let respond = || self.respond(&path, request);
                self.log.asked_by(request.user_agent.unwrap_or(""), respond)
            }
            Decision::Deny(reason) => {
                status::forbidden(request, &user.name, &asked.attributes(), &reason)
            }
            Decision::Failed(error) => internal_error(request, &error),
        }
    }

    fn respond(&self, path: &str, request: &ApiRequest<'_>) -> Reply {
        for endpoint in [Endpoint::Healthz, Endpoint::Livez, Endpoint::Readyz] {
            let Some(checks) = endpoint.checks(self.version.probes()) else {
                continue;
            };
            if path == endpoint.path() {
                return self.health(endpoint, request.query);
            }
            let single = path
                .strip_prefix(endpoint.path())
                .and_then(|rest| rest.strip_prefix('/'));
            if let Some(name) = checks.iter().find(|name| Some(**name) == single) {
                return health::respond_single(&self.check(name));
            }
        }
        if path == "/metrics" {
            let text = self.collected.registry.borrow().encode();
            return Reply::new(200, exposition::CONTENT_TYPE, text);
        }
        let caches = self.cluster.caches();
        let store = self.collected.store.borrow();
        let view = View {
            version: self.version,
            caches: &caches,
            store: &store,
            node_selector: &self.selector,
            port: self.port,
            now: self.host.now(),
        };
        api::respond(request, &view, &mut |note| self.take_note(note))
    }

    fn health(&self, endpoint: Endpoint, query: Option<&str>) -> Reply {
        let checks = self.checks(endpoint);
        let failed: Vec<_> = checks
            .iter()
            .filter(|check| check.failure.is_some())
            .collect();
        if !failed.is_empty() {
            self.log.verbose(2, "healthz.go:261", || {
                let names: Vec<_> = failed.iter().map(|check| check.name).collect();
                let mut text = format!(
                    "{} check failed: {}",
                    names.join(","),
                    &endpoint.path()[1..]
                );
                for check in &failed {
                    let reason = check.failure.as_deref().unwrap_or_default();
                    text.push_str(&format!("\n[-]{} failed: {reason}", check.name));
                }
                text
            });
        }
        health::respond(endpoint, query, &checks)
    }

    /// DIFFERENCE: the Go program logs a node as its whole structure.
    fn take_note(&self, note: Note<'_>) {
        match note {
            Note::Freshness { seconds } => self
                .collected
                .registry
                .borrow_mut()
                .observe_freshness(seconds),
            Note::NodeSkipped { node, error } => self.log.error(
                "node.go:205",
                format!(
                    "\"Skipping node usage metric\" err={} node={}",
                    Quoted(&error.to_string()),
                    Quoted(node)
                ),
            ),
            Note::ContainerSkipped {
                pod,
                container,
                error,
            } => self.log.error(
                "pod.go:98",
                format!(
                    "\"Skipping container usage metric\" err={} container={} pod={}",
                    Quoted(&error.to_string()),
                    Quoted(container),
                    Quoted(&format!("{}/{}", pod.namespace, pod.name))
                ),
            ),
            Note::LargeValue(value) => self.log.verbose(2, "types.go:97", || {
                format!(
                    "\"Found unexpectedly large resource value, losing precision to fit in scaled \
                     resource.Quantity\" value={value}"
                )
            }),
        }
    }

    fn response(&self, headers: &HeaderMap, reply: Reply) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(reply.body));
        *response.status_mut() =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let fields = response.headers_mut();
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(reply.content_type),
        );
        fields.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, private"),
        );
        fields.insert("audit-id", self.audit_id(headers));
        for (name, value) in reply.headers {
            let pair = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(&value),
            );
            if let (Ok(name), Ok(value)) = pair {
                fields.insert(name, value);
            }
        }
        response
    }

    /// The client's own identifier, or a random UUID.
    ///
    /// Source: lib: apiserver `pkg/endpoints/filters/audit_init.go:
    /// withAuditInit`.
    fn audit_id(&self, headers: &HeaderMap) -> HeaderValue {
        if let Some(given) = headers
            .get("audit-id")
            .filter(|id| !id.is_empty() && id.len() <= 64)
        {
            return given.clone();
        }
        let mut random = self.audit_ids.borrow_mut();
        let (high, low) = (random.next_u64(), random.next_u64());
        let text = format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        );
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Several headers of a name are one list.
fn joined(headers: &HeaderMap, name: HeaderName) -> Option<Rc<str>> {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    (!values.is_empty()).then(|| values.join(",").into())
}

/// Source: lib: apiserver `pkg/server/filters/maxinflight.go:
/// tooManyRequests`.
fn too_many_requests() -> Reply {
    Reply::new(
        429,
        PLAIN_TEXT,
        "Too many requests, please try again later.\n",
    )
    .with_header("Retry-After", RETRY_AFTER)
    .with_header("X-Content-Type-Options", "nosniff")
}

/// Source: lib: apiserver `pkg/endpoints/handlers/responsewriters/errors.go:
/// InternalError`.
fn internal_error(request: &ApiRequest<'_>, error: &str) -> Reply {
    let mut target = request.path.to_owned();
    if let Some(query) = request.query {
        target = format!("{target}?{query}");
    }
    let target = target
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let body = format!("Internal Server Error: {}: {error}\n", Quoted(&target));
    Reply::new(500, PLAIN_TEXT, body).with_header("X-Content-Type-Options", "nosniff")
}
