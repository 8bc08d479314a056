//! What differs between releases, as a value.
//!
//! One code path serves every release; it asks a [`Version`] where they
//! differ. What is not asked about here is as in 0.8.
//!
//! Source: metrics-server at its tags; unless a method says otherwise
//! `pkg/server/server.go`, `pkg/storage/storage.go` and
//! `cmd/metrics-server/app/options`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A release of metrics-server: 0.`minor`.`patch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    minor: u8,
    patch: u8,
}

/// Each release line with its latest patch, oldest first.
const LINES: [(u8, u8); 7] = [(3, 7), (4, 5), (5, 2), (6, 4), (7, 2), (8, 1), (9, 0)];

/// When the storage counts as ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadinessRule {
    /// The last tick brought some node: up to 0.4.
    LastTick {
        /// What holds before the first tick has ended.
        before_the_first: bool,
    },
    /// Some node or some pod has two samples: 0.5 to 0.8.
    AnySubject,
    /// Some node and some pod have two samples: from 0.9.
    NodesAndPods,
}

/// How long one kubelet may take to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestTimeoutRule {
    /// Nine tenths of the resolution, counted from the start of the tick, so
    /// that a node's own stagger is taken off: up to 0.6.
    NineTenthsOfResolution,
    /// `--kubelet-request-timeout`, by default 10 s: from 0.7.
    Flag {
        /// The flag's default.
        default: Duration,
    },
}

/// How client-go's informers get their first state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListStyle {
    /// LIST, then WATCH from its resource version.
    ListWatch,
    /// One WATCH with `sendInitialEvents`; LIST only if that is refused.
    WatchList,
}

/// When the first tick is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstTick {
    /// When the informers have synced: from 0.3.2.
    AtOnce,
    /// One resolution later: 0.3.0 and 0.3.1.
    AfterResolution,
}

/// What kubelets are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KubeletEndpoint {
    /// `/stats/summary`, JSON: up to 0.5.
    Summary(SummaryRule),
    /// `/metrics/resource`, an exposition: from 0.6.
    Resource,
}

/// What is taken from a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SummaryRule {
    /// The rate that the kubelet worked out, zero included; one sample serves:
    /// up to 0.4.
    ///
    /// Source: `pkg/scraper/decode.go: decodeCPU, decodeMemory`.
    Rate,
    /// The cumulative counter, which a second sample makes a rate; zero is no
    /// value: 0.5.
    ///
    /// Source: `pkg/scraper/client/summary/decode.go`.
    Counter {
        /// Whether the node's own start time counts: only in 0.5.0, which
        /// takes a node for restarted if it began after the last sample.
        node_start: bool,
    },
}

/// Which probes there are, and what they look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeStyle {
    /// `/healthz` alone, which fails unless the last tick is recent and
    /// brought some node: 0.3.
    Healthz,
    /// `/livez` for ticks on time, `/readyz` for the last tick: 0.4.
    LastTick,
    /// `/livez` for ticks on time, `/readyz` for the storage: from 0.5.
    Storage,
}

impl Version {
    /// The last release of 0.3.
    pub const V0_3: Self = Self::new(3, 7);
    /// The last release of 0.4.
    pub const V0_4: Self = Self::new(4, 5);
    /// The last release of 0.5.
    pub const V0_5: Self = Self::new(5, 2);
    /// The last release of 0.6.
    pub const V0_6: Self = Self::new(6, 4);
    /// The last release of 0.7.
    pub const V0_7: Self = Self::new(7, 2);
    /// The last release of 0.8.
    pub const V0_8: Self = Self::new(8, 1);
    /// The last release of 0.9.
    pub const V0_9: Self = Self::new(9, 0);

    /// The first release of 0.6.
    pub(crate) const FIRST_0_6: Self = Self::new(6, 0);

    const fn new(minor: u8, patch: u8) -> Self {
        Self { minor, patch }
    }

