//! metrics-server's Deployment, and what the scenario does to it.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use mocks::apiserver::{Behaviour, uniform};
use mocks::deployment::{DEFAULT_PROGRESS_DEADLINE, Deployment, DeploymentConfig, DeploymentParts};
use mocks::event::Recorder;
use mocks::script::Script;
use seam::Host;

use super::Site;
use super::control_plane::{NAMESPACE, SERVICE};
use super::machines::Machines;
use super::pod::Factory;
use crate::scenario::model::{Action, ActionKind, Scenario};

/// A handle to the Deployment, for the scenario's actions.
#[derive(Clone)]
pub struct Handle {
    deployment: Deployment,
    clients: Host,
    nodes: Rc<[String]>,
}

impl Handle {
    /// Carries out an action.
    pub fn act(&self, action: &Action) {
        let pods = match action.pod {
            None => self.deployment.all_pods(),
            Some(ordinal) => self.deployment.pod(ordinal).into_iter().collect(),
        };
        match action.kind {
            ActionKind::Kill => pods.iter().for_each(|pod| pod.kill()),
            ActionKind::Terminate => pods.iter().for_each(|pod| pod.terminate()),
            ActionKind::Start => pods.iter().for_each(|pod| pod.start()),
            ActionKind::Delete => self.deployment.delete(action.pod),
            // One of the templates: rolled out as those of changes are.
            ActionKind::RolloutRestart => {}
            ActionKind::Drain(node) => {
                let (deployment, nodes) = (self.deployment.clone(), Rc::clone(&self.nodes));
                self.clients
                    .spawn(async move { deployment.drain(&nodes[node]).await });
            }
        }
    }
}

/// Creates the Deployment at its time and runs it.
pub fn start(site: &Site, machines: &Machines, api_server: &Script<Behaviour>) -> Handle {
    let host = machines.api_servers[0].process();
    let cell: Rc<OnceCell<Deployment>> = Rc::default();
    let factory = Factory::new(site, machines, api_server, &cell);
    let deployment = Deployment::new(
        config(&site.scenario, &host),
        DeploymentParts {
            host: host.clone(),
            store: site.store.clone(),
            recorder: Rc::clone(&site.recorder) as Rc<dyn Recorder>,
            api_server: api_server.clone(),
            pods: Rc::new(factory),
        },
    );
    let deployment = cell.get_or_init(|| deployment).clone();
    let running = deployment.clone();
    let created = site.start + site.scenario.metrics_server.pod.created_at;
    let there = site.outside.as_ref().map(|outside| outside.there.clone());
    host.spawn(async move {
        created.come().await;
        if let Some(there) = there {
            there.await;
        }
        running.run().await;
    });
    change(site, &host, &deployment);
    let nodes = site.scenario.nodes.iter();
    Handle {
        deployment,
        clients: machines.clients.process(),
        nodes: nodes.map(|node| node.name.clone()).collect(),
    }
}

fn config(scenario: &Scenario, host: &Host) -> DeploymentConfig {
    let server = &scenario.metrics_server;
    let name = |index: &usize| scenario.nodes[*index].name.clone();
    let mut nodes: Vec<String> = server.nodes.iter().map(name).collect();
    let first_choice = nodes.len();
    let others = scenario.nodes.iter().map(|node| node.name.clone());
    for node in others {
        if !nodes.contains(&node) {
            nodes.push(node);
        }
    }
    let millis = Duration::from_millis;
    DeploymentConfig {
        namespace: NAMESPACE.to_owned(),
        name: SERVICE.to_owned(),
        replicas: server.replicas,
        strategy: server.strategy,
        progress_deadline: server
            .progress_deadline
            .unwrap_or(DEFAULT_PROGRESS_DEADLINE),
        budget: server.budget,
        nodes,
        first_choice,
        bound_before: server.pod.created_at.is_zero(),
        write_latency: uniform(host, "deployment-write", millis(3), millis(7)),
    }
}

/// Rolls out each new template, and edits the rest of the Deployment and its
/// budget, at its time.
fn change(site: &Site, host: &Host, deployment: &Deployment) {
    let start = site.start;
    let rollouts: Vec<Duration> = site
        .scenario
        .templates()
        .iter()
        .skip(1)
        .map(|(at, _)| *at)
        .collect();
    let changes = site.scenario.metrics_server_changes.iter();
    let specs: Vec<_> = changes
        .map(|(at, server)| (*at, server.replicas, server.strategy, server.budget))
        .collect();
    let rolled = deployment.clone();
    host.spawn(async move {
        for at in rollouts {
            (start + at).come().await;
            rolled.roll_out();
        }
    });
    let edited = deployment.clone();
    host.spawn(async move {
        for (at, replicas, strategy, budget) in specs {
            (start + at).come().await;
            edited.set_strategy(strategy);
            edited.set_budget(budget);
            edited.scale(replicas);
        }
    });
}
