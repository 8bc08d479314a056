//! The serving side: TLS, HTTP/2 and HTTP/1.1, authentication,
//! authorization, and the answers.
//!
//! - [`certificate`]: the serving certificate, found or generated;
//! - [`reload`]: the same, once its files have changed;
//! - [`tls`]: the serving side of TLS;
//! - `connection`: one connection, from its handshake to its end;
//! - `handler`: one request;
//! - `probes`: the checks behind `/livez` and `/readyz`.

pub mod certificate;
mod connection;
mod handler;
mod opening;
mod probes;
pub mod reload;
pub mod tls;

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use seam::{BoxListener, Host, Random};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::api::Selector;
use crate::auth::authenticate::Authenticator;
use crate::auth::authorize::Authorizer;
use crate::environment::Shutdown;
use crate::informer::ClusterState;
use crate::klog::Log;
use crate::options::Options;
use crate::pace::Pace;
use crate::scrape::Collected;
use crate::version::Version;
use reload::ServingCertificate;

/// Go waits this long after a failed accept, at first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// What serving needs.
pub struct Server {
    /// The machine.
    pub host: Host,
    /// The release.
    pub version: Version,
    /// The command line.
    pub options: Rc<Options>,
    /// `--metric-resolution`
    pub resolution: Duration,
    /// The port in force.
    pub port: u16,
    /// Streams per HTTP/2 connection.
    pub max_streams: u32,
    /// What scraping left behind.
    pub collected: Rc<Collected>,
    /// What the informers know.
    pub cluster: Rc<ClusterState>,
    /// `--node-selector`
    pub selector: Selector,
    /// Who is asking.
    pub authenticator: Authenticator,
    /// What they may.
    pub authorizer: Authorizer,
    /// The process was asked to stop: `/readyz` says so.
    pub shutdown: Shutdown,
    /// The port is to be closed and connections are to end.
    pub closing: Shutdown,
    /// Where errors go.
    pub log: Log,
    /// The stream `audit-id`.
    pub audit_ids: RefCell<Box<dyn Random>>,
    /// What holds answers up.
    pub pace: Rc<dyn Pace>,
    /// Requests being worked on.
    pub in_flight: InFlight,
    /// Connections that speak HTTP.
    pub connections: Connections,
}

impl Server {
    /// Accepts connections until the server closes; then the port is closed.
    pub async fn accept(
        self: Rc<Self>,
        mut listener: BoxListener,
        certificate: ServingCertificate,
    ) {
        loop {
            let accepted = {
                let next = listener.accept();
                match select(pin!(self.closing.requested()), pin!(next)).await {
                    Either::Left(_) => return,
                    Either::Right((accepted, _)) => accepted,
                }
            };
            match accepted {
                Ok((stream, _)) => {
                    let acceptor = TlsAcceptor::from(certificate.config());
                    let connection = connection::serve(Rc::clone(&self), acceptor, stream);
                    self.host.spawn(connection);
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// Waits until no connection is left, for at most `limit`.
    pub async fn drained(&self, limit: Duration) {
        // Whoever is still there then is cut off by the end of the process.
        let _ = timeout(limit, self.connections.none_left()).await;
    }
}

/// Counts open connections.
#[derive(Debug, Default)]
pub struct Connections {
    count: Rc<Cell<usize>>,
    closed: Rc<Notify>,
}

/// One open connection; dropped at its end.
#[derive(Debug)]
pub struct OpenConnection {
    count: Rc<Cell<usize>>,
    closed: Rc<Notify>,
}

impl Connections {
    fn open(&self) -> OpenConnection {
        self.count.set(self.count.get() + 1);
        OpenConnection {
            count: Rc::clone(&self.count),
            closed: Rc::clone(&self.closed),
        }
    }

    async fn none_left(&self) {
        while self.count.get() > 0 {
            self.closed.notified().await;
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
        self.closed.notify_one();
    }
}

/// Counts requests being worked on, up to a limit.
#[derive(Debug)]
pub struct InFlight {
    count: Rc<Cell<usize>>,
    limit: usize,
}

/// The place of one request; dropped at its end.
#[derive(Debug)]
pub struct Place(Rc<Cell<usize>>);

impl InFlight {
    /// At most `limit` requests, or any number if that is 0.
    #[must_use]
    pub fn new(limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        Self {
            count: Rc::default(),
            limit: if limit == 0 { usize::MAX } else { limit },
        }
    }

    fn enter(&self) -> Option<Place> {
        let count = self.count.get();
        (count < self.limit).then(|| {
            self.count.set(count + 1);
            Place(Rc::clone(&self.count))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_up_to_the_limit_and_given_back() {
        let in_flight = InFlight::new(2);
        let first = in_flight.enter();
        let second = in_flight.enter();
        assert!(first.is_some() && second.is_some() && in_flight.enter().is_none());
        drop(first);
        assert!(in_flight.enter().is_some());
        assert!(InFlight::new(0).enter().is_some());
    }
}
