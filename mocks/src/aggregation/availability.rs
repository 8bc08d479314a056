//! The controller that keeps the condition Available of APIServices.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::Context;
use super::api_service::{ApiService, Condition, with_condition};
use super::check;
use super::proxy::Proxy;
use super::queue::WorkQueue;
use super::resolve::precheck;
use crate::apiserver::{Trouble, responsive};
use crate::event::{Event, Observer, Outcome};
use crate::store::Watch;
use crate::token_bucket::TokenBucket;

/// Every known APIService is looked at again this often.
///
/// Source: `kube-aggregator/pkg/controllers/status/remote/
/// remote_available_controller.go: New`.
pub(super) const RESYNC: Duration = Duration::from_secs(30);

/// Back-off of a failing item, same source.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(30));

/// Source: `kube-aggregator/pkg/apiserver/apiserver.go`, `Run(5, …)`.
const WORKERS: usize = 5;

/// How often the API server's client of itself may ask: 50 times a second, and
/// so many times at once.
///
/// Source: apiserver `pkg/server/config_selfclient.go NewLoopbackClientConfig`.
const INTERVAL: Duration = Duration::from_millis(20);
const BURST: u32 = 100;

/// The discovery check failed, or somebody else was faster to write: look again
/// after a back-off. Other failed checks wait for an event or the resync.
struct Failed;

struct Controller {
    context: Rc<Context>,
    proxy: Rc<Proxy>,
    queue: WorkQueue,
    writes: TokenBucket,
    /// Those whose last check passed: their connections are open.
    passed: RefCell<BTreeSet<String>>,
}

/// Starts the controller. `first_resync` is the time to the first resync.
pub(super) fn start(context: &Rc<Context>, proxy: &Rc<Proxy>, first_resync: Duration) {
    let controller = Rc::new(Controller {
        context: Rc::clone(context),
        proxy: Rc::clone(proxy),
        queue: WorkQueue::new(BACKOFF.0, BACKOFF.1),
        writes: TokenBucket::new(INTERVAL, BURST),
        passed: RefCell::default(),
    });
    let process = &context.process;
    for resource in ["apiservices", "services", "endpointslices"] {
        let watch = context.store.watch(resource);
        process.spawn(Rc::clone(&controller).follow(resource, watch));
    }
    process.spawn(Rc::clone(&controller).resync(first_resync));
    for _ in 0..WORKERS {
        process.spawn(Rc::clone(&controller).work());
    }
    controller.enqueue_all();
}

impl Controller {
    fn enqueue_all(&self) {
        for object in self.context.store.list("apiservices") {
            self.enqueue_if(&object, |_| true);
        }
    }

    fn enqueue_if(&self, object: &Value, wanted: impl Fn(&ApiService) -> bool) {
        if let Some(api) = ApiService::read(object).filter(wanted) {
            self.queue.add(&api.name);
        }
    }

    async fn follow(self: Rc<Self>, resource: &'static str, mut watch: Watch) {
        loop {
            let change = watch.next().await;
            self.context.informed().await;
            match resource {
                "apiservices" => self.enqueue_if(&change.object(), |_| true),
                "services" => {
                    let metadata = change.metadata();
                    self.enqueue_backed_by(&metadata["namespace"], &metadata["name"]);
                }
                _ => {
                    let metadata = change.metadata();
                    let service = &metadata["labels"]["kubernetes.io/service-name"];
                    self.enqueue_backed_by(&metadata["namespace"], service);
                }
            }
        }
    }

    fn enqueue_backed_by(&self, namespace: &Value, service: &Value) {
        for object in self.context.store.list("apiservices") {
            self.enqueue_if(&object, |api| {
                *namespace == api.service.namespace && *service == api.service.name
            });
        }
    }

    async fn resync(self: Rc<Self>, first: Duration) {
        let mut next = Instant::now() + first;
        loop {
            tokio::time::sleep_until(next).await;
            self.enqueue_all();
            next += RESYNC;
        }
    }

    async fn work(self: Rc<Self>) {
        loop {
            let name = self.queue.next().await;
            responsive(&self.context.behaviour).await;
            match self.sync(&name).await {
                Ok(()) => self.queue.forget(&name),
                Err(Failed) => self.queue.add_rate_limited(&name),
            }
            self.queue.done(&name);
        }
    }

    async fn sync(&self, name: &str) -> Result<(), Failed> {
        let Some(object) = self.context.store.get("apiservices", None, name) else {
            return Ok(());
        };
        let Some(api) = ApiService::read(&object) else {
            return Ok(());
        };
        if let Err(condition) = precheck(&self.context.store, &api.service) {
            self.passed.borrow_mut().remove(name);
            return self.write(&object, name, &condition).await;
        }
        let warm = self.passed.borrow().contains(name);
        let asked = Instant::now();
        let result = check::discovery_check(&self.context, &self.proxy, &api, warm).await;
        let took = asked.elapsed();
        responsive(&self.context.behaviour).await;
        self.tell(&api, &result, took);
        match result {
            Ok(_) => {
                self.passed.borrow_mut().insert(name.to_owned());
                self.write(&object, name, &Condition::passed()).await
            }
            Err(failure) => {
                self.passed.borrow_mut().remove(name);
                let condition = Condition::failed("FailedDiscoveryCheck", failure.text);
                self.write(&object, name, &condition).await?;
                Err(Failed)
            }
        }
    }

    fn tell(&self, api: &ApiService, result: &Result<u16, check::Failure>, took: Duration) {
        let (outcome, text) = match result {
            Ok(status) => (Outcome::Status(*status), Condition::passed().message),
            Err(failure) => (failure.outcome, failure.text.clone()),
        };
        self.context.record(Event::Response {
            observer: Observer::AggregatorCheck,
            target: api.path(),
            outcome,
            text,
            took,
        });
    }

    /// Writes the condition unless the object says so already. That the object
    /// is no longer the one that was looked at is a conflict.
    ///
    /// Where several API servers do not agree, each write has all of them look
    /// again: they overwrite each other without a pause, as quickly as their
    /// clients may.
    ///
    /// Source: `remote_available_controller.go: updateAPIServiceStatus,
    /// updateAPIService`.
    async fn write(&self, seen: &Value, name: &str, condition: &Condition) -> Result<(), Failed> {
        let Context { store, process, .. } = &*self.context;
        if with_condition(seen, condition, process.now()).is_none() {
            return Ok(());
        }
        self.writes.take().await;
        let datastore = (self.context.behaviour.current().write_latency)();
        tokio::time::sleep((self.context.config.timing.write)() + datastore).await;
        responsive(&self.context.behaviour).await;
        if self.context.behaviour.current().trouble == Some(Trouble::Datastore) {
            return Err(Failed);
        }
        let current = store.get("apiservices", None, name).ok_or(Failed)?;
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if version(&current) != version(seen) {
            return Err(Failed);
        }
        let Some(changed) = with_condition(&current, condition, process.now()) else {
            return Ok(());
        };
        store.put("apiservices", changed);
        self.context.record(Event::ApiService {
            status: condition.status,
            reason: condition.reason.to_owned(),
            message: condition.message.clone(),
        });
        Ok(())
    }
}
