//! The API server as its clients meet it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::State;
use super::testing::{ADMIN, Cluster, METRICS_SERVER, VIEWER, script, text};
use crate::aggregation::Routing;
use crate::event::Event;
use crate::http_client::testing::paused;
use crate::store::Store;

fn store() -> Store {
    let store = Store::new();
    store.put(
        "nodes",
        json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"}}),
    );
    store.put(
        "configmaps",
        super::objects::authentication_config_map("a", "b", &["front-proxy"], Default::default()),
    );
    store
}

fn message(body: &str) -> String {
    let status: Value = serde_json::from_str(body).expect("a Status");
    assert_eq!(status["kind"], "Status", "{body}");
    status["message"].as_str().expect("a message").to_owned()
}

#[test]
fn who_may_not_is_told_what_he_may_not() {
    paused(async {
        let cluster = Cluster::up(store()).await;
        for (token, path, code, expected) in [
            ("wrong", "/api/v1/nodes", 401, "Unauthorized"),
            (
                "",
                "/api/v1/nodes",
                403,
                "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in \
                 API group \"\" at the cluster scope",
            ),
            (
                VIEWER,
                "/api/v1/nodes/n1",
                403,
                "nodes \"n1\" is forbidden: User \"jo\" cannot get resource \"nodes\" in API group \
                 \"\" at the cluster scope",
            ),
            (
                "",
                "/apis",
                403,
                "forbidden: User \"system:anonymous\" cannot get path \"/apis\"",
            ),
            (ADMIN, "/api/v1/nodes/n2", 404, "nodes \"n2\" not found"),
        ] {
            let (status, body) = cluster.get_as(token, path).await;
            assert_eq!(
                (status, message(&body).as_str()),
                (code, expected),
                "{path}"
            );
        }
        assert_eq!(cluster.get_as("", "/readyz").await, (200, "ok".to_owned()));
    });
}

#[test]
fn extension_servers_read_their_config_map_and_ask_for_reviews() {
    paused(async {
        let cluster = Cluster::up(store()).await;
        let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
        let (status, body) = cluster.get_as(METRICS_SERVER, path).await;
        assert_eq!(status, 200);
        let map: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            map["data"]["requestheader-allowed-names"],
            "[\"front-proxy\"]"
        );
        let review = json!({"spec": {"token": VIEWER}}).to_string();
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let response = cluster
            .send(Method::POST, path, METRICS_SERVER, "", review)
            .await;
        let response = response.expect("an answer");
        assert_eq!(response.status.as_u16(), 201);
        let review: Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!(review["status"]["user"]["username"], "jo");
    });
}

#[test]
fn a_watch_is_a_stream_that_ends_at_its_time() {
    paused(async {
        let cluster = Cluster::up(store()).await;
        let begin = Instant::now();
        let path = "/api/v1/nodes?watch=1&allowWatchBookmarks=true&sendInitialEvents=true\
                    &resourceVersionMatch=NotOlderThan&timeoutSeconds=30";
        let (status, body) = cluster.get_as(METRICS_SERVER, path).await;
        assert_eq!(status, 200);
        let uid = cluster.store.list("nodes")[0]["metadata"]["uid"].clone();
        let expected = [
            r#"{"type":"ADDED","object":{"kind":"Node","apiVersion":"v1","metadata":{"name":"n1","uid":UID,"resourceVersion":"1"}}}"#,
            r#"{"type":"BOOKMARK","object":{"kind":"Node","apiVersion":"v1","metadata":{"resourceVersion":"2","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
            r#"{"type":"BOOKMARK","object":{"kind":"Node","apiVersion":"v1","metadata":{"resourceVersion":"2"}}}"#,
        ];
        let expected = expected.map(|line| line.replace("UID", &uid.to_string()));
        assert_eq!(body.lines().collect::<Vec<_>>(), expected);
        assert_eq!(begin.elapsed().as_secs(), 30);
    });
}

