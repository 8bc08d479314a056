//! What the machines of one world share, whatever engine runs them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use seam::LookupError;

use super::path::Paths;

/// The ground that machines stand on: path rules, service addresses, names.
pub struct Terrain {
    /// The paths between machines.
    pub paths: Rc<Paths>,
    /// Where service addresses lead.
    pub services: Box<dyn Fn(SocketAddr) -> ServiceRoute>,
    /// What the cluster's name server knows.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// The cluster's name server, for error texts.
    pub name_server: SocketAddr,
}

impl Terrain {
    /// Where a dial from `ip` leads; for ever pending where its packets vanish
    /// before any path.
    ///
    /// # Errors
    ///
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) from a service
    /// without endpoints, [`HostUnreachable`](io::ErrorKind::HostUnreachable)
    /// where a rule rejects.
    pub async fn reach(&self, ip: IpAddr, address: SocketAddr) -> io::Result<SocketAddr> {
        let address = match (self.services)(address) {
            ServiceRoute::Direct => address,
            ServiceRoute::Endpoint(endpoint) => endpoint,
            ServiceRoute::Refused => return Err(io::ErrorKind::ConnectionRefused.into()),
            ServiceRoute::Unknown => std::future::pending().await,
        };
        match self.paths.rejects(ip, address) {
            true => Err(io::ErrorKind::HostUnreachable.into()),
            false => Ok(address),
        }
    }

    /// Resolves a name as the cluster's name server does.
    ///
    /// # Errors
    ///
    /// [`LookupError::NoSuchHost`] for names that it does not know.
    pub fn lookup(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let server = Some(self.name_server);
        let found = self.names.get(name).cloned();
        found.ok_or(LookupError::NoSuchHost { server })
    }
}

/// Where a dial to an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceRoute {
    /// Not a service: the address itself.
    Direct,
    /// A service with a ready endpoint: this one.
    Endpoint(SocketAddr),
    /// A service without ready endpoints: rejected at once.
    Refused,
    /// A service that the node's rules do not know yet: packets vanish.
    Unknown,
}
