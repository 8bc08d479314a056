//! Get and list of nodes and pods.
//!
//! Source: `pkg/api/node.go`, `pkg/api/pod.go`; apiserver
//! `pkg/endpoints/handlers/get.go`.

use serde::Serialize;

use super::fields::FieldSelector;
use super::negotiate::{self, Form, Restrictions};
use super::objects::{API_VERSION, Item, List, NodeItem, Partial, PodItem, Typed};
use super::query::Query;
use super::reply::{JSON, Reply};
use super::selector::Selector;
use super::status::{Empty, Refusal};
use super::table::{IncludeObject, table};
use super::{ApiRequest, Note, View, json};
use crate::quantity::fit;
use crate::sample::PodRef;
use crate::store::{PodUsage, Usage};

/// The API's group.
pub(super) const GROUP: &str = "metrics.k8s.io";

/// What a path of the API names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Nodes,
    Node(String),
    /// Of one namespace, or of all.
    Pods(Option<String>),
    Pod(PodRef),
}

/// Answers a GET.
pub(super) fn respond(
    request: &ApiRequest<'_>,
    target: &Target,
    view: &View<'_>,
    note: &mut dyn FnMut(Note<'_>),
) -> Result<Reply, Refusal> {
    let list = matches!(target, Target::Nodes | Target::Pods(_));
    negotiate::route(request, list)?;
    let form = negotiate::output(request, Restrictions::Resource)?.form;
    let answer = Answer {
        request,
        view,
        form,
    };
    match target {
        Target::Nodes => answer.list(&nodes(request, view, note)?),
        Target::Pods(namespace) => answer.list(&pods(request, namespace.as_deref(), view, note)?),
        Target::Node(name) => answer.single(&node(name, view, note)?),
        Target::Pod(pod) => answer.single(&self::pod(pod, view, note)?),
    }
}

/// What a list request selects.
struct Selection {
    labels: Selector,
    fields: FieldSelector,
}

/// `resourceVersion`, `limit` and the like are read by nobody: a list is
/// always whole.
fn selection(request: &ApiRequest<'_>, resource: &str) -> Result<Selection, Refusal> {
    let query = Query::parse(request.query);
    let labels = query.get("labelSelector").unwrap_or_default();
    let labels =
        Selector::parse(labels).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let fields = query.get("fieldSelector").unwrap_or_default();
    let fields = FieldSelector::parse(fields).map_err(Refusal::bad_request)?;
    // Presence is enough, unless it says otherwise.
    let watch = query
        .get("watch")
        .is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"));
    if watch {
        return Err(Refusal::no_watch(GROUP, resource));
    }
    Ok(Selection { labels, fields })
}

fn nodes<'a>(
    request: &ApiRequest<'_>,
    view: &View<'a>,
    note: &mut dyn FnMut(Note<'_>),
) -> Result<Vec<NodeItem<'a>>, Refusal> {
    let selection = selection(request, "nodes")?;
    let selected = view.caches.nodes.iter().filter(|(name, meta)| {
        selection.labels.matches(&meta.labels)
            && view.node_selector.matches(&meta.labels)
            && selection.fields.matches(name, "")
    });
    let items = selected.filter_map(|(name, meta)| {
        let usage = node_usage(name, view, note)?;
        Some(NodeItem {
            name,
            labels: &meta.labels,
            usage,
        })
    });
    Ok(items.collect())
}

fn pods<'a>(
    request: &ApiRequest<'_>,
    namespace: Option<&str>,
    view: &View<'a>,
    note: &mut dyn FnMut(Note<'_>),
) -> Result<Vec<PodItem<'a>>, Refusal> {
    let selection = selection(request, "pods")?;
    let selected = view.caches.pods.iter().filter(|(pod, meta)| {
        namespace.is_none_or(|namespace| *pod.namespace == *namespace)
            && selection.labels.matches(&meta.labels)
            && selection.fields.matches(&pod.name, &pod.namespace)
    });
    let items = selected.filter_map(|(pod, meta)| {
        let usage = pod_usage(pod, view, note)?;
        Some(PodItem {
            pod,
            labels: &meta.labels,
            usage,
        })
    });
    Ok(items.collect())
}

/// A node that `--node-selector` hides can be asked for; it is never scraped,
/// though.
fn node<'a>(
    name: &str,
    view: &View<'a>,
    note: &mut dyn FnMut(Note<'_>),
) -> Result<NodeItem<'a>, Refusal> {
    let (name, meta) = view
        .caches
        .nodes
        .get_key_value(name)
        .ok_or_else(|| Refusal::not_found("", "node", name))?;
    let usage = node_usage(name, view, note)
        .ok_or_else(|| Refusal::not_found(GROUP, "nodemetrics", name))?;
    Ok(NodeItem {
        name,
        labels: &meta.labels,
        usage,
    })
}

