//! The objects of a manifest, and which of them are metrics-server's.

use std::rc::Rc;

use super::super::code::Code;
use super::super::decoder::Decoder;
use super::super::diagnostic::Diagnostic;
use super::super::source::{SourceId, Span};
use super::super::tree::Node;

/// The API that metrics-server serves.
const GROUP: &str = "metrics.k8s.io";

/// A Kubernetes object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) name: String,
    /// Empty where the manifest leaves it open.
    pub(super) namespace: String,
    pub(super) node: Rc<Node>,
    /// Where it says what it is called, else what it is.
    pub(super) place: Span,
}

/// metrics-server's objects.
pub(super) struct Found {
    pub(super) deployment: Object,
    /// The container in question, with its index.
    pub(super) container: usize,
    pub(super) service: Option<Object>,
    pub(super) api_service: Option<Object>,
    pub(super) budget: Option<Object>,
    /// `Kind name` of every other object.
    pub(super) others: Vec<String>,
}

impl Object {
    fn of(node: &Rc<Node>) -> Option<Self> {
        let kind = node.entry("kind")?;
        let text = |path: &[&str]| {
            let entry = node.path(path)?;
            entry.value.text().map(str::to_owned)
        };
        let name = node.path(&["metadata", "name"]);
        Some(Self {
            kind: kind.value.text()?.to_owned(),
            name: text(&["metadata", "name"]).unwrap_or_default(),
            namespace: text(&["metadata", "namespace"]).unwrap_or_default(),
            place: name.map_or(kind.value.span, |name| name.value.span),
            node: Rc::clone(node),
        })
    }

    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// The containers of a Deployment.
    pub(super) fn containers(&self) -> &[Rc<Node>] {
        let containers = self.node.path(&["spec", "template", "spec", "containers"]);
        containers.map_or(&[], |containers| containers.value.items())
    }

    /// The container that runs metrics-server: by its image, else its name.
    fn server(&self) -> Option<usize> {
        let said = |key: &str, container: &Rc<Node>| {
            let entry = container.entry(key);
            let text = entry.and_then(|entry| entry.value.text()).unwrap_or("");
            // The last part of an image's path, without tag and digest.
            let image = text.split('@').next().unwrap_or(text);
            let last = image.rsplit('/').next().unwrap_or(image);
            last.contains("metrics-server")
        };
        let containers = self.containers();
        containers
            .iter()
            .position(|container| said("image", container))
            .or_else(|| {
                containers
                    .iter()
                    .position(|container| said("name", container))
            })
    }

    /// Whether this object's labels, under `path`, are all asked for in
    /// `selector` and no others are.
    fn selects(&self, selector: &[&str], labels: &Node) -> bool {
        let Some(selector) = self.node.path(selector) else {
            return false;
        };
        let wanted = selector.value.entries();
        !wanted.is_empty()
            && wanted.iter().all(|label| {
                let found = labels.entry(&label.key).and_then(|own| own.value.text());
                found == label.value.text()
            })
    }

    fn shares_namespace(&self, other: &Self) -> bool {
        let open = self.namespace.is_empty() || other.namespace.is_empty();
        open || self.namespace == other.namespace
    }
}

/// Finds metrics-server's objects, or notes why there are none.
pub(super) fn find(decoder: &mut Decoder, documents: &[Rc<Node>], id: SourceId) -> Option<Found> {
    let mut objects = Vec::new();
    for document in documents {
        collect(document, &mut objects);
    }
    let servers: Vec<(usize, usize)> = objects
        .iter()
        .enumerate()
        .filter(|(_, object)| object.kind == "Deployment")
        .filter_map(|(index, object)| Some((index, object.server()?)))
        .collect();
    let (index, container) = match servers[..] {
        [only] => only,
        [] => {
            note_none(decoder, &objects, id);
            return None;
        }
        [(first, _), (second, _), ..] => {
            note_several(decoder, &objects[first], &objects[second]);
            return None;
        }
    };
    let deployment = objects.remove(index);
    let nothing = super::build::null(deployment.place);
    let labels = deployment
        .node
        .path(&["spec", "template", "metadata", "labels"]);
    let labels = labels.map_or(nothing, |labels| Rc::clone(&labels.value));
    let api_service = take(&mut objects, |object| {
        object.kind == "APIService" && text(&object.node, &["spec", "group"]) == GROUP
    });
    let named = api_service
        .as_ref()
        .map(|api_service| text(&api_service.node, &["spec", "service", "name"]).to_owned());
    let is_service = |object: &Object| {
        object.kind == "Service"
            && object.shares_namespace(&deployment)
            && (named.as_deref() == Some(&*object.name)
                || object.selects(&["spec", "selector"], &labels))
    };
    let service = take(&mut objects, is_service);
    let budget = take(&mut objects, |object| {
        object.kind == "PodDisruptionBudget"
            && object.selects(&["spec", "selector", "matchLabels"], &labels)
    });
    Some(Found {
        deployment,
        container,
        service,
        api_service,
        budget,
        others: objects.iter().map(Object::shown).collect(),
    })
}

fn take(objects: &mut Vec<Object>, such: impl Fn(&Object) -> bool) -> Option<Object> {
    let index = objects.iter().position(such)?;
    Some(objects.remove(index))
}

/// The text at a path; empty if there is none.
pub(super) fn text<'t>(node: &'t Node, path: &[&str]) -> &'t str {
    let entry = node.path(path);
    entry.and_then(|entry| entry.value.text()).unwrap_or("")
}

/// An object, or those of a list as `kubectl get` prints it.
fn collect(document: &Rc<Node>, objects: &mut Vec<Object>) {
    if text(document, &["kind"]).ends_with("List")
        && let Some(items) = document.entry("items")
    {
        for item in items.value.items() {
            collect(item, objects);
        }
    } else {
        objects.extend(Object::of(document));
    }
}

fn note_none(decoder: &mut Decoder, objects: &[Object], id: SourceId) {
    let help = if objects.is_empty() {
        "it has no Kubernetes objects at all: give it the output of `kubectl get -o yaml` or `helm template`".to_owned()
    } else {
        let shown: Vec<String> = objects.iter().take(8).map(Object::shown).collect();
        let more = if objects.len() > shown.len() {
            ", …"
        } else {
            ""
        };
        format!(
            "add the Deployment whose image is metrics-server; it has {}{more}",
            shown.join(", ")
        )
    };
    let place = objects
        .first()
        .map_or(Span::beginning(id), |first| first.place);
    decoder.note(Diagnostic::at(
        Code::BadManifest,
        place,
        "the manifest has no Deployment of metrics-server",
        help,
    ));
}

fn note_several(decoder: &mut Decoder, first: &Object, second: &Object) {
    let diagnostic = Diagnostic::at(
        Code::BadManifest,
        second.place,
        "the manifest has several Deployments of metrics-server",
        "keep the one that is meant: a scenario has one",
    );
    decoder.note(diagnostic.related(first.place, "the first"));
}
