//! Rows of Events.

use seam::Timestamp;
use serde_json::{Value, json};

use super::{Printer, age, name, or, shown, text, wide};

pub(super) const EVENTS: Printer = Printer {
    columns: &[
        shown("Last Seen"),
        shown("Type"),
        shown("Reason"),
        shown("Object"),
        wide("Subobject"),
        wide("Source"),
        shown("Message"),
        wide("First Seen"),
        wide("Count"),
        wide("Name"),
    ],
    cells,
};

/// Source: printers.go `printEvent`.
fn cells(event: &Value, now: Timestamp) -> Vec<Value> {
    let first = match event["firstTimestamp"].is_null() {
        true => age::since(&event["eventTime"], now),
        false => age::since(&event["firstTimestamp"], now),
    };
    let last = match event["lastTimestamp"].is_null() {
        true => first.clone(),
        false => age::since(&event["lastTimestamp"], now),
    };
    let about = &event["involvedObject"];
    let mut target = text(&about["kind"]).to_lowercase();
    if !text(&about["name"]).is_empty() {
        target = format!("{target}/{}", text(&about["name"]));
    }
    vec![
        json!(last),
        json!(text(&event["type"])),
        json!(text(&event["reason"])),
        json!(target),
        json!(text(&about["fieldPath"])),
        json!(source(event)),
        json!(text(&event["message"]).trim()),
        json!(first),
        json!(event["count"].as_u64().unwrap_or(1).max(1)),
        name(event),
    ]
}

/// Source: printers.go `formatEventSource`.
fn source(event: &Value) -> String {
    let component = or(
        &event["source"]["component"],
        text(&event["reportingComponent"]),
    );
    let instance = or(&event["source"]["host"], text(&event["reportingInstance"]));
    match instance {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    #[test]
    fn events_show_when_they_were_last_seen_and_of_what() {
        let mut event = json!({
            "metadata": {"name": "web.1"},
            "involvedObject": {"kind": "Pod", "name": "web", "fieldPath": "spec.containers{a}"},
            "type": "Warning", "reason": "Unhealthy", "message": "no\n",
            "source": {"component": "kubelet", "host": "n1"},
            "firstTimestamp": "2027-01-15T07:50:00Z",
            "lastTimestamp": "2027-01-15T07:59:58Z",
            "count": 9,
        });
        assert_eq!(
            row("", "v1", "events", &event),
            [
                "2s",
                "Warning",
                "Unhealthy",
                "pod/web",
                "spec.containers{a}",
                "kubelet, n1",
                "no",
                "10m",
                "9",
                "web.1"
            ]
        );
        event["firstTimestamp"] = Value::Null;
        event["lastTimestamp"] = Value::Null;
        event["eventTime"] = json!("2027-01-15T07:59:00.123456Z");
        assert_eq!(row("", "v1", "events", &event)[0], "59s");
    }
}
