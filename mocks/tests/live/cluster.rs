//! An API server on loopback, on a thread of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use mocks::aggregation::{AggregationConfig, Routing, Timing};
use mocks::apiserver::{
    self, ApiServerConfig, Behaviour, Policy, State, Subject, Token, User, objects,
};
use mocks::deployment_objects;
use mocks::event::{Event, Recorder};
use mocks::http_server::{Handler, Request, Response, TlsChoice, serve};
use mocks::pki::{Authority, Identity, Leaf, Usage};
use mocks::script::Script;
use mocks::store::Store;
use mocks::tls::{ClientAuth, server_config};
use seam::{Host, Timestamp, tokio_host};
use serde_json::{Value, json};
use tokio::sync::mpsc as tasks;

/// The token of a user with the role `view`.
pub(crate) const VIEWER: &str = "viewers-token";

/// What happens on the server's thread on a test's behalf.
type Task = Box<dyn FnOnce(&Store) + Send>;

/// A running API server; it ends when this is dropped.
pub(crate) struct Cluster {
    directory: PathBuf,
    address: SocketAddr,
    authority_pem: String,
    tasks: Option<tasks::UnboundedSender<Task>>,
    thread: Option<JoinHandle<()>>,
    not_modelled: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    /// Starts an API server with the objects of [`seed`], whose metrics API is
    /// not available yet, and writes a kubeconfig for it.
    pub(crate) fn start() -> Self {
        let (ready, started) = mpsc::channel();
        let (sender, receiver) = tasks::unbounded_channel();
        let not_modelled: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&not_modelled);
        #[expect(
            clippy::disallowed_methods,
            reason = "a real server beside a real client: nothing here is simulated"
        )]
        let thread = std::thread::spawn(move || run(&ready, receiver, told));
        let trust: Shown = started.recv().expect("the server starts");
        let directory = directory();
        std::fs::create_dir_all(&directory).expect("the directory for temporary files is writable");
        let kubeconfig = kubeconfig(&trust);
        std::fs::write(directory.join("kubeconfig"), kubeconfig.to_string())
            .expect("a file in a new directory can be written");
        Self {
            directory,
            address: trust.address,
            authority_pem: trust.authority_pem,
            tasks: Some(sender),
            thread: Some(thread),
            not_modelled,
        }
    }

    /// Where the kubeconfig and the caches are.
    #[allow(
        dead_code,
        reason = "one of the two test programs that share this file"
    )]
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where it listens.
    #[allow(
        dead_code,
        reason = "one of the two test programs that share this file"
    )]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority that signed its certificate, in PEM.
    #[allow(
        dead_code,
        reason = "one of the two test programs that share this file"
    )]
    pub(crate) fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// Does something with the store.
    pub(crate) fn with<T: Send + 'static>(
        &self,
        task: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> T {
        let (sender, receiver) = mpsc::channel();
        let task: Task = Box::new(move |store| {
            // The test may have given up waiting.
            let _ = sender.send(task(store));
        });
        let tasks = self.tasks.as_ref().expect("it is running");
        tasks.send(task).expect("the server runs");
        receiver.recv().expect("the server runs")
    }

    /// Makes metrics-server's endpoint ready, and with it the metrics API
    /// available.
    #[allow(
        dead_code,
        reason = "one of the two test programs that share this file"
    )]
    pub(crate) fn make_ready(&self) {
        self.with(|store| {
            let slices = store.list("endpointslices");
            let slice = slices
                .iter()
                .find(|slice| slice["metadata"]["namespace"] == "kube-system")
                .expect("it is seeded");
            let mut slice = Value::clone(slice);
            slice["endpoints"][0]["conditions"]["ready"] = json!(true);
            store.put("endpointslices", slice);
            let pod = store
                .get("pods", Some("kube-system"), POD)
                .expect("it is seeded");
            let mut pod = Value::clone(&pod);
            set_ready(&mut pod, true);
            store.put("pods", pod);
        });
    }

    /// Requests that were answered as not modelled.
    #[allow(
        dead_code,
        reason = "one of the two test programs that share this file"
    )]
    pub(crate) fn not_modelled(&self) -> Vec<String> {
        self.not_modelled
            .lock()
            .expect("nobody panics with it")
            .clone()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("firstlight-kubectl-{}-{number}", std::process::id());
    std::env::temp_dir().join(name)
}

/// What clients need to know.
struct Shown {
    address: SocketAddr,
    authority_pem: String,
    admin: Identity,
    foreigner: Identity,
}

