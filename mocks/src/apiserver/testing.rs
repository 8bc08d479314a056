//! An API server on a network of pipes, for unit tests.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use seam::{Host, Timestamp};
use serde_json::Value;
use tokio::time::Instant;

use super::*;
use crate::aggregation::{Routing, Timing};
use crate::http_client::testing::{Pipes, Recording, TestClock};
use crate::http_client::{
    Client, ClientError, IncomingResponse, OutgoingRequest, Settings, Target,
};
use crate::http_server::{Handler, Request, Response};
use crate::pki::{Authority, Leaf, Usage};
use crate::tls::{Verify, client_config};

/// Where the API server listens.
pub(crate) const API: &str = "10.0.0.1:6443";

/// The token of a member of `system:masters`.
pub(crate) const ADMIN: &str = "admin";

/// The token of metrics-server's ServiceAccount.
pub(crate) const METRICS_SERVER: &str = "metrics-server";

/// The token of a user with the role `view`.
pub(crate) const VIEWER: &str = "viewer";

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("tests use real addresses")
}

pub(crate) fn millis(millis: u64) -> Sampler {
    Rc::new(move || Duration::from_millis(millis))
}

/// A script of states; times in milliseconds.
pub(crate) fn script(entries: &[(u64, State)]) -> Script<Behaviour> {
    let entry = |(at, state): &(u64, State)| {
        let behaviour = Behaviour::new(*state, millis(1));
        (Duration::from_millis(*at), behaviour)
    };
    Script::new(Instant::now(), entries.iter().map(entry).collect())
}

pub(crate) fn authority(name: &str, now: Timestamp) -> Authority {
    let hour = Duration::from_secs(3600);
    let start = now.offset(-3_600_000_000_000);
    Authority::new(name, name, start, start.after(hour * 1000))
}

pub(crate) fn leaf(name: &str, dns: &[&str], usage: Usage, now: Timestamp) -> Leaf {
    Leaf {
        seed: name.to_owned(),
        common_name: name.to_owned(),
        organizations: Vec::new(),
        dns: dns.iter().map(|name| (*name).to_owned()).collect(),
        ips: vec![address(API).ip()],
        not_before: now.offset(-3_600_000_000_000),
        not_after: now.after(Duration::from_secs(86_400)),
        usage,
    }
}

/// A network, a store, an API server and what it recorded.
pub(crate) struct Cluster {
    pub(crate) pipes: Rc<Pipes>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) store: Store,
    pub(crate) recording: Rc<Recording>,
    client: Client,
}

impl Cluster {
    /// Starts an API server that follows `behaviour`, and gives it a
    /// millisecond to bind its port.
    pub(crate) async fn start(
        store: Store,
        behaviour: Script<Behaviour>,
        routing: Routing,
        resync_phase: Duration,
    ) -> Self {
        let (pipes, clock) = (Pipes::new(), TestClock::new());
        let host = pipes.host("api", &clock);
        let recording = Recording::new();
        let config = config(&host, behaviour, routing, resync_phase);
        let recorder = Rc::clone(&recording) as Rc<dyn Recorder>;
        host.spawn(run(host.clone(), config, store.clone(), recorder));
        let roots = Verify::Roots(vec![authority("cluster", host.now()).certificate()]);
        let client = pipes.host("client", &clock);
        tokio::time::sleep(Duration::from_millis(1)).await;
        let tls = client_config(&roots, None, client.clock());
        Self {
            pipes,
            clock,
            store,
            recording,
            client: Client::new(client, tls, Settings::default()),
        }
    }

    /// One that is up all the time.
    pub(crate) async fn up(store: Store) -> Self {
        let behaviour = script(&[(0, State::Up)]);
        Self::start(store, behaviour, Routing::Endpoint, Duration::ZERO).await
    }

    /// Sends a request with a token, or without one if it is empty.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        accept: &str,
        body: String,
    ) -> Result<IncomingResponse, ClientError> {
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_str(text).expect("one line");
        if !token.is_empty() {
            headers.insert(header::AUTHORIZATION, value(&format!("Bearer {token}")));
        }
        if !accept.is_empty() {
            headers.insert(header::ACCEPT, value(accept));
        }
        let target = Rc::new(Target::https(address(API)));
        let request = OutgoingRequest {
            method,
            headers,
            body: body.into(),
            ..OutgoingRequest::get(&target, path.parse().expect("a path"))
        };
        self.client.send(request).await
    }

    /// Status and body of an answer to the administrator.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        self.get_as(ADMIN, path).await
    }

    /// Status and body, or 0 and the client's error.
    pub(crate) async fn get_as(&self, token: &str, path: &str) -> (u16, String) {
        match self.send(Method::GET, path, token, "", String::new()).await {
            Ok(response) => (response.status.as_u16(), text(&response)),
            Err(error) => (0, error.text),
        }
    }

    /// A document, in the representation asked for.
    pub(crate) async fn document(&self, path: &str, accept: &str) -> Value {
        let response = self
            .send(Method::GET, path, ADMIN, accept, String::new())
            .await;
        let response = response.expect("an answer");
        assert_eq!(response.status, StatusCode::OK, "{}", text(&response));
        serde_json::from_slice(&response.body).expect("JSON")
    }
}

pub(crate) fn text(response: &IncomingResponse) -> String {
    String::from_utf8(response.body.to_vec()).expect("text")
}

fn config(
    host: &Host,
    behaviour: Script<Behaviour>,
    routing: Routing,
    resync_phase: Duration,
) -> ApiServerConfig {
    let now = host.now();
    let cluster = authority("cluster", now);
    let token = |token: &str, user: User| Token {
        token: token.to_owned(),
        user,
        not_before: None,
        expires: None,
    };
    let mut policy = Policy::new();
    policy.bind("viewers", None, "view", Subject::User("jo".to_owned()));
    ApiServerConfig {
        addresses: vec![address(API)],
        identity: Script::always(cluster.issue(&leaf("kube-apiserver", &[], Usage::Server, now))),
        client_ca: cluster.certificate(),
        tokens: vec![
            token(ADMIN, User::new("admin", &["system:masters"])),
            token(
                METRICS_SERVER,
                User::service_account("kube-system", "metrics-server"),
            ),
            token(VIEWER, User::new("jo", &[])),
        ],
        policy,
        behaviour,
        aggregation: AggregationConfig {
            front_proxy: Script::always(authority("front-proxy", now).issue(&leaf(
                "front-proxy-client",
                &[],
                Usage::Client,
                now,
            ))),
            routing: Script::always(routing),
            resync_phase,
            timing: Timing {
                informer: millis(1),
                write: millis(2),
                handshakes: millis(0),
            },
        },
        witness: None,
    }
}

/// Answers every request with what a function says.
pub(crate) struct Answers<F>(pub(crate) F);

impl<F> Handler for Answers<F>
where
    F: Fn(Request) -> LocalBoxFuture<'static, Response>,
{
    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Response> {
        (self.0)(request).boxed_local()
    }
}
