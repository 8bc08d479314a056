//! Simulated TCP as a [`seam::Network`].
//!
//! turmoil-net's calls act on a "current" host, set per thread. Every poll and
//! every drop below makes its own host current first, so that streams may be
//! handed to any task.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::{FutureExt, LocalBoxFuture};
use seam::{BoxListener, BoxStream, Listener, LookupError, Network};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use turmoil_net::shim::tokio::net::{TcpListener, TcpStream};
use turmoil_net::{HostId, Net, Packet};

use super::path::Paths;
use super::terrain::Terrain;
use super::windows::Windows;
use super::{Engine, reuse, virtual_time};

/// What all machines of one simulation share.
pub struct Fabric {
    /// Path rules, service addresses, names.
    pub terrain: Rc<Terrain>,
    /// What the event loop and the sockets tell each other.
    pub sockets: Rc<Sockets>,
}

/// What the event loop and the sockets tell each other.
#[derive(Debug)]
pub struct Sockets {
    /// Cleared when the simulation ends: sockets that outlive it, in values
    /// that are dropped late, must not call into a network that is gone.
    pub alive: Cell<bool>,
    /// Set by every call on a socket after which there may be packets to send.
    /// Asking every socket for its packets is what costs most with many nodes.
    pub used: Cell<bool>,
    /// Which senders wait for their peers to take more.
    pub windows: RefCell<Windows>,
    /// Packets that make machines forget connections, on no path.
    pub resets: RefCell<Vec<Packet>>,
    /// Told when they have done so.
    pub forgotten: Notify,
    /// Whether acknowledgements may wait for the next packet that matters: no
    /// path rule ever asks when one is sent.
    acknowledges_late: bool,
}

impl Sockets {
    /// The sockets of a simulation that begins, over these paths.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        Self {
            alive: Cell::new(true),
            used: Cell::new(true),
            windows: RefCell::default(),
            resets: RefCell::default(),
            forgotten: Notify::new(),
            acknowledges_late: paths.are_open(),
        }
    }

    /// An acknowledgement is there to be sent.
    pub fn acknowledged(&self) {
        if !self.acknowledges_late || self.windows.borrow().hold_up() {
            self.used.set(true);
        }
    }

    /// Makes `host` the one that the next call on a socket acts on.
    fn enter(&self, host: HostId) {
        turmoil_net::set_current(host);
    }

    /// Drops a socket of `host`; leaks it if the network is gone.
    fn close<T>(&self, host: HostId, socket: Option<T>) {
        if self.alive.get() {
            self.enter(host);
            self.used.set(true);
            drop(socket);
        } else {
            std::mem::forget(socket);
        }
    }
}

/// The simulated machines of one world.
pub struct Simulation {
    /// Their sockets.
    pub net: Net,
    /// What they share.
    pub fabric: Rc<Fabric>,
    hosts: BTreeMap<IpAddr, HostId>,
}

impl Simulation {
    /// A simulation without machines.
    #[must_use]
    pub fn new(terrain: Rc<Terrain>) -> Self {
        Self {
            net: virtual_time::network(),
            fabric: Rc::new(Fabric {
                sockets: Rc::new(Sockets::new(&terrain.paths)),
                terrain,
            }),
            hosts: BTreeMap::new(),
        }
    }
}

impl Engine for Simulation {
    fn network(&mut self, ip: IpAddr) -> Rc<dyn Network> {
        let host = *self
            .hosts
            .entry(ip)
            .or_insert_with(|| self.net.add_host(ip));
        Rc::new(SimulatedNetwork::new(host, ip, Rc::clone(&self.fabric)))
    }

    /// One stack with an address for each machine: an egress pass asks every
    /// stack, so that a thousand of them cost more than all traffic.
    fn listeners(&mut self, ips: &[IpAddr]) -> Vec<Rc<dyn Network>> {
        if ips.is_empty() {
            return Vec::new();
        }
        let host = self.net.add_host(ips.to_vec());
        self.hosts.extend(ips.iter().map(|ip| (*ip, host)));
        let network = |ip: &IpAddr| {
            let network = SimulatedNetwork {
                only_listens: true,
                ..SimulatedNetwork::new(host, *ip, Rc::clone(&self.fabric))
            };
            Rc::new(network) as Rc<dyn Network>
        };
        ips.iter().map(network).collect()
    }
}

/// The network as one machine sees it.
#[derive(Clone)]
pub struct SimulatedNetwork {
    host: HostId,
    ip: IpAddr,
    /// Whether it shares its stack with others, so that a connection of its
    /// own would come from the wrong address.
    only_listens: bool,
    fabric: Rc<Fabric>,
}

impl SimulatedNetwork {
    /// The network as the machine `host`, whose address is `ip`, sees it.
    #[must_use]
    pub fn new(host: HostId, ip: IpAddr, fabric: Rc<Fabric>) -> Self {
        Self {
            host,
            ip,
            only_listens: false,
            fabric,
        }
    }

