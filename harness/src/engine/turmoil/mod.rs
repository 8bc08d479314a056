//! The turmoil engine: an independent witness for the virtual one.
//!
//! Each machine of the scenario is a host of the crate `turmoil`: a runtime of its own
//! with a paused clock of its own, which turmoil moves on by one tick after the
//! other, and sockets on turmoil's network. With the virtual engine it shares
//! the world and the scenario's rules, but neither the scheduler nor the
//! network: what both agree on is no artefact of either.
//!
//! - this file: machines, and turmoil's ticks from beginning to end;
//! - `network`: turmoil's TCP as a [`seam::Network`];
//! - `lane`: what path rules do to one direction of a connection;
//! - `loopback`: connections that never leave their machine.
//!
//! **Time.** A tick is one millisecond, to which tokio's timers resolve too: so
//! each turn of a machine is one instant, and no delay is rounded. Nothing is
//! skipped, and a tick costs in proportion to the machines and their pairs:
//! the engine is for ten nodes, not for a thousand.
//!
//! **Distance.** What a machine sends in one tick arrives in the next, at the
//! earliest. turmoil cannot do without, whereas nothing takes time on the
//! virtual engine's network by itself: there, [`TICK`] has to be made the
//! latency of every packet before the two can be compared to the tick. What
//! machines share in memory, as the controllers share the cluster's objects,
//! is seen in the same tick by machines that have their turn later and in the
//! next by the others.
//!
//! **Clocks.** The clocks of two machines have nothing to do with each other:
//! each was started at another time, by hours. An [`Instant`] that travels
//! between machines is a defect ([`seam::Moment`] is for that), and far enough
//! off the mark to show.
//!
//! [`Instant`]: tokio::time::Instant

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use ::turmoil::{Builder, Sim};
use seam::{Ground, Moment, Network, Tasks};
use tokio::time::{Instant, advance};

use super::terrain::Terrain;
use super::{Engine, Stuck};
use network::{Shared, TurmoilNetwork};

mod lane;
mod loopback;
mod network;

/// What turmoil moves the clocks by at each step, and what a packet takes from
/// one machine to another.
pub const TICK: Duration = Duration::from_millis(1);

/// How much longer than the one before it each machine has been up at time
/// zero: four and a half hours. That is a turn of tokio's timer wheel, 64⁴ ms,
/// so that timers that are due together fire in the same order on every
/// machine, and as they do on a runtime that has just begun.
const BETWEEN_BOOTS: Duration = Duration::from_millis(1 << 24);

/// What of a machine's uptime turmoil sees to: it has each runtime wait for a
/// whole millisecond.
const WAITED: Duration = Duration::from_millis(1);

/// Turns of a machine's tasks at one instant after which the simulation is
/// taken to be stuck: far more than any legitimate burst needs.
const TURNS_AT_ONE_INSTANT: u64 = 200_000;