    /// Every release, oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        LINES
            .into_iter()
            .flat_map(|(minor, latest)| (0..=latest).map(move |patch| Self { minor, patch }))
    }

    /// The second number of the release: 8 for 0.8.1.
    #[must_use]
    pub const fn minor(self) -> u8 {
        self.minor
    }

    /// When the storage counts as ready.
    ///
    /// Source: `(*storage).Ready`; up to 0.4 `(*server).tick`.
    #[must_use]
    pub const fn readiness(self) -> ReadinessRule {
        match self.minor {
            ..=3 => ReadinessRule::LastTick {
                before_the_first: false,
            },
            4 => ReadinessRule::LastTick {
                before_the_first: true,
            },
            5..=8 => ReadinessRule::AnySubject,
            _ => ReadinessRule::NodesAndPods,
        }
    }

    /// How long one kubelet may take to answer.
    #[must_use]
    pub const fn request_timeout_rule(self) -> RequestTimeoutRule {
        if self.minor <= 6 {
            RequestTimeoutRule::NineTenthsOfResolution
        } else {
            RequestTimeoutRule::Flag {
                default: Duration::from_secs(10),
            }
        }
    }

    /// How the informers get their first state.
    ///
    /// Source: client-go 0.35 made the streaming list the default.
    #[must_use]
    pub const fn list_style(self) -> ListStyle {
        if self.minor <= 8 {
            ListStyle::ListWatch
        } else {
            ListStyle::WatchList
        }
    }

    /// When the first tick is due.
    ///
    /// Source: `pkg/manager/manager.go: (*Manager).RunUntil`.
    #[must_use]
    pub const fn first_tick(self) -> FirstTick {
        if self.minor == 3 && self.patch < 2 {
            FirstTick::AfterResolution
        } else {
            FirstTick::AtOnce
        }
    }

    /// What kubelets are asked for.
    #[must_use]
    pub const fn kubelet_endpoint(self) -> KubeletEndpoint {
        match self.minor {
            ..=4 => KubeletEndpoint::Summary(SummaryRule::Rate),
            5 => KubeletEndpoint::Summary(SummaryRule::Counter {
                node_start: self.patch == 0,
            }),
            _ => KubeletEndpoint::Resource,
        }
    }

    /// Which probes there are.
    #[must_use]
    pub const fn probes(self) -> ProbeStyle {
        match self.minor {
            ..=3 => ProbeStyle::Healthz,
            4 => ProbeStyle::LastTick,
            _ => ProbeStyle::Storage,
        }
    }

    /// The path whose 200 says that metrics are served.
    #[must_use]
    pub const fn readiness_path(self) -> &'static str {
        match self.probes() {
            ProbeStyle::Healthz => "/healthz",
            ProbeStyle::LastTick | ProbeStyle::Storage => "/readyz",
        }
    }

    /// How long after its start a tick may be the latest one.
    ///
    /// Source: `(*server).probeMetricCollectionTimely`; 0.3
    /// `pkg/manager/manager.go: (*Manager).CheckHealth`.
    #[must_use]
    pub fn longest_tick(self, resolution: Duration) -> Duration {
        if self.minor <= 4 {
            resolution * 11 / 10
        } else {
            resolution * 3 / 2
        }
    }

    /// The paths that anyone may get unless a flag says otherwise.
    ///
    /// Source: lib: apiserver `pkg/server/options/authorization.go:
    /// NewDelegatingAuthorizationOptions`.
    #[must_use]
    pub const fn always_allowed_paths(self) -> &'static str {
        if self.minor <= 4 {
            "/healthz"
        } else {
            "/healthz,/readyz,/livez"
        }
    }

    /// The shortest resolution that is accepted.
    #[must_use]
    pub const fn shortest_resolution(self) -> Option<Duration> {
        if self.minor <= 4 {
            None
        } else {
            Some(Duration::from_secs(10))
        }
    }

    /// Whether a scrape that ran into its time-out is logged as such.
    ///
    /// Source: `pkg/scraper/scraper.go: (*scraper).Scrape`.
    #[must_use]
    pub const fn tells_time_outs_apart(self) -> bool {
        self.minor >= 7
    }

    /// Whether a failed scrape of a node that is not Ready is kept out of the
    /// log at default verbosity.
    ///
    /// Source: `pkg/scraper/scraper.go: (*scraper).Scrape, nodeIsReady`.
    #[must_use]
    pub const fn quiet_on_not_ready_nodes(self) -> bool {
        self.minor >= 9
    }

    /// Whether the storage logs changes of its readiness, at verbosity 2.
    ///
    /// Source: `pkg/storage/storage.go: (*storage).logReadinessChange`.
    #[must_use]
    pub const fn logs_readiness_changes(self) -> bool {
        self.minor >= 9
    }

    /// Whether an error of certificate verification begins with `tls: failed
    /// to verify certificate: `.
    ///
    /// Source: Go 1.20 `crypto/tls: CertificateVerificationError`.
    #[must_use]
    pub const fn names_failed_verification(self) -> bool {
        self.minor >= 7
    }

    /// Whether a client certificate that is not believed is named in the log, and
    /// the line is a structured one.
    ///
    /// Source: lib: apiserver 1.21 `pkg/endpoints/filters/authentication.go`,
    /// `pkg/authentication/request/x509/x509.go: certificateIdentifier`.
    #[must_use]
    pub const fn names_unverified_certificates(self) -> bool {
        self.minor >= 5
    }

    /// Whether equal errors of several ways to authenticate are told once.
    #[must_use]
    pub const fn says_errors_once(self) -> bool {
        self.minor >= 4
    }

    /// Why `/readyz` fails while the storage is not ready.
    #[must_use]
    pub const fn not_ready_text(self) -> &'static str {
        match self.minor {
            ..=3 => "there was an error collecting or saving metrics in the last collection tick",
            4 => "last tick wasn't healthy",
            5 => "not metrics to serve",
            _ => "no metrics to serve",
        }
    }

    /// The release as its own version strings have it: `v0.8.1`.
    #[must_use]
    pub fn git_version(self) -> String {
        format!("v{self}")
    }
}

