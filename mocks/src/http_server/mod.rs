//! An HTTP/1.1 server that behaves as Go's `net/http` does, on any listener.
//!
//! What it takes from Go: canonical header names, idle connections closed
//! after 90 s, the answer to plain HTTP on a TLS port, the bytes of a TLS
//! alert from a server without a certificate. What it leaves out: the `Date`
//! header, whose value would differ between runs.
//!
//! DIFFERENCE: Go's servers also speak HTTP/2. Here ALPN offers `http/1.1`
//! alone: one connection carries one exchange at a time.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{LocalBoxStream, StreamExt, TryStreamExt};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls_pki_types::CertificateDer;
use seam::{BoxListener, BoxStream, Host};
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A kube-apiserver's and a kubelet's `http.Server.IdleTimeout`. hyper has one
/// limit for waiting for a request and for its header to arrive whole.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// How long a TLS handshake may take.
///
/// DIFFERENCE: that of kube-apiserver; a kubelet grants hours.
///
/// Source: apiserver/pkg/server/secure_serving.go `ReadHeaderTimeout`, which
/// net/http takes for the handshake too.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(32);

/// How long a request's body may take to arrive: no longer than the whole
/// request may.
///
/// Source: apiserver/pkg/server/config.go, `RequestTimeout`.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest request header: `http.Server.MaxHeaderBytes`.
const HEADER_LIMIT: usize = 1 << 20;

/// Largest request body: `MaxRequestBodyBytes` of kube-apiserver.
///
/// Source: apiserver/pkg/server/config.go, `NewConfig`.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// A request, read to its end.
#[derive(Debug)]
pub struct Request {
    /// `GET`, …
    pub method: Method,
    /// The path as sent, still percent-encoded.
    pub path: String,
    /// What follows `?`, as sent.
    pub query: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The client's address.
    pub peer: SocketAddr,
    /// The certificate that the client showed and holds the key of. Nobody
    /// has checked who signed it.
    pub client_certificate: Option<CertificateDer<'static>>,
}

/// The body of a response.
pub enum Body {
    /// All of it, sent with its length.
    Full(Bytes),
    /// Pieces as they come, each sent at once; chunked unless the response
    /// has a `Content-Length`. An error, or an end before the length that was
    /// promised, breaks the connection off.
    Stream(LocalBoxStream<'static, io::Result<Bytes>>),
}

/// A response.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers in the order in which they are sent. `Content-Length` and
    /// `Transfer-Encoding` are added where they are missing.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Body,
}

impl Response {
    /// An answer without content type.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Full(body.into()),
        }
    }

    /// An error as Go's `http.Error(w, message, status)` writes it: text,
    /// marked `nosniff`, with a line feed appended to `message`.
    #[must_use]
    pub fn text(status: u16, message: &str) -> Self {
        Self::new(status, format!("{message}\n"))
            .with_header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .with_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
    }

    /// A text exactly as given, with the content type that Go detects for it.
    #[must_use]
    pub fn plain(status: u16, text: &str) -> Self {
        Self::new(status, text.to_owned())
            .with_header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
    }

    /// `value` in JSON, `Content-Type: application/json`, without a final
    /// line feed.
    ///
    /// # Panics
    ///
    /// If `value` has no JSON form, such as a map with keys that are no text.
    #[must_use]
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("our own values have a JSON form");
        Self::new(status, body).with_header(header::CONTENT_TYPE, "application/json")
    }

    /// A body that comes in pieces.
    #[must_use]
    pub fn stream(status: u16, pieces: LocalBoxStream<'static, io::Result<Bytes>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Stream(pieces),
        }
    }

    /// The response with one more header.
    ///
    /// # Panics
    ///
    /// If `value` holds control characters.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("header values are text of one line");
        self.headers.push((name, value));
        self
    }
}

/// Answers requests. A future that never ends is a server that never answers;
/// it is dropped when the client hangs up.
pub trait Handler {
    /// Answers `request`.
    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Response>;
}

/// What a new connection meets before HTTP.
#[derive(Clone)]
pub enum TlsChoice {
    /// HTTP without TLS.
    Plain,
    /// TLS.
    Serve(Arc<rustls::ServerConfig>),
    /// The handshake ends with the alert `internal_error`: a Go server whose
    /// `GetCertificate` fails.
    InternalError,
    /// The handshake is never answered, whatever changes later.
    Hang,
}

/// The words that go with a status: `Forbidden`; Go's where there are none.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    let code = StatusCode::from_u16(status).ok();
    code.and_then(|code| code.canonical_reason())
        .unwrap_or("unknown status code")
}

/// Serves `listener` until the future is dropped.
///
/// Each connection is a task of `host`'s process and outlives this future;
/// ending the process ends it. `tls` is asked once per connection.
pub async fn serve(
    host: Host,
    mut listener: BoxListener,
    tls: Rc<dyn Fn() -> TlsChoice>,
    handler: Rc<dyn Handler>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let choice = tls();
                host.spawn(serve_connection(stream, peer, choice, Rc::clone(&handler)));
            }
            // As `http.Server.Serve` does, so that a lasting error does not spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Serves one connection until it ends.
