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
                         --kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname \
                         --kubelet-use-node-status-port";

fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, test());
}

/// Source: recording E1.
#[test]
fn a_healthy_process_is_ready_after_its_second_tick() {
    run(async || {
        for version in [Version::V0_8, Version::V0_9] {
            let world = World::new();
            world.start_api_server().await;
            let kubelet = world.start_kubelet().await;
            let process = world.start(version, ARGUMENTS);
            world.until(10_000).await;
            let first = world.seen.times("TickStarted { tick: 1")[0];
            assert!((500..=551).contains(&first), "{version}: {first} ms");
            assert_eq!(world.seen.times("Serving {"), [first + 15]);
            let (status, body) = world.get("/readyz", &[], None).await;
            assert_eq!(status, 500);
            assert!(
                body.contains("[-]metric-storage-ready failed: reason withheld\n"),
                "{body}"
            );
            assert_eq!(world.get("/livez", &[], None).await, (200, "ok".to_owned()));
            world.until(16_000).await;
            assert_eq!(
                world.get("/readyz", &[], None).await,
                (200, "ok".to_owned())
            );
            let path = "/apis/metrics.k8s.io/v1beta1/nodes/node-1";
            let (status, body) = world.get(path, &[], None).await;
            assert_eq!(status, 200);
            assert!(
                body.contains("\"usage\":{\"cpu\":\"") && body.contains("\"window\":\"15"),
                "{body}"
            );
            assert_eq!(
                kubelet.authorization.borrow().as_deref(),
                Some("Bearer secret")
            );
            assert_eq!(
                world.seen.all("Failed probe"),
                ["I] \"Failed probe\" probe=\"metric-storage-ready\" err=\"no metrics to serve\""]
            );

            world.shutdown.request();
            let exit = process.await.expect("it ends in good order");
            assert_eq!((exit.code, exit.stderr.as_str()), (0, ""));
            let (status, text) = world.get("/livez", &[], None).await;
            assert_eq!(
                (status, text.as_str()),
                (0, "dial tcp 10.42.0.5:10250: connect: connection refused")
            );
        }
    });
}

#[test]
fn the_log_of_a_healthy_start_has_its_lines_in_order() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(5_000).await;
        let prefix = "client-ca::kube-system::extension-apiserver-authentication::";
        let expected = [
            "I] Generated self-signed cert (/tmp/apiserver.crt, /tmp/apiserver.key)".to_owned(),
            "I] Adding GroupVersion metrics.k8s.io v1beta1 to ResourceManager".to_owned(),
            "I] Starting RequestHeaderAuthRequestController".to_owned(),
            "I] \"Waiting for caches to sync\" controller=\"RequestHeaderAuthRequestController\"".to_owned(),
            format!("I] \"Starting controller\" name=\"{prefix}client-ca-file\""),
            format!("I] \"Waiting for caches to sync\" controller=\"{prefix}client-ca-file\""),
            format!("I] \"Starting controller\" name=\"{prefix}requestheader-client-ca-file\""),
            format!("I] \"Waiting for caches to sync\" controller=\"{prefix}requestheader-client-ca-file\""),
            "I] Serving securely on 10.42.0.5:10250".to_owned(),
            "I] \"Starting controller\" name=\"serving-cert::/tmp/apiserver.crt::/tmp/apiserver.key\"".to_owned(),
            "I] \"Starting DynamicServingCertificateController\"".to_owned(),
            "I] \"Caches are synced\" controller=\"RequestHeaderAuthRequestController\"".to_owned(),
            format!("I] \"Caches are synced\" controller=\"{prefix}client-ca-file\""),
            format!("I] \"Caches are synced\" controller=\"{prefix}requestheader-client-ca-file\""),
        ];
        assert_eq!(world.seen.all("] "), expected);
    });
}

#[test]
fn the_port_refuses_then_hangs_then_answers() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(399).await;
        let (status, text) = world.get("/livez", &[], None).await;
        assert_eq!(
            (status, text.as_str()),
            (0, "dial tcp 10.42.0.5:10250: connect: connection refused")
        );
        world.until(401).await;
        let began = Instant::now();
        assert_eq!(world.get("/livez", &[], None).await, (200, "ok".to_owned()));
        let bound = world.seen.times("PortBound")[0];
        let serving = world.seen.times("Serving {")[0];
        assert_eq!(bound, 400);
        assert_eq!(
            u128::from(began.elapsed().as_millis() as u64) + 401,
            serving
        );
    });
}

