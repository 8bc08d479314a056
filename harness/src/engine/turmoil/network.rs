//! turmoil's TCP, between the scenario's machines.
//!
//! turmoil lets a connection come about when the program accepts it, and tells
//! the dialler at once. Systems answer by themselves, and the answer travels:
//! so the machine accepts as soon as it can, and the second and third segment
//! of the handshake are a byte each on the new connection.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{pending, poll_fn, ready};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::turmoil::net::{TcpListener, TcpStream};
use futures_util::future::{FutureExt, LocalBoxFuture};
use seam::{BoxListener, BoxStream, Listener, LookupError, Network, Tasks};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::TICK;
use super::lane::Ruled;
use super::loopback::{Arrival, Loopback};
use crate::engine::path::{Fate, Hop, Segment, Way};
use crate::engine::terrain::Terrain;

/// The second and the third segment of a handshake.
const SYN_ACK: &[u8] = b"2";
const ACK: &[u8] = b"3";

/// What all machines of one world share.
pub(super) struct Shared {
    terrain: Rc<Terrain>,
    loopback: Loopback,
    /// Where there are machines, booted or not.
    pub(super) machines: RefCell<BTreeSet<IpAddr>>,
}

impl Shared {
    pub(super) fn new(terrain: Rc<Terrain>) -> Self {
        Self {
            terrain,
            loopback: Loopback::default(),
            machines: RefCell::default(),
        }
    }
}

/// The network as one machine sees it.
#[derive(Clone)]
pub(super) struct TurmoilNetwork {
    ip: IpAddr,
    /// What the machine's system does by itself.
    tasks: Tasks,
    shared: Rc<Shared>,
}

impl TurmoilNetwork {
    pub(super) fn new(ip: IpAddr, tasks: Tasks, shared: Rc<Shared>) -> Self {
        Self { ip, tasks, shared }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<BoxStream> {
        let paths = &self.shared.terrain.paths;
        let here = SocketAddr::new(self.ip, 0);
        match paths.fate(Hop::out(here, address), Segment::Syn, Instant::now()) {
            Fate::Arrives(at) => sleep_until(at).await,
            Fate::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
            Fate::Lost => pending().await,
        }
        if !self.shared.machines.borrow().contains(&address.ip()) {
            pending().await
        }
        let asked = Instant::now();
        let stream = match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(error) => {
                self.reset_arrives(address, asked + TICK).await;
                return Err(error);
            }
        };
        let mut end = self.end(stream, Way::Out)?;
        match end.read_u8().await {
            Ok(_) => {}
            // Nobody listens any more.
            Err(_) => return Err(io::ErrorKind::ConnectionRefused.into()),
        }
        end.send(ACK, Segment::Data).await?;
        Ok(Box::new(end))
    }

    /// Waits for the reset that a machine without a listener sends.
    async fn reset_arrives(&self, from: SocketAddr, sent: Instant) {
        let here = SocketAddr::new(self.ip, 0);
        let paths = &self.shared.terrain.paths;
        match paths.fate(Hop::back(from, here), Segment::Reset, sent) {
            Fate::Arrives(at) => sleep_until(at + TICK).await,
            Fate::Refused | Fate::Lost => pending().await,
        }
    }

    /// This machine's end of a connection, on which what it sends goes `way`.
    fn end(&self, stream: TcpStream, way: Way) -> io::Result<End> {
        let (here, there) = (stream.local_addr()?, stream.peer_addr()?);
        assert_eq!(
            here.ip(),
            self.ip,
            "a program uses the network of another machine than it runs on"
        );
        let paths = &self.shared.terrain.paths;
        let (hop, concerned) = match way {
            Way::Out => (Hop::out(here, there), paths.concern(here.ip(), there)),
            Way::Back => (Hop::back(here, there), paths.concern(there.ip(), here)),
        };
        Ok(match concerned {
            true => End::Ruled(Ruled::new(stream, hop, Rc::clone(paths), &self.tasks)),
            false => End::Direct(stream),
        })
    }
}

impl Network for TurmoilNetwork {
    fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxStream>> {
        let network = self.clone();
        async move {
            let terrain = &network.shared.terrain;
            let address = terrain.reach(network.ip, address).await?;
            if address.ip() == network.ip {
                return network.shared.loopback.dial(address);
            }
            network.connect(address).await
        }
        .boxed_local()
    }