fn kubeconfig(shown: &Shown) -> Value {
    let base64 = |text: &str| encode(text.as_bytes());
    let context =
        |user: &str| json!({"name": user, "context": {"cluster": "firstlight", "user": user}});
    let contexts = ["admin", "viewer", "stranger", "foreigner"].map(context);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "firstlight", "cluster": {
            "server": format!("https://{}", shown.address),
            "certificate-authority-data": base64(&shown.authority_pem),
        }}],
        "users": [
            {"name": "admin", "user": {
                "client-certificate-data": base64(&shown.admin.certificate_pem()),
                "client-key-data": base64(&shown.admin.key_pem()),
            }},
            {"name": "viewer", "user": {"token": VIEWER}},
            {"name": "stranger", "user": {"token": "nobody-knows-it"}},
            {"name": "foreigner", "user": {
                "client-certificate-data": base64(&shown.foreigner.certificate_pem()),
                "client-key-data": base64(&shown.foreigner.key_pem()),
            }},
        ],
        "contexts": contexts,
        "current-context": "admin",
    })
}

fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0_u32, |group, (at, byte)| {
            group | u32::from(*byte) << (16 - 8 * at)
        });
        for digit in 0..4 {
            let value = group >> (18 - 6 * digit) & 63;
            let used = digit <= chunk.len();
            let letter = if used { DIGITS[value as usize] } else { b'=' };
            out.push(char::from(letter));
        }
    }
    out
}

/// The server's thread, until nobody has tasks for it any more.
fn run(
    ready: &mpsc::Sender<Shown>,
    mut tasks: tasks::UnboundedReceiver<Task>,
    not_modelled: Arc<Mutex<Vec<String>>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let host = tokio_host::host("apiserver");
        let trust = Trust::new(host.now());
        let backend = start_backend(&host, &trust).await;
        let store = Store::new();
        seed(&store, host.now(), backend);
        let address = free_port();
        let recorder: Rc<dyn Recorder> = Rc::new(Listener(not_modelled));
        let config = config(&host, &trust, address);
        let behaviour = config.behaviour.clone();
        host.spawn(apiserver::run(
            host.process(),
            config,
            store.clone(),
            recorder,
        ));
        host.spawn(deployment_objects::run(
            host.process(),
            store.clone(),
            deployment_objects::Config {
                namespace: "kube-system".to_owned(),
                name: "metrics-server".to_owned(),
                selector: vec![("k8s-app".to_owned(), "metrics-server".to_owned())],
                replicas: 1,
                max_unavailable: 0,
            },
            behaviour,
        ));
        while std::net::TcpStream::connect(address).is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        settle(&store).await;
        let shown = Shown {
            address,
            authority_pem: trust.cluster.pem(),
            admin: trust.admin,
            foreigner: trust.foreigner,
        };
        ready.send(shown).expect("the test waits");
        while let Some(task) = tasks.recv().await {
            task(&store);
        }
    });
}