thread_local! {
    /// How far turmoil has come. A tick is one instant: it is the same on every
    /// machine that has its turn in it.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Time zero, on the clock of whichever machine has its turn.
#[must_use]
pub fn zero() -> Moment {
    Moment::zero_of(|| NOW.get())
}

/// The machines of one world as turmoil's hosts.
pub struct Machines {
    shared: Rc<Shared>,
    all: Vec<Machine>,
}

#[derive(Clone)]
struct Machine {
    ip: IpAddr,
    ground: Rc<Ground>,
}

impl Machines {
    /// No machines yet.
    #[must_use]
    pub fn new(terrain: Rc<Terrain>) -> Self {
        Self {
            shared: Rc::new(Shared::new(terrain)),
            all: Vec::new(),
        }
    }

    fn ground(&mut self, ip: IpAddr) -> &Rc<Ground> {
        let known = self.all.iter().position(|machine| machine.ip == ip);
        let index = known.unwrap_or_else(|| {
            self.shared.machines.borrow_mut().insert(ip);
            let ground = Rc::new(Ground::new());
            self.all.push(Machine { ip, ground });
            self.all.len() - 1
        });
        &self.all[index].ground
    }
}

impl Engine for Machines {
    fn network(&mut self, ip: IpAddr) -> Rc<dyn Network> {
        let tasks = Tasks::on(self.ground(ip));
        Rc::new(TurmoilNetwork::new(ip, tasks, Rc::clone(&self.shared)))
    }

    fn tasks(&mut self, ip: IpAddr) -> Tasks {
        Tasks::on(self.ground(ip))
    }
}

/// What a simulation consists of when it starts.
pub struct Setup {
    /// The machines; in every tick they have their turns in the order in which
    /// they were booted.
    pub machines: Machines,
    /// Starts the first programs; runs on the first machine.
    pub start: Box<dyn FnOnce()>,
    /// Called after each tick.
    pub observe: Box<dyn FnMut()>,
    /// Called once when the end is reached, while time still stands there.
    pub finish: Box<dyn FnOnce()>,
}

/// Runs a simulation from time zero until `until`.
///
/// # Errors
///
/// [`Stuck`] if time stops moving.
///
/// # Panics
///
/// If called inside a tokio runtime, or without machines.
pub fn run(until: Duration, setup: Setup) -> Result<(), Stuck> {
    let (start, mut observe, finish) = (setup.start, setup.observe, setup.finish);
    let first = setup.machines.all.first().expect("a world has machines");
    let programs = Tasks::on(&first.ground);
    NOW.set(Duration::ZERO);
    let mut fleet = Fleet {
        sim: simulation(),
        dark: setup.machines.all,
        stuck: Rc::default(),
    };
    // The first tick is for the machines to boot; then it is time zero.
    let mut uptime = Duration::ZERO;
    fleet.boot(|| {
        uptime += BETWEEN_BOOTS;
        uptime - WAITED
    });
    fleet.step();
    let booted = fleet.sim.elapsed();
    programs.spawn(async move { start() });
    loop {
        NOW.set(fleet.sim.elapsed() - booted);
        fleet.step();
        observe();
        if let Some(at) = fleet.stuck.get() {
            return Err(Stuck { at });
        }
        if NOW.get() >= until {
            finish();
            return Ok(());
        }
    }
}

/// Machines under turmoil's control.
struct Fleet {
    sim: Sim<'static>,
    /// Machines that nobody needs yet: each one that turmoil has to look at
    /// costs time at every tick, and most addresses are for pods to come.
    dark: Vec<Machine>,
    stuck: Rc<Cell<Option<Duration>>>,
}

impl Fleet {
    /// Boots the machines that have become somebody's. `uptime` says how long
    /// each seems to have been up after its first tick, which it spends on
    /// that; if no time at all, it has the tick to itself.
    fn boot(&mut self, mut uptime: impl FnMut() -> Duration) {
        let wanted = |machine: &mut Machine| machine.ground.is_inhabited();
        for machine in self.dark.extract_if(.., wanted) {
            let life = live(machine.ground, uptime(), Rc::clone(&self.stuck));
            self.sim.client(machine.ip, life);
        }
    }

    fn step(&mut self) {
        self.sim
            .step()
            .expect("no machine's program ends, and there is no time limit");
        self.boot(|| Duration::ZERO);
    }
}

/// A simulation in which nothing is left to chance.
fn simulation() -> Sim<'static> {
    Builder::new()
        .tick_duration(TICK)
        .simulation_duration(Duration::MAX)
        .min_message_latency(TICK)
        .max_message_latency(TICK)
        .epoch(SystemTime::UNIX_EPOCH)
        .rng_seed(0)
        .build()
}

/// The life of a machine, from its boot to the end of the simulation.
async fn live(
    ground: Rc<Ground>,
    uptime: Duration,
    stuck: Rc<Cell<Option<Duration>>>,
) -> ::turmoil::Result {
    if !uptime.is_zero() {
        // Takes the rest of the tick.
        advance(uptime).await;
    }
    let (mut instant, mut turns) = (Instant::now(), 0_u64);
    let mut running = pin!(ground.programs().run_until(pending::<()>()));
    poll_fn(|cx| {
        let now = Instant::now();
        if now != instant {
            (instant, turns) = (now, 0);
        }
        turns += 1;
        if turns > TURNS_AT_ONE_INSTANT {
            stuck.set(Some(NOW.get()));
            return Poll::Pending;
        }
        running.as_mut().poll(cx)
    })
    .await;
    Ok(())
}
