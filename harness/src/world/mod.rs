//! From a scenario and a seed to a world that can run.
//!
//! - [`addresses`]: who has which address;
//! - [`machines`]: hosts, clocks and the network between them;
//! - [`trust`]: authorities, certificates, tokens;
//! - [`nodes`]: nodes and what runs there; [`kubelets`]: their kubelets;
//! - [`control_plane`]: API server, aggregation layer, endpoints;
//! - [`metrics_server`]: the real aggregation core as a container;
//! - [`resources`]: the processor time that it lacks, the memory it uses up;
//!   [`quota`]: the processor time that it may take;
//! - [`pod`]: the pods around it, with probes and restarts;
//! - [`deployment`]: how many pods, from which template, on which nodes;
//! - [`registry`]: Services, the APIService and the like over time;
//! - [`access`]: who may do what;
//! - [`consumers`]: who uses the metrics API, and the witness;
//! - [`paths`]: the scenario's path rules as addresses;
//! - [`outlook`]: the network as one machine sees it; [`names`]: its name server.

pub mod access;
pub mod addresses;
pub mod consumers;
pub mod control_plane;
pub mod deployment;
pub mod files;
pub mod homes;
pub mod kubelets;
pub mod machines;
pub mod metrics_server;
pub mod names;
pub mod nodes;
pub mod outlook;
pub mod paths;
pub mod pod;
pub mod quota;
pub mod registry;
pub mod resources;
pub mod trust;
pub mod unprivileged;

