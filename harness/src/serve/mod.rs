//! A scenario on loopback, in real time, for programs that firstlight did not
//! write: `kubectl`, and any metrics-server.
//!
//! In reading order:
//!
//! - this file: from options to a judgement;
//! - [`subject`]: which metrics-server is under test;
//! - [`plan`]: the scenario as loopback can have it, and its sockets;
//! - [`kubeconfig`]: how clients find the API server;
//! - [`process`]: a metrics-server that is a process of its own;
//! - [`output`]: what such a process prints;
//! - [`evidence`]: what such a process does, as seen from outside;
//! - [`timeline`]: what happens, printed as it happens;
//! - [`holder`]: who holds a port.
//!
//! Our own metrics-server runs inside this process. It is the same code as
//! the separate program, and only there are its clock, its path rules and the
//! cost of its start the scenario's, and its trace its own.

pub mod evidence;
pub mod holder;
pub mod kubeconfig;
pub mod output;
pub mod plan;
pub mod process;
pub mod subject;
pub mod timeline;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture, select_all};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use reports::exit::Exit;
use reports::judgement::{self, ScenarioJudgement};
use reports::trace::{Event, Trace};
use seam::Moment;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::brief;
use crate::cli::output::stdout;
use crate::engine::live::{self, Live};
use crate::record::TraceRecorder;
use crate::scenario::model::Scenario;
use crate::seed::Seed;
use crate::settle::settle;
use crate::world::{Site, World, machines};

use kubeconfig::Kubeconfigs;
use plan::Plan;
use subject::Subject;

/// How often the world is asked whether a path rule took effect first.
const OBSERVE_EVERY: Duration = Duration::from_millis(50);

/// How a scenario is to be served.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is left to chance in the scenario is drawn from it.
    pub seed: Seed,
    /// Where the API server listens: a loopback address.
    pub listen: IpAddr,
    /// On which port; 0 lets the system choose.
    pub apiserver_port: u16,
    /// Where the administrator's kubeconfig is written.
    pub kubeconfig: Option<PathBuf>,
    /// Where metrics-server's kubeconfig is written.
    pub server_kubeconfig: Option<PathBuf>,
    /// The metrics-server under test.
    pub subject: Subject,
    /// How long to serve; until a signal if absent.
    pub run_for: Option<Duration>,
    /// Whether the timeline is left out.
    pub quiet: bool,
}

/// Why nothing was served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The exit that it leads to.
    pub exit: Exit,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Refusal {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { exit, message }
    }

    fn io(what: &str, error: &io::Error) -> Self {
        Self::new(Exit::Io, format!("{what}: {error}"))
    }
}

/// Why serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The time that it was to last is over.
    TimeUp,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

/// What came of it.
#[derive(Debug)]
pub struct Served {
    /// What happened.
    pub trace: Trace,
    /// The judgement of it.
    pub judgement: ScenarioJudgement,
    /// Why it ended.
    pub ended: Ended,
    /// What the processes under test cost; absent where there were none.
    pub cost: Option<Cost>,
}

/// What processes cost, as the operating system counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Processor time of all of them, user and system.
    pub cpu: Duration,
    /// The largest resident set of any of them, in bytes.
    pub peak_memory_bytes: u64,
    /// Scrapes of all nodes that ended.
    pub ticks: u64,
}

/// Serves a scenario until its time is over or a signal comes, and judges
/// what happened.
///
/// # Errors
///
/// [`Refusal`] if it could not begin; nothing is left behind then.
pub fn serve(scenario: &Scenario, options: &Options) -> Result<Served, Refusal> {
    raise_descriptor_limit();
    let settled = settle(scenario, options.seed);
    let plan = Plan::new(&settled, options)?;
    live::block_on(run(plan, options)).map_err(|error| Refusal::io("no event queue", &error))?
}

