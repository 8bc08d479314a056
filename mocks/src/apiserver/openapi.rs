//! OpenAPI documents, as far as `kubectl explain` and validation ask for them.
//!
//! DIFFERENCE: kinds are described down to the fields of the object itself,
//! in words of our own; what lies below `spec` and `status` is an object of
//! any shape. Version 2 does not include the documents of backends.
//!
//! Source: kube-openapi `pkg/handler{,3}/handler.go` for paths and form;
//! kubectl `pkg/explain/v2/templates/plaintext.tmpl` for what is looked for.

use serde_json::{Map, Value, json};

use super::VERSION;
use super::resources::{GROUPS, ResourceType, group_version, of};

/// `GET /openapi/<path>`: what the API server says of itself; `None` for a
/// document that is not its own. `registered` are groups and versions that
/// APIServices add.
pub(crate) fn document(path: &str, registered: &[(String, String)]) -> Option<Value> {
    if path == "v2" {
        return Some(swagger());
    }
    if path == "v3" {
        return Some(index(registered));
    }
    let (group, version) = group_version_of(path)?;
    let known = group.is_empty() && version == "v1" || GROUPS.contains(&(group, version));
    known.then(|| group_document(group, version))
}

/// The APIService whose backend has a document of version 3, if it is one's.
pub(crate) fn api_service(path: &str) -> Option<String> {
    match group_version_of(path)? {
        ("", _) => None,
        (group, version) => Some(format!("{version}.{group}")),
    }
}

/// Reads `v3/api/v1` and `v3/apis/apps/v1`.
fn group_version_of(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix("v3/")?;
    if let Some(version) = path.strip_prefix("api/") {
        return Some(("", version));
    }
    path.strip_prefix("apis/")?.split_once('/')
}

fn index(registered: &[(String, String)]) -> Value {
    let mut paths = Map::new();
    let built_in = [("", "v1")].into_iter().chain(GROUPS.iter().copied());
    let added = registered
        .iter()
        .map(|(group, version)| (group.as_str(), version.as_str()));
    for (group, version) in built_in.chain(added) {
        let path = match group {
            "" => format!("api/{version}"),
            _ => format!("apis/{group}/{version}"),
        };
        let url = format!("/openapi/v3/{path}");
        paths.insert(path, json!({"serverRelativeURL": url}));
    }
    json!({"paths": paths})
}

fn group_document(group: &str, version: &str) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in of(group, version) {
        let operation = json!({
            "description": format!("objects of kind {}", resource.kind),
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-group-version-kind": kind_of(resource),
        });
        let verb = match resource.verbs.contains(&"create") {
            true => "post",
            false => "get",
        };
        for path in paths_of(resource) {
            paths.insert(path, json!({verb: operation}));
        }
        schemas.insert(
            schema_name(resource),
            schema(resource, "#/components/schemas/"),
        );
    }
    schemas.insert(METADATA.to_owned(), metadata());
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

fn swagger() -> Value {
    let mut definitions = Map::new();
    for (group, version) in [("", "v1")].iter().chain(GROUPS) {
        for resource in of(group, version) {
            definitions.insert(schema_name(resource), schema(resource, "#/definitions/"));
        }
    }
    definitions.insert(METADATA.to_owned(), metadata());
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": {},
        "definitions": definitions,
    })
}

fn paths_of(resource: &ResourceType) -> Vec<String> {
    let prefix = match resource.group {
        "" => "/api".to_owned(),
        _ => "/apis".to_owned(),
    };
    let base = format!(
        "{prefix}/{}",
        group_version(resource.group, resource.version)
    );
    let plural = resource.plural;
    match resource.namespaced {
        true => vec![
            format!("{base}/{plural}"),
            format!("{base}/namespaces/{{namespace}}/{plural}"),
            format!("{base}/namespaces/{{namespace}}/{plural}/{{name}}"),
        ],
        false => vec![
            format!("{base}/{plural}"),
            format!("{base}/{plural}/{{name}}"),
        ],
    }
}

fn kind_of(resource: &ResourceType) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

/// The name under which a kind's schema is known.
fn schema_name(resource: &ResourceType) -> String {
    let (version, kind) = (resource.version, resource.kind);
    match resource.group {
        "" => format!("io.k8s.api.core.{version}.{kind}"),
        "apiregistration.k8s.io" => {
            format!("io.k8s.kube-aggregator.pkg.apis.apiregistration.{version}.{kind}")
        }
        group => {
            let short = group.split('.').next().unwrap_or(group);
            format!("io.k8s.api.{short}.{version}.{kind}")
        }
    }
}

