//! Every kind of fault in the language: that it is told when it takes effect,
//! and that a run in which it cannot is inconclusive.

use firstlight::run;
use firstlight::scenario::parse;
use firstlight::seed::Seed;
use reports::expectation::Outcome;
use reports::judgement::RunJudgement;

/// A node that comes and goes between two scrapes: nothing of it is met.
const UNMET: &str = "joinsAt: 40s, leavesAt: 41s";
/// Nobody but metrics-server, which takes longer to start than a millisecond.
const ALONE: &str = "consumers: {hpa: null, kubectl-top: null}";
/// A pod that never starts.
const NO_POD: &str = "pod: {networkAvailableAfter: never}";

fn judged(rest: &str) -> RunJudgement {
    let head = "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {name: t}\npreset: upstream-0.8\nuntil: 60s";
    let nodes = match rest.contains("nodes: {") {
        true => "",
        false => "nodes: {a: {}}\n",
    };
    let text = format!("{head}\n{nodes}{rest}\n");
    let scenario = parse("t.yaml", &text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
    let run = run::run(&scenario, Seed(1)).unwrap_or_else(|failure| panic!("{failure}"));
    run.judgement
}

/// How often the fault took effect, and why that is doubtful.
fn fault(run: &RunJudgement, name: &str) -> (u64, Option<String>) {
    let found = run.faults.iter().find(|fault| fault.name == name);
    let found = found.unwrap_or_else(|| panic!("no fault {name}: {:#?}", run.faults));
    (found.fired, found.doubt.clone())
}

/// `name` takes effect in the first scenario and cannot in the second.
fn check(name: &str, bites: &str, cannot: &str) {
    let run = judged(bites);
    let (fired, doubt) = fault(&run, name);
    assert!(fired > 0 && doubt.is_none(), "{name}: {bites}");
    assert_eq!(run.outcome, Outcome::Pass, "{name}: {:?}", run.doubts);

    let run = judged(cannot);
    let (fired, doubt) = fault(&run, name);
    assert_eq!(fired, 0, "{name}: {cannot}");
    assert!(doubt.is_some(), "{name}: {cannot}");
    assert_eq!(run.outcome, Outcome::Inconclusive, "{name}: {cannot}");
}

#[test]
fn faults_of_kubelets() {
    for (setting, kubelet) in [
        ("state", "state: Closed"),
        ("state", "state: HangTls"),
        ("certificate", "certificate: {availableAfter: 35s}"),
        ("certificate", "certificate: {issuer: unknown}"),
        ("certificate", "certificate: {notBefore: 20s}"),
        ("status", "status: 503"),
        ("status", "endpoints: {/metrics/resource: {status: 404}}"),
        ("version", "version: v1.17.9"),
        ("payload", "payload: NoNodeSeries"),
        ("payload", "payload: {pods: {default/b-pod-1: NoCpu}}"),
        ("timestamps", "timestamps: false"),
        (
            "authentication",
            "authentication: {webhook: {enabled: false}}",
        ),
        ("script", "script: [503 x2, ok]"),
    ] {
        let node = |more: &str| format!("nodes: {{a: {{}}, b: {{{more}kubelet: {{{kubelet}}}}}}}");
        let name = format!("nodes.b.kubelet.{setting}");
        check(&name, &node(""), &node(&format!("{UNMET}, ")));
    }
}

#[test]
fn faults_of_machines_and_clocks() {
    let down = |more: &str| format!("nodes: {{a: {{}}, b: {{{more}machine: Down}}}}");
    check("nodes.b.machine", &down(""), &down(&format!("{UNMET}, ")));
    let node = |clock: &str| format!("nodes: {{a: {{}}, b: {{clock: {{{clock}}}}}}}");
    let never = "steps: [{at: 59.999s, by: 10m}]";
    check("nodes.b.clock", &node("offset: 10m"), &node(never));
    let clients = |clock: &str| format!("clients: {{clock: {{{clock}}}}}");
    check("clients.clock", &clients("offset: 1h"), &clients(never));
    let server = |clock: &str| format!("apiServer: {{clock: {{{clock}}}}}");
    check("apiServer.clock", &server("offset: 1h"), &server(never));
}

#[test]
fn faults_of_names() {
    let dns = |records: &str, order: &str| {
        format!(
            "metricsServer: {{args: [--kubelet-preferred-address-types={order}]}}\ndns: {{{records}}}"
        )
    };
    for answer in ["NXDOMAIN", "SERVFAIL", "REFUSED", "timeout"] {
        let records = format!("records: {{a: {answer}}}");
        check(
            "dns.a",
            &dns(&records, "Hostname"),
            &dns(&records, "InternalIP"),
        );
    }
    let of_one = |order: &str| {
        format!(
            "metricsServer: {{args: [--kubelet-preferred-address-types={order}], replicas: 2, podAntiAffinity: null, \
             perReplica: {{metrics-server-2: {{dns: {{records: {{a: SERVFAIL}}}}}}}}}}\ndns: {{records: {{a: 10.0.0.1}}}}"
        )
    };
    check("dns.a", &of_one("Hostname"), &of_one("InternalIP"));
    let default = "default: SERVFAIL";
    check(
        "dns.default",
        &dns(default, "Hostname"),
        &dns(default, "InternalIP"),
    );
}

/// A fault of the API server that is over before anybody comes.
fn over_at_once(setting: &str, healthy: &str) -> String {
    format!("{ALONE}\napiServer: {{{setting}}}\nchanges: [{{at: 1ms, apiServer: {{{healthy}}}}}]")
}

#[test]
fn faults_of_api_servers() {
    for state in ["Down", "Hang"] {
        check(
            "apiServer.state",
            &format!("changes: [{{at: 20s, for: 10s, apiServer: {{state: {state}}}}}]"),
            &over_at_once(&format!("state: {state}"), "state: Up"),
        );
    }
    check(
        "apiServer.state",
        "apiServer: {state: Starting}",
        &format!("{ALONE}\napiServer: {{state: Starting}}"),
    );
    for watches in ["Silent", "Initializing"] {
        check(
            "apiServer.watches",
            &format!("changes: [{{at: 20s, apiServer: {{watches: {watches}}}}}]"),
            &over_at_once(&format!("watches: {watches}"), "watches: Served"),
        );
    }
    for status in [429, 500, 503] {
        check(
            "apiServer.status",
            &format!("changes: [{{at: 20s, for: 10s, apiServer: {{status: {status}}}}}]"),
            &over_at_once(&format!("status: {status}"), "status: 200"),
        );
    }
    check(
        "apiServers.b.frontProxy",
        "apiServers: {a: {}, b: {frontProxy: {issuer: unknown}}}",
        "apiServers: {a: {}, b: {frontProxy: {issuer: unknown}}}\naggregation: {registeredAt: 50s}\n\
         changes: [{at: 40s, apiServers: {b: {frontProxy: null}}}]",
    );
    for certificate in [
        "issuer: unknown",
        "notBefore: -2h, notAfter: -1h",
        "ips: [10.9.9.9]",
    ] {
        check(
            "apiServer.certificate",
            &format!("apiServer: {{certificate: {{{certificate}}}}}"),
            &over_at_once(
                &format!("certificate: {{{certificate}}}"),
                "certificate: null",
            ),
        );
    }
    check(
        "apiServers.b.state",
        "apiServers: {a: {}, b: {state: Down}}\nconsumers: {hpa: {apiServer: b}}",
        &format!(
            "{ALONE}\napiServers: {{a: {{}}, b: {{state: Down}}}}\nchanges: [{{at: 1ms, apiServers: {{b: {{state: Up}}}}}}]"
        ),
    );
}

#[test]
fn faults_of_trust_and_permissions() {
    for (name, setting, healthy) in [
        (
            "aggregation.frontProxy",
            "frontProxy: {issuer: unknown}",
            "frontProxy: null",
        ),
        (
            "aggregation.frontProxy",
            "frontProxy: {commonName: somebody}",
            "frontProxy: null",
        ),
        (
            "aggregation.caBundle",
            "insecureSkipTLSVerify: false, caBundle: unknown",
            "caBundle: cluster",
        ),
    ] {
        check(
            name,
            &format!("aggregation: {{{setting}}}"),
            &format!(
                "aggregation: {{registeredAt: 50s, {setting}}}\nchanges: [{{at: 40s, aggregation: {{{healthy}}}}}]"
            ),
        );
    }
    for (setting, healthy) in [
        ("configMap: absent", "configMap: present"),
        ("requestHeaderCA: unknown", "requestHeaderCA: cluster"),
        ("clientCA: none", "clientCA: cluster"),
    ] {
        check(
            "authentication",
            &format!("authentication: {{{setting}}}"),
            &format!(
                "authentication: {{{setting}}}\nchanges: [{{at: 1ms, authentication: {{{healthy}}}}}]"
            ),
        );
    }
    check(
        "rbac.metrics-server.nodes/metrics",
        "rbac: {metrics-server: {nodes/metrics: deny}}",
        &format!("rbac: {{metrics-server: {{nodes/metrics: deny}}}}\nmetricsServer: {{{NO_POD}}}"),
    );
    let hpa = "rbac: {hpa: {pods.metrics.k8s.io: deny}}";
    check(
        "rbac.hpa.pods.metrics.k8s.io",
        hpa,
        &format!("{hpa}\n{ALONE}"),
    );
}

#[test]
fn faults_of_metrics_servers_own_pod() {
    for (name, setting) in [
        ("metricsServer.cpu", "cpu: {request: 100ms}"),
        ("metricsServer.cpu", "cpu: {tick: 1s}"),
        ("metricsServer.memory", "memory: {base: 10Mi}"),
        (
            "metricsServer.files",
            "args: [--requestheader-client-ca-file=/ca.crt], files: {/ca.crt: {authority: front-proxy}}",
        ),
    ] {
        check(
            name,
            &format!("metricsServer: {{{setting}}}"),
            &format!("metricsServer: {{{setting}, {NO_POD}}}"),
        );
    }
    // Over by the time that the pod is there.
    for (name, setting) in [
        (
            "metricsServer.pod.networkAvailableAfter",
            "networkAvailableAfter: 5s",
        ),
        (
            "metricsServer.pod.imageAvailableAfter",
            "imageAvailableAfter: 5s",
        ),
        (
            "metricsServer.pod.initContainers",
            "initContainers: [{name: wait, until: 5s}]",
        ),
    ] {
        let pod = |more: &str| format!("metricsServer: {{pod: {{{more}{setting}}}}}");
        check(name, &pod(""), &pod("createdAt: 10s, "));
    }
}

#[test]
fn network_rules() {
    let rule = |to: &str| {
        format!(
            "nodes: {{a: {{}}, b: {{}}}}\nnetwork: {{cut: {{from: {to}, to: b, effect: drop}}}}"
        )
    };
    check("network.cut", &rule("metrics-server"), &rule("a"));
    // Node b only replies to the pod.
    let replies = "from: b, to: metrics-server, effect: {delay: 1ms}";
    let of_replies =
        |more: &str| format!("nodes: {{a: {{}}, b: {{}}}}\nnetwork: {{cut: {{{replies}{more}}}}}");
    check(
        "network.cut",
        &of_replies(""),
        &of_replies(", stateful: true"),
    );
    let at_service =
        |from: &str| format!("network: {{cut: {{from: {from}, to: service, effect: reject}}}}");
    check(
        "network.cut",
        &at_service("apiserver"),
        &at_service("clients"),
    );
    // There is no second pod.
    check(
        "network.cut",
        &rule("metrics-server-1"),
        &rule("metrics-server-2"),
    );
}
