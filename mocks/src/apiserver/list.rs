//! GET and LIST of stored objects.

use std::rc::Rc;

use bytes::Bytes;
use serde_json::json;

use super::base64;
use super::reply::{self, Failure};
use super::request::{Query, RequestInfo};
use super::resources::ResourceType;
use super::selector::Selector;
use super::view::View;
use crate::http_server::Response;
use crate::store::{Store, Stored};

/// Answers a GET of one object.
pub(crate) fn get(store: &Store, view: &View, info: &RequestInfo) -> Result<Response, Failure> {
    let resource = view.resource;
    let namespace = resource.namespaced.then_some(info.namespace.as_str());
    let stored = store
        .stored(resource.plural, namespace, &info.name)
        .ok_or_else(|| Failure::not_found(resource.group, resource.plural, &info.name))?;
    let mut body = Vec::new();
    view.write_object(&mut body, &stored, true);
    body.push(b'\n');
    Ok(reply::body(200, reply::JSON, body))
}

/// Answers a LIST.
///
/// DIFFERENCE: the pages of a list with a limit show the objects as they are
/// when each page is read, all under the version of the first page. A watch
/// from that version brings a client to the same state as the real thing.
///
/// DIFFERENCE: `resourceVersionMatch=Exact` is answered while nothing of the
/// resource has changed since that version, and refused as too old from then
/// on; etcd remembers five minutes.
pub(crate) fn list(
    store: &Store,
    view: &View,
    info: &RequestInfo,
    query: &Query,
) -> Result<Response, Failure> {
    let resource = view.resource;
    let selector = selector(resource, info, query)?;
    let exact = validate(query)?;
    if let Some(version) = exact
        && store.changed_since(resource.plural, version)
    {
        let message = "The resourceVersion for the provided list is too old.";
        return Err(Failure::expired(message));
    }
    let start = match query.get("continue") {
        Some(token) => Start::parse(token, store, resource)?,
        None => Start {
            version: exact.unwrap_or_else(|| store.resource_version()),
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
    let page = Page::read(store, &selector, &start, limit, view);
    let document = page.into_document(&selector, &start, view);
    Ok(reply::body(200, reply::JSON, document))
}

/// Checks a list's options against each other; returns the version that the
/// list must be of, if it must be of one.
///
/// Source: apimachinery `pkg/apis/meta/internalversion/validation/
/// validation.go: ValidateListOptions`.
fn validate(query: &Query) -> Result<Option<u64>, Failure> {
    let forbidden = |field, problem: &str| Err(Failure::invalid_list_options(field, problem));
    if query.get("sendInitialEvents").is_some() {
        return forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        );
    }
    let version = resource_version(query)?;
    let Some(rule) = query.get("resourceVersionMatch") else {
        return Ok(None);
    };
    const FIELD: &str = "resourceVersionMatch";
    match (rule, version) {
        (_, None) => forbidden(
            FIELD,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        ),
        _ if query.get("continue").is_some() => forbidden(
            FIELD,
            "resourceVersionMatch is forbidden when continue is provided",
        ),
        ("Exact", Some(0)) => forbidden(
            FIELD,
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        ("Exact", version) => Ok(version),
        ("NotOlderThan", _) => Ok(None),
        (other, _) => Err(Failure::unsupported_list_option(
            FIELD,
            other,
            &["Exact", "NotOlderThan"],
        )),
    }
}

/// The parameter `resourceVersion`, if there is one.
pub(crate) fn resource_version(query: &Query) -> Result<Option<u64>, Failure> {
    let Some(text) = query.get("resourceVersion") else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Failure::bad_request(format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": \
             invalid syntax"
        ))
    })
}

