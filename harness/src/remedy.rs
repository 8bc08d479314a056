//! What would help: changes of a scenario, each tried by running it.
//!
//! A cause names the setting that governs it. From that and from its words a
//! few changes follow that a user could make; each is laid over the scenario
//! and run with the same seed. What is reported is what that run showed, so a
//! change that is often recommended and does not help is shown not to.

use aggregator::version::RequestTimeoutRule;
use reports::explanation::{Cause, Remedy};
use reports::judgement::{RunJudgement, judge};
use reports::verdict::Verdict;

use crate::engine::Simulator;
use crate::scenario::model::{Party, Scenario};
use crate::scenario::with_layer;
use crate::seed::Seed;
use crate::{brief, run};

/// Changes tried for one run at most.
const MOST: usize = 8;

/// In larger clusters nothing is tried: a run takes too long.
const MOST_NODES: usize = 100;

/// A change that may help.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    /// In the scenario's words, on one line.
    words: String,
    /// The layer that makes it, as YAML.
    layer: String,
}

impl Candidate {
    fn new(words: impl Into<String>, layer: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            layer: layer.into(),
        }
    }

    fn args(args: &str) -> Self {
        let list: Vec<String> = args.split(' ').map(|arg| format!("\"{arg}\"")).collect();
        Self::new(
            format!("args: {args}"),
            format!("metricsServer: {{args: [{}]}}", list.join(", ")),
        )
    }

    /// Kubelets' certificates are verified by nobody; beside
    /// `--kubelet-certificate-authority` metrics-server refuses to be told that.
    fn insecure(scenario: &Scenario) -> Self {
        let flag = "--kubelet-certificate-authority";
        let has_one = |arg: &String| arg.starts_with(flag);
        if !scenario.metrics_server.args.iter().any(has_one) {
            return Self::args("--kubelet-insecure-tls");
        }
        Self::new(
            format!("args: --kubelet-insecure-tls instead of {flag}"),
            format!("metricsServer: {{args: [--kubelet-insecure-tls], withoutArgs: [{flag}]}}"),
        )
    }

    fn without_arg(flag: &str) -> Self {
        Self::new(
            format!("withoutArgs: [{flag}]"),
            format!("metricsServer: {{withoutArgs: [{flag}]}}"),
        )
    }

    /// A part of metrics-server's container, in flow style.
    fn container(key: &str, value: &str) -> Self {
        Self::new(
            format!("{key}: {value}"),
            format!("metricsServer: {{{key}: {value}}}"),
        )
    }

    /// The kubelet of every node.
    fn kubelets(scenario: &Scenario, value: &str) -> Self {
        let nodes: Vec<String> = scenario
            .nodes
            .iter()
            .map(|node| format!("{}: {{kubelet: {value}}}", node.name))
            .collect();
        let whose = match &scenario.nodes[..] {
            [node] => format!("nodes.{}.kubelet", node.name),
            _ => "every node's kubelet".to_owned(),
        };
        Self::new(
            format!("{whose}: {value}"),
            format!("nodes: {{{}}}", nodes.join(", ")),
        )
    }
}

/// What trying showed.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    /// Each change with what came of it.
    pub remedies: Vec<Remedy>,
    /// What decides once the first cause is out of the way, where the run with
    /// a change came to another cause.
    pub behind: Vec<Cause>,
}

