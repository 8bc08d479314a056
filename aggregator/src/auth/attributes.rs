//! What a request asks for, in the authorizer's terms.

use crate::api::query::Query;
use crate::api::status::Attributes;

/// A request as it is authorized.
///
/// Source: lib: apiserver `pkg/endpoints/request/requestinfo.go:
/// (*RequestInfoFactory).NewRequestInfo`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// `get`, `list`, …
    pub verb: String,
    /// The path.
    pub path: String,
    /// The API object or list, if the path leads to one.
    pub resource: Option<ResourceQuestion>,
}

/// An API object or list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ResourceQuestion {
    /// `metrics.k8s.io`
    pub group: String,
    /// `v1beta1`
    pub version: String,
    /// `pods`
    pub resource: String,
    /// `log`
    pub subresource: String,
    /// Empty if cluster-wide.
    pub namespace: String,
    /// Empty for a list.
    pub name: String,
}

impl Question {
    /// What this request asks for; `path` is without percent-encoding, as the
    /// router will read it.
    #[must_use]
    pub fn of(method: &str, path: &str, query: Option<&str>) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let resource = match parts.as_slice() {
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                resource_of(group, version, rest)
            }
            ["api", version, rest @ ..] if !rest.is_empty() => resource_of("", version, rest),
            _ => None,
        };
        let Some(mut resource) = resource else {
            return Self {
                verb: method.to_lowercase(),
                path: path.to_owned(),
                resource: None,
            };
        };
        let verb = resource_verb(method, &mut resource, query);
        Self {
            verb: verb.to_owned(),
            path: path.to_owned(),
            resource: Some(resource),
        }
    }

    /// The same for the text of a refusal.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        match &self.resource {
            None => Attributes::Path {
                verb: &self.verb,
                path: &self.path,
            },
            Some(resource) => Attributes::Resource {
                verb: &self.verb,
                group: &resource.group,
                resource: &resource.resource,
                namespace: &resource.namespace,
                name: &resource.name,
            },
        }
    }
}

/// Reads what follows the version: `[namespaces/<ns>/]<resource>[/<name>[/<subresource>]]`.
fn resource_of(group: &str, version: &str, rest: &[&str]) -> Option<ResourceQuestion> {
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..]
            if !rest.is_empty() && !["status", "finalize"].contains(&rest[0]) =>
        {
            (*namespace, rest)
        }
        ["namespaces", namespace, ..] => (*namespace, rest),
        _ => ("", rest),
    };
    let part = |index: usize| {
        rest.get(index)
            .map_or(String::new(), |&part| part.to_owned())
    };
    Some(ResourceQuestion {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: part(0),
        name: part(1),
        subresource: part(2),
    })
}

fn resource_verb(
    method: &str,
    resource: &mut ResourceQuestion,
    query: Option<&str>,
) -> &'static str {
    let many = resource.name.is_empty();
    match method {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if many => "deletecollection",
        "DELETE" => "delete",
        "GET" | "HEAD" if many => {
            let query = Query::parse(query);
            let name = query.get("fieldSelector").and_then(exact_name);
            resource.name = name.unwrap_or_default().to_owned();
            let watches = query
                .get("watch")
                .is_some_and(|value| !matches!(value, "false" | "0"));
            if watches { "watch" } else { "list" }
        }
        "GET" | "HEAD" => "get",
        _ => "",
    }
}

/// The name that a field selector asks for, if it asks for one.
fn exact_name(selector: &str) -> Option<&str> {
    selector.split(',').find_map(|term| {
        let value = term.strip_prefix("metadata.name=")?;
        Some(value.strip_prefix('=').unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, query: Option<&str>, expected: &str) {
        let asked = Question::of(method, path, query);
        let text = match &asked.resource {
            None => format!("{} {}", asked.verb, asked.path),
            Some(r) => format!(
                "{} {}/{} {} ns={} name={} sub={}",
                asked.verb, r.group, r.version, r.resource, r.namespace, r.name, r.subresource
            ),
        };
        assert_eq!(text, expected, "{method} {path} {query:?}");
    }

    #[test]
    fn paths_outside_of_resources_are_asked_for_as_they_are() {
        check("GET", "/metrics", None, "get /metrics");
        check(
            "GET",
            "/readyz/metric-storage-ready",
            None,
            "get /readyz/metric-storage-ready",
        );
        check(
            "GET",
            "/apis/metrics.k8s.io/v1beta1",
            None,
            "get /apis/metrics.k8s.io/v1beta1",
        );
        check("POST", "/", None, "post /");
    }

    #[test]
    fn resources_are_told_by_group_namespace_and_name() {
        let base = "/apis/metrics.k8s.io/v1beta1";
        let prefix = "metrics.k8s.io/v1beta1";
        check(
            "GET",
            &format!("{base}/nodes"),
            None,
            &format!("list {prefix} nodes ns= name= sub="),
        );
        check(
            "GET",
            &format!("{base}/nodes/n1"),
            None,
            &format!("get {prefix} nodes ns= name=n1 sub="),
        );
        check(
            "GET",
            &format!("{base}/namespaces/kube-system/pods/web"),
            None,
            &format!("get {prefix} pods ns=kube-system name=web sub="),
        );
        check(
            "GET",
            &format!("{base}/pods"),
            Some("watch=true&fieldSelector=metadata.name%3Dweb"),
            &format!("watch {prefix} pods ns= name=web sub="),
        );
        check(
            "DELETE",
            &format!("{base}/nodes"),
            None,
            &format!("deletecollection {prefix} nodes ns= name= sub="),
        );
        check("GET", "/api/v1/pods", None, "list /v1 pods ns= name= sub=");
    }
}