use std::cell::{OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{LocalBoxFuture, Shared};
use mocks::clients::witness::Witness;
use mocks::endpoints::ServiceTable;
use mocks::pod::ContainerRuntime;
use mocks::store::Store;
use reports::trace::Event;
use seam::{Host, Moment, Random, Timestamp};

use crate::changes::{self, Change};
use crate::engine::Engine;
use crate::engine::terrain::Terrain;
use crate::faults;
use crate::record::TraceRecorder;
use crate::scenario::model::{Distribution, Scenario};
use crate::seed::Seed;

/// What every part of a world is built from.
pub struct Site {
    /// What is to happen.
    pub scenario: Scenario,
    /// The run's seed.
    pub seed: Seed,
    /// Virtual time zero.
    pub start: Moment,
    /// What right clocks show then.
    pub epoch: Timestamp,
    /// What it takes from one machine to another, besides what the scenario
    /// says: every packet, and word of a container's end, which runs in a pod's
    /// network and not in its node's.
    pub latency: Duration,
    /// Who has which address.
    pub addresses: addresses::Addresses,
    /// Who believes whom.
    pub trust: Rc<trust::Trust>,
    /// The cluster's objects.
    pub store: Store,
    /// What dials to kubelets meet before any packet is sent.
    pub doors: Rc<outlook::Doors>,
    /// Where service addresses lead, once there is a machine to decide it.
    pub services: Rc<OnceCell<ServiceTable>>,
    /// Who is told what happens.
    pub recorder: Rc<TraceRecorder>,
    /// Who looks the moment something may have changed, once it does.
    pub witness: Rc<OnceCell<Witness>>,
    /// The metrics-server under test, where it is not our own.
    pub outside: Option<Outside>,
}

/// A metrics-server in a process of its own, in place of the aggregation core
/// in this one.
#[derive(Clone)]
pub struct Outside {
    /// What starts it as the pod's container.
    pub runtime: Rc<dyn ContainerRuntime>,
    /// Ready when the pod may be created: at once, or when somebody else has
    /// started the process.
    pub there: Shared<LocalBoxFuture<'static, ()>>,
    /// Where it finds the API server, besides everybody else's address.
    pub api_server: SocketAddr,
}

impl Site {
    /// The site of a settled scenario. `recorder` receives what happens on it.
    #[must_use]
    pub fn new(
        scenario: &Scenario,
        seed: Seed,
        start: Moment,
        recorder: &Rc<TraceRecorder>,
    ) -> Self {
        let addresses = addresses::Addresses::of(scenario);
        let epoch = Timestamp::from_nanos(scenario.epoch_unix_ns);
        Self {
            scenario: scenario.clone(),
            seed,
            start,
            epoch,
            latency: Duration::ZERO,
            trust: Rc::new(trust::Trust::new(seed, epoch, &addresses)),
            addresses,
            store: Store::new(),
            doors: Rc::default(),
            services: Rc::default(),
            recorder: Rc::clone(recorder),
            witness: Rc::default(),
            outside: None,
        }
    }
}

/// A world that is ready to start.
pub struct World {
    site: Site,
    terrain: Rc<Terrain>,
    machines: machines::Machines,
}

impl World {
    /// Builds the machines of `site` on the engine that was made from
    /// `terrain`: see [`machines::terrain`].
    #[must_use]
    pub fn new(site: Site, terrain: Rc<Terrain>, engine: &mut dyn Engine) -> Self {
        let machines = machines::build(&site, &terrain, engine);
        let (plane, start) = (faults::Plane::of(&site.scenario), site.start);
        site.recorder
            .set_blame(move |host, what| plane.met(host, what, start.elapsed()));
        Self {
            site,
            terrain,
            machines,
        }
    }

    /// Starts every program. Must be called where tasks can be started.
    pub fn start(&self) {
        start(&self.site, &self.machines);
    }

    /// Records the path rules that took effect for the first time, and the
    /// wrong clocks that were read. To be called after each instant at which
    /// something happened.
    pub fn observe(&self) {
        for wrong in &self.machines.wrong_clocks {
            let readings = wrong.clock.take_wrong_readings();
            if readings > 0 {
                let recorder = &self.site.recorder;
                recorder.fault_times(&wrong.host, &wrong.fault, readings);
            }
        }
        let paths = &self.terrain.paths;
        if paths.has_new_hits() {
            for rule in paths.take_new_hits() {
                self.record(Event::PathRuleHit { rule });
            }
        }
    }

    /// Records the end of the run.
    pub fn finish(&self, reason: &str) {
        self.record(Event::PathTotals {
            totals: self.terrain.paths.totals(),
        });
        let totals = self.site.recorder.fault_totals();
        if !totals.is_empty() {
            self.record(Event::FaultTotals { totals });
        }
        self.record(Event::Ended {
            reason: reason.to_owned(),
        });
    }

    fn record(&self, event: Event) {
        self.site.recorder.push("world", event);
    }
}

fn start(site: &Site, machines: &machines::Machines) {
    site.recorder.push(
        "world",
        Event::Began {
            scenario: site.scenario.name.clone(),
            input_digest: site.scenario.input_digest.clone(),
            seed: site.seed.0,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
        },
    );
    let plane = control_plane::ControlPlane::new(site, machines);
    let authorizer = plane.authorizer();
    for (index, node) in site.scenario.nodes.iter().enumerate() {
        let machine = &machines.nodes[index];
        nodes::Site {
            node,
            host: &machine.host,
            clock: &machine.clock,
            start: site.start,
            epoch: site.epoch,
            store: &site.store,
            trust: &site.trust,
            seed: site.seed,
            recorder: &site.recorder,
            authorizer: &authorizer,
        }
        .start(&site.doors);
    }
    let discovered = consumers::Discovered::new(site);
    plane.start(site, machines, &discovered);
    let deployment = deployment::start(site, machines, &plane.combined);
    consumers::start(site, machines, &discovered);
    announce(site, &machines.world, deployment);
}

/// Announces every change of the scenario when it happens, and carries out
/// those that are actions on the pod.
fn announce(site: &Site, world: &Host, deployment: deployment::Handle) {
    let changes = changes::of(&site.scenario);
    let (start, recorder) = (site.start, Rc::clone(&site.recorder));
    world.spawn(async move {
        for change in changes {
            (start + change.at).come().await;
            record(&recorder, &change);
            if let Some(action) = &change.action {
                deployment.act(action);
            }
        }
    });
}

fn record(recorder: &TraceRecorder, change: &Change) {
    recorder.push(
        &change.host,
        Event::Changed {
            what: change.what.clone(),
        },
    );
    if let Some(by_ns) = change.clock_step_ns {
        recorder.push(&change.host, Event::ClockStepped { by_ns });
    }
}

/// Draws from `distribution` each time it is called, from a stream of its own.
fn sampler(host: &Host, stream: &str, distribution: &Distribution) -> Rc<dyn Fn() -> Duration> {
    let random: RefCell<Box<dyn Random>> = RefCell::new(host.random(stream));
    let distribution = distribution.clone();
    Rc::new(move || distribution.sample(&mut **random.borrow_mut()))
}
