//! The serving side of a kubelet: port 10250 from closed to `/metrics/resource`.
//!
//! What it does is a [`Script`] of [`KubeletBehaviour`]s: whether anybody
//! listens, what a TLS handshake meets, which certificate is shown, how a
//! scrape is answered, and what is wrong with the answer.
//!
//! - [`behaviour`]: the parts of a behaviour;
//! - [`attempts`]: what the next attempts meet, one after the other;
//! - `authorization`: who may read its metrics;
//! - [`flaw`]: what is wrong with single pods' series;
//! - `certificate`: the certificate it asks for, made when first shown;
//! - `sampling`: when usage is read, and what it was then;
//! - `scrape`: request → authentication → status → body;
//! - `summary`: the body of `/stats/summary`, which older releases ask for.
//!
//! A request that meets a hanging kubelet hangs for as long as the client
//! waits, even if the kubelet recovers meanwhile: recorded start-ups of the
//! real metrics-server were made that way.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, select};
use rustls::ServerConfig;
use seam::{BoxListener, BoxStream, Host, Listener, Moment, Tasks, Timestamp};

use crate::event::{Event, Recorder};
use crate::http_server::{self, TlsChoice};
use crate::load::CurrentLoad;
use crate::pki::Authority;
use crate::script::Script;
use crate::tls::{self, ClientAuth};

pub mod attempts;
mod authorization;
pub mod behaviour;
mod certificate;
pub mod flaw;
mod sampling;
mod scrape;
mod summary;

pub use attempts::{Attempt, Attempts};
pub use authorization::{Authorizer, Review};
pub use behaviour::{
    Access, Certificate, Effects, Endpoint, Fault, Housekeeping, Issuer, KubeletBehaviour,
    KubeletState, Latency, Payload, Timestamps,
};
pub use flaw::{Flaw, FlawKind};

/// A kubelet, and the machine it is on.
#[derive(Clone)]
pub struct KubeletConfig {
    /// `metadata.name` of its node.
    pub node: String,
    /// The address it listens on.
    pub address: IpAddr,
    /// The simulation's start, which all of [`CurrentLoad`]'s times count from.
    pub start: Moment,
    /// What it does, over time.
    pub behaviour: Script<KubeletBehaviour>,
    /// What runs on the node.
    pub load: CurrentLoad,
    /// What the node's wall clock shows.
    pub wall_at: WallAt,
    /// What a right clock shows now.
    pub true_time: Rc<dyn Fn() -> Timestamp>,
    /// The cluster's authority, for certificates from it.
    pub authority: Rc<Authority>,
    /// An authority that the cluster does not know.
    pub unknown: Rc<Authority>,
    /// The certificates' keys derive from it and the node's name.
    pub seed: Rc<str>,
    /// The bearer token that it knows. Any other is unauthorized.
    pub token: Rc<str>,
    /// Whom it asks whether metrics may be read.
    pub authorizer: Authorizer,
}

/// What a node's wall clock showed, or would have shown, some nanoseconds
/// after the simulation's start (negative: before). It is asked about times
/// up to half a minute past, when usage was last read, and about the times at
/// which containers started.
///
/// It must know the steps of the clock. Where there are none, [`unstepped`]
/// will do.
pub type WallAt = Rc<dyn Fn(i64) -> Timestamp>;

/// The history of a clock that is never stepped, from what it shows now.
#[must_use]
pub fn unstepped(host: &Host, start: impl Into<Moment>) -> WallAt {
    let start = start.into();
    let clock = host.clock();
    Rc::new(move |at_ns| clock.now().offset(at_ns.saturating_sub(elapsed_ns(start))))
}

/// Nanoseconds since `start`.
fn elapsed_ns(start: Moment) -> i64 {
    i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX)
}

/// Runs a kubelet on `host`.
///
/// Every answer to a request for metrics is recorded as
/// [`Event::KubeletServed`], and so, with status 0, is every handshake that it
/// refuses and whatever it leaves hanging.
///
/// # Errors
///
/// Ends only if its port cannot be bound for another reason than that
/// somebody holds it: then it tries again every second, as it is started
/// again.
pub async fn run(
    host: Host,
    config: KubeletConfig,
    recorder: Rc<dyn Recorder>,
) -> io::Result<Infallible> {
    let script = config.behaviour.clone();
    let mut port: Option<Port> = None;
    loop {
        let behaviour = script.current();
        if behaviour.state == KubeletState::Closed {
            port = None;
            script.changed().await;
            continue;
        }
        let address = SocketAddr::new(config.address, behaviour.port);
        let open = match port.take().filter(|port| port.local_addr() == address) {
            Some(open) => open,
            None => match host.listen(address).await {
                Ok(listener) => Port::new(listener),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                Err(error) => return Err(error),
            },
        };
        let lifetime = while_serving(&script, behaviour.port, behaviour.boot);
        live(&host, &config, &recorder, open.clone(), lifetime).await;
        port = Some(open);
    }
}

