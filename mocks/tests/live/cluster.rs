//! An API server on loopback, on a thread of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use mocks::aggregation::{AggregationConfig, Routing, Timing};
use mocks::apiserver::{self, ApiServerConfig, Behaviour, Policy, State, Subject, Token, User};
use mocks::deployment_objects;
use mocks::event::{Event, Recorder};
use mocks::pki::Identity;
use mocks::script::Script;
use mocks::store::Store;
use seam::{Host, tokio_host};
use serde_json::{Value, json};
use tokio::sync::mpsc as tasks;

mod backend;
mod objects;
mod trust;

use objects::{POD, seed, set_ready};
use trust::Trust;

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
        let backend = backend::start(&host, &trust).await;
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
        witness: None,
    }
}
