//! Creation → container → exit → restart → the pod's end.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use seam::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::{CrashLoop, Decision};
use super::events::go_duration;
use super::prepare::{image_present, prepare};
use super::state::Ended;
use super::timing::Delays;
use super::{Command, End, Exit, ProbeKind, RunningContainer, Shared, prober, status};
use crate::event::{Event, Met};

/// The shortest grace period that a container gets.
/// Source: `kuberuntime_container.go minimumGracePeriodInSeconds`.
const MIN_GRACE: Duration = Duration::from_secs(2);

/// Runs the pod, whose object exists, from its binding to its end.
pub(super) async fn run(shared: Rc<Shared>, commands: mpsc::UnboundedReceiver<Command>) {
    status::bind(&shared);
    shared.node.spawn(status::run(Rc::clone(&shared)));
    shared.belief.accepted(shared.node.now());
    let prepared = {
        let preparation = pin!(prepare(&shared));
        let end = pin!(shared.ending.begun());
        matches!(select(preparation, end).await, Either::Left(_))
    };
    let mut delays = Delays::new(
        shared.config.restart_timing,
        shared.random("restart-jitter"),
    );
    let mut ended = None;
    if prepared {
        let minder = Minder {
            shared: Rc::clone(&shared),
            commands,
            backoff: CrashLoop::default(),
            delays: &mut delays,
        };
        ended = minder.mind().await;
    }
    end(&shared, ended, &mut delays).await;
}

/// Brings the pod's end into the API, or keeps it out. `ended` is the last
/// container's end, if one was cut short.
async fn end(shared: &Shared, ended: Option<Ended>, delays: &mut Delays) {
    let notice = |ended: Option<Ended>| {
        if let Some(ended) = ended {
            shared.belief.container_ended(ended, shared.node.now());
        }
    };
    match shared.ending.end() {
        Some(End::Evicted(message)) => {
            notice(ended);
            // Source: `pkg/kubelet/eviction/eviction_manager.go evictPod`.
            shared.events.warning("Evicted", message.clone());
            shared.belief.evicted(message, shared.node.now());
        }
        Some(End::Deleted) => {
            sleep(delays.unnoticed()).await;
            notice(ended);
            status::delete(shared).await;
            shared.node.tasks().kill();
        }
        Some(End::Lost) | None => shared.node.tasks().kill(),
    }
}

/// Minds the container: one at a time, one after the other.
struct Minder<'a> {
    shared: Rc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    backoff: CrashLoop,
    delays: &'a mut Delays,
}

/// Why a container is being ended, and by when it will be killed.
struct Doom {
    by: &'static str,
    deadline: Option<Instant>,
}

impl Doom {
    /// Nothing follows a signal from outside.
    const BY_ACTION: Self = Self {
        by: "action",
        deadline: None,
    };
}

