//! metrics-server's pods: their templates, what runs in them, and on which
//! machines.

use std::cell::OnceCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aggregator::environment::{ClusterConfig, Credentials};
use aggregator::options::{self, Command};
use mocks::apiserver::Behaviour;
use mocks::clients::ApiAccess;
use mocks::clients::witness::Witness;
use mocks::deployment::{Deployment, PodFactory};
use mocks::event::Recorder;
use mocks::http_client::Target;
use mocks::pki;
use mocks::pod::{self, Pod, PodConfig, PodParts, RestartTiming, Scheme};
use mocks::script::Script;
use mocks::store::Store;
use mocks::tls::{self, Verify};
use seam::{Files, Host, Moment, Network, Random};

use super::files::{PodFiles, volumes};
use super::machines::{Machines, Place};
use super::metrics_server::Launcher;
use super::quota::Quota;
use super::resources::{self, EVICTION_PERIOD, EVICTION_THRESHOLD, MemoryGauge};
use super::trust::{TOKEN_FILE, Trust};
use super::unprivileged::Unprivileged;
use super::{Outside, Site};
use crate::engine::clock::SimulatedClock;
use crate::engine::memory_files::MemoryFiles;
use crate::faults;
use crate::record::TraceRecorder;
use crate::scenario::model::{
    Availability, Distribution, InitContainer, MetricsServer, PodStart, Probe, Scenario,
};
use crate::seed::Seed;

/// The memory of a node. DIFFERENCE: all nodes have the same.
const NODE_MEMORY: u64 = 16 << 30;

/// Makes the pods of a scenario.
pub struct Factory {
    scenario: Scenario,
    seed: Seed,
    start: Moment,
    latency: Duration,
    nodes: Vec<Under>,
    places: Vec<Place>,
    addresses: Vec<IpAddr>,
    cluster: ClusterConfig,
    trust: Rc<Trust>,
    store: Store,
    recorder: Rc<TraceRecorder>,
    api_server: Script<Behaviour>,
    /// Who looks at each pod, where there can be several.
    witness: Rc<OnceCell<Witness>>,
    /// The Deployment that the pods belong to.
    deployment: Rc<OnceCell<Deployment>>,
    /// What runs in the pod, where it is not the aggregation core.
    outside: Option<Outside>,
}

/// A node, as what a pod runs on.
struct Under {
    name: String,
    ip: IpAddr,
    host: Host,
    place: Place,
    clock: Arc<SimulatedClock>,
    /// Whether the machine is there.
    up: Script<bool>,
    /// Bytes of memory left for metrics-server.
    free: u64,
}

impl Factory {
    /// The factory of `site`. `deployment` is filled before the first pod is
    /// placed.
    pub(super) fn new(
        site: &Site,
        machines: &Machines,
        api_server: &Script<Behaviour>,
        deployment: &Rc<OnceCell<Deployment>>,
    ) -> Self {
        let kubernetes = site.addresses.kubernetes_service;
        let nodes = site.scenario.nodes.iter().zip(&machines.nodes);
        Self {
            scenario: site.scenario.clone(),
            seed: site.seed,
            start: site.start,
            latency: site.latency,
            nodes: nodes
                .map(|(node, machine)| Under {
                    name: node.name.clone(),
                    ip: node.ip,
                    host: machine.host.clone(),
                    place: machine.place.clone(),
                    clock: Arc::clone(&machine.clock),
                    up: Script::new(site.start, node.up.0.clone()),
                    free: NODE_MEMORY
                        .saturating_sub(node.memory_bytes)
                        .saturating_sub(EVICTION_THRESHOLD),
                })
                .collect(),
            places: machines.pods.clone(),
            addresses: site.addresses.pods.clone(),
            cluster: ClusterConfig {
                host: kubernetes.ip().to_string(),
                port: kubernetes.port(),
                ca: vec![site.trust.cluster.certificate()],
                insecure: false,
                credentials: Credentials::TokenFile(TOKEN_FILE.to_owned()),
                server_name: None,
            },
            trust: Rc::clone(&site.trust),
            store: site.store.clone(),
            recorder: Rc::clone(&site.recorder),
            api_server: api_server.clone(),
            witness: Rc::clone(&site.witness),
            deployment: Rc::clone(deployment),
            outside: site.outside.clone(),
        }
    }

    /// The settings of pod `ordinal` of template `revision`.
    fn settings(&self, ordinal: u32, revision: u32) -> &MetricsServer {
        let templates = self.scenario.templates();
        let last = templates.len() - 1;
        let (_, server) = templates[(revision as usize - 1).min(last)];
        server.of_pod(ordinal)
    }

