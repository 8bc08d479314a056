//! Who uses the metrics API, and the witness.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mocks::clients::hpa::ScaleTarget;
use mocks::clients::kubectl_wait::{self, Patience};
use mocks::clients::witness::{Witness, WitnessConfig};
use mocks::clients::{
    ApiAccess, Entry, Timetable, controller_manager, discovery, helm_install, hpa, kubectl_top,
    kubectl_top_pods, namespace_controller,
};
use mocks::event::Recorder;
use mocks::http_client::Target;
use mocks::pki::Identity;
use mocks::tls::{self, Verify};
use seam::Host;
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::machines::Machines;
use super::pod::secure_port;
use super::{Site, access};
use crate::record::Named;
use crate::scenario::model::{ApiServerState, Awaited, Consumer, ConsumerKind};

/// The aggregation layer routes within a few milliseconds of a write of the
/// APIService; the witness looks again after this long.
const SETTLE: Duration = Duration::from_millis(20);

/// `kubectl wait --timeout` unless the consumer ends before.
/// Source: `kubectl/pkg/cmd/wait/wait.go`.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether a controller manager that waits for discovery has found it
/// complete; without one there is nothing to wait for. Cloning shares it.
#[derive(Clone)]
pub struct Discovered {
    done: Rc<Cell<bool>>,
    bell: Rc<Notify>,
}

impl Discovered {
    /// At the beginning of a run.
    #[must_use]
    pub fn new(site: &Site) -> Self {
        let mut consumers = site.scenario.consumers.0.iter().flat_map(|(_, all)| all);
        let waits = consumers.any(|consumer| consumer.kind == ConsumerKind::ControllerManager);
        Self {
            done: Rc::new(Cell::new(!waits)),
            bell: Rc::default(),
        }
    }

    /// Waits for it.
    pub async fn complete(&self) {
        while !self.done.get() {
            self.bell.notified().await;
        }
    }

    fn now(&self) {
        self.done.set(true);
        self.bell.notify_one();
    }
}

/// Starts every consumer of the scenario at its time, and the witness.
pub fn start(site: &Site, machines: &Machines, discovered: &Discovered) {
    for stay in stays(site) {
        start_consumer(site, machines, discovered, &stay);
    }
    start_witness(site, machines);
}

/// A consumer from one change of its settings to the next.
struct Stay<'a> {
    consumer: &'a Consumer,
    from: Duration,
    until: Option<Duration>,
}

/// Stretches of time during which a consumer is the same.
fn stays(site: &Site) -> Vec<Stay<'_>> {
    let timeline = &site.scenario.consumers;
    let mut stays: Vec<Stay<'_>> = Vec::new();
    for (at, consumers) in &timeline.0 {
        for stay in &mut stays {
            let goes_on = consumers.contains(stay.consumer);
            if !goes_on && stay.until.is_none() {
                stay.until = Some(*at);
            }
        }
        for consumer in consumers {
            let is_known = |stay: &Stay<'_>| stay.consumer == consumer && stay.until.is_none();
            if !stays.iter().any(is_known) {
                stays.push(Stay {
                    consumer,
                    from: consumer.from.max(*at),
                    until: None,
                });
            }
        }
    }
    for stay in &mut stays {
        let ends = [stay.until, stay.consumer.until];
        stay.until = ends.into_iter().flatten().min();
    }
    stays
}

fn start_consumer(site: &Site, machines: &Machines, discovered: &Discovered, stay: &Stay<'_>) {
    let consumer = stay.consumer;
    let recorder: Rc<dyn Recorder> = Rc::new(Named {
        name: consumer.name.clone(),
        recorder: Rc::clone(&site.recorder),
    });
    let first = site.start + stay.from;
    let timetable = Timetable {
        first,
        every: consumer.every,
    };
    let host = host(machines, consumer);
    let control =
        |identity: &Identity| api_access(site, &host, identity, consumer.api_server.unwrap_or(0));
    let running = host.clone();
    match &consumer.kind {
        ConsumerKind::KubectlTop => {
            let entry = entry(site, &host, consumer);
            spawn(
                site,
                &host,
                stay,
                kubectl_top::run(running, entry, timetable, recorder),
            );
        }
        ConsumerKind::KubectlTopPods(namespace) => {
            let (entry, namespace) = (entry(site, &host, consumer), namespace.clone());
            let run = kubectl_top_pods::run(running, entry, timetable, namespace, recorder);
            spawn(site, &host, stay, run);
        }
        ConsumerKind::Discovery => {
            let access = control(&clients_identity(site));
            spawn(
                site,
                &host,
                stay,
                discovery::run(running, access, timetable, recorder),
            );
        }
        ConsumerKind::Hpa => {
            let access = control(&site.trust.autoscaler);
            let (target, store) = (scale_target(site), site.store.clone());
            // The controller looks at a new autoscaler one period later.
            let timetable = Timetable {
                first: timetable.first + consumer.every,
                ..timetable
            };
            let run = hpa::run(running, access, timetable, target, store, recorder);
            spawn(site, &host, stay, run);
        }
        ConsumerKind::NamespaceController => {
            let access = control(&site.trust.admin);
            let run = namespace_controller::run(running, access, first, recorder);
            spawn(site, &host, stay, run);
        }
        ConsumerKind::ControllerManager => {
            let (access, discovered) = (control(&site.trust.admin), discovered.clone());
            let run = controller_manager::run(running, access, timetable, recorder);
            spawn(site, &host, stay, async move {
                run.await;
                discovered.now();
            });
        }
        ConsumerKind::HelmInstall(timeout) => {
            let entry = entry(site, &host, consumer);
            let patience = Patience {
                first,
                every: consumer.every,
                timeout: *timeout,
            };
            let run = helm_install::run(running, entry, patience, recorder);
            spawn(site, &host, stay, run);
        }
        ConsumerKind::KubectlWait(awaited) => {
            let timeout = stay
                .until
                .map_or(WAIT_TIMEOUT, |until| until - stay.from.min(until));
            let patience = Patience {
                first,
                every: consumer.every,
                timeout,
            };
            let awaited = match awaited {
                Awaited::ApiServiceAvailable => kubectl_wait::Awaited::API_SERVICE_AVAILABLE,
                Awaited::PodReady => kubectl_wait::Awaited::POD_READY,
            };
            let entry = entry(site, &host, consumer);
            host.spawn(kubectl_wait::run(
                running, entry, patience, awaited, recorder,
            ));
        }
    }
}

