//! The server's own `/metrics`.
//!
//! DIFFERENCE: the original's answer begins with the series of its libraries
//! (`go_*`, `apiserver_*`, …), which have nothing to count here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use seam::Timestamp;

use crate::store::Points;

/// `Content-Type` of `/metrics`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// Bounds of a duration's histogram, in seconds.
///
/// Source: component-base `metrics.DefBuckets`.
const DEFAULT_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// metrics-server's own series.
#[derive(Debug, Clone)]
pub struct Registry {
    tick_duration: Histogram,
    request_duration: BTreeMap<String, Histogram>,
    requests_failed: u64,
    requests_succeeded: u64,
    last_request: BTreeMap<String, i64>,
    freshness: Histogram,
    points: Option<Points>,
}

impl Registry {
    /// Empty series. `resolution` is `--metric-resolution`, on which the tick
    /// histogram's buckets depend.
    #[must_use]
    pub fn new(resolution: Duration) -> Self {
        Self {
            tick_duration: Histogram::new(tick_buckets(resolution)),
            request_duration: BTreeMap::new(),
            requests_failed: 0,
            requests_succeeded: 0,
            last_request: BTreeMap::new(),
            freshness: Histogram::new(freshness_buckets()),
            points: None,
        }
    }

    /// One tick, from its start to its result being stored.
    pub fn observe_tick(&mut self, duration: Duration) {
        self.tick_duration.observe(duration.as_secs_f64());
    }

    /// One request to a kubelet, parsing included, which ended at `end`.
    pub fn observe_kubelet_request(
        &mut self,
        node: &str,
        duration: Duration,
        success: bool,
        end: Timestamp,
    ) {
        let seconds = duration.as_secs_f64();
        if let Some(histogram) = self.request_duration.get_mut(node) {
            histogram.observe(seconds);
        } else {
            let mut histogram = Histogram::new(DEFAULT_BUCKETS.to_vec());
            histogram.observe(seconds);
            self.request_duration.insert(node.to_owned(), histogram);
        }
        if success {
            self.requests_succeeded += 1;
        } else {
            self.requests_failed += 1;
        }
        self.last_request.insert(node.to_owned(), end.as_seconds());
    }

    /// One item returned by the API; see [`crate::api::Note::Freshness`].
    pub fn observe_freshness(&mut self, seconds: f64) {
        self.freshness.observe(seconds);
    }

    /// What the store holds after a tick.
    pub fn set_points(&mut self, points: Points) {
        self.points = Some(points);
    }

