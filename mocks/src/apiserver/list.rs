//! GET and LIST of stored objects.

use std::rc::Rc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::base64;
use super::negotiate::Representation;
use super::reply::{self, Failure};
use super::request::{Query, RequestInfo};
use super::resources::ResourceType;
use super::selector::Selector;
use crate::http_server::Response;
use crate::store::{Store, Stored};

/// Answers a GET of one object.
pub(crate) fn get(
    store: &Store,
    resource: &ResourceType,
    info: &RequestInfo,
    representation: Representation,
) -> Result<Response, Failure> {
    let namespace = resource.namespaced.then_some(info.namespace.as_str());
    let stored = store
        .stored(resource.plural, namespace, &info.name)
        .ok_or_else(|| Failure::not_found(resource.group, resource.plural, &info.name))?;
    let mut body = Vec::new();
    write_object(&mut body, &stored, resource, representation);
    body.push(b'\n');
    Ok(reply::body(200, reply::JSON, body))
}

/// Answers a LIST.
///
/// DIFFERENCE: the pages of a list with a limit show the objects as they are
/// when each page is read, all under the version of the first page. A watch
/// from that version brings a client to the same state as the real thing.
pub(crate) fn list(
    store: &Store,
    resource: &ResourceType,
    info: &RequestInfo,
    query: &Query,
    representation: Representation,
) -> Result<Response, Failure> {
    let selector = selector(resource, info, query)?;
    let start = match query.get("continue") {
        Some(token) => Start::parse(token, store, resource)?,
        None => Start {
            version: store.resource_version(),
            after: None,
        },
    };
    // The watch cache answers "any version" whole.
    //
    // Source: apiserver `pkg/storage/cacher/cacher.go: computeListLimit`.
    let limit = match query.get("resourceVersion") {
        Some("0") => None,
        _ => query.get("limit").and_then(|limit| limit.parse().ok()),
    };
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let page = Page::read(store, resource, &selector, &start, limit, representation);
    Ok(reply::body(
        200,
        reply::JSON,
        page.into_document(resource, &selector, &start, representation),
    ))
}

/// The selector of a LIST or WATCH; a path that names one object by field
/// selector is already part of it.
pub(crate) fn selector(
    resource: &ResourceType,
    info: &RequestInfo,
    query: &Query,
) -> Result<Selector, Failure> {
    Selector::parse(
        resource.plural,
        &info.namespace,
        query.get("labelSelector"),
        query.get("fieldSelector"),
    )
}

/// The prefix of the keys of everything that a selector may select.
pub(crate) fn prefix(selector: &Selector) -> String {
    selector
        .namespace()
        .map(|namespace| format!("{namespace}/"))
        .unwrap_or_default()
}

/// Appends an object as it is sent alone or in a watch.
pub(crate) fn write_object(
    out: &mut Vec<u8>,
    stored: &Stored,
    resource: &ResourceType,
    representation: Representation,
) {
    match representation {
        Representation::Whole => {
            let kind = resource.kind;
            let version = resource.api_version();
            out.extend_from_slice(
                format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",").as_bytes(),
            );
            out.extend_from_slice(stored.body());
        }
        Representation::Metadata => {
            out.extend_from_slice(PARTIAL);
            out.extend_from_slice(stored.metadata());
        }
    }
    out.push(b'}');
}

const PARTIAL: &[u8] = br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","#;

/// Appends an object as a list holds it: those of typed lists have no kind.
fn write_item(out: &mut Vec<u8>, stored: &Stored, representation: Representation) {
    match representation {
        Representation::Whole => {
            out.push(b'{');
            out.extend_from_slice(stored.body());
        }
        Representation::Metadata => {
            out.extend_from_slice(PARTIAL);
            out.extend_from_slice(stored.metadata());
        }
    }
    out.push(b'}');
}

/// Where a page starts, and the version that the whole list is of.
struct Start {
    version: u64,
    after: Option<String>,
}

impl Start {
    /// Reads a token made by [`Start::token`].
    fn parse(token: &str, store: &Store, resource: &ResourceType) -> Result<Self, Failure> {
        let parsed = token.split_once('.').and_then(|(version, key)| {
            let bytes = base64::decode(&key.replace('-', "+").replace('_', "/"))?;
            Some((version.parse().ok()?, String::from_utf8(bytes).ok()?))
        });
        let (version, after) = parsed.ok_or_else(|| {
            Failure::bad_request("continue key is not valid: it was not issued by this server")
        })?;
        if store.expired(resource.plural, version).is_some() {
            return Err(Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. \
                 You can start a new list without the continue parameter.",
            ));
        }
        Ok(Self {
            version,
            after: Some(after),
        })
    }

    fn token(version: u64, last: &str) -> String {
        let key = base64::encode(last.as_bytes());
        let key = key
            .trim_end_matches('=')
            .replace('+', "-")
            .replace('/', "_");
        format!("{version}.{key}")
    }
}

struct Page {
    items: Vec<u8>,
    /// The last key on the page and how many follow, if any do.
    cut: Option<(String, usize)>,
}

