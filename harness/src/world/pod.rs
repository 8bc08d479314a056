//! metrics-server's pod, with probes and restarts.

use std::rc::Rc;
use std::time::Duration;

use aggregator::environment::{ClusterConfig, Credentials};
use mocks::apiserver::{Behaviour, State};
use mocks::event::Recorder;
use mocks::pki;
use mocks::pod::{self, PodConfig, PodParts, RestartTiming, Scheme};
use mocks::script::Script;
use reports::trace::Event;
use seam::Random;

use super::Site;
use super::control_plane::SERVICE;
use super::machines::Machines;
use super::metrics_server::Launcher;
use super::trust::TOKEN_FILE;
use crate::scenario::model::{ActionKind, Distribution, Probe};

/// A handle to the pod, for the scenario's actions.
#[derive(Clone)]
pub struct Handle(pod::Pod);

impl Handle {
    /// Carries out an action.
    pub fn act(&self, action: ActionKind) {
        match action {
            ActionKind::Kill => self.0.kill(),
            ActionKind::Terminate => self.0.terminate(),
            ActionKind::Start => self.0.start(),
        }
    }
}

/// Creates the pod at its time and runs it.
pub fn start(site: &Site, machines: &Machines, api_server: &Script<Behaviour>) -> Handle {
    let datastore = api_server.clone();
    let node = machines.nodes[site.scenario.metrics_server.node]
        .host
        .process();
    let api_server = api_server.clone();
    let parts = PodParts {
        node: node.clone(),
        runtime: Rc::new(launcher(site, machines)),
        store: site.store.clone(),
        recorder: Rc::clone(&site.recorder) as Rc<dyn Recorder>,
        apiserver_reachable: Rc::new(move || {
            matches!(api_server.current().state, State::Up | State::Starting)
        }),
        write_latency: Rc::new(move || (datastore.current().write_latency)()),
    };
    let pod = pod::Pod::new(config(site, machines), parts);
    let (running, recorder) = (pod.clone(), Rc::clone(&site.recorder));
    let created = site.start + site.scenario.metrics_server.pod.created_at;
    node.spawn(async move {
        tokio::time::sleep_until(created).await;
        recorder.push(SERVICE, Event::PodCreated);
        running.run().await;
    });
    Handle(pod)
}

fn config(site: &Site, machines: &Machines) -> PodConfig {
    let server = &site.scenario.metrics_server;
    let node = &site.scenario.nodes[server.node];
    let draw = |what: &str, distribution: &Distribution| {
        distribution.sample(&mut *machines.pod.random(&format!("pod/{what}")))
    };
    let probe = |name: &str, probe: &Option<Probe>| {
        probe.as_ref().map(|probe| {
            translate(
                probe,
                &mut *machines.pod.random(&format!("probe-phase/{name}")),
            )
        })
    };
    PodConfig {
        host_network: server.host_network,
        port: site.secure_port(),
        image: image(site),
        args: server.args.clone(),
        scheduling: draw("scheduling", &server.pod.scheduling),
        sandbox: draw("sandbox", &server.pod.sandbox),
        image_pull: draw("image-pull", &server.pod.image_pull),
        readiness: probe("readiness", &server.readiness),
        liveness: probe("liveness", &server.liveness),
        startup: probe("startup", &server.startup),
        termination_grace: server.termination_grace,
        restart: server.restart,
        restart_timing: RestartTiming {
            jitter: server.restart_jitter,
            ..RestartTiming::default()
        },
        ..PodConfig::metrics_server(&node.name, node.ip, site.addresses.pod)
    }
}

fn image(site: &Site) -> String {
    let tag = site.scenario.metrics_server.version.git_version();
    if site.scenario.preset.starts_with("k3s") {
        format!("rancher/mirrored-metrics-server:{tag}")
    } else {
        format!("registry.k8s.io/metrics-server/metrics-server:{tag}")
    }
}

fn translate(probe: &Probe, random: &mut dyn Random) -> pod::Probe {
    let drawn = random.duration_between(Duration::ZERO, probe.period);
    pod::Probe {
        scheme: Scheme::Https,
        path: probe.path.clone(),
        port: None,
        initial_delay: probe.initial_delay,
        period: probe.period,
        timeout: probe.timeout,
        success_threshold: probe.success_threshold,
        failure_threshold: probe.failure_threshold,
        phase: probe.phase.unwrap_or(drawn),
    }
}

fn launcher(site: &Site, machines: &Machines) -> Launcher {
    let server = &site.scenario.metrics_server;
    Launcher {
        host: machines.pod.clone(),
        files: Rc::clone(&machines.pod_files),
        args: server.args.clone(),
        version: server.version,
        cluster: ClusterConfig {
            host: site.addresses.kubernetes_service.ip().to_string(),
            port: site.addresses.kubernetes_service.port(),
            ca: vec![site.trust.cluster.certificate()],
            insecure: false,
            credentials: Credentials::TokenFile(TOKEN_FILE.to_owned()),
            server_name: None,
        },
        start_cost: server.start_cost.clone(),
        server_key: pki::ed25519_pkcs8(&format!("{}/metrics-server-key", site.seed.0)),
        seed: site.seed,
        recorder: Rc::clone(&site.recorder),
    }
}
