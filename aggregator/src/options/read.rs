//! Text → values, for text that parsing has checked.

use super::duration::GoDuration;
use super::flags::{Effect, FLAGS, Flag};
use super::parse::{Given, go_bool};
use super::{
    AuthenticationOptions, AuthorizationOptions, KubeletOptions, Options, ServerOptions,
    ServingOptions,
};

/// Reads values that parsing has checked already.
pub(super) struct Reader<'a>(pub(super) &'a Given);

impl Reader<'_> {
    pub(super) fn options(&self) -> Options {
        let unsupported = |flag: &&Flag| flag.effect == Effect::Unsupported && self.0.differs(flag);
        Options {
            metric_resolution: self.duration("metric-resolution"),
            kubeconfig: self.path("kubeconfig"),
            kubelet: self.kubelet(),
            serving: self.serving(),
            authentication: self.authentication(),
            authorization: self.authorization(),
            server: self.server(),
            verbosity: self.int("v"),
            logging_format: self.text("logging-format"),
            unsupported: FLAGS
                .iter()
                .filter(unsupported)
                .map(|flag| flag.name)
                .collect(),
        }
    }

    fn kubelet(&self) -> KubeletOptions {
        KubeletOptions {
            insecure_tls: self.bool("kubelet-insecure-tls"),
            use_node_status_port: self.bool("kubelet-use-node-status-port"),
            port: self.int("kubelet-port"),
            address_types: self.0.list("kubelet-preferred-address-types"),
            certificate_authority: self.text("kubelet-certificate-authority"),
            client_certificate: self.text("kubelet-client-certificate"),
            client_key: self.text("kubelet-client-key"),
            request_timeout: self.duration("kubelet-request-timeout"),
            node_selector: self.0.value("node-selector").trim().to_owned(),
            completely_insecure: self.bool("deprecated-kubelet-completely-insecure"),
        }
    }

    fn serving(&self) -> ServingOptions {
        let address = self.0.value("bind-address").trim();
        ServingOptions {
            bind_address: address
                .parse()
                .expect("parsing checked that it is an IP address"),
            secure_port: self.int("secure-port"),
            cert_dir: self.text("cert-dir"),
            tls_cert_file: self.text("tls-cert-file"),
            tls_private_key_file: self.text("tls-private-key-file"),
            tls_min_version: self.text("tls-min-version"),
            disable_http2: self.bool("disable-http2-serving"),
            http2_max_streams: self.int("http2-max-streams-per-connection"),
        }
    }

    fn authentication(&self) -> AuthenticationOptions {
        AuthenticationOptions {
            kubeconfig: self.path("authentication-kubeconfig"),
            skip_lookup: self.bool("authentication-skip-lookup"),
            tolerate_lookup_failure: self.bool("authentication-tolerate-lookup-failure"),
            token_cache_ttl: self.duration("authentication-token-webhook-cache-ttl"),
            client_ca_file: self.text("client-ca-file"),
            request_header_ca_file: self.text("requestheader-client-ca-file"),
            request_header_allowed_names: self.0.list("requestheader-allowed-names"),
            username_headers: self.0.list("requestheader-username-headers"),
            uid_headers: self.0.list("requestheader-uid-headers"),
            group_headers: self.0.list("requestheader-group-headers"),
            extra_header_prefixes: self.0.list("requestheader-extra-headers-prefix"),
        }
    }

    fn authorization(&self) -> AuthorizationOptions {
        AuthorizationOptions {
            kubeconfig: self.path("authorization-kubeconfig"),
            always_allow_paths: self.0.list("authorization-always-allow-paths"),
            allow_cache_ttl: self.duration("authorization-webhook-cache-authorized-ttl"),
            deny_cache_ttl: self.duration("authorization-webhook-cache-unauthorized-ttl"),
        }
    }

    fn server(&self) -> ServerOptions {
        ServerOptions {
            max_requests_in_flight: self.int("max-requests-inflight"),
            max_mutating_requests_in_flight: self.int("max-mutating-requests-inflight"),
            request_timeout: self.duration("request-timeout"),
            min_request_timeout: self.int("min-request-timeout"),
            livez_grace_period: self.duration("livez-grace-period"),
            shutdown_delay: self.duration("shutdown-delay-duration"),
            watch_termination_grace_period: self
                .duration("shutdown-watch-termination-grace-period"),
            storage_initialization_timeout: self.duration("storage-initialization-timeout"),
            goaway_chance: self
                .0
                .value("goaway-chance")
                .parse()
                .expect("parsing checked that it is a number"),
        }
    }

    fn text(&self, name: &str) -> String {
        self.0.value(name).to_owned()
    }

    fn path(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|path| !path.is_empty())
    }

    pub(super) fn bool(&self, name: &str) -> bool {
        go_bool(self.0.value(name)).expect("parsing checked that it is a truth value")
    }

    fn int(&self, name: &str) -> i64 {
        self.0
            .value(name)
            .parse()
            .expect("parsing checked that it is a whole number")
    }

    fn duration(&self, name: &str) -> GoDuration {
        GoDuration::parse(self.0.value(name)).expect("parsing checked that it is a duration")
    }
}
