//! What is wrong with the values of a command line that can be read.

use super::duration::GoDuration;
use super::{KubeletOptions, Options, ServerOptions};
use crate::klog::Quoted;
use crate::version::{RequestTimeoutRule, Version};

impl Options {
    /// Everything wrong with the options, in the order in which it is found.
    /// Only the first one is ever told.
    ///
    /// Source: `cmd/metrics-server/app/options/options.go:
    /// (*Options).Validate`.
    #[must_use]
    pub fn validate(&self, version: Version) -> Vec<String> {
        let has_timeout_flag = matches!(
            version.request_timeout_rule(),
            RequestTimeoutRule::Flag { .. }
        );
        let mut errors = self.kubelet.validate();
        match version.shortest_resolution() {
            Some(shortest) if self.metric_resolution < GoDuration::from(shortest) => {
                let flag = if version.minor() <= 5 {
                    "Metric-resolution"
                } else {
                    "metric-resolution"
                };
                errors.push(format!(
                    "{flag} should be a time duration at least 10s, but value {} provided",
                    self.metric_resolution
                ));
            }
            // Go's ticker panics.
            None if self.metric_resolution <= GoDuration::default() => {
                errors.push("non-positive interval for NewTicker".to_owned());
            }
            _ => {}
        }
        let nine_tenths = i128::from(self.metric_resolution.as_nanos()) * 9 / 10;
        if has_timeout_flag && nine_tenths < i128::from(self.kubelet.request_timeout.as_nanos()) {
            errors.push(format!(
                "metric-resolution should be larger than kubelet-request-timeout, but metric-resolution value {} \
                 kubelet-request-timeout value {} provided",
                self.metric_resolution, self.kubelet.request_timeout
            ));
        }
        // DIFFERENCE: with `json` the lines are still written as text.
        if !["text", "json"].contains(&&*self.logging_format) {
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
            errors.push(both(
                "kubelet-certificate-authority",
                "kubelet-insecure-tls",
            ));
        }
        if key != certificate {
            errors
                .push("need both --kubelet-client-key and --kubelet-client-certificate".to_owned());
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
            (
                self.livez_grace_period < zero,
                "--livez-grace-period can not be a negative value",
            ),
            (
                self.max_requests_in_flight < 0,
                "--max-requests-inflight can not be negative value",
            ),
            (
                self.max_mutating_requests_in_flight < 0,
                "--max-mutating-requests-inflight can not be negative value",
            ),
            (
                self.request_timeout < zero,
                "--request-timeout can not be negative value",
            ),
            (
                !(0.0..=0.02).contains(&self.goaway_chance),
                "--goaway-chance can not be less than 0 or greater than 0.02",
            ),
            (
                self.min_request_timeout < 0,
                "--min-request-timeout can not be negative value",
            ),
            (
                self.storage_initialization_timeout < zero,
                "--storage-initialization-timeout can not be negative value",
            ),
            (
                self.shutdown_delay < zero,
                "--shutdown-delay-duration can not be negative value",
            ),
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
    use super::super::{Command, parse, usage};
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
        let fails =
            |line: &str, error: &str| assert_eq!(read(line), Err(error.to_owned()), "{line}");
        fails("--nosuch", "unknown flag: --nosuch");
        fails("--nosuch=1", "unknown flag: --nosuch");
        fails(
            "--metric-resolution=abc",
            r#"invalid argument "abc" for "--metric-resolution" flag: time: invalid duration "abc""#,
        );
        fails(
            "--metric-resolution",
            "flag needs an argument: --metric-resolution",
        );
        fails(
            "--kubelet-port=x",
            r#"invalid argument "x" for "--kubelet-port" flag: strconv.ParseInt: parsing "x": invalid syntax"#,
        );
        fails(
            "--kubelet-insecure-tls=maybe",
            r#"invalid argument "maybe" for "--kubelet-insecure-tls" flag: strconv.ParseBool: parsing "maybe": invalid syntax"#,
        );
        fails(
            "-v=x",
            r#"invalid argument "x" for "-v, --v" flag: strconv.ParseInt: parsing "x": invalid syntax"#,
        );
        fails(
            "-metric-resolution=15s",
            "unknown shorthand flag: 'm' in -metric-resolution=15s",
        );
        fails("-l", "flag needs an argument: 'l' in -l");
        fails("---x", "bad flag syntax: ---x");
    }

    #[test]
    fn values_are_read_with_and_without_equals_sign_and_the_last_one_wins() {
        let given = options(
            "--metric-resolution 20s --metric-resolution=15s -v 2 -l a=b --kubelet-insecure-tls",
        );
        assert_eq!(given.metric_resolution, GoDuration::from_seconds(15));
        assert_eq!(given.verbosity, 2);
        assert_eq!(given.kubelet.node_selector, "a=b");
        assert!(given.kubelet.insecure_tls);
    }

    #[test]
    fn a_list_replaces_its_default_and_then_grows() {
        let paths = |line: &str| options(line).authorization.always_allow_paths;
        assert_eq!(paths(""), ["/healthz", "/readyz", "/livez"]);
        assert_eq!(
            paths("--authorization-always-allow-paths=/metrics"),
            ["/metrics"]
        );
        assert_eq!(
            paths("--authorization-always-allow-paths=/a,/b --authorization-always-allow-paths=/c"),
            ["/a", "/b", "/c"]
        );
    }

    #[test]
    fn help_and_version_come_before_validation() {
        assert_eq!(read("--metric-resolution=1s --help"), Ok(Command::Help));
        assert_eq!(read("-h"), Ok(Command::Help));
        assert_eq!(
            read("--metric-resolution=1s --version"),
            Ok(Command::Version)
        );
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
        check(
            "--kubelet-client-key=a --kubelet-client-certificate=b",
            0,
            "",
        );
        check(
            "--kubelet-client-certificate=b --deprecated-kubelet-completely-insecure",
            2,
            need,
        );
        check(
            "--kubelet-client-key=b --deprecated-kubelet-completely-insecure",
            2,
            need,
        );
        check(
            "--kubelet-insecure-tls --deprecated-kubelet-completely-insecure",
            1,
            "cannot use both --kubelet-insecure-tls and --deprecated-kubelet-completely-insecure",
        );
        check("--kubelet-client-certificate=b", 1, need);
        check("--kubelet-client-key=b", 1, need);
        check("--kubelet-request-timeout=1s", 0, "");
        check(
            "--kubelet-request-timeout=0s",
            1,
            "kubelet-request-timeout should be positive",
        );
        check(
            "--kubelet-request-timeout=-10s",
            1,
            "kubelet-request-timeout should be positive",
        );
        check(
            "--metric-resolution=10s --kubelet-request-timeout=9s",
            0,
            "",
        );
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
        check(
            "--metric-resolution=11s",
            1,
            "metric-resolution should be larger than kubelet-request-timeout, but metric-resolution value 11s kubelet-request-timeout value 10s provided",
        );
        check("--metric-resolution=11.112s", 0, "");
    }

    #[test]
    fn generic_server_options_are_validated_last() {
        check(
            "--max-requests-inflight=-1",
            1,
            "--max-requests-inflight can not be negative value",
        );
        check(
            "--goaway-chance=0.5",
            1,
            "--goaway-chance can not be less than 0 or greater than 0.02",
        );
        check(
            "--logging-format=foo --request-timeout=-1s",
            2,
            "format: Invalid value: \"foo\": Unsupported log format",
        );
    }

    #[test]
    fn the_request_time_out_is_no_flag_before_0_7() {
        let args = ["--kubelet-request-timeout=5s".to_owned()];
        assert_eq!(
            parse(&args, Version::V0_6),
            Err("unknown flag: --kubelet-request-timeout".to_owned())
        );
        assert!(!usage(Version::V0_6).contains("--kubelet-request-timeout"));
        assert!(usage(Version::V0_7).contains("--kubelet-request-timeout"));
    }

    #[test]
    fn releases_differ_in_flags_defaults_and_limits() {
        let of = |line: &str, version: &str| -> Result<Options, String> {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let version = version.parse().expect("a known release");
            match parse(&args, version)? {
                Command::Run(options) => match options.validate(version).into_iter().next() {
                    None => Ok(*options),
                    Some(error) => Err(error),
                },
                other => panic!("{line}: {other:?}"),
            }
        };
        let paths =
            |version| of("", version).map(|options| options.authorization.always_allow_paths);
        assert_eq!(paths("0.4.4"), Ok(vec!["/healthz".to_owned()]));
        assert_eq!(paths("0.5.0").map(|paths| paths.len()), Ok(3));
        assert!(of("--logtostderr --stderrthreshold=0", "0.3.6").is_ok());
        let unknown = |flag: &str| Err(format!("unknown flag: {flag}"));
        assert_eq!(of("--logtostderr", "0.6.0"), unknown("--logtostderr"));
        assert!(of("--logtostderr", "0.6.1").is_ok());
        assert_eq!(of("--logtostderr", "0.7.0"), unknown("--logtostderr"));
        let port = "--kubelet-use-node-status-port";
        assert_eq!(of(port, "0.3.7"), unknown(port));
        assert!(of(port, "0.4.0").is_ok());
        assert!(of("--logging-format=json", "0.8.1").is_ok());
        assert!(of("--metric-resolution=5s", "0.3.6").is_ok());
        assert_eq!(
            of("--metric-resolution=0s", "0.3.6"),
            Err("non-positive interval for NewTicker".to_owned())
        );
        assert_eq!(
            of("--metric-resolution=5s", "0.5.0"),
            Err(
                "Metric-resolution should be a time duration at least 10s, but value 5s provided"
                    .to_owned()
            )
        );
        assert!(of("--metric-resolution=10s", "0.6.4").is_ok());
    }

    #[test]
    fn flags_without_effect_here_are_told_apart() {
        assert!(
            options("--profiling=false --audit-log-maxage=1")
                .unsupported
                .is_empty()
        );
        assert_eq!(
            options("--goaway-chance=0.01").unsupported,
            ["goaway-chance"]
        );
    }
}
