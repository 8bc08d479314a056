//! Versions, order and history.

use std::cell::Cell;

use super::*;

fn pod(name: &str) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"namespace": "default", "name": name}})
}

#[test]
fn one_counter_numbers_the_changes_of_all_resources() {
    let store = Store::new();
    assert_eq!(store.put("pods", pod("a")), 1);
    assert_eq!(store.put("nodes", json!({"metadata": {"name": "n"}})), 2);
    assert_eq!(store.put("pods", pod("a")), 3);
    assert_eq!(store.delete("pods", Some("default"), "a"), Some(4));
    assert_eq!(store.delete("pods", Some("default"), "a"), None);
    assert_eq!(store.resource_version(), 4);
}

#[test]
fn a_replaced_object_keeps_its_uid_and_a_recreated_one_does_not() {
    let store = Store::new();
    let uid =
        || store.get("pods", Some("default"), "a").expect("stored")["metadata"]["uid"].clone();
    store.put("pods", pod("a"));
    let first = uid();
    store.put("pods", pod("a"));
    assert_eq!(uid(), first);
    store.delete("pods", Some("default"), "a");
    store.put("pods", pod("a"));
    assert_ne!(uid(), first);
}

#[test]
fn objects_are_selected_by_their_metadata_within_a_namespace() {
    let store = Store::new();
    for (namespace, name) in [("a", "x"), ("a-b", "w"), ("a", "w"), ("a", "v"), ("b", "x")] {
        store.put(
            "pods",
            json!({"metadata": {"namespace": namespace, "name": name}}),
        );
    }
    let names = |namespace| -> Vec<String> {
        let selected = store.select("pods", namespace, |metadata| metadata["name"] != "v");
        let name = |pod: &Rc<Value>| pod["metadata"]["name"].as_str().unwrap().to_owned();
        selected.iter().map(name).collect()
    };
    assert_eq!(names("a"), ["w", "x"]);
    assert_eq!(names("c"), [""; 0]);
}

/// Counts how often it is completed.
struct CountedPod(Rc<Cell<u32>>);

impl Sketch for CountedPod {
    fn complete(&self, metadata: Value) -> Value {
        self.0.set(self.0.get() + 1);
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {}})
    }

    fn field(&self, path: &[&str]) -> Option<&str> {
        (path == ["status", "phase"]).then_some("Running")
    }
}

/// Goal: a sketch is the object that it becomes, in every form and after
/// another took its place. Method: the same object put whole.
#[test]
fn a_sketch_is_completed_when_somebody_looks() {
    let (store, other) = (Store::new(), Store::new());
    let completed = Rc::new(Cell::new(0));
    let count = Rc::clone(&completed);
    let metadata = json!({"namespace": "default", "name": "a", "labels": {"app": "web"}});
    store.put_sketch("pods", metadata.clone(), CountedPod(count));
    other.put(
        "pods",
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {}}),
    );
    let stored = |store: &Store| store.stored("pods", Some("default"), "a").unwrap();
    let (sketch, whole) = (stored(&store), stored(&other));
    assert_eq!(sketch.partial(), whole.partial());
    assert_eq!(sketch.metadata(), whole.metadata());
    let nothing = store.select("pods", "default", |metadata| {
        metadata["labels"]["app"] == "db"
    });
    let text = |path: &[&str]| {
        sketch
            .field(path)
            .map(|field| field.as_str() == Some("Running"))
    };
    assert_eq!(text(&["status", "phase"]), Some(true));
    assert_eq!(text(&["metadata", "name"]), Some(false));
    assert_eq!((nothing.len(), completed.get()), (0, 0));
    assert_eq!(text(&["status", "podIP"]), None);
    assert_eq!(completed.get(), 1);
    assert_eq!(sketch.body(), whole.body());
    assert_eq!(sketch.object(), whole.object());
    assert_eq!(completed.get(), 1);
    store.put("pods", pod("a"));
    let uid = |stored: &Stored| stored.metadata()["uid"].clone();
    assert_eq!(uid(&stored(&store)), uid(&sketch));
}

#[test]
fn objects_are_listed_in_the_order_of_etcd_keys() {
    let store = Store::new();
    for (namespace, name) in [("b", "x"), ("a", "y"), ("a-b", "x"), ("a", "x")] {
        store.put(
            "pods",
            json!({"metadata": {"namespace": namespace, "name": name}}),
        );
    }
    let listed = store.list("pods");
    let keys: Vec<String> = listed.iter().map(|pod| key_of(&pod["metadata"])).collect();
    assert_eq!(keys, ["a-b/x", "a/x", "a/y", "b/x"]);
}

#[test]
fn a_watch_from_a_version_sees_exactly_what_came_after_it() {
    let store = Store::new();
    store.put("pods", pod("a"));
    let version = store.put("pods", pod("b"));
    store.put("nodes", json!({"metadata": {"name": "n"}}));
    store.put("pods", pod("a"));
    let mut watch = store.watch_from("pods", version).expect("recent");
    store.delete("pods", Some("default"), "b");
    let kinds: Vec<_> = std::iter::from_fn(|| watch.try_next())
        .map(|change| (change.kind, change.resource_version))
        .collect();
    assert_eq!(kinds, [(ChangeKind::Modified, 4), (ChangeKind::Deleted, 5)]);
}

#[test]
fn a_version_that_was_compacted_away_is_too_old() {
    let store = Store::new();
    let old = store.put("pods", pod("a"));
    let recent = store.put("pods", pod("a"));
    store.compact();
    let error = store.watch_from("pods", old).expect_err("compacted");
    assert_eq!(error.to_string(), "too old resource version: 1 (2)");
    assert!(store.watch_from("pods", recent).is_ok());
}

#[test]
fn history_is_bounded_and_says_so() {
    let store = Store::new();
    for _ in 0..=HISTORY {
        store.put("pods", pod("a"));
    }
    assert!(store.watch_from("pods", 0).is_err());
    assert!(store.watch_from("pods", 1).is_ok());
}
