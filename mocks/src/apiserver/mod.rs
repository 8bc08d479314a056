//! The API server: objects, watches, reviews, discovery, aggregated APIs.
//!
//! In reading order:
//!
//! - this file: configuration, and the life of the process;
//! - `behaviour`: when it serves, and how quickly;
//! - `handler`: the way of a request, from latency to answer;
//! - `request`, `negotiate`, `selector`: what a request asks for;
//! - `authentication`, `rbac`, `roles`: who asks, and whether they may;
//! - `resources`, `list`, `watch`: stored objects;
//! - `view`, `table`: how they are written for a client;
//! - `reviews`, `protobuf`: who somebody is, and what they may do;
//! - `documents`: discovery, in both forms; `openapi`: schemas;
//! - `health`: `/readyz`, `/livez`, `/version`;
//! - `reply`: answers and failures;
//! - [`objects`]: the shape of what the cluster holds.
//!
//! What a real API server serves and this one does not is answered with 501
//! and told to the recorder: never with silence.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use rustls_pki_types::CertificateDer;
use seam::{BoxListener, BoxStream, Host, Listener, Tasks};
use tokio::time::Instant;

use crate::aggregation::AggregationConfig;
use crate::event::{Event, Recorder};
use crate::http_server::{TlsChoice, serve};
use crate::pki::Identity;
use crate::script::Script;
use crate::store::{ChangeKind, Store};
use crate::tls::{ClientAuth, server_config};

mod authentication;
pub(crate) mod base64;
mod behaviour;
pub(crate) mod documents;
mod handler;
mod health;
mod list;
mod negotiate;
pub mod objects;
mod openapi;
mod protobuf;
mod rbac;
mod reply;
mod request;
mod resources;
mod reviews;
mod roles;
mod selector;
mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod view;
mod watch;

pub use authentication::Token;
pub(crate) use behaviour::responsive;
pub use behaviour::{Behaviour, ClientSampler, Sampler, State, Trouble, Watches, serving, uniform};
pub use rbac::{Binding, Grant, Policy, Subject, User, What};

use handler::Server;

/// The release that is modelled.
pub(crate) const VERSION: &str = "v1.36.2";

/// The API server of a cluster.
#[derive(Clone)]
pub struct ApiServerConfig {
    /// Where it listens: addresses of its host.
    pub addresses: Vec<SocketAddr>,
    /// What it serves with. Its names should cover the ClusterIP of the
    /// Service `kubernetes`, under which pods know it. New connections meet a
    /// new one.
    pub identity: Script<Identity>,
    /// Whose client certificates it believes: `--client-ca-file`.
    pub client_ca: CertificateDer<'static>,
    /// The bearer tokens it knows.
    pub tokens: Vec<Token>,
    /// Who may do what.
    pub policy: Policy,
    /// When it serves, and how quickly.
    pub behaviour: Script<Behaviour>,
    /// The aggregation layer in its process.
    pub aggregation: AggregationConfig,
    /// An observer that no cluster has: what it meets is not told.
    pub witness: Option<IpAddr>,
}

/// Runs the API server until the future is dropped.
///
/// While its state is [`State::Down`] there is no process; what the process
/// knew is lost, what the store holds is not.
pub async fn run(host: Host, config: ApiServerConfig, store: Store, recorder: Rc<dyn Recorder>) {
    let began = Instant::now();
    let config = Rc::new(config);
    let teller = host.process();
    let _teller = KillOnDrop::new(teller.tasks());
    teller.spawn(tell_registrations(
        host.clone(),
        store.clone(),
        Rc::clone(&recorder),
    ));
    loop {
        while config.behaviour.current().state == State::Down {
            config.behaviour.changed().await;
        }
        live(&host, &config, &store, &recorder, began).await;
    }
}

