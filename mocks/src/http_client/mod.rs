//! An HTTP/1.1 client that fails in Go's words.
//!
//! Everything in a cluster that talks to metrics-server or to the API server
//! is written in Go, and its users read what `net/http` printed. This client
//! therefore keeps connections, gives up and retries as `net/http.Transport`
//! does, and reports failures in its texts.
//!
//! - this file: [`Client`], requests, answers, idle connections, retries;
//! - `go_error`: failures and their texts;
//! - `wire`: dialling, TLS, and what was last seen on a connection.
//!
//! DIFFERENCE: HTTP/1.1 only. Go negotiates HTTP/2 over TLS, where one
//! connection carries every request and a dead one is noticed by pings.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use rustls_pki_types::ServerName;
use seam::Host;
use tokio::time::{Instant, timeout};

mod go_error;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod wire;

pub use go_error::{ClientError, Stage};

use go_error::Failure;
use wire::Connection;

/// How long an unused connection may be used again.
/// Source: client-go and `net/http.DefaultTransport`, `IdleConnTimeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Unused connections kept per target.
/// Source: `client-go/transport/cache.go idleConnsPerHost`.
const MAX_IDLE_PER_TARGET: usize = 25;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether TLS is spoken.
    pub scheme_https: bool,
    /// What is dialled.
    pub address: SocketAddr,
    /// `host:port` as in the `Host` header and in the texts of errors.
    pub authority: String,
    /// The name that the peer's certificate must bear, if it is verified.
    pub server_name: ServerName<'static>,
}

impl Target {
    /// A TLS server that is known by its address.
    #[must_use]
    pub fn https(address: SocketAddr) -> Self {
        Self {
            scheme_https: true,
            address,
            authority: address.to_string(),
            server_name: ServerName::IpAddress(address.ip().into()),
        }
    }

    /// `https://10.42.0.9:10250/readyz`
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.scheme_https { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.authority)
    }
}

/// How long the parts of an exchange may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP connection: `net.Dialer.Timeout`.
    pub dial: Option<Duration>,
    /// TLS handshake: `http.Transport.TLSHandshakeTimeout`.
    pub tls: Option<Duration>,
    /// Everything, from dialling to the last byte of the body:
    /// `http.Client.Timeout`.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    /// Those of client-go's transports: 30 s, 10 s, none.
    /// Source: `client-go/transport/cache.go tlsTransportCache.get`.
    fn default() -> Self {
        Self {
            dial: Some(Duration::from_secs(30)),
            tls: Some(Duration::from_secs(10)),
            total: None,
        }
    }
}

/// How a [`Client`] behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long it waits.
    pub timeouts: Timeouts,
    /// Whether connections are used again. If not, requests say
    /// `Connection: close`, as Go's do.
    pub keep_alive: bool,
    /// How many bytes of a body are read. What follows is not read, and the
    /// connection is closed.
    pub body_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            keep_alive: true,
            body_limit: 64 << 20,
        }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct OutgoingRequest {
    /// Where it goes.
    pub target: Rc<Target>,
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: PathAndQuery,
    /// Its headers; `Host` is added.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl OutgoingRequest {
    /// A GET without headers.
    #[must_use]
    pub fn get(target: &Rc<Target>, path: PathAndQuery) -> Self {
        Self {
            target: Rc::clone(target),
            method: Method::GET,
            path,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// Whether it may be sent twice. Source: `net/http Request.isReplayable`.
    fn is_replayable(&self) -> bool {
        let safe = matches!(
            self.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
        );
        // Bodies are held in memory, so that Go's `GetBody` would be set.
        safe || self.headers.contains_key("idempotency-key")
            || self.headers.contains_key("x-idempotency-key")
    }

    fn to_hyper(&self, keep_alive: bool) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.path.clone());
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        let host = HeaderValue::from_str(&self.target.authority)
            .expect("host and port are printable ASCII");
        headers.insert(HOST, host);
        if !keep_alive {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        request
    }
}

/// An answer, read to the end or to the limit.
#[derive(Debug, Clone)]
pub struct IncomingResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most as long as [`Settings::body_limit`].
    pub body: Bytes,
}

/// A client on one machine, with one TLS configuration.
pub struct Client {
    host: Host,
    tls: Arc<rustls::ClientConfig>,
    settings: Settings,
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    target: Rc<Target>,
    connection: Connection,
    since: Instant,
}

impl Client {
    /// A client that dials from `host`.
    #[must_use]
    pub fn new(host: Host, tls: Arc<rustls::ClientConfig>, settings: Settings) -> Self {
        Self {
            host,
            tls,
            settings,
            idle: RefCell::default(),
        }
    }