async fn run(plan: Plan, options: &Options) -> Result<Served, Refusal> {
    let end = end(options.run_for)
        .map_err(|error| Refusal::io("signals cannot be waited for", &error))?;
    let start = Moment::from(Instant::now());
    let recorder = TraceRecorder::new(start);
    let mut site = Site::new(&plan.scenario, options.seed, start, &recorder);
    let trust = Rc::get_mut(&mut site.trust);
    trust.expect("nothing is built on it yet").loopback = plan.api_server_ips();
    let kubeconfigs = Kubeconfigs::write(&plan, &site.trust, options)?;
    let started = plan.subject(options, &site, &kubeconfigs)?;
    site.outside = started.as_ref().map(|started| started.outside.clone());
    let terrain = machines::terrain(&site);
    let mut engine = Live::new(
        Rc::clone(&plan.book),
        Rc::clone(&terrain),
        plan.strangers(&site),
    );
    let world = World::new(site, terrain, &mut engine);
    if !options.quiet {
        let timeline = timeline::Timeline::new(plan.scenario.nodes.len());
        recorder.set_follower(move |record| timeline.follow(record));
    }
    plan.open();
    world.start();
    say(&plan.banner(options, &kubeconfigs));
    let ended = observe(&world, end).await;
    if let Some(started) = &started {
        started.tell_unrecorded(&recorder);
    }
    world.finish(reason(
        ended,
        options,
        start.elapsed() >= plan.scenario.until,
    ));
    let trace = recorder.finish();
    let cost = match started {
        Some(started) => started.stop().await.and_then(|peak| cost(&trace, peak)),
        None => None,
    };
    let mut case = brief::case(&plan.scenario);
    case.subject = Some(options.subject.to_string());
    let run = judgement::judge(&case, &trace, options.seed.0);
    Ok(Served {
        trace,
        judgement: ScenarioJudgement {
            case,
            runs: vec![run],
        },
        ended,
        cost,
    })
}

/// Watches the world until the end comes.
async fn observe(world: &World, mut end: LocalBoxFuture<'static, Ended>) -> Ended {
    loop {
        let ended = tokio::time::timeout(OBSERVE_EVERY, &mut end).await;
        world.observe();
        if let Ok(ended) = ended {
            return ended;
        }
    }
}

/// How the trace names the end. A scenario that did not reach its own end is
/// no basis for a judgement, unless its user asked for less.
fn reason(ended: Ended, options: &Options, past_until: bool) -> &'static str {
    match ended {
        _ if past_until => "until",
        Ended::TimeUp if options.run_for.is_some() => "until",
        Ended::TimeUp | Ended::Interrupted => "interrupted",
        Ended::Terminated => "terminated",
    }
}

/// Ready when serving is to end. Listens for signals from now on.
fn end(run_for: Option<Duration>) -> io::Result<LocalBoxFuture<'static, Ended>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ends: Vec<LocalBoxFuture<'static, Ended>> = vec![
        async move {
            interrupt.recv().await;
            Ended::Interrupted
        }
        .boxed_local(),
        async move {
            terminate.recv().await;
            Ended::Terminated
        }
        .boxed_local(),
    ];
    if let Some(duration) = run_for {
        let over = async move {
            tokio::time::sleep(duration).await;
            Ended::TimeUp
        };
        ends.push(over.boxed_local());
    }
    Ok(select_all(ends).map(|(ended, ..)| ended).boxed_local())
}

/// A machine of thousands of sockets needs more descriptors than shells give.
fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // With fewer descriptors small scenarios still work.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// What the processes under test cost. Nothing else is a child of this one.
fn cost(trace: &Trace, peak_memory_bytes: u64) -> Option<Cost> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let time = |value: nix::sys::time::TimeVal| {
        let seconds = u64::try_from(value.tv_sec()).unwrap_or(0);
        let micros = u64::try_from(value.tv_usec()).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(micros)
    };
    let stored = |event: &Event| matches!(event, Event::TickStored { .. });
    let ticks = trace.records.iter().filter(|record| stored(&record.event));
    Some(Cost {
        cpu: time(usage.user_time()) + time(usage.system_time()),
        peak_memory_bytes,
        ticks: ticks.count() as u64,
    })
}

/// Prints what is of use while serving. A reader that has gone away is no
/// reason to stop.
fn say(text: &str) {
    let _ = stdout(text);
}