/// Waits for what the controllers make of the objects at first.
async fn settle(store: &Store) {
    let judged = || {
        let apis = store.list("apiservices");
        apis.iter()
            .all(|api| api["status"]["conditions"].is_array())
    };
    while store.list("replicasets").is_empty() || !judged() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Hears of requests that are not modelled.
struct Listener(Arc<Mutex<Vec<String>>>);

impl Recorder for Listener {
    fn record(&self, _host: &str, event: Event) {
        if let Event::NotModelled { request } = event {
            self.0.lock().expect("nobody panics with it").push(request);
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
    listener.local_addr().expect("it is bound")
}

struct Trust {
    cluster: Authority,
    front_proxy: Authority,
    api_server: Identity,
    proxy_client: Identity,
    admin: Identity,
    /// The administrator of another cluster.
    foreigner: Identity,
    backend: Identity,
}

impl Trust {
    fn new(now: Timestamp) -> Self {
        let hour = 3_600_000_000_000;
        let (start, end) = (now.offset(-hour), now.offset(24 * hour));
        let authority = |name: &str| Authority::new(name, name, start, end);
        let (cluster, front_proxy) = (authority("kubernetes-ca"), authority("front-proxy-ca"));
        let leaf = |name: &str, organization: Option<&str>, usage| Leaf {
            seed: name.to_owned(),
            common_name: name.to_owned(),
            organizations: organization.map(str::to_owned).into_iter().collect(),
            dns: vec!["localhost".to_owned()],
            ips: vec![[127, 0, 0, 1].into()],
            not_before: start,
            not_after: end,
            usage,
        };
        Self {
            api_server: cluster.issue(&leaf("kube-apiserver", None, Usage::Server)),
            proxy_client: front_proxy.issue(&leaf("front-proxy-client", None, Usage::Client)),
            admin: cluster.issue(&leaf(
                "kubernetes-admin",
                Some("system:masters"),
                Usage::Client,
            )),
            foreigner: authority("another-ca").issue(&leaf(
                "kubernetes-admin",
                Some("system:masters"),
                Usage::Client,
            )),
            backend: cluster.issue(&leaf("metrics-server", None, Usage::Server)),
            cluster,
            front_proxy,
        }
    }
}

fn config(host: &Host, trust: &Trust, address: SocketAddr) -> ApiServerConfig {
    let mut policy = Policy::new();
    policy.bind("viewers", None, "view", Subject::User("jo".to_owned()));
    let up = Behaviour::new(State::Up, Rc::new(|| Duration::ZERO));
    ApiServerConfig {
        addresses: vec![address],
        identity: Script::always(trust.api_server.clone()),
        client_ca: trust.cluster.certificate(),
        tokens: vec![Token {
            token: VIEWER.to_owned(),
            user: User::new("jo", &["staff"]),
            not_before: None,
            expires: None,
        }],
        policy,
        behaviour: Script::always(up),
        aggregation: AggregationConfig {
            front_proxy: Script::always(trust.proxy_client.clone()),
            routing: Script::always(Routing::Endpoint),
            resync_phase: Duration::ZERO,
            timing: Timing::observed(host),
        },
    }
}

/// metrics-server's pod.
const POD: &str = "metrics-server-6f7dd4c4c4-x7k2p";

/// Two nodes, an application, and metrics-server's objects, whose pod is not
/// ready. Everything is 65 minutes old.
fn seed(store: &Store, now: Timestamp, backend: SocketAddr) {
    let created = now.offset(-65 * 60_000_000_000 - 30_000_000_000);
    for name in ["default", "kube-system"] {
        store.put("namespaces", objects::namespace(name, created));
    }
    for (name, ip, ready) in [("n1", "10.0.0.11", true), ("n2", "10.0.0.12", false)] {
        let node = objects::node(&objects::Node {
            name,
            labels: &[],
            addresses: &[
                ("InternalIP".to_owned(), ip.to_owned()),
                ("Hostname".to_owned(), name.to_owned()),
            ],
            kubelet_port: 10250,
            ready,
            created,
            ready_since: created,
            cpu: "4",
            memory: "16384Mi",
        });
        store.put("nodes", node);
    }
    for (name, app, containers) in [
        ("web-1", "web", &["app", "proxy"][..]),
        ("db-0", "db", &["db"]),
    ] {
        store.put(
            "pods",
            pod("default", name, ("app", app), containers, created),
        );
    }
    let mut server = pod(
        "kube-system",
        POD,
        ("k8s-app", "metrics-server"),
        &["metrics-server"],
        created,
    );
    set_ready(&mut server, false);
    server["spec"]["containers"][0]["image"] =
        json!("registry.k8s.io/metrics-server/metrics-server:v0.8.1");
    store.put("pods", server);
    seed_service(store, created, backend);
    seed_event(store, now);
}

fn pod(
    namespace: &str,
    name: &str,
    label: (&str, &str),
    containers: &[&str],
    created: Timestamp,
) -> Value {
    let containers: Vec<String> = containers.iter().map(|name| (*name).to_owned()).collect();
    objects::pod(&objects::Pod {
        namespace,
        name,
        labels: &[(label.0.to_owned(), label.1.to_owned())],
        node: "n1",
        containers: &containers,
        host_ip: [10, 0, 0, 11].into(),
        ip: Some([10, 244, 0, 9].into()),
        created,
    })
}

fn set_ready(pod: &mut Value, ready: bool) {
    let status = if ready { "True" } else { "False" };
    pod["status"]["containerStatuses"][0]["ready"] = json!(ready);
    for condition in pod["status"]["conditions"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
            condition["status"] = json!(status);
        }
    }
}

fn seed_service(store: &Store, created: Timestamp, backend: SocketAddr) {
    store.put(
        "services",
        objects::service(&objects::Service {
            namespace: "kube-system",
            name: "metrics-server",
            cluster_ip: [10, 96, 180, 48].into(),
            port_name: "https",
            port: 443,
            target_port: json!("https"),
            selector: &[("k8s-app".to_owned(), "metrics-server".to_owned())],
            publish_not_ready_addresses: false,
            created,
        }),
    );
    let mut slice =
        objects::static_endpoint_slice("kube-system", "metrics-server", "https", backend, created);
    slice["endpoints"][0]["conditions"]["ready"] = json!(false);
    store.put("endpointslices", slice);
    store.put(
        "apiservices",
        objects::metrics_api_service(
            "kube-system",
            "metrics-server",
            &objects::BackendTrust::Insecure,
            created,
        ),
    );
}

fn seed_event(store: &Store, now: Timestamp) {
    let pod = store
        .get("pods", Some("kube-system"), POD)
        .expect("it is seeded");
    let at = |seconds: i64| objects::rfc3339(now.offset(-seconds * 1_000_000_000));
    store.put(
        "events",
        json!({
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"namespace": "kube-system", "name": format!("{POD}.18a1"), "creationTimestamp": at(40)},
            "involvedObject": {
                "kind": "Pod", "namespace": "kube-system", "name": POD,
                "uid": pod["metadata"]["uid"], "apiVersion": "v1",
                "fieldPath": "spec.containers{metrics-server}",
            },
            "reason": "Unhealthy",
            "message": "Readiness probe failed: HTTP probe failed with statuscode: 500",
            "source": {"component": "kubelet", "host": "n1"},
            "firstTimestamp": at(40),
            "lastTimestamp": at(20),
            "count": 9,
            "type": "Warning",
            "eventTime": null,
            "reportingComponent": "kubelet",
            "reportingInstance": "n1",
        }),
    );
}

/// Serves the metrics API.
async fn start_backend(host: &Host, trust: &Trust) -> SocketAddr {
    let listener = host
        .listen(([127, 0, 0, 1], 0).into())
        .await
        .expect("loopback has free ports");
    let address = listener.local_addr();
    let tls = server_config(&trust.backend, host.clock(), ClientAuth::Request);
    host.spawn(serve(
        host.clone(),
        listener,
        Rc::new(move || TlsChoice::Serve(tls.clone())),
        Rc::new(Metrics(trust.front_proxy.certificate())),
    ));
    address
}

/// The metrics API of two nodes and three pods. It believes whoever shows a
/// certificate: the aggregation layer alone has its address.
struct Metrics(
    #[allow(dead_code, reason = "kept for its lifetime")] rustls_pki_types::CertificateDer<'static>,
);

impl Handler for Metrics {
    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Response> {
        let answer = match request.path.strip_prefix("/apis/metrics.k8s.io/v1beta1") {
            _ if request.client_certificate.is_none() => Response::text(401, "Unauthorized"),
            Some("") => Response::json(200, &resources()),
            Some("/nodes") => Response::json(200, &node_metrics()),
            Some("/nodes/n1") => Response::json(200, &node_metrics()["items"][0]),
            Some(path) if path.ends_with("/pods") => Response::json(200, &pod_metrics(path)),
            _ => Response::text(404, "404 page not found"),
        };
        async move { answer }.boxed_local()
    }
}

fn resources() -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [
            {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
            {"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"]},
        ],
    })
}

