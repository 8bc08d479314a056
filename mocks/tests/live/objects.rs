//! What the cluster holds.

use std::net::SocketAddr;

use mocks::apiserver::objects;
use mocks::store::Store;
use seam::Timestamp;
use serde_json::{Value, json};

/// metrics-server's pod.
pub(crate) const POD: &str = "metrics-server-6f7dd4c4c4-x7k2p";

/// Two nodes, an application, and metrics-server's objects, whose pod is not
/// ready. Everything is 65 minutes old.
pub(crate) fn seed(store: &Store, now: Timestamp, backend: SocketAddr) {
    let created = now.offset(-65 * 60_000_000_000 - 30_000_000_000);
    for name in ["default", "kube-system"] {
        store.put("namespaces", objects::namespace(name, created));
    }
    for (name, ip, ready) in [("n1", "10.0.0.11", true), ("n2", "10.0.0.12", false)] {
        let node = objects::node(&objects::Node {
            name,
            labels: &[],
            addresses: &[
                ("InternalIP".to_owned(), ip.to_owned()),
                ("Hostname".to_owned(), name.to_owned()),
            ],
            kubelet_port: 10250,
            ready: match ready {
                true => objects::NodeReady::True,
                false => objects::NodeReady::False,
            },
            created,
            ready_since: created,
            taints: &[],
            cpu: "4",
            memory: "16384Mi",
        });
        store.put("nodes", node);
    }
    for (name, app, containers) in [
        ("web-1", "web", &["app", "proxy"][..]),
        ("db-0", "db", &["db"]),
    ] {
        store.put(
            "pods",
            pod("default", name, ("app", app), containers, created),
        );
    }
    let mut server = pod(
        "kube-system",
        POD,
        ("k8s-app", "metrics-server"),
        &["metrics-server"],
        created,
    );
    set_ready(&mut server, false);
    server["spec"]["containers"][0]["image"] =
        json!("registry.k8s.io/metrics-server/metrics-server:v0.8.1");
    store.put("pods", server);
    seed_service(store, created, backend);
    seed_event(store, now);
}

fn pod(
    namespace: &str,
    name: &str,
    label: (&str, &str),
    containers: &[&str],
    created: Timestamp,
) -> Value {
    let containers: Vec<String> = containers.iter().map(|name| (*name).to_owned()).collect();
    objects::pod(&objects::Pod {
        namespace,
        name,
        labels: &[(label.0.to_owned(), label.1.to_owned())],
        node: "n1",
        containers: &containers,
        host_ip: [10, 0, 0, 11].into(),
        ip: Some([10, 244, 0, 9].into()),
        created,
    })
}

/// Sets the conditions that tell of readiness.
pub(crate) fn set_ready(pod: &mut Value, ready: bool) {
    let status = if ready { "True" } else { "False" };
    pod["status"]["containerStatuses"][0]["ready"] = json!(ready);
    for condition in pod["status"]["conditions"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        if condition["type"] == "Ready" || condition["type"] == "ContainersReady" {
            condition["status"] = json!(status);
        }
    }
}

fn seed_service(store: &Store, created: Timestamp, backend: SocketAddr) {
    store.put(
        "services",
        objects::service(&objects::Service {
            namespace: "kube-system",
            name: "metrics-server",
            cluster_ip: [10, 96, 180, 48].into(),
            port_name: "https",
            port: 443,
            target_port: json!("https"),
            selector: &[("k8s-app".to_owned(), "metrics-server".to_owned())],
            publish_not_ready_addresses: false,
            created,
        }),
    );
    let mut slice =
        objects::static_endpoint_slice("kube-system", "metrics-server", "https", backend, created);
    slice["endpoints"][0]["conditions"]["ready"] = json!(false);
    store.put("endpointslices", slice);
    store.put(
        "apiservices",
        objects::metrics_api_service(
            "kube-system",
            "metrics-server",
            &objects::BackendTrust::Insecure,
            created,
        ),
    );
}

fn seed_event(store: &Store, now: Timestamp) {
    let pod = store
        .get("pods", Some("kube-system"), POD)
        .expect("it is seeded");
    let at = |seconds: i64| objects::rfc3339(now.offset(-seconds * 1_000_000_000));
    store.put(
        "events",
        json!({
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"namespace": "kube-system", "name": format!("{POD}.18a1"), "creationTimestamp": at(40)},
            "involvedObject": {
                "kind": "Pod", "namespace": "kube-system", "name": POD,
                "uid": pod["metadata"]["uid"], "apiVersion": "v1",
                "fieldPath": "spec.containers{metrics-server}",
            },
            "reason": "Unhealthy",
            "message": "Readiness probe failed: HTTP probe failed with statuscode: 500",
            "source": {"component": "kubelet", "host": "n1"},
            "firstTimestamp": at(40),
            "lastTimestamp": at(20),
            "count": 9,
            "type": "Warning",
            "eventTime": null,
            "reportingComponent": "kubelet",
            "reportingInstance": "n1",
        }),
    );
}
