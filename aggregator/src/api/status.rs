//! `Status` objects: what the API says when it says no.
//!
//! Source: apimachinery `pkg/api/errors/errors.go`; apiserver
//! `pkg/endpoints/handlers/responsewriters/errors.go`.

use serde::Serialize;

use super::ApiRequest;
use super::json;
use super::negotiate::{self, Restrictions};
use super::reply::{JSON, Reply};
use crate::decode::quote::quote;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) details: Option<Details>,
}

/// What a refusal is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) kind: String,
}

#[derive(Serialize)]
struct Status<'a> {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    message: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
    code: u16,
}

/// `{}`
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Empty {}

impl Refusal {
    /// 404 for an object: `nodemetrics.metrics.k8s.io "a" not found`.
    pub(super) fn not_found(group: &str, kind: &str, name: &str) -> Self {
        let resource = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        Self {
            code: 404,
            reason: "NotFound",
            message: format!("{resource} {} not found", quote(name.as_bytes())),
            details: Some(Details {
                name: name.into(),
                group: group.into(),
                kind: kind.into(),
            }),
        }
    }

    /// 404 for a path inside the API that leads nowhere.
    pub(super) fn no_such_resource() -> Self {
        Self {
            code: 404,
            reason: "NotFound",
            message: "the server could not find the requested resource".into(),
            details: Some(Details::default()),
        }
    }

    /// 405 for any method but GET.
    pub(super) fn method_not_allowed() -> Self {
        Self {
            code: 405,
            reason: "MethodNotAllowed",
            message: "the server does not allow this method on the requested resource".into(),
            details: Some(Details::default()),
        }
    }

    /// 405 for `?watch=true`.
    pub(super) fn no_watch(group: &str, resource: &str) -> Self {
        Self {
            code: 405,
            reason: "MethodNotAllowed",
            message: format!(
                "watch is not supported on resources of kind {}",
                quote(format!("{resource}.{group}").as_bytes())
            ),
            details: Some(Details {
                name: String::new(),
                group: group.into(),
                kind: resource.into(),
            }),
        }
    }

    /// 400 with the message.
    pub(super) fn bad_request(message: String) -> Self {
        Self {
            code: 400,
            reason: "BadRequest",
            message,
            details: None,
        }
    }

    /// 406 with the message.
    pub(super) fn not_acceptable(message: String, details: Option<Details>) -> Self {
        Self {
            code: 406,
            reason: "NotAcceptable",
            message,
            details,
        }
    }

    /// The answer. A refusal reaches also clients that accept none of our
    /// encodings: they get indented JSON.
    pub(super) fn reply(&self, request: &ApiRequest<'_>) -> Reply {
        let output = negotiate::output(request, Restrictions::Nothing);
        let status = Status {
            kind: "Status",
            api_version: "v1",
            metadata: Empty {},
            status: "Failure",
            message: &self.message,
            reason: self.reason,
            details: self.details.as_ref(),
            code: self.code,
        };
        let pretty = output.map_or(true, |output| output.pretty);
        Reply::new(self.code, JSON, json::encode(&status, pretty))
    }
}

/// 401 `Unauthorized`.
#[must_use]
pub fn unauthorized(request: &ApiRequest<'_>) -> Reply {
    let message = "Unauthorized".into();
    Refusal {
        code: 401,
        reason: "Unauthorized",
        message,
        details: None,
    }
    .reply(request)
}

/// What an authorizer was asked about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attributes<'a> {
    /// A path outside the API.
    Path {
        /// The lower-case verb: `get`.
        verb: &'a str,
        /// `/metrics`
        path: &'a str,
    },
    /// An API object or list.
    Resource {
        /// `get`, `list`, …
        verb: &'a str,
        /// `metrics.k8s.io`
        group: &'a str,
        /// `nodes`
        resource: &'a str,
        /// Empty if cluster-wide.
        namespace: &'a str,
        /// Empty for a list.
        name: &'a str,
    },
}

