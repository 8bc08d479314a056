//! `/readyz`, `/livez`, `/healthz` and `/version`.

use http::header;
use serde_json::json;

use super::VERSION;
use super::reply::json as json_reply;
use super::request::Query;
use crate::http_server::Response;

/// The checks, in their order. The last are done when all paths are installed.
///
/// DIFFERENCE: a real server has some forty post-start hooks; these are the
/// ones that extension servers wait for.
///
/// Source: apiserver `pkg/server/healthz.go`,
/// `kube-aggregator/pkg/apiserver/apiserver.go`.
const CHECKS: &[&str] = &["ping", "log", "etcd"];
const HOOKS: &[&str] = &[
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-discovery-controller",
];

/// Whether a path is that of a health endpoint.
pub(crate) fn is_health(path: &str) -> bool {
    matches!(path, "/readyz" | "/livez" | "/healthz")
}

/// Answers a health endpoint; `None` if the path is none.
pub(crate) fn respond(path: &str, query: &Query, complete: bool) -> Option<Response> {
    let name = match path {
        "/readyz" => "readyz",
        "/livez" => "livez",
        "/healthz" => "healthz",
        _ => return None,
    };
    // The aggregation layer's hooks end when all paths are installed.
    let pending = if complete { 0 } else { 3 };
    let done = HOOKS.len() - pending;
    let mut body = String::new();
    for check in CHECKS.iter().chain(&HOOKS[..done]) {
        body.push_str(&format!("[+]{check} ok\n"));
    }
    for check in &HOOKS[done..] {
        body.push_str(&format!("[-]{check} failed: reason withheld\n"));
    }
    let verbose = query.is_present("verbose");
    Some(match (complete, verbose) {
        (true, false) => passed("ok"),
        (true, true) => passed(&format!("{body}{name} check passed\n")),
        (false, _) => Response::text(500, &format!("{body}{name} check failed")),
    })
}

fn passed(body: &str) -> Response {
    Response::plain(200, body).with_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
}

/// Answers `/version`.
pub(crate) fn version() -> Response {
    json_reply(
        200,
        &json!({
            "major": "1",
            "minor": "36",
            "emulationMajor": "1",
            "emulationMinor": "36",
            "minCompatibilityMajor": "1",
            "minCompatibilityMinor": "35",
            "gitVersion": VERSION,
            "platform": "linux/amd64",
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_server::Body;

    fn body(path: &str, query: &str, complete: bool) -> (u16, String) {
        let response = respond(path, &Query::parse(query), complete).expect("a health path");
        let Body::Full(body) = response.body else {
            panic!("health is not streamed")
        };
        (
            response.status,
            String::from_utf8(body.to_vec()).expect("text"),
        )
    }

    #[test]
    fn health_is_ok_or_lists_what_is_missing() {
        assert_eq!(body("/readyz", "", true), (200, "ok".to_owned()));
        let (status, text) = body("/readyz", "", false);
        assert_eq!(status, 500);
        assert!(text.contains("[-]poststarthook/apiservice-discovery-controller failed"));
        assert!(text.ends_with("readyz check failed\n"));
        let (_, text) = body("/livez", "verbose", true);
        assert!(text.ends_with("livez check passed\n"));
    }
}