impl Minder<'_> {
    /// Returns when the pod ends, with the end of the container that ran then.
    async fn mind(mut self) -> Option<Ended> {
        // Nothing ran yet that they could have been meant for.
        while self.commands.try_recv().is_ok() {}
        let mut previous_exit = None;
        for restart in 0.. {
            if self.shared.ending.has_begun() {
                return None;
            }
            let container = self.start(restart);
            let (exit, killed_by) = self.attend(container, restart).await;
            self.shared.record(Event::ContainerExited {
                code: exit.code,
                reason: exit.reason.clone(),
                killed_by,
            });
            let at = self.shared.node.now();
            let ended = Ended { exit, at };
            if self.shared.ending.has_begun() {
                return Some(ended);
            }
            if !self.shared.is_there() {
                previous_exit = None;
                if self.until_the_machine_is_back(ended).await {
                    continue;
                }
                return None;
            }
            let by_probe = killed_by.is_some_and(|by| by != "action");
            // The pod worker that kills for a probe decides about the restart
            // on what it knew before: the end of the instance before this.
            // Source: `kuberuntime_manager.go SyncPod`, `doBackOff`.
            let visible = if by_probe {
                previous_exit
            } else {
                Some(ended.at)
            };
            previous_exit = Some(ended.at);
            self.until_restart(ended, visible, by_probe).await;
        }
        None
    }

    fn start(&mut self, restart: u32) -> Box<dyn RunningContainer> {
        let shared = &self.shared;
        if restart > 0 {
            image_present(shared);
        }
        shared.events.normal("Created", "Container created");
        shared.record(Event::ContainerStarted { restart });
        let container = shared.runtime.start(restart);
        shared.events.normal("Started", "Container started");
        shared.belief.container_started(restart, shared.node.now());
        if restart == 0 {
            let kinds = [
                ProbeKind::Startup,
                ProbeKind::Liveness,
                ProbeKind::Readiness,
            ];
            for kind in kinds {
                if shared.probe(kind).is_some() {
                    let worker = prober::run(Rc::clone(shared), kind, Instant::now());
                    shared.node.spawn(worker);
                }
            }
        }
        container
    }

    /// Waits for the container's end and brings it about when told to.
    /// Returns who did, if somebody did.
    async fn attend(
        &mut self,
        mut container: Box<dyn RunningContainer>,
        restart: u32,
    ) -> (Exit, Option<&'static str>) {
        let mut exited = container.exited();
        let mut doom: Option<Doom> = None;
        loop {
            let deadline = doom.as_ref().and_then(|doom| doom.deadline);
            let order = {
                let order = pin!(next_order(&mut self.commands, deadline));
                let gone = pin!(self.shared.gone());
                match select(&mut exited, select(order, gone)).await {
                    Either::Left((exit, _)) => {
                        let by = match self.shared.is_there() {
                            true => doom.map(|doom| doom.by),
                            false => Some(End::Lost.word()),
                        };
                        return (exit, by);
                    }
                    Either::Right((Either::Left((order, _)), _)) => order,
                    Either::Right((Either::Right(((), _)), _)) => {
                        container.kill();
                        let exit = exited.await;
                        return (exit, Some(End::Lost.word()));
                    }
                }
            };
            match order {
                // The grace period is over.
                None => {
                    container.kill();
                    doom = doom.map(|doom| Doom {
                        deadline: None,
                        ..doom
                    });
                }
                Some(Command::Kill) => {
                    container.kill();
                    doom.get_or_insert(Doom::BY_ACTION);
                }
                Some(Command::Terminate) => {
                    container.terminate();
                    doom.get_or_insert(Doom::BY_ACTION);
                }
                Some(Command::Condemned { by, restart: whom }) if whom == restart => {
                    doom.get_or_insert_with(|| self.condemn(&*container, by));
                }
                Some(Command::End) => doom = Some(self.end(&*container)),
                Some(Command::Condemned { .. } | Command::Start) => {}
            }
        }
    }

    /// Source: `kuberuntime_container.go killContainer`.
    fn condemn(&self, container: &dyn RunningContainer, by: ProbeKind) -> Doom {
        let word = by.word();
        self.shared.events.normal(
            "Killing",
            format!("Container metrics-server failed {word} probe, will be restarted"),
        );
        container.terminate();
        let grace = self.shared.config.termination_grace.max(MIN_GRACE);
        Doom {
            by: word,
            deadline: Some(Instant::now() + grace),
        }
    }

    /// Ends the container because its pod ends.
    ///
    /// Source: `pkg/kubelet/kubelet_pods.go`, `kuberuntime_container.go
    /// killContainer`; a hard eviction grants no time.
    fn end(&self, container: &dyn RunningContainer) -> Doom {
        let end = self.shared.ending.end();
        let by = end.as_ref().map_or("deletion", End::word);
        if end == Some(End::Deleted) {
            self.shared
                .events
                .normal("Killing", "Stopping container metrics-server");
            container.terminate();
            let deadline = Some(Instant::now() + self.shared.config.termination_grace);
            return Doom { by, deadline };
        }
        container.kill();
        Doom { by, deadline: None }
    }

    /// Waits until the machine that went down is back, with a kubelet that
    /// remembers no back-off, and whether the container starts again then: not
    /// where the pod has been deleted meanwhile, or nothing is ever restarted.
    async fn until_the_machine_is_back(&mut self, ended: Ended) -> bool {
        self.shared.there().await;
        self.backoff = CrashLoop::default();
        // What was meant for the container that is gone.
        while self.commands.try_recv().is_ok() {}
        let now = self.shared.node.now();
        self.shared.belief.container_ended(ended, now);
        self.shared.config.restart && !self.shared.ending.has_begun()
    }

    /// Waits until the container may start again, somebody wants it to, or the
    /// pod ends.
    async fn until_restart(&mut self, ended: Ended, visible: Option<Timestamp>, by_probe: bool) {
        let own_exit = Some(ended.at);
        let mut wanted = false;
        if !by_probe {
            let unnoticed = self.delays.unnoticed();
            wanted = self.wait(unnoticed).await;
        }
        let now = self.shared.node.now();
        self.shared.belief.container_ended(ended, now);
        if !self.shared.config.restart {
            while !wanted {
                let command = self.commands.recv().await;
                wanted = matches!(command, Some(Command::Start | Command::End));
            }
        }
        let mut visible = visible;
        let mut told = false;
        while !wanted {
            let now = self.shared.node.now();
            let Decision::Wait { nominal, remaining } = self.backoff.decide(visible, now) else {
                return;
            };
            self.back_off(nominal, !std::mem::replace(&mut told, true));
            let requeue = self.delays.requeue(remaining);
            wanted = self.wait(requeue).await;
            // Every later look sees the end that it is about.
            visible = own_exit;
        }
    }

    fn back_off(&self, nominal: Duration, first: bool) {
        self.shared.tell_back_off("metrics-server", nominal);
        if first {
            let nominal_ns = u64::try_from(nominal.as_nanos()).unwrap_or(u64::MAX);
            self.shared.record(Event::BackOff { nominal_ns });
        }
    }

    /// Waits; returns early, and true, if somebody wants the start now or the
    /// pod ends.
    async fn wait(&mut self, duration: Duration) -> bool {
        let deadline = Instant::now() + duration;
        loop {
            let order = next_order(&mut self.commands, Some(deadline)).await;
            match order {
                None => return false,
                Some(Command::Start | Command::End) => return true,
                // Nothing runs that could be killed or condemned.
                Some(_) => {}
            }
        }
    }
}

