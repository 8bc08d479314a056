//! Every flag: name, type, default, and whether it does anything here.

use std::fmt::Write as _;

use crate::version::Version;

/// A flag's type, as pflag names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Duration,
    Float,
    Int,
    Ip,
    String,
    Strings,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bool => "",
            Self::Duration => "duration",
            Self::Float => "float",
            Self::Int => "int",
            Self::Ip => "ip",
            Self::String => "string",
            Self::Strings => "strings",
        }
    }
}

/// What becomes of a flag's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It does what it does in the Go program.
    Applied,
    /// Accepted and without effect, as in the Go program, or because it tunes
    /// something that an extension API server with two read-only resources
    /// never does: store objects, watch, change.
    Inert,
    /// DIFFERENCE: it has an effect in the Go program and none here. A value
    /// other than the default is answered by a warning.
    Unsupported,
}

/// One flag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) shorthand: Option<char>,
    pub(super) kind: Kind,
    default: &'static str,
    pub(super) effect: Effect,
    /// The minors of the first and the last release line that have it.
    minors: (u8, u8),
    /// The release between these that does not.
    lost_in: Option<Version>,
    section: &'static str,
    help: &'static str,
}

const fn flag(
    section: &'static str,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    effect: Effect,
    help: &'static str,
) -> Flag {
    Flag {
        name,
        shorthand: None,
        kind,
        default,
        effect,
        minors: (0, u8::MAX),
        lost_in: None,
        section,
        help,
    }
}

/// Not before 0.`minor`.
const fn since(minor: u8, flag: Flag) -> Flag {
    Flag {
        minors: (minor, u8::MAX),
        ..flag
    }
}

/// Not after 0.`minor`.
const fn until(minor: u8, flag: Flag) -> Flag {
    Flag {
        minors: (0, minor),
        ..flag
    }
}

/// One of klog's own, which 0.6.0 lost by mistake and 0.7.0 for good.
///
/// Source: release notes of metrics-server v0.6.1; `k8s.io/component-base`
/// 1.26.
const fn klog(flag: Flag) -> Flag {
    Flag {
        lost_in: Some(Version::FIRST_0_6),
        ..until(6, flag)
    }
}

impl Flag {
    /// Whether a release has it.
    pub(super) fn exists_in(&self, version: Version) -> bool {
        let is_there = self.minors.0 <= version.minor() && version.minor() <= self.minors.1;
        is_there && self.lost_in != Some(version)
    }

    /// Its default in a release.
    pub(super) fn default_in(&self, version: Version) -> &'static str {
        match self.name {
            ALWAYS_ALLOW_PATHS => version.always_allowed_paths(),
            _ => self.default,
        }
    }
}

/// The one flag whose default differs between releases.
const ALWAYS_ALLOW_PATHS: &str = "authorization-always-allow-paths";

const fn short(letter: char, flag: Flag) -> Flag {
    Flag {
        shorthand: Some(letter),
        ..flag
    }
}

use Effect::{Applied, Inert, Unsupported};
use Kind::{Bool, Duration, Float, Int, Ip, String as Text, Strings};

const METRICS_SERVER: &str = "Metrics server";
const KUBELET: &str = "Kubelet client";
const SERVING: &str = "Apiserver secure serving";
const AUTHENTICATION: &str = "Apiserver authentication";
const AUTHORIZATION: &str = "Apiserver authorization";
const AUDIT: &str = "Apiserver audit log";
const FEATURES: &str = "Features";
const LOGGING: &str = "Logging";
const SERVER: &str = "Server";