    /// Sends a request and reads the answer. Dropping the future closes the
    /// connection that it was using.
    ///
    /// # Errors
    ///
    /// If there was no answer, or not all of it. Statuses are not errors.
    pub async fn send(&self, request: OutgoingRequest) -> Result<IncomingResponse, ClientError> {
        let stage = Cell::new(Stage::Headers);
        let exchange = self.exchange(&request, &stage);
        let result = match self.settings.timeouts.total {
            Some(total) => timeout(total, exchange)
                .await
                .unwrap_or_else(|_| Err(Failure::client_timeout(stage.get()))),
            None => exchange.await,
        };
        result.map_err(|failure| failure.of(&request, stage.get()))
    }

    /// Closes the connections that are not in use:
    /// `http.Transport.CloseIdleConnections`.
    pub fn close_idle(&self) {
        self.idle.borrow_mut().clear();
    }

    async fn exchange(
        &self,
        request: &OutgoingRequest,
        stage: &Cell<Stage>,
    ) -> Result<IncomingResponse, Failure> {
        loop {
            let (mut connection, reused) = match self.take_idle(&request.target) {
                Some(connection) => (connection, true),
                None => (self.connect(&request.target).await?, false),
            };
            let outgoing = request.to_hyper(self.settings.keep_alive);
            match connection.round_trip(outgoing).await {
                Ok(response) => {
                    stage.set(Stage::Body);
                    return self.receive(response, connection, request).await;
                }
                // Source: net/http `persistConn.shouldRetryRequest`: only a
                // connection that served before can have been closed by a
                // server that never saw this request.
                Err(lost)
                    if reused
                        && (lost.nothing_written || lost.before_answer)
                        && (lost.nothing_written || request.is_replayable()) => {}
                Err(lost) => return Err(lost.failure),
            }
        }
    }

    async fn connect(&self, target: &Target) -> Result<Connection, Failure> {
        wire::connect(&self.host, &self.tls, target, &self.settings.timeouts).await
    }

    async fn receive(
        &self,
        response: Response<Incoming>,
        connection: Connection,
        request: &OutgoingRequest,
    ) -> Result<IncomingResponse, Failure> {
        let (head, body) = response.into_parts();
        let (body, complete) = read_body(body, self.settings.body_limit, &connection).await?;
        if complete && self.settings.keep_alive {
            self.keep(&request.target, connection);
        }
        Ok(IncomingResponse {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    fn keep(&self, target: &Rc<Target>, connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        let same = idle.iter().filter(|kept| kept.target == *target).count();
        if same < MAX_IDLE_PER_TARGET {
            idle.push(Idle {
                target: Rc::clone(target),
                connection,
                since: Instant::now(),
            });
        }
    }

    /// The connection to `target` that was used last.
    ///
    /// DIFFERENCE: Go closes a connection when it has been idle for 90 s, this
    /// when it would have been used next.
    fn take_idle(&self, target: &Rc<Target>) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|kept| !kept.connection.is_closed() && kept.since.elapsed() < IDLE_TIMEOUT);
        let latest = idle.iter().rposition(|kept| kept.target == *target)?;
        Some(idle.remove(latest).connection)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.host)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Returns what was read and whether that is everything.
async fn read_body(
    mut body: Incoming,
    limit: usize,
    connection: &Connection,
) -> Result<(Bytes, bool), Failure> {
    let announced = body.size_hint().exact();
    let announced = announced.and_then(|length| usize::try_from(length).ok());
    let mut whole = Gathered {
        expected: announced.unwrap_or(0).min(limit),
        ..Gathered::default()
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| connection.body_failure(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > limit {
            whole.push(data.slice(..limit - whole.len()));
            return Ok((whole.into_bytes(), false));
        }
        whole.push(data);
    }
    Ok((whole.into_bytes(), true))
}

/// A body in one piece; it is copied only if it came in several.
#[derive(Default)]
struct Gathered {
    only: Bytes,
    several: BytesMut,
    /// Its length, where the server announced it.
    expected: usize,
}

impl Gathered {
    fn len(&self) -> usize {
        self.only.len() + self.several.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.len() == 0 {
            self.only = data;
            return;
        }
        if self.several.is_empty() {
            self.several.reserve(self.expected);
        }
        self.several
            .extend_from_slice(&std::mem::take(&mut self.only));
        self.several.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.several.is_empty() {
            self.only
        } else {
            self.several.freeze()
        }
    }
}
