//! The least API server and kubelet that a metrics-server can work with.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use seam::Host;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use aggregator::transport::tls::{Identity, Tls};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Certificate and key for a server, in PEM.
    pub(crate) fn issue_pem(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names).expect("valid names");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// A certificate for a server or client.
    pub(crate) fn issue(&self, common_name: &str, names: &[&str]) -> Identity {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("valid names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

type Body =
    Either<Full<Bytes>, StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;

fn whole(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status.try_into().expect("a valid status");
    response
}

/// Serves HTTP over TLS on a machine's port and returns the port in force.
pub(crate) async fn listen<F, R>(
    host: &Host,
    port: u16,
    tls: &Tls,
    identity: Identity,
    handler: F,
) -> u16
where
    F: Fn(Request<Incoming>) -> R + Clone + 'static,
    R: Future<Output = Response<Body>> + 'static,
{
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(tls.provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suitable algorithms")
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .expect("a matching key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut listener = host
        .listen(([0, 0, 0, 0], port).into())
        .await
        .expect("a free port");
    let port = listener.local_addr().port();
    let own = host.clone();
    host.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, handler) = (acceptor.clone(), handler.clone());
            own.spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = service_fn(move |request| {
                    let answer = handler(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let mut builder = http1::Builder::new();
                builder.timer(TokioTimer::new()).auto_date_header(false);
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    port
}

/// What a kubelet answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KubeletMode {
    Answers,
    Fails(u16),
    Hangs,
    /// Answers after this time.
    Takes(Duration),
}

pub(crate) struct Kubelet {
    pub(crate) mode: Cell<KubeletMode>,
    pub(crate) authorization: RefCell<Option<String>>,
    /// The one pod, in namespace `load`.
    pub(crate) pod: RefCell<String>,
    /// In a summary: how long ago the node started, in milliseconds.
    pub(crate) up_for: Cell<i64>,
    /// Path and query of the last request.
    pub(crate) asked: RefCell<String>,
    /// The port it serves on.
    pub(crate) port: Cell<u16>,
}

impl Kubelet {
    /// Starts on port 10250 with one pod, `load/web`.
    pub(crate) async fn start(host: &Host, tls: &Tls, identity: Identity) -> Rc<Self> {
        Self::start_on(host, 10250, tls, identity).await
    }

    pub(crate) async fn start_on(
        host: &Host,
        port: u16,
        tls: &Tls,
        identity: Identity,
    ) -> Rc<Self> {
        let kubelet = Rc::new(Self {
            mode: Cell::new(KubeletMode::Answers),
            authorization: RefCell::default(),
            pod: RefCell::new("web".to_owned()),
            up_for: Cell::new(86_400_000),
            asked: RefCell::default(),
            port: Cell::new(port),
        });
        let (state, clock) = (Rc::clone(&kubelet), host.clone());
        let port = listen(host, port, tls, identity, move |request| {
            let text = request
                .headers()
                .get("authorization")
                .and_then(|value| value.to_str().ok());
            *state.authorization.borrow_mut() = text.map(str::to_owned);
            let mode = state.mode.get();
            *state.asked.borrow_mut() = request.uri().to_string();
            let is_summary = request.uri().path() == "/stats/summary";
            let up_for = state.up_for.get();
            let pod = state.pod.borrow().clone();
            let now = clock.now().as_millis();
            async move {
                let body = || match is_summary {
                    true => summary(now, up_for, &pod),
                    false => exposition(now, &pod),
                };
                match mode {
                    KubeletMode::Answers => whole(200, body()),
                    KubeletMode::Fails(status) => whole(status, "no"),
                    KubeletMode::Hangs => std::future::pending().await,
                    KubeletMode::Takes(time) => {
                        tokio::time::sleep(time).await;
                        whole(200, body())
                    }
                }
            }
        })
        .await;
        kubelet.port.set(port);
        kubelet
    }
}

fn exposition(now: i64, pod: &str) -> String {
    let cpu = now / 10_000;
    format!(
        "node_cpu_usage_seconds_total {cpu} {now}\nnode_memory_working_set_bytes 1e9 {now}\n\
         container_cpu_usage_seconds_total{{container=\"c\",namespace=\"load\",pod=\"{pod}\"}} {cpu} {now}\n\
         container_memory_working_set_bytes{{container=\"c\",namespace=\"load\",pod=\"{pod}\"}} 2e6 {now}\n"
    )
}

/// A quarter of a core for the node, a tenth for the container.
fn summary(now: i64, up_for: i64, pod: &str) -> String {
    let time = |milliseconds: i64| {
        let seconds = jiff::Timestamp::from_second(milliseconds / 1_000);
        seconds.expect("a time in this century").to_string()
    };
    let stats = |nanocores: i64, started: i64| {
        json!({
            "startTime": time(started),
            "cpu": {
                "time": time(now),
                "usageNanoCores": nanocores,
                "usageCoreNanoSeconds": nanocores * (now / 1_000 % 10_000_000),
            },
            "memory": {"time": time(now), "workingSetBytes": 1 << 20},
        })
    };
    let mut node = stats(250_000_000, now - up_for);
    node["nodeName"] = "node-1".into();
    let mut container = stats(100_000_000, now - 3_600_000);
    container["name"] = "c".into();
    json!({
        "node": node,
        "pods": [{"podRef": {"namespace": "load", "name": pod}, "containers": [container]}],
    })
    .to_string()
}

/// An API server that holds nodes, pods and one ConfigMap.
#[derive(Default)]
pub(crate) struct ApiServer {
    pub(crate) nodes: RefCell<Vec<Value>>,
    pub(crate) pods: RefCell<Vec<Value>>,
    pub(crate) config_map: RefCell<Option<Value>>,
    /// Status for every request for the ConfigMap by name, if not its own.
    pub(crate) config_map_status: Cell<Option<u16>>,
    /// Users that may do anything.
    pub(crate) allowed: RefCell<Vec<String>>,
    /// Method and target of every request.
    pub(crate) requests: RefCell<Vec<String>>,
    watchers: RefCell<Vec<(String, mpsc::UnboundedSender<Bytes>)>>,
    /// Answer 500 to lists and watches of nodes and pods.
    pub(crate) breaks_lists: Cell<bool>,
    /// Time to decide about an access.
    pub(crate) review_takes: Cell<Duration>,
    machine: RefCell<Option<Host>>,
    /// Refuse the streaming form of a list.
    pub(crate) refuses_watch_list: Cell<bool>,
}

impl ApiServer {
    /// Starts on port 6443.
    pub(crate) async fn start(self: &Rc<Self>, host: &Host, tls: &Tls, identity: Identity) {
        self.start_on(host, 6443, tls, identity).await;
    }

    /// Starts on this port, any if it is 0, and returns it.
    pub(crate) async fn start_on(
        self: &Rc<Self>,
        host: &Host,
        port: u16,
        tls: &Tls,
        identity: Identity,
    ) -> u16 {
        let server = Rc::clone(self);
        *self.machine.borrow_mut() = Some(host.clone());
        listen(host, port, tls, identity, move |request| {
            let server = Rc::clone(&server);
            async move { server.answer(request).await }
        })
        .await
    }

    /// The machine it was started on.
    pub(crate) fn machine(&self) -> Host {
        self.machine.borrow().clone().expect("it was started")
    }

    /// Tells every watch of a resource.
    pub(crate) fn notify(&self, resource: &str, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": kind, "object": object}));
        for (watched, sender) in self.watchers.borrow().iter() {
            if watched == resource {
                let _ = sender.send(line.clone().into());
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or("").to_owned();
        self.requests
            .borrow_mut()
            .push(format!("{} {}", request.method(), request.uri()));
        let resource = path.rsplit('/').next().unwrap_or_default().to_owned();
        match resource.as_str() {
            "extension-apiserver-authentication" => self.config_map(),
            "subjectaccessreviews" => {
                let body = request
                    .into_body()
                    .collect()
                    .await
                    .expect("a body")
                    .to_bytes();
                let review: Value = serde_json::from_slice(&body).expect("JSON");
                tokio::time::sleep(self.review_takes.get()).await;
                let user = review["spec"]["user"].as_str().unwrap_or_default();
                let allowed = self.allowed.borrow().iter().any(|name| name == user);
                whole(201, json!({"status": {"allowed": allowed}}).to_string())
            }
            "tokenreviews" => whole(201, json!({"status": {"authenticated": false}}).to_string()),
            "nodes" | "pods" if self.breaks_lists.get() => whole(500, "boom"),
            "nodes" => self.list_or_watch(&resource, &query, &self.nodes.borrow()),
            "pods" => self.list_or_watch(&resource, &query, &self.pods.borrow()),
            "configmaps" => {
                let items: Vec<Value> = self.config_map.borrow().iter().cloned().collect();
                self.list_or_watch(&resource, &query, &items)
            }
            _ => whole(404, "404 page not found\n"),
        }
    }

    fn config_map(&self) -> Response<Body> {
        if let Some(status) = self.config_map_status.get() {
            let message = "configmaps \"extension-apiserver-authentication\" is forbidden: no";
            return whole(
                status,
                json!({"kind": "Status", "status": "Failure", "message": message, "code": status})
                    .to_string(),
            );
        }
        match &*self.config_map.borrow() {
            Some(object) => whole(200, object.to_string()),
            None => whole(
                404,
                json!({"kind": "Status", "message": "not found", "code": 404}).to_string(),
            ),
        }
    }

    fn list_or_watch(&self, resource: &str, query: &str, items: &[Value]) -> Response<Body> {
        if !query.contains("watch=true") {
            return whole(
                200,
                json!({"metadata": {"resourceVersion": "5"}, "items": items}).to_string(),
            );
        }
        let (sender, mut lines) = mpsc::unbounded_channel();
        if query.contains("sendInitialEvents=true") {
            if self.refuses_watch_list.get() {
                return whole(
                    422,
                    json!({"kind": "Status", "message": "no", "code": 422}).to_string(),
                );
            }
            for item in items {
                let _ =
                    sender.send(format!("{}\n", json!({"type": "ADDED", "object": item})).into());
            }
            let mark = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "5",
                "annotations": {"k8s.io/initial-events-end": "true"}}}});
            let _ = sender.send(format!("{mark}\n").into());
        }
        self.watchers
            .borrow_mut()
            .push((resource.to_owned(), sender));
        let frames = stream::poll_fn(move |cx| {
            lines
                .poll_recv(cx)
                .map(|line| line.map(|line| Ok(Frame::data(line))))
        });
        Response::new(Either::Right(StreamBody::new(Box::pin(frames))))
    }
}

pub(crate) fn node(name: &str, address: &str) -> Value {
    json!({
        "metadata": {"name": name, "resourceVersion": "3", "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    })
}

pub(crate) fn pod(namespace: &str, name: &str) -> Value {
    json!({"metadata": {"namespace": namespace, "name": name, "resourceVersion": "4"}})
}

pub(crate) fn config_map(client_ca: &Authority, proxy_ca: &Authority) -> Value {
    json!({"metadata": {"name": "extension-apiserver-authentication", "resourceVersion": "2"}, "data": {
        "client-ca-file": client_ca.pem,
        "requestheader-client-ca-file": proxy_ca.pem,
        "requestheader-username-headers": "[\"X-Remote-User\"]",
        "requestheader-group-headers": "[\"X-Remote-Group\"]",
        "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
        "requestheader-allowed-names": "[\"front-proxy-client\"]",
    }})
}
