//! The Deployment controller and the ReplicaSet controller: they bring about
//! the pods that the strategy wants.
//!
//! Source: `pkg/controller/deployment/deployment_controller.go`,
//! `pkg/controller/replicaset/replica_set.go`.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

use futures_util::future::select;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

use super::member::{Member, View, suffix};
use super::progress::{Counts, Progress};
use super::strategy::{self, Set, State};
use super::{ReplicaSet, Shared, node_life, scheduler};
use crate::apiserver::{KillOnDrop, serving};
use crate::event::Event;
use crate::pod;
use crate::pod::events::Severity;
use crate::store::{ChangeKind, Watch};

/// The component that records what happens to a Deployment.
const DEPLOYMENT_CONTROLLER: &str = "deployment-controller";

/// Creates the first pods and runs the controllers for ever.
pub(super) async fn run(shared: Rc<Shared>) {
    let (pods, nodes) = (shared.store.watch("pods"), shared.store.watch("nodes"));
    let first = shared.replicas.get();
    let name = first_set_name(&shared);
    let set = ReplicaSet {
        name,
        wanted: first,
    };
    shared.sets.borrow_mut().insert(1, set);
    for _ in 0..first {
        shared.create(1, true);
    }
    let watchers = shared.host.process();
    let _watchers = KillOnDrop::new(watchers.tasks());
    watchers.spawn(follow_pods(Rc::clone(&shared), pods));
    watchers.spawn(node_life::follow(Rc::clone(&shared), nodes));
    let mut progress = Progress::new(shared.config.progress_deadline);
    loop {
        {
            let changed = pin!(shared.changed.notified());
            let deadline = pin!(async {
                match progress.deadline() {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            });
            select(changed, deadline).await;
        }
        serving(&shared.api_server).await;
        shared.reconcile().await;
        shared.report(&mut progress);
    }
}

/// A ReplicaSet is called as its pods are, without their last part.
fn first_set_name(shared: &Shared) -> String {
    let pod = shared.pods.template(1, 1).name;
    pod.rsplit_once('-')
        .map_or_else(|| pod.clone(), |(set, _)| set.to_owned())
}

async fn follow_pods(shared: Rc<Shared>, mut watch: Watch) {
    loop {
        let change = watch.next().await;
        let metadata = change.metadata();
        let ours = shared
            .members
            .borrow()
            .iter()
            .position(|member| metadata["name"] == *member.name);
        let Some(index) = ours.filter(|_| metadata["namespace"] == *shared.config.namespace) else {
            continue;
        };
        if change.kind == ChangeKind::Deleted {
            let member = shared.members.borrow_mut().remove(index);
            shared.tell_of_several(&member, Event::ReplicaDeleted);
            shared.room.notify_waiters();
        }
        shared.changed.notify_one();
    }
}

impl Shared {
    /// Brings the pods a step nearer to what the strategy wants, until nothing
    /// is left to do.
    async fn reconcile(self: &Rc<Self>) {
        loop {
            let scaled = self.scale_sets();
            let moved = self.move_pods().await;
            if !scaled && !moved {
                return;
            }
        }
    }

    pub(super) fn view(&self, member: &Member) -> View {
        member.view(&self.store, &self.config.namespace)
    }

    fn members_of(&self, revision: u32) -> Vec<(Rc<Member>, View)> {
        let members = self.members.borrow();
        let of = members.iter().filter(|member| member.revision == revision);
        of.map(|member| (Rc::clone(member), self.view(member)))
            .collect()
    }

    /// The Deployment controller's part. True if it changed a ReplicaSet.
    fn scale_sets(&self) -> bool {
        let revision = self.revision.get();
        let new_set = !self.sets.borrow().contains_key(&revision);
        if new_set {
            let hash = suffix(&mut **self.names.borrow_mut(), 10);
            let name = format!("{}-{hash}", self.config.name);
            let set = ReplicaSet { name, wanted: 0 };
            self.sets.borrow_mut().insert(revision, set);
        }
        let state = self.state();
        let next = strategy::step(&self.strategy.get(), &state);
        let mut wanted: Vec<u32> = next.old.iter().map(|set| set.wanted).collect();
        wanted.push(next.new.wanted);
        let mut changed = false;
        for (set, wanted) in self.sets.borrow_mut().values_mut().zip(wanted) {
            if set.wanted != wanted {
                changed = true;
                let way = if wanted > set.wanted { "up" } else { "down" };
                let (name, from) = (&set.name, set.wanted);
                let text = format!("Scaled {way} replica set {name} from {from} to {wanted}");
                let reason = "ScalingReplicaSet";
                self.events
                    .record(DEPLOYMENT_CONTROLLER, Severity::Normal, reason, text);
                set.wanted = wanted;
            }
        }
        changed
    }

    fn state(&self) -> State {
        let revision = self.revision.get();
        let count = |revision: u32, wanted: u32| {
            let members = self.members_of(revision);
            let available = members.iter().filter(|(_, view)| view.active && view.ready);
            Set {
                wanted,
                available: u32::try_from(available.count()).unwrap_or(u32::MAX),
            }
        };
        let sets = self.sets.borrow();
        let old = sets.range(..revision);
        State {
            replicas: self.replicas.get(),
            new: sets
                .get(&revision)
                .map_or_else(Set::default, |set| count(revision, set.wanted)),
            old: old.map(|(old, set)| count(*old, set.wanted)).collect(),
            old_runs: self
                .members
                .borrow()
                .iter()
                .any(|member| member.revision < revision && self.occupies(member)),
        }
    }

    /// Whether a pod runs or may yet: neither gone nor ended.
    fn occupies(&self, member: &Member) -> bool {
        let view = self.view(member);
        view.exists && (view.active || view.terminating)
    }

    /// The ReplicaSet controllers' part. True if pods came or went.
    async fn move_pods(self: &Rc<Self>) -> bool {
        let sets: Vec<(u32, u32)> = {
            let sets = self.sets.borrow();
            sets.iter().map(|(of, set)| (*of, set.wanted)).collect()
        };
        let mut moved = false;
        for (revision, wanted) in sets {
            let mut active = self.members_of(revision);
            active.retain(|(_, view)| view.active);
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
            for _ in active.len()..wanted {
                moved = true;
                sleep((self.config.write_latency)()).await;
                serving(&self.api_server).await;
                self.create(revision, false);
            }
            if active.len() > wanted {
                moved = true;
                active.sort_by_key(|(member, view)| member.rank(*view));
                for (member, _) in &active[..active.len() - wanted] {
                    sleep((self.config.write_latency)()).await;
                    serving(&self.api_server).await;
                    self.delete(member);
                }
            }
        }
        moved
    }

    /// Creates a pod. Those of the beginning take no API server.
    fn create(self: &Rc<Self>, revision: u32, first: bool) {
        let ordinal = self.created.get() + 1;
        self.created.set(ordinal);
        let mut config = self.pods.template(ordinal, revision);
        if ordinal > 1 {
            let set = self.sets.borrow()[&revision].name.clone();
            let suffix = suffix(&mut **self.names.borrow_mut(), 5);
            config.name = format!("{set}-{suffix}");
        }
        let member = Rc::new(Member {
            ordinal,
            revision,
            name: config.name.clone(),
            recorded_as: config.recorded_as.clone(),
            placement: config.placement.clone(),
            host_port: config.host_network.then_some(config.port),
            created: Instant::now(),
            node: RefCell::default(),
            pod: RefCell::default(),
        });
        self.members.borrow_mut().push(Rc::clone(&member));
        self.tell(&member, Event::PodCreated);
        let object = config.name.clone();
        self.tell_of_several(&member, Event::ReplicaCreated { object, revision });
        pod::create(&self.store, &config, self.host.now());
        let shared = Rc::clone(self);
        self.host
            .spawn(scheduler::schedule(shared, member, config, first));
    }

    /// Deletes a pod in the API: one that runs nowhere is gone at once, any
    /// other has its grace period.
    pub(super) fn delete(&self, member: &Member) {
        let namespace = &self.config.namespace;
        let Some(object) = member.object(&self.store, namespace) else {
            return;
        };
        let pod = member.pod.borrow().clone();
        let ended = matches!(
            object["status"]["phase"].as_str(),
            Some("Failed" | "Succeeded")
        );
        let Some(pod) = pod.filter(|_| !ended) else {
            self.store.delete("pods", Some(namespace), &member.name);
            return;
        };
        let mut object = Value::clone(&object);
        let now = self.host.now().as_seconds();
        let now = jiff::Timestamp::from_second(now).unwrap_or_default();
        object["metadata"]["deletionTimestamp"] = json!(now.to_string());
        object["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        self.store.put("pods", object);
        pod.delete();
    }

    fn report(&self, progress: &mut Progress) {
        let revision = self.revision.get();
        let replicas = self.replicas.get();
        let mut counts = Counts::default();
        for member in self.members.borrow().iter() {
            let view = self.view(member);
            if view.active {
                let new = member.revision == revision;
                counts.add(new, view.ready);
            }
        }
        let name = self.sets.borrow()[&revision].name.clone();
        if let Some(condition) = progress.observe(revision, replicas, counts) {
            let (status, reason, rest) = condition;
            let message = format!("ReplicaSet \"{name}\" {rest}");
            self.recorder.record(
                &self.config.name,
                Event::Progressing {
                    status,
                    reason,
                    message,
                },
            );
        }
    }
}
