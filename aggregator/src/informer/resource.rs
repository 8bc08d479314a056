//! What is listed and watched, and where it goes.

use super::objects::{Metadata, Object};

/// Where a reflector's objects go.
pub trait Sink: 'static {
    /// What is read of each object.
    type Object: Object;

    /// The complete state of the resource.
    fn replace(&self, objects: Vec<Self::Object>);
    /// An object was added or changed.
    fn upsert(&self, object: Self::Object);
    /// An object was removed.
    fn delete(&self, metadata: &Metadata);
}

/// What to list and watch, and what it is called in logs.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// `/api/v1/nodes`
    pub path: &'static str,
    /// Encoded: `status.phase%3DRunning`. Empty for everything.
    pub field_selector: &'static str,
    /// `nodes`
    pub subject: &'static str,
    /// `Accept` of a LIST.
    pub list_accept: &'static str,
    /// `Accept` of a WATCH.
    pub watch_accept: &'static str,
    /// `*v1.Node`
    pub type_name: &'static str,
    /// Where the Go program creates the informer, which is its name in logs.
    pub name: &'static str,
}
