//! A metrics-server that is a process of its own.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use mocks::pod::{ContainerRuntime, Exit, RunningContainer};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use seam::Tasks;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::evidence::Evidence;
use super::output::LogBook;
use crate::record::TraceRecorder;
use crate::world::Outside;

/// How long a process may take to end after SIGTERM when serving ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long a killed process may take to be gone.
const BURIAL: Duration = Duration::from_secs(2);
/// How often it is looked how large a process has been.
const MEASURE_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked whether the user has started a process.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Exit code of a container whose program could not be started. Source:
/// containerd `internal/cri/server/container_start.go`, `errorStartExitCode`.
const START_ERROR: i32 = 128;

/// The metrics-server under test, outside this process.
pub struct Started {
    /// What the world needs to know of it.
    pub outside: Outside,
    launcher: Option<Rc<Launcher>>,
}

impl Started {
    /// One that `program` starts.
    pub(super) fn by_us(
        program: PathBuf,
        args: Vec<String>,
        recorder: &Rc<TraceRecorder>,
        api_server: SocketAddr,
        evidence: Rc<Evidence>,
    ) -> Self {
        let launcher = Rc::new(Launcher {
            program,
            args,
            log: Rc::new(LogBook::new(Rc::clone(recorder), evidence)),
            tasks: Tasks::new(),
            running: RefCell::default(),
            closed: Cell::new(false),
            peak_memory_bytes: Cell::new(0),
        });
        Self {
            outside: Outside {
                runtime: Rc::new(Runtime(Rc::clone(&launcher))),
                there: std::future::ready(()).boxed_local().shared(),
                api_server,
            },
            launcher: Some(launcher),
        }
    }

    /// One that the user starts, which will serve at `serving`.
    pub(super) fn by_user(
        serving: SocketAddr,
        api_server: SocketAddr,
        evidence: Rc<Evidence>,
    ) -> Self {
        let there = async move {
            while TcpStream::connect(serving).await.is_err() {
                sleep(LOOK_EVERY).await;
            }
        };
        Self {
            outside: Outside {
                runtime: Rc::new(SomebodyElses {
                    _evidence: evidence,
                }),
                there: there.boxed_local().shared(),
                api_server,
            },
            launcher: None,
        }
    }

    /// Records how much of the output was not recorded.
    pub(super) fn tell_unrecorded(&self, recorder: &TraceRecorder) {
        if let Some(launcher) = &self.launcher {
            launcher.log.tell_unrecorded(recorder);
        }
    }

    /// Ends what was started. Returns the largest resident set that any of it
    /// had, in bytes, if there was anything to start.
    pub(super) async fn stop(&self) -> Option<u64> {
        let launcher = self.launcher.as_ref()?;
        launcher.closed.set(true);
        let running = launcher.running.borrow().clone();
        if let Some(life) = running {
            launcher.measure(&life);
            life.signal(Signal::SIGTERM);
            if timeout(FAREWELL, life.ended()).await.is_err() {
                life.signal(Signal::SIGKILL);
                // A process that survives SIGKILL is the kernel's affair.
                let _ = timeout(BURIAL, life.ended()).await;
            }
        }
        Some(launcher.peak_memory_bytes.get())
    }
}

/// Starts processes, one at a time.
struct Launcher {
    program: PathBuf,
    args: Vec<String>,
    log: Rc<LogBook>,
    tasks: Tasks,
    running: RefCell<Option<Rc<Life>>>,
    /// Set when serving ends: nothing is started any more.
    closed: Cell<bool>,
    /// The largest resident set seen so far.
    peak_memory_bytes: Cell<u64>,
}

struct Runtime(Rc<Launcher>);