/// Tries what may help against the causes of `judged`, a run of `scenario`.
///
/// A change that cannot be laid over this scenario, or whose run fails, is
/// left out.
#[must_use]
pub fn try_all(engine: Simulator, scenario: &Scenario, seed: Seed, judged: &RunJudgement) -> Tried {
    let mut tried = Tried::default();
    if judged.finding.verdict == Verdict::Ready || scenario.nodes.len() > MOST_NODES {
        return tried;
    }
    let mut candidates: Vec<Candidate> = Vec::new();
    for cause in &judged.explanation.causes {
        for candidate in candidates_against(scenario, cause) {
            if candidates.len() < MOST && !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
    }
    let first = judged.explanation.causes.first();
    for candidate in candidates {
        let Some(changed) = outcome_of(engine, scenario, seed, &candidate) else {
            continue;
        };
        let remedy = compare(&candidate, judged, &changed);
        let next = changed.explanation.causes.first();
        if let Some(next) = next.filter(|next| is_another(first, next))
            && judged.time_to_ready_ns().is_none()
            && changed.time_to_ready_ns().is_none()
            && tried.behind.iter().all(|known| known.what != next.what)
        {
            tried.behind.push(Cause {
                behind: Some(candidate.words.clone()),
                ..next.clone()
            });
        }
        tried.remedies.push(remedy);
    }
    // Stable: what helps comes first, the rest in the order tried.
    tried.remedies.sort_by_key(|remedy| !remedy.helps);
    tried
}

fn outcome_of(
    engine: Simulator,
    scenario: &Scenario,
    seed: Seed,
    candidate: &Candidate,
) -> Option<RunJudgement> {
    let changed = with_layer(scenario, &candidate.layer).ok()?;
    let played = run::play(engine, &changed, seed).ok()?;
    Some(judge(&brief::case(&played.scenario), &played.trace, seed.0))
}

fn compare(candidate: &Candidate, before: &RunJudgement, after: &RunJudgement) -> Remedy {
    let rank = |run: &RunJudgement| {
        let time = run.time_to_ready_ns().unwrap_or(u64::MAX);
        (run.finding.verdict, time)
    };
    Remedy {
        change: candidate.words.clone(),
        verdict: after.finding.verdict,
        time_to_ready_ns: after.time_to_ready_ns(),
        helps: rank(after) < rank(before),
        then: after
            .explanation
            .causes
            .first()
            .map(|cause| cause.what.clone()),
    }
}

/// Whether two causes differ beyond counts: in their settings, or in what is
/// said of the failure.
fn is_another(first: Option<&Cause>, next: &Cause) -> bool {
    let gist = |cause: &Cause| {
        let words = cause.what.split_whitespace();
        let is_count =
            |word: &str| word.starts_with("time") || word.chars().any(|c| c.is_ascii_digit());
        let words = words.filter(|word| !is_count(word));
        (
            cause.governed_by.name.clone(),
            words.map(str::to_owned).collect::<Vec<_>>(),
        )
    };
    first.is_none_or(|first| gist(first) != gist(next))
}

/// What a user could change about this cause.
fn candidates_against(scenario: &Scenario, cause: &Cause) -> Vec<Candidate> {
    let name = &*cause.governed_by.name;
    let what = &*cause.what;
    if let Some(rule) = name.strip_prefix("network.") {
        return against_rule(scenario, rule);
    }
    let of_node = name.strip_prefix("nodes.");
    if let Some((node, key)) = of_node.and_then(|rest| rest.rsplit_once('.')) {
        return against_node(scenario, node, key, what);
    }
    match name {
        "--kubelet-preferred-address-types" => against_kubelet(scenario, what),
        "--kubelet-port" => vec![Candidate::without_arg("--kubelet-port")],
        "dns" => {
            let mut found = against_kubelet(scenario, what);
            found.push(Candidate::new("without dns", "dns: null"));
            found
        }
        "--metric-resolution" => slower_or_faster(scenario),
        "pod" => {
            let key = match what.starts_with("ErrImagePull") {
                true => "imageAvailableAfter",
                false => "networkAvailableAfter",
            };
            vec![Candidate::container("pod", &format!("{{{key}: 0s}}"))]
        }
        "tolerations" => vec![tolerant()],
        "resources" => vec![modest()],
        "containerPort" | "cpu" | "nodeSelector" | "podAntiAffinity" => {
            vec![Candidate::container(name, "null")]
        }
        "args" => against_arguments(what),
        "apiServer" => vec![Candidate::new(
            "apiServer: {state: Up, latency: 5ms}",
            "apiServer: {state: Up, status: 200, latency: 5ms}",
        )],
        "aggregation" => vec![
            Candidate::new(
                "aggregation: {insecureSkipTLSVerify: true}",
                "aggregation: {insecureSkipTLSVerify: true}",
            ),
            registered(&cause.governed_by.value),
        ],
        "rbac" if what.contains("403") => {
            let may = "rbac: {metrics-server: {nodes/metrics: allow, nodes/stats: allow}}";
            vec![Candidate::new(may, may)]
        }
        "rbac" | "authentication" => vec![Candidate::new(
            format!("without {name}"),
            format!("{name}: null"),
        )],
        _ if name.starts_with("readinessProbe") => against_probe("readinessProbe"),
        _ if name.starts_with("livenessProbe") => against_probe("livenessProbe"),
        _ if name.starts_with("startupProbe") => against_probe("startupProbe"),
        _ => Vec::new(),
    }
}

/// What could be changed about `key` of a node, or about what it is held
/// against.
fn against_node(scenario: &Scenario, node: &str, key: &str, what: &str) -> Vec<Candidate> {
    let without = || {
        let layer = format!("nodes: {{{node}: {{{key}: null}}}}");
        Candidate::new(format!("without nodes.{node}.{key}"), layer)
    };
    match key {
        "kubelet" => against_kubelet(scenario, what),
        "clock" => vec![without()],
        "addresses" => {
            let mut found = vec![without()];
            found.extend(against_kubelet(scenario, what));
            found
        }
        "taints" => vec![tolerant()],
        "allocatable" => vec![modest()],
        _ => Vec::new(),
    }
}

fn tolerant() -> Candidate {
    Candidate::container("tolerations", "[{operator: Exists}]")
}

fn modest() -> Candidate {
    Candidate::container("resources", "{requests: {cpu: 1m, memory: 1Mi}}")
}

/// The APIService is there from the beginning, in words that fit what is `said`
/// of the aggregation layer.
fn registered(said: &str) -> Candidate {
    if said.contains("registered: false") {
        return Candidate::new(
            "aggregation: {registered: true}",
            "aggregation: {registered: true, registeredAt: null, deletedAt: null}",
        );
    }
    let words = "aggregation: {registeredAt: 0s}";
    Candidate::new(words, words)
}

fn against_rule(scenario: &Scenario, name: &str) -> Vec<Candidate> {
    let words = format!("without network.{name}");
    let layer = format!("network: {{{name}: null}}");
    let mut found = vec![Candidate::new(words, layer)];
    let mut rules = scenario.network.0.iter().flat_map(|(_, rules)| rules);
    if rules.any(|rule| rule.name == name && rule.to.contains(&Party::Service)) {
        let past_the_service = "aggregation: {routing: endpoint}";
        found.push(Candidate::new(past_the_service, past_the_service));
    }
    found
}

fn against_kubelet(scenario: &Scenario, what: &str) -> Vec<Candidate> {
    let says = |texts: &[&str]| texts.iter().any(|text| what.contains(text));
    let mut found = Vec::new();
    if says(&["IP SANs", "certificate is valid for", "x509", "certificate"]) {
        found.push(Candidate::insecure(scenario));
    }
    let names_hosts = scenario.nodes.iter().all(|node| {
        let (_, kubelet) = &node.kubelet.0[0];
        !kubelet.certificate.dns.is_empty()
    });
    if names_hosts && says(&["IP SANs", "certificate is valid for"]) {
        found.push(Candidate::args(
            "--kubelet-preferred-address-types=Hostname",
        ));
    }
    if says(&[
        "no such host",
        "server misbehaving",
        "lookup ",
        "matched types",
    ]) {
        found.push(Candidate::args(
            "--kubelet-preferred-address-types=InternalIP",
        ));
    }
    if says(&["tls: internal error", "connection refused"]) {
        found.push(Candidate::kubelets(
            scenario,
            "{state: Open, certificate: {availableAfter: 0s}}",
        ));
        found.push(Candidate::insecure(scenario));
    } else if says(&["x509", "certificate"]) {
        found.push(Candidate::kubelets(
            scenario,
            "{certificate: {issuer: cluster, sans: null, notBefore: -1h, notAfter: 8760h}}",
        ));
    }
    if says(&["deadline exceeded", "timeout", "answered after"]) {
        let longer = match scenario.metrics_server.version.request_timeout_rule() {
            RequestTimeoutRule::NineTenthsOfResolution => "--metric-resolution=30s",
            RequestTimeoutRule::Flag { .. } => {
                "--metric-resolution=30s --kubelet-request-timeout=25s"
            }
        };
        found.push(Candidate::args(longer));
        found.push(Candidate::kubelets(
            scenario,
            "{state: Open, latency: 30ms}",
        ));
    }
    if says(&["status: \"4", "status: \"5"]) {
        found.push(Candidate::kubelets(scenario, "{status: 200}"));
    }
    if says(&["brought no", "decode", "malformed", "no sample"]) {
        found.push(Candidate::kubelets(scenario, "{payload: Healthy}"));
    }
    found
}

/// Half and twice the present resolution, unless the release refuses it.
fn slower_or_faster(scenario: &Scenario) -> Vec<Candidate> {
    let shortest = scenario.metrics_server.version.shortest_resolution();
    let shortest = shortest.map_or(1, |shortest| shortest.as_secs());
    let resolution = brief::case(scenario).resolution_ns;
    let seconds = |ns: u64| ns / 1_000_000_000;
    [resolution / 2, resolution * 2]
        .into_iter()
        .filter(|ns| seconds(*ns) >= shortest)
        .map(|ns| Candidate::args(&format!("--metric-resolution={}s", seconds(ns))))
        .collect()
}

fn against_arguments(what: &str) -> Vec<Candidate> {
    if what.contains("metric-resolution") {
        return vec![Candidate::args(
            "--metric-resolution=15s --kubelet-request-timeout=10s",
        )];
    }
    if let Some((_, both)) = what.split_once("cannot use both ") {
        let flags = both.split(" and ").map(str::trim);
        return flags.map(Candidate::without_arg).collect();
    }
    if what.contains("status: \"400") {
        return vec![Candidate::without_arg(
            "--deprecated-kubelet-completely-insecure",
        )];
    }
    if what.contains("creating self-signed certificates") {
        return vec![Candidate::args("--cert-dir=/tmp")];
    }
    if what.contains("address already in use") || what.contains("bind: permission denied") {
        return vec![Candidate::args("--secure-port=4443")];
    }
    Vec::new()
}

fn against_probe(probe: &str) -> Vec<Candidate> {
    let values: &[&str] = match probe {
        "readinessProbe" => &[
            "{initialDelaySeconds: 0, periodSeconds: 2}",
            "{timeoutSeconds: 5}",
        ],
        _ => &[
            "{initialDelaySeconds: 60}",
            "{timeoutSeconds: 5}",
            "{failureThreshold: 10}",
        ],
    };
    values
        .iter()
        .map(|value| Candidate::container(probe, value))
        .collect()
}