/// One row per flag, which rustfmt would make eight lines of.
///
/// Source: `docs/command-line-flags.txt`; those until 0.5 are klog's of that
/// time.
#[rustfmt::skip]
pub(super) const FLAGS: &[Flag] = &[
    flag(METRICS_SERVER, "kubeconfig", Text, "", Applied, "Kubeconfig of the API server to watch; in-cluster configuration if empty."),
    flag(METRICS_SERVER, "metric-resolution", Duration, "1m0s", Applied, "Time between scrapes; at least 10s."),
    flag(METRICS_SERVER, "version", Bool, "false", Applied, "Print the version and exit."),
    flag(KUBELET, "deprecated-kubelet-completely-insecure", Bool, "false", Applied, "Speak plain HTTP to kubelets, without credentials."),
    flag(KUBELET, "kubelet-certificate-authority", Text, "", Applied, "Authorities that sign kubelets' serving certificates."),
    since(4, flag(KUBELET, "kubelet-client-certificate", Text, "", Applied, "Client certificate to present to kubelets.")),
    since(4, flag(KUBELET, "kubelet-client-key", Text, "", Applied, "Key of the client certificate.")),
    flag(KUBELET, "kubelet-insecure-tls", Bool, "false", Applied, "Do not verify kubelets' serving certificates."),
    flag(KUBELET, "kubelet-port", Int, "10250", Applied, "Port of the kubelets."),
    flag(KUBELET, "kubelet-preferred-address-types", Strings, "Hostname,InternalDNS,InternalIP,ExternalDNS,ExternalIP", Applied, "Types of node address to use, the first that a node has."),
    since(7, flag(KUBELET, "kubelet-request-timeout", Duration, "10s", Applied, "Time that a kubelet may take to answer.")),
    since(4, flag(KUBELET, "kubelet-use-node-status-port", Bool, "false", Applied, "Use the port in the node's status, if it has one.")),
    since(7, short('l', flag(KUBELET, "node-selector", Text, "", Applied, "Label selector of the nodes to scrape."))),
    flag(SERVING, "bind-address", Ip, "0.0.0.0", Applied, "Address to serve on."),
    flag(SERVING, "cert-dir", Text, "apiserver.local.config/certificates", Applied, "Where the serving certificate is, or is put if generated."),
    flag(SERVING, "disable-http2-serving", Bool, "false", Applied, "Serve HTTP/1.1 only."),
    flag(SERVING, "http2-max-streams-per-connection", Int, "0", Applied, "Streams that a client may open in one HTTP/2 connection; 100 if 0."),
    flag(SERVING, "permit-address-sharing", Bool, "false", Unsupported, "Bind with SO_REUSEADDR."),
    flag(SERVING, "permit-port-sharing", Bool, "false", Unsupported, "Bind with SO_REUSEPORT."),
    flag(SERVING, "secure-port", Int, "443", Applied, "Port to serve HTTPS on."),
    flag(SERVING, "tls-cert-file", Text, "", Applied, "Serving certificate, followed by its intermediates."),
    flag(SERVING, "tls-cipher-suites", Strings, "", Unsupported, "Cipher suites to offer."),
    flag(SERVING, "tls-curve-preferences", Strings, "", Unsupported, "Key exchanges to offer."),
    flag(SERVING, "tls-min-version", Text, "", Applied, "Lowest TLS version: VersionTLS12 or VersionTLS13."),
    flag(SERVING, "tls-private-key-file", Text, "", Applied, "Key of the serving certificate."),
    flag(SERVING, "tls-sni-cert-key", Strings, "", Unsupported, "Further certificates by server name."),
    flag(AUTHENTICATION, "authentication-kubeconfig", Text, "", Applied, "Kubeconfig of the API server that reviews tokens; in-cluster configuration if empty."),
    flag(AUTHENTICATION, "authentication-skip-lookup", Bool, "false", Applied, "Do not look for the cluster's authentication configuration."),
    flag(AUTHENTICATION, "authentication-token-webhook-cache-ttl", Duration, "10s", Applied, "Time to remember a reviewed token."),
    flag(AUTHENTICATION, "authentication-tolerate-lookup-failure", Bool, "false", Applied, "Start without the cluster's authentication configuration if it cannot be read."),
    flag(AUTHENTICATION, "client-ca-file", Text, "", Applied, "Authorities that sign client certificates."),
    flag(AUTHENTICATION, "requestheader-allowed-names", Strings, "", Applied, "Common names of the proxies whose headers are believed; any if empty."),
    flag(AUTHENTICATION, "requestheader-client-ca-file", Text, "", Applied, "Authorities that sign the proxies' certificates."),
    flag(AUTHENTICATION, "requestheader-extra-headers-prefix", Strings, "x-remote-extra-", Applied, "Prefixes of headers with further facts about a user."),
    flag(AUTHENTICATION, "requestheader-group-headers", Strings, "x-remote-group", Applied, "Headers with a user's groups."),
    flag(AUTHENTICATION, "requestheader-uid-headers", Strings, "", Applied, "Headers with a user's UID."),
    flag(AUTHENTICATION, "requestheader-username-headers", Strings, "x-remote-user", Applied, "Headers with a user's name."),
    flag(AUTHORIZATION, ALWAYS_ALLOW_PATHS, Strings, "/healthz,/readyz,/livez", Applied, "Paths that anyone may get."),
    flag(AUTHORIZATION, "authorization-kubeconfig", Text, "", Applied, "Kubeconfig of the API server that reviews access; in-cluster configuration if empty."),
    flag(AUTHORIZATION, "authorization-webhook-cache-authorized-ttl", Duration, "10s", Applied, "Time to remember that access was granted."),
    flag(AUTHORIZATION, "authorization-webhook-cache-unauthorized-ttl", Duration, "10s", Applied, "Time to remember that access was denied."),
    flag(AUDIT, "audit-log-batch-buffer-size", Int, "10000", Inert, "Events that may wait for the audit log."),
    flag(AUDIT, "audit-log-batch-max-size", Int, "1", Inert, "Events per batch of the audit log."),
    flag(AUDIT, "audit-log-batch-max-wait", Duration, "0s", Inert, "Time before an incomplete batch is written."),
    flag(AUDIT, "audit-log-batch-throttle-burst", Int, "0", Inert, "Batches that may be written at once."),
    flag(AUDIT, "audit-log-batch-throttle-enable", Bool, "false", Inert, "Limit the rate of batches."),
    flag(AUDIT, "audit-log-batch-throttle-qps", Float, "0", Inert, "Batches per second."),
    flag(AUDIT, "audit-log-compress", Bool, "false", Inert, "Compress rotated audit logs."),
    flag(AUDIT, "audit-log-format", Text, "json", Inert, "Format of the audit log."),
    flag(AUDIT, "audit-log-maxage", Int, "366", Inert, "Days to keep audit logs."),
    flag(AUDIT, "audit-log-maxbackup", Int, "100", Inert, "Audit logs to keep."),
    flag(AUDIT, "audit-log-maxsize", Int, "100", Inert, "Megabytes per audit log."),
    flag(AUDIT, "audit-log-mode", Text, "blocking", Inert, "Whether requests wait for the audit log."),
    flag(AUDIT, "audit-log-path", Text, "", Unsupported, "Where to write the audit log."),
    flag(AUDIT, "audit-log-truncate-enabled", Bool, "false", Inert, "Cut large audit events."),
    flag(AUDIT, "audit-log-truncate-max-batch-size", Int, "10485760", Inert, "Bytes per batch."),
    flag(AUDIT, "audit-log-truncate-max-event-size", Int, "102400", Inert, "Bytes per event."),
    flag(AUDIT, "audit-log-version", Text, "audit.k8s.io/v1", Inert, "API version of audit events."),
    flag(AUDIT, "audit-policy-file", Text, "", Unsupported, "What to audit."),
    flag(AUDIT, "audit-webhook-batch-buffer-size", Int, "10000", Inert, "Events that may wait for the audit webhook."),
    flag(AUDIT, "audit-webhook-batch-initial-backoff", Duration, "10s", Inert, "Wait before the first retry."),
    flag(AUDIT, "audit-webhook-batch-max-size", Int, "400", Inert, "Events per batch of the audit webhook."),
    flag(AUDIT, "audit-webhook-batch-max-wait", Duration, "30s", Inert, "Time before an incomplete batch is sent."),
    flag(AUDIT, "audit-webhook-batch-throttle-burst", Int, "15", Inert, "Batches that may be sent at once."),
    flag(AUDIT, "audit-webhook-batch-throttle-enable", Bool, "true", Inert, "Limit the rate of batches."),
    flag(AUDIT, "audit-webhook-batch-throttle-qps", Float, "10", Inert, "Batches per second."),
    flag(AUDIT, "audit-webhook-config-file", Text, "", Unsupported, "Kubeconfig of the audit webhook."),
    flag(AUDIT, "audit-webhook-initial-backoff", Duration, "10s", Inert, "Wait before the first retry."),
    flag(AUDIT, "audit-webhook-mode", Text, "batch", Inert, "Whether requests wait for the audit webhook."),
    flag(AUDIT, "audit-webhook-truncate-enabled", Bool, "false", Inert, "Cut large audit events."),
    flag(AUDIT, "audit-webhook-truncate-max-batch-size", Int, "10485760", Inert, "Bytes per batch."),
    flag(AUDIT, "audit-webhook-truncate-max-event-size", Int, "102400", Inert, "Bytes per event."),
    flag(AUDIT, "audit-webhook-version", Text, "audit.k8s.io/v1", Inert, "API version of audit events."),
    flag(FEATURES, "contention-profiling", Bool, "false", Inert, "No effect."),
    flag(FEATURES, "debug-socket-path", Text, "", Inert, "No effect."),
    flag(FEATURES, "enable-priority-and-fairness", Bool, "true", Inert, "No effect."),
    flag(FEATURES, "profiling", Bool, "true", Inert, "No effect."),
    klog(flag(LOGGING, "add_dir_header", Bool, "false", Inert, "Name the directory of the source file in log lines.")),
    klog(flag(LOGGING, "alsologtostderr", Bool, "false", Inert, "Log to standard error as well as to files.")),
    klog(flag(LOGGING, "log_backtrace_at", Text, ":0", Inert, "Source line that logs a stack trace.")),
    klog(flag(LOGGING, "log_dir", Text, "", Unsupported, "Directory of log files.")),
    klog(flag(LOGGING, "log_file", Text, "", Unsupported, "Log file.")),
    klog(flag(LOGGING, "log_file_max_size", Int, "1800", Inert, "Megabytes per log file.")),
    klog(flag(LOGGING, "logtostderr", Bool, "true", Inert, "Log to standard error instead of files.")),
    klog(flag(LOGGING, "skip_headers", Bool, "false", Unsupported, "Log messages without their heads.")),
    klog(flag(LOGGING, "skip_log_headers", Bool, "false", Inert, "Begin log files without a head.")),
    klog(flag(LOGGING, "stderrthreshold", Text, "2", Inert, "Severity from which on lines go to standard error besides files.")),
    flag(LOGGING, "log-flush-frequency", Duration, "5s", Inert, "Time between log flushes."),
    flag(LOGGING, "log-json-info-buffer-size", Text, "0", Inert, "Bytes of JSON log to hold back."),
    flag(LOGGING, "log-json-split-stream", Bool, "false", Inert, "Write JSON errors to standard error and the rest to standard output."),
    flag(LOGGING, "log-text-info-buffer-size", Text, "0", Inert, "Bytes of text log to hold back."),
    flag(LOGGING, "log-text-split-stream", Bool, "false", Unsupported, "Write errors to standard error and the rest to standard output."),
    flag(LOGGING, "logging-format", Text, "text", Applied, "Format of the log: text."),
    short('v', flag(LOGGING, "v", Int, "0", Applied, "Verbosity of the log.")),
    flag(LOGGING, "vmodule", Strings, "", Unsupported, "Verbosity by source file."),
    flag(SERVER, "advertise-address", Text, "", Inert, "Address on which others can reach this server."),
    flag(SERVER, "cors-allowed-origins", Strings, "", Unsupported, "Origins whose scripts may ask."),
    flag(SERVER, "emulated-version", Strings, "", Inert, "Version to behave like."),
    flag(SERVER, "emulation-forward-compatible", Bool, "false", Inert, "Serve newer APIs than the emulated version's."),
    flag(SERVER, "external-hostname", Text, "", Inert, "Name on which others can reach this server."),
    flag(SERVER, "feature-gates", Strings, "", Unsupported, "Features to switch on or off."),
    flag(SERVER, "goaway-chance", Float, "0", Unsupported, "Share of HTTP/2 connections to end at random."),
    flag(SERVER, "livez-grace-period", Duration, "0s", Inert, "Time that start-up may take before /livez fails."),
    flag(SERVER, "max-mutating-requests-inflight", Int, "200", Inert, "Changes to work on at a time."),
    flag(SERVER, "max-requests-inflight", Int, "400", Applied, "Requests to work on at a time; unlimited if 0."),
    flag(SERVER, "min-compatibility-version", Strings, "", Inert, "Oldest version to be compatible with."),
    flag(SERVER, "min-request-timeout", Int, "1800", Inert, "Shortest time-out of a watch, in seconds."),
    flag(SERVER, "request-timeout", Duration, "1m0s", Applied, "Time to work on a request."),
    flag(SERVER, "runtime-config-emulation-forward-compatible", Bool, "false", Inert, "Serve newer APIs that are switched on by name."),
    flag(SERVER, "shutdown-delay-duration", Duration, "0s", Applied, "Time to go on serving after SIGTERM."),
    flag(SERVER, "shutdown-send-retry-after", Bool, "false", Unsupported, "Answer late requests by 429."),
    flag(SERVER, "shutdown-watch-termination-grace-period", Duration, "0s", Inert, "Time for watches to end after SIGTERM."),
    flag(SERVER, "storage-initialization-timeout", Duration, "1m0s", Inert, "Time that storage may take to become ready."),
    flag(SERVER, "strict-transport-security-directives", Strings, "", Unsupported, "Directives of the header Strict-Transport-Security."),
];