#[test]
fn states_are_refusal_silence_incomplete_paths_and_service() {
    paused(async {
        let behaviour = script(&[
            (0, State::Down),
            (10_000, State::Starting),
            (20_000, State::Up),
            (30_000, State::Hang),
            (40_000, State::Up),
            (50_000, State::Down),
        ]);
        let cluster = Cluster::start(store(), behaviour, Routing::Endpoint, Duration::ZERO).await;
        let aggregated = "/apis/metrics.k8s.io/v1beta1/nodes";
        sleep(Duration::from_secs(5)).await;
        let refused = "dial tcp 10.0.0.1:6443: connect: connection refused";
        assert_eq!(cluster.get("/api/v1/nodes").await, (0, refused.to_owned()));

        sleep(Duration::from_secs(10)).await;
        assert_eq!(cluster.get("/api/v1/nodes").await.0, 200);
        assert_eq!(cluster.get("/readyz").await.0, 500);
        let response = cluster
            .send(Method::GET, aggregated, ADMIN, "", String::new())
            .await;
        let response = response.expect("an answer");
        assert_eq!(
            (response.status.as_u16(), &response.headers["retry-after"]),
            (503, &"5".parse().expect("a value"))
        );
        assert_eq!(
            message(&text(&response)),
            "the request has been made before all known HTTP paths have been installed, please \
             try again"
        );

        sleep(Duration::from_secs(10)).await;
        assert_eq!(cluster.get("/readyz").await.0, 200);
        let not_found = (404, "404 page not found\n".to_owned());
        assert_eq!(cluster.get(aggregated).await, not_found);

        sleep(Duration::from_secs(10)).await;
        let asked = Instant::now();
        assert_eq!(cluster.get("/api/v1/nodes").await.0, 200);
        assert!(
            asked.elapsed() > Duration::from_secs(4),
            "answered when it went on"
        );

        sleep(Duration::from_secs(15)).await;
        assert_eq!(cluster.get("/api/v1/nodes").await, (0, refused.to_owned()));
    });
}

#[test]
fn connections_die_with_the_process() {
    paused(async {
        let behaviour = script(&[(0, State::Up), (5_000, State::Down)]);
        let begin = Instant::now();
        let cluster = Cluster::start(store(), behaviour, Routing::Endpoint, Duration::ZERO).await;
        let path = "/api/v1/nodes?watch=1&resourceVersion=2&timeoutSeconds=300";
        let (status, _) = cluster.get(path).await;
        assert_eq!((status, begin.elapsed().as_secs()), (0, 5));
    });
}

#[test]
fn what_is_not_modelled_is_said_and_told() {
    paused(async {
        let cluster = Cluster::up(store()).await;
        let (status, body) = cluster.get("/apis/batch/v1/jobs").await;
        assert_eq!(status, 501);
        assert_eq!(
            message(&body),
            "GET /apis/batch/v1/jobs is not modelled by this API server"
        );
        let told = cluster.recording.picked(|event| match event {
            Event::NotModelled { request } => Some(request.clone()),
            _ => None,
        });
        assert_eq!(told.len(), 1);
    });
}

#[test]
fn discovery_is_served_in_both_forms_and_cached_by_its_tag() {
    paused(async {
        let cluster = Cluster::up(store()).await;
        let legacy = cluster.document("/apis", "application/json").await;
        assert_eq!(legacy["kind"], "APIGroupList");
        let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let aggregated = cluster.document("/apis", accept).await;
        assert_eq!(aggregated["kind"], "APIGroupDiscoveryList");
        let core = cluster.document("/api", accept).await;
        assert_eq!(
            core["items"][0]["versions"][0]["resources"][4]["resource"],
            "nodes"
        );
    });
}

#[test]
fn a_version_from_the_future_is_waited_for_and_then_refused() {
    paused(async {
        let cluster = Cluster::up(store()).await;
        let begin = Instant::now();
        let (status, body) = cluster.get("/api/v1/nodes?resourceVersion=99").await;
        assert_eq!(status, 504);
        assert_eq!(
            message(&body),
            "Timeout: Too large resource version: 99, current: 2"
        );
        assert_eq!(begin.elapsed().as_secs(), 3);
    });
}