/// One life of the process: until it goes down, or is started anew.
async fn live(
    host: &Host,
    config: &Rc<ApiServerConfig>,
    store: &Store,
    recorder: &Rc<dyn Recorder>,
    began: Instant,
) {
    let process = host.process();
    let _process = KillOnDrop::new(process.tasks());
    let server = Rc::new(Server::new(&process, config, store, recorder));
    let shown = Rc::new(Shown {
        host: host.clone(),
        identity: config.identity.clone(),
        last: RefCell::default(),
    });
    for address in &config.addresses {
        let listener = Gated {
            listener: listen(&process, *address).await,
            behaviour: config.behaviour.clone(),
            resumed: None,
        };
        let shown = Rc::clone(&shown);
        process.spawn(serve(
            process.clone(),
            Box::new(listener),
            Rc::new(move || TlsChoice::Serve(shown.tls())),
            Rc::new(handler::Connections(Rc::clone(&server))),
        ));
    }
    loop {
        match config.behaviour.current().state {
            State::Down => return,
            State::Starting if server.is_complete() => return,
            State::Up if !server.is_complete() => {
                let was_up_before = Instant::now() == began;
                server.complete(was_up_before);
            }
            State::Starting | State::Up | State::Hang => {}
        }
        config.behaviour.changed().await;
    }
}

/// What the server shows to new connections.
struct Shown {
    host: Host,
    identity: Script<Identity>,
    last: RefCell<Option<(Identity, Arc<rustls::ServerConfig>)>>,
}

impl Shown {
    fn tls(&self) -> Arc<rustls::ServerConfig> {
        let identity = self.identity.current();
        let mut last = self.last.borrow_mut();
        if let Some((shown, tls)) = &*last
            && shown == identity
        {
            return Arc::clone(tls);
        }
        let tls = server_config(identity, self.host.clock(), ClientAuth::Request);
        *last = Some((identity.clone(), Arc::clone(&tls)));
        tls
    }
}

/// Binds a port. That of a process that has just ended may still be held for
/// a moment.
async fn listen(process: &Host, address: SocketAddr) -> BoxListener {
    loop {
        match process.listen(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Tells when APIService objects are created and deleted, and which of those
/// that there are were Available before.
async fn tell_registrations(host: Host, store: Store, recorder: Rc<dyn Recorder>) {
    let mut watch = store.watch("apiservices");
    for object in store.list("apiservices") {
        recorder.record(host.name(), Event::ApiServiceRegistered);
        let conditions = object["status"]["conditions"].as_array();
        for condition in conditions.into_iter().flatten() {
            let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            if condition["type"] == "Available" && condition["status"] == "True" {
                let event = Event::ApiService {
                    status: "True",
                    reason: text("reason"),
                    message: text("message"),
                };
                recorder.record(host.name(), event);
            }
        }
    }
    loop {
        match watch.next().await.kind {
            ChangeKind::Added => recorder.record(host.name(), Event::ApiServiceRegistered),
            ChangeKind::Deleted => recorder.record(host.name(), Event::ApiServiceDeleted),
            ChangeKind::Modified => {}
        }
    }
}

/// A listener that accepts nothing while the process stands still; the system
/// underneath goes on to complete handshakes.
struct Gated {
    listener: BoxListener,
    behaviour: Script<Behaviour>,
    resumed: Option<LocalBoxFuture<'static, ()>>,
}

impl Listener for Gated {
    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<(BoxStream, SocketAddr)>> {
        loop {
            if let Some(resumed) = &mut self.resumed {
                ready!(resumed.as_mut().poll(cx));
                self.resumed = None;
            }
            if self.behaviour.current().state != State::Hang {
                return self.listener.poll_accept(cx);
            }
            let behaviour = self.behaviour.clone();
            self.resumed = Some(Box::pin(async move { responsive(&behaviour).await }));
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }
}

/// Ends the tasks of a process when whoever runs it ends.
pub(crate) struct KillOnDrop(Tasks);

impl KillOnDrop {
    pub(crate) fn new(tasks: &Tasks) -> Self {
        Self(tasks.clone())
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.kill();
    }
}
