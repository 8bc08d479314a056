//! Creation → container → exit → restart.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use seam::{Random, Timestamp};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::{CrashLoop, Decision};
use super::events::go_duration;
use super::state::Ended;
use super::{Command, Exit, ProbeKind, RunningContainer, Shared, prober, status};
use crate::event::Event;

/// The shortest grace period that a container gets.
/// Source: `kuberuntime_container.go minimumGracePeriodInSeconds`.
const MIN_GRACE: Duration = Duration::from_secs(2);

/// A pod worker looks again after at most this, times its jitter.
/// Source: KubeletConfiguration `syncFrequency`, capped in
/// `pkg/kubelet/pod_workers.go completeWork`.
const MAX_REQUEUE: Duration = Duration::from_secs(60);

/// How often the queue of pod workers is looked at.
/// Source: `pkg/kubelet/kubelet.go syncLoop` (`syncTicker`).
const QUEUE_POLL: Duration = Duration::from_secs(1);

/// Runs the pod from its creation on, for ever.
pub(super) async fn run(shared: Rc<Shared>, commands: mpsc::UnboundedReceiver<Command>) {
    let config = &shared.config;
    status::create(&shared);
    sleep(config.scheduling).await;
    status::bind(&shared);
    shared.node.spawn(status::run(Rc::clone(&shared)));
    shared.belief.accepted(shared.node.now());
    sleep(config.sandbox).await;
    shared.belief.sandbox_ready(shared.node.now());
    pull_image(&shared).await;
    let minder = Minder {
        jitter: shared.node.random("kubelet/restart-jitter"),
        shared: Rc::clone(&shared),
        commands,
        backoff: CrashLoop::default(),
    };
    minder.mind().await;
}

/// Source: `pkg/kubelet/images/image_manager.go EnsureImageExists`.
async fn pull_image(shared: &Shared) {
    let (image, pull) = (&shared.config.image, shared.config.image_pull);
    if pull.is_zero() {
        image_present(shared);
        return;
    }
    shared
        .events
        .normal("Pulling", format!("Pulling image \"{image}\""));
    sleep(pull).await;
    let took = go_duration(pull);
    let bytes = shared.config.image_bytes;
    shared.events.normal(
        "Pulled",
        format!(
            "Successfully pulled image \"{image}\" in {took} ({took} including waiting). \
             Image size: {bytes} bytes."
        ),
    );
}

fn image_present(shared: &Shared) {
    let image = &shared.config.image;
    let text = format!(
        "Container image \"{image}\" already present on machine and can be accessed by the pod"
    );
    shared.events.normal("Pulled", text);
}

/// Minds the container: one at a time, one after the other.
struct Minder {
    shared: Rc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
    backoff: CrashLoop,
    jitter: Box<dyn Random>,
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

impl Minder {
    async fn mind(mut self) {
        // Nothing ran yet that they could have been meant for.
        while self.commands.try_recv().is_ok() {}
        let mut previous_exit = None;
        for restart in 0.. {
            let container = self.start(restart);
            let (exit, killed_by) = self.attend(container, restart).await;
            self.shared.record(Event::ContainerExited {
                code: exit.code,
                reason: exit.reason.clone(),
                killed_by,
            });
            let at = self.shared.node.now();
            let ended = Ended { exit, at };
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
                match select(&mut exited, order).await {
                    Either::Left((exit, _)) => return (exit, doom.map(|doom| doom.by)),
                    Either::Right((order, _)) => order,
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

    /// Waits until the container may start again, or somebody wants it to.
    async fn until_restart(&mut self, ended: Ended, visible: Option<Timestamp>, by_probe: bool) {
        let own_exit = Some(ended.at);
        let mut wanted = false;
        if !by_probe {
            let unnoticed = self.unnoticed();
            wanted = self.wait(unnoticed).await;
        }
        let now = self.shared.node.now();
        self.shared.belief.container_ended(ended, now);
        if !self.shared.config.restart {
            while !wanted {
                wanted = self.commands.recv().await == Some(Command::Start);
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
            let requeue = self.requeue(remaining);
            wanted = self.wait(requeue).await;
            // Every later look sees the end that it is about.
            visible = own_exit;
        }
    }

    fn back_off(&self, nominal: Duration, first: bool) {
        let shared = &self.shared;
        let config = &shared.config;
        let pod = shared
            .store
            .get("pods", Some(&config.namespace), &config.name);
        let uid = pod
            .as_ref()
            .and_then(|pod| pod["metadata"]["uid"].as_str())
            .unwrap_or_default();
        let pod = format!("{}_{}({uid})", config.name, config.namespace);
        let text = format!("Back-off restarting failed container metrics-server in pod {pod}");
        shared.events.warning("BackOff", text);
        if first {
            let nominal_ns = u64::try_from(nominal.as_nanos()).unwrap_or(u64::MAX);
            shared.record(Event::BackOff { nominal_ns });
        }
        let wait = go_duration(nominal);
        let message =
            format!("back-off {wait} restarting failed container=metrics-server pod={pod}");
        shared.belief.backing_off(message, shared.node.now());
    }

    /// How long it takes until the pod lifecycle event generator sees an exit.
    fn unnoticed(&mut self) -> Duration {
        let timing = self.shared.config.restart_timing;
        match timing.jitter {
            true => self
                .jitter
                .duration_between(Duration::ZERO, timing.relist_period),
            false => timing.relist_period,
        }
    }

    /// How long until the pod's worker looks again when `remaining` is left.
    fn requeue(&mut self, remaining: Duration) -> Duration {
        let nominal = remaining.min(MAX_REQUEUE);
        match self.shared.config.restart_timing.jitter {
            true => {
                self.jitter.duration_between(nominal, nominal + nominal / 2)
                    + self.jitter.duration_between(Duration::ZERO, QUEUE_POLL)
            }
            false => nominal,
        }
    }

    /// Waits; returns early, and true, if somebody wants the start now.
    async fn wait(&mut self, duration: Duration) -> bool {
        let deadline = Instant::now() + duration;
        loop {
            let order = next_order(&mut self.commands, Some(deadline)).await;
            match order {
                None => return false,
                Some(Command::Start) => return true,
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
    fn record(&self, event: Event) {
        self.recorder.record(self.node.name(), event);
    }
}
