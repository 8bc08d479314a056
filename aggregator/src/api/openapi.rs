//! OpenAPI documents, versions 2 and 3.
//!
//! DIFFERENCE: types are described by their fields, without the prose and the
//! query parameters of the original; the protobuf form is not served.
//!
//! Source: kube-openapi `pkg/handler`, `pkg/handler3`.

use serde_json::{Map, Value, json};

use super::discovery::{etag, fnv1a};
use super::query::Query;
use super::reply::{JSON, Reply};
use super::resource::GROUP;
use super::{ApiRequest, View};
use crate::version::Version;

const RESOURCES: &str = "/apis/metrics.k8s.io/v1beta1";
const TYPES: &str = "io.k8s.metrics.pkg.apis.metrics.v1beta1";

/// One thing that can be done: path, operation id, description, and the type
/// that it returns, if it is one of the API's own.
struct Operation {
    path: &'static str,
    id: &'static str,
    description: &'static str,
    returns: Option<&'static str>,
}

const OPERATIONS: [Operation; 9] = [
    Operation {
        path: "/apis/",
        id: "getAPIVersions",
        description: "get available API versions",
        returns: None,
    },
    Operation {
        path: "/apis/metrics.k8s.io/",
        id: "getMetricsAPIGroup",
        description: "get information of a group",
        returns: None,
    },
    Operation {
        path: "/apis/metrics.k8s.io/v1beta1/",
        id: "getMetricsV1beta1APIResources",
        description: "get available resources",
        returns: None,
    },
    Operation {
        path: "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods",
        id: "listMetricsV1beta1NamespacedPodMetrics",
        description: "list objects of kind PodMetrics",
        returns: Some("PodMetricsList"),
    },
    Operation {
        path: "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods/{name}",
        id: "readMetricsV1beta1NamespacedPodMetrics",
        description: "read the specified PodMetrics",
        returns: Some("PodMetrics"),
    },
    Operation {
        path: "/apis/metrics.k8s.io/v1beta1/nodes",
        id: "listMetricsV1beta1NodeMetrics",
        description: "list objects of kind NodeMetrics",
        returns: Some("NodeMetricsList"),
    },
    Operation {
        path: "/apis/metrics.k8s.io/v1beta1/nodes/{name}",
        id: "readMetricsV1beta1NodeMetrics",
        description: "read the specified NodeMetrics",
        returns: Some("NodeMetrics"),
    },
    Operation {
        path: "/apis/metrics.k8s.io/v1beta1/pods",
        id: "listMetricsV1beta1PodMetricsForAllNamespaces",
        description: "list objects of kind PodMetrics",
        returns: Some("PodMetricsList"),
    },
    Operation {
        path: "/version/",
        id: "getCodeVersion",
        description: "get the version information for this server",
        returns: None,
    },
];

/// `/openapi/v2`
pub(super) fn v2(request: &ApiRequest<'_>, view: &View<'_>) -> Reply {
    let accept = request.accept.unwrap_or_default();
    let json_is_fine = accept.is_empty()
        || accept
            .split(',')
            .filter_map(|clause| clause.split(';').next())
            .any(|range| matches!(range.trim(), "*/*" | "application/*" | "application/json"));
    if !json_is_fine {
        return Reply::new(406, "text/plain; charset=utf-8", "");
    }
    let document = json!({
        "swagger": "2.0",
        "info": info(view.version),
        "paths": paths(|_| true, &|name| json!({ "$ref": format!("#/definitions/{name}") }), false),
        "definitions": schemas("#/definitions/"),
    });
    cached(request, &document).with_header("Vary", "Accept")
}

/// `/openapi/v3` and the documents below it; `None` where there is none.
pub(super) fn v3(request: &ApiRequest<'_>, view: &View<'_>, document: &str) -> Option<Reply> {
    const DOCUMENTS: [&str; 4] = [
        "apis",
        "apis/metrics.k8s.io",
        "apis/metrics.k8s.io/v1beta1",
        "version",
    ];
    if document.is_empty() {
        let paths = DOCUMENTS.map(|name| {
            let hash = hash(&v3_document(view.version, name));
            let url = format!("/openapi/v3/{name}?hash={hash}");
            (name.to_owned(), json!({ "serverRelativeURL": url }))
        });
        let index = json!({ "paths": Map::from_iter(paths) });
        return Some(cached(request, &index));
    }
    let name = DOCUMENTS.into_iter().find(|name| *name == document)?;
    let document = v3_document(view.version, name);
    let current = hash(&document);
    match Query::parse(request.query).get("hash") {
        Some(known) if !known.is_empty() && known != current => {
            let location = format!("/openapi/v3/{name}?hash={current}");
            Some(Reply::new(301, JSON, "").with_header("Location", location))
        }
        known => {
            let reply = cached(request, &document).with_header("Vary", "Accept");
            Some(match known {
                Some(_) => reply.with_header("Cache-Control", "public, immutable"),
                None => reply,
            })
        }
    }
}

