//! `manifest:` and `firstlight import`: what a real manifest says, as a layer
//! of the scenario language.
//!
//! - [`objects`]: documents and lists → Kubernetes objects, and which of them
//!   are metrics-server's;
//! - [`deployment`], [`service`]: their fields → keys of the language;
//! - [`build`]: making nodes of a tree;
//! - [`layer`]: the manifest that a scenario names, [`contradictions`] with it;
//! - [`import`]: a scenario of its own.
//!
//! Values keep their places in the manifest, so that a mistake in it is shown
//! there and a setting's origin is its line. A key that the manifest leaves to
//! Kubernetes' default is null in the layer: the preset's value must not shine
//! through.

use std::rc::Rc;

use super::decoder::Decoder;
use super::source::{SourceId, Sources};
use super::tree::Node;
use super::yaml;

mod build;
pub(crate) mod contradictions;
mod deployment;
pub mod import;
pub(crate) mod layer;
mod objects;
mod service;

/// What a manifest comes to.
pub(crate) struct Manifest {
    /// To be laid over a preset.
    pub(crate) layer: Rc<Node>,
    /// What the manifest has that is not modelled, in sentences.
    pub(crate) notes: Vec<String>,
    /// SHA-256 of its bytes; empty where nobody needs it.
    pub(crate) digest: String,
}

/// Reads the manifest `id`. Mistakes are noted; `None` if it is of no use.
pub(crate) fn read(decoder: &mut Decoder, sources: &Sources, id: SourceId) -> Option<Manifest> {
    let documents = match yaml::documents(sources, id) {
        Ok(documents) => documents,
        Err(mistake) => {
            decoder.note(*mistake);
            return None;
        }
    };
    let found = objects::find(decoder, &documents, id)?;
    let mut notes = Vec::new();
    let server = deployment::metrics_server(&found, &mut notes);
    let mut entries = vec![build::entry(
        "metricsServer",
        found.deployment.place,
        server,
    )];
    entries.extend(service::service(&found, &mut notes));
    entries.extend(service::aggregation(&found, &mut notes));
    if !found.others.is_empty() {
        notes.push(format!("not modelled: {}", found.others.join(", ")));
    }
    Some(Manifest {
        layer: build::mapping(found.deployment.place, entries),
        notes,
        digest: String::new(),
    })
}