/// How long whoever supervises a kubelet waits before starting it again.
///
/// DIFFERENCE: systemd waits ten seconds in Kubernetes' own packages. A port is
/// only held here where metrics-server shares it, or by connections that a
/// real kernel would let a listener pass over.
const RETRY: Duration = Duration::from_secs(1);

/// Waits until the kubelet's process ends: it is to be closed, to serve
/// elsewhere, or its machine has booted.
async fn while_serving(script: &Script<KubeletBehaviour>, port: u16, boot: u32) {
    loop {
        script.changed().await;
        let behaviour = script.current();
        if behaviour.state == KubeletState::Closed
            || behaviour.port != port
            || behaviour.boot != boot
        {
            return;
        }
    }
}

/// One life of the kubelet's process. Its connections die with it.
async fn live(
    host: &Host,
    config: &KubeletConfig,
    recorder: &Rc<dyn Recorder>,
    port: Port,
    lifetime: impl Future<Output = ()>,
) {
    let process = host.process();
    let _end = EndOfProcess(process.tasks().clone());
    let front = Rc::new(Front {
        host: process.clone(),
        config: config.clone(),
        recorder: Rc::clone(recorder),
        shown: RefCell::new(None),
    });
    let scrapes = scrape::Scrapes::new(process.clone(), config.clone(), Rc::clone(recorder));
    let tls = Rc::new(move || front.greet());
    let serving = http_server::serve(process, Box::new(port), tls, Rc::new(scrapes));
    // Polled in this order; only the second ever ends.
    match select(std::pin::pin!(serving), std::pin::pin!(lifetime)).await {
        Either::Left(((), _)) => unreachable!("serving has no end"),
        Either::Right(((), _)) => {}
    }
}

/// A bound port that outlives a process: a machine that boots binds it again
/// whatever its last life has left behind.
#[derive(Clone)]
struct Port {
    listener: Rc<RefCell<BoxListener>>,
    address: SocketAddr,
}

impl Port {
    fn new(listener: BoxListener) -> Self {
        Self {
            address: listener.local_addr(),
            listener: Rc::new(RefCell::new(listener)),
        }
    }
}

impl Listener for Port {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(BoxStream, SocketAddr)>> {
        self.listener.borrow_mut().poll_accept(cx)
    }

    fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

/// Ends a process when dropped, however that comes about.
struct EndOfProcess(Tasks);

impl Drop for EndOfProcess {
    fn drop(&mut self) {
        self.0.kill();
    }
}

/// What a new connection meets.
struct Front {
    host: Host,
    config: KubeletConfig,
    recorder: Rc<dyn Recorder>,
    /// The certificate shown last. Behaviours rarely differ in it.
    shown: RefCell<Option<(Certificate, Arc<ServerConfig>)>>,
}

impl Front {
    fn greet(&self) -> TlsChoice {
        let behaviour = self.config.behaviour.current();
        let certificate = &behaviour.certificate;
        let expired = certificate.managed && self.host.now() > certificate.not_after;
        let (refusal, fault) = match behaviour.state {
            KubeletState::HangTls | KubeletState::Closed => (TlsChoice::Hang, Fault::State),
            KubeletState::NoCertificate => (TlsChoice::InternalError, Fault::State),
            KubeletState::HangHttp | KubeletState::Open if expired => {
                (TlsChoice::InternalError, Fault::Certificate)
            }
            KubeletState::HangHttp | KubeletState::Open => {
                let attempts = behaviour.attempts.as_ref();
                if !attempts.is_some_and(|attempts| attempts.has_no_certificate()) {
                    if self.is_wrong(certificate) {
                        behaviour.met(Fault::Certificate);
                    }
                    return TlsChoice::Serve(self.tls(certificate));
                }
                (TlsChoice::InternalError, Fault::Script)
            }
        };
        behaviour.met(fault);
        self.recorder
            .record(self.host.name(), Event::KubeletServed { status: 0 });
        refusal
    }

    /// Whether a certificate is one that should not be there: not valid by true
    /// time, or from an authority that nobody knows. A self-signed one is
    /// usual.
    fn is_wrong(&self, certificate: &Certificate) -> bool {
        let now = (self.config.true_time)();
        certificate.issuer == Issuer::Unknown
            || now < certificate.not_before
            || now > certificate.not_after
    }

    fn tls(&self, certificate: &Certificate) -> Arc<ServerConfig> {
        let mut shown = self.shown.borrow_mut();
        if let Some((current, server)) = &*shown
            && current == certificate
        {
            return Arc::clone(server);
        }
        let identity = certificate::issue(certificate, &self.config);
        let server = tls::server_config(&identity, self.host.clock(), ClientAuth::Request);
        *shown = Some((certificate.clone(), Arc::clone(&server)));
        server
    }
}

impl fmt::Debug for KubeletConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeletConfig")
            .field("node", &self.node)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
