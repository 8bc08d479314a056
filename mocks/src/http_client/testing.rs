//! A network of in-memory pipes, a settable clock and a plain HTTP server, for
//! unit tests.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use seam::{
    BoxListener, BoxStream, Entropy, Files, Host, Listener, LookupError, Network, Random,
    Timestamp, WallClock,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Target;
use crate::event::{Event, Recorder};
use crate::tls::{Verify, client_config};

/// Runs a test on a paused clock.
pub(crate) fn paused<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O can always be built")
        .block_on(tokio::task::LocalSet::new().run_until(test));
}

/// Seconds and milliseconds since `start`, as recordings count them.
pub(crate) fn millis_since(start: Instant) -> u128 {
    start.elapsed().as_millis()
}

/// Sockets made of pipes. Nobody listens: connection refused.
#[derive(Default)]
pub(crate) struct Pipes {
    listeners: RefCell<BTreeMap<SocketAddr, mpsc::UnboundedSender<BoxStream>>>,
}

impl Pipes {
    pub(crate) fn new() -> Rc<Self> {
        Rc::default()
    }

    /// A machine on this network whose clock starts at `epoch`.
    pub(crate) fn host(self: &Rc<Self>, name: &str, clock: &Arc<TestClock>) -> Host {
        Host::new(
            name,
            Rc::new(Plug(Rc::clone(self))),
            Arc::clone(clock) as Arc<dyn WallClock>,
            Rc::new(NamedEntropy),
            Rc::new(NoFiles),
        )
    }
}

struct Plug(Rc<Pipes>);

impl Network for Plug {
    fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxStream>> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let accepted = match self.0.listeners.borrow().get(&address) {
            Some(listener) => listener.send(Box::new(far)).is_ok(),
            None => false,
        };
        async move {
            tokio::task::yield_now().await;
            match accepted {
                true => Ok(Box::new(near) as BoxStream),
                false => Err(io::ErrorKind::ConnectionRefused.into()),
            }
        }
        .boxed_local()
    }

    fn listen(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxListener>> {
        let (sender, incoming) = mpsc::unbounded_channel();
        self.0.listeners.borrow_mut().insert(address, sender);
        async move { Ok(Box::new(Accepting { incoming, address }) as BoxListener) }.boxed_local()
    }

    fn lookup(&self, _name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        async { Err(LookupError::NoSuchHost { server: None }) }.boxed_local()
    }
}

struct Accepting {
    incoming: mpsc::UnboundedReceiver<BoxStream>,
    address: SocketAddr,
}

impl Listener for Accepting {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>> {
        self.incoming.poll_recv(cx).map(|stream| match stream {
            Some(stream) => Ok((stream, self.address)),
            None => Err(io::ErrorKind::NotConnected.into()),
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// A wall clock that follows virtual time and can be stepped.
#[derive(Debug)]
pub(crate) struct TestClock {
    start: Instant,
    epoch: AtomicI64,
}

impl TestClock {
    /// Shows 2026-11-23T09:22:00Z now.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            epoch: AtomicI64::new(1_795_425_720_000_000_000),
        })
    }

    pub(crate) fn step(&self, seconds: i64) {
        self.epoch
            .fetch_add(seconds * 1_000_000_000, Ordering::Relaxed);
    }
}

impl WallClock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.epoch.load(Ordering::Relaxed)).after(self.start.elapsed())
    }
}

struct NamedEntropy;

impl Entropy for NamedEntropy {
    fn stream(&self, name: &str) -> Box<dyn Random> {
        let seed = name.bytes().fold(7_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Box::new(Weyl(seed))
    }
}

struct Weyl(u64);

impl Random for Weyl {
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0 ^ (self.0 >> 29)
    }
}

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn write(&self, _path: &str, _contents: &[u8], _private: bool) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Events with the virtual milliseconds at which they came.
pub(crate) struct Recording {
    start: Instant,
    events: RefCell<Vec<(u128, Event)>>,
}

impl Recording {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            start: Instant::now(),
            events: RefCell::default(),
        })
    }

    /// What `pick` makes of the events so far, with their times.
    pub(crate) fn picked<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> Vec<(u128, T)> {
        let events = self.events.borrow();
        events
            .iter()
            .filter_map(|(at, event)| Some((*at, pick(event)?)))
            .collect()
    }
}

impl Recorder for Recording {
    fn record(&self, _host: &str, event: Event) {
        self.events
            .borrow_mut()
            .push((millis_since(self.start), event));
    }
}

/// What a test server answers.
pub(crate) type Handler = Rc<dyn Fn(&Request<Incoming>) -> Response<Full<Bytes>>>;

/// Starts a plain HTTP server in the process of `host`.
pub(crate) async fn serve(host: &Host, address: SocketAddr, handler: Handler) {
    let mut listener = host.listen(address).await.expect("the port is free");
    let connections = host.clone();
    host.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handler = Rc::clone(&handler);
            let service = service_fn(move |request| {
                let response = handler(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            connections.spawn(async move {
                let _ = http1::Builder::new()
                    .auto_date_header(false)
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
}

/// An answer with this status and body.
pub(crate) fn answer(status: u16, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = StatusCode::from_u16(status).expect("tests use real statuses");
    response
}

/// A server at `address` that speaks plain HTTP.
pub(crate) fn plain(address: &str) -> Rc<Target> {
    let address = address.parse().expect("tests use real addresses");
    Rc::new(Target {
        scheme_https: false,
        ..Target::https(address)
    })
}

/// A TLS configuration that trusts everybody.
pub(crate) fn any_tls(host: &Host) -> Arc<rustls::ClientConfig> {
    client_config(&Verify::Insecure, None, host.clock())
}