fn v3_document(version: Version, name: &str) -> Value {
    let root = format!("/{name}/");
    let resources = root.trim_end_matches('/') == RESOURCES;
    let belongs = |path: &str| path == root || (resources && path.starts_with(&root));
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let schemas = if resources {
        schemas("#/components/schemas/")
    } else {
        json!({})
    };
    json!({
        "openapi": "3.0.0",
        "info": info(version),
        "paths": paths(belongs, &reference, true),
        "components": { "schemas": schemas },
    })
}

/// The version is metrics-server's own, without what follows a hyphen: a
/// release has none.
fn info(version: Version) -> Value {
    let version = version.git_version();
    json!({ "title": "Kubernetes metrics-server", "version": version })
}

fn paths(
    belongs: impl Fn(&str) -> bool,
    reference: &dyn Fn(&str) -> Value,
    content: bool,
) -> Value {
    let operations = OPERATIONS
        .iter()
        .filter(|operation| belongs(operation.path));
    let paths = operations.map(|operation| {
        let mut ok = json!({ "description": "OK" });
        if let Some(kind) = operation.returns {
            let schema = reference(&format!("{TYPES}.{kind}"));
            if content {
                ok["content"] = json!({ "application/json": { "schema": schema } });
            } else {
                ok["schema"] = schema;
            }
        }
        let mut item = json!({
            "get": {
                "description": operation.description,
                "operationId": operation.id,
                "responses": { "200": ok, "401": { "description": "Unauthorized" } },
            },
        });
        let parameters = parameters(operation.path, content);
        if !parameters.is_empty() {
            item["parameters"] = Value::Array(parameters);
        }
        (operation.path.to_owned(), item)
    });
    Value::Object(paths.collect())
}

/// The parameters in a path's braces; version 3 wraps their type.
fn parameters(path: &str, wrapped: bool) -> Vec<Value> {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<_> = names
        .map(|name| {
            let mut parameter = json!({ "name": name, "in": "path", "required": true });
            if wrapped {
                parameter["schema"] = json!({ "type": "string", "uniqueItems": true });
            } else {
                parameter["type"] = "string".into();
                parameter["uniqueItems"] = true.into();
            }
            parameter
        })
        .collect();
    parameters.reverse();
    parameters
}

/// The API's own types.
fn schemas(prefix: &str) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("{prefix}{TYPES}.{name}") });
    let text = json!({ "type": "string" });
    let usage = json!({ "type": "object", "additionalProperties": text });
    let kind = |kind: &str| json!([{ "group": GROUP, "kind": kind, "version": "v1beta1" }]);
    let object = |name: &str, required: Value, extra: (&str, Value)| {
        let mut properties = json!({
            "apiVersion": text,
            "kind": text,
            "metadata": { "type": "object" },
            "timestamp": { "type": "string", "format": "date-time" },
            "window": text,
        });
        properties[extra.0] = extra.1;
        json!({
            "type": "object",
            "required": required,
            "properties": properties,
            "x-kubernetes-group-version-kind": kind(name),
        })
    };
    let list = |name: &str, item: &str| {
        json!({
            "type": "object",
            "required": ["metadata", "items"],
            "properties": {
                "apiVersion": text,
                "items": { "type": "array", "items": reference(item) },
                "kind": text,
                "metadata": { "type": "object" },
            },
            "x-kubernetes-group-version-kind": kind(name),
        })
    };
    let containers = json!({ "type": "array", "items": reference("ContainerMetrics") });
    let container = json!({
        "type": "object",
        "required": ["name", "usage"],
        "properties": { "name": text, "usage": usage },
    });
    let types = [
        ("ContainerMetrics", container),
        ("NodeMetrics", {
            let required = json!(["timestamp", "window", "usage"]);
            object("NodeMetrics", required, ("usage", usage.clone()))
        }),
        ("NodeMetricsList", list("NodeMetricsList", "NodeMetrics")),
        ("PodMetrics", {
            let required = json!(["timestamp", "window", "containers"]);
            object("PodMetrics", required, ("containers", containers))
        }),
        ("PodMetricsList", list("PodMetricsList", "PodMetrics")),
    ];
    let named = types.map(|(name, schema)| (format!("{TYPES}.{name}"), schema));
    Value::Object(Map::from_iter(named))
}

fn hash(document: &Value) -> String {
    format!("{:016X}", fnv1a(document.to_string().as_bytes()))
}

/// The document, or 304 for a client that has it.
fn cached(request: &ApiRequest<'_>, document: &Value) -> Reply {
    let body = document.to_string();
    let etag = etag(body.as_bytes());
    let unchanged = request.if_none_match == Some(&etag);
    let (status, body) = if unchanged {
        (304, String::new())
    } else {
        (200, body)
    };
    Reply::new(status, JSON, body).with_header("ETag", etag)
}
