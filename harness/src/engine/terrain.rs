//! What the machines of one world share, whatever engine runs them.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use seam::LookupError;
use tokio::time::{Instant, sleep_until};

use super::path::{Fate, Paths};

/// The ground that machines stand on: path rules, service addresses, names.
pub struct Terrain {
    /// The paths between machines.
    pub paths: Rc<Paths>,
    /// Whether an address is one of a service rather than of a machine.
    pub is_service: Box<dyn Fn(SocketAddr) -> bool>,
    /// Where service addresses lead. Where there are several endpoints each
    /// call draws one.
    pub services: Box<dyn Fn(SocketAddr) -> ServiceRoute>,
    /// What the cluster's name server knows.
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// The cluster's name server, for error texts.
    pub name_server: SocketAddr,
}

impl Terrain {
    /// The machine that a dial from `ip` leads to; for ever pending where its
    /// packets vanish before any path.
    ///
    /// # Errors
    ///
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) from a service
    /// without endpoints; and what rules about a service's own address say,
    /// which decide before the node's rules lead anywhere.
    pub async fn machine(&self, ip: IpAddr, address: SocketAddr) -> io::Result<SocketAddr> {
        if !(self.is_service)(address) {
            return Ok(address);
        }
        self.pass_to_service(ip, address).await?;
        match (self.services)(address) {
            ServiceRoute::Direct => Ok(address),
            ServiceRoute::Endpoint(endpoint) => Ok(endpoint),
            ServiceRoute::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            ServiceRoute::Unknown => std::future::pending().await,
        }
    }

    async fn pass_to_service(&self, ip: IpAddr, address: SocketAddr) -> io::Result<()> {
        if self.paths.rejects(ip, address) {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let now = Instant::now();
        match self.paths.at_service(ip, address, now) {
            Fate::Arrives(at) if at <= now => Ok(()),
            Fate::Arrives(at) => {
                sleep_until(at).await;
                Ok(())
            }
            Fate::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Fate::Lost => std::future::pending().await,
        }
    }

    /// Where a dial from `ip` leads, services and routers' rejections
    /// considered.
    ///
    /// # Errors
    ///
    /// As [`Terrain::machine`]; and
    /// [`HostUnreachable`](io::ErrorKind::HostUnreachable) where a rule
    /// rejects.
    pub async fn reach(&self, ip: IpAddr, address: SocketAddr) -> io::Result<SocketAddr> {
        let address = self.machine(ip, address).await?;
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
