//! Requests to a backend.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{StreamExt, once};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, StatusCode};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::time::timeout;

use super::Context;
use super::api_service::{ApiService, ServiceRef, Trust};
use crate::apiserver::User;
use crate::http_client::{Client, IncomingResponse, OutgoingRequest, Settings, Stage, Target};
use crate::http_server::Response;
use crate::pki::Identity;
use crate::tls::{Verify, client_config};

/// A request for a group version itself gets this long.
///
/// Source: apiserver `pkg/util/proxy/proxy.go: aggregatedDiscoveryTimeout`.
pub(super) const DISCOVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// A request to be forwarded.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The client, unless the API server itself asks.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) timeout: Option<Duration>,
}

/// Where requests for a group version go, and whether they do.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) api: ApiService,
    pub(super) available: bool,
}

/// A client, or why there can be none.
type Built = Result<Rc<Client>, String>;

/// What a client was built with: how backends are trusted, and what is shown
/// to them.
#[derive(PartialEq)]
struct Kind {
    trust: Trust,
    front_proxy: Identity,
}

/// Forwards requests to backends. Connections are kept per kind of trust, as
/// transports with equal TLS settings are one; a new client certificate means
/// new connections.
pub(super) struct Proxy {
    context: Rc<Context>,
    clients: RefCell<Vec<(Kind, Built)>>,
}

impl Proxy {
    pub(super) fn new(context: Rc<Context>) -> Self {
        Self {
            context,
            clients: RefCell::default(),
        }
    }

    /// The client for backends that are trusted like this.
    pub(super) fn client(&self, trust: &Trust) -> Built {
        let front_proxy = self.context.config.front_proxy.current();
        let is_meant = |kind: &Kind| kind.trust == *trust && kind.front_proxy == *front_proxy;
        let mut clients = self.clients.borrow_mut();
        if let Some((_, client)) = clients.iter().find(|(kind, _)| is_meant(kind)) {
            return client.clone();
        }
        let client = self.build(trust).map(Rc::new);
        let kind = Kind {
            trust: trust.clone(),
            front_proxy: front_proxy.clone(),
        };
        clients.push((kind, client.clone()));
        client
    }

    fn build(&self, trust: &Trust) -> Result<Client, String> {
        let verify = match trust {
            Trust::Insecure => Verify::Insecure,
            Trust::Bundle(pem) => Verify::Roots(certificates(pem)?),
        };
        let process = &self.context.process;
        let front_proxy = self.context.config.front_proxy.current();
        let tls = client_config(&verify, Some(front_proxy), process.clock());
        Ok(Client::new(process.clone(), tls, Settings::default()))
    }

    /// Answers a request for `user` with what the backend says.
    ///
    /// Source: `kube-aggregator/pkg/apiserver/handler_proxy.go: ServeHTTP`.
    pub(super) async fn forward(&self, route: &Route, user: &User, request: Forward) -> Response {
        if !route.available {
            return Response::text(503, "service unavailable");
        }
        let client = match self.client(&route.api.trust) {
            Ok(client) => client,
            Err(error) => return Response::text(500, &error),
        };
        let Ok(address) = self.context.resolve(&route.api.service) else {
            return Response::text(503, "service unavailable");
        };
        let Ok(path) = request.target.parse::<PathAndQuery>() else {
            return Response::text(400, "400 Bad Request");
        };
        let outgoing = OutgoingRequest {
            target: target(address, &route.api.service),
            method: request.method.clone(),
            headers: forwarded_headers(&request, address, &path, user),
            path,
            body: request.body.clone(),
        };
        let sent = client.send(outgoing);
        let answer = match request.timeout {
            None => sent.await,
            Some(limit) => match timeout(limit, sent).await {
                Ok(answer) => answer,
                Err(_) => return unreachable("context deadline exceeded"),
            },
        };
        self.context.met(&answer);
        match answer {
            Ok(response) => relay(response),
            Err(error) if error.stage == Stage::Headers => unreachable(&error.text),
            // The answer had begun and cannot be taken back: it breaks off.
            Err(error) => {
                let broken = std::io::Error::other(error.text);
                Response::stream(200, once(async { Err(broken) }).boxed_local())
            }
        }
    }
}

/// Source: apimachinery `pkg/util/proxy/transport.go: RoundTrip`.
fn unreachable(error: &str) -> Response {
    Response::text(503, &format!("error trying to reach service: {error}"))
}

/// The backend at an address, under the name that its certificate must bear.
pub(super) fn target(address: SocketAddr, service: &ServiceRef) -> Rc<Target> {
    let name = ServerName::try_from(service.server_name());
    Rc::new(Target {
        server_name: name.unwrap_or_else(|_| ServerName::from(address.ip())),
        ..Target::https(address)
    })
}