    fn bind(
        &self,
        address: SocketAddr,
    ) -> OnHost<LocalBoxFuture<'static, io::Result<TcpListener>>> {
        OnHost {
            host: self.host,
            sockets: Rc::clone(&self.fabric.sockets),
            future: Some(TcpListener::bind(address).boxed_local()),
        }
    }

    /// Frees a port from connections that are being closed. Returns whether
    /// there were any.
    async fn forget_closing(&self, port: u16) -> bool {
        let sockets = &self.fabric.sockets;
        let resets = reuse::forget_closing(self.ip, port);
        if resets.is_empty() {
            return false;
        }
        sockets.resets.borrow_mut().extend(resets);
        sockets.used.set(true);
        sockets.forgotten.notified().await;
        true
    }

    fn adopt(&self, stream: TcpStream, peer: IpAddr) -> BoxStream {
        Box::new(SimulatedStream {
            stream: Some(stream),
            host: self.host,
            stays_here: peer == self.ip || peer.is_loopback(),
            sockets: Rc::clone(&self.fabric.sockets),
        })
    }
}

impl Network for SimulatedNetwork {
    fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxStream>> {
        assert!(
            !self.only_listens,
            "{} dials {address}, but it was announced as a machine that only listens",
            self.ip
        );
        let network = self.clone();
        async move {
            let terrain = &network.fabric.terrain;
            let address = terrain.reach(network.ip, address).await?;
            let connect = OnHost {
                host: network.host,
                sockets: Rc::clone(&network.fabric.sockets),
                future: Some(TcpStream::connect(address).boxed_local()),
            };
            Ok(network.adopt(connect.await?, address.ip()))
        }
        .boxed_local()
    }

    fn listen(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxListener>> {
        let network = self.clone();
        let address = match self.only_listens && address.ip().is_unspecified() {
            true => SocketAddr::new(self.ip, address.port()),
            false => address,
        };
        async move {
            let in_use =
                |result: &io::Result<_>| matches!(result, Err(e) if e.kind() == io::ErrorKind::AddrInUse);
            let mut bound = network.bind(address).await;
            if in_use(&bound) && network.forget_closing(address.port()).await {
                bound = network.bind(address).await;
            }
            let listener = bound?;
            network.fabric.sockets.enter(network.host);
            let address = listener.local_addr()?;
            Ok(Box::new(SimulatedListener {
                listener: Some(listener),
                address,
                network,
            }) as BoxListener)
        }
        .boxed_local()
    }

    fn lookup(&self, name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        std::future::ready(self.fabric.terrain.lookup(name)).boxed_local()
    }
}

/// A future whose every poll, and whose drop, happen on one host.
struct OnHost<F> {
    host: HostId,
    sockets: Rc<Sockets>,
    future: Option<F>,
}

impl<F: Future + Unpin> Future for OnHost<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.sockets.enter(self.host);
        // The first poll of a connection sends its first packet.
        self.sockets.used.set(true);
        let future = self.future.as_mut().expect("only drop takes the future");
        Pin::new(future).poll(cx)
    }
}

impl<F> Drop for OnHost<F> {
    fn drop(&mut self) {
        self.sockets.close(self.host, self.future.take());
    }
}

struct SimulatedStream {
    stream: Option<TcpStream>,
    host: HostId,
    /// Whether both ends are on this machine: its packets never leave it, so
    /// that nobody knows how much its sender waits to send.
    stays_here: bool,
    sockets: Rc<Sockets>,
}

impl SimulatedStream {
    fn on_host(&mut self) -> Pin<&mut TcpStream> {
        self.sockets.enter(self.host);
        Pin::new(self.stream.as_mut().expect("only drop takes the stream"))
    }
}

impl AsyncRead for SimulatedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = self.on_host().poll_read(cx, buf);
        match result.is_ready() {
            true if self.stays_here => self.sockets.used.set(true),
            true => self.sockets.acknowledged(),
            false => {}
        }
        result
    }
}

impl AsyncWrite for SimulatedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // One that has to wait, waits for acknowledgements.
        self.sockets.used.set(true);
        self.on_host().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.on_host().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sockets.used.set(true);
        self.on_host().poll_shutdown(cx)
    }
}

impl Drop for SimulatedStream {
    fn drop(&mut self) {
        self.sockets.close(self.host, self.stream.take());
    }
}

struct SimulatedListener {
    listener: Option<TcpListener>,
    address: SocketAddr,
    network: SimulatedNetwork,
}

impl Listener for SimulatedListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>> {
        self.network.fabric.sockets.enter(self.network.host);
        let listener = self
            .listener
            .as_ref()
            .expect("only drop takes the listener");
        let network = &self.network;
        listener
            .poll_accept(cx)
            .map_ok(|(stream, peer)| (network.adopt(stream, peer.ip()), peer))
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SimulatedListener {
    fn drop(&mut self) {
        let network = &self.network;
        network
            .fabric
            .sockets
            .close(network.host, self.listener.take());
    }
}
