//! A pod whose containers live as told.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::FutureExt;
use seam::Tasks;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::*;
use crate::event::{Event, Outcome};
use crate::http_client::testing::{Pipes, Recording, TestClock, answer, paused, serve};

mod ending;
mod preparing;
mod probing;
mod restarts;
mod status;

/// What one start of the fake container does.
#[derive(Clone, Copy)]
struct Life {
    /// Exits by itself, with code 2, after this long.
    exits: Option<u64>,
    /// Answers probes from then on.
    serves: Option<u64>,
    /// `/readyz` is 200 from then on, in milliseconds after the start.
    ready: u64,
    /// Whether SIGTERM ends it.
    obeys: bool,
}

const IDLE: Life = Life {
    exits: None,
    serves: None,
    ready: 0,
    obeys: true,
};
const HEALTHY: Life = Life {
    serves: Some(0),
    ready: 15_600,
    ..IDLE
};

/// Starts containers that live as told; the last life repeats.
struct Fake {
    host: Host,
    lives: Vec<Life>,
    start: Instant,
    starts: RefCell<Vec<u128>>,
}

struct FakeContainer {
    tasks: Tasks,
    end: Rc<RefCell<Option<oneshot::Sender<i32>>>>,
    ended: Option<oneshot::Receiver<i32>>,
    obeys: bool,
}

impl ContainerRuntime for Fake {
    fn start(&self, restart: u32) -> Box<dyn RunningContainer> {
        self.starts
            .borrow_mut()
            .push(self.start.elapsed().as_millis());
        let at = (restart as usize).min(self.lives.len() - 1);
        let life = self.lives[at];
        let host = self.host.process();
        let (sender, receiver) = oneshot::channel();
        let end = Rc::new(RefCell::new(Some(sender)));
        if let Some(exits) = life.exits {
            let end = Rc::clone(&end);
            let tasks = host.tasks().clone();
            host.spawn(async move {
                sleep(Duration::from_millis(exits)).await;
                if let Some(end) = end.take() {
                    let _ = end.send(2);
                }
                tasks.kill();
            });
        }
        if let Some(serves) = life.serves {
            let ready = Instant::now() + Duration::from_millis(life.ready);
            let process = host.clone();
            host.spawn(async move {
                sleep(Duration::from_millis(serves)).await;
                let handler = move |request: &http::Request<_>| match request.uri().path()
                    == "/livez"
                    || Instant::now() >= ready
                {
                    true => answer(200, "ok"),
                    false => answer(500, "[-]metric-storage-ready failed: reason withheld"),
                };
                serve(
                    &process,
                    "10.42.0.9:10250".parse().unwrap(),
                    Rc::new(handler),
                )
                .await;
            });
        }
        Box::new(FakeContainer {
            tasks: host.tasks().clone(),
            end,
            ended: Some(receiver),
            obeys: life.obeys,
        })
    }
}

impl FakeContainer {
    fn end(&self, code: i32) {
        self.tasks.kill();
        if let Some(end) = self.end.take() {
            let _ = end.send(code);
        }
    }
}

impl RunningContainer for FakeContainer {
    fn exited(&mut self) -> LocalBoxFuture<'static, Exit> {
        let ended = self.ended.take().expect("asked once");
        async move {
            let code = ended.await.unwrap_or(137);
            let reason = if code == 0 { "Completed" } else { "Error" };
            Exit {
                code,
                reason: reason.to_owned(),
            }
        }
        .boxed_local()
    }

    fn kill(&self) {
        self.end(137);
    }

    fn terminate(&self) {
        if self.obeys {
            self.end(0);
        }
    }
}

struct World {
    pod: Pod,
    recording: Rc<Recording>,
    runtime: Rc<Fake>,
    store: Store,
    clock: Arc<TestClock>,
    reachable: Rc<Cell<bool>>,
    start: Instant,
}

impl World {
    /// Starts a pod with exact timing whose containers live as told.
    fn new(lives: &[Life], adjust: impl FnOnce(&mut PodConfig)) -> Self {
        let clock = TestClock::new();
        let start = Instant::now();
        let network = Pipes::new();
        let recording = Recording::new();
        let store = Store::new();
        let reachable = Rc::new(Cell::new(true));
        let runtime = Rc::new(Fake {
            host: network.host("pod", &clock),
            lives: lives.to_vec(),
            start,
            starts: RefCell::default(),
        });
        let ip = |text: &str| text.parse().expect("an address");
        let mut config = PodConfig::metrics_server("pi", ip("10.98.0.1"), ip("10.42.0.9"));
        config.restart_timing.jitter = false;
        adjust(&mut config);
        let node = network.host("pi", &clock);
        let parts = PodParts {
            node: node.clone(),
            runtime: Rc::clone(&runtime) as Rc<dyn ContainerRuntime>,
            store: store.clone(),
            recorder: Rc::clone(&recording) as Rc<dyn Recorder>,
            apiserver_reachable: {
                let reachable = Rc::clone(&reachable);
                Rc::new(move || reachable.get())
            },
            write_latency: Rc::new(|| Duration::ZERO),
        };
        let pod = Pod::new(config, parts);
        let running = pod.clone();
        node.spawn(async move { running.run().await });
        Self {
            pod,
            recording,
            runtime,
            store,
            clock,
            reachable,
            start,
        }
    }

    async fn until(&self, seconds: u64) {
        tokio::time::sleep_until(self.start + Duration::from_secs(seconds)).await;
    }

    fn responses(&self, observer: Observer) -> Vec<(u128, Outcome)> {
        self.recording.picked(|event| match event {
            Event::Response {
                observer: who,
                outcome,
                ..
            } if *who == observer => Some(*outcome),
            _ => None,
        })
    }

    fn ready(&self) -> Vec<(u128, bool)> {
        self.recording.picked(|event| match event {
            Event::PodCondition {
                condition: "Ready",
                status,
                ..
            } => Some(*status),
            _ => None,
        })
    }

    fn messages(&self, wanted: &str) -> Vec<(u128, String)> {
        self.recording.picked(|event| match event {
            Event::Kubernetes {
                reason, message, ..
            } if *reason == wanted => Some(message.clone()),
            _ => None,
        })
    }

    fn back_offs(&self) -> Vec<(u128, u64)> {
        self.recording.picked(|event| match event {
            Event::BackOff { nominal_ns } => Some(nominal_ns / 1_000_000_000),
            _ => None,
        })
    }

    fn starts(&self) -> Vec<u128> {
        self.runtime.starts.borrow().clone()
    }

    fn object(&self) -> Rc<Value> {
        let pods = self.store.list("pods");
        Rc::clone(pods.first().expect("the pod exists"))
    }
}

fn probe(path: &str, initial_delay: u64, period: u64, phase_ms: u64) -> Probe {
    Probe {
        scheme: Scheme::Http,
        path: path.to_owned(),
        port: None,
        initial_delay: Duration::from_secs(initial_delay),
        period: Duration::from_secs(period),
        timeout: Duration::from_secs(1),
        success_threshold: 1,
        failure_threshold: 3,
        phase: Duration::from_millis(phase_ms),
    }
}
