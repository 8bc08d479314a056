//! The cluster's objects, their versions, and watches on them.
//!
//! One [`Store`] stands for etcd and the API server's watch cache together: a
//! single counter of resource versions, and per resource the objects by key
//! and the recent changes. Objects are immutable once stored; whoever reads
//! one shares it.
//!
//! Nothing here takes time. What it costs to reach the store over the network
//! is the business of [`crate::apiserver`].

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

mod stored;
mod watching;

pub use stored::Sketch;
pub(crate) use stored::Stored;
pub use watching::Watch;

use watching::{Reader, Watcher};

/// How many changes of one resource can be watched from after the fact. A real
/// watch cache holds between 100 and 100,000, by demand; etcd forgets what is
/// older than five minutes.
const HISTORY: usize = 8192;

/// A shared handle to the cluster's objects. Cloning gives another handle.
///
/// Resources are named by their plural: `nodes`, `pods`, `apiservices`.
#[derive(Clone, Default)]
pub struct Store {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Default)]
struct Inner {
    resource_version: u64,
    tables: BTreeMap<String, Table>,
}

#[derive(Default)]
struct Table {
    objects: BTreeMap<String, Rc<Stored>>,
    history: VecDeque<Rc<Change>>,
    /// The newest version that `history` no longer tells of.
    forgotten: u64,
    watchers: Vec<Watcher>,
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Added,
    /// It was replaced.
    Modified,
    /// It was deleted.
    Deleted,
}

/// One change to one object.
#[derive(Debug, Clone)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The store's version as of this change.
    pub resource_version: u64,
    /// The object before the change: a watcher whose selector it matched must
    /// be told when it no longer does.
    pub(crate) previous: Option<Rc<Stored>>,
    pub(crate) stored: Rc<Stored>,
}

/// The versions asked for are no longer in the history: HTTP 410.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too old resource version: {requested} ({oldest})")]
pub struct Expired {
    /// The version that the watch was to start from.
    pub requested: u64,
    /// The oldest version that it could have started from.
    pub oldest: u64,
}

impl Store {
    /// An empty cluster.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The object of that name; `namespace` is `None` for cluster-scoped
    /// resources.
    #[must_use]
    pub fn get(&self, resource: &str, namespace: Option<&str>, name: &str) -> Option<Rc<Value>> {
        self.stored(resource, namespace, name)
            .map(|stored| stored.object())
    }

    /// All objects of a resource, ordered by namespace and name.
    #[must_use]
    pub fn list(&self, resource: &str) -> Vec<Rc<Value>> {
        let inner = self.inner.borrow();
        let table = inner.tables.get(resource);
        table
            .into_iter()
            .flat_map(|table| table.objects.values())
            .map(|stored| stored.object())
            .collect()
    }

    /// The objects of a resource in a namespace whose `metadata` is
    /// `selected`, ordered by name.
    #[must_use]
    pub fn select(
        &self,
        resource: &str,
        namespace: &str,
        selected: impl Fn(&Value) -> bool,
    ) -> Vec<Rc<Value>> {
        let mut found = Vec::new();
        self.scan(resource, &format!("{namespace}/"), None, |_, stored| {
            if selected(stored.metadata()) {
                found.push(stored.object());
            }
            true
        });
        found
    }

    /// Creates the object or replaces the one of the same namespace and name,
    /// and returns the new version.
    ///
    /// `metadata.resourceVersion` is set; `uid` and `creationTimestamp` are
    /// those of the object replaced. A new object gets a `uid` unless it brings
    /// one; its `creationTimestamp` is the caller's, who has a clock.
    ///
    /// # Panics
    ///
    /// If the object has no `metadata.name`.
    pub fn put(&self, resource: &str, mut object: Value) -> u64 {
        let mut metadata = object["metadata"].take();
        self.insert(resource, &mut metadata, |metadata| {
            object["metadata"] = metadata;
            Stored::new(object)
        })
    }

