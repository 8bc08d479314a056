//! A scenario with a recording's parameters.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::recording::Recording;

/// The scenario, in the scenario language.
pub(crate) fn yaml(recording: &Recording) -> String {
    let parameters = recording.parameters();
    let mut document = json!({
        "apiVersion": "firstlight/v1",
        "kind": "Scenario",
        "metadata": { "name": recording.name.to_lowercase().replace('_', "-") },
        "preset": "upstream-0.8",
        "until": format!("{}s", parameters["duration"]),
        "metricsServer": metrics_server(recording),
        "nodes": nodes(parameters),
        "aggregation": { "routing": "endpoint" },
        "service": { "publishNotReadyAddresses": !recording.pod_mode() },
        "consumers": { "kubectl-top": null, "hpa": null, "discovery": null },
    });
    let (changes, actions) = happenings(parameters);
    if parameters["apiserver_down_at_start"] == true {
        document["apiServer"] = json!({ "state": "Down" });
    }
    if let Some(mode) = proxy_mode(parameters, 0) {
        merge(&mut document, proxied(mode));
    }
    if let Some(phase) = recording.resync_phase() {
        document["aggregation"]["resyncPhase"] = json!(phase);
    }
    if let Some(at) = registration(parameters) {
        document["aggregation"]["registeredAt"] = json!(at);
    }
    document["changes"] = Value::Array(changes);
    document["actions"] = Value::Array(actions);
    let mut text = String::new();
    // JSON is YAML, and this language has no other way to be written down.
    write!(text, "{document:#}").expect("strings take everything");
    text
}

fn metrics_server(recording: &Recording) -> Value {
    let parameters = recording.parameters();
    let mut args = vec![json!(format!(
        "--metric-resolution={}",
        parameters["resolution"].as_str().expect("a resolution")
    ))];
    args.extend(
        parameters["ms_args"]
            .as_array()
            .into_iter()
            .flatten()
            .cloned(),
    );
    let nine = parameters["bin"] == "metrics-server-v090b";
    let supervised = parameters["supervise"] == true;
    let probe = &parameters["probe"];
    let readiness = if recording.pod_mode() {
        json!({
            "initialDelaySeconds": probe["initial_delay_s"],
            "periodSeconds": probe["period_s"],
            "timeoutSeconds": probe["timeout_s"],
            "failureThreshold": probe["failure_threshold"],
            "phase": format!("{}s", probe["phase_s"]),
        })
    } else {
        Value::Null
    };
    json!({
        "version": if nine { "v0.9.0" } else { "v0.8.1" },
        "args": args,
        "readinessProbe": readiness,
        "livenessProbe": null,
        "restartPolicy": if supervised { "Always" } else { "Never" },
        "restartJitter": false,
        "startCost": start_cost(recording),
        "pod": { "createdAt": "0s", "scheduling": "0s", "imagePull": "0s", "sandbox": "0s" },
    })
}

/// The process's own costs, from the times of its log lines. A later start of
/// the same recording costs about as much as the first, less the certificate.
fn start_cost(recording: &Recording) -> Value {
    let ms = |value: f64| format!("{}ms", value.max(0.0).round());
    // exec to the beginning of key generation is not logged; 30 ms is what
    // a start that finds a certificate takes before it binds.
    let exec = 30.0;
    let certificate = recording
        .logged("Generated self-signed cert")
        .unwrap_or(exec);
    let restarted = recording.parameters()["supervise"] == true;
    let starts = recording.process();
    let last_start = starts
        .iter()
        .rfind(|(_, what)| what == "start")
        .map_or(0, |(at, _)| *at);
    let configured = recording
        .logged("Adding GroupVersion")
        .map_or(certificate + 150.0, |at| {
            if restarted {
                at - last_start as f64 + certificate - exec
            } else {
                at
            }
        });
    let configured = match starts.iter().find(|(_, what)| what.starts_with("exit")) {
        // A process that gave up did so when it was configured, or one TLS
        // handshake time-out later.
        Some((at, _)) if restarted && *at < 5_000 => *at as f64,
        Some((at, _)) if restarted => *at as f64 - 10_000.0,
        _ => configured,
    };
    let tick = recording.value["ticks"][0]["start_ms"].as_f64();
    let serving = recording.logged("Serving securely");
    let serve = match (tick, serving) {
        (Some(tick), Some(serving)) => serving - tick,
        _ => 15.0,
    };
    json!({
        "exec": ms(exec),
        "certificate": ms(certificate - exec),
        "configure": ms(configured - certificate),
        "serve": ms(serve),
    })
}

fn nodes(parameters: &Value) -> Value {
    let mut nodes = serde_json::Map::new();
    for node in parameters["nodes"].as_array().expect("nodes") {
        let name = node["Name"].as_str().expect("a name");
        let address = node["Addr"].as_str().expect("an address");
        let ip = address.split(':').next().expect("host:port");
        let phases = node["Phases"].as_array().expect("phases");
        nodes.insert(
            name.to_owned(),
            json!({
                "ready": node["Ready"] != "False",
                "addresses": [{ "type": "InternalIP", "address": ip }],
                "cpu": format!("{}m", node["Cores"].as_f64().expect("cores") * 1000.0),
                "memory": format!("{}", node["Mem"].as_f64().expect("bytes")),
                "kubelet": kubelet(&phases[0]),
                "pods": pods(name, &node["Containers"]),
            }),
        );
    }
    Value::Object(nodes)
}

