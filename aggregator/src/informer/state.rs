//! The caches, filled by watches and read by everyone.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::objects::{Metadata, Node, NodeObject, PartialObject};
use super::resource::Sink;
use crate::api::{Caches, NodeMeta, PodMeta, Selector};
use crate::environment::{Event, Observer};

/// What the process knows of the cluster's nodes and pods.
pub struct ClusterState {
    caches: RefCell<Caches>,
    nodes: RefCell<BTreeMap<Rc<str>, Rc<Node>>>,
    nodes_synced: Cell<bool>,
    pods_synced: Cell<bool>,
    observer: Rc<dyn Observer>,
}

impl ClusterState {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(observer: Rc<dyn Observer>) -> Rc<Self> {
        Rc::new(Self {
            caches: RefCell::default(),
            nodes: RefCell::default(),
            nodes_synced: Cell::new(false),
            pods_synced: Cell::new(false),
            observer,
        })
    }

    /// The API's view. Must not be held over an await.
    #[must_use]
    pub fn caches(&self) -> Ref<'_, Caches> {
        self.caches.borrow()
    }

    /// Whether all nodes are known.
    #[must_use]
    pub fn nodes_synced(&self) -> bool {
        self.nodes_synced.get()
    }

    /// Whether all running pods are known.
    #[must_use]
    pub fn pods_synced(&self) -> bool {
        self.pods_synced.get()
    }

    /// The nodes that match a selector, by name.
    ///
    /// DIFFERENCE: Go's order is that of a map, random.
    #[must_use]
    pub fn matching_nodes(&self, selector: &Selector) -> Vec<Rc<Node>> {
        let caches = self.caches.borrow();
        let matches = |name: &Rc<str>| {
            caches
                .nodes
                .get(name)
                .is_some_and(|meta| selector.matches(&meta.labels))
        };
        let nodes = self.nodes.borrow();
        nodes
            .iter()
            .filter(|(name, _)| matches(name))
            .map(|(_, node)| Rc::clone(node))
            .collect()
    }

    fn synced(&self, flag: &Cell<bool>, resource: &'static str, objects: usize) {
        if !flag.replace(true) {
            self.observer
                .event(Event::InformerSynced { resource, objects });
        }
    }
}

/// Fills the nodes of a [`ClusterState`].
pub struct NodeSink(pub Rc<ClusterState>);

impl Sink for NodeSink {
    type Object = NodeObject;

    fn replace(&self, objects: Vec<NodeObject>) {
        self.0.nodes.borrow_mut().clear();
        self.0.caches.borrow_mut().nodes.clear();
        let count = objects.len();
        for object in objects {
            self.upsert(object);
        }
        self.0.synced(&self.0.nodes_synced, "nodes", count);
    }

    fn upsert(&self, object: NodeObject) {
        let node = Rc::new(Node::from(&object));
        let meta = NodeMeta {
            labels: object.metadata.labels.unwrap_or_default(),
        };
        self.0
            .caches
            .borrow_mut()
            .nodes
            .insert(Rc::clone(&node.name), meta);
        self.0
            .nodes
            .borrow_mut()
            .insert(Rc::clone(&node.name), node);
    }

    fn delete(&self, metadata: &Metadata) {
        self.0.nodes.borrow_mut().remove(metadata.name.as_str());
        self.0
            .caches
            .borrow_mut()
            .nodes
            .remove(metadata.name.as_str());
    }
}

/// Fills the pods of a [`ClusterState`].
pub struct PodSink(pub Rc<ClusterState>);

impl Sink for PodSink {
    type Object = PartialObject;

    fn replace(&self, objects: Vec<PartialObject>) {
        self.0.caches.borrow_mut().pods.clear();
        let count = objects.len();
        for object in objects {
            self.upsert(object);
        }
        self.0.synced(&self.0.pods_synced, "pods", count);
    }

    fn upsert(&self, object: PartialObject) {
        let pod = object.metadata.pod_ref();
        let meta = PodMeta {
            labels: object.metadata.labels.unwrap_or_default(),
        };
        self.0.caches.borrow_mut().pods.insert(pod, meta);
    }

    fn delete(&self, metadata: &Metadata) {
        self.0.caches.borrow_mut().pods.remove(&metadata.pod_ref());
    }
}
