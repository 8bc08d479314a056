//! The pod object as it stands in the API server.

use std::time::Duration;

use seam::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::state::{Ended, Instance, State};
use super::{PodConfig, Probe, Scheme};

/// The pod without a node and without a status, as its ReplicaSet creates it.
pub(super) fn unscheduled(config: &PodConfig, created: Timestamp) -> Value {
    let labels: serde_json::Map<String, Value> = config
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": config.name,
            "namespace": config.namespace,
            "labels": labels,
            "creationTimestamp": rfc3339(created),
        },
        "spec": spec(config),
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    })
}

fn spec(config: &PodConfig) -> Value {
    let mut container = json!({
        "name": "metrics-server",
        "image": config.image,
        "args": config.args,
        "ports": [{"name": "https", "containerPort": config.port, "protocol": "TCP"}],
        "resources": {"requests": config.placement.requests.object()},
        "imagePullPolicy": "IfNotPresent",
    });
    let probes = [
        ("livenessProbe", &config.liveness),
        ("readinessProbe", &config.readiness),
        ("startupProbe", &config.startup),
    ];
    for (name, probe) in probes {
        if let Some(probe) = probe {
            container[name] = probe_spec(probe);
        }
    }
    let mut spec = json!({
        "containers": [container],
        "restartPolicy": if config.restart { "Always" } else { "Never" },
        "terminationGracePeriodSeconds": config.termination_grace.as_secs(),
        "serviceAccountName": "metrics-server",
    });
    if let Some(class) = &config.priority_class {
        spec["priorityClassName"] = json!(class);
    }
    config.placement.write(&mut spec);
    if config.host_network {
        spec["hostNetwork"] = json!(true);
    }
    if !config.init_containers.is_empty() {
        let containers = config.init_containers.iter();
        spec["initContainers"] = containers.map(|c| json!({"name": c.name})).collect();
    }
    spec
}

fn probe_spec(probe: &Probe) -> Value {
    let scheme = match probe.scheme {
        Scheme::Http => "HTTP",
        Scheme::Https => "HTTPS",
    };
    let port = probe
        .port
        .map_or_else(|| json!("https"), |port| json!(port));
    let mut spec = json!({
        "httpGet": {"path": probe.path, "port": port, "scheme": scheme},
        "timeoutSeconds": probe.timeout.as_secs(),
        "periodSeconds": probe.period.as_secs(),
        "successThreshold": probe.success_threshold,
        "failureThreshold": probe.failure_threshold,
    });
    if probe.initial_delay >= Duration::from_secs(1) {
        spec["initialDelaySeconds"] = json!(probe.initial_delay.as_secs());
    }
    spec
}

/// The status that the scheduler leaves.
pub(super) fn scheduled_status(now: Timestamp) -> Value {
    json!({
        "phase": "Pending",
        "conditions": [{
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": null,
            "lastTransitionTime": rfc3339(now),
        }],
        "qosClass": "Burstable",
    })
}

/// The status that the kubelet reports.
pub(super) fn status(config: &PodConfig, state: &State) -> Value {
    let conditions: Vec<Value> = state
        .conditions
        .iter()
        .map(|condition| {
            let mut value = json!({
                "type": condition.name,
                "status": if condition.status { "True" } else { "False" },
                "lastProbeTime": null,
                "lastTransitionTime": rfc3339(condition.since),
            });
            if !condition.reason.is_empty() {
                value["reason"] = json!(condition.reason);
                value["message"] = json!(condition.message);
            }
            value
        })
        .collect();
    if let Some(message) = &state.evicted {
        return evicted(message, state);
    }
    let mut status = json!({
        "phase": if state.instance.is_some() { "Running" } else { "Pending" },
        "conditions": conditions,
        "hostIP": config.node_ip.to_string(),
        "hostIPs": [{"ip": config.node_ip.to_string()}],
        "startTime": rfc3339(state.accepted_at),
        "containerStatuses": [container_status(config, state)],
        "qosClass": "Burstable",
    });
    // The address of a pod that has a network of its own shows in the first
    // status after one of its containers started.
    if state.instance.is_some() || state.initializing || config.host_network {
        status["podIP"] = json!(config.pod_ip.to_string());
        status["podIPs"] = json!([{"ip": config.pod_ip.to_string()}]);
    }
    status
}

/// The status of a pod that its kubelet evicted.
/// Source: `pkg/kubelet/eviction/eviction_manager.go evictPod`.
fn evicted(message: &str, state: &State) -> Value {
    json!({
        "phase": "Failed",
        "reason": "Evicted",
        "message": message,
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "PodFailed"},
            {"type": "ContainersReady", "status": "False", "reason": "PodFailed"},
        ],
        "startTime": rfc3339(state.accepted_at),
        "qosClass": "Burstable",
    })
}

fn container_status(config: &PodConfig, state: &State) -> Value {
    let instance = state.instance.as_ref();
    let mut status = json!({
        "name": "metrics-server",
        "state": {},
        "lastState": {},
        "ready": state.ready(),
        "restartCount": instance.map_or(0, |instance| instance.restart),
        "image": config.image,
        "imageID": "",
        "started": instance.is_some_and(|instance| instance.started),
    });
    let ended = instance.and_then(|instance| Some((instance, instance.ended.as_ref()?)));
    let (reason, message) = &state.waiting;
    let (now, before) = match (instance, ended) {
        (Some(instance), None) => {
            let running = json!({"startedAt": rfc3339(instance.started_at)});
            (json!({"running": running}), previous(config, state))
        }
        (_, Some((instance, ended))) if reason.is_empty() => {
            (terminated(config, instance, ended), previous(config, state))
        }
        (_, ended) => {
            let mut waiting = json!({"reason": reason});
            if !message.is_empty() {
                waiting["message"] = json!(message);
            }
            let before = ended.map(|(instance, ended)| terminated(config, instance, ended));
            (json!({"waiting": waiting}), before)
        }
    };
    status["state"] = now;
    if let Some(before) = before {
        status["lastState"] = before;
    }
    if let Some(instance) = instance {
        status["containerID"] = json!(container_id(config, instance));
    }
    status
}

fn previous(config: &PodConfig, state: &State) -> Option<Value> {
    let instance = state.previous.as_ref()?;
    Some(terminated(config, instance, instance.ended.as_ref()?))
}

fn terminated(config: &PodConfig, instance: &Instance, ended: &Ended) -> Value {
    json!({"terminated": {
        "exitCode": ended.exit.code,
        "reason": ended.exit.reason,
        "startedAt": rfc3339(instance.started_at),
        "finishedAt": rfc3339(ended.at),
        "containerID": container_id(config, instance),
    }})
}

fn container_id(config: &PodConfig, instance: &Instance) -> String {
    let what = format!("{}/{}#{}", config.namespace, config.name, instance.restart);
    let digest = Sha256::digest(what);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("containerd://{hex}")
}

/// API objects hold times in whole seconds.
fn rfc3339(time: Timestamp) -> String {
    let seconds = time.as_seconds();
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}
