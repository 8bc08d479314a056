//! Start order and shutdown, from exec to exit code.
//!
//! The order is observable from outside, so it is written down in one place:
//! [`run`] and [`Process::run`](Process). Each step's peer can be late, and
//! what then happens differs from step to step: see `lookup` (fatal), the
//! informers (wait for ever) and the second lookup (only logged).

mod lookup;

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select;
use seam::BoxListener;
use tokio::time::sleep;

use crate::api::Selector;
use crate::auth::authenticate::Authenticator;
use crate::auth::authorize::Authorizer;
use crate::auth::configuration::{CONFIG_MAP, ConfigMapSink, Configuration};
use crate::auth::review::Reviewer;
use crate::environment::{ClusterConfig, Environment, Event, Shutdown};
use crate::informer::reflector::{Reflector, Resource, Sink};
use crate::informer::state::{ClusterState, NodeSink, PodSink};
use crate::klog::{Line, Log, Quoted, Severity};
use crate::kubelet::KubeletClient;
use crate::options::{self, Command, Options};
use crate::scrape::{Collected, Scraper};
use crate::server::certificate::Location;
use crate::server::{self, Connections, InFlight, Server};
use crate::transport::error::errno_text;
use crate::transport::rest::{ApiServer, JSON};
use crate::transport::tls::Tls;
use crate::version::Version;

/// Source: lib: client-go `tools/cache/shared_informer.go: syncedPollPeriod`.
const SYNC_POLL: Duration = Duration::from_millis(100);

const NODES: Resource = Resource {
    path: "/api/v1/nodes",
    field_selector: "",
    subject: "nodes",
    list_accept: JSON,
    watch_accept: JSON,
    type_name: "*v1.Node",
    name: "sigs.k8s.io/metrics-server/pkg/server/server.go:96",
};

const PODS: Resource = Resource {
    path: "/api/v1/pods",
    field_selector: "status.phase%3DRunning",
    subject: "pods",
    list_accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
    watch_accept: "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
    type_name: "*v1.PartialObjectMetadata",
    name: "sigs.k8s.io/metrics-server/pkg/server/server.go:97",
};

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// 0 after SIGTERM, `--help` and `--version`; 2 after an error, as from a
    /// Go panic; 255 after klog.Fatal.
    pub code: i32,
    /// What was written to standard output: the answer to `--help` and
    /// `--version`.
    pub stdout: String,
    /// What was written to standard error besides log lines: `Error: …`, the
    /// usage text and the panic.
    pub stderr: String,
}

/// Why a process ended on its own.
enum Failure {
    /// An error that the command returned.
    Error(String),
    /// A line of klog.Fatal.
    Fatal(&'static str, String),
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::Error(text)
    }
}

/// Runs a metrics-server until it ends. `args` are the command line without
/// the program's name.
///
/// Tasks of the host's group may still exist then; whoever started the process
/// ends them, as the system does at exit.
///
/// Source: `cmd/metrics-server/app/start.go: runCommand`.
pub async fn run(args: &[String], environment: Environment) -> Exit {
    let version = environment.version;
    let said = |stdout: String| Exit { code: 0, stdout, stderr: String::new() };
    let options = match options::parse(args, version) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => return said(options::usage(version)),
        Ok(Command::Version) => return said(format!("{}\n", version.git_version())),
        Err(text) => return panicked(&text, version),
    };
    if let Some(first) = options.validate(version).first() {
        return panicked(first, version);
    }
    let log = Log::new(Rc::clone(&environment.observer), options.verbosity);
    for flag in &options.unsupported {
        log.warning("options.go:1", format!("--{flag} has no effect here"));
    }
    let observer = Rc::clone(&environment.observer);
    let process = Process { tls: Tls::new(environment.host.clock()), options: Rc::from(options), environment, log };
    match process.run().await {
        Ok(()) => said(String::new()),
        Err(Failure::Error(text)) => panicked(&text, version),
        Err(Failure::Fatal(file, message)) => {
            observer.log(&Line { severity: Severity::Fatal, file, message });
            Exit { code: 255, stdout: String::new(), stderr: String::new() }
        }
    }
}

