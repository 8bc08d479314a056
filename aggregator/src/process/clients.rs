//! Whom the process talks to: API servers and kubelets.

use std::rc::Rc;

use super::{Failure, Process};
use crate::auth::configuration::Configuration;
use crate::environment::{ClusterConfig, Environment};
use crate::kubelet::KubeletClient;
use crate::transport::error::errno_text;
use crate::transport::rest::ApiServer;
use crate::version::Version;

/// The API servers that the process talks to; one and the same unless flags
/// say otherwise.
pub(super) struct Clients {
    pub(super) authentication: Rc<ApiServer>,
    pub(super) authorization: Rc<ApiServer>,
    pub(super) lister: Rc<ApiServer>,
    /// How `lister` is reached, which goes for kubelets too.
    pub(super) lister_config: ClusterConfig,
}

impl Process {
    pub(super) fn configuration(&self) -> Result<Rc<Configuration>, Failure> {
        let host = &self.environment.host;
        let read = |path: &str| {
            host.files()
                .read(path)
                .map_err(|error| format!("open {path}: {}", errno_text(&error)))
        };
        Ok(Configuration::from_flags(
            &self.options.authentication,
            &self.tls,
            read,
        )?)
    }

    pub(super) fn authentication_client(&self) -> Result<Rc<ApiServer>, Failure> {
        let kubeconfig = self.options.authentication.kubeconfig.as_deref();
        self.client(kubeconfig, "authentication")
    }

    fn client(&self, kubeconfig: Option<&str>, purpose: &str) -> Result<Rc<ApiServer>, Failure> {
        let config = self.environment.cluster.load(kubeconfig).map_err(|error| {
            let failed = format!("failed to get delegated {purpose} kubeconfig");
            format!("{failed}: {failed}: {error}")
        })?;
        Ok(self.api_server(&config)?)
    }

    fn api_server(&self, config: &ClusterConfig) -> Result<Rc<ApiServer>, String> {
        ApiServer::new(
            &self.environment.host,
            &self.tls,
            config,
            &user_agent(self.environment.version),
        )
    }

    /// The remaining API servers. Those that are reached alike share their
    /// connections, as client-go's do.
    pub(super) fn clients(&self, authentication: Rc<ApiServer>) -> Result<Clients, Failure> {
        let options = &self.options;
        let lister_config = self
            .environment
            .cluster
            .load(options.kubeconfig.as_deref())
            .map_err(|error| format!("unable to construct lister client config: {error}"))?;
        let authorization = if options.authorization.kubeconfig == options.authentication.kubeconfig
        {
            Rc::clone(&authentication)
        } else {
            self.client(options.authorization.kubeconfig.as_deref(), "authorization")?
        };
        let lister = if options.kubeconfig == options.authentication.kubeconfig {
            Rc::clone(&authentication)
        } else {
            self.api_server(&lister_config)?
        };
        Ok(Clients {
            authentication,
            authorization,
            lister,
            lister_config,
        })
    }

    pub(super) fn kubelets(&self, cluster: &ClusterConfig) -> Result<KubeletClient, Failure> {
        let Environment { host, version, .. } = &self.environment;
        let client = KubeletClient::new(
            host,
            &self.tls,
            cluster,
            &self.options.kubelet,
            *version,
            &user_agent(*version),
            self.log.clone(),
        );
        client.map_err(|error| {
            Failure::Error(format!(
                "unable to construct a client to connect to the kubelets: {error}"
            ))
        })
    }
}

/// DIFFERENCE: the Go program's ends in `kubernetes/` and its commit.
fn user_agent(version: Version) -> String {
    let own = env!("CARGO_PKG_VERSION");
    format!(
        "metrics-server/{} (linux/amd64) firstlight/{own}",
        version.git_version()
    )
}