impl Page {
    fn read(
        store: &Store,
        resource: &ResourceType,
        selector: &Selector,
        start: &Start,
        limit: usize,
        representation: Representation,
    ) -> Self {
        let mut page = Self {
            items: Vec::new(),
            cut: None,
        };
        let mut last: Option<Rc<str>> = None;
        let mut count = 0;
        let mut visit = |key: &str, stored: &Rc<Stored>| {
            if !selector.is_everything() && !selector.matches(stored.value()) {
                return true;
            }
            if count == limit {
                let (_, remaining) = page.cut.get_or_insert_with(|| {
                    let last = last.as_deref().unwrap_or_default();
                    (last.to_owned(), 0)
                });
                *remaining += 1;
                // Counting on serves `remainingItemCount`, which lists with
                // selectors do not have.
                return selector.is_everything();
            }
            count += 1;
            if limit != usize::MAX {
                last = Some(key.into());
            }
            if !page.items.is_empty() {
                page.items.push(b',');
            }
            write_item(&mut page.items, stored, representation);
            true
        };
        store.scan(
            resource.plural,
            &prefix(selector),
            start.after.as_deref(),
            &mut visit,
        );
        page
    }

    fn into_document(
        self,
        resource: &ResourceType,
        selector: &Selector,
        start: &Start,
        representation: Representation,
    ) -> Bytes {
        let (kind, version) = match representation {
            Representation::Whole => (format!("{}List", resource.kind), resource.api_version()),
            Representation::Metadata => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
        };
        let mut metadata = json!({"resourceVersion": start.version.to_string()});
        if let Some((last, remaining)) = self.cut {
            metadata["continue"] = json!(Start::token(start.version, &last));
            if selector.is_everything() {
                metadata["remainingItemCount"] = json!(remaining);
            }
        }
        let metadata = Value::to_string(&metadata);
        let mut out = Vec::with_capacity(self.items.len() + 160);
        out.extend_from_slice(
            format!(
                "{{\"kind\":\"{kind}\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":["
            )
            .as_bytes(),
        );
        out.extend_from_slice(&self.items);
        out.extend_from_slice(b"]}\n");
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apiserver::resources;
    use crate::http_server::Body;

    fn store() -> Store {
        let store = Store::new();
        for (namespace, name, phase) in [
            ("a", "x", "Running"),
            ("a", "y", "Pending"),
            ("b", "z", "Running"),
        ] {
            store.put(
                "pods",
                json!({
                    "kind": "Pod", "apiVersion": "v1",
                    "metadata": {"namespace": namespace, "name": name, "uid": "u"},
                    "status": {"phase": phase},
                }),
            );
        }
        store
    }

    fn ask(store: &Store, target: &str, representation: Representation) -> Result<Value, Failure> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(query);
        let info = RequestInfo::new("GET", path, &query);
        let resource = resources::find("", "v1", "pods").expect("served");
        let response = match info.verb {
            "get" => get(store, resource, &info, representation),
            _ => list(store, resource, &info, &query, representation),
        }?;
        let Body::Full(body) = response.body else {
            panic!("lists are not streamed")
        };
        Ok(serde_json::from_slice(&body).expect("JSON"))
    }

    fn names(list: &Value) -> Vec<&str> {
        let items = list["items"].as_array().expect("a list");
        items
            .iter()
            .map(|item| item["metadata"]["name"].as_str().expect("a name"))
            .collect()
    }

    #[test]
    fn items_of_typed_lists_have_no_kind_and_partial_ones_do() {
        let store = store();
        let whole = ask(&store, "/api/v1/namespaces/b/pods", Representation::Whole);
        assert_eq!(
            whole.expect("listed").to_string(),
            r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"3"},"items":[{"metadata":{"namespace":"b","name":"z","uid":"u","resourceVersion":"3"},"status":{"phase":"Running"}}]}"#
        );
        let partial = ask(
            &store,
            "/api/v1/namespaces/b/pods",
            Representation::Metadata,
        );
        assert_eq!(
            partial.expect("listed").to_string(),
            r#"{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"3"},"items":[{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"namespace":"b","name":"z","uid":"u","resourceVersion":"3"}}]}"#
        );
    }

    #[test]
    fn a_single_object_has_its_kind() {
        let pod = ask(
            &store(),
            "/api/v1/namespaces/a/pods/x",
            Representation::Whole,
        );
        assert_eq!(pod.expect("found")["kind"], "Pod");
        let missing = ask(
            &store(),
            "/api/v1/namespaces/a/pods/z",
            Representation::Whole,
        );
        assert_eq!(missing.expect_err("not there").code, 404);
    }

    #[test]
    fn pages_follow_each_other_under_the_first_version() {
        let store = store();
        let first = ask(&store, "/api/v1/pods?limit=2", Representation::Whole).expect("listed");
        assert_eq!(names(&first), ["x", "y"]);
        assert_eq!(first["metadata"]["remainingItemCount"], 1);
        store.put(
            "pods",
            json!({"metadata": {"namespace": "c", "name": "new"}}),
        );
        let token = first["metadata"]["continue"]
            .as_str()
            .expect("there is more");
        let target = format!("/api/v1/pods?limit=2&continue={token}");
        let second = ask(&store, &target, Representation::Whole).expect("listed");
        assert_eq!(names(&second), ["z", "new"]);
        assert_eq!(second["metadata"]["resourceVersion"], "3");
        assert!(second["metadata"].get("continue").is_none());
        store.compact();
        let late = ask(&store, &target, Representation::Whole);
        assert_eq!(late.expect_err("compacted").code, 410);
    }

    #[test]
    fn any_version_is_answered_whole_and_selectors_select() {
        let all = ask(
            &store(),
            "/api/v1/pods?limit=1&resourceVersion=0",
            Representation::Whole,
        );
        assert_eq!(names(&all.expect("listed")), ["x", "y", "z"]);
        let running = ask(
            &store(),
            "/api/v1/pods?fieldSelector=status.phase%3DRunning",
            Representation::Whole,
        );
        assert_eq!(names(&running.expect("listed")), ["x", "z"]);
    }
}