/// Source: recordings E11 and E11b.
#[test]
fn an_api_server_that_refuses_ends_the_process_at_once() {
    run(async || {
        let world = World::new();
        let exit = world
            .start(Version::V0_8, ARGUMENTS)
            .await
            .expect("it ends");
        let text = "unable to load configmap based request-header-client-ca-file: Get \
                    \"https://10.43.0.1:6443/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication\": \
                    dial tcp 10.43.0.1:6443: connect: connection refused";
        assert_eq!(exit.code, 2);
        assert!(
            exit.stderr.starts_with(&format!("Error: {text}\nUsage:\n")),
            "{}",
            exit.stderr
        );
        assert!(
            exit.stderr.ends_with(&format!("\npanic: {text}\n")),
            "{}",
            exit.stderr
        );
        assert_eq!(world.began.elapsed().as_millis(), 450);
    });
}

/// Source: recording E11c.
#[test]
fn an_api_server_that_is_silent_ends_the_process_after_ten_seconds() {
    run(async || {
        let world = World::new();
        let silent = world.wires.machine(API_SERVER);
        let address: SocketAddr = ([0, 0, 0, 0], 6443).into();
        let _listener = silent.listen(address).await.expect("a free port");
        let exit = world
            .start(Version::V0_9, ARGUMENTS)
            .await
            .expect("it ends");
        assert_eq!(exit.code, 2);
        assert!(
            exit.stderr
                .contains("authentication\": net/http: TLS handshake timeout\n"),
            "{}",
            exit.stderr
        );
        assert_eq!(world.began.elapsed().as_millis(), 10_450);
    });
}

#[test]
fn a_forbidden_config_map_is_fatal_and_a_missing_one_is_not() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.api.config_map_status.set(Some(403));
        let exit = world
            .start(Version::V0_8, ARGUMENTS)
            .await
            .expect("it ends");
        assert_eq!(exit.code, 2);
        let error = "Error: unable to load configmap based request-header-client-ca-file: configmaps \
                     \"extension-apiserver-authentication\" is forbidden: no\n";
        assert!(exit.stderr.starts_with(error), "{}", exit.stderr);
        assert_eq!(world.seen.all("W] Unable to get configmap").len(), 1);

        let world = World::new();
        world.start_api_server().await;
        *world.api.config_map.borrow_mut() = None;
        world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(2_000).await;
        assert_eq!(world.get("/livez", &[], None).await, (200, "ok".to_owned()));
    });
}

#[test]
fn a_wrong_command_line_ends_the_process_before_it_does_anything() {
    run(async || {
        let world = World::new();
        let exit = world
            .start(Version::V0_8, "--metric-resolution=5s")
            .await
            .expect("it ends");
        let text =
            "metric-resolution should be a time duration at least 10s, but value 5s provided";
        assert_eq!(exit.code, 2);
        assert!(
            exit.stderr.starts_with(&format!("Error: {text}\n")),
            "{}",
            exit.stderr
        );
        let exit = world
            .start(Version::V0_8, "--version")
            .await
            .expect("it ends");
        assert_eq!((exit.code, exit.stdout.as_str()), (0, "v0.8.1\n"));
        let exit = world
            .start(Version::V0_8, "--secure-port=99999")
            .await
            .expect("it ends");
        let text = "failed to create listener: failed to listen on 0.0.0.0:99999: listen tcp: address 99999: invalid port";
        assert!(
            exit.stderr.starts_with(&format!("Error: {text}\n")),
            "{}",
            exit.stderr
        );
        assert!(world.seen.times("PortBound").is_empty());
    });
}

#[test]
fn without_a_port_to_serve_on_the_process_dies() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        let exit = world
            .start(Version::V0_8, "--secure-port=0")
            .await
            .expect("it ends");
        assert_eq!(exit.code, 255);
        let line = "F] cannot derive external address port without listening on a secure port.";
        assert_eq!(world.seen.all("F] "), [line]);
    });
}

/// Source: recording E3.
#[test]
fn a_kubelet_that_refuses_is_logged_at_every_tick() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(20_000).await;
        let line = "E] \"Failed to scrape node\" err=\"Get \\\"https://10.98.0.1:10250/metrics/resource\\\": dial tcp \
                    10.98.0.1:10250: connect: connection refused\" node=\"node-1\"";
        assert_eq!(world.seen.all("Failed to scrape"), [line, line]);
        world.start_kubelet().await;
        world.until(44_000).await;
        assert_eq!(world.get("/readyz", &[], None).await.0, 500);
        world.until(46_000).await;
        assert_eq!(world.get("/readyz", &[], None).await.0, 200);
    });
}

