//! What differs between releases, as a value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A metrics-server minor release line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.5.x
    V0_5,
    /// 0.6.x
    V0_6,
    /// 0.7.x
    V0_7,
    /// 0.8.x
    V0_8,
    /// 0.9.x
    V0_9,
}

/// When the storage counts as ready.
///
/// Source: `pkg/storage/storage.go: (*storage).Ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadinessRule {
    /// Some node or some pod has two samples: up to 0.8.
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

impl Version {
    /// Every release line, oldest first.
    pub const ALL: [Self; 5] = [Self::V0_5, Self::V0_6, Self::V0_7, Self::V0_8, Self::V0_9];

    /// When the storage counts as ready.
    #[must_use]
    pub const fn readiness(self) -> ReadinessRule {
        match self {
            Self::V0_9 => ReadinessRule::NodesAndPods,
            _ => ReadinessRule::AnySubject,
        }
    }

    /// How long one kubelet may take to answer.
    #[must_use]
    pub const fn request_timeout_rule(self) -> RequestTimeoutRule {
        match self {
            Self::V0_5 | Self::V0_6 => RequestTimeoutRule::NineTenthsOfResolution,
            _ => RequestTimeoutRule::Flag {
                default: Duration::from_secs(10),
            },
        }
    }

    /// How the informers get their first state.
    ///
    /// Source: client-go 0.35 made the streaming list the default.
    #[must_use]
    pub const fn list_style(self) -> ListStyle {
        match self {
            Self::V0_9 => ListStyle::WatchList,
            _ => ListStyle::ListWatch,
        }
    }

    /// Whether a failed scrape of a node that is not Ready is kept out of the
    /// log at default verbosity.
    ///
    /// Source: `pkg/scraper/scraper.go: (*scraper).Scrape, nodeIsReady`.
    #[must_use]
    pub const fn quiet_on_not_ready_nodes(self) -> bool {
        matches!(self, Self::V0_9)
    }

    /// Whether the storage logs changes of its readiness, at verbosity 2.
    ///
    /// Source: `pkg/storage/storage.go: (*storage).logReadinessChange`.
    #[must_use]
    pub const fn logs_readiness_changes(self) -> bool {
        matches!(self, Self::V0_9)
    }

    /// The latest release of the line, as its own version strings have it.
    #[must_use]
    pub const fn git_version(self) -> &'static str {
        match self {
            Self::V0_5 => "v0.5.2",
            Self::V0_6 => "v0.6.4",
            Self::V0_7 => "v0.7.2",
            Self::V0_8 => "v0.8.1",
            Self::V0_9 => "v0.9.0",
        }
    }

    /// The kubelet's endpoint that is scraped.
    ///
    /// DIFFERENCE: 0.5 reads the same numbers from `/stats/summary`, as JSON;
    /// here every release reads the exposition.
    #[must_use]
    pub const fn scrape_path(self) -> &'static str {
        "/metrics/resource"
    }
}

impl fmt::Display for Version {
    /// `0.8`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_5 => "0.5",
            Self::V0_6 => "0.6",
            Self::V0_7 => "0.7",
            Self::V0_8 => "0.8",
            Self::V0_9 => "0.9",
        })
    }
}

/// A version that is not one of the release lines known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown metrics-server version {0:?}: known are 0.5, 0.6, 0.7, 0.8 and 0.9")]
pub struct UnknownVersion(String);

impl FromStr for Version {
    type Err = UnknownVersion;

    /// Accepts `0.8`, `v0.8`, `0.8.1` and `v0.8.1`.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let number = text.strip_prefix('v').unwrap_or(text);
        let mut parts = number.splitn(3, '.');
        let line = (parts.next(), parts.next());
        let patch_is_number = parts
            .next()
            .is_none_or(|patch| patch.parse::<u32>().is_ok());
        Self::ALL
            .into_iter()
            .find(|version| {
                let known = version.to_string();
                patch_is_number && line == (known.split('.').next(), known.split('.').nth(1))
            })
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_with_or_without_patch_and_v() {
        for text in ["0.8", "v0.8", "0.8.0", "v0.8.1"] {
            assert_eq!(text.parse(), Ok(Version::V0_8), "{text}");
        }
        for text in ["", "8", "0.10", "1.8", "0.8.x", "0.8.1.2", "vv0.8"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_line_reads_its_own_names() {
        for version in Version::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
            assert_eq!(version.git_version().parse(), Ok(version));
        }
    }
}
