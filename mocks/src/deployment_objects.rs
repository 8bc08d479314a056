//! The Deployment and the ReplicaSets around metrics-server's pods, as the API
//! shows them: `kubectl get deployments,replicasets`.
//!
//! DIFFERENCE: nothing is created or scaled here. The Deployment comes into
//! being with the first pod that it selects, a ReplicaSet with the first pod
//! that bears its name, each with that pod's template; then they count the
//! pods that there are. The newest ReplicaSet wants all replicas, the others
//! want the pods that they still have.
//!
//! Source: `pkg/controller/deployment/{sync,progress}.go`,
//! `pkg/controller/deployment/util/deployment_util.go`,
//! `pkg/controller/replicaset/replica_set_utils.go`.

use std::rc::Rc;

use seam::{Host, Timestamp};
use serde_json::{Map, Value, json};

use crate::apiserver::objects::rfc3339;
use crate::apiserver::{Behaviour, serving};
use crate::event_objects::{EventObjects, Involved, Occurrence};
use crate::script::Script;
use crate::store::{Store, bears};

/// A Deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `spec.selector.matchLabels`
    pub selector: Vec<(String, String)>,
    /// `spec.replicas`
    pub replicas: u64,
    /// `spec.strategy.rollingUpdate.maxUnavailable`
    pub max_unavailable: u64,
}

/// Keeps the Deployment's and the ReplicaSets' status until the future is
/// dropped.
pub async fn run(host: Host, store: Store, config: Config, api_server: Script<Behaviour>) {
    let mut watch = store.watch("pods");
    let controller = Controller {
        host,
        store,
        config,
    };
    loop {
        serving(&api_server).await;
        controller.sync();
        loop {
            let change = watch.next().await;
            if controller.selects(change.metadata()) {
                break;
            }
        }
    }
}

struct Controller {
    host: Host,
    store: Store,
    config: Config,
}

impl Controller {
    /// Whether a pod with this `metadata` is one of the Deployment's.
    fn selects(&self, metadata: &Value) -> bool {
        metadata["namespace"] == self.config.namespace.as_str()
            && bears(metadata, &self.config.selector)
    }

    fn sync(&self) {
        let pods = self
            .store
            .select("pods", &self.config.namespace, |pod| self.selects(pod));
        let Some(first) = pods.first() else {
            if self.get("deployments", &self.config.name).is_some() {
                self.count(&pods);
            }
            return;
        };
        if self.get("deployments", &self.config.name).is_none() {
            self.create_deployment(first);
        }
        let mut by_age: Vec<&Rc<Value>> = pods.iter().collect();
        by_age.sort_by_key(|pod| version_of(pod));
        for pod in by_age {
            if self.get("replicasets", set_of(pod)).is_none() {
                self.create_set(pod);
            }
        }
        self.count(&pods);
    }