/// Source: client-go `transport/transport.go: TLSConfigFor, rootCertPool`.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect();
    if found.is_empty() && !pem.is_empty() {
        return Err("unable to load root certificates: unable to parse bytes as PEM block".into());
    }
    Ok(found)
}

/// Headers that concern one connection only.
///
/// Source: `net/http/httputil/reverseproxy.go: hopHeaders`.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

fn forwarded_headers(
    request: &Forward,
    address: SocketAddr,
    path: &PathAndQuery,
    user: &User,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        // Credentials end at the API server, which vouches for the user.
        let dropped = HOP_BY_HOP.contains(name)
            || [header::AUTHORIZATION, header::HOST, header::CONTENT_LENGTH].contains(name)
            || name.as_str().starts_with("x-remote-");
        if !dropped {
            headers.append(name, value.clone());
        }
    }
    if let Some(peer) = request.peer {
        set(&mut headers, "x-forwarded-for", &peer.ip().to_string());
        set(&mut headers, "x-forwarded-host", &address.to_string());
        set(&mut headers, "x-forwarded-proto", "https");
        set(&mut headers, "x-forwarded-uri", path.path());
    }
    identify(&mut headers, user);
    headers
}

/// Says whom a request is from.
///
/// Source: client-go `transport/round_trippers.go: SetAuthProxyHeaders`.
pub(super) fn identify(headers: &mut HeaderMap, user: &User) {
    set(headers, "x-remote-user", &user.name);
    for group in &user.groups {
        append(headers, "x-remote-group", group);
    }
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", escape(key));
        for value in values {
            append(headers, &name, value);
        }
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.remove(name);
    append(headers, name, value);
}

/// A value that cannot stand in a header is left out, as Go refuses it.
fn append(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
        headers.append(name, value);
    }
}

/// Source: client-go `transport/round_trippers.go: headerKeyEscape`.
fn escape(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The backend's answer, unchanged; a redirect is refused.
///
/// Source: apimachinery `pkg/util/proxy/upgradeaware.go`.
fn relay(response: IncomingResponse) -> Response {
    let redirects =
        response.status.is_redirection() && response.headers.contains_key(header::LOCATION);
    if redirects && response.status != StatusCode::NOT_MODIFIED {
        return Response::plain(
            502,
            "the backend attempted to redirect this request, which is not permitted",
        );
    }
    let mut relayed = Response::new(response.status.as_u16(), response.body);
    let kept = response
        .headers
        .iter()
        .filter(|(name, _)| !HOP_BY_HOP.contains(name) && **name != header::CONTENT_LENGTH);
    relayed.headers = kept
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    relayed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_named_in_headers_and_clients_cannot_name_themselves() {
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-user", HeaderValue::from_static("root"));
        headers.insert("x-remote-group", HeaderValue::from_static("system:masters"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer t"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let request = Forward {
            method: Method::GET,
            target: "/apis".to_owned(),
            headers,
            body: Bytes::new(),
            peer: Some(([10, 0, 0, 9], 4711).into()),
            timeout: None,
        };
        let mut user = User::new("jo", &["staff"]);
        user.extra = vec![("example.org/team".to_owned(), vec!["a".to_owned()])];
        let address = ([10, 42, 0, 9], 10250).into();
        let headers = forwarded_headers(
            &request,
            address,
            &PathAndQuery::from_static("/apis?x=y"),
            &user,
        );
        let lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect();
        assert_eq!(
            lines,
            [
                "accept: application/json",
                "x-forwarded-for: 10.0.0.9",
                "x-forwarded-host: 10.42.0.9:10250",
                "x-forwarded-proto: https",
                "x-forwarded-uri: /apis",
                "x-remote-user: jo",
                "x-remote-group: staff",
                "x-remote-group: system:authenticated",
                "x-remote-extra-example.org%2fteam: a",
            ]
        );
    }

    #[test]
    fn redirects_are_refused_and_not_modified_is_none() {
        let response = |status, location: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(location) = location {
                headers.insert(header::LOCATION, HeaderValue::from_static(location));
            }
            relay(IncomingResponse {
                status: StatusCode::from_u16(status).expect("three digits"),
                headers,
                body: Bytes::new(),
            })
        };
        assert_eq!(response(302, Some("https://elsewhere/")).status, 502);
        assert_eq!(response(304, None).status, 304);
        assert_eq!(response(404, None).status, 404);
    }

    #[test]
    fn a_bundle_without_certificates_is_an_error_and_no_bundle_trusts_nobody() {
        assert_eq!(
            certificates(b"nonsense"),
            Err("unable to load root certificates: unable to parse bytes as PEM block".into())
        );
        assert_eq!(certificates(b""), Ok(Vec::new()));
    }
}
