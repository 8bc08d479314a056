//! One connection: dialling, TLS, and what was last seen on it.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use seam::{BoxStream, Host};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::go_error::Failure;
use super::{Target, Timeouts};
use crate::event::Outcome;

/// A connection to an HTTP server.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    seen: Rc<Seen>,
    peer: SocketAddr,
}

/// What was last seen on a connection, above TLS.
#[derive(Default)]
struct Seen {
    received: Cell<u64>,
    written: Cell<u64>,
    error: RefCell<Option<io::Error>>,
    ended: Cell<bool>,
}

/// A request whose answer never began.
pub(super) struct Lost {
    pub(super) failure: Failure,
    /// Not a byte of the request left.
    pub(super) nothing_written: bool,
    /// The peer went away before the first byte of an answer.
    pub(super) before_answer: bool,
}

/// Dials, and shakes hands where TLS is spoken.
pub(super) async fn connect(
    host: &Host,
    tls: &Arc<rustls::ClientConfig>,
    target: &Target,
    timeouts: &Timeouts,
) -> Result<Connection, Failure> {
    let address = target.address;
    let stream = within(timeouts.dial, host.dial(address))
        .await
        .ok_or_else(|| Failure::dial_timeout(address))?
        .map_err(|error| Failure::dial(address, &error))?;
    let stream = if target.scheme_https {
        let connector = TlsConnector::from(Arc::clone(tls));
        let handshake = connector.connect(target.server_name.clone(), stream);
        let stream = within(timeouts.tls, handshake)
            .await
            .ok_or_else(Failure::tls_timeout)?
            .map_err(|error| Failure::io(address, &error))?;
        Layer::Tls(Box::new(stream))
    } else {
        Layer::Plain(stream)
    };
    let seen = Rc::new(Seen::default());
    let wire = Wire {
        stream,
        seen: Rc::clone(&seen),
    };
    let (sender, driver) = http1::Builder::new()
        .handshake(TokioIo::new(wire))
        .await
        .map_err(|error| Failure::new(Outcome::Reset, error.to_string()))?;
    host.spawn(async move {
        // Whoever waits for an answer learns of the error from `seen`.
        let _ = driver.await;
    });
    Ok(Connection {
        sender,
        seen,
        peer: address,
    })
}

async fn within<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    match limit {
        Some(limit) => timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}

impl Connection {
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and waits for the headers of its answer.
    pub(super) async fn round_trip(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Lost> {
        let received = self.seen.received.get();
        let written = self.seen.written.get();
        let result = match self.sender.ready().await {
            Ok(()) => self.sender.send_request(request).await,
            Err(error) => Err(error),
        };
        result.map_err(|error| {
            let answered = self.seen.received.get() > received;
            Lost {
                failure: self.failure(&error, answered),
                nothing_written: self.seen.written.get() == written,
                before_answer: !answered && self.is_gone(),
            }
        })
    }

    /// Why the body of an answer broke off.
    pub(super) fn body_failure(&self, error: &hyper::Error) -> Failure {
        self.failure(error, true)
    }

    fn is_gone(&self) -> bool {
        self.seen.ended.get() || self.seen.error.borrow().is_some()
    }

    fn failure(&self, error: &hyper::Error, answered: bool) -> Failure {
        if let Some(error) = &*self.seen.error.borrow() {
            return Failure::io(self.peer, error);
        }
        match (error.is_parse(), answered) {
            (true, _) => Failure::new(
                Outcome::Reset,
                format!("net/http: HTTP/1.x transport connection broken: {error}"),
            ),
            (false, true) => Failure::new(Outcome::Reset, "unexpected EOF"),
            (false, false) => Failure::new(Outcome::Reset, "EOF"),
        }
    }
}

/// The stream that HTTP is spoken on.
enum Layer {
    Plain(BoxStream),
    Tls(Box<TlsStream<BoxStream>>),
}

/// A stream that remembers how far it got and what ended it.
struct Wire {
    stream: Layer,
    seen: Rc<Seen>,
}

impl Wire {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            self.seen.error.borrow_mut().get_or_insert(error);
            kind.into()
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let result = ready!(match &mut this.stream {
            Layer::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Layer::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        });
        // Like Go's, this client takes a TLS connection that ends without
        // close_notify for one that ended.
        let result = match result {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            other => this.note(other),
        };
        let read = buf.filled().len() - before;
        this.seen
            .received
            .set(this.seen.received.get() + read as u64);
        if result.is_ok() && read == 0 {
            this.seen.ended.set(true);
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(match &mut this.stream {
            Layer::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Layer::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        });
        if let Ok(written) = &result {
            this.seen
                .written
                .set(this.seen.written.get() + *written as u64);
        }
        Poll::Ready(this.note(result))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = ready!(match &mut this.stream {
            Layer::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Layer::Tls(stream) => Pin::new(stream).poll_flush(cx),
        });
        Poll::Ready(this.note(result))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Layer::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Layer::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