fn node_metrics() -> Value {
    let node = |name: &str, cpu: &str, memory: &str| {
        json!({
            "metadata": {"name": name, "creationTimestamp": "2026-11-25T23:00:00Z"},
            "timestamp": "2026-11-25T23:00:00Z", "window": "15s",
            "usage": {"cpu": cpu, "memory": memory},
        })
    };
    json!({
        "kind": "NodeMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {},
        "items": [node("n1", "400m", "4096Mi"), node("n2", "1", "8192Mi")],
    })
}

fn pod_metrics(path: &str) -> Value {
    let pod = |namespace: &str, name: &str, containers: &[&str]| {
        let containers: Vec<Value> = containers
            .iter()
            .map(|name| json!({"name": name, "usage": {"cpu": "10m", "memory": "20Mi"}}))
            .collect();
        json!({
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-25T23:00:00Z"},
            "timestamp": "2026-11-25T23:00:00Z", "window": "15s", "containers": containers,
        })
    };
    let all = [
        ("default", pod("default", "db-0", &["db"])),
        ("default", pod("default", "web-1", &["app", "proxy"])),
        ("kube-system", pod("kube-system", POD, &["metrics-server"])),
    ];
    let wanted =
        |namespace: &str| path == "/pods" || path == format!("/namespaces/{namespace}/pods");
    let items: Vec<Value> = all
        .into_iter()
        .filter(|(namespace, _)| wanted(namespace))
        .map(|(_, pod)| pod)
        .collect();
    json!({
        "kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {},
        "items": items,
    })
}