    /// The exposition text: families by name, series by label value; a family
    /// without series is left out.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let freshness = "metrics_server_api_metric_freshness_seconds";
        header(
            &mut text,
            freshness,
            "histogram",
            "Freshness of metrics exported",
        );
        self.freshness.encode(&mut text, freshness, None);
        self.encode_kubelet(&mut text);
        let ticks = "metrics_server_manager_tick_duration_seconds";
        let help = "The total time spent collecting and storing metrics in seconds.";
        header(&mut text, ticks, "histogram", help);
        self.tick_duration.encode(&mut text, ticks, None);
        if let Some(points) = self.points {
            let name = "metrics_server_storage_points";
            header(&mut text, name, "gauge", "Number of metrics points stored.");
            for (kind, count) in [("container", points.containers), ("node", points.nodes)] {
                line(&mut text, name, &label("type", kind), &count.to_string());
            }
        }
        text
    }

    fn encode_kubelet(&self, text: &mut String) {
        if self.last_request.is_empty() {
            return;
        }
        let last = "metrics_server_kubelet_last_request_time_seconds";
        let help = "Time of last request performed to Kubelet API since unix epoch in seconds";
        header(text, last, "gauge", help);
        for (node, seconds) in &self.last_request {
            #[expect(clippy::cast_precision_loss, reason = "seconds stay below 2^53")]
            line(text, last, &label("node", node), &float(*seconds as f64));
        }
        let durations = "metrics_server_kubelet_request_duration_seconds";
        header(
            text,
            durations,
            "histogram",
            "Duration of requests to Kubelet API in seconds",
        );
        for (node, histogram) in &self.request_duration {
            histogram.encode(text, durations, Some(&label("node", node)));
        }
        let requests = "metrics_server_kubelet_request_total";
        header(
            text,
            requests,
            "counter",
            "Number of requests sent to Kubelet API",
        );
        for (success, count) in [
            ("false", self.requests_failed),
            ("true", self.requests_succeeded),
        ] {
            if count > 0 {
                line(
                    text,
                    requests,
                    &label("success", success),
                    &count.to_string(),
                );
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Histogram {
    bounds: Vec<f64>,
    /// Observations in each bucket alone; beyond the last bound they are only
    /// in `count`.
    buckets: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    fn new(bounds: Vec<f64>) -> Self {
        let buckets = vec![0; bounds.len()];
        Self {
            bounds,
            buckets,
            count: 0,
            sum: 0.0,
        }
    }

    fn observe(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
        self.sum += value;
    }

    fn encode(&self, text: &mut String, name: &str, labels: Option<&str>) {
        let bucket = format!("{name}_bucket");
        let prefix = labels
            .map(|labels| format!("{labels},"))
            .unwrap_or_default();
        let mut cumulative = 0;
        for (bound, count) in self.bounds.iter().zip(&self.buckets) {
            cumulative += count;
            let labels = format!("{prefix}le=\"{}\"", float(*bound));
            line(text, &bucket, &labels, &cumulative.to_string());
        }
        let count = self.count.to_string();
        line(text, &bucket, &format!("{prefix}le=\"+Inf\""), &count);
        let labels = labels.unwrap_or_default();
        line(text, &format!("{name}_sum"), labels, &float(self.sum));
        line(text, &format!("{name}_count"), labels, &count);
    }
}

/// Beyond the default bounds, those around the resolution.
///
/// Source: `pkg/utils/monitoring.go: BucketsForScrapeDuration`.
fn tick_buckets(resolution: Duration) -> Vec<f64> {
    let mut bounds = DEFAULT_BUCKETS.to_vec();
    let seconds = resolution.as_secs_f64();
    let largest = bounds[bounds.len() - 1];
    if seconds > largest {
        let half_way = largest + (seconds - largest) / 2.0;
        bounds.extend([half_way, seconds, seconds * 1.5, seconds * 2.0]);
    }
    bounds
}

/// Twenty bounds, each 1.364 times the one before.
///
/// Source: `pkg/api/monitoring.go`.
fn freshness_buckets() -> Vec<f64> {
    std::iter::successors(Some(1.0), |bound| Some(bound * 1.364))
        .take(20)
        .collect()
}

fn header(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(text, "# HELP {name} [ALPHA] {help}\n# TYPE {name} {kind}\n");
}

fn line(text: &mut String, name: &str, labels: &str, value: &str) {
    let _ = if labels.is_empty() {
        writeln!(text, "{name} {value}")
    } else {
        writeln!(text, "{name}{{{labels}}} {value}")
    };
}

fn label(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

/// A number as Go's `%g` with the fewest digits that read back.
///
/// Source: Go `strconv.FormatFloat(f, 'g', -1, 64)`.
fn float(value: f64) -> String {
    if !value.is_finite() {
        let infinite = if value > 0.0 { "+Inf" } else { "-Inf" };
        return if value.is_nan() { "NaN" } else { infinite }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("`{:e}` has an exponent");
    match exponent.parse::<i32>().expect("it is an integer") {
        -4..6 => format!("{value}"),
        exponent => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.005, "0.005"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (12.5, "12.5"),
            (364.311_630_459_368_64, "364.31163045936864"),
            (123_456.0, "123456"),
            (1_000_000.0, "1e+06"),
            (1_795_424_730.0, "1.79542473e+09"),
            (-62_135_596_800.0, "-6.21355968e+10"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    /// Source: `pkg/utils/monitoring_test.go`.
    #[test]
    fn tick_buckets_reach_twice_the_resolution() {
        let beyond = |seconds| tick_buckets(Duration::from_secs(seconds)).split_off(11);
        assert_eq!(beyond(15), [12.5, 15.0, 22.5, 30.0]);
        assert_eq!(beyond(60), [35.0, 60.0, 90.0, 120.0]);
        assert!(beyond(10).is_empty());
        assert!(beyond(5).is_empty());
    }

    /// Source: `pkg/api/node_test.go: TestNodeList_Monitoring`.
    #[test]
    fn freshness_is_counted_in_exponential_buckets() {
        let mut registry = Registry::new(Duration::from_secs(60));
        for _ in 0..3 {
            registry.observe_freshness(10.0);
        }
        let text = registry.encode();
        let name = "metrics_server_api_metric_freshness_seconds";
        for line in [
            format!("# HELP {name} [ALPHA] Freshness of metrics exported"),
            format!("{name}_bucket{{le=\"1.364\"}} 0"),
            format!("{name}_bucket{{le=\"11.981604021913647\"}} 3"),
            format!("{name}_bucket{{le=\"364.31163045936864\"}} 3"),
            format!("{name}_bucket{{le=\"+Inf\"}} 3"),
            format!("{name}_sum 30"),
            format!("{name}_count 3"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    /// Source: `pkg/scraper/scraper_test.go`, the case on metrics.
    #[test]
    fn kubelet_requests_are_counted_by_node_and_success() {
        let mut registry = Registry::new(Duration::from_secs(15));
        registry.observe_kubelet_request(
            "node1",
            Duration::from_secs(1),
            true,
            Timestamp::from_seconds(1_795_424_730),
        );
        let text = registry.encode();
        let name = "metrics_server_kubelet_request_duration_seconds";
        for line in [
            format!("{name}_bucket{{node=\"node1\",le=\"0.5\"}} 0"),
            format!("{name}_bucket{{node=\"node1\",le=\"1\"}} 1"),
            format!("{name}_sum{{node=\"node1\"}} 1"),
            format!("{name}_count{{node=\"node1\"}} 1"),
            "metrics_server_kubelet_request_total{success=\"true\"} 1".to_owned(),
            "metrics_server_kubelet_last_request_time_seconds{node=\"node1\"} 1.79542473e+09"
                .to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("success=\"false\""));
    }

    /// Source: `pkg/storage/node_test.go, pod_test.go`, the cases on the gauge.
    #[test]
    fn the_points_gauge_is_absent_before_the_first_batch() {
        let mut registry = Registry::new(Duration::from_secs(60));
        assert!(!registry.encode().contains("metrics_server_storage_points"));
        registry.set_points(Points {
            nodes: 1,
            containers: 2,
        });
        assert!(registry.encode().ends_with(
            "metrics_server_storage_points{type=\"container\"} 2\n\
             metrics_server_storage_points{type=\"node\"} 1\n"
        ));
    }
}