impl ContainerRuntime for Runtime {
    fn start(&self, _restart: u32) -> Box<dyn RunningContainer> {
        let launcher = &self.0;
        if launcher.closed.get() {
            return Box::new(Stranger);
        }
        match launcher.spawn() {
            Ok(mut child) => {
                launcher.log.read(&launcher.tasks, child.stdout.take());
                launcher.log.read(&launcher.tasks, child.stderr.take());
                let life = Rc::new(Life {
                    pid: Cell::new(child.id().and_then(|id| i32::try_from(id).ok())),
                    end: Notify::new(),
                });
                *launcher.running.borrow_mut() = Some(Rc::clone(&life));
                let (measuring, measured) = (Rc::clone(launcher), Rc::clone(&life));
                launcher.tasks.spawn(async move {
                    while measured.pid.get().is_some() {
                        measuring.measure(&measured);
                        sleep(MEASURE_EVERY).await;
                    }
                });
                Box::new(Process {
                    life,
                    child: Some(child),
                })
            }
            Err(error) => {
                let program = launcher.program.display();
                launcher
                    .log
                    .line(&format!("Error: cannot start {program}: {error}"));
                Box::new(NeverRan)
            }
        }
    }
}

impl Launcher {
    /// Looks how large the process has been: the kernel's own maximum, which
    /// `getrusage` mixes with that of the process that forked it.
    fn measure(&self, life: &Life) {
        let status = life.pid.get().and_then(|pid| {
            let path = format!("/proc/{pid}/status");
            std::fs::read_to_string(path).ok()
        });
        let kib = status.as_deref().and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        });
        let peak = self.peak_memory_bytes.get().max(kib.unwrap_or(0) * 1024);
        self.peak_memory_bytes.set(peak);
    }

    fn spawn(&self) -> std::io::Result<Child> {
        Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C is ours, and whatever it starts ends
            // with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// One process, until it has ended.
struct Life {
    pid: Cell<Option<i32>>,
    end: Notify,
}

impl Life {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid.get() {
            // It may have ended just now.
            let _ = killpg(Pid::from_raw(pid), signal);
        }
    }

    async fn ended(&self) {
        while self.pid.get().is_some() {
            self.end.notified().await;
        }
    }

    /// Nothing of a process outlives it.
    fn bury(&self) {
        self.signal(Signal::SIGKILL);
        self.pid.set(None);
        self.end.notify_waiters();
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

struct Process {
    life: Rc<Life>,
    child: Option<Child>,
}

impl RunningContainer for Process {
    fn exited(&mut self) -> LocalBoxFuture<'static, Exit> {
        let (child, life) = (self.child.take(), Rc::clone(&self.life));
        async move {
            let Some(mut child) = child else {
                return std::future::pending().await;
            };
            let status = child.wait().await;
            life.bury();
            exit(status.ok())
        }
        .boxed_local()
    }

    fn kill(&self) {
        self.life.signal(Signal::SIGKILL);
    }

    fn terminate(&self) {
        self.life.signal(Signal::SIGTERM);
    }
}

/// How a container runtime reports an end.
fn exit(status: Option<ExitStatus>) -> Exit {
    let code = status
        .and_then(|status| status.code().or_else(|| Some(128 + status.signal()?)))
        // The system does not know: as for a container that cannot be found.
        .unwrap_or(137);
    let reason = if code == 0 { "Completed" } else { "Error" };
    Exit {
        code,
        reason: reason.to_owned(),
    }
}

/// A container whose program could not be started.
struct NeverRan;

impl RunningContainer for NeverRan {
    fn exited(&mut self) -> LocalBoxFuture<'static, Exit> {
        let exit = Exit {
            code: START_ERROR,
            reason: "StartError".to_owned(),
        };
        std::future::ready(exit).boxed_local()
    }

    fn kill(&self) {}

    fn terminate(&self) {}
}

/// What the user starts and ends.
struct SomebodyElses {
    _evidence: Rc<Evidence>,
}

impl ContainerRuntime for SomebodyElses {
    fn start(&self, _restart: u32) -> Box<dyn RunningContainer> {
        Box::new(Stranger)
    }
}

/// A process that is not ours: whether it has ended is not known, and nothing
/// is done to it.
struct Stranger;

impl RunningContainer for Stranger {
    fn exited(&mut self) -> LocalBoxFuture<'static, Exit> {
        std::future::pending().boxed_local()
    }

    fn kill(&self) {}

    fn terminate(&self) {}
}
