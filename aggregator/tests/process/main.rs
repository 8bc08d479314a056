//! Whole processes, from exec to exit code, against a small API server and
//! kubelet over in-memory streams on a paused clock.

mod binary;
mod certificates;
mod hostile;
mod machines;
mod pace;
mod peers;
mod releases;
mod scraper;
mod scraping;
mod serving;
mod starting;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aggregator::environment::{
    ClusterConfig, ClusterSource, ConfigError, Credentials, Environment, Event, Observer,
    ServerKey, Shutdown, StartCost,
};
use aggregator::klog::Line;
use aggregator::pace::{Pace, Unhindered};
use aggregator::process::{self, Exit};
use aggregator::transport::connect::Security;
use aggregator::transport::tls::{Identity, Tls, Trust};
use aggregator::transport::{Authority as Address, HttpClient};
use aggregator::version::Version;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use machines::Wires;
use peers::{ApiServer, Authority, Kubelet, KubeletMode, config_map, node, pod};
use seam::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsConnector;

const SERVER: &str = "10.42.0.5";
const API_SERVER: &str = "10.43.0.1";
const NODE: &str = "10.98.0.1";

/// Everything around one metrics-server.
struct World {
    host: Host,
    wires: Wires,
    tls: Tls,
    ca: Authority,
    proxy_ca: Authority,
    api: Rc<ApiServer>,
    seen: Rc<Seen>,
    shutdown: Shutdown,
    pace: Rc<dyn Pace>,
    began: Instant,
}

/// What the process told: milliseconds since the start and one line each.
struct Seen {
    began: Instant,
    lines: RefCell<Vec<(u128, String)>>,
}

impl Seen {
    fn push(&self, line: String) {
        self.lines
            .borrow_mut()
            .push((self.began.elapsed().as_millis(), line));
    }

    fn all(&self, wanted: &str) -> Vec<String> {
        let lines = self.lines.borrow();
        lines
            .iter()
            .filter(|(_, line)| line.contains(wanted))
            .map(|(_, line)| line.clone())
            .collect()
    }

    /// When the lines that contain `wanted` were told.
    fn times(&self, wanted: &str) -> Vec<u128> {
        let lines = self.lines.borrow();
        lines
            .iter()
            .filter(|(_, line)| line.contains(wanted))
            .map(|(time, _)| *time)
            .collect()
    }
}

impl Observer for Seen {
    fn event(&self, event: Event<'_>) {
        self.push(format!("{event:?}"));
    }

    fn log(&self, line: &Line) {
        self.push(format!("{}] {}", line.severity.letter(), line.message));
    }
}

struct Cluster(ClusterConfig);

impl ClusterSource for Cluster {
    fn load(&self, kubeconfig: Option<&str>) -> Result<ClusterConfig, ConfigError> {
        match kubeconfig {
            None => Ok(self.0.clone()),
            Some(path) => Err(ConfigError {
                message: format!("stat {path}: no such file or directory"),
            }),
        }
    }
}

impl World {
    fn new() -> Self {
        let wires = Wires::default();
        let host = wires.machine(SERVER);
        let began = Instant::now();
        Self {
            tls: Tls::new(host.clock()),
            host,
            wires,
            ca: Authority::new("kubernetes"),
            proxy_ca: Authority::new("front-proxy"),
            api: Rc::new(ApiServer::default()),
            seen: Rc::new(Seen {
                began,
                lines: RefCell::default(),
            }),
            shutdown: Shutdown::new(),
            pace: Rc::new(Unhindered),
            began,
        }
    }

    /// With an API server, a kubelet, and a metrics-server that has just
    /// started.
    async fn running() -> Self {
        let world = Self::new();
        world.start_api_server().await;
        world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world
    }

    /// An API server that knows one node and one pod.
    async fn start_api_server(&self) {
        self.api.nodes.borrow_mut().push(node("node-1", NODE));
        self.api.pods.borrow_mut().push(pod("load", "web"));
        *self.api.config_map.borrow_mut() = Some(config_map(&self.ca, &self.proxy_ca));
        self.api
            .allowed
            .borrow_mut()
            .push("system:anonymous".to_owned());
        let machine = self.wires.machine(API_SERVER);
        self.api
            .start(
                &machine,
                &self.tls,
                self.ca.issue("apiserver", &[API_SERVER]),
            )
            .await;
    }

    async fn start_kubelet(&self) -> Rc<Kubelet> {
        let machine = self.wires.machine(NODE);
        Kubelet::start(&machine, &self.tls, self.ca.issue("kubelet", &[NODE])).await
    }

    fn start(&self, version: Version, arguments: &str) -> JoinHandle<Exit> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let environment = Environment {
            host: self.host.clone(),
            version,
            cluster: Rc::new(Cluster(ClusterConfig {
                host: API_SERVER.to_owned(),
                port: 6443,
                ca: vec![self.ca.certificate.clone()],
                insecure: false,
                credentials: Credentials::Token("secret".to_owned()),
                server_name: None,
            })),
            start_cost: StartCost {
                exec: Duration::from_millis(100),
                certificate: Duration::from_millis(300),
                configure: Duration::from_millis(50),
                serve: Duration::from_millis(15),
            },
            pace: Rc::clone(&self.pace),
            observer: Rc::clone(&self.seen) as Rc<dyn Observer>,
            shutdown: self.shutdown.clone(),
            server_key: ServerKey::Pkcs8Ed25519(key.serialize_der()),
        };
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        self.host
            .spawn(async move { process::run(&arguments, environment).await })
    }

    async fn until(&self, milliseconds: u64) {
        sleep_until(self.began + Duration::from_millis(milliseconds)).await;
    }

    /// Status and body of a request to the process.
    async fn get(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        identity: Option<Identity>,
    ) -> (u16, String) {
        let config = self
            .tls
            .client(Trust::Anyone, identity)
            .expect("a matching key");
        let security = Security {
            config: Arc::new(config),
            server_name: None,
        };
        let client = HttpClient::new(self.wires.machine("10.42.0.1"), Some(security));
        let mut request = Request::get(path).header("host", SERVER);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let address = Address {
            host: SERVER.into(),
            port: 10250,
        };
        let request = request
            .body(Full::<Bytes>::default())
            .expect("a valid request");
        match client.send(&address, request).await {
            Ok(response) => {
                let status = response.status.as_u16();
                let mut body = Vec::new();
                response
                    .read_into(&mut body, 1 << 20)
                    .await
                    .expect("a complete body");
                (status, String::from_utf8(body).expect("text"))
            }
            Err(error) => (0, error.text),
        }
    }
}

const ARGUMENTS: &str = "--secure-port=10250 --metric-resolution=15s --cert-dir=/tmp \
                         --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname";

fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, test());
}
