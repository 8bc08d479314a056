//! What a metrics-server process is given, and whom it tells what it does.
//!
//! A real process and a simulated one differ only in the [`Environment`] they
//! are started with: its [`Host`], how it finds its API server
//! ([`ClusterSource`]), what its start costs in time ([`StartCost`]), what holds
//! its work up ([`Pace`]) and where its serving key comes from ([`ServerKey`]).

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use seam::Host;
use thiserror::Error;
use tokio::sync::watch;

use crate::klog;
use crate::pace::Pace;
use crate::version::Version;

/// Everything that one process is started with.
#[derive(Clone)]
pub struct Environment {
    /// The machine it runs on: network, clock, randomness, files and tasks.
    ///
    /// Random streams drawn: `scrape-stagger`, `informer-backoff/<resource>`,
    /// `watch-timeout/<resource>`, `authenticator-jitter`,
    /// `authorizer-jitter`, `audit-id` and `serving-serial`.
    pub host: Host,
    /// The release whose behaviour it has.
    pub version: Version,
    /// How it finds its API server.
    pub cluster: Rc<dyn ClusterSource>,
    /// Time that its start takes beyond waiting for others.
    pub start_cost: StartCost,
    /// What holds its work up once it runs.
    pub pace: Rc<dyn Pace>,
    /// Who is told what it does.
    pub observer: Rc<dyn Observer>,
    /// SIGTERM, as a handle.
    pub shutdown: Shutdown,
    /// Where a generated serving certificate's key comes from.
    pub server_key: ServerKey,
}

/// Time that starting takes beyond waiting for others: the price of code that
/// costs nothing in simulated time. All zero in a real process, which pays it
/// in fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StartCost {
    /// From exec until the serving certificate is looked for: loading and
    /// linking the program, runtime start, flag parsing. Not slept if the
    /// command line is wrong.
    pub exec: Duration,
    /// Generating the serving certificate; not slept if one is found on disk.
    pub certificate: Duration,
    /// From listening to the first API request: the loopback certificate and
    /// building the generic server's configuration.
    pub configure: Duration,
    /// From the beginning of tick 1 until connections are accepted: OpenAPI
    /// and installing handlers.
    pub serve: Duration,
}

/// Where the key of a generated serving certificate comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum ServerKey {
    /// A fresh ECDSA P-256 key from the system's randomness.
    ///
    /// DIFFERENCE: the Go program generates RSA-2048 keys, and a certificate
    /// authority of its own above the serving certificate.
    Generate,
    /// This Ed25519 key in PKCS#8, so that a simulation's bytes repeat.
    Pkcs8Ed25519(Vec<u8>),
}

impl std::fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Generate => "Generate",
            Self::Pkcs8Ed25519(_) => "Pkcs8Ed25519(..)",
        })
    }
}

/// How a process finds its API server.
pub trait ClusterSource {
    /// Resolves a kubeconfig path, or the in-cluster configuration if `None`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the text that client-go would give.
    fn load(&self, kubeconfig: Option<&str>) -> Result<ClusterConfig, ConfigError>;
}

/// Why there is no configuration to reach the API server with.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ConfigError {
    /// client-go's text, such as `stat /nope: no such file or directory`.
    pub message: String,
}

/// How to reach and convince one API server: client-go's `rest.Config`, as far
/// as it is used.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// Name or literal address to dial, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Authorities that may sign the server's certificate. Empty means that
    /// none is trusted, since there is no system trust store here.
    pub ca: Vec<CertificateDer<'static>>,
    /// Skip verification of the server's certificate.
    pub insecure: bool,
    /// What is presented to the server.
    pub credentials: Credentials,
    /// Name to verify in the certificate in place of `host`.
    pub server_name: Option<String>,
}