impl fmt::Display for Version {
    /// `0.8.1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0.{}.{}", self.minor, self.patch)
    }
}

/// A text that names no release known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown metrics-server release {0:?}: known are {known}", known = known_lines())]
pub struct UnknownVersion(String);

/// `0.3 (0.3.0 to 0.3.7), …, 0.9 (0.9.0)`
#[must_use]
pub fn known_lines() -> String {
    let lines = LINES.iter().map(|(minor, latest)| match latest {
        0 => format!("0.{minor} (0.{minor}.0)"),
        _ => format!("0.{minor} (0.{minor}.0 to 0.{minor}.{latest})"),
    });
    lines.collect::<Vec<_>>().join(", ")
}

impl FromStr for Version {
    type Err = UnknownVersion;

    /// Accepts `0.8.1` and `v0.8.1`; `0.8` and `v0.8` are the latest release
    /// of that line.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let release = text.strip_prefix('v').unwrap_or(text);
        let line = LINES
            .into_iter()
            .map(|(minor, patch)| Self { minor, patch })
            .find(|latest| format!("0.{}", latest.minor) == release);
        line.or_else(|| Self::all().find(|known| known.to_string() == release))
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_version_is_read_with_or_without_patch_and_v() {
        for (text, expected) in [
            ("0.8", "0.8.1"),
            ("v0.8", "0.8.1"),
            ("0.8.0", "0.8.0"),
            ("v0.8.1", "0.8.1"),
            ("v0.3.6", "0.3.6"),
            ("0.9", "0.9.0"),
        ] {
            assert_eq!(version(text).to_string(), expected, "{text}");
        }
        for text in [
            "", "8", "0.10", "1.8", "0.8.x", "0.8.1.2", "vv0.8", "0.8.01", "0.2.1", "0.9.1",
        ] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_release_is_refused_with_those_that_are_known() {
        assert_eq!(
            "0.2.1".parse::<Version>().map_err(|e| e.to_string()),
            Err(
                "unknown metrics-server release \"0.2.1\": known are 0.3 (0.3.0 to 0.3.7), \
                 0.4 (0.4.0 to 0.4.5), 0.5 (0.5.0 to 0.5.2), 0.6 (0.6.0 to 0.6.4), \
                 0.7 (0.7.0 to 0.7.2), 0.8 (0.8.0 to 0.8.1), 0.9 (0.9.0)"
                    .to_owned()
            )
        );
    }

    #[test]
    fn every_release_reads_its_own_names_and_they_are_in_order() {
        let all: Vec<_> = Version::all().collect();
        assert!(all.is_sorted() && all.len() == 28, "{all:?}");
        for version in all {
            assert_eq!(version.to_string().parse(), Ok(version));
            assert_eq!(version.git_version().parse(), Ok(version));
        }
    }

    #[test]
    fn patch_releases_differ_where_their_behaviour_did() {
        let first = |text| version(text).first_tick();
        assert_eq!(first("0.3.1"), FirstTick::AfterResolution);
        assert_eq!(first("0.3.2"), FirstTick::AtOnce);
        assert_eq!(first("0.4.0"), FirstTick::AtOnce);
        let counter = |node_start| KubeletEndpoint::Summary(SummaryRule::Counter { node_start });
        assert_eq!(version("0.5.0").kubelet_endpoint(), counter(true));
        assert_eq!(version("0.5.1").kubelet_endpoint(), counter(false));
        assert_eq!(
            version("0.6.0").kubelet_endpoint(),
            KubeletEndpoint::Resource
        );
    }
}
