//! Store and caches → the bodies of the metrics API.
//!
//! - [`caches`]: what the informers know of nodes and pods;
//! - [`resource`]: get and list; [`objects`] and [`table`]: the forms of the answer;
//! - [`selector`] and [`fields`]: which objects a request selects;
//! - [`negotiate`]: which form the client accepts;
//! - [`status`]: refusals; [`discovery`] and [`openapi`]: self-description;
//! - [`json`], [`time`], [`query`]: Go's notation;
//! - [`reply`]: an HTTP answer, before anything is sent.
//!
//! **Invariant:** an answer is a function of the request and the [`View`].

pub mod caches;
mod discovery;
mod fields;
mod json;
mod negotiate;
mod objects;
mod openapi;
pub(crate) mod query;
pub mod reply;
mod resource;
pub mod selector;
pub mod status;
mod table;
pub mod time;

pub use caches::{Caches, Labels, NodeMeta, PodMeta};
pub use reply::Reply;
pub use selector::{Selector, SelectorError};

use std::borrow::Cow;

use seam::Timestamp;

use crate::sample::PodRef;
use crate::store::{Store, UsageError};
use crate::version::Version;
use resource::{GROUP, Target};
use status::Refusal;

/// What the API needs to know of an HTTP request that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApiRequest<'a> {
    /// `GET`
    pub method: &'a str,
    /// The path as sent, percent-encoded, without query.
    pub path: &'a str,
    /// What follows `?`, as sent.
    pub query: Option<&'a str>,
    /// `Accept`; several such headers joined with `,`.
    pub accept: Option<&'a str>,
    /// `User-Agent`
    pub user_agent: Option<&'a str>,
    /// `If-None-Match`
    pub if_none_match: Option<&'a str>,
    /// `Accept-Encoding`
    pub accept_encoding: Option<&'a str>,
}

/// What happened while answering, beyond the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Note<'a> {
    /// An item of this age was returned: for
    /// `metrics_server_api_metric_freshness_seconds`.
    Freshness {
        /// Request time minus sample time; negative if the node's clock is
        /// ahead.
        seconds: f64,
    },
    /// Error line `Skipping node usage metric err=.. node=..`
    NodeSkipped {
        /// The node.
        node: &'a str,
        /// Why.
        error: UsageError,
    },
    /// Error line `Skipping container usage metric err=.. container=.. pod=..`
    ContainerSkipped {
        /// The pod.
        pod: &'a PodRef,
        /// The container.
        container: &'a str,
        /// Why.
        error: UsageError,
    },
    /// Verbosity 2 `Found unexpectedly large resource value, losing precision
    /// to fit in scaled resource.Quantity value=..`
    LargeValue(u64),
}

/// What an answer depends on, besides the request.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The release simulated.
    pub version: Version,
    /// The informers' caches.
    pub caches: &'a Caches,
    /// The points.
    pub store: &'a Store,
    /// `--node-selector`
    pub node_selector: &'a Selector,
    /// The port served on, for `/apis`.
    pub port: u16,
    /// The time of the request.
    pub now: Timestamp,
}

/// Answers everything except health checks and `/metrics`: the resource API,
/// discovery, OpenAPI, `/version`, the index at `/`, and 404 for the rest.
pub fn respond(request: &ApiRequest<'_>, view: &View<'_>, note: &mut dyn FnMut(Note<'_>)) -> Reply {
    let segments: Vec<_> = request
        .path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| query::unescape(segment).unwrap_or(Cow::Borrowed(segment)))
        .collect();
    let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    match segments[..] {
        [] => discovery::index(200, view.version),
        ["openapi", "v2"] => openapi::v2(request, view),
        ["openapi", "v3", ref document @ ..] => {
            let document = openapi::v3(request, view, &document.join("/"));
            document.unwrap_or_else(|| discovery::index(404, view.version))
        }
        ["apis"] | ["apis", GROUP, ..] | ["version", ..] => {
            routed(request, &segments, view, note).unwrap_or_else(|refusal| refusal.reply(request))
        }
        _ => discovery::index(404, view.version),
    }
}

/// The paths that the original's router knows: refusals there are `Status`
/// objects.
fn routed(
    request: &ApiRequest<'_>,
    segments: &[&str],
    view: &View<'_>,
    note: &mut dyn FnMut(Note<'_>),
) -> Result<Reply, Refusal> {
    let target = match *segments {
        ["apis"] | ["version"] | ["apis", GROUP] | ["apis", GROUP, "v1beta1"] => None,
        ["apis", GROUP, "v1beta1", ref resource @ ..] => {
            Some(target(resource).ok_or_else(Refusal::no_such_resource)?)
        }
        _ => return Err(Refusal::no_such_resource()),
    };
    if request.method != "GET" {
        return Err(Refusal::method_not_allowed());
    }
    match (target, segments) {
        (Some(target), _) => resource::respond(request, &target, view, note),
        (None, ["apis"]) => discovery::groups(request, view),
        (None, ["version"]) => Ok(discovery::version(view.version)),
        (None, ["apis", GROUP]) => discovery::group(request),
        (None, _) => discovery::resources(request),
    }
}

fn target(resource: &[&str]) -> Option<Target> {
    match *resource {
        ["nodes"] => Some(Target::Nodes),
        ["nodes", name] => Some(Target::Node(name.to_owned())),
        ["pods"] => Some(Target::Pods(None)),
        ["namespaces", namespace, "pods"] => Some(Target::Pods(Some(namespace.to_owned()))),
        ["namespaces", namespace, "pods", name] => Some(Target::Pod(PodRef::new(namespace, name))),
        _ => None,
    }
}