/// The full flag list, by section, as after an error.
///
/// DIFFERENCE: the layout is the original's, the sentences are our own.
///
/// Source: lib: component-base `cli/flag/sectioned.go: PrintSections`; pflag
/// `flag.go: FlagUsagesWrapped`.
pub(super) fn usage(version: Version) -> String {
    let known: Vec<&Flag> = FLAGS
        .iter()
        .filter(|flag| flag.exists_in(version))
        .collect();
    let mut text = String::from("Usage:\n   [flags]\n");
    for section in known.chunk_by(|a, b| a.section == b.section) {
        let _ = write!(text, "\n{} flags:\n\n", section[0].section);
        let names: Vec<String> = section.iter().map(|flag| usage_name(flag)).collect();
        let width = names.iter().map(String::len).max().unwrap_or(0) + 3;
        for (flag, name) in section.iter().zip(names) {
            let default = shown_default(flag.kind, flag.default_in(version));
            let _ = writeln!(text, "{name:<width$}{}{default}", flag.help);
        }
    }
    text
}

fn usage_name(flag: &Flag) -> String {
    let name = match flag.shorthand {
        Some(letter) => format!("  -{letter}, --{} {}", flag.name, flag.kind.name()),
        None => format!("      --{} {}", flag.name, flag.kind.name()),
    };
    name.trim_end().to_owned()
}

fn shown_default(kind: Kind, default: &str) -> String {
    match (kind, default) {
        (_, "" | "0" | "0s" | "false") => String::new(),
        (Text, default) => format!(" (default {default:?})"),
        (Strings, default) => format!(" (default [{default}])"),
        (_, default) => format!(" (default {default})"),
    }
}
