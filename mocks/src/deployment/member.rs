//! One pod of the Deployment, from the ReplicaSet's order to its object's end.

use std::cell::RefCell;
use std::rc::Rc;

use seam::Random;
use serde_json::Value;
use tokio::time::Instant;

use super::budget::Health;
use super::placement::Placement;
use crate::pod::Pod;
use crate::store::Store;

/// Letters of generated names.
/// Source: apimachinery `pkg/util/rand/rand.go alphanums`.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A pod that was created.
pub(super) struct Member {
    /// From 1, in order of creation.
    pub(super) ordinal: u32,
    /// The template it is made from, from 1.
    pub(super) revision: u32,
    /// `metadata.name`
    pub(super) name: String,
    /// What records call it.
    pub(super) recorded_as: Option<String>,
    /// What it asks of its node.
    pub(super) placement: Placement,
    /// The node's port that it asks for.
    pub(super) host_port: Option<u16>,
    pub(super) created: Instant,
    /// The node it is bound to.
    pub(super) node: RefCell<Option<Rc<str>>>,
    pub(super) pod: RefCell<Option<Pod>>,
}

/// A pod as the API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    /// Its object exists.
    pub(super) exists: bool,
    /// It neither ended nor terminates.
    pub(super) active: bool,
    pub(super) running: bool,
    pub(super) ready: bool,
    pub(super) terminating: bool,
}

impl View {
    pub(super) fn health(self) -> Health {
        match self {
            Self { active: false, .. } | Self { running: false, .. } => Health::Idle,
            Self { ready: true, .. } => Health::Ready,
            Self { ready: false, .. } => Health::NotReady,
        }
    }
}

impl Member {
    pub(super) fn object(&self, store: &Store, namespace: &str) -> Option<Rc<Value>> {
        store.get("pods", Some(namespace), &self.name)
    }

    pub(super) fn view(&self, store: &Store, namespace: &str) -> View {
        let Some(object) = self.object(store, namespace) else {
            return View {
                exists: false,
                active: false,
                running: false,
                ready: false,
                terminating: false,
            };
        };
        let status = &object["status"];
        let phase = status["phase"].as_str().unwrap_or("Pending");
        let terminating = object["metadata"].get("deletionTimestamp").is_some();
        let conditions = status["conditions"].as_array();
        View {
            exists: true,
            active: !terminating && !matches!(phase, "Failed" | "Succeeded"),
            running: phase == "Running",
            ready: conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True"),
            terminating,
        }
    }

    /// Which pods a ReplicaSet that has too many deletes first: the smallest.
    ///
    /// DIFFERENCE: among pods that are equally ready the newest goes; since
    /// when each has been Ready, and how often it restarted, do not count.
    ///
    /// Source: `pkg/controller/controller_utils.go ActivePodsWithRanks.Less`.
    pub(super) fn rank(&self, view: View) -> impl Ord + use<> {
        let assigned = self.node.borrow().is_some();
        let newest_first = std::cmp::Reverse((self.created, self.ordinal));
        (assigned, view.running, view.ready, newest_first)
    }
}

/// The generated part of a name.
pub(super) fn suffix(random: &mut dyn Random, length: usize) -> String {
    (0..length)
        .map(|_| {
            let index = usize::try_from(random.below(ALPHABET.len() as u64));
            char::from(ALPHABET[index.expect("below the length of a slice")])
        })
        .collect()
}