    fn host(&self, ordinal: u32, revision: u32, under: &Under, host_network: bool) -> Host {
        // A pod has its node's clock, and with `hostNetwork` its network.
        let place = match host_network {
            true => &under.place,
            false => &self.places[ordinal as usize - 1],
        };
        let network = match self.settings(ordinal, revision).may_bind_any_port() {
            true => Rc::clone(&place.network),
            false => Rc::new(Unprivileged(Rc::clone(&place.network))) as Rc<dyn Network>,
        };
        let host = Host::new(
            &self.scenario.pod_name(ordinal),
            network,
            Arc::clone(&under.clock) as Arc<dyn seam::WallClock>,
            Rc::new(self.seed),
            Rc::new(MemoryFiles::default()) as Rc<dyn Files>,
        );
        host.beside(&place.tasks)
    }

    fn launcher(&self, ordinal: u32, revision: u32, host: &Host, under: &Under) -> Launcher {
        let server = self.settings(ordinal, revision);
        let name = host.name();
        let (start, free) = (self.start, under.free);
        // Of a node that nobody may be evicted from the kernel takes what is
        // left.
        let all = server.is_critical().then_some(free + EVICTION_THRESHOLD);
        let limit = server.limits.memory_bytes.or(all);
        let scenario = self.scenario.clone();
        let weighed = self.met(name, faults::MEMORY);
        Launcher {
            host: host.clone(),
            files: self.files(ordinal, revision, name),
            args: server.args.clone(),
            version: server.version,
            cluster: self.cluster.clone(),
            start_cost: server.start_cost.clone(),
            server_key: pki::ed25519_pkcs8(&format!("{}/{name}-key", self.seed.0)),
            pace: resources::pace(
                &self.scenario,
                ordinal,
                name,
                self.seed,
                self.start,
                self.met(name, faults::CPU),
            ),
            quota: Quota::of(server),
            memory: Box::new(move || {
                MemoryGauge::new(&scenario, ordinal, limit, free, start, Rc::clone(&weighed))
            }),
            node_low: self.node_low(ordinal, under),
            notice: self.latency,
            seed: self.seed,
            recorder: Rc::clone(&self.recorder),
        }
    }

    /// Counts that a fault took effect on the pod `name`.
    fn met(&self, name: &str, fault: &'static str) -> resources::Met {
        let (recorder, name) = (Rc::clone(&self.recorder), name.to_owned());
        Rc::new(move || recorder.fault(&name, fault))
    }

    fn files(&self, ordinal: u32, revision: u32, name: &str) -> Rc<dyn Files> {
        let files = self.scenario.files_of_pod(ordinal);
        let volumes = Script::new(self.start, volumes(&files, &self.trust).0);
        let met = self.met(name, faults::FILES);
        let security = self.settings(ordinal, revision).security;
        let authority = self.trust.cluster.pem();
        Rc::new(PodFiles::new(volumes, &authority, security, met))
    }

    /// The eviction manager of a node, as far as it concerns one pod.
    ///
    /// Source: `pkg/kubelet/eviction/{eviction_manager,helpers}.go`.
    fn node_low(&self, ordinal: u32, under: &Under) -> Rc<dyn Fn(u64)> {
        let (node, host, free) = (under.name.clone(), under.host.clone(), under.free);
        let (deployment, start) = (Rc::clone(&self.deployment), self.start);
        let begun = std::cell::Cell::new(false);
        Rc::new(move |used| {
            if begun.replace(true) {
                return;
            }
            let left = (free + EVICTION_THRESHOLD).saturating_sub(used) >> 20;
            let used = used >> 10;
            let message = format!(
                "The node was low on resource: memory. Threshold quantity: 100Mi, available: \
                 {left}Mi. Container metrics-server was using {used}Ki, request is 200Mi, has \
                 larger consumption of memory. "
            );
            let (node, deployment) = (node.clone(), Rc::clone(&deployment));
            host.spawn(async move {
                let looks = start.elapsed().as_nanos() / EVICTION_PERIOD.as_nanos() + 1;
                let looks = u32::try_from(looks).unwrap_or(u32::MAX);
                (start + EVICTION_PERIOD * looks).come().await;
                let Some(deployment) = deployment.get() else {
                    return;
                };
                deployment.memory_pressure(&node);
                if let Some(pod) = deployment.pod(ordinal) {
                    pod.evict(message);
                }
            });
        })
    }

    /// Has the witness look at one of several pods.
    fn show(&self, pod: &str, address: SocketAddr, host: &Host) {
        let Some(witness) = self.witness.get() else {
            return;
        };
        if self.scenario.has_several_pods() {
            let access = ApiAccess {
                target: Rc::new(Target::https(address)),
                tls: tls::client_config(&Verify::Insecure, None, host.clock()),
                token: None,
            };
            let readiness = self.scenario.metrics_server.version.readiness_path();
            witness.look_at(pod, readiness, access);
        }
    }
}

