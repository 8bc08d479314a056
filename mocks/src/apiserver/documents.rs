//! Discovery documents, in both forms.

use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::resources::{GROUPS, ResourceType, group_version, of};

/// A group version that an APIService adds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Addition {
    pub(crate) group: String,
    pub(crate) version: String,
    /// What the backend said of itself, or that it could not be asked.
    pub(crate) resources: Option<Value>,
}

/// A document, and the tag by which clients know it again.
#[derive(Debug, Clone)]
pub(crate) struct Tagged {
    pub(crate) body: bytes::Bytes,
    pub(crate) etag: String,
}

impl Tagged {
    /// Source: apiserver `pkg/endpoints/discovery/aggregated/etag.go`.
    fn new(document: &Value) -> Self {
        let body = super::reply::to_line(document);
        let hash = Sha512::digest(&body[..body.len() - 1]);
        let hex: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
        Self {
            body,
            etag: format!("\"{hex}\""),
        }
    }
}

/// `GET /api`: `APIVersions`.
pub(crate) fn core_versions(server: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server}],
    })
}

/// `GET /`: `RootPaths`.
///
/// DIFFERENCE: it names what is served here; a real server has a line for each
/// health check as well.
///
/// Source: apiserver `pkg/server/routes/index.go`.
pub(crate) fn root(registered: &[(String, String)]) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    let built_in = GROUPS.iter().map(|(group, version)| (*group, *version));
    let added = registered
        .iter()
        .map(|(group, version)| (group.as_str(), version.as_str()));
    for (group, version) in built_in.chain(added) {
        paths.push(format!("/apis/{group}"));
        paths.push(format!("/apis/{group}/{version}"));
    }
    let rest = [
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    paths.extend(rest.map(str::to_owned));
    paths.sort();
    json!({"paths": paths})
}

