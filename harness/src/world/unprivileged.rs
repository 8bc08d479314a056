//! A network on which ports below 1024 are root's.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use futures_util::future::{FutureExt, LocalBoxFuture};
use seam::{BoxListener, BoxStream, LookupError, Network};

/// The network of a user without privileges.
///
/// Source: sysctl `net.ipv4.ip_unprivileged_port_start`.
pub struct Unprivileged(pub Rc<dyn Network>);

/// The first port that everybody may bind.
const FIRST: u16 = 1024;

impl Network for Unprivileged {
    fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxStream>> {
        self.0.dial(address)
    }

    fn listen(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxListener>> {
        match (1..FIRST).contains(&address.port()) {
            true => std::future::ready(Err(io::ErrorKind::PermissionDenied.into())).boxed_local(),
            false => self.0.listen(address),
        }
    }

    fn lookup(&self, name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        self.0.lookup(name)
    }
}
