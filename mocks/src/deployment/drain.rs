//! `kubectl drain`.
//!
//! DIFFERENCE: only metrics-server's pods are evicted, and the requests are
//! decided here instead of crossing the network.
//!
//! Source: kubectl `pkg/drain/{drain,cordon}.go`, `pkg/cmd/drain/drain.go`;
//! `pkg/registry/core/pod/rest/eviction.go`.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::Shared;
use super::budget::Health;
use super::member::Member;
use crate::apiserver::serving;
use crate::event::{Event, Observer, Outcome};

/// An eviction that a budget forbids is asked for again after this.
const RETRY: Duration = Duration::from_secs(5);

/// How often it is looked whether an evicted pod is gone.
const POLL: Duration = Duration::from_secs(1);

/// Cordons the node, evicts what runs there, and waits until it is gone.
pub(super) async fn drain(shared: &Rc<Shared>, node: &str) {
    serving(&shared.api_server).await;
    let took = (shared.config.write_latency)();
    sleep(took).await;
    cordon(shared, node);
    let target = format!("/api/v1/nodes/{node}");
    tell(shared, &target, 200, format!("node/{node} cordoned"), took);
    let members: Vec<Rc<Member>> = {
        let members = shared.members.borrow();
        let here = members
            .iter()
            .filter(|member| member.node.borrow().as_deref() == Some(node));
        here.cloned().collect()
    };
    for member in &members {
        evict(shared, member).await;
    }
    for member in &members {
        while shared.view(member).exists {
            sleep(POLL).await;
        }
    }
    tell(
        shared,
        &target,
        200,
        format!("node/{node} drained"),
        Duration::ZERO,
    );
}

fn cordon(shared: &Shared, node: &str) {
    if let Some(object) = shared.store.get("nodes", None, node) {
        let mut object = Value::clone(&object);
        object["spec"]["unschedulable"] = json!(true);
        shared.store.put("nodes", object);
    }
}

/// Asks until the API server lets the pod go.
async fn evict(shared: &Rc<Shared>, member: &Member) {
    let (namespace, name) = (&shared.config.namespace, &member.name);
    let target = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    loop {
        serving(&shared.api_server).await;
        let took = (shared.config.write_latency)();
        sleep(took).await;
        let view = shared.view(member);
        if !view.exists {
            return;
        }
        if shared.may_evict(view.health()) {
            if view.active {
                shared.delete(member);
            }
            tell(shared, &target, 201, format!("pod/{name} evicted"), took);
            return;
        }
        let text = format!(
            "error when evicting pods/\"{name}\" -n \"{namespace}\" (will retry after 5s): \
             Cannot evict pod as it would violate the pod's disruption budget."
        );
        tell(shared, &target, 429, text, took);
        sleep(RETRY).await;
    }
}

impl Shared {
    fn may_evict(&self, pod: Health) -> bool {
        let Some(budget) = self.budget.get() else {
            return true;
        };
        let members = self.members.borrow();
        let healthy = members
            .iter()
            .filter(|member| self.view(member).health() == Health::Ready)
            .count();
        let healthy = u32::try_from(healthy).unwrap_or(u32::MAX);
        budget.allows(pod, healthy, self.replicas.get())
    }
}

fn tell(shared: &Shared, target: &str, status: u16, text: String, took: Duration) {
    let event = Event::Response {
        observer: Observer::KubectlDrain,
        target: target.to_owned(),
        outcome: Outcome::Status(status),
        text,
        took,
    };
    shared.recorder.record("clients", event);
}