/// Source: recordings E6, E7 and E17; §5.6: readiness is lost again.
#[test]
fn failing_kubelets_take_readiness_away() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        let kubelet = world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(17_000).await;
        assert_eq!(world.get("/readyz", &[], None).await.0, 200);
        kubelet.mode.set(KubeletMode::Fails(500));
        world.until(32_000).await;
        assert_eq!(world.get("/readyz", &[], None).await.0, 500);
        kubelet.mode.set(KubeletMode::Hangs);
        world.until(60_000).await;
        let lines = [
            "E] \"Failed to scrape node\" err=\"request failed, status: \\\"500 Internal Server Error\\\"\" node=\"node-1\"",
            "E] \"Failed to scrape node, timeout to access kubelet\" err=\"Get \
             \\\"https://10.98.0.1:10250/metrics/resource\\\": context deadline exceeded\" node=\"node-1\" timeout=\"10s\"",
        ];
        assert_eq!(world.seen.all("Failed to scrape"), lines);
        assert_eq!(world.get("/livez", &[], None).await.0, 200);
        // The grid does not move for ticks of ten seconds.
        let starts = world.seen.times("TickStarted");
        assert!(
            starts.windows(2).all(|pair| pair[1] - pair[0] == 15_000),
            "{starts:?}"
        );
    });
}

#[test]
fn a_proxy_speaks_for_others_only_with_a_certificate_of_its_authority() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(2_000).await;
        world.api.allowed.replace(vec!["ada".to_owned()]);
        let path = "/apis/metrics.k8s.io/v1beta1/nodes";
        let user = |name| [("x-remote-user", name)];
        let check = async |name, identity, status, text: &str| {
            let (found, body) = world.get(path, &user(name), identity).await;
            assert_eq!(found, status, "{body}");
            assert!(body.contains(text), "{body}");
        };
        let proxy = || Some(world.proxy_ca.issue("front-proxy-client", &[]));
        check("ada", proxy(), 200, "\"items\":[]").await;
        check(
            "bob",
            proxy(),
            403,
            "User \\\"bob\\\" cannot list resource \\\"nodes\\\"",
        )
        .await;
        check(
            "ada",
            None,
            403,
            "User \\\"system:anonymous\\\" cannot list",
        )
        .await;
        check(
            "ada",
            Some(world.proxy_ca.issue("stranger", &[])),
            401,
            "\"Unauthorized\"",
        )
        .await;
        check(
            "ada",
            Some(Authority::new("foreign").issue("front-proxy-client", &[])),
            401,
            "\"Unauthorized\"",
        )
        .await;
        // A client's own certificate counts for itself.
        check("bob", Some(world.ca.issue("ada", &[])), 200, "\"items\":[]").await;
        let refusals = world.seen.all("Unable to authenticate the request");
        assert!(
            refusals[1].contains("x509: certificate signed by unknown authority"),
            "{refusals:?}"
        );
        let (status, _) = world
            .get("/livez", &[("authorization", "Bearer nobody")], None)
            .await;
        assert_eq!(status, 401);
    });
}

#[test]
fn access_is_asked_for_once_in_ten_seconds() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(2_000).await;
        let reviews = || {
            let requests = world.api.requests.borrow();
            requests
                .iter()
                .filter(|request| request.contains("subjectaccessreviews?timeout=10s"))
                .count()
        };
        let path = "/apis/metrics.k8s.io/v1beta1/nodes";
        for _ in 0..5 {
            assert_eq!(world.get(path, &[], None).await.0, 200);
        }
        assert_eq!(reviews(), 1);
        sleep(Duration::from_secs(11)).await;
        assert_eq!(world.get(path, &[], None).await.0, 200);
        assert_eq!(reviews(), 2);
        // Probes never ask.
        assert_eq!(world.get("/livez?verbose", &[], None).await.0, 200);
        assert_eq!(reviews(), 2);
    });
}

#[test]
fn nodes_that_come_and_go_are_followed() {
    run(async || {
        for version in [Version::V0_8, Version::V0_9] {
            let world = World::new();
            world.start_api_server().await;
            world.start_kubelet().await;
            world.start(version, ARGUMENTS);
            world.until(2_000).await;
            let second = node("node-2", "10.98.0.2");
            world.api.notify("nodes", "ADDED", &second);
            world.until(17_000).await;
            world.api.notify("nodes", "DELETED", &second);
            world.until(32_000).await;
            let ticks = world.seen.all("TickStarted");
            let expected = |tick, nodes| format!("TickStarted {{ tick: {tick}, nodes: {nodes} }}");
            assert_eq!(
                ticks,
                [expected(1, 1), expected(2, 2), expected(3, 1)],
                "{version}"
            );
        }
    });
}

