//! What a request asks for, read from its method, path and query.

use std::borrow::Cow;

/// A request, as authorization and routing see it.
///
/// Source: apiserver `pkg/endpoints/request/requestinfo.go: NewRequestInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RequestInfo {
    /// Whether the path names a resource.
    pub(crate) is_resource: bool,
    pub(crate) path: String,
    /// `get`, `list`, `watch`, `create`, …
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) name: String,
}

impl RequestInfo {
    /// Reads a request. `path` is without the query.
    pub(crate) fn new(method: &str, path: &str, query: &Query) -> Self {
        let mut info = Self {
            path: path.to_owned(),
            verb: method_verb(method),
            ..Self::default()
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let rest = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                info.group = (*group).to_owned();
                info.version = (*version).to_owned();
                rest
            }
            _ => return info,
        };
        info.is_resource = true;
        info.read_resource(rest);
        info.verb = info.resource_verb(method, query);
        info
    }

    fn read_resource(&mut self, parts: &[&str]) {
        let parts = match parts {
            ["namespaces", namespace, rest @ ..] => {
                self.namespace = (*namespace).to_owned();
                // A namespace itself is a resource in its own namespace.
                if rest.is_empty() || matches!(rest, ["status" | "finalize"]) {
                    parts
                } else {
                    rest
                }
            }
            _ => parts,
        };
        let part = |index: usize| {
            parts
                .get(index)
                .map(ToString::to_string)
                .unwrap_or_default()
        };
        self.resource = part(0);
        self.name = part(1);
        self.subresource = part(2);
    }

    /// A GET is a `list` or `watch` unless it names an object; a field
    /// selector on one name names it for authorization.
    fn resource_verb(&mut self, method: &str, query: &Query) -> &'static str {
        let watching = query.is_true("watch");
        match method {
            "GET" | "HEAD" if self.name.is_empty() => {
                if let Some(name) = query
                    .get("fieldSelector")
                    .and_then(|selector| selector.strip_prefix("metadata.name="))
                    && !name.contains(',')
                {
                    self.name = name.to_owned();
                }
                if watching { "watch" } else { "list" }
            }
            "DELETE" if self.name.is_empty() => "deletecollection",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" => "patch",
            "DELETE" => "delete",
            _ => "get",
        }
    }
}

fn method_verb(method: &str) -> &'static str {
    match method {
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "HEAD" => "head",
        "OPTIONS" => "options",
        _ => "get",
    }
}

/// The decoded parameters of a URL's query, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`.
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The first value of a parameter; absent and empty are the same.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Whether a parameter is named, with or without a value.
    pub(crate) fn is_present(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Whether a boolean parameter is set: `true` and `1`, as client-go and
    /// people write it.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => match (bytes.next().and_then(hex), bytes.next().and_then(hex)) {
                (Some(high), Some(low)) => out.push(high << 4 | low),
                _ => out.push(b'%'),
            },
            _ => out.push(byte),
        }
    }
    match String::from_utf8_lossy(&out) {
        Cow::Borrowed(text) => text.to_owned(),
        Cow::Owned(text) => text,
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, target: &str, expected: &str) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let info = RequestInfo::new(method, path, &Query::parse(query));
        let line = if info.is_resource {
            format!(
                "{} {}/{} ns={} {}/{} {}",
                info.verb,
                info.group,
                info.version,
                info.namespace,
                info.resource,
                info.subresource,
                info.name
            )
        } else {
            format!("{} {}", info.verb, info.path)
        };
        assert_eq!(line, expected);
    }

    #[test]
    fn paths_name_resources_from_their_third_or_fourth_part_on() {
        check("GET", "/", "get /");
        check("GET", "/api/v1", "get /api/v1");
        check("GET", "/apis/apps/v1", "get /apis/apps/v1");
        check("GET", "/api/v1/nodes", "list /v1 ns= nodes/ ");
        check("GET", "/api/v1/nodes?watch=1", "watch /v1 ns= nodes/ ");
        check("GET", "/api/v1/nodes/a", "get /v1 ns= nodes/ a");
        check(
            "GET",
            "/api/v1/nodes/a/metrics",
            "get /v1 ns= nodes/metrics a",
        );
        check("GET", "/api/v1/namespaces/b/pods", "list /v1 ns=b pods/ ");
        check("GET", "/api/v1/namespaces/b", "get /v1 ns=b namespaces/ b");
        check(
            "POST",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            "create authorization.k8s.io/v1 ns= subjectaccessreviews/ ",
        );
    }

    #[test]
    fn a_field_selector_on_one_name_names_the_object() {
        check(
            "GET",
            "/api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Da&watch=true",
            "watch /v1 ns=kube-system configmaps/ a",
        );
    }

    #[test]
    fn queries_are_percent_decoded() {
        let query = Query::parse("fieldSelector=status.phase%3DRunning&a=b+c&d=%zz");
        assert_eq!(query.get("fieldSelector"), Some("status.phase=Running"));
        assert_eq!(query.get("a"), Some("b c"));
        assert_eq!(query.get("d"), Some("%"));
    }
}
