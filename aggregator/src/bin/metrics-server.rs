//! The aggregation core as an ordinary process: the operating system's
//! sockets, clock and files, and an API server found as client-go finds it.

use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;

use aggregator::environment::{
    ClusterConfig, ClusterSource, ConfigError, Credentials, Environment, Event, Observer,
    ServerKey, Shutdown, StartCost,
};
use aggregator::klog::Line;
use aggregator::pace::Unhindered;
use aggregator::process;
use aggregator::version::Version;
use futures_util::FutureExt;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use rustls_pki_types::CertificateDer;
use seam::{Host, tokio_host};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "cannot start the runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let exit = LocalSet::new().block_on(&runtime, serve(args));
    let _ = std::io::stdout().write_all(exit.stdout.as_bytes());
    let _ = std::io::stderr().write_all(exit.stderr.as_bytes());
    ExitCode::from(u8::try_from(exit.code).unwrap_or(u8::MAX))
}

async fn serve(args: Vec<String>) -> process::Exit {
    let host = tokio_host::host("metrics-server");
    let shutdown = Shutdown::new();
    host.spawn(watch_signals(shutdown.clone()));
    let environment = Environment {
        host: host.clone(),
        version: Version::V0_9,
        cluster: Rc::new(KubeConfig),
        start_cost: StartCost::default(),
        pace: Rc::new(Unhindered),
        observer: Rc::new(StandardError(host)),
        shutdown,
        server_key: ServerKey::Generate,
    };
    process::run(&args, environment).await
}

/// The first SIGTERM or SIGINT asks the process to stop, the second ends it.
///
/// Source: lib: apiserver `pkg/server/signal.go: SetupSignalContext`.
async fn watch_signals(shutdown: Shutdown) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    for signals in 1.. {
        futures_util::future::select(Box::pin(terminate.recv()), Box::pin(interrupt.recv())).await;
        if signals == 2 {
            std::process::exit(1);
        }
        shutdown.request();
    }
}

/// Logs as klog does, to standard error.
struct StandardError(Host);

impl Observer for StandardError {
    fn event(&self, _event: Event<'_>) {}

    fn log(&self, line: &Line) {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}", line.at(self.0.now()));
    }
}

/// Kubeconfig files and the configuration that pods find.
///
/// DIFFERENCE: credential plugins (`exec`, `auth-provider`), impersonation and
/// proxies are refused.
struct KubeConfig;

impl ClusterSource for KubeConfig {
    fn load(&self, kubeconfig: Option<&str>) -> Result<ClusterConfig, ConfigError> {
        let config = match kubeconfig {
            Some(path) => from_file(path),
            None => in_cluster(),
        };
        config
            .and_then(|config| convert(&config))
            .map_err(|message| ConfigError { message })
    }
}

fn in_cluster() -> Result<Config, String> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !set("KUBERNETES_SERVICE_HOST") || !set("KUBERNETES_SERVICE_PORT") {
        return Err("unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT \
                    must be defined"
            .to_owned());
    }
    Config::incluster_env().map_err(|error| error.to_string())
}

fn from_file(path: &str) -> Result<Config, String> {
    if let Err(error) = std::fs::metadata(path) {
        return Err(format!(
            "stat {path}: {}",
            aggregator::transport::error::errno_text(&error)
        ));
    }
    let file = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
    // kube's function is asynchronous for plugins, which are not compiled in.
    let loaded = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).now_or_never();
    loaded
        .ok_or("the kubeconfig needs a credential plugin")?
        .map_err(|error| error.to_string())
}

fn convert(config: &Config) -> Result<ClusterConfig, String> {
    let url = &config.cluster_url;
    let host = url.host().ok_or("host must be a URL or a host:port pair")?;
    if url.scheme_str() != Some("https") {
        return Err(format!("{url}: only https is supported"));
    }
    if let Some(proxy) = &config.proxy_url {
        return Err(format!("proxy-url {proxy}: proxies are not supported"));
    }
    let authorities = config.root_cert.iter().flatten();
    Ok(ClusterConfig {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port_u16().unwrap_or(443),
        ca: authorities
            .map(|der| CertificateDer::from(der.clone()))
            .collect(),
        insecure: config.accept_invalid_certs,
        credentials: credentials(config)?,
        server_name: config.tls_server_name.clone(),
    })
}

/// Reads the user's part. Serialized, because kube wraps its secrets in a
/// type of a crate that is not a dependency here.
fn credentials(config: &Config) -> Result<Credentials, String> {
    let user = serde_json::to_value(&config.auth_info).map_err(|error| error.to_string())?;
    // Going on without them would be asking as somebody else.
    for unsupported in ["exec", "auth-provider", "as", "as-groups"] {
        if user.get(unsupported).is_some_and(|value| !value.is_null()) {
            return Err(format!(
                "the user of the kubeconfig has {unsupported}, which is not supported"
            ));
        }
    }
    let field = |name: &str| {
        user.get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let certificate = pem(
        field("client-certificate-data"),
        field("client-certificate"),
    )?;
    let key = pem(field("client-key-data"), field("client-key"))?;
    Ok(
        match (field("token"), field("tokenFile"), certificate, key) {
            (Some(token), ..) => Credentials::Token(token),
            (None, Some(path), ..) => Credentials::TokenFile(path),
            (None, None, Some(certificate), Some(key)) => {
                Credentials::ClientCertificate { certificate, key }
            }
            _ => match (field("username"), field("password")) {
                (Some(username), password) => Credentials::Basic {
                    username,
                    password: password.unwrap_or_default(),
                },
                _ => Credentials::Anonymous,
            },
        },
    )
}

fn pem(data: Option<String>, file: Option<String>) -> Result<Option<Vec<u8>>, String> {
    match (data, file) {
        (Some(data), _) => from_base64(&data)
            .map(Some)
            .ok_or_else(|| "illegal base64 data in kubeconfig".to_owned()),
        (None, Some(path)) => std::fs::read(&path)
            .map(Some)
            .map_err(|error| format!("unable to read {path}: {error}")),
        (None, None) => Ok(None),
    }
}

/// RFC 4648 base64; white space and padding are skipped.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits) = (0_u32, 0);
    for byte in text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
    {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(group >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}