    /// As [`Store::put`], of an object that is put together when somebody
    /// looks at more than its `metadata`: of most pods of a large cluster
    /// nobody does.
    ///
    /// # Panics
    ///
    /// If `metadata` has no `name`.
    pub fn put_sketch(
        &self,
        resource: &str,
        mut metadata: Value,
        sketch: impl Sketch + 'static,
    ) -> u64 {
        self.insert(resource, &mut metadata, |metadata| {
            Stored::sketched(metadata, Box::new(sketch))
        })
    }

    fn insert(
        &self,
        resource: &str,
        metadata: &mut Value,
        stored: impl FnOnce(Value) -> Stored,
    ) -> u64 {
        let mut inner = self.inner.borrow_mut();
        inner.resource_version += 1;
        let version = inner.resource_version;
        let table = inner.table(resource);
        let key = key_of(metadata);
        let previous = table.objects.get(&key).map(Rc::clone);
        let uid = || uid(resource, &key, version);
        let before = previous.as_ref().map(|stored| stored.metadata());
        stamp(metadata, before, version, uid);
        let stored = Rc::new(stored(metadata.take()));
        table.objects.insert(key, Rc::clone(&stored));
        let kind = match previous {
            Some(_) => ChangeKind::Modified,
            None => ChangeKind::Added,
        };
        table.publish(Change {
            kind,
            resource_version: version,
            previous,
            stored,
        });
        version
    }

    /// Deletes an object and returns the new version; `None` if there was none.
    pub fn delete(&self, resource: &str, namespace: Option<&str>, name: &str) -> Option<u64> {
        let mut inner = self.inner.borrow_mut();
        let removed = inner
            .tables
            .get_mut(resource)?
            .objects
            .remove(&key(namespace, name))?;
        inner.resource_version += 1;
        let version = inner.resource_version;
        let mut last = Value::clone(&removed.object());
        last["metadata"]["resourceVersion"] = json!(version.to_string());
        inner.table(resource).publish(Change {
            kind: ChangeKind::Deleted,
            resource_version: version,
            previous: Some(removed),
            stored: Rc::new(Stored::new(last)),
        });
        Some(version)
    }

    /// Watches a resource from now on.
    #[must_use]
    pub fn watch(&self, resource: &str) -> Watch {
        let mut inner = self.inner.borrow_mut();
        inner
            .table(resource)
            .subscribe(VecDeque::new(), Reader::Part)
    }

    /// Watches a resource from now on for somebody who may never read: see
    /// [`Watch::next_unless_behind`].
    pub(crate) fn watch_reading(&self, resource: &str) -> Watch {
        let mut inner = self.inner.borrow_mut();
        inner
            .table(resource)
            .subscribe(VecDeque::new(), Reader::Client)
    }

    /// Watches a resource for what happens after `resource_version`. Whoever
    /// does not read is cut off some time after more has happened than the
    /// history holds.
    ///
    /// # Errors
    ///
    /// [`Expired`] if changes after that version were already forgotten.
    pub fn watch_from(&self, resource: &str, resource_version: u64) -> Result<Watch, Expired> {
        if let Some(expired) = self.expired(resource, resource_version) {
            return Err(expired);
        }
        let mut inner = self.inner.borrow_mut();
        let table = inner.table(resource);
        let seen = |change: &Rc<Change>| change.resource_version <= resource_version;
        let from = table.history.partition_point(seen);
        let missed = table.history.range(from..).cloned().collect();
        Ok(table.subscribe(missed, Reader::Client))
    }

    /// The version of the latest change to anything.
    #[must_use]
    pub fn resource_version(&self) -> u64 {
        self.inner.borrow().resource_version
    }

    /// Forgets all history, as etcd's compaction does: watches can start from
    /// the present version, not from any before.
    pub fn compact(&self) {
        let mut inner = self.inner.borrow_mut();
        let version = inner.resource_version;
        for table in inner.tables.values_mut() {
            table.history.clear();
            table.forgotten = version;
        }
    }

