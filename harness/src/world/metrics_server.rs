//! The system under test: the real aggregation core as a container.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use aggregator::environment::{
    ClusterConfig, ClusterSource, ConfigError, Environment, Event as Reported, Observer, ServerKey,
    Shutdown, StartCost,
};
use aggregator::klog;
use aggregator::pace::Pace;
use aggregator::process;
use futures_util::future::{FutureExt, LocalBoxFuture};
use mocks::clients::witness::{self, Change};
use mocks::pod::{ContainerRuntime, Exit, RunningContainer};
use reports::trace::Event;
use seam::{Files, Host, Tasks};
use tokio::sync::oneshot;

use super::quota::{Quota, Rationed};
use super::resources::{MemoryGauge, Pressure};
use crate::record::TraceRecorder;
use crate::scenario::model;
use crate::seed::Seed;

/// Starts metrics-server processes in its pod.
pub struct Launcher {
    /// The pod's machine.
    pub host: Host,
    /// The pod's files. They outlive a container, as the `emptyDir` volume
    /// that holds the serving certificate does.
    pub files: Rc<dyn Files>,
    /// The container's arguments.
    pub args: Vec<String>,
    /// The release.
    pub version: aggregator::version::Version,
    /// How it finds the API server.
    pub cluster: ClusterConfig,
    /// What starting costs, drawn anew for every start.
    pub start_cost: model::StartCost,
    /// The serving key in PKCS#8.
    pub server_key: Vec<u8>,
    /// What holds its work up.
    pub pace: Rc<dyn Pace>,
    /// How much processor time it may take.
    pub quota: Option<Quota>,
    /// A gauge of the memory of each process, if the scenario says what it
    /// uses.
    pub memory: Box<dyn Fn() -> Option<MemoryGauge>>,
    /// Called with the bytes in use once the node has too little memory left.
    pub node_low: Rc<dyn Fn(u64)>,
    /// How long it takes until the node knows of an end.
    pub notice: Duration,
    /// The run's seed.
    pub seed: Seed,
    /// Who is told.
    pub recorder: Rc<TraceRecorder>,
}

impl ContainerRuntime for Launcher {
    fn start(&self, restart: u32) -> Box<dyn RunningContainer> {
        let host = self.host.container(Rc::clone(&self.files));
        let shutdown = Shutdown::new();
        let memory = Rc::new(OutOfMemory {
            gauge: (self.memory)(),
            tasks: host.tasks().clone(),
            killed: Cell::new(false),
            node_low: Rc::clone(&self.node_low),
        });
        let mut environment = Environment {
            host: host.clone(),
            version: self.version,
            cluster: Rc::new(InCluster(self.cluster.clone())),
            start_cost: self.draw_start_cost(restart),
            pace: Rc::clone(&self.pace),
            observer: Rc::new(ProcessObserver {
                host: self.host.name().to_owned(),
                recorder: Rc::clone(&self.recorder),
                memory: Rc::clone(&memory),
            }),
            shutdown: shutdown.clone(),
            server_key: ServerKey::Pkcs8Ed25519(self.server_key.clone()),
        };
        let (args, quota) = (self.args.clone(), self.quota);
        let observer = Rc::clone(&environment.observer);
        let (ended, end) = oneshot::channel();
        host.spawn(async move {
            if let Some(quota) = quota {
                // Its periods count on the clock of the machine that it is on.
                environment.pace = Rc::new(Rationed::new(quota, environment.pace));
            }
            let exit = process::run(&args, environment).await;
            log_standard_error(&*observer, &exit.stderr);
            let _ = ended.send(exit.code);
        });
        memory.take(|gauge| gauge.weigh());
        Box::new(Process {
            memory,
            tasks: host.tasks().clone(),
            shutdown,
            notice: self.notice,
            end: RefCell::new(Some(end)),
        })
    }
}

impl Launcher {
    fn draw_start_cost(&self, restart: u32) -> StartCost {
        let draw = |part: &str, distribution: &model::Distribution| {
            let name = format!("{}/start/{restart}/{part}", self.host.name());
            let work = distribution.sample(&mut self.seed.stream(&name));
            let takes = self.quota.map_or(work, |quota| quota.takes(work));
            whole_milliseconds(takes)
        };
        StartCost {
            exec: draw("exec", &self.start_cost.exec),
            certificate: draw("certificate", &self.start_cost.certificate),
            configure: draw("configure", &self.start_cost.configure),
            serve: draw("serve", &self.start_cost.serve),
        }
    }
}