#[test]
fn the_first_requests_are_those_of_client_go() {
    run(async || {
        let requests = async |version, refuses: bool| {
            let world = World::new();
            world.start_api_server().await;
            world.api.refuses_watch_list.set(refuses);
            world.start(version, ARGUMENTS);
            world.until(1_000).await;
            let nodes = |request: &&String| request.contains("/api/v1/nodes");
            let requests = world.api.requests.borrow();
            let shape = |request: &String| {
                request
                    .split("&timeout=")
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            requests.iter().filter(nodes).map(shape).collect::<Vec<_>>()
        };
        let list = "GET /api/v1/nodes?limit=500&resourceVersion=0";
        let watch = "GET /api/v1/nodes?allowWatchBookmarks=true&resourceVersion=5";
        let watch_list = "GET /api/v1/nodes?allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&sendInitialEvents=true";
        assert_eq!(requests(Version::V0_8, false).await, [list, watch]);
        assert_eq!(requests(Version::V0_9, false).await, [watch_list]);
        assert_eq!(
            requests(Version::V0_9, true).await,
            [watch_list, list, watch]
        );
    });
}

#[test]
fn a_process_whose_caches_do_not_fill_says_why_and_can_be_stopped() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.api.breaks_lists.set(true);
        let process = world.start(Version::V0_8, ARGUMENTS);
        world.until(30_000).await;
        let line = "E] \"Failed to watch\" err=\"failed to list *v1.Node: an error on the server (\\\"boom\\\") has \
                    prevented the request from succeeding (get nodes)\" logger=\"UnhandledError\" \
                    reflector=\"sigs.k8s.io/metrics-server/pkg/server/server.go:96\" type=\"*v1.Node\"";
        let lines = world.seen.all("*v1.Node:");
        // At 0 s and after waits of 0.8 s, 1.6 s, … that are at most doubled.
        assert!(
            (4..=6).contains(&lines.len()) && lines.iter().all(|found| found == line),
            "{lines:?}"
        );
        world.shutdown.request();
        assert_eq!(process.await.expect("it ends").code, 0);
        assert!(world.seen.all("Serving {").is_empty());
        assert_eq!(world.began.elapsed().as_millis(), 30_000);
    });
}

/// Source: recording E4 and the table of the kubelet client's errors.
#[test]
fn what_a_port_answers_instead_of_tls_is_told() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        let answer = Rc::new(Cell::new(&b""[..]));
        let machine = world.wires.machine(NODE);
        let mut listener = machine
            .listen(([0, 0, 0, 0], 10250).into())
            .await
            .expect("a free port");
        let (replies, task_machine) = (Rc::clone(&answer), machine.clone());
        machine.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let reply = replies.get();
                task_machine.spawn(async move {
                    let mut hello = [0; 5];
                    let _ = stream.read_exact(&mut hello).await;
                    let _ = stream.write_all(reply).await;
                });
            }
        });
        world.start(Version::V0_8, ARGUMENTS);
        for (tick, reply, text) in [
            (
                1,
                &b"\x15\x03\x03\x00\x02\x02\x50"[..],
                "remote error: tls: internal error",
            ),
            (
                2,
                b"HTTP/1.0 400 Bad Request\r\n\r\n",
                "http: server gave HTTP response to HTTPS client",
            ),
            (
                3,
                b"SSH-2.0-OpenSSH_9.6\r\n",
                "tls: first record does not look like a TLS handshake",
            ),
            (4, b"", "EOF"),
        ] {
            answer.set(reply);
            world.until(tick * 15_000).await;
            let lines = world.seen.all("E] \"Failed to scrape node\"");
            let url = "https://10.98.0.1:10250/metrics/resource";
            let line = format!(
                "E] \"Failed to scrape node\" err=\"Get \\\"{url}\\\": {text}\" node=\"node-1\""
            );
            assert_eq!(lines.last(), Some(&line));
        }
    });
}

#[test]
fn a_kubelets_certificate_is_verified_as_go_does_it() {
    run(async || {
        for (authority, names, text) in [
            (
                "kubernetes",
                ["node-1"],
                "x509: cannot validate certificate for 10.98.0.1 because it doesn't contain any IP SANs",
            ),
            (
                "kubernetes",
                ["10.0.0.9"],
                "x509: certificate is valid for 10.0.0.9, not 10.98.0.1",
            ),
            (
                "foreign",
                [NODE],
                "x509: certificate signed by unknown authority",
            ),
        ] {
            let world = World::new();
            world.start_api_server().await;
            let foreign = Authority::new("foreign");
            let issuer = if authority == "foreign" {
                &foreign
            } else {
                &world.ca
            };
            Kubelet::start(
                &world.wires.machine(NODE),
                &world.tls,
                issuer.issue("kubelet", &names),
            )
            .await;
            world.start(Version::V0_8, ARGUMENTS);
            world.until(2_000).await;
            let lines = world.seen.all("Failed to scrape node");
            let url = "https://10.98.0.1:10250/metrics/resource";
            let line = format!(
                "E] \"Failed to scrape node\" err=\"Get \\\"{url}\\\": tls: failed to verify certificate: {text}\" node=\"node-1\""
            );
            assert_eq!(lines, [line]);
            assert_eq!(world.seen.all("outcome: \"tls\"").len(), 1);
        }
    });
}

