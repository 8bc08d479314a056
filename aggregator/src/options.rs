//! The command line: every flag of the Go program, with its default, its
//! validation and its error texts.
//!
//! - [`duration`]: durations in Go's notation;
//! - `flags`: the table of flags;
//! - `parse`: pflag's syntax.

pub mod duration;
mod flags;
mod parse;

use std::net::IpAddr;

use crate::klog::Quoted;
use crate::version::{RequestTimeoutRule, Version};
use duration::GoDuration;
use flags::{Effect, FLAGS, Flag};
use parse::Given;

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

/// `--kubelet-request-timeout` exists from 0.7 on.
fn known_in(version: Version) -> impl Fn(&Flag) -> bool {
    move |flag| {
        flag.name != "kubelet-request-timeout"
            || matches!(version.request_timeout_rule(), RequestTimeoutRule::Flag { .. })
    }
}

/// The usage text: the full flag list.
#[must_use]
pub fn usage(version: Version) -> String {
    flags::usage(known_in(version))
}

/// Reads a command line without the program's name.
///
/// # Errors
///
/// pflag's text, such as `unknown flag: --nosuch`.
pub fn parse(args: &[String], version: Version) -> Result<Command, String> {
    let given = parse::parse(args, known_in(version))?;
    if given.help {
        return Ok(Command::Help);
    }
    let reader = Reader(&given);
    if reader.bool("version") {
        return Ok(Command::Version);
    }
    Ok(Command::Run(Box::new(reader.options())))
}

/// Reads values that parsing has checked already.
struct Reader<'a>(&'a Given);

impl Reader<'_> {
    fn options(&self) -> Options {
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
            unsupported: FLAGS.iter().filter(unsupported).map(|flag| flag.name).collect(),
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
            bind_address: address.parse().expect("parsing checked that it is an IP address"),
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
            watch_termination_grace_period: self.duration("shutdown-watch-termination-grace-period"),
            storage_initialization_timeout: self.duration("storage-initialization-timeout"),
            goaway_chance: self.0.value("goaway-chance").parse().expect("parsing checked that it is a number"),
        }
    }

    fn text(&self, name: &str) -> String {
        self.0.value(name).to_owned()
    }

    fn path(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|path| !path.is_empty())
    }

    fn bool(&self, name: &str) -> bool {
        parse::go_bool(self.0.value(name)).expect("parsing checked that it is a truth value")
    }

    fn int(&self, name: &str) -> i64 {
        self.0.value(name).parse().expect("parsing checked that it is a whole number")
    }

    fn duration(&self, name: &str) -> GoDuration {
        GoDuration::parse(self.0.value(name)).expect("parsing checked that it is a duration")
    }
}

impl Options {
    /// Everything wrong with the options, in the order in which it is found.
    /// Only the first one is ever told.
    ///
    /// Source: `cmd/metrics-server/app/options/options.go:
    /// (*Options).Validate`.
    #[must_use]
    pub fn validate(&self, version: Version) -> Vec<String> {
        let has_timeout_flag = matches!(version.request_timeout_rule(), RequestTimeoutRule::Flag { .. });
        let mut errors = self.kubelet.validate();
        if self.metric_resolution < GoDuration::from_seconds(10) {
            errors.push(format!(
                "metric-resolution should be a time duration at least 10s, but value {} provided",
                self.metric_resolution
            ));
        }
        let nine_tenths = i128::from(self.metric_resolution.as_nanos()) * 9 / 10;
        if has_timeout_flag && nine_tenths < i128::from(self.kubelet.request_timeout.as_nanos()) {
            errors.push(format!(
                "metric-resolution should be larger than kubelet-request-timeout, but metric-resolution value {} \
                 kubelet-request-timeout value {} provided",
                self.metric_resolution, self.kubelet.request_timeout
            ));
        }
        if self.logging_format != "text" {
            // DIFFERENCE: the Go program also writes JSON.
            errors.push(format!(
                "format: Invalid value: {}: Unsupported log format",
                Quoted(&self.logging_format)
            ));
        }
        errors.extend(self.server.validate());
        errors
    }
}

