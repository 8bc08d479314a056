//! Rows of pods.

use seam::Timestamp;
use serde_json::{Value, json};

use super::{Printer, age, condition, items, name, or, shown, text, wide};

pub(super) const PODS: Printer = Printer {
    columns: &[
        shown("Name"),
        shown("Ready"),
        shown("Status"),
        shown("Restarts"),
        shown("Age"),
        wide("IP"),
        wide("Node"),
        wide("Nominated Node"),
        wide("Readiness Gates"),
    ],
    cells,
};

/// Source: printers.go `printPod`.
fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let containers = Containers::read(pod);
    let ready = format!("{}/{}", containers.ready, items(&spec["containers"]).len());
    let mut restarts = containers.restarts.to_string();
    if containers.restarts > 0 && !containers.last_end.is_null() {
        let ago = age::since(&containers.last_end, now);
        restarts = format!("{restarts} ({ago} ago)");
    }
    let ip = match items(&status["podIPs"]).first() {
        Some(first) => or(&first["ip"], "<none>"),
        None => or(&status["podIP"], "<none>"),
    };
    vec![
        name(pod),
        json!(ready),
        json!(reason(pod, &containers)),
        json!(restarts),
        age::of(pod, now),
        json!(ip),
        json!(or(&spec["nodeName"], "<none>")),
        json!(or(&status["nominatedNodeName"], "<none>")),
        json!(gates(pod)),
    ]
}

/// What the containers come to.
#[derive(Default)]
struct Containers {
    ready: usize,
    restarts: u64,
    /// When the last instance ended.
    last_end: Value,
    /// The first container's, whose reason wins.
    reason: Option<String>,
    running: bool,
}

impl Containers {
    fn read(pod: &Value) -> Self {
        let mut all = Self::default();
        for container in items(&pod["status"]["containerStatuses"]).iter().rev() {
            all.restarts += container["restartCount"].as_u64().unwrap_or(0);
            let ended = &container["lastState"]["terminated"]["finishedAt"];
            if age::parse(ended) > age::parse(&all.last_end) {
                all.last_end = ended.clone();
            }
            let state = &container["state"];
            let (waiting, ended) = (text(&state["waiting"]["reason"]), &state["terminated"]);
            if !waiting.is_empty() {
                all.reason = Some(waiting.to_owned());
            } else if ended.is_object() {
                all.reason = Some(end_of(ended));
            } else if container["ready"] == true && state["running"].is_object() {
                all.running = true;
                all.ready += 1;
            }
        }
        all
    }
}

fn end_of(ended: &Value) -> String {
    match (text(&ended["reason"]), ended["signal"].as_i64()) {
        ("", Some(signal)) if signal != 0 => format!("Signal:{signal}"),
        ("", _) => format!("ExitCode:{}", ended["exitCode"].as_i64().unwrap_or(0)),
        (reason, _) => reason.to_owned(),
    }
}

fn reason(pod: &Value, containers: &Containers) -> String {
    let status = &pod["status"];
    let phase = text(&status["phase"]);
    if pod["metadata"].get("deletionTimestamp").is_some() && !has_ended(phase) {
        return "Terminating".to_owned();
    }
    let own = containers.reason.clone();
    match own.unwrap_or_else(|| or(&status["reason"], phase).to_owned()) {
        completed if completed == "Completed" && containers.running => {
            let ready = condition(pod, "Ready").is_some_and(|it| it["status"] == "True");
            if ready { "Running" } else { "NotReady" }.to_owned()
        }
        reason => reason,
    }
}

fn has_ended(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

fn gates(pod: &Value) -> String {
    let gates = items(&pod["spec"]["readinessGates"]);
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let passed = gates.iter().filter(|gate| {
        condition(pod, text(&gate["conditionType"])).is_some_and(|it| it["status"] == "True")
    });
    format!("{}/{}", passed.count(), gates.len())
}

/// Source: printers.go `podSuccessConditions`, `podFailedConditions`.
pub(super) fn conditions(pod: &Value) -> Option<Value> {
    let phase = text(&pod["status"]["phase"]);
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!([
        {"type": "Completed", "status": "True", "reason": phase, "message": message}
    ]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    fn check(status: &Value, expected: [&str; 9]) {
        let pod = json!({
            "metadata": {"name": "web", "creationTimestamp": "2027-01-15T07:59:00Z"},
            "spec": {"containers": [{"name": "a"}], "nodeName": "n1"},
            "status": status,
        });
        assert_eq!(row("", "v1", "pods", &pod), expected);
    }

    #[test]
    fn a_pod_shows_its_first_containers_reason_and_its_restarts() {
        check(
            &json!({"phase": "Pending"}),
            [
                "web", "0/1", "Pending", "0", "60s", "<none>", "n1", "<none>", "<none>",
            ],
        );
        check(
            &json!({"phase": "Running", "podIP": "10.0.0.9", "containerStatuses": [
                {"ready": true, "restartCount": 0, "state": {"running": {}}}
            ]}),
            [
                "web", "1/1", "Running", "0", "60s", "10.0.0.9", "n1", "<none>", "<none>",
            ],
        );
        check(
            &json!({"phase": "Running", "containerStatuses": [{
                "ready": false, "restartCount": 2,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"finishedAt": "2027-01-15T07:59:40Z"}},
            }]}),
            [
                "web",
                "0/1",
                "CrashLoopBackOff",
                "2 (20s ago)",
                "60s",
                "<none>",
                "n1",
                "<none>",
                "<none>",
            ],
        );
    }

    #[test]
    fn a_container_that_ended_without_a_reason_shows_its_code() {
        assert_eq!(end_of(&json!({"exitCode": 2})), "ExitCode:2");
        assert_eq!(end_of(&json!({"signal": 9, "exitCode": 137})), "Signal:9");
        assert_eq!(end_of(&json!({"reason": "Error"})), "Error");
    }
}