/// What a client presents to an API server or kubelet.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    Anonymous,
    /// A bearer token that stays the same.
    Token(String),
    /// A file with a bearer token, read again every minute.
    TokenFile(String),
    /// A client certificate.
    ClientCertificate {
        /// The chain in PEM, leaf first.
        certificate: Vec<u8>,
        /// The private key in PEM.
        key: Vec<u8>,
    },
    /// User name and password.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: String,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Token(_) => "Token(..)",
            Self::TokenFile(path) => return write!(f, "TokenFile({path:?})"),
            Self::ClientCertificate { .. } => "ClientCertificate(..)",
            Self::Basic { .. } => "Basic(..)",
        })
    }
}

/// Is told what the process does, at the moment that it does it.
///
/// Called synchronously from inside the process: implementations record, and
/// must not call back.
pub trait Observer {
    /// Something happened that an outside party could see the effect of.
    fn event(&self, event: Event<'_>);

    /// A line of the process's log.
    fn log(&self, line: &klog::Line);
}

/// An observer that looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn event(&self, _event: Event<'_>) {}
    fn log(&self, _line: &klog::Line) {}
}

/// What the process just did. Ticks are numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// The serving certificate is in place.
    ServingCertificate {
        /// Freshly generated, rather than found on disk.
        generated: bool,
    },
    /// The port is listening: connects succeed, handshakes get no answer yet.
    PortBound {
        /// Address with the port in force.
        address: SocketAddr,
    },
    /// The request for `extension-apiserver-authentication` was answered.
    AuthenticationConfigLoaded {
        /// False if the API server said that there is no such ConfigMap.
        found: bool,
    },
    /// One informer's cache holds the initial list.
    InformerSynced {
        /// `nodes` or `pods`.
        resource: &'static str,
        /// Objects in the cache.
        objects: usize,
    },
    /// The process noticed that both caches are filled and goes on.
    InformersSynced,
    /// Connections are accepted from now on.
    Serving {
        /// Address with the port in force.
        address: SocketAddr,
    },
    /// A scrape of all nodes begins.
    TickStarted {
        /// Number of the tick.
        tick: u64,
        /// Nodes that match the selector.
        nodes: usize,
    },
    /// The scrape of one node ended.
    Scraped {
        /// Number of the tick.
        tick: u64,
        /// The node's name.
        node: &'a str,
        /// How it ended, in one word: an HTTP status code, or `refused`,
        /// `timeout`, `reset`, `tls`, `dns`, `unreachable`, `malformed`,
        /// `no-address`.
        outcome: &'a str,
        /// The error as logged, empty after success.
        text: &'a str,
        /// From the first byte sent or tried, without the staggering delay.
        duration: Duration,
    },
    /// A tick's points are in the store.
    TickStored {
        /// Number of the tick.
        tick: u64,
        /// Nodes with a point in this tick.
        nodes: usize,
        /// Pods with a point in this tick.
        pods: usize,
        /// Nodes that the API can answer for now.
        servable_nodes: usize,
        /// Pods that the API can answer for now.
        servable_pods: usize,
        /// Whether they are other nodes or pods than after the tick before.
        others: bool,
        /// Whether `metric-storage-ready` holds now.
        ready: bool,
    },
    /// SIGTERM was noticed: `/readyz` fails, the port is closed.
    ShutdownStarted,
    /// The last request in flight was answered.
    ShutdownFinished,
}

/// SIGTERM, as a handle that every interested party holds a clone of.
#[derive(Debug, Clone)]
pub struct Shutdown {
    sender: Rc<watch::Sender<bool>>,
}

impl Shutdown {
    /// A handle on which nothing was requested.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sender: Rc::new(watch::Sender::new(false)),
        }
    }

    /// Asks the process to stop, as SIGTERM does.
    pub fn request(&self) {
        self.sender.send_replace(true);
    }

    /// Whether the process was asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.sender.borrow()
    }

    /// Waits until the process is asked to stop.
    pub async fn requested(&self) {
        // The sender lives in `self`, so the channel cannot be closed.
        let _ = self
            .sender
            .subscribe()
            .wait_for(|requested| *requested)
            .await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}
