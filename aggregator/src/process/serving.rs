//! From the first answer to the last.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::time::sleep;

use super::clients::Clients;
use super::port::Port;
use super::{Failure, Process};
use crate::api::Selector;
use crate::auth::authenticate::Authenticator;
use crate::auth::authorize::Authorizer;
use crate::auth::configuration::{CONFIG_MAP, ConfigMapSink, Configuration};
use crate::auth::review::Reviewer;
use crate::environment::{Environment, Event, Shutdown};
use crate::informer::ClusterState;
use crate::klog::Quoted;
use crate::scrape::Collected;
use crate::server::{Connections, InFlight, Server};
use crate::transport::rest::ApiServer;
use crate::version::Version;

impl Process {
    pub(super) fn server(
        &self,
        address: SocketAddr,
        clients: &Clients,
        configuration: &Rc<Configuration>,
        cluster: Rc<ClusterState>,
        selector: Selector,
        collected: Rc<Collected>,
    ) -> Result<Rc<Server>, Failure> {
        let Environment {
            host,
            version,
            shutdown,
            pace,
            ..
        } = &self.environment;
        let options = &self.options;
        let reviewer =
            |api: &Rc<ApiServer>, jitter| Reviewer::new(Rc::clone(api), host.random(jitter));
        let access = reviewer(&clients.authorization, "authorizer-jitter");
        let max_streams = match options.serving.http2_max_streams {
            0 => 100,
            streams => u32::try_from(streams).unwrap_or(u32::MAX),
        };
        Ok(Rc::new(Server {
            host: host.clone(),
            version: *version,
            resolution: self.resolution(),
            port: address.port(),
            max_streams,
            collected,
            cluster,
            selector,
            authenticator: Authenticator::new(
                *version,
                Rc::clone(configuration),
                Some(reviewer(&clients.authentication, "authenticator-jitter")),
                options.authentication.token_cache_ttl.to_std(),
            ),
            authorizer: Authorizer::new(&options.authorization, access, self.log.clone())?,
            shutdown: shutdown.clone(),
            closing: Shutdown::new(),
            log: self.log.clone(),
            pace: Rc::clone(pace),
            audit_ids: RefCell::new(host.random("audit-id")),
            in_flight: InFlight::new(options.server.max_requests_in_flight),
            connections: Connections::default(),
            options: Rc::clone(options),
        }))
    }

    /// Begins to answer.
    ///
    /// Source: lib: apiserver `pkg/server/secure_serving.go: Serve`.
    pub(super) fn serve(
        &self,
        clients: &Clients,
        configuration: &Rc<Configuration>,
        server: Rc<Server>,
        port: Port,
    ) {
        let Environment {
            host,
            observer,
            version,
            ..
        } = &self.environment;
        let follows = configuration.follows();
        let names = if follows { controllers() } else { Vec::new() };
        self.log_starting(&names);
        self.log.info(
            "secure_serving.go:213",
            format!("Serving securely on {}", shown(port.address)),
        );
        let name = port.certificate.name();
        self.log.info(
            "dynamic_serving_content.go:135",
            format!("\"Starting controller\" name={}", Quoted(&name)),
        );
        self.log.info(
            "tlsconfig.go:243",
            "\"Starting DynamicServingCertificateController\"",
        );
        if follows {
            let (log, version) = (self.log.clone(), *version);
            let synced = move || {
                for name in names {
                    log.info(
                        "shared_informer.go:356",
                        caches_line("Caches are synced", &name, version),
                    );
                }
            };
            let sink = ConfigMapSink {
                configuration: Rc::clone(configuration),
                log: self.log.clone(),
                on_sync: RefCell::new(Some(Box::new(synced))),
            };
            self.reflect(&clients.authentication, CONFIG_MAP, sink);
        }
        host.spawn(server.accept(port.listener, port.certificate));
        observer.event(Event::Serving {
            address: port.address,
        });
    }

    fn log_starting(&self, names: &[String]) {
        let version = self.environment.version;
        for (position, name) in names.iter().enumerate() {
            let starting = match position {
                0 => format!("Starting {name}"),
                _ => format!("\"Starting controller\" name={}", Quoted(name)),
            };
            let file = if position == 0 {
                "requestheader_controller.go:180"
            } else {
                "configmap_cafile_content.go:205"
            };
            self.log.info(file, starting);
            self.log.info(
                "shared_informer.go:349",
                caches_line("Waiting for caches to sync", name, version),
            );
        }
    }

    /// Source: lib: apiserver `pkg/server/genericapiserver.go:
    /// RunWithContext`.
    pub(super) async fn shut_down(&self, server: &Server, address: &str) {
        let Environment { observer, .. } = &self.environment;
        let stage = |event: &str| {
            let message = format!(
                "\"[graceful-termination] shutdown event\" name={}",
                Quoted(event)
            );
            self.log.verbose(1, "genericapiserver.go:543", || message);
        };
        observer.event(Event::ShutdownStarted);
        stage("ShutdownInitiated");
        sleep(self.options.server.shutdown_delay.to_std()).await;
        stage("AfterShutdownDelayDuration");
        stage("NotAcceptingNewRequest");
        server.closing.request();
        server
            .drained(self.options.server.request_timeout.to_std())
            .await;
        stage("InFlightRequestsDrained");
        self.log.info(
            "secure_serving.go:258",
            format!("Stopped listening on {address}"),
        );
        stage("HTTPServerStoppedListening");
        self.log.verbose(1, "genericapiserver.go:660", || {
            "[graceful-termination] apiserver is exiting".to_owned()
        });
        observer.event(Event::ShutdownFinished);
    }
}

/// The address as Go shows it, which listens on both families for `0.0.0.0`.
pub(super) fn shown(address: SocketAddr) -> String {
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
    if version.minor() >= 8 {
        format!("{} controller={}", Quoted(text), Quoted(name))
    } else {
        format!("{text} for {name}")
    }
}
