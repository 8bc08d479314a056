//! The metric families of `/metrics/resource`: names, types and help.
//!
//! Source: pkg/kubelet/metrics/collectors/resource_metrics.go
//! (Kubernetes 1.36).

/// What a kubelet writes when it cannot read usage at all. The status is 200.
pub const SCRAPE_ERROR: &str = "\
# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise
# TYPE resource_scrape_error gauge
resource_scrape_error 1
";

pub(super) const NO_SCRAPE_ERROR: &str = "\
# HELP resource_scrape_error [STABLE] 1 if there was an error while getting container metrics, 0 otherwise
# TYPE resource_scrape_error gauge
resource_scrape_error 0
";

/// A metric family: its name, and the lines that introduce it.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) head: &'static str,
}

macro_rules! family {
    ($name:literal, $kind:literal, $help:literal) => {
        Family {
            name: $name,
            head: concat!(
                "# HELP ",
                $name,
                " ",
                $help,
                "\n# TYPE ",
                $name,
                " ",
                $kind,
                "\n"
            ),
        }
    };
}

pub(super) const CONTAINER_CPU: Family = family!(
    "container_cpu_usage_seconds_total",
    "counter",
    "[STABLE] Cumulative cpu time consumed by the container in core-seconds"
);
pub(super) const CONTAINER_MEMORY: Family = family!(
    "container_memory_working_set_bytes",
    "gauge",
    "[STABLE] Current working set of the container in bytes"
);
pub(super) const CONTAINER_START: Family = family!(
    "container_start_time_seconds",
    "gauge",
    "[STABLE] Start time of the container since unix epoch in seconds"
);
pub(super) const CONTAINER_SWAP: Family = family!(
    "container_swap_usage_bytes",
    "gauge",
    "[ALPHA] Current amount of the container swap usage in bytes. \
     Reported only on non-windows systems"
);
pub(super) const NODE_CPU: Family = family!(
    "node_cpu_usage_seconds_total",
    "counter",
    "[STABLE] Cumulative cpu time consumed by the node in core-seconds"
);
pub(super) const NODE_MEMORY: Family = family!(
    "node_memory_working_set_bytes",
    "gauge",
    "[STABLE] Current working set of the node in bytes"
);
pub(super) const NODE_SWAP: Family = family!(
    "node_swap_usage_bytes",
    "gauge",
    "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems"
);
pub(super) const POD_CPU: Family = family!(
    "pod_cpu_usage_seconds_total",
    "counter",
    "[STABLE] Cumulative cpu time consumed by the pod in core-seconds"
);
pub(super) const POD_MEMORY: Family = family!(
    "pod_memory_working_set_bytes",
    "gauge",
    "[STABLE] Current working set of the pod in bytes"
);
pub(super) const POD_SWAP: Family = family!(
    "pod_swap_usage_bytes",
    "gauge",
    "[ALPHA] Current amount of the pod swap usage in bytes. \
     Reported only on non-windows systems"
);
