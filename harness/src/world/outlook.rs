//! The network as one machine sees it: what meets its dials before any packet
//! is sent, and what its name server says.
//!
//! Engines carry packets; this lies on top of all of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use mocks::http_server::{self, Handler, Request, Response, TlsChoice, reason};
use mocks::kubelet::{Fault, KubeletBehaviour, KubeletState};
use mocks::pki::{Authority, Leaf, Usage};
use mocks::script::Script;
use mocks::tls::{self, ClientAuth};
use seam::{BoxListener, BoxStream, InTheWay, LookupError, Network, Tasks, Timestamp, WallClock};

use super::homes::Homes;
use super::names::Names;
use crate::engine::path::Barrier;
use crate::engine::terrain::Terrain;
use crate::scenario::model::Tunnel;

/// How kubelets receive dials, and who is told of those to others.
#[derive(Default)]
pub struct Doors {
    kubelets: RefCell<BTreeMap<IpAddr, Script<KubeletBehaviour>>>,
    told: RefCell<BTreeMap<SocketAddr, Tell>>,
}

/// Told from where a dial has come, and whether it made a connection.
type Tell = Rc<dyn Fn(IpAddr, bool)>;

impl Doors {
    /// Adds the kubelet at `ip`.
    pub fn add(&self, ip: IpAddr, behaviour: Script<KubeletBehaviour>) {
        self.kubelets.borrow_mut().insert(ip, behaviour);
    }

    /// Has `tell` called at each dial that reaches `address`.
    pub fn tell(&self, address: SocketAddr, tell: impl Fn(IpAddr, bool) + 'static) {
        self.told.borrow_mut().insert(address, Rc::new(tell));
    }

    /// A dial from `from` has reached `address`, be it refused there or not.
    fn reached(&self, from: IpAddr, address: SocketAddr, is_connected: bool) {
        let tell = self.told.borrow().get(&address).cloned();
        if let Some(tell) = tell {
            tell(from, is_connected);
        }
    }

    /// Calls `with` on the behaviour of the kubelet whose port `address` is.
    fn at<T>(&self, address: SocketAddr, with: impl FnOnce(&KubeletBehaviour) -> T) -> Option<T> {
        let doors = self.kubelets.borrow();
        let behaviour = doors.get(&address.ip())?.current();
        (behaviour.port == address.port()).then(|| with(behaviour))
    }

    /// Whether a script has the kubelet refuse a dial that comes now.
    fn refuse(&self, address: SocketAddr) -> bool {
        let refused = self.at(address, |behaviour| {
            let attempts = behaviour.attempts.as_ref();
            let refused = behaviour.state != KubeletState::Closed
                && attempts.is_some_and(|attempts| attempts.refuses());
            if refused {
                behaviour.met(Fault::Script);
            }
            refused
        });
        refused == Some(true)
    }

    /// A dial was refused: that of a kubelet's closed port is the kubelet's
    /// doing.
    fn refused(&self, address: SocketAddr) {
        self.at(address, |behaviour| {
            if behaviour.state == KubeletState::Closed {
                behaviour.met(Fault::State);
            }
        });
    }
}

/// What all machines' outlooks share.
pub struct Surroundings {
    /// Path rules and service addresses.
    pub terrain: Rc<Terrain>,
    /// Kubelets' ports.
    pub doors: Rc<Doors>,
    /// Machines that change their addresses.
    pub homes: Homes,
    /// Proxies on the way.
    pub proxies: Proxies,
}

impl Surroundings {
    /// The address that the engine knows of the machine at `address`; for ever
    /// pending where there is none, as what is sent there gets lost.
    async fn home(&self, address: SocketAddr) -> SocketAddr {
        let Some((machine, fault)) = self.homes.find(address) else {
            return address;
        };
        self.terrain.paths.count(fault);
        match machine {
            Some(machine) => machine,
            None => std::future::pending().await,
        }
    }
}

/// The network as one machine sees it.
pub struct Outlook {
    /// What carries its packets.
    pub network: Rc<dyn Network>,
    /// The machine's address.
    pub ip: IpAddr,
    /// What meets its dials.
    pub surroundings: Rc<Surroundings>,
    /// Its name server; that of the engine if absent.
    pub names: Option<Rc<Names>>,
}

