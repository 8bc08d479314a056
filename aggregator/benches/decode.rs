//! Decoding one kubelet's answer: 110 pods, as a full node has them.
//!
//! Throughput is in bytes of exposition. The allocation columns count whole
//! decodes; the benchmark `lines` has the number of lines to divide by.

#![allow(missing_docs, reason = "divan's macros generate undocumented items")]

use std::fmt::Write as _;

use aggregator::decode::decode;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use seam::Timestamp;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const REQUEST_TIME: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Twelve families, as Kubernetes 1.36 writes them: by name, and inside a
/// family by label values.
fn exposition(pods: u64) -> String {
    let mut text = String::new();
    let container = |text: &mut String, name: &str, kind: &str, value: &dyn Fn(u64) -> String| {
        header(text, name, kind);
        for pod in 0..pods {
            let (labels, value) = (container_labels(pod), value(pod));
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    };
    let of_pod = |text: &mut String, name: &str, kind: &str, value: &dyn Fn(u64) -> String| {
        header(text, name, kind);
        for pod in 0..pods {
            let (labels, value) = (pod_labels(pod), value(pod));
            let _ = writeln!(text, "{name}{{{labels}}} {value}");
        }
    };
    let cpu = |pod: u64| {
        format!(
            "{}.{:06} {}",
            pod * 37 + 1,
            pod * 7919 % 1_000_000,
            time(pod)
        )
    };
    let memory = |pod: u64| {
        format!(
            "{}.{:04}e+07 {}",
            1 + pod % 9,
            pod * 101 % 10_000,
            time(pod)
        )
    };
    let started = |pod: u64| format!("1.79999{:04}e+09", pod * 13 % 10_000);
    let zero = |pod: u64| format!("0 {}", time(pod));
    container(
        &mut text,
        "container_cpu_usage_seconds_total",
        "counter",
        &cpu,
    );
    container(
        &mut text,
        "container_memory_working_set_bytes",
        "gauge",
        &memory,
    );
    container(&mut text, "container_start_time_seconds", "gauge", &started);
    container(&mut text, "container_swap_usage_bytes", "gauge", &zero);
    for (name, kind, value) in [
        ("node_cpu_usage_seconds_total", "counter", "35735.491283"),
        ("node_memory_working_set_bytes", "gauge", "1.616273408e+09"),
        ("node_swap_usage_bytes", "gauge", "0"),
    ] {
        header(&mut text, name, kind);
        let _ = writeln!(text, "{name} {value} {}", time(0));
    }
    of_pod(&mut text, "pod_cpu_usage_seconds_total", "counter", &cpu);
    of_pod(&mut text, "pod_memory_working_set_bytes", "gauge", &memory);
    of_pod(&mut text, "pod_swap_usage_bytes", "gauge", &zero);
    text.push_str("# HELP resource_scrape_error [STABLE] 1 if there was an error\n");
    text.push_str("# TYPE resource_scrape_error gauge\nresource_scrape_error 0\n");
    text
}

fn header(text: &mut String, name: &str, kind: &str) {
    let _ = write!(
        text,
        "# HELP {name} [STABLE] Some words on what this is\n# TYPE {name} {kind}\n"
    );
}

/// Eleven container names with ten pods each: sorted by container first.
fn container_labels(pod: u64) -> String {
    let container = pod / 10;
    format!("container=\"workload-{container:02}\",{}", pod_labels(pod))
}

fn pod_labels(pod: u64) -> String {
    let (namespace, hash) = (pod % 10 / 2, pod * 7_368_787 % 0xff_ffff);
    format!(
        "namespace=\"team-{namespace}\",pod=\"workload-{:02}-6d4cf56db6-{hash:06x}\"",
        pod / 10
    )
}

fn time(pod: u64) -> u64 {
    1_799_999_990_000 + pod * 37 % 10_000
}

#[divan::bench]
fn pods_110(bencher: Bencher<'_, '_>) {
    let body = exposition(110);
    let batch = decode(body.as_bytes(), REQUEST_TIME, "node").expect("it is well-formed");
    assert_eq!((batch.nodes.len(), batch.pods.len()), (1, 110));
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| decode(black_box(body.as_bytes()), REQUEST_TIME, "node"));
}

/// The same body, counted in lines.
#[divan::bench]
fn lines(bencher: Bencher<'_, '_>) {
    let body = exposition(110);
    bencher
        .counter(ItemsCount::new(body.lines().count()))
        .bench(|| decode(black_box(body.as_bytes()), REQUEST_TIME, "node"));
}

/// Label blocks with a trailing comma: every line takes the general way.
#[divan::bench]
fn pods_110_unusual_labels(bencher: Bencher<'_, '_>) {
    let body = exposition(110).replace("\"}", "\",}");
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| decode(black_box(body.as_bytes()), REQUEST_TIME, "node"));
}
