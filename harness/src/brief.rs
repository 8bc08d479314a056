//! What the judge is told about a scenario.

use std::collections::BTreeMap;
use std::time::Duration;

use aggregator::options::{self, Command};
use aggregator::version::RequestTimeoutRule;
use mocks::apiserver::objects;
use reports::case::{Case, Change, NodeBrief, Pending, PodBrief, ProbeBrief, Setting, Stay};

use seam::Timestamp;

use crate::scenario::model::{self, Node, Probe, Scenario, Timeline};
use crate::{changes, faults};

/// The judge's brief for a scenario.
#[must_use]
pub fn case(scenario: &Scenario) -> Case {
    let server = &scenario.metrics_server;
    let (resolution, request_timeout) = scrape_timing(server);
    Case {
        name: scenario.name.clone(),
        description: scenario.description.clone(),
        file: scenario.file.display().to_string(),
        input_digest: scenario.input_digest.clone(),
        preset: scenario.preset.clone(),
        until_ns: nanos(scenario.until),
        version: server.version.to_string(),
        resolution_ns: nanos(resolution),
        request_timeout_ns: nanos(request_timeout),
        start_cost_ns: nanos(start_cost_max(server)),
        deadline_ns: server.progress_deadline.map(nanos),
        readiness: server.readiness.as_ref().map(probe),
        liveness: server.liveness.as_ref().map(probe),
        startup: server.startup.as_ref().map(probe),
        home: scenario.nodes[server.nodes[0]].name.clone(),
        true_time: [Duration::ZERO, scenario.until].map(|at| {
            let began = Timestamp::from_nanos(scenario.epoch_unix_ns);
            objects::rfc3339(began.after(at))
        }),
        nodes: scenario.nodes.iter().map(node).collect(),
        settings: scenario.settings.0.iter().map(setting).collect(),
        expectations: scenario.expectations.clone(),
        path_rules: path_rules(scenario),
        changes: changes::of(scenario)
            .into_iter()
            .map(|change| Change {
                at_ns: nanos(change.at),
                what: change.what,
                kubelet: change.kubelet,
                undoes: change.undoes,
            })
            .collect(),
        consumers: consumers(scenario),
        engine: None,
        subject: None,
        faults: faults::of(scenario),
        pending: scenario.triggers.iter().map(pending).collect(),
    }
}

/// What each consumer of the whole run does, by its name.
fn consumers(scenario: &Scenario) -> BTreeMap<String, String> {
    let all = scenario.consumers.0.iter().flat_map(|(_, all)| all);
    all.map(|consumer| (consumer.name.clone(), consumer.kind.word().to_owned()))
        .collect()
}

fn pending(trigger: &model::Trigger) -> Pending {
    Pending {
        what: trigger.words.clone(),
        line: trigger.line,
        column: trigger.column,
    }
}

/// Names of the network rules of the whole run, each once, in order; then the
/// groups of which machines go down.
#[must_use]
pub fn path_rules(scenario: &Scenario) -> Vec<String> {
    let rules = scenario.network.0.iter().flat_map(|(_, rules)| rules);
    let rules = rules.map(|rule| rule.name.clone());
    let down = scenario.nodes.iter();
    let down = down.filter(|node| node.up.0.iter().any(|(_, up)| !up));
    let down = down.map(|node| faults::machine(&node.group));
    let moved = scenario.nodes.iter();
    let moved = moved.filter(|node| node.moves());
    let moved = moved.map(|node| faults::address(&node.group));
    let mut names: Vec<String> = Vec::new();
    for name in rules.chain(down).chain(moved) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The resolution and the time-out of a scrape, as the arguments have them.
/// Arguments that the real program refuses have the defaults: it never scrapes.
fn scrape_timing(server: &model::MetricsServer) -> (Duration, Duration) {
    match options::parse(&server.args, server.version) {
        Ok(Command::Run(options)) => {
            let resolution = options.metric_resolution.to_std();
            let timeout = match server.version.request_timeout_rule() {
                RequestTimeoutRule::NineTenthsOfResolution => resolution * 9 / 10,
                RequestTimeoutRule::Flag { .. } => options.kubelet.request_timeout.to_std(),
            };
            (resolution, timeout)
        }
        _ => (Duration::from_secs(60), Duration::from_secs(10)),
    }
}

fn start_cost_max(server: &model::MetricsServer) -> Duration {
    // Informers are waited for by polling every 100 ms.
    let cost = &server.start_cost;
    cost.exec.max() + cost.certificate.max() + cost.configure.max() + Duration::from_millis(100)
}

fn probe(probe: &Probe) -> ProbeBrief {
    ProbeBrief {
        path: probe.path.clone(),
        initial_delay_ns: nanos(probe.initial_delay),
        period_ns: nanos(probe.period),
        timeout_ns: nanos(probe.timeout),
        success_threshold: probe.success_threshold,
        failure_threshold: probe.failure_threshold,
    }
}

fn node(node: &Node) -> NodeBrief {
    NodeBrief {
        name: node.name.clone(),
        stays: stays(&node.there),
        // One that is deleted is not missed.
        pods: node
            .pods
            .iter()
            .filter(|pod| pod.deleted_at.is_none())
            .map(|pod| PodBrief {
                name: format!("{}/{}", pod.namespace, pod.name),
                complete_at_ns: nanos(pod.complete_at()),
            })
            .collect(),
    }
}

fn stays(there: &Timeline<bool>) -> Vec<Stay> {
    let entries = there.0.iter().enumerate();
    let stays = entries.filter(|(_, (_, is_there))| *is_there);
    let stays = stays.map(|(index, (from, _))| Stay {
        from_ns: nanos(*from),
        to_ns: there.0.get(index + 1).map(|(to, _)| nanos(*to)),
    });
    stays.collect()
}

fn setting(setting: &model::Setting) -> Setting {
    Setting {
        name: setting.name.clone(),
        value: setting.value.clone(),
        origin: setting.origin.clone(),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
