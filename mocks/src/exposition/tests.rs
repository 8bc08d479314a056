use super::*;
use crate::load::{Container, Pod};

fn container(name: &str, started_ns: i64) -> Container {
    Container {
        name: name.to_owned(),
        started_ns,
        cpu_nanocores: 1,
        memory_bytes: 1,
    }
}

fn pod(namespace: &str, name: &str, containers: Vec<Container>) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        containers,
    }
}

fn load() -> Load {
    Load {
        cpu_nanocores: 0,
        memory_bytes: 0,
        up_for: std::time::Duration::ZERO,
        pods: vec![
            pod(
                "kube-system",
                "metrics-server-x",
                vec![container("metrics-server", 123_456_000)],
            ),
            pod(
                "default",
                "web-0",
                vec![container("web", 0), container("log", 5)],
            ),
        ],
    }
}

/// Distinct values in exposition order: log, metrics-server, web; then the
/// pods; then the node.
fn samples() -> Samples {
    let sample = |cpu_ns, memory_bytes, time_ms| {
        Some(Sample {
            cpu_ns,
            memory_bytes,
            time_ms,
            marks: Marks::NONE,
        })
    };
    Samples {
        containers: vec![
            sample(512_345_000, 13_107_000, 1_760_000_000_123),
            sample(1_000_000_000, 999_999, 1_760_000_000_123),
            sample(0, 1_000_000, 1_759_999_990_001),
        ],
        pods: vec![
            sample(512_345_001, 14_107_000, 1_760_000_000_123),
            sample(1_000_000_000_000_001, 4096, 1_760_000_000_123),
        ],
        node: sample(123_456_789_012_345, 8_589_934_592, 1_760_000_000_456),
    }
}

fn render(samples: &Samples, include: Include) -> String {
    let exposition = Exposition::new(&load(), |container| {
        1_760_000_000_000_000_000 + container.started_ns
    });
    let mut out = Vec::new();
    exposition.render(samples, include, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_small_node() {
    insta::assert_snapshot!(render(&samples(), Include::ALL));
}

#[test]
fn what_does_not_run_has_no_lines() {
    let mut samples = samples();
    samples.containers[1] = None;
    samples.pods[1] = None;
    let text = render(&samples, Include::ALL);
    assert!(!text.contains("metrics-server"), "{text}");
    assert_eq!(text.matches("container=\"web\"").count(), 4);
}

#[test]
fn a_family_without_samples_is_not_introduced() {
    let text = render(
        &samples(),
        Include {
            node: false,
            container_cpu: false,
            ..Include::ALL
        },
    );
    assert!(!text.contains("node_"));
    assert!(!text.contains("container_cpu"));
    assert!(text.contains("# TYPE container_memory_working_set_bytes gauge"));
}

#[test]
fn without_timestamps_a_line_ends_with_its_value() {
    let include = Include {
        timestamps: false,
        ..Include::ALL
    };
    let text = render(&samples(), include);
    assert!(
        text.contains("\nnode_memory_working_set_bytes 8.589934592e+09\n"),
        "{text}"
    );
}

#[test]
fn twice_repeats_the_sample_and_not_the_head() {
    let text = render(
        &samples(),
        Include {
            twice: true,
            ..Include::ALL
        },
    );
    assert_eq!(text.matches("\nnode_cpu_usage_seconds_total ").count(), 2);
    assert_eq!(
        text.matches("# TYPE node_cpu_usage_seconds_total").count(),
        1
    );
}

#[test]
fn label_values_are_escaped() {
    let mut load = load();
    load.pods[0].name = "a\"b\\c\nd".to_owned();
    let exposition = Exposition::new(&load, |_| 1);
    let text = String::from_utf8(exposition.labels).unwrap();
    assert!(text.contains(r#"pod="a\"b\\c\nd"} "#), "{text}");
}

#[test]
fn a_start_before_1970_is_omitted() {
    let exposition = Exposition::new(&load(), |container| container.started_ns);
    let mut out = Vec::new();
    exposition.render(&samples(), Include::ALL, &mut out);
    let text = String::from_utf8(out).unwrap();
    // Two of three are positive; that of `web` is zero.
    assert_eq!(text.matches("\ncontainer_start_time_seconds{").count(), 2);
    assert!(text.contains("container_start_time_seconds{container=\"log\",namespace=\"default\",pod=\"web-0\"} 5e-09\n"));
}