    /// Brings every status up to date.
    fn count(&self, pods: &[Rc<Value>]) {
        let sets = self.sets();
        let newest = sets.last().cloned().unwrap_or_default();
        for set in &sets {
            let count = Count::of(pods.iter().filter(|pod| set_of(pod) == set));
            let wanted = if *set == newest {
                self.config.replicas
            } else {
                count.all
            };
            self.update("replicasets", set, |object| {
                object["spec"]["replicas"] = json!(wanted);
                object["status"] = replica_set_status(&count);
            });
        }
        let all = Count::of(pods.iter());
        let updated = Count::of(pods.iter().filter(|pod| set_of(pod) == newest)).all;
        self.update("deployments", &self.config.name, |object| {
            object["status"] = self.deployment_status(object, &all, updated, &newest);
            object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] =
                json!(sets.len().to_string());
        });
    }

    /// The Deployment's ReplicaSets, the newest last.
    fn sets(&self) -> Vec<String> {
        let mut sets = self.store.list("replicasets");
        sets.retain(|set| {
            let owner = &set["metadata"]["ownerReferences"][0]["name"];
            set["metadata"]["namespace"] == self.config.namespace.as_str()
                && *owner == self.config.name.as_str()
        });
        sets.sort_by_key(|set| revision_of(set));
        sets.iter()
            .filter_map(|set| set["metadata"]["name"].as_str())
            .map(str::to_owned)
            .collect()
    }

    fn get(&self, resource: &str, name: &str) -> Option<Rc<Value>> {
        self.store.get(resource, Some(&self.config.namespace), name)
    }

    /// Changes an object, and writes it if that made a difference.
    fn update(&self, resource: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let Some(known) = self.get(resource, name) else {
            return;
        };
        let mut object = Value::clone(&known);
        change(&mut object);
        if object != *known {
            self.store.put(resource, object);
        }
    }

    fn create_deployment(&self, pod: &Value) {
        let created = pod["metadata"]["creationTimestamp"].clone();
        self.store
            .put("deployments", self.deployment(pod, &created));
        let replicas = self.config.replicas;
        let set = set_of(pod);
        self.tell(
            ("Deployment", "deployments", &self.config.name),
            "deployment-controller",
            "ScalingReplicaSet",
            format!("Scaled up replica set {set} from 0 to {replicas}"),
        );
    }

    fn create_set(&self, pod: &Value) {
        let set = set_of(pod);
        let hash = set.strip_prefix(&self.config.name).unwrap_or_default();
        let hash = hash.trim_start_matches('-');
        let revision = self.sets().len() + 1;
        let created = pod["metadata"]["creationTimestamp"].clone();
        let object = self.replica_set(pod, set, hash, revision, &created);
        self.store.put("replicasets", object);
        let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
        self.tell(
            ("ReplicaSet", "replicasets", set),
            "replicaset-controller",
            "SuccessfulCreate",
            format!("Created pod: {pod}"),
        );
    }

    fn tell(
        &self,
        (kind, resource, name): (&'static str, &'static str, &str),
        source: &'static str,
        reason: &'static str,
        message: String,
    ) {
        let about = Involved {
            kind,
            api_version: "apps/v1",
            resource,
            namespace: Some(self.config.namespace.clone()),
            name: name.to_owned(),
        };
        let occurrence = Occurrence {
            source,
            kind: "Normal",
            reason,
            message,
            field_path: String::new(),
        };
        EventObjects::new(&self.host, &self.store, about, Rc::new(|| true))
            .observe(occurrence, true);
    }

    fn deployment(&self, pod: &Value, created: &Value) -> Value {
        let labels = self.labels();
        json!({
            "kind": "Deployment",
            "apiVersion": "apps/v1",
            "metadata": {
                "name": self.config.name,
                "namespace": self.config.namespace,
                "labels": labels,
                "annotations": {"deployment.kubernetes.io/revision": "1"},
                "generation": 1,
                "creationTimestamp": created,
            },
            "spec": {
                "replicas": self.config.replicas,
                "selector": {"matchLabels": labels},
                "template": template(pod, &labels),
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {
                        "maxUnavailable": self.config.max_unavailable,
                        "maxSurge": "25%",
                    },
                },
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
            },
            "status": {},
        })
    }

    fn replica_set(
        &self,
        pod: &Value,
        name: &str,
        hash: &str,
        revision: usize,
        created: &Value,
    ) -> Value {
        let owner = self.get("deployments", &self.config.name);
        let uid = owner.map_or(Value::Null, |owner| owner["metadata"]["uid"].clone());
        let mut labels = self.labels();
        labels.insert("pod-template-hash".to_owned(), json!(hash));
        json!({
            "kind": "ReplicaSet",
            "apiVersion": "apps/v1",
            "metadata": {
                "name": name,
                "namespace": self.config.namespace,
                "labels": labels,
                "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
                "generation": 1,
                "creationTimestamp": created,
                "ownerReferences": [{
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": self.config.name,
                    "uid": uid,
                    "controller": true,
                    "blockOwnerDeletion": true,
                }],
            },
            "spec": {
                "replicas": self.config.replicas,
                "selector": {"matchLabels": self.labels()},
                "template": template(pod, &labels),
            },
            "status": {},
        })
    }

    fn labels(&self) -> Map<String, Value> {
        let pairs = self.config.selector.iter();
        pairs
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect()
    }

    fn deployment_status(&self, old: &Value, count: &Count, updated: u64, set: &str) -> Value {
        let mut status = Map::new();
        status.insert("observedGeneration".to_owned(), json!(1));
        let missing = self.config.replicas.saturating_sub(count.ready);
        insert_unless_zero(
            &mut status,
            &[
                ("replicas", count.all),
                ("updatedReplicas", updated),
                ("readyReplicas", count.ready),
                ("availableReplicas", count.ready),
                ("unavailableReplicas", missing),
            ],
        );
        let available = missing <= self.config.max_unavailable;
        let rolled_out = updated == count.all && updated >= self.config.replicas;
        let progressed = rolled_out && (missing == 0 || was_complete(old));
        let wanted = [
            if available {
                (
                    "Available",
                    true,
                    "MinimumReplicasAvailable",
                    "Deployment has minimum availability.".to_owned(),
                )
            } else {
                (
                    "Available",
                    false,
                    "MinimumReplicasUnavailable",
                    "Deployment does not have minimum availability.".to_owned(),
                )
            },
            if progressed {
                (
                    "Progressing",
                    true,
                    "NewReplicaSetAvailable",
                    format!("ReplicaSet \"{set}\" has successfully progressed."),
                )
            } else {
                (
                    "Progressing",
                    true,
                    "ReplicaSetUpdated",
                    format!("ReplicaSet \"{set}\" is progressing."),
                )
            },
        ];
        let now = self.host.now();
        let conditions = wanted
            .into_iter()
            .map(|(kind, is, reason, message)| condition(old, kind, is, reason, &message, now));
        status.insert("conditions".to_owned(), conditions.collect());
        Value::Object(status)
    }
}