fn kubelet(phase: &Value) -> Value {
    let state = match phase["Mode"].as_str().expect("a mode") {
        "closed" => "Closed",
        "nocert" => "NoCertificate",
        "hang_http" => "HangHttp",
        _ => "Open",
    };
    let status = if phase["Mode"] == "status" {
        phase["Code"].clone()
    } else {
        json!(200)
    };
    let latency = if phase["Mode"] == "slow" {
        phase["DelayMs"].as_u64()
    } else {
        None
    };
    json!({
        "state": state,
        "status": status,
        "latency": format!("{}ms", latency.unwrap_or(1)),
        "housekeeping": null,
    })
}

/// The recorder's nodes may all report the same pods; here each node has pods
/// of its own.
fn pods(node: &str, containers: &Value) -> Value {
    let container = |name: &Value, started: &str, cores: f64, memory: f64| {
        json!({
            "name": name,
            "started": started,
            "cpu": format!("{}m", cores * 1000.0),
            "memory": format!("{memory}"),
        })
    };
    let namespace = format!("load-{node}");
    let Some(containers) = containers.as_array() else {
        // The recorder's default set.
        let (c, sidecar) = (json!("c"), json!("sidecar"));
        return json!([
            { "namespace": namespace, "name": "old-a", "containers": [container(&c, "-1h", 0.02, 2e7)] },
            { "namespace": namespace, "name": "old-b", "containers": [
                container(&c, "-2h", 0.1, 2e7), container(&sidecar, "-2h", 0.005, 2e7)] },
        ]);
    };
    let mut pods: Vec<Value> = Vec::new();
    for one in containers {
        let started = format!("{}ms", one["StartMs"]);
        let cores = one["Cores"].as_f64().expect("cores");
        let memory = one["Mem"].as_f64().expect("bytes");
        let added = container(&one["Name"], &started, cores, memory);
        match pods.iter_mut().find(|pod| pod["name"] == one["Pod"]) {
            Some(pod) => pod["containers"]
                .as_array_mut()
                .expect("a list")
                .push(added),
            None => pods.push(json!({
                "namespace": namespace, "name": one["Pod"], "containers": [added],
            })),
        }
    }
    Value::Array(pods)
}

/// Changes and actions, in time order.
fn happenings(parameters: &Value) -> (Vec<Value>, Vec<Value>) {
    let mut changes = Vec::new();
    for node in parameters["nodes"].as_array().expect("nodes") {
        let phases = node["Phases"].as_array().expect("phases");
        for pair in phases.windows(2) {
            let at = format!("{}ms", pair[0]["UntilMs"]);
            let name = node["Name"].as_str().expect("a name");
            changes.push(json!({ "at": at, "nodes": { name: { "kubelet": kubelet(&pair[1]) } } }));
        }
    }
    for index in 1.. {
        let Some(mode) = proxy_mode(parameters, index) else {
            break;
        };
        let until = &parameters["proxies"][0]["Phases"][index - 1]["UntilMs"];
        let mut change = proxied(mode);
        change["at"] = json!(format!("{until}ms"));
        changes.push(change);
    }
    let mut actions = Vec::new();
    for action in parameters["actions"].as_array().into_iter().flatten() {
        let at = format!("{}s", action["at"]);
        match action["do"].as_str().expect("a verb") {
            "kill" => actions.push(json!({ "at": at, "kill": "metrics-server" })),
            "start" => actions.push(json!({ "at": at, "start": "metrics-server" })),
            // Half a second to listen, and three more until every path is installed.
            "apiserver-start" => {
                let at = action["at"].as_f64().expect("seconds");
                changes.push(
                    json!({ "at": format!("{}s", at + 0.5), "apiServer": { "state": "Starting" } }),
                );
                changes.push(
                    json!({ "at": format!("{}s", at + 3.4), "apiServer": { "state": "Up" } }),
                );
            }
            "apiservice" => {}
            other => panic!("the recorder can {other}"),
        }
    }
    (changes, actions)
}

fn registration(parameters: &Value) -> Option<String> {
    let actions = parameters["actions"].as_array()?;
    let action = actions.iter().find(|action| action["do"] == "apiservice")?;
    Some(format!("{}s", action["at"]))
}

/// What the proxy in front of the API server does in one of its phases.
fn proxy_mode(parameters: &Value, phase: usize) -> Option<&str> {
    parameters["proxies"][0]["Phases"][phase]["Mode"].as_str()
}

/// The recorder put the proxy in front of metrics-server's client only.
fn proxied(mode: &str) -> Value {
    match mode {
        "closed" => json!({ "network": { "proxy": {
            "from": "metrics-server", "to": "apiserver", "effect": "refuse" } } }),
        "hang" => json!({ "apiServer": { "state": "Hang" } }),
        _ => json!({ "network": { "proxy": null }, "apiServer": { "state": "Up" } }),
    }
}

fn merge(document: &mut Value, addition: Value) {
    let Value::Object(addition) = addition else {
        return;
    };
    for (key, value) in addition {
        document[key] = value;
    }
}