impl KubeletOptions {
    /// Source: `kubelet_client.go: (*KubeletClientOptions).Validate`.
    fn validate(&self) -> Vec<String> {
        let authority = !self.certificate_authority.is_empty();
        let key = !self.client_key.is_empty();
        let certificate = !self.client_certificate.is_empty();
        let both = |first: &str, second: &str| format!("cannot use both --{first} and --{second}");
        let insecure = "deprecated-kubelet-completely-insecure";
        let mut errors = Vec::new();
        if authority && self.insecure_tls {
            errors.push(both("kubelet-certificate-authority", "kubelet-insecure-tls"));
        }
        if key != certificate {
            errors.push("need both --kubelet-client-key and --kubelet-client-certificate".to_owned());
        }
        for (given, flag) in [
            (key, "kubelet-client-key"),
            (certificate, "kubelet-client-certificate"),
            (self.insecure_tls, "kubelet-insecure-tls"),
            (authority, "kubelet-certificate-authority"),
        ] {
            if given && self.completely_insecure {
                errors.push(both(flag, insecure));
            }
        }
        if self.request_timeout <= GoDuration::default() {
            errors.push("kubelet-request-timeout should be positive".to_owned());
        }
        errors
    }
}

impl ServerOptions {
    /// Source: lib: apiserver `pkg/server/options/server_run_options.go:
    /// (*ServerRunOptions).Validate`.
    fn validate(&self) -> Vec<String> {
        let zero = GoDuration::default();
        [
            (self.livez_grace_period < zero, "--livez-grace-period can not be a negative value"),
            (self.max_requests_in_flight < 0, "--max-requests-inflight can not be negative value"),
            (self.max_mutating_requests_in_flight < 0, "--max-mutating-requests-inflight can not be negative value"),
            (self.request_timeout < zero, "--request-timeout can not be negative value"),
            (!(0.0..=0.02).contains(&self.goaway_chance), "--goaway-chance can not be less than 0 or greater than 0.02"),
            (self.min_request_timeout < 0, "--min-request-timeout can not be negative value"),
            (self.storage_initialization_timeout < zero, "--storage-initialization-timeout can not be negative value"),
            (self.shutdown_delay < zero, "--shutdown-delay-duration can not be negative value"),
            (
                self.watch_termination_grace_period < zero,
                "shutdown-watch-termination-grace-period, if provided, can not be a negative value",
            ),
        ]
        .into_iter()
        .filter(|(wrong, _)| *wrong)
        .map(|(_, text)| text.to_owned())
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args, Version::V0_8)
    }

    fn options(line: &str) -> Options {
        match read(line) {
            Ok(Command::Run(options)) => *options,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// The number of errors and the first of them.
    fn check(line: &str, count: usize, first: &str) {
        let errors = options(line).validate(Version::V0_8);
        assert_eq!(errors.len(), count, "{line}: {errors:?}");
        assert_eq!(errors.first().map_or("", String::as_str), first, "{line}");
    }

    #[test]
    fn syntax_errors_have_pflags_texts() {
        let fails = |line: &str, error: &str| assert_eq!(read(line), Err(error.to_owned()), "{line}");
        fails("--nosuch", "unknown flag: --nosuch");
        fails("--nosuch=1", "unknown flag: --nosuch");
        fails(
            "--metric-resolution=abc",
            r#"invalid argument "abc" for "--metric-resolution" flag: time: invalid duration "abc""#,
        );
        fails("--metric-resolution", "flag needs an argument: --metric-resolution");
        fails(
            "--kubelet-port=x",
            r#"invalid argument "x" for "--kubelet-port" flag: strconv.ParseInt: parsing "x": invalid syntax"#,
        );
        fails(
            "--kubelet-insecure-tls=maybe",
            r#"invalid argument "maybe" for "--kubelet-insecure-tls" flag: strconv.ParseBool: parsing "maybe": invalid syntax"#,
        );
        fails("-v=x", r#"invalid argument "x" for "-v, --v" flag: strconv.ParseInt: parsing "x": invalid syntax"#);
        fails("-metric-resolution=15s", "unknown shorthand flag: 'm' in -metric-resolution=15s");
        fails("-l", "flag needs an argument: 'l' in -l");
        fails("---x", "bad flag syntax: ---x");
    }

    #[test]
    fn values_are_read_with_and_without_equals_sign_and_the_last_one_wins() {
        let given = options("--metric-resolution 20s --metric-resolution=15s -v 2 -l a=b --kubelet-insecure-tls");
        assert_eq!(given.metric_resolution, GoDuration::from_seconds(15));
        assert_eq!(given.verbosity, 2);
        assert_eq!(given.kubelet.node_selector, "a=b");
        assert!(given.kubelet.insecure_tls);
    }

    #[test]
    fn a_list_replaces_its_default_and_then_grows() {
        let paths = |line: &str| options(line).authorization.always_allow_paths;
        assert_eq!(paths(""), ["/healthz", "/readyz", "/livez"]);
        assert_eq!(paths("--authorization-always-allow-paths=/metrics"), ["/metrics"]);
        assert_eq!(
            paths("--authorization-always-allow-paths=/a,/b --authorization-always-allow-paths=/c"),
            ["/a", "/b", "/c"]
        );
    }

    #[test]
    fn help_and_version_come_before_validation() {
        assert_eq!(read("--metric-resolution=1s --help"), Ok(Command::Help));
        assert_eq!(read("-h"), Ok(Command::Help));
        assert_eq!(read("--metric-resolution=1s --version"), Ok(Command::Version));
    }

    /// Source: `kubelet_client_test.go: TestValidate`, `options_test.go:
    /// TestOptions_validate`.
    #[test]
    fn validation_finds_what_upstreams_tests_expect() {
        let need = "need both --kubelet-client-key and --kubelet-client-certificate";
        check("", 0, "");
        check(
            "--kubelet-insecure-tls --kubelet-certificate-authority=a",
            1,
            "cannot use both --kubelet-certificate-authority and --kubelet-insecure-tls",
        );
        check(
            "--deprecated-kubelet-completely-insecure --kubelet-certificate-authority=a",
            1,
            "cannot use both --kubelet-certificate-authority and --deprecated-kubelet-completely-insecure",
        );
        check("--kubelet-client-key=a --kubelet-client-certificate=b", 0, "");
        check("--kubelet-client-certificate=b --deprecated-kubelet-completely-insecure", 2, need);
        check("--kubelet-client-key=b --deprecated-kubelet-completely-insecure", 2, need);
        check(
            "--kubelet-insecure-tls --deprecated-kubelet-completely-insecure",
            1,
            "cannot use both --kubelet-insecure-tls and --deprecated-kubelet-completely-insecure",
        );
        check("--kubelet-client-certificate=b", 1, need);
        check("--kubelet-client-key=b", 1, need);
        check("--kubelet-request-timeout=1s", 0, "");
        check("--kubelet-request-timeout=0s", 1, "kubelet-request-timeout should be positive");
        check("--kubelet-request-timeout=-10s", 1, "kubelet-request-timeout should be positive");
        check("--metric-resolution=10s --kubelet-request-timeout=9s", 0, "");
    }

    /// Source: recordings E17b and E17c.
    #[test]
    fn the_resolution_must_leave_room_for_the_time_out() {
        check(
            "--metric-resolution=15s --kubelet-request-timeout=14s",
            1,
            "metric-resolution should be larger than kubelet-request-timeout, but metric-resolution value 15s \
             kubelet-request-timeout value 14s provided",
        );
        check(
            "--metric-resolution=5s",
            2,
            "metric-resolution should be a time duration at least 10s, but value 5s provided",
        );
        check("--metric-resolution=11s", 1, "metric-resolution should be larger than kubelet-request-timeout, but metric-resolution value 11s kubelet-request-timeout value 10s provided");
        check("--metric-resolution=11.112s", 0, "");
    }

    #[test]
    fn generic_server_options_are_validated_last() {
        check("--max-requests-inflight=-1", 1, "--max-requests-inflight can not be negative value");
        check("--goaway-chance=0.5", 1, "--goaway-chance can not be less than 0 or greater than 0.02");
        check(
            "--logging-format=foo --request-timeout=-1s",
            2,
            "format: Invalid value: \"foo\": Unsupported log format",
        );
    }

    #[test]
    fn the_request_time_out_is_no_flag_before_0_7() {
        let args = ["--kubelet-request-timeout=5s".to_owned()];
        assert_eq!(parse(&args, Version::V0_6), Err("unknown flag: --kubelet-request-timeout".to_owned()));
        assert!(!usage(Version::V0_6).contains("--kubelet-request-timeout"));
        assert!(usage(Version::V0_7).contains("--kubelet-request-timeout"));
    }

    #[test]
    fn flags_without_effect_here_are_told_apart() {
        assert!(options("--profiling=false --audit-log-maxage=1").unsupported.is_empty());
        assert_eq!(options("--goaway-chance=0.01").unsupported, ["goaway-chance"]);
    }
}