/// Controllers run beside an API server, the others at the clients'.
fn host(machines: &Machines, consumer: &Consumer) -> Host {
    match consumer.kind {
        ConsumerKind::Hpa | ConsumerKind::NamespaceController | ConsumerKind::ControllerManager => {
            machines.api_servers[consumer.api_server.unwrap_or(0)].process()
        }
        _ => machines.clients.process(),
    }
}

fn spawn(site: &Site, host: &Host, stay: &Stay<'_>, run: impl Future<Output = ()> + 'static) {
    let Some(until) = stay.until.map(|until| site.start + until) else {
        host.spawn(run);
        return;
    };
    host.spawn(async move {
        let _ = timeout_at(until.here(), run).await;
    });
}

/// Who the scenario's clients are.
fn clients_identity(site: &Site) -> Identity {
    match access::restricts_clients(site) {
        true => site.trust.client(),
        false => site.trust.admin.clone(),
    }
}

/// How `kubectl` reaches the API: where there are several servers through a
/// load balancer that takes one after the other and leaves out those that
/// refuse connections.
///
/// DIFFERENCE: a real one notices that with its next health check.
fn entry(site: &Site, host: &Host, consumer: &Consumer) -> Entry {
    let identity = clients_identity(site);
    let servers = &site.scenario.api_servers;
    if consumer.api_server.is_some() || servers.len() == 1 {
        let number = consumer.api_server.unwrap_or(0);
        return Entry::Direct(api_access(site, host, &identity, number));
    }
    let each: Vec<ApiAccess> = (0..servers.len())
        .map(|number| api_access(site, host, &identity, number))
        .collect();
    let states: Vec<_> = servers
        .iter()
        .map(|server| server.over_time.clone())
        .collect();
    let (next, start) = (Cell::new(0), site.start);
    Entry::Balanced(Rc::new(move || {
        let now = start.elapsed();
        let turn = next.get();
        let order = (turn..).take(each.len()).map(|number| number % each.len());
        let is_up = |number: &usize| states[*number].at(now).state != ApiServerState::Down;
        let chosen = order.clone().find(is_up).unwrap_or(turn % each.len());
        next.set(chosen + 1);
        each[chosen].clone()
    }))
}

/// What the autoscaler scales: the first pod of the scenario and its likes.
fn scale_target(site: &Site) -> ScaleTarget {
    let pod = site
        .scenario
        .nodes
        .iter()
        .flat_map(|node| &node.pods)
        .next();
    pod.map_or_else(
        || ScaleTarget {
            namespace: "default".to_owned(),
            labels: Vec::new(),
        },
        |pod| ScaleTarget {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
        },
    )
}

fn start_witness(site: &Site, machines: &Machines) {
    let host = machines.witness.process();
    let recorder: Rc<dyn Recorder> = Rc::clone(&site.recorder) as Rc<dyn Recorder>;
    let config = WitnessConfig {
        metrics_server: only_pod(site).map(|server| ApiAccess {
            target: Rc::new(Target::https(server)),
            tls: tls::client_config(&Verify::Insecure, None, host.clock()),
            token: None,
        }),
        api_server: api_access(site, &host, &site.trust.admin, 0),
        readiness: site.scenario.metrics_server.version.readiness_path(),
        settle: SETTLE,
        patience: Duration::from_secs(5),
    };
    let witness = Witness::start(&host, &config, &recorder);
    let witness = site.witness.get_or_init(|| witness).clone();
    site.recorder
        .set_witness(move |change| witness.look(change));
}

/// Where the only pod serves; several are shown to the witness when they have
/// a node.
fn only_pod(site: &Site) -> Option<SocketAddr> {
    let server = &site.scenario.metrics_server;
    if site.scenario.has_several_pods() {
        return None;
    }
    let ip = match server.host_network {
        true => site.scenario.nodes[server.nodes[0]].ip,
        false => site.addresses.pods[0],
    };
    Some(SocketAddr::new(ip, secure_port(server)))
}

fn api_access(site: &Site, host: &Host, identity: &Identity, number: usize) -> ApiAccess {
    let verify = Verify::Roots(vec![site.trust.cluster.certificate()]);
    ApiAccess {
        target: Rc::new(Target::https(site.addresses.api_server(number))),
        tls: tls::client_config(&verify, Some(identity), host.clock()),
        token: None,
    }
}
