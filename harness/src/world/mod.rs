//! From a scenario and a seed to a world that can run.
//!
//! - [`addresses`]: who has which address;
//! - [`machines`]: hosts, clocks and the network between them;
//! - [`trust`]: authorities, certificates, tokens;
//! - [`nodes`]: nodes and their kubelets;
//! - [`control_plane`]: API server, aggregation layer, endpoints;
//! - [`metrics_server`]: the real aggregation core as a container;
//! - [`pod`]: the pod around it, with probes and restarts;
//! - [`consumers`]: who uses the metrics API, and the witness;
//! - [`paths`]: the scenario's path rules as addresses.

pub mod addresses;
pub mod consumers;
pub mod control_plane;
pub mod machines;
pub mod metrics_server;
pub mod nodes;
pub mod paths;
pub mod pod;
pub mod trust;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use aggregator::options::{self, Command};
use mocks::store::Store;
use reports::trace::Event;
use seam::{Host, Random, Timestamp};
use tokio::time::Instant;

use crate::changes::{self, Change};
use crate::engine::link::Links;
use crate::engine::virtual_time::Setup;
use crate::record::TraceRecorder;
use crate::scenario::model::{Distribution, Scenario};
use crate::seed::Seed;
use crate::{brief, world};

/// What every part of a world is built from.
pub struct Site {
    /// What is to happen.
    pub scenario: Scenario,
    /// The run's seed.
    pub seed: Seed,
    /// Virtual time zero.
    pub start: Instant,
    /// What right clocks show then.
    pub epoch: Timestamp,
    /// Who has which address.
    pub addresses: addresses::Addresses,
    /// Who believes whom.
    pub trust: trust::Trust,
    /// The cluster's objects.
    pub store: Store,
    /// Who is told what happens.
    pub recorder: Rc<TraceRecorder>,
}

impl Site {
    /// The port that metrics-server's arguments make it serve on.
    #[must_use]
    pub fn secure_port(&self) -> u16 {
        let server = &self.scenario.metrics_server;
        match options::parse(&server.args, brief::release(server.version)) {
            Ok(Command::Run(options)) => u16::try_from(options.serving.secure_port).unwrap_or(0),
            // A process that gives up at its arguments serves nowhere.
            _ => 443,
        }
    }
}

/// Builds the world of a scenario. `recorder` receives what happens in it.
#[must_use]
pub fn build(
    scenario: &Scenario,
    seed: Seed,
    start: Instant,
    recorder: &Rc<TraceRecorder>,
) -> Setup {
    let addresses = addresses::Addresses::of(scenario);
    let epoch = Timestamp::from_nanos(scenario.epoch_unix_ns);
    let site = Site {
        scenario: scenario.clone(),
        seed,
        start,
        epoch,
        trust: trust::Trust::new(seed, epoch, &addresses),
        addresses,
        store: Store::new(),
        recorder: Rc::clone(recorder),
    };
    let links = Rc::new(Links::new(
        start,
        paths::resolve(scenario, &site.addresses),
        brief::path_rules(scenario),
        seed.stream("network"),
    ));
    let alive = Rc::new(Cell::new(true));
    let (net, machines) = machines::build(&site, &links, &alive);
    let (observed, ended) = (Rc::clone(&links), Rc::clone(&links));
    let (observer, ender) = (Rc::clone(recorder), Rc::clone(recorder));
    Setup {
        net,
        links,
        alive,
        start: Box::new(move || world::start(&site, &machines)),
        observe: Box::new(move || {
            if observed.has_new_hits() {
                for rule in observed.take_new_hits() {
                    observer.push("world", Event::PathRuleHit { rule });
                }
            }
        }),
        finish: Box::new(move || {
            ender.push(
                "world",
                Event::PathTotals {
                    totals: ended.totals(),
                },
            );
            let totals = ender.fault_totals();
            if !totals.is_empty() {
                ender.push("world", Event::FaultTotals { totals });
            }
            ender.push(
                "world",
                Event::Ended {
                    reason: "until".to_owned(),
                },
            );
        }),
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
    for (index, node) in site.scenario.nodes.iter().enumerate() {
        let machine = &machines.nodes[index];
        nodes::Site {
            node,
            host: &machine.host,
            clock: &machine.clock,
            start: site.start,
            epoch: site.epoch,
            store: &site.store,
            authority: &site.trust.cluster,
            seed: site.seed,
            recorder: &site.recorder,
        }
        .start();
    }
    let api_server = control_plane::start(site, machines);
    let pod = pod::start(site, machines, &api_server);
    consumers::start(site, machines);
    announce(site, &machines.world, pod);
}

/// Announces every change of the scenario when it happens, and carries out
/// those that are actions on the pod.
fn announce(site: &Site, world: &Host, pod: pod::Handle) {
    let changes = changes::of(&site.scenario);
    let (start, recorder) = (site.start, Rc::clone(&site.recorder));
    world.spawn(async move {
        for change in changes {
            tokio::time::sleep_until(start + change.at).await;
            record(&recorder, &change);
            if let Some(action) = change.action {
                pod.act(action);
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
