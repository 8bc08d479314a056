//! Requests to the metrics API and the exact bodies of its answers.

use std::time::Duration;

use aggregator::api::{
    ApiRequest, Caches, Labels, NodeMeta, PodMeta, Reply, Selector, View, respond,
};
use aggregator::sample::{MetricsBatch, MetricsPoint, PodRef};
use aggregator::store::Store;
use aggregator::version::Version;
use seam::Timestamp;

/// 2026-11-23T09:05:30.25Z
const SAMPLED: Timestamp = Timestamp::from_millis(1_795_424_730_250);
const NOW: Timestamp = Timestamp::from_millis(1_795_424_740_250);
const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
const PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";

fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Two points, 14.996 s apart.
fn points(cpu_ns: u64, memory: u64) -> [MetricsPoint; 2] {
    let point = |timestamp, cumulative_cpu_ns| MetricsPoint {
        start: None,
        timestamp,
        cumulative_cpu_ns,
        memory_bytes: memory,
    };
    [
        point(SAMPLED.offset(-14_996_000_000), 1_000),
        point(SAMPLED, 1_000 + cpu_ns),
    ]
}

/// Nodes and pods of the upstream tests: node4 and pod4 have no metrics.
///
/// Source: `pkg/api/node_test.go`, `pkg/api/pod_test.go`.
struct World {
    caches: Caches,
    store: Store,
    node_selector: Selector,
}

impl World {
    fn new() -> Self {
        let mut batches = [MetricsBatch::default(), MetricsBatch::default()];
        let mut caches = Caches::default();
        for (name, text) in [
            ("node1", "labelKey=labelValue"),
            ("node2", "otherKey=labelValue"),
            ("node3", "labelKey=otherValue"),
            ("node4", "otherKey=otherValue"),
            ("node6", "skipKey=skipValue"),
        ] {
            caches.nodes.insert(
                name.into(),
                NodeMeta {
                    labels: labels(text),
                },
            );
        }
        for name in ["node1", "node2", "node3", "node6"] {
            for (batch, point) in batches.iter_mut().zip(points(3_748_877_000, 1_616_273_408)) {
                batch.nodes.insert(name.into(), point);
            }
        }
        for (namespace, name, text) in [
            ("other", "pod1", "labelKey=labelValue"),
            ("other", "pod2", "otherKey=labelValue"),
            ("testValue", "pod3", "labelKey=otherValue"),
            ("other", "pod4", "otherKey=otherValue"),
            ("other", "reset", ""),
        ] {
            caches.pods.insert(
                PodRef::new(namespace, name),
                PodMeta {
                    labels: labels(text),
                },
            );
        }
        let containers: [(&str, &str, &[&str]); 3] = [
            ("other", "pod1", &["metric1", "metric1-b"]),
            ("other", "pod2", &["metric2"]),
            ("testValue", "pod3", &["metric3"]),
        ];
        for (namespace, pod, names) in containers {
            for (at, batch) in batches.iter_mut().enumerate() {
                let points = names
                    .iter()
                    .map(|n| ((*n).into(), points(149_960_000, 1 << 20)[at]));
                batch
                    .pods
                    .insert(PodRef::new(namespace, pod), points.collect());
            }
        }
        let [mut earlier, mut later] = points(500, 1 << 20);
        std::mem::swap(&mut earlier.cumulative_cpu_ns, &mut later.cumulative_cpu_ns);
        for (batch, point) in batches.iter_mut().zip([earlier, later]) {
            let pod = PodRef::new("other", "reset");
            batch
                .pods
                .insert(pod, [("c".into(), point)].into_iter().collect());
        }
        let mut store = Store::new(Version::V0_9, Duration::from_secs(15));
        for batch in batches {
            store.store(batch);
        }
        let node_selector = Selector::parse("skipKey!=skipValue").expect("it is a selector");
        Self {
            caches,
            store,
            node_selector,
        }
    }

