//! From a scenario and a seed to a trace, and from there to a judgement.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use reports::case::Case;
use reports::expectation::Claim;
use reports::judgement::{self, RunJudgement};
use reports::trace::Trace;
use seam::Moment;

use crate::engine::fabric::Simulation;
use crate::engine::link::Links;
use crate::engine::{Simulator, Stuck, tls, turmoil, virtual_time};
use crate::record::TraceRecorder;
use crate::scenario::model::Scenario;
use crate::seed::Seed;
pub use crate::trigger::{Failure, Played};
use crate::world::{Site, World, machines};
use crate::{brief, remedy, trigger};

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

/// Runs a scenario with a seed on the virtual engine and judges it.
///
/// # Errors
///
/// As for [`play`].
pub fn run(scenario: &Scenario, seed: Seed) -> Result<Run, Failure> {
    run_on(Simulator::VIRTUAL, scenario, seed)
}

/// Runs a scenario with a seed and judges it.
///
/// # Errors
///
/// As for [`play`].
pub fn run_on(engine: Simulator, scenario: &Scenario, seed: Seed) -> Result<Run, Failure> {
    let played = play(engine, scenario, seed)?;
    let case = brief::case(&played.scenario);
    let mut judgement = judgement::judge(&case, &played.trace, seed.0);
    if claims_hidden_causes(&case) {
        let tried = remedy::try_all(engine, scenario, seed, &judgement);
        judgement = judgement::judge_knowing(&case, &played.trace, seed.0, &tried.behind);
    }
    Ok(Run {
        seed,
        trace: played.trace,
        judgement,
    })
}

/// Runs a scenario with a seed, judges it, and tries what would help.
///
/// # Errors
///
/// As for [`play`].
pub fn run_and_try(engine: Simulator, scenario: &Scenario, seed: Seed) -> Result<Run, Failure> {
    let played = play(engine, scenario, seed)?;
    let case = brief::case(&played.scenario);
    let judgement = judgement::judge(&case, &played.trace, seed.0);
    let tried = remedy::try_all(engine, scenario, seed, &judgement);
    let mut judgement = judgement::judge_knowing(&case, &played.trace, seed.0, &tried.behind);
    judgement.remedies = tried.remedies;
    Ok(Run {
        seed,
        trace: played.trace,
        judgement,
    })
}

/// Whether an expectation is about a cause that may only show once another is
/// out of the way.
fn claims_hidden_causes(case: &Case) -> bool {
    let mut claims = case.expectations.iter();
    claims.any(|expectation| matches!(expectation.claim, Claim::Cause { place: 2.., .. }))
}

/// Runs a scenario with a seed on the virtual engine and returns everything
/// that happened.
///
/// # Errors
///
/// As for [`play`].
pub fn simulate(scenario: &Scenario, seed: Seed) -> Result<Trace, Failure> {
    Ok(play(Simulator::VIRTUAL, scenario, seed)?.trace)
}

/// Runs a scenario with a seed, as often as it takes to find out when what its
/// triggers wait for happens.
///
/// # Errors
///
/// [`Failure`]: a defect in firstlight, or a scenario that turns out to be
/// contradictory.
pub fn play(engine: Simulator, scenario: &Scenario, seed: Seed) -> Result<Played<'_>, Failure> {
    tls::forgo_secrecy();
    trigger::play(scenario, seed, |settled| match engine {
        Simulator::Virtual { latency } => pass(settled, seed, latency),
        Simulator::Turmoil => turmoil_pass(settled, seed),
    })
}

/// One pass of a settled scenario in virtual time.
fn pass(scenario: &Scenario, seed: Seed, latency: Duration) -> Result<Trace, Stuck> {
    let slot: Rc<OnceCell<Rc<TraceRecorder>>> = Rc::default();
    let filled = Rc::clone(&slot);
    virtual_time::run(scenario.until, move |start| {
        let start = Moment::from(start);
        let recorder = filled.get_or_init(|| TraceRecorder::new(start));
        let mut site = Site::new(scenario, seed, start, recorder);
        site.latency = latency;
        set_up(site)
    })?;
    let recorder = slot.get().expect("the set-up ran");
    Ok(recorder.finish())
}

/// A site as the virtual engine runs it.
fn set_up(site: Site) -> virtual_time::Setup {
    let terrain = machines::terrain(&site);
    let mut simulation = Simulation::new(Rc::clone(&terrain));
    let links = Rc::new(Links::new(Rc::clone(&terrain.paths)));
    let world = Rc::new(World::new(site, terrain, &mut simulation));
    let (started, observed, finished) = (Rc::clone(&world), Rc::clone(&world), world);
    virtual_time::Setup {
        net: simulation.net,
        links,
        sockets: Rc::clone(&simulation.fabric.sockets),
        start: Box::new(move || started.start()),
        observe: Box::new(move || observed.observe()),
        finish: Box::new(move || finished.finish("until")),
    }
}

/// One pass in turmoil's ticks.
fn turmoil_pass(scenario: &Scenario, seed: Seed) -> Result<Trace, Stuck> {
    let start = turmoil::zero();
    let recorder = TraceRecorder::new(start);
    let site = Site::new(scenario, seed, start, &recorder);
    let trace = Rc::new(OnceCell::new());
    let recorded = Rc::clone(&trace);
    let terrain = machines::terrain(&site);
    let mut machines = turmoil::Machines::new(Rc::clone(&terrain));
    let world = Rc::new(World::new(site, terrain, &mut machines));
    let (started, observed, finished) = (Rc::clone(&world), Rc::clone(&world), world);
    turmoil::run(
        scenario.until,
        turmoil::Setup {
            machines,
            start: Box::new(move || started.start()),
            observe: Box::new(move || observed.observe()),
            finish: Box::new(move || {
                finished.finish("until");
                recorded.get_or_init(|| recorder.finish());
            }),
        },
    )?;
    let trace = Rc::into_inner(trace).and_then(OnceCell::into_inner);
    Ok(trace.expect("the end was reached"))
}