/// What cobra and Go's runtime print for an error that `main` panics with.
fn panicked(text: &str, version: Version) -> Exit {
    let usage = options::usage(version);
    Exit {
        code: 2,
        stdout: String::new(),
        stderr: format!("Error: {text}\n{usage}\npanic: {text}\n"),
    }
}

/// A process whose command line is valid.
struct Process {
    environment: Environment,
    options: Rc<Options>,
    tls: Tls,
    log: Log,
}

/// A port that connects succeed at.
struct Bound {
    listener: BoxListener,
    address: SocketAddr,
}

/// The API servers that the process talks to; one and the same unless flags
/// say otherwise.
struct Clients {
    authentication: Rc<ApiServer>,
    authorization: Rc<ApiServer>,
    lister: Rc<ApiServer>,
    /// How `lister` is reached, which goes for kubelets too.
    lister_config: ClusterConfig,
}

impl Process {
    /// Source: `cmd/metrics-server/app/options/options.go: ServerConfig`;
    /// `pkg/server/config.go: Complete`; `pkg/server/server.go: RunUntil`.
    async fn run(self) -> Result<(), Failure> {
        sleep(self.environment.start_cost.exec).await;
        let location = self.serving_certificate().await?;
        let bound = self.bind().await?;
        let tls = self.serving_tls(&location)?;
        sleep(self.environment.start_cost.configure).await;

        let authentication = self.client(self.options.authentication.kubeconfig.as_deref(), "authentication")?;
        let configuration = self.configuration()?;
        self.look_up(&authentication, &configuration).await?;
        let clients = self.clients(authentication)?;
        let kubelets = self.kubelets(&clients.lister_config)?;
        let selector =
            Selector::parse(&self.options.kubelet.node_selector).map_err(|error| error.to_string())?;
        let Some(bound) = bound else {
            let text = "cannot derive external address port without listening on a secure port.";
            return Err(Failure::Fatal("config.go:736", text.to_owned()));
        };
        self.log.info("handler.go:288", "Adding GroupVersion metrics.k8s.io v1beta1 to ResourceManager");

        let cluster = ClusterState::new(Rc::clone(&self.environment.observer));
        self.reflect(&clients.lister, NODES, NodeSink(Rc::clone(&cluster)));
        self.reflect(&clients.lister, PODS, PodSink(Rc::clone(&cluster)));
        if !(self.wait_for(|| cluster.nodes_synced()).await && self.wait_for(|| cluster.pods_synced()).await) {
            return Ok(());
        }
        self.environment.observer.event(Event::InformersSynced);

        let collected = Collected::new(self.environment.version, self.resolution());
        let scraper = self.scraper(kubelets, &cluster, &selector, &collected);
        self.environment.host.spawn(async move { scraper.run().await });
        let server = self.server(&bound, &clients, &configuration, &cluster, selector, collected)?;
        self.prepare_serving(&clients.authentication, &configuration).await;
        let address = shown(bound.address);
        self.serve(&clients, &configuration, Rc::clone(&server), bound, tls, &location);
        self.environment.shutdown.requested().await;
        self.shut_down(&server, &address).await;
        Ok(())
    }

    fn resolution(&self) -> Duration {
        self.options.metric_resolution.to_std()
    }

