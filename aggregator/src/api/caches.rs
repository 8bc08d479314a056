//! What the informers know, as far as the API needs it.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::sample::PodRef;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// The informers' caches.
#[derive(Debug, Clone, Default)]
pub struct Caches {
    /// Nodes by name.
    pub nodes: BTreeMap<Rc<str>, NodeMeta>,
    /// Running pods.
    pub pods: BTreeMap<PodRef, PodMeta>,
}

/// What the API copies from a Node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeMeta {
    /// Its labels.
    pub labels: Labels,
}

/// What the API copies from a Pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodMeta {
    /// Its labels.
    pub labels: Labels,
}
