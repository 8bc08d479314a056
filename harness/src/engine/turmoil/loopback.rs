//! Connections that never leave their machine.
//!
//! turmoil lets them take a tick, in its own words for want of something
//! better. On a real machine, and on the virtual engine, they take none, and
//! no path rule is about them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use seam::BoxStream;
use tokio::io::duplex;
use tokio::sync::mpsc;

/// Bytes that one end may be ahead of the other; as much as a socket's buffer.
const BUFFER: usize = 64 * 1024;

/// The ports that connections come from: Linux'
/// `net.ipv4.ip_local_port_range`.
const FIRST_PORT: u16 = 32_768;
const LAST_PORT: u16 = 60_999;

/// A connection that somebody may accept, and where it comes from.
pub(super) type Arrival = (BoxStream, SocketAddr);

/// The ports at which programs listen, and the way to them from the same
/// machine.
pub(super) struct Loopback {
    listeners: RefCell<BTreeMap<SocketAddr, mpsc::UnboundedSender<Arrival>>>,
    next_port: Cell<u16>,
}

impl Default for Loopback {
    fn default() -> Self {
        Self {
            listeners: RefCell::default(),
            next_port: Cell::new(FIRST_PORT),
        }
    }
}

impl Loopback {
    /// Has connections to `address` from its own machine go to `arrivals`.
    pub(super) fn open(&self, address: SocketAddr, arrivals: mpsc::UnboundedSender<Arrival>) {
        self.listeners.borrow_mut().insert(address, arrivals);
    }

    /// Nobody listens at `address` any more.
    pub(super) fn close(&self, address: SocketAddr) {
        self.listeners.borrow_mut().remove(&address);
    }

    /// Connects to a port of the same machine.
    pub(super) fn dial(&self, address: SocketAddr) -> io::Result<BoxStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listeners = self.listeners.borrow();
        let arrivals = listeners.get(&address).ok_or_else(refused)?;
        let (near, far) = duplex(BUFFER);
        let from = self.port(address.ip());
        let sent = arrivals.send((Box::new(far), from));
        sent.map_err(|_| refused())?;
        Ok(Box::new(near))
    }

    fn port(&self, ip: IpAddr) -> SocketAddr {
        let port = self.next_port.get();
        self.next_port.set(match port {
            LAST_PORT => FIRST_PORT,
            port => port + 1,
        });
        SocketAddr::new(ip, port)
    }
}