/// The selector of a LIST or WATCH; a path that names one object by field
/// selector is already part of it.
pub(crate) fn selector(
    resource: &ResourceType,
    info: &RequestInfo,
    query: &Query,
) -> Result<Selector, Failure> {
    // A namespace itself is in none.
    let namespace = if resource.namespaced {
        info.namespace.as_str()
    } else {
        ""
    };
    Selector::parse(
        resource.plural,
        namespace,
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
    fn read(store: &Store, selector: &Selector, start: &Start, limit: usize, view: &View) -> Self {
        let mut page = Self {
            items: Vec::new(),
            cut: None,
        };
        let mut last: Option<Rc<str>> = None;
        let mut count = 0;
        let mut visit = |key: &str, stored: &Rc<Stored>| {
            if !selector.matches(stored) {
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
            view.write_item(&mut page.items, stored);
            true
        };
        store.scan(
            view.resource.plural,
            &prefix(selector),
            start.after.as_deref(),
            &mut visit,
        );
        page
    }

    fn into_document(self, selector: &Selector, start: &Start, view: &View) -> Bytes {
        let mut metadata = json!({"resourceVersion": start.version.to_string()});
        if let Some((last, remaining)) = self.cut {
            metadata["continue"] = json!(Start::token(start.version, &last));
            if selector.is_everything() {
                metadata["remainingItemCount"] = json!(remaining);
            }
        }
        view.list(&metadata, &self.items).into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::apiserver::negotiate::{Include, Representation};
    use crate::apiserver::resources;
    use crate::http_client::testing::TestClock;
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
        let view = View {
            resource: resources::find("", "v1", "pods").expect("served"),
            representation,
            clock: TestClock::new(),
        };
        let response = match info.verb {
            "get" => get(store, &view, &info),
            _ => list(store, &view, &info, &query),
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

    #[test]
    fn a_table_has_rows_that_bring_along_what_was_asked_for() {
        let ask = |include| {
            let table = Representation::Table {
                version: "v1",
                include,
            };
            let list = ask(&store(), "/api/v1/namespaces/b/pods", table).expect("listed");
            assert_eq!(list["kind"], "Table");
            assert_eq!(list["metadata"]["resourceVersion"], "3");
            assert_eq!(list["columnDefinitions"][1]["name"], "Ready");
            assert_eq!(list["rows"][0]["cells"][0], "z");
            list["rows"][0]["object"].clone()
        };
        assert_eq!(ask(Include::Nothing), Value::Null);
        assert_eq!(ask(Include::Metadata)["kind"], "PartialObjectMetadata");
        assert_eq!(ask(Include::Object)["status"]["phase"], "Running");
    }

    #[test]
    fn options_of_a_list_that_exclude_each_other_are_refused() {
        let store = store();
        let message = |query: &str| {
            let target = format!("/api/v1/pods?{query}");
            let refused = ask(&store, &target, Representation::Whole).expect_err("refused");
            refused.status()["message"]
                .as_str()
                .expect("a message")
                .to_owned()
        };
        assert_eq!(
            message("sendInitialEvents=true"),
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: \
             sendInitialEvents is forbidden for list"
        );
        assert_eq!(
            message("resourceVersionMatch=Exact"),
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: \
             resourceVersionMatch is forbidden unless resourceVersion is provided"
        );
        assert_eq!(
            message("resourceVersionMatch=Newest&resourceVersion=1"),
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: \
             \"Newest\": supported values: \"Exact\", \"NotOlderThan\""
        );
        assert_eq!(
            message("resourceVersion=x"),
            "resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"
        );
    }

    #[test]
    fn an_exact_version_is_answered_until_something_changes() {
        let store = store();
        let exact = "/api/v1/pods?resourceVersionMatch=Exact&resourceVersion=3";
        let listed = ask(&store, exact, Representation::Whole).expect("nothing changed");
        assert_eq!(listed["metadata"]["resourceVersion"], "3");
        store.put("nodes", json!({"metadata": {"name": "n"}}));
        assert!(ask(&store, exact, Representation::Whole).is_ok());
        store.delete("pods", Some("a"), "x");
        let late = ask(&store, exact, Representation::Whole);
        assert_eq!(late.expect_err("changed").code, 410);
    }
}