/// `GET /apis`: `APIGroupList`. APIServices are listed as soon as they exist,
/// available or not.
///
/// Source: kube-aggregator `pkg/apiserver/handler_apis.go`.
pub(crate) fn group_list(registered: &[(String, String)]) -> Value {
    let built_in = GROUPS
        .iter()
        .map(|(group, version)| group_entry(group, version));
    let added = registered
        .iter()
        .map(|(group, version)| group_entry(group, version));
    let groups: Vec<Value> = built_in.chain(added).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/<group>`: `APIGroup`.
pub(crate) fn group(group: &str, version: &str) -> Value {
    let entry = group_entry(group, version);
    json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": entry["name"],
        "versions": entry["versions"],
        "preferredVersion": entry["preferredVersion"],
    })
}

fn group_entry(group: &str, version: &str) -> Value {
    let version = json!({"groupVersion": group_version(group, version), "version": version});
    json!({"name": group, "versions": [version], "preferredVersion": version})
}

/// `GET /api/v1`, `/apis/<group>/<version>`: `APIResourceList`.
pub(crate) fn resource_list(group: &str, version: &str) -> Value {
    let resources: Vec<Value> = of(group, version).map(legacy_resource).collect();
    let mut list = json!({"kind": "APIResourceList"});
    // The core group's list is older than the rule that it has a version.
    if !group.is_empty() {
        list["apiVersion"] = json!("v1");
    }
    list["groupVersion"] = json!(group_version(group, version));
    list["resources"] = json!(resources);
    list
}

fn legacy_resource(resource: &ResourceType) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    entry
}

/// `GET /api` in aggregated form.
pub(crate) fn aggregated_core(form: &str) -> Tagged {
    let version = built_in_version("", "v1");
    Tagged::new(&discovery_list(
        form,
        &[json!({"metadata": {}, "versions": [version]})],
    ))
}

/// `GET /apis` in aggregated form. A group version whose backend could not be
/// asked is listed as stale, without resources.
///
/// Source: kube-aggregator `pkg/apiserver/handler_discovery.go`.
pub(crate) fn aggregated(form: &str, additions: &[Addition]) -> Tagged {
    let mut items: Vec<Value> = GROUPS
        .iter()
        .map(|(group, version)| {
            let versions = [built_in_version(group, version)];
            json!({"metadata": {"name": group}, "versions": versions})
        })
        .collect();
    for addition in additions {
        let mut version = json!({"version": addition.version});
        if let Some(resources) = &addition.resources {
            version["resources"] = resources.clone();
        }
        version["freshness"] = json!(match addition.resources {
            Some(_) => "Current",
            None => "Stale",
        });
        items.push(json!({"metadata": {"name": addition.group}, "versions": [version]}));
    }
    Tagged::new(&discovery_list(form, &items))
}

fn discovery_list(form: &str, items: &[Value]) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{form}"),
        "metadata": {},
        "items": items,
    })
}

fn built_in_version(group: &str, version: &str) -> Value {
    let resources: Vec<Value> = of(group, version).map(aggregated_resource).collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn aggregated_resource(resource: &ResourceType) -> Value {
    let scope = if resource.namespaced {
        "Namespaced"
    } else {
        "Cluster"
    };
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": {
            "group": resource.group,
            "version": resource.version,
            "kind": resource.kind,
        },
        "scope": scope,
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    entry
}

/// A backend's `APIResourceList` in aggregated form.
///
/// Source: apiserver `pkg/endpoints/installer.go:
/// ConvertGroupVersionIntoToDiscovery`.
pub(crate) fn from_legacy(list: &Value, group: &str, version: &str) -> Option<Value> {
    let resources = list["resources"].as_array()?;
    let converted: Vec<Value> = resources
        .iter()
        // Sub-resources would be folded into their resource; nobody who
        // discovers metrics has any.
        .filter(|resource| {
            resource["name"]
                .as_str()
                .is_some_and(|name| !name.contains('/'))
        })
        .map(|resource| {
            let namespaced = resource["namespaced"] == true;
            json!({
                "resource": resource["name"],
                "responseKind": {
                    "group": resource.get("group").cloned().unwrap_or_else(|| json!(group)),
                    "version": resource.get("version").cloned().unwrap_or_else(|| json!(version)),
                    "kind": resource["kind"],
                },
                "scope": if namespaced { "Namespaced" } else { "Cluster" },
                "singularResource": resource["singularName"],
                "verbs": resource["verbs"],
            })
        })
        .collect();
    Some(json!(converted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(resources: Option<Value>) -> Addition {
        Addition {
            group: "metrics.k8s.io".into(),
            version: "v1beta1".into(),
            resources,
        }
    }

    fn last_version(document: &Tagged) -> Value {
        let document: Value = serde_json::from_slice(&document.body).expect("JSON");
        let items = document["items"].as_array().expect("a list");
        items.last().expect("not empty")["versions"][0].clone()
    }

    #[test]
    fn a_group_that_could_not_be_asked_is_stale_and_has_no_resources() {
        let stale = aggregated("v2", &[metrics(None)]);
        assert_eq!(
            last_version(&stale).to_string(),
            r#"{"version":"v1beta1","freshness":"Stale"}"#
        );
        let current = aggregated("v2", &[metrics(Some(json!([])))]);
        assert_eq!(
            last_version(&current).to_string(),
            r#"{"version":"v1beta1","resources":[],"freshness":"Current"}"#
        );
        assert_ne!(stale.etag, current.etag);
    }

    #[test]
    fn the_old_list_names_groups_without_regard_to_their_state() {
        let list = group_list(&[("metrics.k8s.io".into(), "v1beta1".into())]);
        let groups = list["groups"].as_array().expect("a list");
        assert_eq!(groups[0]["name"], "apiregistration.k8s.io");
        assert_eq!(
            groups.last().expect("not empty").to_string(),
            r#"{"name":"metrics.k8s.io","versions":[{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"metrics.k8s.io/v1beta1","version":"v1beta1"}}"#
        );
    }

    #[test]
    fn a_legacy_resource_list_converts_to_aggregated_resources() {
        let list = json!({"resources": [
            {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
        ]});
        assert_eq!(
            from_legacy(&list, "metrics.k8s.io", "v1beta1")
                .expect("a list")
                .to_string(),
            r#"[{"resource":"nodes","responseKind":{"group":"metrics.k8s.io","version":"v1beta1","kind":"NodeMetrics"},"scope":"Cluster","singularResource":"","verbs":["get","list"]}]"#
        );
    }
}
