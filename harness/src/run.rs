//! From a scenario and a seed to a trace, and from there to a judgement.

use std::cell::OnceCell;
use std::rc::Rc;

use reports::judgement::{self, RunJudgement};
use reports::trace::Trace;

use crate::brief;
use crate::engine::fabric::Simulation;
use crate::engine::key_exchange;
use crate::engine::link::Links;
use crate::engine::virtual_time::{self, Setup, Stuck};
use crate::record::TraceRecorder;
use crate::scenario::model::Scenario;
use crate::seed::Seed;
use crate::world::{Site, World, machines};

/// One run of one scenario.
#[derive(Debug, Clone)]
pub struct Run {
    /// The seed it ran with.
    pub seed: Seed,
    /// What happened.
    pub trace: Trace,
    /// What became of it.
    pub judgement: RunJudgement,
}

/// Runs a scenario with a seed and judges it.
///
/// # Errors
///
/// [`Stuck`] if virtual time stops moving: a defect in firstlight.
pub fn run(scenario: &Scenario, seed: Seed) -> Result<Run, Stuck> {
    let trace = simulate(scenario, seed)?;
    let judgement = judgement::judge(&brief::case(scenario), &trace, seed.0);
    Ok(Run {
        seed,
        trace,
        judgement,
    })
}

/// Runs a scenario with a seed and returns everything that happened.
///
/// # Errors
///
/// [`Stuck`] if virtual time stops moving: a defect in firstlight.
pub fn simulate(scenario: &Scenario, seed: Seed) -> Result<Trace, Stuck> {
    let slot: Rc<OnceCell<Rc<TraceRecorder>>> = Rc::default();
    let filled = Rc::clone(&slot);
    key_exchange::forgo_secrecy();
    virtual_time::run(scenario.until, move |start| {
        let recorder = filled.get_or_init(|| TraceRecorder::new(start));
        set_up(Site::new(scenario, seed, start, recorder))
    })?;
    let recorder = slot.get().expect("the set-up ran");
    Ok(recorder.finish())
}

/// A site as the virtual engine runs it.
fn set_up(site: Site) -> Setup {
    let terrain = machines::terrain(&site);
    let mut simulation = Simulation::new(Rc::clone(&terrain));
    let links = Rc::new(Links::new(Rc::clone(&terrain.paths)));
    let world = Rc::new(World::new(site, terrain, &mut simulation));
    let (started, observed, finished) = (Rc::clone(&world), Rc::clone(&world), world);
    Setup {
        net: simulation.net,
        links,
        sockets: Rc::clone(&simulation.fabric.sockets),
        start: Box::new(move || started.start()),
        observe: Box::new(move || observed.observe()),
        finish: Box::new(move || finished.finish("until")),
    }
}