    fn view(&self) -> View<'_> {
        View {
            version: Version::V0_9,
            caches: &self.caches,
            store: &self.store,
            node_selector: &self.node_selector,
            port: 10250,
            now: NOW,
        }
    }

    fn send(&self, request: &ApiRequest<'_>) -> (Reply, Vec<String>) {
        let mut notes = Vec::new();
        let reply = respond(request, &self.view(), &mut |note| {
            notes.push(format!("{note:?}"))
        });
        (reply, notes)
    }

    fn get(&self, url: &str, accept: Option<&str>) -> (u16, String) {
        let (path, query) = url
            .split_once('?')
            .map_or((url, None), |(p, q)| (p, Some(q)));
        let request = ApiRequest {
            method: "GET",
            path,
            query,
            accept,
            ..ApiRequest::default()
        };
        let reply = self.send(&request).0;
        (
            reply.status,
            String::from_utf8(reply.body.to_vec()).expect("bodies are UTF-8"),
        )
    }

    /// The names that a list holds.
    fn names(&self, url: &str) -> Vec<String> {
        let (status, body) = self.get(url, None);
        assert_eq!(status, 200, "{body}");
        let list: serde_json::Value = serde_json::from_str(&body).expect("bodies are JSON");
        let items = list["items"].as_array().expect("a list has items");
        let name = |item: &serde_json::Value| item["metadata"]["name"].as_str().map(str::to_owned);
        items.iter().filter_map(name).collect()
    }
}

#[test]
fn a_node_is_answered_byte_for_byte() {
    let expected = r#"{"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1beta1","metadata":{"name":"node1","creationTimestamp":"2026-11-23T09:05:40Z","labels":{"labelKey":"labelValue"}},"timestamp":"2026-11-23T09:05:30Z","window":"14.996s","usage":{"cpu":"249991797n","memory":"1578392Ki"}}"#;
    let world = World::new();
    assert_eq!(
        world.get(&format!("{NODES}/node1"), None),
        (200, format!("{expected}\n"))
    );
}

#[test]
fn a_pod_is_answered_byte_for_byte() {
    let expected = r#"{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1","metadata":{"name":"pod1","namespace":"other","creationTimestamp":"2026-11-23T09:05:40Z","labels":{"labelKey":"labelValue"}},"timestamp":"2026-11-23T09:05:30Z","window":"14.996s","containers":[{"name":"metric1","usage":{"cpu":"10m","memory":"1Mi"}},{"name":"metric1-b","usage":{"cpu":"10m","memory":"1Mi"}}]}"#;
    let url = "/apis/metrics.k8s.io/v1beta1/namespaces/other/pods/pod1";
    assert_eq!(World::new().get(url, None), (200, format!("{expected}\n")));
}

#[test]
fn a_pod_whose_counters_went_down_has_no_containers_and_no_time() {
    let expected = r#"{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1","metadata":{"name":"reset","namespace":"other","creationTimestamp":"2026-11-23T09:05:40Z"},"timestamp":null,"window":"0s","containers":[]}"#;
    let world = World::new();
    let request = ApiRequest {
        method: "GET",
        path: "/apis/metrics.k8s.io/v1beta1/namespaces/other/pods/reset",
        ..ApiRequest::default()
    };
    let (reply, notes) = world.send(&request);
    assert_eq!(
        std::str::from_utf8(&reply.body),
        Ok(format!("{expected}\n").as_str())
    );
    assert!(notes[0].starts_with("ContainerSkipped"), "{notes:?}");
    assert_eq!(notes[1], "Freshness { seconds: 9223372036.854776 }");
}

#[test]
fn lists_carry_items_without_kind() {
    let world = World::new();
    let (_, body) = world.get(
        &format!("{NODES}?fieldSelector=metadata.name%3Dnode2"),
        None,
    );
    let expected = r#"{"kind":"NodeMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[{"metadata":{"name":"node2","creationTimestamp":"2026-11-23T09:05:40Z","labels":{"otherKey":"labelValue"}},"timestamp":"2026-11-23T09:05:30Z","window":"14.996s","usage":{"cpu":"249991797n","memory":"1578392Ki"}}]}"#;
    assert_eq!(body, format!("{expected}\n"));
    let empty = r#"{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[]}"#;
    let url = "/apis/metrics.k8s.io/v1beta1/namespaces/nowhere/pods";
    assert_eq!(world.get(url, None), (200, format!("{empty}\n")));
}

