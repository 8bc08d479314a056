//! HTTP requests over kept-alive connections.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use seam::Host;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::connect::{Security, connect};
use super::error::{ErrorKind, TransportError};

/// Source: lib: apimachinery `pkg/util/net/http.go: SetOldTransportDefaults`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Source: lib: client-go `transport/cache.go: idleConnsPerHost`.
const MAX_IDLE_PER_HOST: usize = 25;

/// hyper's buffers grow up to this while a body is read.
const MAX_BUFFER: usize = 64 * 1024;

/// Whom to connect to: a name or literal address without brackets, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authority {
    /// Name or address.
    pub host: Rc<str>,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Authority {
    /// Source: Go `net: JoinHostPort`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A client: one way of securing connections, and the idle ones by peer.
pub struct HttpClient {
    host: Host,
    security: Option<Security>,
    idle: RefCell<BTreeMap<Authority, Vec<Connection>>>,
    reaping: Cell<bool>,
}

struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    /// When it became idle; of no meaning while in use.
    idle_since: Instant,
}

/// An answer whose body has not been read yet.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    body: Incoming,
    client: Rc<HttpClient>,
    authority: Authority,
    connection: Connection,
}

impl HttpClient {
    /// A client on this machine; without `security` it speaks plain HTTP.
    #[must_use]
    pub fn new(host: Host, security: Option<Security>) -> Rc<Self> {
        Rc::new(Self {
            host,
            security,
            idle: RefCell::default(),
            reaping: Cell::new(false),
        })
    }

    /// Sends a request and waits for the head of the answer. A kept-alive
    /// connection that turns out to be closed is replaced.
    ///
    /// Source: Go `net/http: (*Transport).roundTrip,
    /// (*persistConn).shouldRetryRequest`.
    ///
    /// # Errors
    ///
    /// Everything that can happen until then, in Go's words.
    pub async fn send(
        self: &Rc<Self>,
        authority: &Authority,
        request: Request<Full<Bytes>>,
    ) -> Result<Response, TransportError> {
        while let Some(mut connection) = self.take_idle(authority) {
            if connection.sender.ready().await.is_err() {
                continue;
            }
            match connection.sender.send_request(request.clone()).await {
                Ok(response) => return Ok(self.response(authority, connection, response)),
                Err(error) => {
                    let error = TransportError::http(connection.address, &error);
                    if !matches!(error.kind, ErrorKind::Eof | ErrorKind::Reset) {
                        return Err(error);
                    }
                }
            }
        }
        let mut connection = self.fresh(authority).await?;
        match connection.sender.send_request(request).await {
            Ok(response) => Ok(self.response(authority, connection, response)),
            Err(error) => Err(TransportError::http(connection.address, &error)),
        }
    }

    fn response(
        self: &Rc<Self>,
        authority: &Authority,
        connection: Connection,
        response: http::Response<Incoming>,
    ) -> Response {
        let (head, body) = response.into_parts();
        Response {
            status: head.status,
            headers: head.headers,
            body,
            client: Rc::clone(self),
            authority: authority.clone(),
            connection,
        }
    }

    /// A new connection. Connecting goes on when the caller gives up, and
    /// then serves a later request.
    ///
    /// Source: Go `net/http: (*Transport).getConn`, which detaches the dial
    /// from the request's context.
    async fn fresh(self: &Rc<Self>, authority: &Authority) -> Result<Connection, TransportError> {
        let (deliver, delivered) = oneshot::channel();
        let client = Rc::clone(self);
        let target = authority.clone();
        self.host.spawn(async move {
            let result = client.open(&target).await;
            if let Err(Ok(unwanted)) = deliver.send(result) {
                client.keep(&target, unwanted);
            }
        });
        // The task ends without an answer only if the process is killed.
        delivered
            .await
            .unwrap_or_else(|_| Err(TransportError::eof()))
    }

