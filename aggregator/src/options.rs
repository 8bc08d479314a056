//! The command line: every flag of the Go program, with its default, its
//! validation and its error texts.
//!
//! - [`duration`]: durations in Go's notation;
//! - `flags`: the table of flags;
//! - `parse`: pflag's syntax;
//! - `read`: text → values;
//! - `validate`: what is wrong with them.

pub mod duration;
mod flags;
mod parse;
mod read;
mod validate;

use std::net::IpAddr;

use crate::version::Version;
use duration::GoDuration;
use read::Reader;

/// The command line, read and typed, not yet validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// `--metric-resolution`
    pub metric_resolution: GoDuration,
    /// `--kubeconfig`; `None` is the in-cluster configuration.
    pub kubeconfig: Option<String>,
    /// How to reach kubelets.
    pub kubelet: KubeletOptions,
    /// Where and how to serve.
    pub serving: ServingOptions,
    /// Who is asking.
    pub authentication: AuthenticationOptions,
    /// What they may.
    pub authorization: AuthorizationOptions,
    /// The generic API server.
    pub server: ServerOptions,
    /// `-v`
    pub verbosity: i64,
    /// `--logging-format`
    pub logging_format: String,
    /// Flags given that have an effect in the Go program and none here.
    pub unsupported: Vec<&'static str>,
}

/// Source: `cmd/metrics-server/app/options/kubelet_client.go:
/// KubeletClientOptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletOptions {
    /// `--kubelet-insecure-tls`
    pub insecure_tls: bool,
    /// `--kubelet-use-node-status-port`
    pub use_node_status_port: bool,
    /// `--kubelet-port`
    pub port: i64,
    /// `--kubelet-preferred-address-types`
    pub address_types: Vec<String>,
    /// `--kubelet-certificate-authority`
    pub certificate_authority: String,
    /// `--kubelet-client-certificate`
    pub client_certificate: String,
    /// `--kubelet-client-key`
    pub client_key: String,
    /// `--kubelet-request-timeout`
    pub request_timeout: GoDuration,
    /// `--node-selector`, trimmed.
    pub node_selector: String,
    /// `--deprecated-kubelet-completely-insecure`
    pub completely_insecure: bool,
}

/// Source: lib: apiserver `pkg/server/options/serving.go`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingOptions {
    /// `--bind-address`
    pub bind_address: IpAddr,
    /// `--secure-port`
    pub secure_port: i64,
    /// `--cert-dir`
    pub cert_dir: String,
    /// `--tls-cert-file`
    pub tls_cert_file: String,
    /// `--tls-private-key-file`
    pub tls_private_key_file: String,
    /// `--tls-min-version`
    pub tls_min_version: String,
    /// `--disable-http2-serving`
    pub disable_http2: bool,
    /// `--http2-max-streams-per-connection`
    pub http2_max_streams: i64,
}

/// Source: lib: apiserver `pkg/server/options/authentication.go`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticationOptions {
    /// `--authentication-kubeconfig`
    pub kubeconfig: Option<String>,
    /// `--authentication-skip-lookup`
    pub skip_lookup: bool,
    /// `--authentication-tolerate-lookup-failure`
    pub tolerate_lookup_failure: bool,
    /// `--authentication-token-webhook-cache-ttl`
    pub token_cache_ttl: GoDuration,
    /// `--client-ca-file`
    pub client_ca_file: String,
    /// `--requestheader-client-ca-file`
    pub request_header_ca_file: String,
    /// `--requestheader-allowed-names`
    pub request_header_allowed_names: Vec<String>,
    /// `--requestheader-username-headers`
    pub username_headers: Vec<String>,
    /// `--requestheader-uid-headers`
    pub uid_headers: Vec<String>,
    /// `--requestheader-group-headers`
    pub group_headers: Vec<String>,
    /// `--requestheader-extra-headers-prefix`
    pub extra_header_prefixes: Vec<String>,
}

/// Source: lib: apiserver `pkg/server/options/authorization.go`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationOptions {
    /// `--authorization-kubeconfig`
    pub kubeconfig: Option<String>,
    /// `--authorization-always-allow-paths`
    pub always_allow_paths: Vec<String>,
    /// `--authorization-webhook-cache-authorized-ttl`
    pub allow_cache_ttl: GoDuration,
    /// `--authorization-webhook-cache-unauthorized-ttl`
    pub deny_cache_ttl: GoDuration,
}

/// Source: lib: apiserver `pkg/server/options/server_run_options.go`.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerOptions {
    /// `--max-requests-inflight`
    pub max_requests_in_flight: i64,
    /// `--max-mutating-requests-inflight`; validated, otherwise without effect.
    pub max_mutating_requests_in_flight: i64,
    /// `--request-timeout`
    pub request_timeout: GoDuration,
    /// `--min-request-timeout`; validated, otherwise without effect.
    pub min_request_timeout: i64,
    /// `--livez-grace-period`; validated, otherwise without effect.
    pub livez_grace_period: GoDuration,
    /// `--shutdown-delay-duration`
    pub shutdown_delay: GoDuration,
    /// `--shutdown-watch-termination-grace-period`; validated, otherwise
    /// without effect.
    pub watch_termination_grace_period: GoDuration,
    /// `--storage-initialization-timeout`; validated, otherwise without
    /// effect.
    pub storage_initialization_timeout: GoDuration,
    /// `--goaway-chance`; validated, otherwise without effect.
    pub goaway_chance: f64,
}

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// To run.
    Run(Box<Options>),
    /// `--help`
    Help,
    /// `--version`
    Version,
}

/// The usage text: the full flag list.
#[must_use]
pub fn usage(version: Version) -> String {
    flags::usage(version)
}

/// Whether a release has the flag `name`, which has no dashes.
#[must_use]
pub fn knows(name: &str, version: Version) -> bool {
    let mut flags = flags::FLAGS.iter();
    flags.any(|flag| flag.name == name && flag.exists_in(version))
}

/// Reads a command line without the program's name.
///
/// # Errors
///
/// pflag's text, such as `unknown flag: --nosuch`.
pub fn parse(args: &[String], version: Version) -> Result<Command, String> {
    let given = parse::parse(args, version)?;
    if given.help {
        return Ok(Command::Help);
    }
    let reader = Reader(&given);
    if reader.bool("version") {
        return Ok(Command::Version);
    }
    Ok(Command::Run(Box::new(reader.options())))
}