/// Source: `pkg/api/node_test.go: TestNodeList`, `pod_test.go: TestPodList`.
#[test]
fn lists_select_by_labels_fields_and_the_node_selector() {
    let world = World::new();
    for (url, names) in [
        (NODES.to_owned(), &["node1", "node2", "node3"][..]),
        (
            format!("{NODES}/?limit=1&resourceVersion=0"),
            &["node1", "node2", "node3"],
        ),
        (format!("{NODES}?fieldSelector=metadata.name=node4"), &[]),
        (
            format!("{NODES}?fieldSelector=metadata.name=node2"),
            &["node2"],
        ),
        (
            format!("{NODES}?labelSelector=labelKey%3DlabelValue"),
            &["node1"],
        ),
        (
            format!("{NODES}?fieldSelector=metadata.name=node3&labelSelector=labelKey=otherValue"),
            &["node3"],
        ),
        (format!("{NODES}?fieldSelector=metadata.namespace=x"), &[]),
        (PODS.to_owned(), &["pod1", "pod2", "reset", "pod3"]),
        (
            format!("{PODS}?fieldSelector=metadata.namespace=unknown"),
            &[],
        ),
        (
            format!("{PODS}?fieldSelector=metadata.namespace=testValue"),
            &["pod3"],
        ),
        (
            format!("{PODS}?labelSelector=labelKey=labelValue"),
            &["pod1"],
        ),
        (
            format!("{PODS}?fieldSelector=metadata.name=pod3&labelSelector=labelKey=otherValue"),
            &["pod3"],
        ),
        (
            "/apis/metrics.k8s.io/v1beta1/namespaces/testValue/pods".to_owned(),
            &["pod3"],
        ),
    ] {
        assert_eq!(world.names(&url), names, "{url}");
    }
}

/// Source: `pkg/api/node_test.go: TestNodeList_Monitoring`.
#[test]
fn every_item_returned_counts_its_age() {
    let request = ApiRequest {
        method: "GET",
        path: NODES,
        ..ApiRequest::default()
    };
    let (_, notes) = World::new().send(&request);
    assert_eq!(notes, vec!["Freshness { seconds: 10.0 }"; 3]);
}

#[test]
fn refusals_are_status_objects_with_the_original_texts() {
    let not_found = "NotFound";
    let world = World::new();
    let pod = |name: &str| format!("/apis/metrics.k8s.io/v1beta1/namespaces/other/pods/{name}");
    for (url, code, reason, message, details) in [
        (
            format!("{NODES}/zzz"),
            404,
            not_found,
            r#"node \"zzz\" not found"#,
            r#","details":{"name":"zzz","kind":"node"}"#,
        ),
        (
            format!("{NODES}/node4"),
            404,
            not_found,
            r#"nodemetrics.metrics.k8s.io \"node4\" not found"#,
            r#","details":{"name":"node4","group":"metrics.k8s.io","kind":"nodemetrics"}"#,
        ),
        (
            pod("zzz"),
            404,
            not_found,
            r#"pods \"zzz\" not found"#,
            r#","details":{"name":"zzz","kind":"pods"}"#,
        ),
        (
            pod("pod4"),
            404,
            not_found,
            r#"podmetrics.metrics.k8s.io \"other/pod4\" not found"#,
            r#","details":{"name":"other/pod4","group":"metrics.k8s.io","kind":"podmetrics"}"#,
        ),
        (
            format!("{NODES}?fieldSelector=spec.foo%3D1"),
            400,
            "BadRequest",
            r#"\"spec.foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""#,
            "",
        ),
        (
            format!("{NODES}?labelSelector=a%3D%3D%3Db"),
            400,
            "BadRequest",
            "unable to parse requirement: found '=', expected: identifier",
            "",
        ),
        (
            format!("{NODES}?watch=true"),
            405,
            "MethodNotAllowed",
            r#"watch is not supported on resources of kind \"nodes.metrics.k8s.io\""#,
            r#","details":{"group":"metrics.k8s.io","kind":"nodes"}"#,
        ),
        (
            "/apis/metrics.k8s.io/v1beta1/services".to_owned(),
            404,
            not_found,
            "the server could not find the requested resource",
            r#","details":{}"#,
        ),
    ] {
        let expected = format!(
            "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\
             \"message\":\"{message}\",\"reason\":\"{reason}\"{details},\"code\":{code}}}\n"
        );
        assert_eq!(world.get(&url, None), (code, expected), "{url}");
    }
}

