//! Rows of Deployments, ReplicaSets and autoscalers.

use seam::Timestamp;
use serde_json::{Value, json};

use super::{Printer, age, items, labels, name, number, shown, text, wide};

pub(super) const DEPLOYMENTS: Printer = Printer {
    columns: &[
        shown("Name"),
        shown("Ready"),
        number("Up-to-date"),
        number("Available"),
        shown("Age"),
        wide("Containers"),
        wide("Images"),
        wide("Selector"),
    ],
    cells: deployment,
};

pub(super) const REPLICA_SETS: Printer = Printer {
    columns: &[
        shown("Name"),
        number("Desired"),
        number("Current"),
        number("Ready"),
        shown("Age"),
        wide("Containers"),
        wide("Images"),
        wide("Selector"),
    ],
    cells: replica_set,
};

pub(super) const AUTOSCALERS: Printer = Printer {
    columns: &[
        shown("Name"),
        shown("Reference"),
        shown("Targets"),
        shown("MinPods"),
        shown("MaxPods"),
        number("Replicas"),
        shown("Age"),
    ],
    cells: autoscaler,
};

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Source: printers.go `printDeployment`.
fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let ready = format!(
        "{}/{}",
        count(&status["readyReplicas"]),
        count(&spec["replicas"])
    );
    let mut cells = vec![
        name(object),
        json!(ready),
        json!(count(&status["updatedReplicas"])),
        json!(count(&status["availableReplicas"])),
        age::of(object, now),
    ];
    cells.extend(template(spec));
    cells
}

/// Source: printers.go `printReplicaSet`.
fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let mut cells = vec![
        name(object),
        json!(count(&spec["replicas"])),
        json!(count(&status["replicas"])),
        json!(count(&status["readyReplicas"])),
        age::of(object, now),
    ];
    cells.extend(template(spec));
    cells
}

/// Containers, images and selector.
fn template(spec: &Value) -> [Value; 3] {
    let containers = items(&spec["template"]["spec"]["containers"]);
    let all = |field: &str| {
        let values: Vec<&str> = containers.iter().map(|it| text(&it[field])).collect();
        json!(values.join(","))
    };
    [
        all("name"),
        all("image"),
        json!(labels(&spec["selector"]["matchLabels"])),
    ]
}

/// Source: printers.go `printHorizontalPodAutoscaler`.
fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    let reference = format!("{}/{}", text(&target["kind"]), text(&target["name"]));
    let min = match &spec["minReplicas"] {
        Value::Number(number) => number.to_string(),
        _ => "<unset>".to_owned(),
    };
    vec![
        name(object),
        json!(reference),
        json!(targets(spec, status)),
        json!(min),
        json!(count(&spec["maxReplicas"]).to_string()),
        json!(count(&status["currentReplicas"])),
        age::of(object, now),
    ]
}

/// Source: printers.go `formatHPAMetrics`, for resource metrics.
fn targets(spec: &Value, status: &Value) -> String {
    let metrics = items(&spec["metrics"]).iter().enumerate();
    let metrics: Vec<String> = metrics
        .map(|(index, metric)| {
            let resource = &metric["resource"];
            let wanted = &resource["target"]["averageUtilization"];
            let current = &status["currentMetrics"][index]["resource"]["current"];
            let current = match &current["averageUtilization"] {
                Value::Number(percent) => format!("{percent}%"),
                _ => "<unknown>".to_owned(),
            };
            format!("{}: {current}/{wanted}%", text(&resource["name"]))
        })
        .collect();
    match metrics.is_empty() {
        true => "<none>".to_owned(),
        false => metrics.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    #[test]
    fn deployments_and_replica_sets_count_their_pods() {
        let object = json!({
            "metadata": {"name": "web", "creationTimestamp": "2027-01-15T07:59:50Z"},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"spec": {"containers": [{"name": "a", "image": "i:1"}]}},
            },
            "status": {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": 1},
        });
        assert_eq!(
            row("apps", "v1", "deployments", &object),
            ["web", "1/2", "2", "1", "10s", "a", "i:1", "app=web"]
        );
        assert_eq!(
            row("apps", "v1", "replicasets", &object),
            ["web", "2", "2", "1", "10s", "a", "i:1", "app=web"]
        );
    }

    #[test]
    fn an_autoscaler_without_metrics_does_not_know_the_utilization() {
        let mut object = json!({
            "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "minReplicas": 1, "maxReplicas": 5,
                "metrics": [{"type": "Resource", "resource": {
                    "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50},
                }}],
            },
            "status": {"currentReplicas": 1},
        });
        let cells = |object: &Value| {
            row("autoscaling", "v2", "horizontalpodautoscalers", object)[1..6].to_vec()
        };
        assert_eq!(
            cells(&object),
            ["Deployment/web", "cpu: <unknown>/50%", "1", "5", "1"]
        );
        object["status"]["currentMetrics"] =
            json!([{"type": "Resource", "resource": {"current": {"averageUtilization": 12}}}]);
        assert_eq!(cells(&object)[1], "cpu: 12%/50%");
    }
}