pub async fn serve_connection(
    mut stream: BoxStream,
    peer: SocketAddr,
    choice: TlsChoice,
    handler: Rc<dyn Handler>,
) {
    // How a connection ends is the client's to notice: every error here is one
    // that the other end has caused or will see.
    let _ = match choice {
        TlsChoice::Plain => exchange(stream, peer, None, handler).await,
        TlsChoice::Serve(config) => {
            match timeout(HANDSHAKE_TIMEOUT, secure(stream, config)).await {
                Ok(Ok(Some((stream, certificate)))) => {
                    exchange(stream, peer, certificate, handler).await
                }
                Ok(Ok(None)) | Err(_) => Ok(()),
                Ok(Err(error)) => Err(error),
            }
        }
        TlsChoice::InternalError => refuse_handshake(stream).await,
        TlsChoice::Hang => drain(&mut stream).await,
    };
}

/// A stream under TLS, and the certificate that the client showed.
type Secured = (TlsStream<Replay>, Option<CertificateDer<'static>>);

/// Shakes hands; `None` with somebody who speaks HTTP without TLS, and has
/// been told.
async fn secure(
    mut stream: BoxStream,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<Option<Secured>> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await?;
    if looks_like_http(header) {
        // Source: net/http/server.go, `conn.serve`.
        let answer = "HTTP/1.0 400 Bad Request\r\n\r\n\
                      Client sent an HTTP request to an HTTPS server.\n";
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        drain(&mut stream).await?;
        return Ok(None);
    }
    let stream = Replay {
        header,
        given: 0,
        stream,
    };
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .map(|certificate| certificate.clone().into_owned());
    Ok(Some((stream, certificate)))
}

/// Source: net/http/server.go, `tlsRecordHeaderLooksLikeHTTP`.
fn looks_like_http(header: [u8; 5]) -> bool {
    [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"].contains(&&header)
}

/// Answers a ClientHello as crypto/tls does when it has no certificate: with a
/// fatal alert in a plaintext record, which carries the version of TLS 1.2
/// even where 1.3 was agreed on.
async fn refuse_handshake(mut stream: BoxStream) -> io::Result<()> {
    const INTERNAL_ERROR: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x50];
    let mut header = [0; 5];
    stream.read_exact(&mut header).await?;
    // Leaving any of the record unread would turn the close into a reset, and
    // a reset may overtake the alert.
    let length = u16::from_be_bytes([header[3], header[4]]);
    let mut hello = vec![0; usize::from(length)];
    stream.read_exact(&mut hello).await?;
    stream.write_all(&INTERNAL_ERROR).await?;
    stream.shutdown().await?;
    drain(&mut stream).await
}

/// Reads and forgets until the other end closes.
async fn drain(stream: &mut BoxStream) -> io::Result<()> {
    let mut buffer = [0; 256];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

async fn exchange<S>(
    stream: S,
    peer: SocketAddr,
    certificate: Option<CertificateDer<'static>>,
    handler: Rc<dyn Handler>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service =
        service_fn(move |request| answer(request, peer, certificate.clone(), Rc::clone(&handler)));
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(HEADER_LIMIT)
        .auto_date_header(false)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

type HyperBody = Either<Full<Bytes>, StreamBody<LocalBoxStream<'static, io::Result<Frame<Bytes>>>>>;

async fn answer(
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    client_certificate: Option<CertificateDer<'static>>,
    handler: Rc<dyn Handler>,
) -> io::Result<hyper::Response<HyperBody>> {
    let (head, body) = request.into_parts();
    let body = timeout(BODY_TIMEOUT, Limited::new(body, BODY_LIMIT).collect());
    let response = match body.await {
        Err(_) => body_timed_out(),
        Ok(Ok(body)) => {
            let request = Request {
                method: head.method,
                path: head.uri.path().to_owned(),
                query: head.uri.query().map(str::to_owned),
                headers: head.headers,
                body: body.to_bytes(),
                peer,
                client_certificate,
            };
            handler.handle(request).await
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => too_large(),
        Ok(Err(error)) => return Err(io::Error::other(error)),
    };
    Ok(into_hyper(response))
}

/// Source: apiserver/pkg/server/filters/timeout.go.
fn body_timed_out() -> Response {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Timeout: request did not complete within the allotted timeout",
        "reason": "Timeout",
        "details": {},
        "code": 504,
    });
    Response::json(504, &status).with_header(header::CONNECTION, "close")
}

/// Source: apimachinery/pkg/api/errors, `NewRequestEntityTooLargeError`.
fn too_large() -> Response {
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("Request entity too large: limit is {BODY_LIMIT}"),
        "reason": "RequestEntityTooLarge",
        "code": 413,
    });
    Response::json(413, &status).with_header(header::CONNECTION, "close")
}

fn into_hyper(response: Response) -> hyper::Response<HyperBody> {
    let body = match response.body {
        Body::Full(bytes) => Either::Left(Full::new(bytes)),
        Body::Stream(pieces) => {
            Either::Right(StreamBody::new(pieces.map_ok(Frame::data).boxed_local()))
        }
    };
    let mut answer = hyper::Response::new(body);
    *answer.status_mut() =
        StatusCode::from_u16(response.status).expect("statuses have three digits");
    answer.headers_mut().extend(response.headers);
    answer
}

/// A stream whose first bytes have been read already.
struct Replay {
    header: [u8; 5],
    given: usize,
    stream: BoxStream,
}

impl AsyncRead for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let left = &self.header[self.given..];
        if left.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..length]);
        self.given += length;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Replay {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
