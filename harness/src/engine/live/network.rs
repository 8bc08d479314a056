//! The operating system's TCP, between the scenario's machines.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, Stream as _};
use seam::{BoxListener, BoxStream, Listener, LookupError, Network, Tasks};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep_until};

use super::addresses::AddressBook;
use super::relay;
use crate::engine::path::{Fate, Hop, Paths, Segment};
use crate::engine::terrain::Terrain;

/// Connections that the operating system completes before anyone accepts.
const BACKLOG: u32 = 1_024;

/// Whom the connections of other processes are taken for: the machines that
/// they would come from in the scenario.
#[derive(Debug, Clone)]
pub struct Strangers {
    /// By the socket that they reach.
    pub at: BTreeMap<SocketAddr, IpAddr>,
    /// At any other socket.
    pub elsewhere: IpAddr,
}

impl Strangers {
    fn at(&self, address: SocketAddr) -> IpAddr {
        self.at.get(&address).copied().unwrap_or(self.elsewhere)
    }
}

/// What all machines of one world share.
pub(super) struct Shared {
    pub(super) book: Rc<AddressBook>,
    pub(super) terrain: Rc<Terrain>,
    pub(super) strangers: Strangers,
    /// The sockets that programs of this world listen at.
    pub(super) held: RefCell<BTreeSet<SocketAddr>>,
    /// The relays.
    pub(super) tasks: Tasks,
}

/// The network as one machine sees it.
#[derive(Clone)]
pub struct LiveNetwork {
    ip: IpAddr,
    shared: Rc<Shared>,
}

impl LiveNetwork {
    pub(super) fn new(ip: IpAddr, shared: Rc<Shared>) -> Self {
        // Its place is decided now, in the order of the world's assembly.
        shared.book.machine(ip);
        Self { ip, shared }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = match self.shared.book.place(address) {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        let from = self.shared.book.machine(self.ip);
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = socket.connect(self.shared.book.place(address)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn bind(&self, at: SocketAddr) -> io::Result<TcpListener> {
        let book = &self.shared.book;
        if let Some(reserved) = book.take_reserved(at) {
            return TcpListener::from_std(reserved);
        }
        match bind(book.place(at)) {
            // Somebody else on this machine has the port, or may have it.
            Err(error) if is_taken(&error) && !book.is_fixed(at) => {
                let listener = bind(SocketAddr::new(book.machine(at.ip()), 0))?;
                book.fix(at, listener.local_addr()?);
                Ok(listener)
            }
            result => result,
        }
    }
}

fn bind(real: SocketAddr) -> io::Result<TcpListener> {
    let socket = match real {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // The port of a process that has just ended is free at once.
    socket.set_reuseaddr(true)?;
    socket.bind(real)?;
    socket.listen(BACKLOG)
}

fn is_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
    )
}

impl Network for LiveNetwork {
    fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxStream>> {
        let network = self.clone();
        async move {
            let terrain = &network.shared.terrain;
            let address = terrain.reach(network.ip, address).await?;
            if !terrain.paths.concern(network.ip, address) {
                return Ok(Box::new(network.connect(address).await?) as BoxStream);
            }
            let here = SocketAddr::new(network.ip, 0);
            cross(&terrain.paths, Hop::out(here, address)).await?;
            let stream = network.connect(address).await?;
            let here = SocketAddr::new(network.ip, stream.local_addr()?.port());
            let out = Hop::out(here, address);
            cross(&terrain.paths, out.reply()).await?;
            let relay = relay::Relay {
                paths: Rc::clone(&terrain.paths),
                out,
            };
            Ok(relay.start(&network.shared.tasks, stream))
        }
        .boxed_local()
    }

    fn listen(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxListener>> {
        let network = self.clone();
        async move {
            let at = if address.ip().is_unspecified() {
                SocketAddr::new(network.ip, address.port())
            } else {
                address
            };
            if network.shared.held.borrow().contains(&at) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let listener = network.bind(at)?;
            let port = match address.port() {
                0 => listener.local_addr()?.port(),
                port => port,
            };
            let at = SocketAddr::new(at.ip(), port);
            network.shared.held.borrow_mut().insert(at);
            Ok(Box::new(LiveListener {
                listener,
                address: SocketAddr::new(address.ip(), port),
                at,
                shared: Rc::clone(&network.shared),
                crossing: FuturesUnordered::new(),
            }) as BoxListener)
        }
        .boxed_local()
    }

    fn lookup(&self, name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        std::future::ready(self.shared.terrain.lookup(name)).boxed_local()
    }
}

/// Takes as long as a segment of a handshake takes.
async fn cross(paths: &Paths, hop: Hop) -> io::Result<()> {
    match paths.fate(hop, Segment::Syn, Instant::now()) {
        Fate::Arrives(at) => {
            sleep_until(at).await;
            Ok(())
        }
        Fate::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
        Fate::Lost => std::future::pending().await,
    }
}

/// A connection of another process on its way; `None` if a rule stopped it.
type Crossing = LocalBoxFuture<'static, Option<(BoxStream, SocketAddr)>>;

struct LiveListener {
    listener: TcpListener,
    /// As asked for, with the port in force.
    address: SocketAddr,
    /// With the machine's address in place of an unspecified one.
    at: SocketAddr,
    shared: Rc<Shared>,
    crossing: FuturesUnordered<Crossing>,
}

impl LiveListener {
    /// Lets rules have their effect on a connection of another process.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) -> Crossing {
        let (paths, tasks) = (
            Rc::clone(&self.shared.terrain.paths),
            self.shared.tasks.clone(),
        );
        let at = self.at;
        let from = SocketAddr::new(self.shared.strangers.at(at), peer.port());
        async move {
            let coming = Hop::out(from, at);
            let stopped = paths.rejects(from.ip(), at) || cross(&paths, coming).await.is_err();
            if stopped {
                // Closing it then resets it.
                let _ = stream.set_zero_linger();
                return None;
            }
            let relay = relay::Relay {
                paths,
                out: coming.reply(),
            };
            Some((relay.start(&tasks, stream), from))
        }
        .boxed_local()
    }
}

impl Drop for LiveListener {
    fn drop(&mut self) {
        self.shared.held.borrow_mut().remove(&self.at);
    }
}

impl Listener for LiveListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>> {
        while let Poll::Ready(accepted) = self.listener.poll_accept(cx) {
            let (stream, peer) = accepted?;
            // Without it small responses wait for the peer's delayed ACK.
            // A socket that refuses is still usable.
            let _ = stream.set_nodelay(true);
            match self.shared.book.known(peer.ip()) {
                Some(ip) => {
                    let peer = SocketAddr::new(ip, peer.port());
                    return Poll::Ready(Ok((Box::new(stream), peer)));
                }
                None => {
                    let from = self.shared.strangers.at(self.at);
                    if self.shared.terrain.paths.concern(from, self.at) {
                        self.crossing.push(self.admit(stream, peer));
                    } else {
                        return Poll::Ready(Ok((Box::new(stream), peer)));
                    }
                }
            }
        }
        while let Poll::Ready(Some(crossed)) = Pin::new(&mut self.crossing).poll_next(cx) {
            if let Some(connection) = crossed {
                return Poll::Ready(Ok(connection));
            }
        }
        Poll::Pending
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}
