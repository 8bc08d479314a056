//! What the API says about itself: groups, versions, resources, releases.
//!
//! These documents are complete as soon as the server serves; they do not
//! depend on metrics.
//!
//! Source: apiserver `pkg/endpoints/discovery`, `pkg/server/routes`.

use serde_json::{Value, json};

use super::negotiate::{self, DiscoveryVersion, Form, Restrictions};
use super::objects::API_VERSION;
use super::reply::{JSON, Reply};
use super::resource::GROUP;
use super::status::Refusal;
use super::{ApiRequest, View, json as go_json};
use crate::health::Endpoint;
use crate::version::Version;

/// `/apis`
pub(super) fn groups(request: &ApiRequest<'_>, view: &View<'_>) -> Result<Reply, Refusal> {
    let offered = Restrictions::Discovery(aggregated_versions(view.version));
    if let Form::AggregatedDiscovery(version) = negotiate::output(request, offered)?.form {
        return Ok(aggregated(request, view.version, version));
    }
    let document = json!({
        "kind": "APIGroupList",
        "groups": [{
            "name": GROUP,
            "versions": [group_version()],
            "preferredVersion": group_version(),
            "serverAddressByClientCIDRs": [{
                "clientCIDR": "0.0.0.0/0",
                "serverAddress": format!(":{}", view.port),
            }],
        }],
    });
    reply(request, &document)
}

/// `/apis/metrics.k8s.io`
pub(super) fn group(request: &ApiRequest<'_>) -> Result<Reply, Refusal> {
    let document = json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": GROUP,
        "versions": [group_version()],
        "preferredVersion": group_version(),
    });
    reply(request, &document)
}

/// `/apis/metrics.k8s.io/v1beta1`
pub(super) fn resources(request: &ApiRequest<'_>) -> Result<Reply, Refusal> {
    let resource = |name: &str, namespaced: bool, kind: &str| {
        json!({
            "name": name,
            "singularName": "",
            "namespaced": namespaced,
            "kind": kind,
            "verbs": ["get", "list"],
        })
    };
    let document = json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": API_VERSION,
        "resources": [
            resource("nodes", false, "NodeMetrics"),
            resource("pods", true, "PodMetrics"),
        ],
    });
    reply(request, &document)
}

/// `/version`: the Kubernetes library's, not metrics-server's.
///
/// DIFFERENCE: build details are those of a library built without stamps.
pub(super) fn version(version: Version) -> Reply {
    let minor = library_minor(version);
    let document = json!({
        "major": "1",
        "minor": minor,
        "gitVersion": "v0.0.0-master+$Format:%H$",
        "gitCommit": "$Format:%H$",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.26.4",
        "compiler": "gc",
        "platform": "linux/amd64",
    });
    Reply::new(200, JSON, go_json::encode(&document, true))
}

/// The list of paths, with 200 at `/` and with 404 where there is nothing.
///
/// DIFFERENCE: `/statusz` is listed, as in the original, but not served.
pub(super) fn index(status: u16, version: Version) -> Reply {
    let mut paths: Vec<String> = [
        "/apis",
        "/apis/metrics.k8s.io",
        "/apis/metrics.k8s.io/v1beta1",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/",
        "/statusz",
        "/version",
    ]
    .map(str::to_owned)
    .into();
    for endpoint in [Endpoint::Healthz, Endpoint::Livez, Endpoint::Readyz] {
        let Some(checks) = endpoint.checks(version.probes()) else {
            continue;
        };
        let path = endpoint.path();
        paths.push(path.to_owned());
        paths.extend(checks.iter().map(|check| format!("{path}/{check}")));
    }
    paths.sort_unstable();
    Reply::new(
        status,
        JSON,
        go_json::encode(&json!({ "paths": paths }), true),
    )
}

fn reply(request: &ApiRequest<'_>, document: &Value) -> Result<Reply, Refusal> {
    negotiate::route(request, false)?;
    let pretty = negotiate::output(request, Restrictions::Nothing)?.pretty;
    Ok(Reply::new(200, JSON, go_json::encode(document, pretty)))
}

fn group_version() -> Value {
    json!({ "groupVersion": API_VERSION, "version": "v1beta1" })
}

/// The minor version of the Kubernetes libraries that a release is built with.
///
/// DIFFERENCE: only 0.8 and 0.9 are certain.
const fn library_minor(version: Version) -> &'static str {
    match version.minor() {
        ..=3 => "18",
        4 => "19",
        5 => "21",
        6 => "25",
        7 => "29",
        8 => "33",
        _ => "36",
    }
}

const fn aggregated_versions(version: Version) -> &'static [DiscoveryVersion] {
    match version.minor() {
        ..=6 => &[],
        7 => &[DiscoveryVersion::V2Beta1],
        _ => &[DiscoveryVersion::V2, DiscoveryVersion::V2Beta1],
    }
}

/// All groups in one document.
///
/// Source: apiserver `pkg/endpoints/discovery/aggregated/handler.go, etag.go`.
/// DIFFERENCE: the ETag is a shorter hash.
fn aggregated(request: &ApiRequest<'_>, release: Version, version: DiscoveryVersion) -> Reply {
    let (api_version, content_type) = match version {
        DiscoveryVersion::V2 => (
            "apidiscovery.k8s.io/v2",
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        ),
        DiscoveryVersion::V2Beta1 => (
            "apidiscovery.k8s.io/v2beta1",
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        ),
    };
    let document = aggregated_document(release, api_version);
    let body = go_json::encode(&document, false);
    let etag = etag(&body);
    let unchanged = request.if_none_match == Some(&etag);
    let (status, body) = if unchanged {
        (304, bytes::Bytes::new())
    } else {
        (200, body)
    };
    Reply::new(status, content_type, body)
        .with_header("ETag", etag)
        .with_header("Vary", "Accept")
        .with_header("Cache-Control", "public")
}

fn aggregated_document(release: Version, api_version: &str) -> Value {
    let resource = |name: &str, kind: &str, scope: &str| {
        json!({
            "resource": name,
            "responseKind": { "group": "", "version": "", "kind": kind },
            "scope": scope,
            "singularResource": "",
            "verbs": ["get", "list"],
        })
    };
    let mut metadata = json!({ "name": GROUP });
    if release.minor() < 9 {
        // Later libraries leave out a creation time that is not set.
        metadata["creationTimestamp"] = Value::Null;
    }
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": api_version,
        "metadata": {},
        "items": [{
            "metadata": metadata,
            "versions": [{
                "version": "v1beta1",
                "resources": [
                    resource("nodes", "NodeMetrics", "Cluster"),
                    resource("pods", "PodMetrics", "Namespaced"),
                ],
                "freshness": "Current",
            }],
        }],
    })
}

/// A quoted hash of the body: FNV-1a, 64 bits.
pub(super) fn etag(body: &[u8]) -> String {
    format!("\"{:016X}\"", fnv1a(body))
}

/// Fowler, Noll and Vo's hash: short, and the same on every machine.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
