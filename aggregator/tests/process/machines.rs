//! Machines joined by in-memory streams, on a paused clock.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{FutureExt, LocalBoxFuture};
use seam::{
    BoxListener, BoxStream, Entropy, Files, Host, Listener, LookupError, Network, Random,
    Timestamp, WallClock,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

type Backlog = mpsc::UnboundedSender<(BoxStream, SocketAddr)>;

/// Ports by address; a port that nobody holds refuses.
#[derive(Clone, Default)]
pub(crate) struct Wires(Rc<RefCell<BTreeMap<SocketAddr, Backlog>>>);

impl Wires {
    /// A machine with this address, whose clock is right at the start.
    pub(crate) fn machine(&self, address: &str) -> Host {
        let address: IpAddr = address.parse().expect("a literal address");
        Host::new(
            &address.to_string(),
            Rc::new(Wire {
                wires: self.clone(),
                address,
            }),
            Arc::new(Clock {
                started: Instant::now(),
            }),
            Rc::new(Numbers),
            Rc::new(Disk::default()),
        )
    }
}

/// 2026-11-23T09:22:05Z
pub(crate) const START: i64 = 1_795_425_725;

#[derive(Debug)]
struct Clock {
    started: Instant,
}

impl WallClock for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(START).after(self.started.elapsed())
    }
}

struct Wire {
    wires: Wires,
    address: IpAddr,
}

impl Network for Wire {
    fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxStream>> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let peer = SocketAddr::new(self.address, 40_000);
        let wires = self.wires.0.borrow();
        let sent = wires
            .get(&address)
            .is_some_and(|port| port.send((Box::new(far), peer)).is_ok());
        let result = if sent {
            Ok(Box::new(near) as BoxStream)
        } else {
            Err(io::ErrorKind::ConnectionRefused.into())
        };
        std::future::ready(result).boxed_local()
    }

    fn listen(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxListener>> {
        let ip = if address.ip().is_unspecified() {
            self.address
        } else {
            address.ip()
        };
        let address = SocketAddr::new(ip, address.port());
        let (backlog, connections) = mpsc::unbounded_channel();
        let mut ports = self.wires.0.borrow_mut();
        let result = if ports.get(&address).is_some_and(|port| !port.is_closed()) {
            Err(io::ErrorKind::AddrInUse.into())
        } else {
            ports.insert(address, backlog);
            Ok(Box::new(Port {
                connections,
                address,
            }) as BoxListener)
        };
        std::future::ready(result).boxed_local()
    }

    fn lookup(&self, _name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        let server = Some("10.43.0.10:53".parse().expect("a literal address"));
        std::future::ready(Err(LookupError::NoSuchHost { server })).boxed_local()
    }
}

struct Port {
    connections: mpsc::UnboundedReceiver<(BoxStream, SocketAddr)>,
    address: SocketAddr,
}

impl Listener for Port {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>> {
        self.connections
            .poll_recv(cx)
            .map(|next| next.ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

struct Numbers;

impl Entropy for Numbers {
    fn stream(&self, name: &str) -> Box<dyn Random> {
        let seed = name.bytes().fold(7_u64, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(byte))
        });
        Box::new(Multiplicative(seed | 1))
    }
}

struct Multiplicative(u64);

impl Random for Multiplicative {
    fn next_u64(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0
    }
}

#[derive(Default)]
struct Disk(RefCell<BTreeMap<String, Vec<u8>>>);

impl Files for Disk {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.0
            .borrow()
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, path: &str, contents: &[u8], _private: bool) -> io::Result<()> {
        self.0
            .borrow_mut()
            .insert(path.to_owned(), contents.to_vec());
        Ok(())
    }
}
