//! The program as the operating system runs it, against peers on loopback.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aggregator::transport::connect::Security;
use aggregator::transport::tls::{Tls, Trust};
use aggregator::transport::{Authority as Address, HttpClient};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use seam::{Host, tokio_host};
use serde_json::json;
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::peers::{ApiServer, Authority, Kubelet, config_map, node, pod};

const LOOPBACK: &str = "127.0.0.1";

/// The most that anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A directory of its own for each test, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Self {
        let name = format!("metrics-server-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("room for files");
        Self(path)
    }

    fn put(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("room for a file");
        path.display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running program, which does not outlive its test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(args: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metrics-server"));
    command
        .args(args)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env_remove("KUBERNETES_SERVICE_PORT");
    command
}

/// Runs the program to its end.
fn output(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    command(&args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((LOOPBACK, 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn kubeconfig(server: u16, user: &str) -> String {
    // The authority's path is relative to the file.
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{server}', certificate-authority: ca.crt}}}}]\n\
         users: [{{name: u, user: {user}}}]\n\
         contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
    )
}

async fn get(host: &Host, tls: &Tls, port: u16, path: &str) -> Option<(u16, String)> {
    let security = Security {
        config: Arc::new(tls.client(Trust::Anyone, None).expect("no identity")),
        server_name: None,
    };
    let client: Rc<HttpClient> = HttpClient::new(host.clone(), Some(security));
    let address = Address {
        host: LOOPBACK.into(),
        port,
    };
    let request = Request::get(path)
        .header("host", LOOPBACK)
        .body(Full::<Bytes>::default())
        .expect("a valid request");
    let response = client.send(&address, request).await.ok()?;
    let status = response.status.as_u16();
    let mut body = Vec::new();
    response.read_into(&mut body, 1 << 20).await.ok()?;
    Some((status, text(&body)))
}

/// Asks until the answer is 200.
async fn until_ok(host: &Host, tls: &Tls, port: u16, path: &str) -> String {
    let wait = async {
        loop {
            if let Some((200, body)) = get(host, tls, port, path).await {
                return body;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("{path} is never 200"))
}

/// From start to SIGTERM, as in a pod, but with a kubeconfig.
#[test]
fn the_program_scrapes_serves_and_ends_on_sigterm() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let host = tokio_host::host("peers");
        let tls = Tls::new(host.clock());
        let (ca, proxy_ca) = (Authority::new("kubernetes"), Authority::new("front-proxy"));
        let identity = |name: &str| ca.issue(name, &[LOOPBACK]);
        let kubelet = Kubelet::start_on(&host, 0, &tls, identity("kubelet")).await;
        let api = Rc::new(ApiServer::default());
        let mut object = node("node-1", LOOPBACK);
        object["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] = json!(kubelet.port.get());
        api.nodes.borrow_mut().push(object);
        api.pods.borrow_mut().push(pod("load", "web"));
        *api.config_map.borrow_mut() = Some(config_map(&ca, &proxy_ca));
        api.allowed.borrow_mut().push("system:anonymous".to_owned());
        let server = api.start_on(&host, 0, &tls, identity("apiserver")).await;

        let directory = Directory::new("life");
        directory.put("ca.crt", &ca.pem);
        let config = directory.put("kubeconfig", &kubeconfig(server, "{token: secret}"));
        let log = directory.put("log", "");
        let port = free_port();
        let args = [
            format!("--kubeconfig={config}"),
            format!("--authentication-kubeconfig={config}"),
            format!("--authorization-kubeconfig={config}"),
            format!("--secure-port={port}"),
            format!("--bind-address={LOOPBACK}"),
            format!("--cert-dir={}", directory.0.display()),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--kubelet-use-node-status-port".to_owned(),
            "--kubelet-request-timeout=9s".to_owned(),
            "--metric-resolution=10s".to_owned(),
        ];
        let file = fs::File::create(&log).expect("room for a log");
        let mut program = Program(
            command(&args)
                .stderr(Stdio::from(file))
                .spawn()
                .expect("the program starts"),
        );

        assert_eq!(until_ok(&host, &tls, port, "/livez").await, "ok");
        assert_eq!(until_ok(&host, &tls, port, "/readyz").await, "ok");
        let nodes = until_ok(&host, &tls, port, "/apis/metrics.k8s.io/v1beta1/nodes").await;
        let nodes: serde_json::Value = serde_json::from_str(&nodes).expect("JSON");
        assert_eq!(nodes["items"][0]["metadata"]["name"], "node-1");
        assert!(nodes["items"][0]["usage"]["cpu"].is_string(), "{nodes}");
        let bearer = kubelet.authorization.borrow().clone();
        assert_eq!(bearer.as_deref(), Some("Bearer secret"));

        let pid = program.0.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        let ended = async {
            loop {
                if let Some(status) = program.0.try_wait().expect("it is ours") {
                    return status;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let status = tokio::time::timeout(PATIENCE, ended).await;
        let log = fs::read_to_string(&log).expect("UTF-8");
        assert_eq!(
            status.ok().and_then(|status| status.code()),
            Some(0),
            "{log}"
        );
        let serving = format!("Serving securely on {LOOPBACK}:{port}");
        let stopped = format!("Stopped listening on {LOOPBACK}:{port}");
        let mut lines = log.lines();
        for wanted in [
            "Generated self-signed cert (",
            "Adding GroupVersion metrics.k8s.io v1beta1 to ResourceManager",
            &serving,
            &stopped,
        ] {
            assert!(
                lines.any(|line| line.contains(wanted)),
                "{wanted} is missing, or out of order:\n{log}"
            );
        }
        // klog's head: severity, month and day, time, process.
        for line in log.lines() {
            let (head, _) = line.split_once("] ").unwrap_or_default();
            let words: Vec<&str> = head.split_whitespace().collect();
            assert!(
                words.len() == 4 && "IWE".contains(&words[0][..1]) && words[1].len() == 15,
                "{line}"
            );
        }
    });
}

#[test]
fn a_program_that_cannot_start_says_why_and_exits_with_2() {
    let directory = Directory::new("failures");
    directory.put("ca.crt", &Authority::new("kubernetes").pem);
    let cert_dir = format!("--cert-dir={}", directory.0.display());
    let closed = free_port();
    let good = directory.put("good", &kubeconfig(closed, "{token: secret}"));
    let plugin = directory.put(
        "plugin",
        &kubeconfig(closed, "{exec: {apiVersion: v1, command: aws}}"),
    );
    let holder = std::net::TcpListener::bind((LOOPBACK, 0)).expect("a free port");
    let taken = holder.local_addr().expect("it is bound");
    let with = |config: &str| format!("--authentication-kubeconfig={config}");
    let port = format!("--secure-port={}", free_port());
    let delegated = "failed to get delegated authentication kubeconfig: failed to get delegated authentication kubeconfig";
    for (args, error) in [
        (vec!["--nosuch"], "unknown flag: --nosuch".to_owned()),
        (
            vec!["--metric-resolution=9s"],
            "metric-resolution should be a time duration at least 10s, but value 9s provided"
                .to_owned(),
        ),
        (
            vec![&cert_dir, &port],
            format!(
                "{delegated}: unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and \
                 KUBERNETES_SERVICE_PORT must be defined"
            ),
        ),
        (
            vec![&cert_dir, &port, "--authentication-kubeconfig=/nope"],
            format!("{delegated}: stat /nope: no such file or directory"),
        ),
        (
            vec![&cert_dir, &port, &with(&plugin)],
            format!("{delegated}: the user of the kubeconfig has exec, which is not supported"),
        ),
        (
            vec![&cert_dir, &port, &with(&good)],
            format!(
                "unable to load configmap based request-header-client-ca-file: Get \
                 \"https://127.0.0.1:{closed}/api/v1/namespaces/kube-system/configmaps/\
                 extension-apiserver-authentication\": dial tcp 127.0.0.1:{closed}: connect: connection refused"
            ),
        ),
        (
            vec!["--cert-dir=/dev/null", &port],
            "error creating self-signed certificates: mkdir /dev/null: not a directory".to_owned(),
        ),
        (
            vec![
                &cert_dir,
                "--bind-address=127.0.0.1",
                &format!("--secure-port={}", taken.port()),
            ],
            format!(
                "failed to create listener: failed to listen on {taken}: listen tcp {taken}: bind: address already in use"
            ),
        ),
    ] {
        let ended = output(&args);
        let stderr = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {stderr}");
        let lines: Vec<&str> = stderr.lines().collect();
        let (said, panic) = (format!("Error: {error}"), format!("panic: {error}"));
        assert!(
            lines.contains(&said.as_str()) && lines.contains(&panic.as_str()),
            "{args:?}: wanted {said}\n{stderr}"
        );
        assert!(stderr.contains("\nMetrics server flags:\n"), "{stderr}");
    }
}

#[test]
fn help_and_version_are_told_and_exit_with_0() {
    let version = output(&["--version"]);
    assert_eq!(
        (version.status.code(), text(&version.stdout).as_str()),
        (Some(0), "v0.9.0\n")
    );
    let help = output(&["--help"]);
    let said = text(&help.stdout);
    assert_eq!(help.status.code(), Some(0));
    assert!(
        said.starts_with("Launch metrics-server\n\nUsage:\n") && help.stderr.is_empty(),
        "{said}"
    );
    for flag in ["--kubelet-request-timeout duration", "-l, --node-selector"] {
        assert!(said.contains(flag), "{flag}\n{said}");
    }
}
