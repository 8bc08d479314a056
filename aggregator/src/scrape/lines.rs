//! What a tick logs.

use seam::Timestamp;

use super::Scraper;
use crate::informer::Node;
use crate::klog::Quoted;
use crate::kubelet::ScrapeError;
use crate::options::duration::GoDuration;
use crate::sample::Duplicate;
use crate::store::{StoreNote, StoreReport};

impl Scraper {
    /// Logs that a node was not scraped; up to 0.4 that waits for the others,
    /// and the text for then is returned.
    ///
    /// Source: `pkg/scraper/scraper.go: (*scraper).Scrape`; 0.3
    /// `pkg/sources/manager.go, summary/summary.go`.
    pub(super) fn log_failure(&self, node: &Node, error: &ScrapeError) -> Option<String> {
        let name = Quoted(&node.name);
        let err = Quoted(&error.text);
        match self.version.minor() {
            ..=3 => {
                let source = format!("source kubelet_summary:{}", node.name);
                let kubelet = match &error.address {
                    Some(address) => format!("Kubelet {} ({address})", node.name),
                    None => format!("Kubelet {}", node.name),
                };
                return Some(format!(
                    "unable to fully scrape metrics from {source}: unable to fetch metrics from {kubelet}: {}",
                    error.text
                ));
            }
            4 => {
                return Some(format!(
                    "unable to fully scrape metrics from node {0}: unable to fetch metrics from node {0}: {1}",
                    node.name, error.text
                ));
            }
            _ => {}
        }
        if self.version.quiet_on_not_ready_nodes() && !node.ready {
            self.log.verbose(4, "scraper.go:148", || {
                format!("\"Failed to scrape node, node is not ready\" node={name} err={err}")
            });
        } else if error.deadline_exceeded && self.version.tells_time_outs_apart() {
            let timeout = GoDuration::from(self.effective_timeout());
            self.log.error(
                "scraper.go:147",
                format!("\"Failed to scrape node, timeout to access kubelet\" err={err} node={name} timeout=\"{timeout}\""),
            );
        } else {
            self.log.error(
                "scraper.go:149",
                format!("\"Failed to scrape node\" err={err} node={name}"),
            );
        }
        None
    }

    /// Logs all failures of a tick as one.
    ///
    /// Source: lib: apimachinery `pkg/util/errors/errors.go: aggregate.Error`.
    pub(super) fn log_collected(&self, failures: &[String]) {
        let all = match failures {
            [] => return,
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        if self.version.minor() <= 3 {
            let message = format!("unable to fully collect metrics: {all}");
            self.log.error("manager.go:111", message);
        } else {
            let message = format!("unable to fully scrape metrics: {all}");
            self.log.error("server.go:132", message);
        }
    }

    pub(super) fn log_duplicate(&self, duplicate: &Duplicate) {
        let message = match duplicate {
            Duplicate::Node(node) => format!("\"Got duplicate node point\" node={}", Quoted(node)),
            Duplicate::Pod(pod) => {
                format!(
                    "\"Got duplicate pod point\" pod={}",
                    Quoted(&format!("{}/{}", pod.namespace, pod.name))
                )
            }
        };
        self.log.error("scraper.go:166", message);
    }

    pub(super) fn log_notes(&self, report: &StoreReport) {
        for note in &report.notes {
            let (file, values) = match note {
                StoreNote::NodeOlderThanPrevious {
                    node,
                    previous,
                    timestamp,
                } => (
                    "node.go:115",
                    format!(
                        "node={} previousTimestamp=\"{}\" timestamp=\"{}\"",
                        Quoted(node),
                        go_time(*previous),
                        go_time(*timestamp)
                    ),
                ),
                StoreNote::ContainerOlderThanPrevious {
                    container,
                    pod,
                    previous,
                    timestamp,
                } => (
                    "pod.go:141",
                    format!(
                        "containerName={} pod={} previousTimestamp=\"{}\" timestamp=\"{}\"",
                        Quoted(container),
                        Quoted(&format!("{}/{}", pod.namespace, pod.name)),
                        go_time(*previous),
                        go_time(*timestamp)
                    ),
                ),
                StoreNote::ReadinessChanged { nodes, pods } => (
                    "storage.go:83",
                    format!("nodeMetrics={nodes} podMetrics={pods}"),
                ),
            };
            self.log.verbose(2, file, || {
                format!("{} {values}", Quoted(&note.to_string()))
            });
        }
    }
}

/// A time as Go's `Time.String` writes it, in UTC.
fn go_time(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())) {
        Ok(time) => {
            let text = time.to_string();
            format!("{} +0000 UTC", text.trim_end_matches('Z').replace('T', " "))
        }
        Err(_) => format!("{}ns", time.as_nanos()),
    }
}