#[test]
fn other_methods_are_not_allowed() {
    let world = World::new();
    for path in [NODES, "/apis", "/apis/metrics.k8s.io/v1beta1"] {
        let request = ApiRequest {
            method: "DELETE",
            path,
            ..ApiRequest::default()
        };
        let (reply, _) = world.send(&request);
        assert_eq!(reply.status, 405);
        let body = String::from_utf8_lossy(&reply.body);
        assert!(body.contains("the server does not allow this method on the requested resource"));
    }
}

#[test]
fn unacceptable_requests_are_refused_with_indented_json() {
    let (status, body) = World::new().get(NODES, Some("text/html"));
    assert_eq!(status, 406);
    assert!(body.starts_with("{\n  \"kind\": \"Status\""), "{body}");
    assert!(body.contains(
        r#""message": "406: Not Acceptable\n\nAvailable representations: application/json, "#
    ));
    assert!(body.contains(r#""reason": "NotAcceptable""#));
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

/// Source: `pkg/api/table_test.go`.
#[test]
fn tables_sum_a_pods_containers() {
    let url = format!("{PODS}?labelSelector=labelKey=labelValue");
    let expected = r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":[{"name":"Name","type":"string","format":"name","description":"Name of the resource","priority":0},{"name":"cpu","type":"string","format":"quantity","description":"","priority":0},{"name":"memory","type":"string","format":"quantity","description":"","priority":0},{"name":"Window","type":"string","format":"duration","description":"","priority":0}],"rows":[{"cells":["pod1","20m","2Mi","14.996s"],"object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"pod1","namespace":"other","creationTimestamp":"2026-11-23T09:05:40Z","labels":{"labelKey":"labelValue"}}}}]}"#;
    let world = World::new();
    assert_eq!(world.get(&url, Some(TABLE)), (200, format!("{expected}\n")));
    let (_, without) = world.get(&format!("{url}&includeObject=None"), Some(TABLE));
    assert!(
        without
            .ends_with("[{\"cells\":[\"pod1\",\"20m\",\"2Mi\",\"14.996s\"],\"object\":null}]}\n")
    );
    let (_, whole) = world.get(&format!("{NODES}/node1?includeObject=Object"), Some(TABLE));
    assert!(whole.contains(r#""cells":["node1","249991797n","1578392Ki","14.996s"],"object":{"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1beta1","metadata":{"name":"node1","#));
}

#[test]
fn an_empty_table_has_neither_columns_nor_rows() {
    let (_, body) = World::new().get(&format!("{PODS}?labelSelector=none"), Some(TABLE));
    let expected = r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":null,"rows":null}"#;
    assert_eq!(body, format!("{expected}\n"));
}

#[test]
fn metadata_alone_can_be_asked_for() {
    let world = World::new();
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let (_, body) = world.get(&format!("{NODES}/node1"), Some(accept));
    let expected = r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"node1","creationTimestamp":"2026-11-23T09:05:40Z","labels":{"labelKey":"labelValue"}}}"#;
    assert_eq!(body, format!("{expected}\n"));
    let (status, body) = world.get(NODES, Some(accept));
    assert_eq!(status, 406);
    let message = "you requested PartialObjectMetadata, but the requested object is a list (*metrics.NodeMetricsList)";
    assert!(body.contains(message), "{body}");
    let lists = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let (_, body) = world.get(
        &format!("{NODES}?fieldSelector=metadata.name=node1"),
        Some(lists),
    );
    assert!(body.starts_with(r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{},"items":[{"kind":"PartialObjectMetadata","#));
}

#[test]
fn discovery_documents_are_the_originals() {
    let world = World::new();
    let version = r#"{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}"#;
    for (url, expected) in [
        (
            "/apis",
            format!(
                r#"{{"kind":"APIGroupList","groups":[{{"name":"metrics.k8s.io","versions":[{version}],"preferredVersion":{version},"serverAddressByClientCIDRs":[{{"clientCIDR":"0.0.0.0/0","serverAddress":":10250"}}]}}]}}"#
            ),
        ),
        (
            "/apis/metrics.k8s.io",
            format!(
                r#"{{"kind":"APIGroup","apiVersion":"v1","name":"metrics.k8s.io","versions":[{version}],"preferredVersion":{version}}}"#
            ),
        ),
        (
            "/apis/metrics.k8s.io/v1beta1",
            r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"metrics.k8s.io/v1beta1","resources":[{"name":"nodes","singularName":"","namespaced":false,"kind":"NodeMetrics","verbs":["get","list"]},{"name":"pods","singularName":"","namespaced":true,"kind":"PodMetrics","verbs":["get","list"]}]}"#.to_owned(),
        ),
    ] {
        assert_eq!(world.get(url, None), (200, format!("{expected}\n")), "{url}");
    }
}

#[test]
fn aggregated_discovery_comes_with_a_tag_and_is_not_sent_twice() {
    let world = World::new();
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let request = ApiRequest {
        method: "GET",
        path: "/apis",
        accept: Some(accept),
        ..ApiRequest::default()
    };
    let (reply, _) = world.send(&request);
    assert_eq!(
        reply.content_type,
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    assert_eq!(
        std::str::from_utf8(&reply.body),
        Ok(
            "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/v2\",\"metadata\":{},\"items\":[{\"metadata\":{\"name\":\"metrics.k8s.io\"},\"versions\":[{\"version\":\"v1beta1\",\"resources\":[{\"resource\":\"nodes\",\"responseKind\":{\"group\":\"\",\"version\":\"\",\"kind\":\"NodeMetrics\"},\"scope\":\"Cluster\",\"singularResource\":\"\",\"verbs\":[\"get\",\"list\"]},{\"resource\":\"pods\",\"responseKind\":{\"group\":\"\",\"version\":\"\",\"kind\":\"PodMetrics\"},\"scope\":\"Namespaced\",\"singularResource\":\"\",\"verbs\":[\"get\",\"list\"]}],\"freshness\":\"Current\"}]}]}\n"
        )
    );
    let tag = reply.headers[0].1.clone();
    let (again, _) = world.send(&ApiRequest {
        if_none_match: Some(&tag),
        ..request
    });
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[test]
fn unknown_paths_are_answered_with_the_known_ones() {
    let world = World::new();
    let (status, body) = world.get("/", None);
    assert_eq!(status, 200);
    assert!(body.starts_with("{\n  \"paths\": [\n    \"/apis\",\n    \"/apis/metrics.k8s.io\","));
    assert!(body.contains("    \"/readyz/metric-storage-ready\",\n"));
    assert!(body.ends_with("    \"/version\"\n  ]\n}"));
    assert_eq!(world.get("/nothing/here", None), (404, body));
}

#[test]
fn openapi_and_version_name_the_server() {
    let world = World::new();
    let (status, body) = world.get("/openapi/v2", None);
    assert_eq!(status, 200);
    let document: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
    assert_eq!(document["info"]["title"], "Kubernetes metrics-server");
    assert_eq!(document["info"]["version"], "v0.9.0");
    assert_eq!(
        document["paths"].as_object().map(serde_json::Map::len),
        Some(9)
    );
    let (_, index) = world.get("/openapi/v3", None);
    let index: serde_json::Value = serde_json::from_str(&index).expect("it is JSON");
    let paths = index["paths"].as_object().expect("it lists documents");
    let names: Vec<_> = paths.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "apis",
            "apis/metrics.k8s.io",
            "apis/metrics.k8s.io/v1beta1",
            "version"
        ]
    );
    for document in paths.values() {
        let url = document["serverRelativeURL"]
            .as_str()
            .expect("it has a URL");
        assert_eq!(world.get(url, None).0, 200, "{url}");
    }
    let (_, version) = world.get("/version", None);
    assert!(version.starts_with("{\n  \"major\": \"1\",\n  \"minor\": \"36\",\n"));
}
