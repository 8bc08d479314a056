//! What is logged about incomplete answers.

use seam::Timestamp;

use super::KubeletClient;
use crate::decode::{Incomplete, Partial};
use crate::klog::Quoted;
use crate::summary::{Missing, Skipped};

impl KubeletClient {
    /// What a summary lacks.
    ///
    /// DIFFERENCE: 0.3 puts it into the one line of the tick.
    ///
    /// Source: 0.5 `pkg/scraper/client/summary/decode.go`; 0.4
    /// `pkg/scraper/decode.go`; 0.3 `pkg/sources/summary/summary.go`.
    pub(super) fn log_skipped(&self, node: &str, address: &str, skipped: &Skipped) {
        let missing = skipped.missing;
        match self.version.minor() {
            ..=3 => self
                .log
                .error("manager.go:111", old_line(node, address, skipped)),
            4 => self.log.verbose(1, "decode.go:58", || {
                let what = match missing {
                    Missing::Timestamp => "metric",
                    Missing::Memory | Missing::MemoryZero => "Memory metric",
                    Missing::CpuRate | Missing::CpuCounter | Missing::CpuZero => "CPU metric",
                };
                match &skipped.container {
                    None => format!("Skip {what} for node {}, error {missing}", Quoted(node)),
                    Some((pod, container)) => format!(
                        "Skip {what} for container {} in pod {pod}, error: {missing}",
                        Quoted(container)
                    ),
                }
            }),
            _ => self.log.verbose(1, "decode.go:61", || {
                let (kind, subject) = match &skipped.container {
                    None => ("node", format!("node={}", Quoted(node))),
                    Some((pod, container)) => (
                        "container",
                        format!(
                            "containerName={} pod={}",
                            Quoted(container),
                            Quoted(&pod.to_string())
                        ),
                    ),
                };
                let what = match missing {
                    Missing::Timestamp => {
                        return format!("\"Failed getting {kind} metric timestamp\" {subject}");
                    }
                    Missing::Memory | Missing::MemoryZero => "memory",
                    Missing::CpuRate | Missing::CpuCounter | Missing::CpuZero => "CPU",
                };
                format!(
                    "\"Skipped {kind} {what} metric\" {subject} err={}",
                    Quoted(&missing.to_string())
                )
            }),
        }
    }

    /// What an exposition lacks.
    ///
    /// Source: `pkg/scraper/client/resource/decode.go`.
    pub(super) fn log_incomplete(&self, incomplete: &Incomplete<'_>) {
        match incomplete {
            Incomplete::Node { node, found } => self.log.verbose(1, "decode.go:148", || {
                format!(
                    "\"Failed getting complete node metric\" node={} metric={}",
                    Quoted(node),
                    point_json(found)
                )
            }),
            Incomplete::Pod {
                pod,
                container,
                found,
            } => {
                self.log.verbose(1, "decode.go:195", || {
                    format!(
                        "\"Failed getting complete container metric\" containerName={} containerMetric={}",
                        Quoted(container),
                        point_json(found)
                    )
                });
                self.log.verbose(1, "decode.go:163", || {
                    format!("\"Failed getting complete Pod metric\" pod={}", Quoted(pod))
                });
            }
        }
    }
}

fn old_line(node: &str, address: &str, skipped: &Skipped) -> String {
    let subject = match &skipped.container {
        None => format!("node {}", Quoted(address)),
        Some((pod, container)) => format!(
            "container {} in pod {pod} on node {}",
            Quoted(container),
            Quoted(address)
        ),
    };
    let problem = match skipped.missing {
        Missing::Timestamp => format!(
            "unable to get a valid timestamp for metric point for {subject}, discarding data: {}",
            skipped.missing
        ),
        Missing::Memory | Missing::MemoryZero => {
            format!(
                "unable to get memory for {subject}, discarding data: missing memory usage metric"
            )
        }
        Missing::CpuRate | Missing::CpuCounter | Missing::CpuZero => {
            format!("unable to get CPU for {subject}, discarding data: missing cpu usage metric")
        }
    };
    format!(
        "unable to fully collect metrics: unable to fully scrape metrics from source \
         kubelet_summary:{node}: {problem}"
    )
}

/// A point as klog prints the Go structure.
fn point_json(point: &Partial) -> String {
    format!(
        "{{\"StartTime\":\"{}\",\"Timestamp\":\"{}\",\"CumulativeCPUUsed\":{},\"MemoryUsage\":{}}}",
        go_time(point.start),
        go_time(point.timestamp),
        point.cumulative_cpu_ns,
        point.memory_bytes
    )
}

fn go_time(time: Option<Timestamp>) -> String {
    let time =
        time.and_then(|time| jiff::Timestamp::from_nanosecond(i128::from(time.as_nanos())).ok());
    time.map_or_else(
        || "0001-01-01T00:00:00Z".to_owned(),
        |time| time.to_string(),
    )
}