impl Network for Outlook {
    fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxStream>> {
        let (network, surroundings) = (Rc::clone(&self.network), Rc::clone(&self.surroundings));
        let ip = self.ip;
        async move {
            let terrain = &surroundings.terrain;
            if (terrain.is_service)(address)
                && let Some(barrier) = terrain.paths.barrier(ip, address)
            {
                return surroundings.proxies.meet(barrier, address).await;
            }
            let reached = surroundings.home(terrain.machine(ip, address).await?).await;
            // A machine with addresses of one family has no route to the other.
            if reached.is_ipv4() != ip.is_ipv4() {
                return Err(io::ErrorKind::NetworkUnreachable.into());
            }
            if let Some(barrier) = terrain.paths.barrier(ip, reached) {
                return surroundings.proxies.meet(barrier, reached).await;
            }
            if surroundings.doors.refuse(reached) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let result = network.dial(reached).await;
            let error = result.as_ref().err().map(io::Error::kind);
            if error == Some(io::ErrorKind::ConnectionRefused) {
                surroundings.doors.refused(reached);
            }
            if matches!(error, None | Some(io::ErrorKind::ConnectionRefused)) {
                surroundings.doors.reached(ip, reached, error.is_none());
            }
            result
        }
        .boxed_local()
    }

    fn listen(&self, address: SocketAddr) -> LocalBoxFuture<'static, io::Result<BoxListener>> {
        self.network.listen(address)
    }

    fn lookup(&self, name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        match &self.names {
            Some(names) => Rc::clone(names).lookup(name.to_owned()).boxed_local(),
            None => self.network.lookup(name),
        }
    }
}

/// Proxies and broken tunnels.
pub struct Proxies {
    clock: Arc<dyn WallClock>,
    epoch: Timestamp,
    tasks: Tasks,
}

impl Proxies {
    /// Proxies whose certificates are valid around `epoch`.
    #[must_use]
    pub fn new(clock: Arc<dyn WallClock>, epoch: Timestamp) -> Self {
        Self {
            clock,
            epoch,
            tasks: Tasks::new(),
        }
    }

    /// What a dial to `address` gets from what stands in its way.
    ///
    /// Source: Go `net/http/transport.go: dialConn` (a refused CONNECT);
    /// konnectivity `pkg/server/server.go` (no agent); apiserver
    /// `pkg/server/egressselector/egress_selector.go: tunnelHTTPConnect`.
    async fn meet(&self, barrier: Barrier, address: SocketAddr) -> io::Result<BoxStream> {
        let text = match barrier {
            Barrier::RejectAfter(after) => {
                tokio::time::sleep(after).await;
                return Err(io::ErrorKind::HostUnreachable.into());
            }
            Barrier::Proxy {
                status,
                connects: true,
            } => return Ok(self.connect(status, address)),
            Barrier::Proxy { status, .. } => reason(status).to_owned(),
            Barrier::Tunnel(Tunnel::NoAgent) => "No agent available".to_owned(),
            Barrier::Tunnel(Tunnel::BadGateway) => format!(
                "proxy error from 127.0.0.1:6443 while dialing {address}, code 502: 502 Bad Gateway"
            ),
        };
        Err(io::Error::other(InTheWay(text)))
    }

    /// A connection to a proxy that passes for the server at `address`, with a
    /// certificate that it has made itself.
    fn connect(&self, status: u16, address: SocketAddr) -> BoxStream {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let year_ns = i64::try_from(YEAR.as_nanos()).expect("a year fits");
        let (not_before, not_after) = (self.epoch.offset(-year_ns), self.epoch.after(YEAR));
        let authority = Authority::new("proxy", "proxy-ca", not_before, not_after);
        let identity = authority.issue(&Leaf {
            seed: "proxy".to_owned(),
            common_name: "proxy".to_owned(),
            organizations: Vec::new(),
            dns: vec!["metrics-server.kube-system.svc".to_owned()],
            ips: vec![address.ip()],
            not_before,
            not_after,
            usage: Usage::Server,
        });
        let server = tls::server_config(&identity, Arc::clone(&self.clock), ClientAuth::None);
        let (near, far) = tokio::io::duplex(64 * 1024);
        self.tasks.spawn(http_server::serve_connection(
            Box::new(far),
            address,
            TlsChoice::Serve(server),
            Rc::new(Refusing(status)),
        ));
        Box::new(near)
    }
}

/// Answers everything with one status.
struct Refusing(u16);

impl Handler for Refusing {
    fn handle(&self, _request: Request) -> LocalBoxFuture<'static, Response> {
        std::future::ready(Response::plain(self.0, reason(self.0))).boxed_local()
    }
}
