//! The kubelet's belief on its way into the API server.
//!
//! Source: `pkg/kubelet/status/status_manager.go`.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::select;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::events::Severity;
use super::{Shared, object};
use crate::event::Event;

/// How often a status that could not be written is tried again.
/// Source: `status_manager.go syncPeriod`.
const SYNC_PERIOD: Duration = Duration::from_secs(10);

/// The conditions that a run's record tells of.
const TOLD: [&str; 3] = ["PodScheduled", "ContainersReady", "Ready"];

/// Binds the pod to its node.
pub(super) fn bind(shared: &Shared) {
    let config = &shared.config;
    rewrite(shared, |pod| {
        pod["spec"]["nodeName"] = json!(config.node_name);
        pod["status"] = object::scheduled_status(shared.node.now());
    });
    tell(shared, "PodScheduled", true, "");
    shared.events.record(
        "default-scheduler",
        Severity::Normal,
        "Scheduled",
        format!(
            "Successfully assigned {}/{} to {}",
            config.namespace, config.name, config.node_name
        ),
    );
}

/// Writes every change of the status, for ever.
pub(super) async fn run(shared: Rc<Shared>) {
    let mut manager = Manager {
        shared: &shared,
        written: Value::Null,
        told: TOLD.map(|name| (name, (name == "PodScheduled").then_some(true))),
    };
    let mut tick = Instant::now();
    loop {
        tick += SYNC_PERIOD;
        while Instant::now() < tick {
            let changed = std::pin::pin!(shared.belief.changed.notified());
            let until = std::pin::pin!(sleep_until(tick));
            select(changed, until).await;
            manager.sync().await;
        }
        manager.reconcile();
    }
}

/// Removes the pod's object once its containers have ended.
///
/// Source: `status_manager.go syncPod`: the object is deleted without grace
/// when the kubelet has nothing left of the pod.
pub(super) async fn delete(shared: &Shared) {
    loop {
        // The last status is written first, as ever in two round trips.
        sleep(2 * shared.config.status_latency).await;
        if (shared.apiserver_reachable)() {
            break;
        }
        sleep(SYNC_PERIOD).await;
    }
    let config = &shared.config;
    shared
        .store
        .delete("pods", Some(&config.namespace), &config.name);
}

struct Manager<'a> {
    shared: &'a Shared,
    /// The status as it stands in the API server.
    written: Value,
    /// Conditions as last told.
    told: [(&'static str, Option<bool>); 3],
}

impl Manager<'_> {
    /// Reads the pod and patches its status if it differs.
    async fn sync(&mut self) {
        let shared = self.shared;
        let status = shared
            .belief
            .read(|state| object::status(&shared.config, state));
        if status == self.written || !(shared.apiserver_reachable)() {
            return;
        }
        sleep(shared.config.status_latency + (shared.write_latency)()).await;
        if !(shared.apiserver_reachable)() {
            return;
        }
        rewrite(shared, |pod| pod["status"] = status.clone());
        self.tell(&status);
        self.written = status;
    }

    /// Somebody else may have changed what was written: the node controller, of
    /// a node that it takes for lost. It is written again.
    ///
    /// Source: `status_manager.go syncBatch, needsReconcile`.
    fn reconcile(&mut self) {
        let config = &self.shared.config;
        let store = &self.shared.store;
        let Some(pod) = store.get("pods", Some(&config.namespace), &config.name) else {
            return;
        };
        let is_ready = |status: &Value| {
            let mut conditions = status["conditions"].as_array().into_iter().flatten();
            conditions
                .find(|condition| condition["type"] == "Ready")
                .map(|condition| condition["status"] == "True")
        };
        let there = is_ready(&pod["status"]);
        if there.is_some() && !self.written.is_null() && there != is_ready(&self.written) {
            self.written = Value::Null;
            for (name, was) in &mut self.told {
                if *name == "Ready" {
                    *was = there;
                }
            }
        }
    }

    fn tell(&mut self, status: &Value) {
        for condition in status["conditions"].as_array().into_iter().flatten() {
            let is = condition["status"] == "True";
            let told = self
                .told
                .iter_mut()
                .find(|(name, _)| condition["type"] == *name);
            if let Some((name, was)) = told
                && *was != Some(is)
            {
                *was = Some(is);
                let reason = condition["reason"].as_str().unwrap_or_default();
                tell(self.shared, name, is, reason);
            }
        }
    }
}

fn tell(shared: &Shared, condition: &'static str, status: bool, reason: &str) {
    let event = Event::PodCondition {
        condition,
        status,
        reason: reason.to_owned(),
    };
    shared.recorder.record(shared.recorded_as(), event);
}

/// Changes the pod object; a pod that was deleted stays deleted.
fn rewrite(shared: &Shared, change: impl FnOnce(&mut Value)) {
    let config = &shared.config;
    let pod = shared
        .store
        .get("pods", Some(&config.namespace), &config.name);
    if let Some(pod) = pod {
        let mut pod = Value::clone(&pod);
        change(&mut pod);
        shared.store.put("pods", pod);
    }
}
