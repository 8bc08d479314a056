//! One connection: TLS, then HTTP/2 or HTTP/1.1 until either side is done.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use seam::{BoxStream, Host};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Server;
use super::opening::open;
use crate::pace::{Work, hold_up};

/// Source: lib: apiserver `pkg/server/secure_serving.go: Serve`.
const READ_HEADER_TIMEOUT: Duration = Duration::from_secs(32);
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Source: Go `net/http: (*Server).closeIdleConns`: a connection without a
/// request counts as idle after this.
const NEW_CONNECTION_GRACE: Duration = Duration::from_secs(5);

/// A request's head may not be larger.
///
/// DIFFERENCE: Go takes 1 MiB.
const MAX_HEAD: usize = 256 * 1024;

/// What is known of the other side.
#[derive(Debug, Default)]
pub(super) struct Peer {
    /// Its certificate chain, leaf first, not verified.
    pub(super) certificates: Option<Vec<CertificateDer<'static>>>,
}

/// When a connection was last in use.
struct Activity {
    requests: Cell<usize>,
    since: Cell<Instant>,
    allowed_idle: Cell<Duration>,
}

impl Activity {
    fn new() -> Self {
        Self {
            requests: Cell::new(0),
            since: Cell::new(Instant::now()),
            allowed_idle: Cell::new(READ_HEADER_TIMEOUT),
        }
    }

    /// Waits until the connection has been idle for too long.
    async fn idle(&self) {
        loop {
            let busy = self.requests.get() > 0;
            let idle = self.since.get().elapsed();
            let allowed = self.allowed_idle.get();
            if !busy && idle >= allowed {
                return;
            }
            sleep(if busy { allowed } else { allowed - idle }).await;
        }
    }
}

/// A request in progress; dropped at its end or when the client goes away.
struct InProgress(Rc<Activity>);

impl InProgress {
    fn begin(activity: &Rc<Activity>) -> Self {
        activity.requests.set(activity.requests.get() + 1);
        Self(Rc::clone(activity))
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
        self.0.since.set(Instant::now());
        self.0.allowed_idle.set(IDLE_TIMEOUT);
    }
}

/// Serves a connection from its first byte to its end.
pub(super) async fn serve(server: Rc<Server>, acceptor: TlsAcceptor, stream: BoxStream) {
    let handshake = timeout(READ_HEADER_TIMEOUT, async {
        hold_up(&*server.pace, Work::Handshake).await;
        acceptor.accept(open(stream).await?).await
    });
    let stream = match select(pin!(server.closing.requested()), pin!(handshake)).await {
        Either::Right((Ok(Ok(stream)), _)) => stream,
        Either::Right((Ok(Err(error)), _)) => {
            server.log.verbose(5, "server.go:3418", || {
                format!("http: TLS handshake error: {error}")
            });
            return;
        }
        Either::Right((Err(_), _)) | Either::Left(_) => return,
    };
    let _open = server.connections.open();
    speak(&server, stream).await;
}

async fn speak(server: &Rc<Server>, stream: TlsStream<BoxStream>) {
    let (_, tls) = stream.get_ref();
    let peer = Rc::new(Peer {
        certificates: tls.peer_certificates().map(|chain| {
            chain
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect()
        }),
    });
    let is_http2 = tls.alpn_protocol() == Some(b"h2");
    let activity = Rc::new(Activity::new());
    let service = {
        let server = Rc::clone(server);
        let activity = Rc::clone(&activity);
        service_fn(move |request| {
            answer(
                Rc::clone(&server),
                Rc::clone(&activity),
                Rc::clone(&peer),
                request,
            )
        })
    };
    let io = TokioIo::new(stream);
    if is_http2 {
        let connection = http2::Builder::new(Tasks(server.host.clone()))
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(server.max_streams)
            .max_header_list_size(MAX_HEAD as u32)
            .serve_connection(io, service);
        drive(
            server,
            connection,
            http2::Connection::graceful_shutdown,
            &activity,
        )
        .await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .header_read_timeout(None)
            .title_case_headers(true)
            .max_buf_size(MAX_HEAD)
            .serve_connection(io, service);
        drive(
            server,
            connection,
            http1::Connection::graceful_shutdown,
            &activity,
        )
        .await;
    }
}

async fn answer(
    server: Rc<Server>,
    activity: Rc<Activity>,
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let _progress = InProgress::begin(&activity);
    let (head, _body) = request.into_parts();
    Ok(server.handle(&peer, &head).await)
}

/// Runs a connection until it ends, is idle for too long, or the server
/// closes; then lets it finish what it has begun.
async fn drive<C: Future>(
    server: &Server,
    connection: C,
    finish: fn(Pin<&mut C>),
    activity: &Activity,
) {
    let mut connection = pin!(connection);
    {
        let closing = pin!(server.closing.requested());
        let idle = pin!(activity.idle());
        if let Either::Left(_) = select(connection.as_mut(), select(closing, idle)).await {
            return;
        }
    }
    finish(connection.as_mut());
    while timeout(NEW_CONNECTION_GRACE, connection.as_mut())
        .await
        .is_err()
    {
        if activity.requests.get() == 0 {
            return;
        }
    }
}

/// Starts the tasks that HTTP/2 needs for its streams.
#[derive(Clone)]
struct Tasks(Host);

impl<F: Future + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.0.spawn(async move {
            future.await;
        });
    }
}