    fn listen(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxListener>> {
        let network = self.clone();
        async move {
            // turmoil's machines have one address each, and listen at all.
            let all = match network.ip {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            };
            let listener = TcpListener::bind(SocketAddr::new(all, address.port())).await?;
            let port = listener.local_addr()?.port();
            let at = SocketAddr::new(network.ip, port);
            let (sender, arrivals) = mpsc::unbounded_channel();
            network.shared.loopback.open(at, sender.clone());
            Ok(Box::new(TurmoilListener {
                door: Door::open(&network, listener, sender),
                arrivals,
                at,
                address: SocketAddr::new(address.ip(), port),
                shared: network.shared,
            }) as BoxListener)
        }
        .boxed_local()
    }

    fn lookup(&self, name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        ready(self.shared.terrain.lookup(name)).boxed_local()
    }
}

struct TurmoilListener {
    door: Door,
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// With the machine's address in place of an unspecified one.
    at: SocketAddr,
    /// As asked for, with the port in force.
    address: SocketAddr,
    shared: Rc<Shared>,
}

impl Listener for TurmoilListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>> {
        match self.arrivals.poll_recv(cx) {
            Poll::Ready(Some(arrival)) => Poll::Ready(Ok(arrival)),
            // The door is open for as long as this exists.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TurmoilListener {
    fn drop(&mut self) {
        self.shared.loopback.close(self.at);
        self.door.close();
    }
}

/// The system's part of a listening socket, which does not wait for anybody to
/// accept.
struct Door {
    /// Holds turmoil's listener; it goes at once when the door is closed, so
    /// that the port is free.
    admission: Rc<RefCell<Option<LocalBoxFuture<'static, ()>>>>,
    tasks: Tasks,
}

impl Door {
    fn open(
        network: &TurmoilNetwork,
        listener: TcpListener,
        arrivals: mpsc::UnboundedSender<Arrival>,
    ) -> Self {
        let tasks = network.tasks.beside();
        let admission = admit(network.clone(), listener, tasks.clone(), arrivals);
        let admission = Rc::new(RefCell::new(Some(admission.boxed_local())));
        let polled = Rc::clone(&admission);
        tasks.spawn(poll_fn(move |cx| {
            let mut admission = polled.borrow_mut();
            match admission.as_mut() {
                Some(admission) => admission.as_mut().poll(cx),
                None => Poll::Ready(()),
            }
        }));
        Self { admission, tasks }
    }

    fn close(&self) {
        drop(self.admission.take());
        self.tasks.kill();
    }
}

/// Answers whoever knocks.
async fn admit(
    network: TurmoilNetwork,
    listener: TcpListener,
    tasks: Tasks,
    arrivals: mpsc::UnboundedSender<Arrival>,
) {
    loop {
        // An error concerns one connection.
        let Ok((stream, from)) = listener.accept().await else {
            continue;
        };
        if let Ok(end) = network.end(stream, Way::Back) {
            tasks.spawn(shake_hands(end, from, arrivals.clone()));
        }
    }
}

async fn shake_hands(mut end: End, from: SocketAddr, arrivals: mpsc::UnboundedSender<Arrival>) {
    let shaken = async {
        end.send(SYN_ACK, Segment::Syn).await?;
        end.read_u8().await
    };
    if shaken.await.is_ok() {
        // A listener that is gone has no use for it.
        let _ = arrivals.send((Box::new(end), from));
    }
}

/// One end of a connection.
enum End {
    Direct(TcpStream),
    Ruled(Ruled),
}

impl End {
    async fn send(&mut self, bytes: &'static [u8], kind: Segment) -> io::Result<()> {
        match self {
            Self::Direct(stream) => stream.write_all(bytes).await,
            Self::Ruled(ruled) => ruled.send(bytes, kind).await,
        }
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Ruled(ruled) => Pin::new(ruled).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Ruled(ruled) => Pin::new(ruled).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) => Pin::new(stream).poll_flush(cx),
            Self::Ruled(ruled) => Pin::new(ruled).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) => match Pin::new(stream).poll_shutdown(cx) {
                // A second one changes nothing.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => {
                    Poll::Ready(Ok(()))
                }
                result => result,
            },
            Self::Ruled(ruled) => Pin::new(ruled).poll_shutdown(cx),
        }
    }
}