/// 403 for `user`; `reason` is the authorizer's, possibly empty.
#[must_use]
pub fn forbidden(
    request: &ApiRequest<'_>,
    user: &str,
    asked: &Attributes<'_>,
    reason: &str,
) -> Reply {
    let mut denial = sanitized(&denial(user, asked));
    if !reason.is_empty() {
        denial = format!("{denial}: {reason}");
    }
    let (message, details) = match *asked {
        Attributes::Path { .. } => (format!("forbidden: {denial}"), Details::default()),
        Attributes::Resource {
            group,
            resource,
            name,
            ..
        } => {
            let mut subject = format!("{resource}.{group}");
            if group.is_empty() {
                subject.truncate(resource.len());
            }
            if !name.is_empty() {
                subject = format!("{subject} {}", quote(name.as_bytes()));
            }
            let details = Details {
                name: name.into(),
                group: group.into(),
                kind: resource.into(),
            };
            (format!("{subject} is forbidden: {denial}"), details)
        }
    };
    Refusal {
        code: 403,
        reason: "Forbidden",
        message,
        details: Some(details),
    }
    .reply(request)
    .with_header("X-Content-Type-Options", "nosniff")
}

/// Source: apiserver `responsewriters/errors.go: forbiddenMessage`.
fn denial(user: &str, asked: &Attributes<'_>) -> String {
    let quoted = |text: &str| quote(text.as_bytes());
    let user = quoted(user);
    match *asked {
        Attributes::Path { verb, path } => {
            format!("User {user} cannot {verb} path {}", quoted(path))
        }
        Attributes::Resource {
            verb,
            group,
            resource,
            namespace,
            ..
        } => {
            let (resource, group) = (quoted(resource), quoted(group));
            let scope = if namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {}", quoted(namespace))
            };
            format!("User {user} cannot {verb} resource {resource} in API group {group} {scope}")
        }
    }
}

/// Names come from the client, and the text might end up in a web page.
fn sanitized(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// 500 `Internal error occurred: <message>`.
#[must_use]
pub fn internal_error(request: &ApiRequest<'_>, message: &str) -> Reply {
    let message = format!("Internal error occurred: {message}");
    let details = Some(Details::default());
    Refusal {
        code: 500,
        reason: "InternalError",
        message,
        details,
    }
    .reply(request)
}

/// 504: the handler ran into the request time-out.
///
/// Source: apiserver `pkg/server/filters/timeout.go`.
#[must_use]
pub fn timeout(request: &ApiRequest<'_>) -> Reply {
    let message = "Timeout: request did not complete within the allotted timeout".into();
    let details = Some(Details::default());
    Refusal {
        code: 504,
        reason: "Timeout",
        message,
        details,
    }
    .reply(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(reply: &Reply) -> &str {
        std::str::from_utf8(&reply.body).expect("JSON is UTF-8")
    }

    fn resource(name: &'static str, namespace: &'static str) -> Attributes<'static> {
        Attributes::Resource {
            verb: if name.is_empty() { "list" } else { "get" },
            group: "metrics.k8s.io",
            resource: if namespace.is_empty() {
                "nodes"
            } else {
                "pods"
            },
            namespace,
            name,
        }
    }

    #[test]
    fn denied_requests_are_told_what_they_may_not_do() {
        let anonymous = "system:anonymous";
        let path = Attributes::Path {
            verb: "get",
            path: "/metrics",
        };
        for (asked, message, details) in [
            (
                resource("", ""),
                r#"nodes.metrics.k8s.io is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"metrics.k8s.io\" at the cluster scope"#,
                r#"{"group":"metrics.k8s.io","kind":"nodes"}"#,
            ),
            (
                resource("web", "ns1"),
                r#"pods.metrics.k8s.io \"web\" is forbidden: User \"system:anonymous\" cannot get resource \"pods\" in API group \"metrics.k8s.io\" in the namespace \"ns1\""#,
                r#"{"name":"web","group":"metrics.k8s.io","kind":"pods"}"#,
            ),
            (
                path,
                r#"forbidden: User \"system:anonymous\" cannot get path \"/metrics\""#,
                "{}",
            ),
        ] {
            let reply = forbidden(&ApiRequest::default(), anonymous, &asked, "");
            assert_eq!(reply.status, 403);
            assert_eq!(
                body(&reply),
                format!(
                    "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\
                     \"message\":\"{message}\",\"reason\":\"Forbidden\",\"details\":{details},\"code\":403}}\n"
                )
            );
        }
    }

    #[test]
    fn strangers_are_refused_in_one_word() {
        let reply = unauthorized(&ApiRequest::default());
        assert_eq!(
            body(&reply),
            "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\",\
             \"message\":\"Unauthorized\",\"reason\":\"Unauthorized\",\"code\":401}\n"
        );
        let curl = ApiRequest {
            user_agent: Some("curl/8.0"),
            ..ApiRequest::default()
        };
        assert!(body(&unauthorized(&curl)).starts_with("{\n  \"kind\": \"Status\",\n"));
    }
}