    /// Finds the serving certificate, or generates one.
    async fn serving_certificate(&self) -> Result<Location, Failure> {
        let Environment { host, start_cost, server_key, observer, .. } = &self.environment;
        let options = &self.options.serving;
        let location = Location::of(options);
        if options.secure_port <= 0 {
            return Ok(location);
        }
        let failed = |error: String| Failure::Error(format!("error creating self-signed certificates: {error}"));
        let generated = location.must_generate(host).map_err(failed)?;
        if generated {
            sleep(start_cost.certificate).await;
            location.generate(host, server_key, options).map_err(failed)?;
            let Location { certificate, key, .. } = &location;
            self.log.info("serving.go:386", format!("Generated self-signed cert ({certificate}, {key})"));
        }
        observer.event(Event::ServingCertificate { generated });
        Ok(location)
    }

    /// Binds the port; `None` if there is to be none. From here on connects
    /// succeed, and nobody answers until [`Process::serve`].
    ///
    /// Source: lib: apiserver `pkg/server/options/serving.go: CreateListener`.
    async fn bind(&self) -> Result<Option<Bound>, Failure> {
        let options = &self.options.serving;
        if options.secure_port <= 0 {
            return Ok(None);
        }
        let failed = |wanted: &str, text: String| {
            Failure::Error(format!("failed to create listener: failed to listen on {wanted}: listen tcp{text}"))
        };
        let Ok(port) = u16::try_from(options.secure_port) else {
            let port = options.secure_port;
            let wanted = format!("{}:{port}", options.bind_address);
            return Err(failed(&wanted, format!(": address {port}: invalid port")));
        };
        let wanted = SocketAddr::new(options.bind_address, port);
        let listener = self.environment.host.listen(wanted).await.map_err(|error| {
            let wanted = wanted.to_string();
            failed(&wanted, format!(" {wanted}: bind: {}", errno_text(&error)))
        })?;
        let address = listener.local_addr();
        self.environment.observer.event(Event::PortBound { address });
        Ok(Some(Bound { listener, address }))
    }

    fn serving_tls(&self, location: &Location) -> Result<Option<std::sync::Arc<rustls::ServerConfig>>, Failure> {
        let options = &self.options.serving;
        if options.secure_port <= 0 {
            return Ok(None);
        }
        let identity = location.load(&self.environment.host)?;
        Ok(Some(server::tls::config(&self.tls, identity, options)?))
    }

    fn configuration(&self) -> Result<Rc<Configuration>, Failure> {
        let host = &self.environment.host;
        let read = |path: &str| {
            host.files().read(path).map_err(|error| format!("open {path}: {}", errno_text(&error)))
        };
        Ok(Configuration::from_flags(&self.options.authentication, &self.tls, read)?)
    }

    fn client(&self, kubeconfig: Option<&str>, purpose: &str) -> Result<Rc<ApiServer>, Failure> {
        let config = self.environment.cluster.load(kubeconfig).map_err(|error| {
            let failed = format!("failed to get delegated {purpose} kubeconfig");
            format!("{failed}: {failed}: {error}")
        })?;
        Ok(self.api_server(&config)?)
    }

    fn api_server(&self, config: &ClusterConfig) -> Result<Rc<ApiServer>, String> {
        ApiServer::new(&self.environment.host, &self.tls, config, &user_agent(self.environment.version))
    }

    /// The remaining API servers. Those that are reached alike share their
    /// connections, as client-go's do.
    fn clients(&self, authentication: Rc<ApiServer>) -> Result<Clients, Failure> {
        let options = &self.options;
        let lister_config = self
            .environment
            .cluster
            .load(options.kubeconfig.as_deref())
            .map_err(|error| format!("unable to construct lister client config: {error}"))?;
        let authorization = if options.authorization.kubeconfig == options.authentication.kubeconfig {
            Rc::clone(&authentication)
        } else {
            self.client(options.authorization.kubeconfig.as_deref(), "authorization")?
        };
        let lister = if options.kubeconfig == options.authentication.kubeconfig {
            Rc::clone(&authentication)
        } else {
            self.api_server(&lister_config)?
        };
        Ok(Clients { authentication, authorization, lister, lister_config })
    }