    /// Why a watch cannot start from a version, if it cannot.
    pub(crate) fn expired(&self, resource: &str, requested: u64) -> Option<Expired> {
        let inner = self.inner.borrow();
        let oldest = inner.tables.get(resource)?.forgotten;
        (requested < oldest).then_some(Expired { requested, oldest })
    }

    /// Whether anything of a resource changed after a version.
    pub(crate) fn changed_since(&self, resource: &str, version: u64) -> bool {
        let inner = self.inner.borrow();
        let Some(table) = inner.tables.get(resource) else {
            return false;
        };
        let latest = table.history.back().map(|change| change.resource_version);
        latest.unwrap_or(table.forgotten) > version
    }

    pub(crate) fn stored(
        &self,
        resource: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<Rc<Stored>> {
        let inner = self.inner.borrow();
        let table = inner.tables.get(resource)?;
        table.objects.get(&key(namespace, name)).cloned()
    }

    /// Shows `visit` the objects whose key starts with `prefix` and comes
    /// after `after`, in order of keys, until it returns `false`.
    pub(crate) fn scan(
        &self,
        resource: &str,
        prefix: &str,
        after: Option<&str>,
        mut visit: impl FnMut(&str, &Rc<Stored>) -> bool,
    ) {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let inner = self.inner.borrow();
        let Some(table) = inner.tables.get(resource) else {
            return;
        };
        let start = match after {
            Some(after) => Excluded(after),
            None => Included(prefix),
        };
        for (key, stored) in table.objects.range::<str, _>((start, Unbounded)) {
            if !key.starts_with(prefix) || !visit(key, stored) {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.inner.borrow();
        f.debug_struct("Store")
            .field("resource_version", &inner.resource_version)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn table(&mut self, resource: &str) -> &mut Table {
        if !self.tables.contains_key(resource) {
            self.tables.insert(resource.to_owned(), Table::default());
        }
        self.tables
            .get_mut(resource)
            .expect("the table was inserted if it was missing")
    }
}

impl Table {
    fn publish(&mut self, change: Change) {
        let change = Rc::new(change);
        self.watchers.retain(|watcher| watcher.tell(&change));
        if self.history.len() == HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            self.forgotten = oldest.resource_version;
        }
        self.history.push_back(change);
    }

    fn subscribe(&mut self, missed: VecDeque<Rc<Change>>, reader: Reader) -> Watch {
        let (watcher, watch) = watching::pair(missed, reader);
        self.watchers.push(watcher);
        watch
    }
}

impl Change {
    /// The object after the change; its last state, with the deletion's
    /// resource version, if it was deleted.
    #[must_use]
    pub fn object(&self) -> Rc<Value> {
        self.stored.object()
    }

    /// The `metadata` of [`Change::object`].
    #[must_use]
    pub fn metadata(&self) -> &Value {
        self.stored.metadata()
    }
}

/// Whether an object with this `metadata` bears all these labels.
pub(crate) fn bears(metadata: &Value, labels: &[(String, String)]) -> bool {
    let borne = &metadata["labels"];
    labels.iter().all(|(key, value)| borne[key] == **value)
}

/// An object's key within its resource, ordered as etcd orders them.
pub(crate) fn key(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

fn key_of(metadata: &Value) -> String {
    let name = metadata["name"]
        .as_str()
        .expect("every stored object has a name");
    key(metadata["namespace"].as_str(), name)
}

fn stamp(
    metadata: &mut Value,
    previous: Option<&Value>,
    version: u64,
    fresh_uid: impl FnOnce() -> String,
) {
    if let Some(previous) = previous {
        for inherited in ["uid", "creationTimestamp"] {
            if let Some(value) = previous.get(inherited) {
                metadata[inherited] = value.clone();
            }
        }
    }
    if metadata.get("uid").is_none() {
        metadata["uid"] = json!(fresh_uid());
    }
    metadata["resourceVersion"] = json!(version.to_string());
}

/// A version-4 UUID that is a function of what it identifies.
fn uid(resource: &str, key: &str, version: u64) -> String {
    let digest = Sha256::digest(format!("{resource}/{key}@{version}"));
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests;
