//! What becomes of the pods of a node that is not Ready.
//!
//! Source: `pkg/controller/nodelifecycle/node_lifecycle_controller.go`,
//! `pkg/controller/util/node/controller_utils.go MarkPodsNotReady`,
//! `pkg/controller/tainteviction/taint_eviction.go`.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::Shared;
use super::member::Member;
use super::scheduler::is_ready;
use crate::apiserver::serving;
use crate::event::Event;
use crate::pod::events::Severity;
use crate::store::{ChangeKind, Watch};

/// How long a pod tolerates a node that is not Ready.
/// Source: `plugin/pkg/admission/defaulttolerationseconds`.
const TOLERATION: Duration = Duration::from_secs(300);

/// How long a node counts as lacking memory after it did.
/// Source: KubeletConfiguration `evictionPressureTransitionPeriod`.
const PRESSURE: Duration = Duration::from_secs(300);

/// The taint of a node that lacks memory.
/// Source: `pkg/apis/core/types.go TaintNodeMemoryPressure`.
const MEMORY_PRESSURE: &str = "node.kubernetes.io/memory-pressure";

/// Keeps new pods away from a node for as long as it counts as lacking memory.
pub(super) async fn memory_pressure(shared: &Shared, node: &str) {
    let change = |change: fn(&mut Value)| {
        if let Some(object) = shared.store.get("nodes", None, node) {
            let mut object = Value::clone(&object);
            change(&mut object);
            shared.store.put("nodes", object);
        }
    };
    serving(&shared.api_server).await;
    change(|node| {
        let taint = json!({"key": MEMORY_PRESSURE, "effect": "NoSchedule"});
        match node["spec"]["taints"].as_array_mut() {
            Some(taints) => taints.push(taint),
            None => node["spec"]["taints"] = json!([taint]),
        }
    });
    sleep(PRESSURE).await;
    serving(&shared.api_server).await;
    change(|node| {
        if let Some(taints) = node["spec"]["taints"].as_array_mut() {
            taints.retain(|taint| taint["key"] != MEMORY_PRESSURE);
        }
    });
}

/// Follows the nodes, for ever.
pub(super) async fn follow(shared: Rc<Shared>, mut watch: Watch) {
    loop {
        let change = watch.next().await;
        shared.room.notify_waiters();
        let Some(node) = change.metadata()["name"].as_str() else {
            continue;
        };
        let was_ready = change
            .previous
            .as_ref()
            .is_some_and(|before| is_ready(before.value()));
        match change.kind {
            ChangeKind::Deleted => collect(&shared, node).await,
            ChangeKind::Modified if was_ready && !is_ready(&change.object()) => {
                mark_not_ready(&shared, node).await;
            }
            _ => {}
        }
        if change.kind != ChangeKind::Deleted {
            let before = change.previous.as_ref().map(|before| before.value());
            drive_away(&shared, node, before, &change.object());
        }
    }
}

fn members_on(shared: &Shared, node: &str) -> Vec<Rc<Member>> {
    let members = shared.members.borrow();
    let here = members
        .iter()
        .filter(|member| member.node.borrow().as_deref() == Some(node));
    here.cloned().collect()
}

/// The endpoints of a node that is not Ready are taken out of service; five
/// minutes later its pods are deleted.
async fn mark_not_ready(shared: &Rc<Shared>, node: &str) {
    let members = members_on(shared, node);
    if members.is_empty() {
        return;
    }
    serving(&shared.api_server).await;
    for member in members {
        let namespace = &shared.config.namespace;
        let Some(object) = member.object(&shared.store, namespace) else {
            continue;
        };
        if shared.view(&member).ready {
            let mut object = Value::clone(&object);
            for condition in object["status"]["conditions"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                if condition["type"] == "Ready" {
                    condition["status"] = json!("False");
                }
            }
            shared.store.put("pods", object);
            let condition = Event::PodCondition {
                condition: "Ready",
                status: false,
                reason: String::new(),
            };
            shared.tell(&member, condition);
        }
        let log = shared.events_about(&member.name, member.recorded_as.as_deref());
        log.record(
            "node-controller",
            Severity::Warning,
            "NodeNotReady",
            "Node is not ready".to_owned(),
        );
        shared
            .host
            .spawn(evict_later(Rc::clone(shared), node.to_owned(), member));
    }
}

async fn evict_later(shared: Rc<Shared>, node: String, member: Rc<Member>) {
    let due = Instant::now() + TOLERATION;
    let mut nodes = shared.store.watch("nodes");
    loop {
        let change = {
            let change = std::pin::pin!(nodes.next());
            let passed = std::pin::pin!(sleep_until(due));
            match futures_util::future::select(change, passed).await {
                futures_util::future::Either::Left((change, _)) => Some(change),
                futures_util::future::Either::Right(_) => None,
            }
        };
        let Some(change) = change else { break };
        if change.metadata()["name"] == *node && is_ready(&change.object()) {
            return;
        }
    }
    serving(&shared.api_server).await;
    mark_for_deletion(&shared, &member);
}

/// Pods that do not tolerate a new taint with `NoExecute` are deleted: at once,
/// or when their time is over and it is still there.
///
/// DIFFERENCE: the time counts from the taint, also for a pod that is bound to
/// the node later.
fn drive_away(shared: &Rc<Shared>, node: &str, before: Option<&Value>, object: &Value) {
    for member in members_on(shared, node) {
        let stay = member.placement.may_stay(object);
        let Some(after) =
            stay.filter(|_| before.is_none_or(|before| member.placement.may_stay(before) != stay))
        else {
            continue;
        };
        let (shared, node) = (Rc::clone(shared), node.to_owned());
        shared.host.clone().spawn(async move {
            sleep(after).await;
            serving(&shared.api_server).await;
            let object = shared.store.get("nodes", None, &node);
            let still = object.is_some_and(|object| member.placement.may_stay(&object).is_some());
            if still && shared.view(&member).active {
                mark_for_deletion(&shared, &member);
            }
        });
    }
}

/// Source: `pkg/controller/tainteviction/taint_eviction.go
/// emitPodDeletionEvent`.
fn mark_for_deletion(shared: &Shared, member: &Member) {
    let log = shared.events_about(&member.name, member.recorded_as.as_deref());
    let (namespace, name) = (&shared.config.namespace, &member.name);
    log.record(
        "taint-eviction-controller",
        Severity::Normal,
        "TaintManagerEviction",
        format!("Marking for deletion Pod {namespace}/{name}"),
    );
    shared.delete(member);
}

/// Pods of a node that no longer exists are removed without grace.
/// Source: `pkg/controller/podgc/gc_controller.go gcOrphaned`.
///
/// DIFFERENCE: at once, not after its period of 20 s and quarantine of 40 s.
async fn collect(shared: &Rc<Shared>, node: &str) {
    let members = members_on(shared, node);
    if members.is_empty() {
        return;
    }
    serving(&shared.api_server).await;
    for member in members {
        if let Some(pod) = member.pod.borrow().clone() {
            pod.lose();
        }
        shared
            .store
            .delete("pods", Some(&shared.config.namespace), &member.name);
    }
}
