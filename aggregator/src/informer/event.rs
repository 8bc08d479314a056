//! One event of a watch.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::objects::{Metadata, Object, PartialObject};
use crate::klog::Quoted;
use crate::transport::status::{RestError, status_object};

#[derive(Deserialize)]
struct EventType<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(rename = "object")]
    _object: IgnoredAny,
}

#[derive(Deserialize)]
struct EventObject<T> {
    object: T,
}

/// One event of a watch.
pub(super) enum WatchEvent<T> {
    Upsert(T),
    Delete(Metadata),
    Bookmark(Metadata),
    Error(RestError),
}

/// Reads one line of a watch.
pub(super) fn read_event<T: Object>(line: &[u8]) -> Result<WatchEvent<T>, String> {
    let bad = |error: serde_json::Error| {
        format!("unable to decode an event from the watch stream: {error}")
    };
    let kind: EventType<'_> = serde_json::from_slice(line).map_err(bad)?;
    Ok(match &*kind.kind {
        "ADDED" | "MODIFIED" => WatchEvent::Upsert(
            serde_json::from_slice::<EventObject<T>>(line)
                .map_err(bad)?
                .object,
        ),
        "DELETED" => {
            let event: EventObject<PartialObject> = serde_json::from_slice(line).map_err(bad)?;
            WatchEvent::Delete(event.object.metadata)
        }
        "BOOKMARK" => {
            let event: EventObject<PartialObject> = serde_json::from_slice(line).map_err(bad)?;
            WatchEvent::Bookmark(event.object.metadata)
        }
        "ERROR" => {
            let event: EventObject<serde_json::Value> =
                serde_json::from_slice(line).map_err(bad)?;
            let status = status_object(event.object.to_string().as_bytes());
            WatchEvent::Error(status.ok_or("an error event without a status")?)
        }
        other => {
            return Err(format!(
                "unable to understand watch event type {}",
                Quoted(other)
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::objects::NodeObject;
    use super::*;

    #[test]
    fn events_are_read_by_their_type() {
        let read = |line: &str| read_event::<NodeObject>(line.as_bytes());
        let added = read(
            r#"{"type":"ADDED","object":{"kind":"Node","metadata":{"name":"a","resourceVersion":"3"}}}"#,
        );
        assert!(matches!(added, Ok(WatchEvent::Upsert(node)) if node.metadata.name == "a"));
        let gone = read(r#"{"type":"DELETED","object":{"metadata":{"name":"b"}}}"#);
        assert!(matches!(gone, Ok(WatchEvent::Delete(metadata)) if metadata.name == "b"));
        let mark = read(
            r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
        );
        assert!(
            matches!(mark, Ok(WatchEvent::Bookmark(metadata)) if metadata.resource_version == "9")
        );
        let error = read(
            r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old","reason":"Expired","code":410}}"#,
        );
        assert!(matches!(error, Ok(WatchEvent::Error(error)) if error.is_expired()));
        assert!(read("{").is_err());
        assert!(read(r#"{"type":"NEWS","object":{}}"#).is_err());
    }
}
