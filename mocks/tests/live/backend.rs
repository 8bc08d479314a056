//! A tiny server of the metrics API.

use std::net::SocketAddr;
use std::rc::Rc;

use futures_util::future::{FutureExt, LocalBoxFuture};
use mocks::http_server::{Handler, Request, Response, TlsChoice, serve};
use mocks::tls::{ClientAuth, server_config};
use seam::Host;
use serde_json::{Value, json};

use super::objects::POD;
use super::trust::Trust;

/// Serves the metrics API.
pub(crate) async fn start(host: &Host, trust: &Trust) -> SocketAddr {
    let listener = host
        .listen(([127, 0, 0, 1], 0).into())
        .await
        .expect("loopback has free ports");
    let address = listener.local_addr();
    let tls = server_config(&trust.backend, host.clock(), ClientAuth::Request);
    host.spawn(serve(
        host.clone(),
        listener,
        Rc::new(move || TlsChoice::Serve(tls.clone())),
        Rc::new(Metrics),
    ));
    address
}

/// The metrics API of two nodes and three pods. It believes whoever shows a
/// certificate: the aggregation layer alone has its address.
struct Metrics;

impl Handler for Metrics {
    fn handle(&self, request: Request) -> LocalBoxFuture<'static, Response> {
        let answer = match request.path.strip_prefix("/apis/metrics.k8s.io/v1beta1") {
            _ if request.client_certificate.is_none() => Response::text(401, "Unauthorized"),
            Some("") => Response::json(200, &resources()),
            Some("/nodes") => Response::json(200, &node_metrics()),
            Some("/nodes/n1") => Response::json(200, &node_metrics()["items"][0]),
            Some(path) if path.ends_with("/pods") => Response::json(200, &pod_metrics(path)),
            _ => Response::text(404, "404 page not found"),
        };
        async move { answer }.boxed_local()
    }
}

fn resources() -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [
            {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
            {"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"]},
        ],
    })
}

fn node_metrics() -> Value {
    let node = |name: &str, cpu: &str, memory: &str| {
        json!({
            "metadata": {"name": name, "creationTimestamp": "2026-11-25T23:00:00Z"},
            "timestamp": "2026-11-25T23:00:00Z", "window": "15s",
            "usage": {"cpu": cpu, "memory": memory},
        })
    };
    json!({
        "kind": "NodeMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {},
        "items": [node("n1", "400m", "4096Mi"), node("n2", "1", "8192Mi")],
    })
}

fn pod_metrics(path: &str) -> Value {
    let pod = |namespace: &str, name: &str, containers: &[&str]| {
        let containers: Vec<Value> = containers
            .iter()
            .map(|name| json!({"name": name, "usage": {"cpu": "10m", "memory": "20Mi"}}))
            .collect();
        json!({
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-25T23:00:00Z"},
            "timestamp": "2026-11-25T23:00:00Z", "window": "15s", "containers": containers,
        })
    };
    let all = [
        ("default", pod("default", "db-0", &["db"])),
        ("default", pod("default", "web-1", &["app", "proxy"])),
        ("kube-system", pod("kube-system", POD, &["metrics-server"])),
    ];
    let wanted =
        |namespace: &str| path == "/pods" || path == format!("/namespaces/{namespace}/pods");
    let items: Vec<Value> = all
        .into_iter()
        .filter(|(namespace, _)| wanted(namespace))
        .map(|(_, pod)| pod)
        .collect();
    json!({
        "kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {},
        "items": items,
    })
}