/// Pods, and how many of them are ready. With `minReadySeconds` 0 who is ready
/// is available.
struct Count {
    all: u64,
    ready: u64,
}

impl Count {
    fn of<'a>(pods: impl Iterator<Item = &'a Rc<Value>>) -> Self {
        let active = pods.filter(|pod| pod["metadata"].get("deletionTimestamp").is_none());
        active.fold(Self { all: 0, ready: 0 }, |count, pod| Self {
            all: count.all + 1,
            ready: count.ready + u64::from(is_ready(pod)),
        })
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The ReplicaSet that a pod is of: its name without the last part.
fn set_of(pod: &Value) -> &str {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    name.rsplit_once('-').map_or(name, |(set, _)| set)
}

fn version_of(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn revision_of(set: &Value) -> u64 {
    let revision = set["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str();
    revision.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A pod's spec without what the scheduler decided.
fn template(pod: &Value, labels: &Map<String, Value>) -> Value {
    let mut spec = pod["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("nodeName");
    }
    json!({"metadata": {"labels": labels}, "spec": spec})
}

fn replica_set_status(count: &Count) -> Value {
    let mut status = Map::new();
    status.insert("replicas".to_owned(), json!(count.all));
    insert_unless_zero(
        &mut status,
        &[
            ("fullyLabeledReplicas", count.all),
            ("readyReplicas", count.ready),
            ("availableReplicas", count.ready),
        ],
    );
    status.insert("observedGeneration".to_owned(), json!(1));
    Value::Object(status)
}

/// Go leaves numbers out that are zero.
fn insert_unless_zero(status: &mut Map<String, Value>, counts: &[(&str, u64)]) {
    for (name, count) in counts {
        if *count > 0 {
            status.insert((*name).to_owned(), json!(count));
        }
    }
}

fn find<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

/// A rollout that was complete once stays so when pods become unready.
fn was_complete(deployment: &Value) -> bool {
    find(deployment, "Progressing")
        .is_some_and(|condition| condition["reason"] == "NewReplicaSetAvailable")
}

/// Times move only when what they are about does.
fn condition(
    old: &Value,
    kind: &str,
    is: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Value {
    let status = if is { "True" } else { "False" };
    let before = find(old, kind);
    let same = |field: &str, value: &str| before.is_some_and(|old| old[field] == value);
    let now = json!(rfc3339(now));
    let kept = |field: &str| before.map_or_else(|| now.clone(), |old| old[field].clone());
    let unchanged = same("status", status) && same("reason", reason);
    json!({
        "type": kind,
        "status": status,
        "lastUpdateTime": if unchanged { kept("lastUpdateTime") } else { now.clone() },
        "lastTransitionTime": if same("status", status) { kept("lastTransitionTime") } else { now.clone() },
        "reason": reason,
        "message": message,
    })
}

#[cfg(test)]
mod tests;