    async fn open(&self, authority: &Authority) -> Result<Connection, TransportError> {
        let (address, stream) = connect(&self.host, authority, self.security.as_ref()).await?;
        let handshake = Builder::new()
            .title_case_headers(true)
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream));
        let (sender, driver) = handshake
            .await
            .map_err(|error| TransportError::http(address, &error))?;
        self.host.spawn(async move {
            // Its failure reaches whoever waits for an answer.
            let _ = driver.await;
        });
        Ok(Connection {
            address,
            sender,
            idle_since: Instant::now(),
        })
    }

    fn take_idle(&self, authority: &Authority) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(authority)?;
        let mut found = None;
        while found.is_none() && !connections.is_empty() {
            found = connections
                .pop()
                .filter(|connection| !connection.sender.is_closed());
        }
        if connections.is_empty() {
            idle.remove(authority);
        }
        found
    }

    fn keep(self: &Rc<Self>, authority: &Authority, mut connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        connection.idle_since = Instant::now();
        {
            let mut idle = self.idle.borrow_mut();
            let connections = idle.entry(authority.clone()).or_default();
            if connections.len() >= MAX_IDLE_PER_HOST {
                return;
            }
            connections.push(connection);
        }
        if !self.reaping.replace(true) {
            let client = Rc::clone(self);
            self.host.spawn(async move { client.reap().await });
        }
    }

    /// Closes connections that have been idle for too long, until none is
    /// left.
    async fn reap(&self) {
        while let Some(oldest) = self.oldest_idle() {
            sleep_until(oldest + IDLE_TIMEOUT).await;
            let now = Instant::now();
            self.idle.borrow_mut().retain(|_, connections| {
                connections.retain(|connection| now < connection.idle_since + IDLE_TIMEOUT);
                !connections.is_empty()
            });
        }
        self.reaping.set(false);
    }

    fn oldest_idle(&self) -> Option<Instant> {
        let idle = self.idle.borrow();
        idle.values()
            .flatten()
            .map(|connection| connection.idle_since)
            .min()
    }
}

impl Response {
    /// Reads the whole body into `buffer`, which is emptied first, undoing
    /// gzip, and gives the connection back.
    ///
    /// DIFFERENCE: Go has no limit.
    ///
    /// # Errors
    ///
    /// `unexpected EOF` and the like; [`ErrorKind::Malformed`] if the body is
    /// larger than `limit` bytes.
    pub async fn read_into(
        mut self,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), TransportError> {
        buffer.clear();
        while let Some(chunk) = self.chunk().await? {
            if buffer.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            buffer.extend_from_slice(&chunk);
        }
        if self
            .headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|value| value == "gzip")
        {
            *buffer = gunzip(buffer, limit)?;
        }
        self.client.keep(&self.authority, self.connection);
        Ok(())
    }

    /// The next piece of the body, `None` at its end. Cancelling loses
    /// nothing.
    ///
    /// # Errors
    ///
    /// `unexpected EOF` and the like.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, TransportError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    return Err(TransportError::http(self.connection.address, &error).in_body());
                }
            }
        }
    }
}

fn too_large(limit: usize) -> TransportError {
    let text = format!("response body is larger than {} MiB", limit >> 20);
    TransportError::new(ErrorKind::Malformed, text)
}

fn gunzip(compressed: &[u8], limit: usize) -> Result<Vec<u8>, TransportError> {
    let mut plain = Vec::new();
    let allowed = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = flate2::read::MultiGzDecoder::new(compressed).take(allowed);
    match decoder.read_to_end(&mut plain) {
        Ok(_) if plain.len() > limit => Err(too_large(limit)),
        Ok(_) => Ok(plain),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(TransportError::new(ErrorKind::Malformed, "unexpected EOF"))
        }
        Err(_) => Err(TransportError::new(
            ErrorKind::Malformed,
            "gzip: invalid header",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_gzip_body_cannot_grow_without_bound() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut encoder, &vec![0; 3 << 20]).expect("writing to memory");
        let compressed = encoder.finish().expect("writing to memory");
        assert!(compressed.len() < 1 << 16);
        assert_eq!(
            gunzip(&compressed, 4 << 20).map(|plain| plain.len()),
            Ok(3 << 20)
        );
        let error = gunzip(&compressed, 2 << 20).expect_err("larger than the limit");
        assert_eq!(error.text, "response body is larger than 2 MiB");
    }

    #[test]
    fn literal_ipv6_addresses_are_bracketed() {
        let authority = Authority {
            host: "fd00::1".into(),
            port: 10250,
        };
        assert_eq!(authority.to_string(), "[fd00::1]:10250");
    }
}
