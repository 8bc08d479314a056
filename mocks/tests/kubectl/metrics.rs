//! The metrics API through the aggregation layer, phase by phase.

use crate::Case;
use crate::cluster::Cluster;
use crate::kubectl::{Output, kubectl};
use crate::reading::wait_for_discovery;

pub(crate) const CASES: &[Case] = &[
    ("metrics_unavailable", unavailable),
    ("metrics_absent", absent),
    ("metrics_available", available),
    ("metrics_lost", lost),
];

const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
const API_SERVICE: &str = "v1beta1.metrics.k8s.io";

fn check(output: &Output, code: i32, err: &str) {
    assert_eq!((output.code, output.err.as_str()), (Some(code), err));
}

/// Waits until the availability controller has written a condition.
fn wait_for_reason(cluster: &Cluster, reason: &str) {
    let path = "jsonpath={.status.conditions[0].reason}";
    let found = kubectl(
        cluster,
        &[
            "wait",
            &format!("--for={path}={reason}"),
            &format!("apiservice/{API_SERVICE}"),
            "--timeout=30s",
        ],
    );
    assert_eq!(found.code, Some(0), "{found:?}");
}

/// Source: kubernetes reference, what clients get while no endpoint is ready.
fn unavailable() {
    let cluster = Cluster::start();
    wait_for_reason(&cluster, "MissingEndpoints");
    check(
        &kubectl(&cluster, &["top", "nodes"]),
        1,
        "error: Metrics API not available\n",
    );
    check(
        &kubectl(&cluster, &["get", "--raw", NODES]),
        1,
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request\n",
    );
    let listed = kubectl(&cluster, &["get", "apiservice", API_SERVICE, "-o", "yaml"]);
    insta::assert_snapshot!("apiservice_unavailable", listed.shown());
    let waited = kubectl(
        &cluster,
        &[
            "wait",
            "--for=condition=Available",
            "apiservice/v1beta1.metrics.k8s.io",
            "--timeout=1s",
        ],
    );
    check(
        &waited,
        1,
        "error: timed out waiting for the condition on apiservices/v1beta1.metrics.k8s.io\n",
    );
}

fn absent() {
    let cluster = Cluster::start();
    cluster.with(|store| store.delete("apiservices", None, API_SERVICE));
    // The route goes a moment after the object.
    let mut raw = kubectl(&cluster, &["get", "--raw", NODES]);
    for _ in 0..1000 {
        if raw.err.contains("NotFound") {
            break;
        }
        raw = kubectl(&cluster, &["get", "--raw", NODES]);
    }
    check(
        &raw,
        1,
        "Error from server (NotFound): the server could not find the requested resource\n",
    );
    check(
        &kubectl(&cluster, &["top", "pods", "-A"]),
        1,
        "error: Metrics API not available\n",
    );
}

fn available() {
    let cluster = Cluster::start();
    cluster.make_ready();
    wait_for_reason(&cluster, "Passed");
    wait_for_discovery(&cluster);
    let calls: [&[&str]; 5] = [
        &["top", "nodes"],
        &["top", "node", "n1"],
        &["top", "pods", "-A", "--containers"],
        &["top", "pods"],
        &["get", "--raw", NODES],
    ];
    let shown: Vec<String> = calls
        .iter()
        .map(|call| {
            format!(
                "$ kubectl {}\n{}",
                call.join(" "),
                kubectl(&cluster, call).shown_exactly()
            )
        })
        .collect();
    insta::assert_snapshot!("metrics_available", shown.join("\n"));
    let listed = kubectl(
        &cluster,
        &["get", "apiservice", API_SERVICE, "--no-headers"],
    );
    assert_eq!(
        listed.shown(),
        "exit 0\nv1beta1.metrics.k8s.io  kube-system/metrics-server  True  AGE\n"
    );
}

/// The endpoint is gone: the APIService says so, and discovery is stale.
fn lost() {
    let cluster = Cluster::start();
    cluster.make_ready();
    wait_for_reason(&cluster, "Passed");
    wait_for_discovery(&cluster);
    cluster.with(|store| store.delete("endpointslices", Some("kube-system"), "metrics-server"));
    wait_for_reason(&cluster, "EndpointsNotFound");
    check(
        &kubectl(&cluster, &["get", "--raw", NODES]),
        1,
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request\n",
    );
}