/// Timers resolve to milliseconds; rounding here keeps the sum of the parts
/// equal to what is waited.
fn whole_milliseconds(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// What a process prints on its way out, as far as a reader needs it: the
/// lines `Error: …` and `panic: …`, not the usage text between them.
fn log_standard_error(observer: &dyn Observer, stderr: &str) {
    let telling = |line: &&str| line.starts_with("Error: ") || line.starts_with("panic: ");
    for line in stderr.lines().filter(telling) {
        observer.log(&klog::Line {
            severity: klog::Severity::Fatal,
            file: "",
            message: line.to_owned(),
            asked_by: None,
        });
    }
}

/// What kills a process that takes more memory than it may.
struct OutOfMemory {
    gauge: Option<MemoryGauge>,
    tasks: Tasks,
    killed: Cell<bool>,
    node_low: Rc<dyn Fn(u64)>,
}

impl OutOfMemory {
    fn take(&self, weigh: impl FnOnce(&MemoryGauge) -> Pressure) {
        match self.gauge.as_ref().map_or(Pressure::None, weigh) {
            Pressure::None => {}
            Pressure::OverLimit => {
                self.killed.set(true);
                self.tasks.kill();
            }
            Pressure::NodeLow(used) => (self.node_low)(used),
        }
    }
}

/// A running container.
struct Process {
    memory: Rc<OutOfMemory>,
    tasks: Tasks,
    shutdown: Shutdown,
    notice: Duration,
    end: RefCell<Option<oneshot::Receiver<i32>>>,
}

impl RunningContainer for Process {
    fn exited(&mut self) -> LocalBoxFuture<'static, Exit> {
        let end = self.end.take();
        let tasks = self.tasks.clone();
        let memory = Rc::clone(&self.memory);
        let notice = self.notice;
        async move {
            let Some(end) = end else {
                return std::future::pending().await;
            };
            // A killed process drops its end of the channel.
            let exit = match end.await {
                Ok(0) => Exit {
                    code: 0,
                    reason: "Completed".to_owned(),
                },
                Ok(code) => Exit {
                    code,
                    reason: "Error".to_owned(),
                },
                Err(_) if memory.killed.get() => Exit {
                    code: 137,
                    reason: "OOMKilled".to_owned(),
                },
                Err(_) => Exit {
                    code: 137,
                    reason: "Error".to_owned(),
                },
            };
            // Nothing of a process outlives it.
            tasks.kill();
            if !notice.is_zero() {
                tokio::time::sleep(notice).await;
            }
            exit
        }
        .boxed_local()
    }

    fn kill(&self) {
        self.tasks.kill();
    }

    fn terminate(&self) {
        self.shutdown.request();
    }
}

struct InCluster(ClusterConfig);

impl ClusterSource for InCluster {
    fn load(&self, kubeconfig: Option<&str>) -> Result<ClusterConfig, ConfigError> {
        match kubeconfig {
            None => Ok(self.0.clone()),
            Some(path) => Err(ConfigError {
                message: format!("stat {path}: no such file or directory"),
            }),
        }
    }
}

/// Writes what the process reports into the trace.
struct ProcessObserver {
    host: String,
    recorder: Rc<TraceRecorder>,
    memory: Rc<OutOfMemory>,
}

impl Observer for ProcessObserver {
    fn event(&self, event: Reported<'_>) {
        self.memory.take(|gauge| gauge.observe(&event));
        let stored = match event {
            Reported::TickStored { others, .. } => Some(Change::Stored { others }),
            _ => None,
        };
        if let Some(event) = translate(event) {
            self.recorder.push(&self.host, event);
        }
        if let Some(change) = stored {
            self.recorder.wake_witness(change);
        }
    }

    /// The witness is no client of the cluster: what it asks for leaves no trace.
    fn log(&self, line: &klog::Line) {
        if line.asked_by.as_deref() == Some(witness::USER_AGENT) {
            return;
        }
        let severity = line.severity.letter().to_string();
        self.recorder.push(
            &self.host,
            Event::Log {
                severity,
                text: line.message.clone(),
            },
        );
    }
}

fn translate(event: Reported<'_>) -> Option<Event> {
    let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Some(match event {
        Reported::ServingCertificate { generated } => Event::ServingCertificate { generated },
        Reported::PortBound { address } => Event::PortBound {
            address: address.to_string(),
        },
        Reported::AuthenticationConfigLoaded { .. } => Event::AuthenticationConfigLoaded,
        Reported::InformerSynced { resource, .. } => Event::InformerSynced {
            resource: resource.to_owned(),
        },
        Reported::InformersSynced => Event::InformersSynced,
        Reported::Serving { address } => Event::Serving {
            address: address.to_string(),
        },
        Reported::TickStarted { tick, nodes } => Event::TickStarted {
            tick,
            nodes: nodes as u64,
        },
        Reported::Scraped {
            node,
            outcome,
            text,
            duration,
            ..
        } => Event::Scraped {
            node: node.to_owned(),
            outcome: outcome.to_owned(),
            text: text.to_owned(),
            duration_ns: nanos(duration),
        },
        Reported::TickStored {
            tick,
            nodes,
            pods,
            servable_nodes,
            servable_pods,
            ..
        } => Event::TickStored {
            tick,
            nodes: nodes as u64,
            pods: pods as u64,
            servable_nodes: servable_nodes as u64,
            servable_pods: servable_pods as u64,
        },
        Reported::ShutdownStarted | Reported::ShutdownFinished => return None,
    })
}
