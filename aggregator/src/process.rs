//! Start order and shutdown, from exec to exit code.
//!
//! The order is observable from outside, so it is written down in one place,
//! `Process::run`. Each step's peer can be late, and what happens then differs
//! from step to step: the first lookup is fatal, the informers wait for ever,
//! the second lookup is only logged.
//!
//! - `port`: the serving certificate and the port;
//! - `clients`: API servers and kubelets;
//! - `lookup`: the cluster's authentication configuration;
//! - `serving`: from the first answer to the last.

mod clients;
mod lookup;
mod port;
mod serving;

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select;
use tokio::time::sleep;

use crate::api::Selector;
use crate::environment::{Environment, Event};
use crate::informer::state::{ClusterState, NodeSink, PodSink};
use crate::informer::{Reflector, Resource, Sink};
use crate::klog::{Line, Log, Severity};
use crate::kubelet::KubeletClient;
use crate::options::{self, Command, Options};
use crate::scrape::{Collected, Scraper};
use crate::transport::rest::{ApiServer, JSON};
use crate::transport::tls::Tls;
use crate::version::Version;
use serving::shown;

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
    let said = |stdout: String| Exit {
        code: 0,
        stdout,
        stderr: String::new(),
    };
    let options = match options::parse(args, version) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => {
            return said(format!(
                "Launch metrics-server\n\n{}",
                options::usage(version)
            ));
        }
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
    let process = Process {
        tls: Tls::new(environment.host.clock()),
        options: Rc::from(options),
        environment,
        log,
    };
    match process.run().await {
        Ok(()) => said(String::new()),
        Err(Failure::Error(text)) => panicked(&text, version),
        Err(Failure::Fatal(file, message)) => {
            observer.log(&Line {
                severity: Severity::Fatal,
                file,
                message,
                asked_by: None,
            });
            Exit {
                code: 255,
                stdout: String::new(),
                stderr: String::new(),
            }
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

impl Process {
    /// Source: `cmd/metrics-server/app/options/options.go: ServerConfig`;
    /// `pkg/server/config.go: Complete`; `pkg/server/server.go: RunUntil`.
    async fn run(self) -> Result<(), Failure> {
        sleep(self.environment.start_cost.exec).await;
        let port = self.open_port().await?;
        sleep(self.environment.start_cost.configure).await;

        let authentication = self.authentication_client()?;
        let configuration = self.configuration()?;
        self.look_up(&authentication, &configuration).await?;
        let clients = self.clients(authentication)?;
        let kubelets = self.kubelets(&clients.lister_config)?;
        let selector = Selector::parse(&self.options.kubelet.node_selector)
            .map_err(|error| error.to_string())?;
        let Some(port) = port else {
            let text = "cannot derive external address port without listening on a secure port.";
            return Err(Failure::Fatal("config.go:736", text.to_owned()));
        };
        let text = "Adding GroupVersion metrics.k8s.io v1beta1 to ResourceManager";
        self.log.info("handler.go:288", text);

        let Some(cluster) = self.discover(&clients.lister).await else {
            return Ok(());
        };
        let collected = Collected::new(self.environment.version, self.resolution());
        self.start_scraping(kubelets, &cluster, &selector, &collected);
        let server = self.server(
            port.address,
            &clients,
            &configuration,
            cluster,
            selector,
            collected,
        )?;
        self.prepare_serving(&clients.authentication, &configuration)
            .await;
        let address = shown(port.address);
        self.serve(&clients, &configuration, Rc::clone(&server), port);
        self.environment.shutdown.requested().await;
        self.shut_down(&server, &address).await;
        Ok(())
    }

    /// Starts the informers and waits until both caches are filled, nodes
    /// first. `None` if the process is asked to stop before.
    async fn discover(&self, lister: &Rc<ApiServer>) -> Option<Rc<ClusterState>> {
        let cluster = ClusterState::new(Rc::clone(&self.environment.observer));
        self.reflect(lister, NODES, NodeSink(Rc::clone(&cluster)));
        self.reflect(lister, PODS, PodSink(Rc::clone(&cluster)));
        let synced = self.wait_for(|| cluster.nodes_synced()).await
            && self.wait_for(|| cluster.pods_synced()).await;
        if !synced {
            return None;
        }
        self.environment.observer.event(Event::InformersSynced);
        Some(cluster)
    }

    fn resolution(&self) -> Duration {
        self.options.metric_resolution.to_std()
    }

    fn reflect<S: Sink>(&self, api: &Rc<ApiServer>, resource: Resource, sink: S) {
        let Environment { host, version, .. } = &self.environment;
        let reflector = Reflector::new(
            host,
            Rc::clone(api),
            resource,
            sink,
            *version,
            self.log.clone(),
        );
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

    fn start_scraping(
        &self,
        kubelets: KubeletClient,
        cluster: &Rc<ClusterState>,
        selector: &Selector,
        collected: &Rc<Collected>,
    ) {
        let Environment {
            host,
            version,
            observer,
            pace,
            ..
        } = &self.environment;
        let scraper = Scraper {
            host: host.clone(),
            version: *version,
            kubelets,
            cluster: Rc::clone(cluster),
            selector: selector.clone(),
            resolution: self.resolution(),
            request_timeout: self.options.kubelet.request_timeout.to_std(),
            collected: Rc::clone(collected),
            pace: Rc::clone(pace),
            log: self.log.clone(),
            observer: Rc::clone(observer),
            stagger: RefCell::new(host.random("scrape-stagger")),
        };
        host.spawn(async move { scraper.run().await });
    }
}
