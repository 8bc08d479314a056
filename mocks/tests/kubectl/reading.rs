//! Listing, describing, watching.

use serde_json::{Value, json};

use crate::Case;
use crate::cluster::Cluster;
use crate::kubectl::{Running, kubectl};

pub(crate) const CASES: &[Case] = &[
    ("get", get),
    ("select", select),
    ("describe", describe),
    ("watch", watch),
    ("discover", discover),
    ("explain", explain),
    ("version", version),
    ("chunks", chunks),
    ("follow", follow),
];

/// Calls and what they print, in one snapshot. `~` is a space in an argument.
fn session(name: &str, cluster: &Cluster, calls: &[&str]) {
    let mut shown = String::new();
    for call in calls {
        let arguments: Vec<String> = call.split(' ').map(|it| it.replace('~', " ")).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        shown.push_str(&format!("$ kubectl {call}\n"));
        shown.push_str(&kubectl(cluster, &arguments).shown());
        shown.push('\n');
    }
    insta::assert_snapshot!(name, shown);
}

fn get() {
    let cluster = Cluster::start();
    session(
        "get",
        &cluster,
        &[
            "get nodes,pods -A",
            "get nodes -o wide",
            "get pods -A -o wide",
            "get pods",
            "get pod web-1 db-0",
            "get pod nobody",
            "get events -A",
            "get events -A -o wide",
            "get deploy,rs,svc,endpointslices -n kube-system",
            "get deploy -n kube-system -o wide",
            "get all -n kube-system",
            "get apiservice",
            "get ns,cm -A",
            "get hpa",
            "get pods -A -o name",
            "get pod web-1 -o jsonpath={.spec.nodeName}",
            "get pods -n nowhere",
            "get jobs",
        ],
    );
    let not_modelled = cluster.not_modelled();
    assert_eq!(
        not_modelled,
        Vec::<String>::new(),
        "nothing went unanswered"
    );
}

fn select() {
    let cluster = Cluster::start();
    session(
        "select",
        &cluster,
        &[
            "get pods -l app=web",
            "get pods -l app!=web",
            "get pods -l app~in~(web,db)",
            "get pods -A --field-selector=metadata.namespace=kube-system",
            "get pods -A --field-selector=spec.nodeName=n2",
            "get nodes --field-selector=status.phase=Running",
            "get deploy -A --field-selector=status.phase=Running",
            "get pods -A --show-labels",
            "get pods -A --sort-by=.metadata.name",
            "get pods -L app",
        ],
    );
}

fn describe() {
    let cluster = Cluster::start();
    session(
        "describe",
        &cluster,
        &[
            "describe pod -n kube-system",
            "describe node n1",
            "describe node n2",
            "describe apiservice v1beta1.metrics.k8s.io",
            "describe svc -n kube-system",
            "describe deploy -n kube-system",
        ],
    );
}

/// A watch shows what there is, and then every change, under one header.
fn watch() {
    let cluster = Cluster::start();
    let mut watch = Running::start(&cluster, &["get", "pods", "-w"]);
    let mut seen = vec![watch.line(), watch.line(), watch.line()];
    let put = |name: &'static str, phase: &'static str| {
        cluster.with(move |store| {
            store.put(
                "pods",
                json!({
                    "kind": "Pod", "apiVersion": "v1",
                    "metadata": {"namespace": "default", "name": name},
                    "spec": {"containers": [{"name": "a"}]},
                    "status": {"phase": phase},
                }),
            );
        });
    };
    put("job", "Pending");
    seen.push(watch.line());
    put("job", "Succeeded");
    seen.push(watch.line());
    cluster.with(|store| store.delete("pods", Some("default"), "job"));
    seen.push(watch.line());
    insta::assert_snapshot!("watch", seen.concat());
}

fn discover() {
    let cluster = Cluster::start();
    cluster.make_ready();
    let waited = kubectl(
        &cluster,
        &[
            "wait",
            "--for=condition=Available",
            "apiservice/v1beta1.metrics.k8s.io",
            "--timeout=30s",
        ],
    );
    assert_eq!(waited.code, Some(0), "{waited:?}");
    wait_for_discovery(&cluster);
    session(
        "discover",
        &cluster,
        &[
            "api-resources",
            "api-versions",
            "version",
            "get --raw /",
            "cluster-info",
        ],
    );
}

/// What the server says of itself; the rest is about the client.
fn version() {
    let cluster = Cluster::start();
    let output = kubectl(&cluster, &["version"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let server = output
        .out
        .lines()
        .find(|line| line.starts_with("Server Version"));
    assert_eq!(server, Some("Server Version: v1.36.2"));
}

/// Discovery follows availability by a moment.
pub(crate) fn wait_for_discovery(cluster: &Cluster) {
    for _ in 0..1000 {
        if kubectl(cluster, &["top", "nodes"]).code == Some(0) {
            return;
        }
    }
    panic!("the metrics API never became discoverable");
}

fn explain() {
    let cluster = Cluster::start();
    session(
        "explain",
        &cluster,
        &[
            "explain pods",
            "explain pod.metadata",
            "explain pod.spec",
            "explain apiservice",
        ],
    );
}

/// Commands that wait for something, and other ways to look.
fn follow() {
    let cluster = Cluster::start();
    cluster.make_ready();
    session(
        "follow",
        &cluster,
        &[
            "rollout status deploy/metrics-server -n kube-system --timeout=30s",
            "wait pod --all -n kube-system --for=condition=Ready --timeout=30s",
            "events -n kube-system --for pod/metrics-server-6f7dd4c4c4-x7k2p",
            "describe ns default",
            "get nodes -o custom-columns=NAME:.metadata.name,CPU:.status.allocatable.cpu",
            "get node n1 -o go-template={{.metadata.name}}",
            "get po,no --ignore-not-found -o name",
            "get --raw /openapi/v3",
            "api-resources --categories=all -o name",
        ],
    );
}

/// A list in pages comes out whole.
fn chunks() {
    let cluster = Cluster::start();
    cluster.with(|store| {
        for number in 0..25 {
            store.put(
                "configmaps",
                json!({
                    "kind": "ConfigMap", "apiVersion": "v1",
                    "metadata": {"namespace": "default", "name": format!("map-{number:02}")},
                }),
            );
        }
    });
    let listed = kubectl(&cluster, &["get", "cm", "--chunk-size=4", "--no-headers"]);
    assert_eq!(listed.out.lines().count(), 25, "{listed:?}");
    let listed = kubectl(&cluster, &["get", "cm", "--chunk-size=4", "-o", "json"]);
    let list: Value = serde_json::from_str(&listed.out).expect("JSON");
    assert_eq!(list["items"].as_array().map(Vec::len), Some(25));
}
