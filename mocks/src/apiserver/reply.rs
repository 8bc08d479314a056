//! What the API server answers: JSON documents, Go's plain texts, failures.

use std::time::Duration;

use bytes::Bytes;
use http::header;
use serde_json::{Map, Value, json};

use super::Trouble;
use crate::http_server::Response;

/// Media type of every JSON answer that is no discovery document.
pub(crate) const JSON: &str = "application/json";

/// A body of this type, with the `Cache-Control` that kube-apiserver sets on
/// everything that it serves itself.
pub(crate) fn body(status: u16, content_type: &str, body: impl Into<Bytes>) -> Response {
    Response::new(status, body)
        .with_header(header::CACHE_CONTROL, "no-cache, private")
        .with_header(header::CONTENT_TYPE, content_type)
}

/// A JSON document, with the newline that Go's encoder appends.
pub(crate) fn json(status: u16, document: &Value) -> Response {
    body(status, JSON, to_line(document))
}

/// A JSON document and a newline.
pub(crate) fn to_line(document: &Value) -> Bytes {
    let mut line = serde_json::to_vec(document).expect("a JSON value always serialises");
    line.push(b'\n');
    line.into()
}

/// Go's `http.NotFound`.
pub(crate) fn page_not_found() -> Response {
    Response::text(404, "404 page not found")
}

/// A `Status` object that says what went wrong.
pub(crate) fn failure(failure: &Failure) -> Response {
    let response = json(failure.code, &failure.status());
    match failure.retry_after_seconds {
        Some(seconds) => response.with_header(header::RETRY_AFTER, &seconds.to_string()),
        None => response,
    }
}

/// What a server in trouble says.
///
/// Source: apiserver `pkg/server/filters/{maxinflight,priority-and-fairness}.go:
/// tooManyRequests`; a proxy's 503 has no form that all agree on.
pub(crate) fn trouble(trouble: Trouble) -> Response {
    match trouble {
        Trouble::TooManyRequests => {
            Response::text(429, "Too many requests, please try again later.")
                .with_header(header::RETRY_AFTER, "1")
        }
        Trouble::Datastore => failure(&Failure::datastore_timed_out()),
        Trouble::Unavailable => Response::text(503, "Service Unavailable"),
    }
}