fn pod<'a>(
    pod: &PodRef,
    view: &View<'a>,
    note: &mut dyn FnMut(Note<'_>),
) -> Result<PodItem<'a>, Refusal> {
    let (pod, meta) = view
        .caches
        .pods
        .get_key_value(pod)
        .ok_or_else(|| Refusal::not_found("", "pods", &pod.name))?;
    let usage = pod_usage(pod, view, note)
        .ok_or_else(|| Refusal::not_found(GROUP, "podmetrics", &pod.to_string()))?;
    Ok(PodItem {
        pod,
        labels: &meta.labels,
        usage,
    })
}

fn node_usage(name: &str, view: &View<'_>, note: &mut dyn FnMut(Note<'_>)) -> Option<Usage> {
    match view.store.node(name)? {
        Ok(usage) => {
            note_large(&usage, note);
            note_freshness(Some(&usage), view, note);
            Some(usage)
        }
        Err(error) => {
            note(Note::NodeSkipped { node: name, error });
            None
        }
    }
}

fn pod_usage(pod: &PodRef, view: &View<'_>, note: &mut dyn FnMut(Note<'_>)) -> Option<PodUsage> {
    let usage = view.store.pod(pod)?;
    for (container, usage) in &usage.containers {
        match usage {
            Ok(usage) => note_large(usage, note),
            Err(error) => note(Note::ContainerSkipped {
                pod,
                container,
                error: *error,
            }),
        }
    }
    note_freshness(usage.earliest(), view, note);
    Some(usage)
}

fn note_large(usage: &Usage, note: &mut dyn FnMut(Note<'_>)) {
    for value in [usage.cpu_nanocores, usage.memory_bytes] {
        if fit(value).1 {
            note(Note::LargeValue(value));
        }
    }
}

/// A pod without any usage has the zero time, 292 years ago and more: as much
/// as a Go duration can hold.
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds are floating point here, as in Go"
)]
fn note_freshness(usage: Option<&Usage>, view: &View<'_>, note: &mut dyn FnMut(Note<'_>)) {
    let nanos = usage.map_or(i64::MAX, |usage| view.now.nanos_since(usage.timestamp));
    let whole = (nanos / 1_000_000_000) as f64;
    let seconds = whole + (nanos % 1_000_000_000) as f64 / 1e9;
    note(Note::Freshness { seconds });
}

/// How to put items into words.
struct Answer<'a> {
    request: &'a ApiRequest<'a>,
    view: &'a View<'a>,
    form: Form,
}

impl Answer<'_> {
    fn list<I: Item>(&self, items: &[I]) -> Result<Reply, Refusal> {
        let now = self.view.now;
        match self.form {
            Form::Table(_) => self.table(items),
            Form::PartialList(version) => {
                let api_version = version.api_version();
                let items = items.iter().map(|item| Partial {
                    kind: "PartialObjectMetadata",
                    api_version,
                    metadata: item.metadata(now),
                });
                let items = items.collect();
                let kind = "PartialObjectMetadataList";
                self.reply(&List {
                    kind,
                    api_version,
                    metadata: Empty {},
                    items,
                })
            }
            Form::Partial(_) => Err(Refusal::not_acceptable(
                format!(
                    "you requested PartialObjectMetadata, but the requested object is a list \
                     (*metrics.{})",
                    I::LIST_KIND
                ),
                None,
            )),
            Form::Plain | Form::AggregatedDiscovery(_) => self.reply(&List {
                kind: I::LIST_KIND,
                api_version: API_VERSION,
                metadata: Empty {},
                items: items.iter().map(|item| item.object(now)).collect(),
            }),
        }
    }

    fn single<I: Item>(&self, item: &I) -> Result<Reply, Refusal> {
        let now = self.view.now;
        match self.form {
            Form::Table(_) => self.table(std::slice::from_ref(item)),
            Form::Partial(version) => self.reply(&Partial {
                kind: "PartialObjectMetadata",
                api_version: version.api_version(),
                metadata: item.metadata(now),
            }),
            Form::PartialList(_) => Err(Refusal::not_acceptable(
                format!(
                    "you requested PartialObjectMetadataList, but the requested object is not a \
                     list (*metrics.{})",
                    I::KIND
                ),
                None,
            )),
            Form::Plain | Form::AggregatedDiscovery(_) => self.reply(&Typed {
                kind: I::KIND,
                api_version: API_VERSION,
                object: item.object(now),
            }),
        }
    }

    fn table<I: Item>(&self, items: &[I]) -> Result<Reply, Refusal> {
        let Form::Table(version) = self.form else {
            unreachable!("only called for tables");
        };
        let query = Query::parse(self.request.query);
        let include = IncludeObject::parse(query.get("includeObject"));
        self.reply(&table(items, version, include, self.view.now))
    }

    fn reply(&self, document: &impl Serialize) -> Result<Reply, Refusal> {
        let pretty = negotiate::output(self.request, Restrictions::Resource)?.pretty;
        let body = json::encode(document, pretty);
        Ok(Reply::new(200, JSON, body).compressed_for(self.request.accept_encoding))
    }
}