const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A field of an object: name, type and description.
type Field = (&'static str, &'static str, &'static str);

const KIND: &[Field] = &[
    (
        "apiVersion",
        "string",
        "Group and version of the schema that this object follows.",
    ),
    ("kind", "string", "What this object is."),
];

const SPEC: Field = ("spec", "object", "What is wanted.");
const STATUS: Field = ("status", "object", "What is, as last observed.");

/// The fields of a kind besides those that every object has.
fn fields(kind: &str) -> &'static [Field] {
    match kind {
        "ConfigMap" => &[
            ("data", "object", "Texts by key."),
            ("binaryData", "object", "Bytes by key, in base64."),
            (
                "immutable",
                "boolean",
                "Whether the data can no longer change.",
            ),
        ],
        "Event" => &[
            ("involvedObject", "object", "The object that it is about."),
            ("type", "string", "Normal or Warning."),
            ("reason", "string", "Why, in one word."),
            ("message", "string", "What happened, for people."),
            ("source", "object", "The component that says so."),
            ("count", "integer", "How often it happened."),
            ("firstTimestamp", "string", "When it happened first."),
            ("lastTimestamp", "string", "When it happened last."),
            (
                "eventTime",
                "string",
                "When it was first observed, to the microsecond.",
            ),
            (
                "reportingComponent",
                "string",
                "The controller that says so.",
            ),
            ("reportingInstance", "string", "Which instance of it."),
            ("action", "string", "What was done, or failed."),
        ],
        "EndpointSlice" => &[
            ("addressType", "string", "IPv4, IPv6 or FQDN."),
            ("endpoints", "array", "Addresses, each with its conditions."),
            ("ports", "array", "Ports that each endpoint serves on."),
        ],
        "SelfSubjectReview" => &[STATUS],
        "Lease" => &[SPEC],
        _ => &[SPEC, STATUS],
    }
}

fn schema(resource: &ResourceType, definitions: &str) -> Value {
    let mut properties = properties(KIND);
    properties.insert(
        "metadata".to_owned(),
        json!({
            "description": "Name, labels and what else objects have in common.",
            "allOf": [{"$ref": format!("{definitions}{METADATA}")}],
        }),
    );
    properties.extend(self::properties(fields(resource.kind)));
    json!({
        "description": format!("An object of kind {}.", resource.kind),
        "type": "object",
        "properties": properties,
        "x-kubernetes-group-version-kind": [kind_of(resource)],
    })
}

fn metadata() -> Value {
    let fields: &[Field] = &[
        (
            "name",
            "string",
            "Unique within the namespace and the kind.",
        ),
        (
            "generateName",
            "string",
            "What a generated name begins with.",
        ),
        (
            "namespace",
            "string",
            "The space within which the name is unique.",
        ),
        ("uid", "string", "Unique in time and space."),
        (
            "resourceVersion",
            "string",
            "Changes with every change of the object.",
        ),
        (
            "creationTimestamp",
            "string",
            "When the object was created.",
        ),
        (
            "deletionTimestamp",
            "string",
            "When the object is to be gone.",
        ),
        ("labels", "object", "Keys and values to select by."),
        ("annotations", "object", "Keys and values for tools."),
        (
            "ownerReferences",
            "array",
            "Objects that this one goes with.",
        ),
    ];
    json!({
        "description": "What all objects have in common.",
        "type": "object",
        "properties": properties(fields),
    })
}

fn properties(fields: &[Field]) -> Map<String, Value> {
    let property = |(name, kind, description): &Field| {
        let mut property = json!({"description": description, "type": kind});
        if *kind == "array" {
            property["items"] = json!({"type": "object"});
        }
        ((*name).to_owned(), property)
    };
    fields.iter().map(property).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_names_own_and_added_group_versions() {
        let index = document("v3", &[("metrics.k8s.io".into(), "v1beta1".into())]);
        let index = index.expect("served");
        let url = |path: &str| index["paths"][path]["serverRelativeURL"].clone();
        assert_eq!(url("api/v1"), "/openapi/v3/api/v1");
        assert_eq!(
            url("apis/metrics.k8s.io/v1beta1"),
            "/openapi/v3/apis/metrics.k8s.io/v1beta1"
        );
    }

    #[test]
    fn a_kind_is_found_by_its_path_and_by_its_name() {
        let core = document("v3/api/v1", &[]).expect("served");
        let path = &core["paths"]["/api/v1/namespaces/{namespace}/pods"]["get"];
        let expected = json!({"group": "", "version": "v1", "kind": "Pod"});
        assert_eq!(path["x-kubernetes-group-version-kind"], expected);
        let pod = &core["components"]["schemas"]["io.k8s.api.core.v1.Pod"];
        assert_eq!(pod["x-kubernetes-group-version-kind"][0], expected);
        assert_eq!(pod["properties"]["spec"]["type"], "object");
    }

    #[test]
    fn what_backends_say_of_themselves_is_theirs() {
        let path = "v3/apis/metrics.k8s.io/v1beta1";
        assert_eq!(document(path, &[]), None);
        assert_eq!(api_service(path).as_deref(), Some("v1beta1.metrics.k8s.io"));
        assert_eq!(document("v4", &[]), None);
        assert_eq!(api_service("v4"), None);
    }

    #[test]
    fn version_two_defines_all_kinds() {
        let swagger = document("v2", &[]).expect("served");
        assert!(swagger["definitions"]["io.k8s.api.apps.v1.Deployment"].is_object());
    }
}