/// An API error, as `metav1.Status` tells it.
///
/// Source: apimachinery `pkg/api/errors/errors.go`, one constructor each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    reason: &'static str,
    message: String,
    details: Option<Box<Map<String, Value>>>,
    retry_after_seconds: Option<u32>,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self {
            code,
            reason,
            message,
            details: None,
            retry_after_seconds: None,
        }
    }

    fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details
            .get_or_insert_default()
            .insert(name.to_owned(), value.into());
        self
    }

    fn with_empty_details(mut self) -> Self {
        self.details.get_or_insert_default();
        self
    }

    /// Asks clients to come again; sets the header and the detail.
    fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self.detail("retryAfterSeconds", seconds)
    }

    /// 400 `NewBadRequest`
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into())
    }

    /// 401 `NewUnauthorized`
    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".into())
    }

    /// 403 `NewForbidden`; `why` is the sentence after `is forbidden: `.
    pub(crate) fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let qualified = qualified(group, resource);
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{qualified} is forbidden: {why}"),
            _ => format!("{qualified} \"{name}\" is forbidden: {why}"),
        };
        Self::new(403, "Forbidden", message).about(group, resource, name)
    }

    /// 404 `NewNotFound`
    pub(crate) fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", qualified(group, resource));
        Self::new(404, "NotFound", message).about(group, resource, name)
    }

    /// 406 `NewNotAcceptableError`
    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(406, "NotAcceptable", message.into())
    }

    /// 415 `NewUnsupportedMediaTypeError`
    pub(crate) fn unsupported_media_type() -> Self {
        let message = "the body of the request was in an unknown format - accepted media types \
                       include: application/json, application/vnd.kubernetes.protobuf";
        Self::new(415, "UnsupportedMediaType", message.into())
    }

    /// 410 `NewResourceExpired`
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message.into())
    }

    /// 501: asked of the stand-in, answered by the real thing only.
    pub(crate) fn not_modelled(request: &str) -> Self {
        let message = format!("{request} is not modelled by this API server");
        Self::new(501, "NotImplemented", message)
    }

    /// 503 while the server has not installed all paths yet.
    ///
    /// Source: apiserver `pkg/util/notfoundhandler/not_found_handler.go`.
    pub(crate) fn paths_not_installed() -> Self {
        let message = "the request has been made before all known HTTP paths have been \
                       installed, please try again";
        Self::new(503, "ServiceUnavailable", message.into()).retry_after(5)
    }

    /// 429 while the watch cache is being built.
    ///
    /// Source: apiserver `pkg/storage/cacher/ready.go`, `util.go:
    /// calculateRetryAfterForUnreadyCache`.
    pub(crate) fn cache_not_ready(since: Duration) -> Self {
        let seconds = (0.06 * since.as_secs_f64()).exp().clamp(1.0, 30.0);
        // Go rounds towards zero, and so does this.
        let seconds = (1..=30).rev().find(|whole| f64::from(*whole) <= seconds);
        Self::new(429, "TooManyRequests", "storage is (re)initializing".into())
            .retry_after(seconds.unwrap_or(1))
    }

    /// 500 while etcd does not answer: what storage says is passed on.
    ///
    /// Source: apiserver `pkg/endpoints/handlers/responsewriters/status.go:
    /// convertStorageErrorOrNot`; etcd `api/v3rpc/rpctypes/error.go:
    /// ErrGRPCTimeout`.
    pub(crate) fn datastore_timed_out() -> Self {
        Self::new(500, "", "etcdserver: request timed out".into())
    }

    /// 504 after the request limit.
    ///
    /// Source: apiserver `pkg/server/filters/timeout.go`.
    pub(crate) fn request_timed_out() -> Self {
        let message = "Timeout: request did not complete within the allotted timeout";
        Self::new(504, "Timeout", message.into()).with_empty_details()
    }

    /// 504 for a version that the server has not reached.
    ///
    /// Source: apiserver `pkg/storage/errors.go: NewTooLargeResourceVersionError`.
    pub(crate) fn too_large_resource_version(requested: u64, current: u64) -> Self {
        let message =
            format!("Timeout: Too large resource version: {requested}, current: {current}");
        let cause = json!([{
            "reason": "ResourceVersionTooLarge",
            "message": "Too large resource version",
        }]);
        Self::new(504, "Timeout", message)
            .detail("causes", cause)
            .retry_after(1)
    }

    /// 422 for list options that exclude each other.
    ///
    /// Source: apimachinery `pkg/apis/meta/internalversion/validation`.
    pub(crate) fn invalid_list_options(field: &str, problem: &str) -> Self {
        let message =
            format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: Forbidden: {problem}");
        let cause = json!([{
            "reason": "FieldValueForbidden",
            "message": format!("Forbidden: {problem}"),
            "field": field,
        }]);
        Self::new(422, "Invalid", message)
            .detail("group", "meta.k8s.io")
            .detail("kind", "ListOptions")
            .detail("causes", cause)
    }

    /// 422 for a list option whose value is none of those that there are.
    pub(crate) fn unsupported_list_option(field: &str, value: &str, known: &[&str]) -> Self {
        let known: Vec<String> = known.iter().map(|value| format!("\"{value}\"")).collect();
        let problem = format!(
            "Unsupported value: \"{value}\": supported values: {}",
            known.join(", ")
        );
        let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: {problem}");
        let cause = json!([{
            "reason": "FieldValueNotSupported",
            "message": problem,
            "field": field,
        }]);
        Self::new(422, "Invalid", message)
            .detail("group", "meta.k8s.io")
            .detail("kind", "ListOptions")
            .detail("causes", cause)
    }

    /// `details` in the order in which Go writes them.
    fn about(self, group: &str, resource: &str, name: &str) -> Self {
        let mut failure = self.with_empty_details();
        for (key, value) in [("name", name), ("group", group), ("kind", resource)] {
            if !value.is_empty() {
                failure = failure.detail(key, value);
            }
        }
        failure
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            status["details"] = Value::Object(Map::clone(details));
        }
        status["code"] = json!(self.code);
        status
    }
}

/// `GroupResource.String`: the resource, and the group unless it is core.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failure: Failure, expected: &str) {
        assert_eq!(failure.status().to_string(), expected);
    }

    #[test]
    fn statuses_are_the_bytes_that_go_writes() {
        check(
            Failure::unauthorized(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#,
        );
        check(
            Failure::not_found("", "pods", "web"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"web\" not found","reason":"NotFound","details":{"name":"web","kind":"pods"},"code":404}"#,
        );
        check(
            Failure::paths_not_installed(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the request has been made before all known HTTP paths have been installed, please try again","reason":"ServiceUnavailable","details":{"retryAfterSeconds":5},"code":503}"#,
        );
        check(
            Failure::datastore_timed_out(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"etcdserver: request timed out","code":500}"#,
        );
        check(
            Failure::request_timed_out(),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Timeout: request did not complete within the allotted timeout","reason":"Timeout","details":{},"code":504}"#,
        );
    }

    #[test]
    fn a_denied_path_has_empty_details_and_a_denied_resource_names_itself() {
        check(
            Failure::forbidden("", "", "", "why"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"forbidden: why","reason":"Forbidden","details":{},"code":403}"#,
        );
        check(
            Failure::forbidden("metrics.k8s.io", "pods", "web", "why"),
            r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods.metrics.k8s.io \"web\" is forbidden: why","reason":"Forbidden","details":{"name":"web","group":"metrics.k8s.io","kind":"pods"},"code":403}"#,
        );
    }

    #[test]
    fn waiting_times_are_told_in_the_header_too() {
        let response = failure(&Failure::paths_not_installed());
        let header = response
            .headers
            .iter()
            .find(|(name, _)| name == header::RETRY_AFTER);
        assert_eq!(header.expect("present").1, "5");
    }
}