    fn kubelets(&self, cluster: &ClusterConfig) -> Result<KubeletClient, Failure> {
        let Environment { host, version, .. } = &self.environment;
        let client = KubeletClient::new(
            host,
            &self.tls,
            cluster,
            &self.options.kubelet,
            version.scrape_path(),
            &user_agent(*version),
            self.log.clone(),
        );
        client.map_err(|error| {
            Failure::Error(format!("unable to construct a client to connect to the kubelets: {error}"))
        })
    }

    fn reflect<S: Sink>(&self, api: &Rc<ApiServer>, resource: Resource, sink: S) {
        let Environment { host, version, .. } = &self.environment;
        let reflector = Reflector::new(host, Rc::clone(api), resource, sink, *version, self.log.clone());
        host.spawn(async move { reflector.run().await });
    }

    /// Polls until the condition holds; false if the process is asked to stop
    /// before.
    async fn wait_for(&self, condition: impl Fn() -> bool) -> bool {
        let shutdown = &self.environment.shutdown;
        while !condition() {
            let _ = select(pin!(shutdown.requested()), pin!(sleep(SYNC_POLL))).await;
            if shutdown.is_requested() {
                return false;
            }
        }
        true
    }

    fn scraper(
        &self,
        kubelets: KubeletClient,
        cluster: &Rc<ClusterState>,
        selector: &Selector,
        collected: &Rc<Collected>,
    ) -> Scraper {
        let Environment { host, version, observer, .. } = &self.environment;
        Scraper {
            host: host.clone(),
            version: *version,
            kubelets,
            cluster: Rc::clone(cluster),
            selector: selector.clone(),
            resolution: self.resolution(),
            request_timeout: self.options.kubelet.request_timeout.to_std(),
            collected: Rc::clone(collected),
            log: self.log.clone(),
            observer: Rc::clone(observer),
            stagger: RefCell::new(host.random("scrape-stagger")),
        }
    }

    fn server(
        &self,
        bound: &Bound,
        clients: &Clients,
        configuration: &Rc<Configuration>,
        cluster: &Rc<ClusterState>,
        selector: Selector,
        collected: Rc<Collected>,
    ) -> Result<Rc<Server>, Failure> {
        let Environment { host, version, shutdown, .. } = &self.environment;
        let options = &self.options;
        let reviewer = |api: &Rc<ApiServer>, jitter| Reviewer::new(Rc::clone(api), host.random(jitter));
        let access = reviewer(&clients.authorization, "authorizer-jitter");
        let max_streams = match options.serving.http2_max_streams {
            0 => 100,
            streams => u32::try_from(streams).unwrap_or(u32::MAX),
        };
        Ok(Rc::new(Server {
            host: host.clone(),
            version: *version,
            resolution: self.resolution(),
            port: bound.address.port(),
            max_streams,
            collected,
            cluster: Rc::clone(cluster),
            selector,
            authenticator: Authenticator::new(
                Rc::clone(configuration),
                Some(reviewer(&clients.authentication, "authenticator-jitter")),
                options.authentication.token_cache_ttl.to_std(),
            ),
            authorizer: Authorizer::new(&options.authorization, access, self.log.clone())?,
            shutdown: shutdown.clone(),
            closing: Shutdown::new(),
            log: self.log.clone(),
            audit_ids: RefCell::new(host.random("audit-id")),
            in_flight: InFlight::new(options.server.max_requests_in_flight),
            connections: Connections::default(),
            options: Rc::clone(options),
        }))
    }

