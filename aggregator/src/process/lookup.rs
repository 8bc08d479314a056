//! The cluster's authentication configuration, read at start-up: fatal the
//! first time, only logged the second.

use http::Method;
use tokio::time::sleep;

use super::{Failure, Process};
use crate::auth::configuration::{CONFIG_MAP_PATH, ConfigMap, Configuration};
use crate::environment::Event;
use crate::transport::rest::{ApiServer, Call, JSON};
use crate::transport::status::RestError;

impl Process {
    /// Reads the ConfigMap before anything else is asked of the API server.
    /// There is no time-out of its own, and SIGTERM does not interrupt it.
    ///
    /// Source: lib: apiserver `pkg/server/options/authentication.go: ApplyTo,
    /// createRequestHeaderConfig`.
    pub(super) async fn look_up(
        &self,
        api: &ApiServer,
        configuration: &Configuration,
    ) -> Result<(), Failure> {
        if !configuration.needs_lookup() {
            return Ok(());
        }
        match self.read_configuration(api, configuration).await {
            Ok(found) => {
                self.environment
                    .observer
                    .event(Event::AuthenticationConfigLoaded { found });
                Ok(())
            }
            Err(error) if self.options.authentication.tolerate_lookup_failure => {
                for text in [
                    format!("Error looking up in-cluster authentication configuration: {error}"),
                    "Continuing without authentication configuration. This may treat all requests as anonymous."
                        .to_owned(),
                    "To require authentication configuration lookup to succeed, set \
                     --authentication-tolerate-lookup-failure=false"
                        .to_owned(),
                ] {
                    self.log.warning("authentication.go:370", text);
                }
                Ok(())
            }
            Err(error) => Err(Failure::Error(format!(
                "unable to load configmap based request-header-client-ca-file: {error}"
            ))),
        }
    }

    /// Reads the ConfigMap again while the handlers are installed.
    ///
    /// Source: lib: apiserver `pkg/server/secure_serving.go: tlsConfig`.
    pub(super) async fn prepare_serving(&self, api: &ApiServer, configuration: &Configuration) {
        let again = async {
            if configuration.needs_lookup()
                && let Err(error) = self.read_configuration(api, configuration).await
            {
                self.log.warning(
                    "secure_serving.go:69",
                    format!("Initial population of client CA failed: {error}"),
                );
            }
        };
        futures_util::future::join(sleep(self.environment.start_cost.serve), again).await;
    }

    /// Takes over the ConfigMap; false if there is none.
    ///
    /// Source: lib: apiserver `pkg/authentication/request/headerrequest/
    /// requestheader_controller.go: RunOnce`.
    async fn read_configuration(
        &self,
        api: &ApiServer,
        configuration: &Configuration,
    ) -> Result<bool, String> {
        let call = Call {
            method: Method::GET,
            path: CONFIG_MAP_PATH,
            accept: JSON,
            subject: "configmaps extension-apiserver-authentication",
            body: None,
            timeout: None,
        };
        let body = match api.call(&call).await {
            Ok(body) => body,
            Err(error) if error.is_status(404) => return Ok(false),
            Err(error) => {
                self.hint_at_role_binding(&error);
                return Err(error.to_string());
            }
        };
        let config_map: ConfigMap =
            serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        configuration.update(&config_map.data.unwrap_or_default())?;
        Ok(true)
    }

    fn hint_at_role_binding(&self, error: &RestError) {
        if error.is_status(403) {
            self.log.warning(
                "requestheader_controller.go:204",
                "Unable to get configmap/extension-apiserver-authentication in kube-system.  Usually fixed by 'kubectl \
                 create rolebinding -n kube-system ROLEBINDING_NAME --role=extension-apiserver-authentication-reader \
                 --serviceaccount=YOUR_NS:YOUR_SA'",
            );
        }
    }
}