impl PodFactory for Factory {
    fn template(&self, ordinal: u32, revision: u32) -> PodConfig {
        let server = self.settings(ordinal, revision);
        let name = self.scenario.pod_name(ordinal);
        let random = |stream: &str| self.seed.stream(&format!("{name}/{stream}"));
        let draw = |what: &str, distribution: &Distribution| {
            distribution.sample(&mut random(&format!("pod/{what}")))
        };
        let probe = |kind: &str, probe: &Option<Probe>| {
            probe
                .as_ref()
                .map(|probe| translate(probe, &mut random(&format!("probe-phase/{kind}"))))
        };
        if !server.host_network {
            self.places[ordinal as usize - 1].tasks.settle();
        }
        let scheduled = self.scenario.metrics_server_at(self.start.elapsed());
        let start = &scheduled.of_pod(ordinal).pod;
        let init = start.init_containers.iter().enumerate();
        let own = self.addresses[ordinal as usize - 1];
        PodConfig {
            recorded_as: self.scenario.has_several_pods().then(|| name.clone()),
            host_network: server.host_network,
            port: server.container_port.unwrap_or(secure_port(server)),
            image: image(server),
            args: server.args.clone(),
            priority_class: server.priority_class.clone(),
            placement: server.placement.clone(),
            scheduling: draw("scheduling", &start.scheduling),
            network: self.available(ordinal, |start| start.network_available),
            sandbox: draw("sandbox", &start.sandbox),
            init_containers: init
                .map(|(index, container)| self.init_container(ordinal, index, container))
                .collect(),
            image_available: self.available(ordinal, |start| start.image_available),
            image_pull: draw("image-pull", &start.image_pull),
            readiness: probe("readiness", &server.readiness),
            liveness: probe("liveness", &server.liveness),
            startup: probe("startup", &server.startup),
            termination_grace: server.termination_grace,
            restart: server.restart,
            restart_timing: RestartTiming {
                jitter: server.restart_jitter,
                ..RestartTiming::default()
            },
            ..PodConfig::metrics_server("", own, own)
        }
    }

    fn place(&self, ordinal: u32, revision: u32, mut config: PodConfig, node: &str) -> Pod {
        let under = self
            .nodes
            .iter()
            .find(|under| under.name == node)
            .expect("the Deployment knows the scenario's nodes and no others");
        let host = self.host(ordinal, revision, under, config.host_network);
        config.node_name = under.name.clone();
        config.machine = under.up.clone();
        config.node_ip = under.ip;
        if config.host_network {
            config.pod_ip = under.ip;
        }
        let port = secure_port(self.settings(ordinal, revision));
        let address = SocketAddr::new(config.pod_ip, port);
        self.show(host.name(), address, &host);
        let (api_server, datastore) = (self.api_server.clone(), self.api_server.clone());
        let machine = under.up.clone();
        let parts = PodParts {
            node: under.host.process(),
            runtime: match &self.outside {
                Some(outside) => Rc::clone(&outside.runtime),
                None => Rc::new(self.launcher(ordinal, revision, &host, under)),
            },
            store: self.store.clone(),
            recorder: Rc::clone(&self.recorder) as Rc<dyn Recorder>,
            apiserver_reachable: Rc::new(move || {
                *machine.current() && api_server.current().serves()
            }),
            write_latency: Rc::new(move || (datastore.current().write_latency)()),
        };
        Pod::new(config, parts)
    }
}

impl Factory {
    /// Whether `part` of what pod `ordinal` needs for its start is there, over
    /// time.
    fn available(&self, ordinal: u32, part: impl Fn(&PodStart) -> Availability) -> Script<bool> {
        Script::new(self.start, self.scenario.availability(ordinal, part).0)
    }

    fn init_container(
        &self,
        ordinal: u32,
        index: usize,
        container: &InitContainer,
    ) -> pod::InitContainer {
        let pod = self.scenario.pod_name(ordinal);
        let mut random = self.seed.stream(&format!("{pod}/init/{index}"));
        let awaited = |start: &PodStart| {
            let container = start.init_containers.get(index);
            container.map_or(Availability::Always, |container| container.awaited)
        };
        pod::InitContainer {
            name: container.name.clone(),
            runs: container.runs.sample(&mut random),
            awaited: self.available(ordinal, awaited),
            failures: container.failures,
        }
    }
}

/// The port that the arguments make metrics-server serve on.
#[must_use]
pub fn secure_port(server: &MetricsServer) -> u16 {
    match options::parse(&server.args, server.version) {
        Ok(Command::Run(options)) => u16::try_from(options.serving.secure_port).unwrap_or(0),
        // A process that gives up at its arguments serves nowhere.
        _ => 443,
    }
}

fn image(server: &MetricsServer) -> String {
    let tag = server.version.git_version();
    format!("{}:{tag}", server.image)
}

fn translate(probe: &Probe, random: &mut dyn Random) -> pod::Probe {
    let drawn = random.duration_between(Duration::ZERO, probe.period);
    pod::Probe {
        scheme: match probe.tls {
            true => Scheme::Https,
            false => Scheme::Http,
        },
        path: probe.path.clone(),
        port: probe.port,
        initial_delay: probe.initial_delay,
        period: probe.period,
        timeout: probe.timeout,
        success_threshold: probe.success_threshold,
        failure_threshold: probe.failure_threshold,
        phase: probe.phase.unwrap_or(drawn),
    }
}