#[test]
fn losing_the_api_server_changes_nothing_for_scraping() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(17_000).await;
        world.api.machine().tasks().kill();
        world.until(200_000).await;
        assert_eq!(
            world.get("/readyz", &[], None).await,
            (200, "ok".to_owned())
        );
        // Refused watches are tried again in silence.
        assert!(world.seen.all("E] ").is_empty());
        let (status, text) = world.get("/metrics", &[], None).await;
        let expected = "Internal Server Error: \"/metrics\": Post \
                        \"https://10.43.0.1:6443/apis/authorization.k8s.io/v1/subjectaccessreviews?timeout=10s\": dial tcp \
                        10.43.0.1:6443: connect: connection refused\n";
        assert_eq!((status, text.as_str()), (500, expected));
    });
}

#[test]
fn http_2_is_served() {
    run(async || {
        let world = World::new();
        world.start_api_server().await;
        world.start_kubelet().await;
        world.start(Version::V0_8, ARGUMENTS);
        world.until(2_000).await;
        let mut config = world.tls.client(Trust::Anyone, None).expect("no key");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let client = world.wires.machine("10.42.0.1");
        let stream = client
            .dial(([10, 42, 0, 5], 10250).into())
            .await
            .expect("a listener");
        let name = SERVER.try_into().expect("an address");
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .expect("a handshake");
        let (mut sender, connection) =
            http2::handshake(Spawner(client.clone()), TokioIo::new(stream))
                .await
                .expect("a handshake");
        client.spawn(connection);
        for _ in 0..3 {
            let request =
                Request::get("https://10.42.0.5:10250/livez").body(Full::<Bytes>::default());
            let response = sender
                .send_request(request.expect("a valid request"))
                .await
                .expect("an answer");
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["cache-control"], "no-cache, private");
            assert_eq!(response.headers()["audit-id"].len(), 36);
            assert!(!response.headers().contains_key("date"));
        }
        // An idle connection is closed after ninety seconds.
        sleep(Duration::from_secs(89)).await;
        assert!(!sender.is_closed());
        sleep(Duration::from_secs(7)).await;
        assert!(sender.is_closed());
    });
}

#[derive(Clone)]
struct Spawner(Host);

impl<F: Future + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        self.0.spawn(async move {
            future.await;
        });
    }
}

#[test]
fn requests_in_flight_are_answered_before_the_process_ends() {
    run(async || {
        let world = Rc::new(World::new());
        world.start_api_server().await;
        world.start_kubelet().await;
        let process = world.start(Version::V0_8, ARGUMENTS);
        world.until(2_000).await;
        world.api.review_takes.set(Duration::from_secs(3));
        let asking = Rc::clone(&world);
        let request = world
            .host
            .spawn(async move { asking.get("/metrics", &[], None).await });
        world.until(3_000).await;
        world.shutdown.request();
        assert_eq!(process.await.expect("it ends").code, 0);
        assert_eq!(world.began.elapsed().as_millis(), 5_000);
        let (status, text) = request.await.expect("an answer");
        assert_eq!(status, 200);
        assert!(
            text.contains("metrics_server_kubelet_request_total{success=\"true\"} 1"),
            "{text}"
        );
        assert_eq!(
            world.seen.all("Stopped listening"),
            ["I] Stopped listening on 10.42.0.5:10250"]
        );
    });
}

#[test]
fn a_certificate_found_on_disk_is_used_again() {
    run(async || {
        let world = World::new();
        let first = world
            .start(Version::V0_8, ARGUMENTS)
            .await
            .expect("it ends");
        let second = world
            .start(Version::V0_8, ARGUMENTS)
            .await
            .expect("it ends");
        assert_eq!((first.code, second.code), (2, 2));
        assert_eq!(
            world.seen.all("ServingCertificate"),
            [
                "ServingCertificate { generated: true }",
                "ServingCertificate { generated: false }"
            ]
        );
        // Without the 300 ms of generating one.
        assert_eq!(world.began.elapsed().as_millis(), 450 + 150);
    });
}