/// The next command; `None` once `deadline` has passed.
async fn next_order(
    commands: &mut mpsc::UnboundedReceiver<Command>,
    deadline: Option<Instant>,
) -> Option<Command> {
    let command = pin!(commands.recv());
    let passed = pin!(async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    });
    match select(command, passed).await {
        Either::Left((command, _)) => {
            Some(command.expect("the pod itself holds a sender of its commands"))
        }
        Either::Right(((), _)) => None,
    }
}

impl Shared {
    /// Whether the node's machine is there.
    pub(super) fn is_there(&self) -> bool {
        *self.config.machine.current()
    }

    /// Waits until it is there.
    pub(super) async fn there(&self) {
        while !self.is_there() {
            self.config.machine.changed().await;
        }
    }

    /// Waits until it is not.
    async fn gone(&self) {
        while self.is_there() {
            self.config.machine.changed().await;
        }
    }

    fn record(&self, event: Event) {
        self.recorder.record(self.recorded_as(), event);
    }

    /// Tells that the pod met a part of the world.
    pub(super) fn met(&self, what: Met) {
        self.record(Event::Met(what));
    }

    /// Tells that `container` waits to be started again.
    pub(super) fn tell_back_off(&self, container: &str, nominal: Duration) {
        let config = &self.config;
        let pod = self
            .store
            .get("pods", Some(&config.namespace), &config.name);
        let uid = pod
            .as_ref()
            .and_then(|pod| pod["metadata"]["uid"].as_str())
            .unwrap_or_default();
        let pod = format!("{}_{}({uid})", config.name, config.namespace);
        let text = format!("Back-off restarting failed container {container} in pod {pod}");
        self.events.warning("BackOff", text);
        let wait = go_duration(nominal);
        let message = format!("back-off {wait} restarting failed container={container} pod={pod}");
        self.belief
            .waiting("CrashLoopBackOff", message, self.node.now());
    }
}