    /// Begins to answer.
    ///
    /// Source: lib: apiserver `pkg/server/secure_serving.go: Serve`.
    fn serve(
        &self,
        clients: &Clients,
        configuration: &Rc<Configuration>,
        server: Rc<Server>,
        bound: Bound,
        tls: Option<std::sync::Arc<rustls::ServerConfig>>,
        location: &Location,
    ) {
        let Environment { host, observer, version, .. } = &self.environment;
        let follows = configuration.follows();
        let names = if follows { controllers() } else { Vec::new() };
        self.log_starting(&names);
        self.log.info("secure_serving.go:213", format!("Serving securely on {}", shown(bound.address)));
        let name = format!("serving-cert::{}::{}", location.certificate, location.key);
        self.log.info("dynamic_serving_content.go:135", format!("\"Starting controller\" name={}", Quoted(&name)));
        self.log.info("tlsconfig.go:243", "\"Starting DynamicServingCertificateController\"");
        if follows {
            let (log, version) = (self.log.clone(), *version);
            let synced = move || {
                for name in names {
                    log.info("shared_informer.go:356", caches_line("Caches are synced", &name, version));
                }
            };
            let sink = ConfigMapSink {
                configuration: Rc::clone(configuration),
                log: self.log.clone(),
                on_sync: RefCell::new(Some(Box::new(synced))),
            };
            self.reflect(&clients.authentication, CONFIG_MAP, sink);
        }
        let address = bound.address;
        if let Some(tls) = tls {
            host.spawn(server.accept(bound.listener, tls));
        }
        observer.event(Event::Serving { address });
    }

    fn log_starting(&self, names: &[String]) {
        let version = self.environment.version;
        for (position, name) in names.iter().enumerate() {
            let starting = match position {
                0 => format!("Starting {name}"),
                _ => format!("\"Starting controller\" name={}", Quoted(name)),
            };
            let file = if position == 0 { "requestheader_controller.go:180" } else { "configmap_cafile_content.go:205" };
            self.log.info(file, starting);
            self.log.info("shared_informer.go:349", caches_line("Waiting for caches to sync", name, version));
        }
    }

    /// Source: lib: apiserver `pkg/server/genericapiserver.go:
    /// RunWithContext`.
    async fn shut_down(&self, server: &Server, address: &str) {
        let Environment { observer, .. } = &self.environment;
        let stage = |event: &str| {
            let message = format!("\"[graceful-termination] shutdown event\" name={}", Quoted(event));
            self.log.verbose(1, "genericapiserver.go:543", || message);
        };
        observer.event(Event::ShutdownStarted);
        stage("ShutdownInitiated");
        sleep(self.options.server.shutdown_delay.to_std()).await;
        stage("AfterShutdownDelayDuration");
        stage("NotAcceptingNewRequest");
        server.closing.request();
        server.drained(self.options.server.request_timeout.to_std()).await;
        stage("InFlightRequestsDrained");
        self.log.info("secure_serving.go:258", format!("Stopped listening on {address}"));
        stage("HTTPServerStoppedListening");
        self.log.verbose(1, "genericapiserver.go:660", || "[graceful-termination] apiserver is exiting".to_owned());
        observer.event(Event::ShutdownFinished);
    }
}

/// The address as Go shows it, which listens on both families for `0.0.0.0`.
fn shown(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("[::]:{}", address.port())
    } else {
        address.to_string()
    }
}

/// What the followers of the ConfigMap are called in the log.
fn controllers() -> Vec<String> {
    let prefix = "client-ca::kube-system::extension-apiserver-authentication::";
    vec![
        "RequestHeaderAuthRequestController".to_owned(),
        format!("{prefix}client-ca-file"),
        format!("{prefix}requestheader-client-ca-file"),
    ]
}

fn caches_line(text: &str, name: &str, version: Version) -> String {
    if version >= Version::V0_8 {
        format!("{} controller={}", Quoted(text), Quoted(name))
    } else {
        format!("{text} for {name}")
    }
}

/// DIFFERENCE: the Go program's ends in `kubernetes/` and its commit.
fn user_agent(version: Version) -> String {
    let own = env!("CARGO_PKG_VERSION");
    format!("metrics-server/{} (linux/amd64) firstlight/{own}", version.git_version())
}

/// Waits for both.
async fn both(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    futures_util::future::join(first, second).await;
}
