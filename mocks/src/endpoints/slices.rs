//! The EndpointSlice controller: which addresses stand behind a Service.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use seam::Host;
use serde_json::{Map, Value, json};

use crate::aggregation::queue::WorkQueue;
use crate::apiserver::objects::rfc3339;
use crate::apiserver::{Behaviour, KillOnDrop, Sampler, serving, uniform};
use crate::event::{Event, Recorder};
use crate::script::Script;
use crate::store::{Change, ChangeKind, Store, Watch, key};

/// What the controller needs to run.
pub struct Config {
    /// The API server that it works through.
    pub api_server: Script<Behaviour>,
    /// From a change of a pod to the slice's write.
    pub write_latency: Sampler,
    /// The Service whose slices are told of in events: namespace and name.
    pub service: (String, String),
}

/// [`Config::write_latency`] as recorded on one machine: 5 ms (median).
#[must_use]
pub fn observed_write_latency(host: &Host) -> Sampler {
    let millis = Duration::from_millis;
    uniform(host, "endpointslice-write", millis(3), millis(7))
}

/// Runs the controller until the future is dropped.
///
/// A Service with a selector gets an EndpointSlice for each set of ports that
/// its pods make of the Service's named ones: as a rule, one. Every pod that
/// has an address and has not ended is in it, ready or not. Without such pods
/// there is a placeholder slice without endpoints.
///
/// DIFFERENCE: a slice grows beyond 100 endpoints instead of being split.
///
/// Source: `pkg/controller/endpointslice`, `staging/src/k8s.io/endpointslice/
/// {reconciler,utils}.go`.
pub async fn run(host: Host, store: Store, config: Config, recorder: Rc<dyn Recorder>) {
    let pods = store.watch("pods");
    let services = store.watch("services");
    let controller = Rc::new(Controller {
        names: RefCell::new(host.random("endpointslice-names")),
        host: host.clone(),
        config,
        store,
        recorder,
        // Source: endpointslice_controller.go `NewController`.
        queue: WorkQueue::new(Duration::from_secs(1), Duration::from_secs(1000)),
        services: RefCell::default(),
    });
    controller.read_everything();
    let watchers = host.process();
    let _watchers = KillOnDrop::new(watchers.tasks());
    watchers.spawn(Rc::clone(&controller).follow_services(services));
    watchers.spawn(Rc::clone(&controller).follow_pods(pods));
    controller.work().await;
}

struct Controller {
    host: Host,
    config: Config,
    store: Store,
    recorder: Rc<dyn Recorder>,
    queue: WorkQueue,
    services: RefCell<BTreeMap<String, Members>>,
    names: RefCell<Box<dyn seam::Random>>,
}

/// A Service and the pods that its selector selects, by key.
struct Members {
    service: Rc<Value>,
    pods: BTreeMap<String, Rc<Value>>,
}

impl Members {
    /// Whether a pod with this `metadata` is one of them.
    fn selects(&self, pod: &Value) -> bool {
        let Some(selector) = self.service["spec"]["selector"].as_object() else {
            return false;
        };
        let labels = &pod["labels"];
        pod["namespace"] == self.service["metadata"]["namespace"]
            && !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl Controller {
    fn read_everything(&self) {
        for service in self.store.list("services") {
            self.service_changed(service, ChangeKind::Added);
        }
    }

    async fn follow_services(self: Rc<Self>, mut watch: Watch) {
        loop {
            let change = watch.next().await;
            self.service_changed(change.object(), change.kind);
        }
    }

    async fn follow_pods(self: Rc<Self>, mut watch: Watch) {
        loop {
            let change = watch.next().await;
            self.pod_changed(&change);
        }
    }

    fn service_changed(&self, service: Rc<Value>, kind: ChangeKind) {
        let name = key_of(&service["metadata"]);
        let mut services = self.services.borrow_mut();
        if kind == ChangeKind::Deleted {
            services.remove(&name);
        } else {
            let mut members = Members {
                service,
                pods: BTreeMap::new(),
            };
            if let Some(namespace) = members.service["metadata"]["namespace"].as_str() {
                let selected = |pod: &Value| members.selects(pod);
                let pods = self.store.select("pods", namespace, selected).into_iter();
                members.pods = pods.map(|pod| (key_of(&pod["metadata"]), pod)).collect();
            }
            services.insert(name.clone(), members);
        }
        self.queue.add(&name);
    }

    fn pod_changed(&self, change: &Change) {
        let pod = change.metadata();
        for (name, members) in self.services.borrow_mut().iter_mut() {
            if change.kind != ChangeKind::Deleted && members.selects(pod) {
                members.pods.insert(key_of(pod), change.object());
                self.queue.add(name);
            } else if !members.pods.is_empty() && members.pods.remove(&key_of(pod)).is_some() {
                self.queue.add(name);
            }
        }
    }

    async fn work(&self) {
        loop {
            let name = self.queue.next().await;
            serving(&self.config.api_server).await;
            self.reconcile(&name).await;
            self.queue.done(&name);
        }
    }

    async fn reconcile(&self, service: &str) {
        let wanted = match self.services.borrow().get(service) {
            Some(members) => desired(members),
            None => return self.delete_slices(service),
        };
        let Some(wanted) = wanted else { return };
        let plan = Plan::new(wanted, self.slices_of(service));
        if plan.is_done() {
            return;
        }
        let datastore = (self.config.api_server.current().write_latency)();
        tokio::time::sleep((self.config.write_latency)() + datastore).await;
        serving(&self.config.api_server).await;
        self.tell(service, plan.wanted.iter().map(|(slice, _)| slice));
        for (mut slice, current) in plan.wanted {
            if current
                .as_ref()
                .is_some_and(|current| is_same(current, &slice))
            {
                continue;
            }
            slice["metadata"]["name"] = match current {
                Some(current) => current["metadata"]["name"].clone(),
                None => json!(self.new_name(&slice)),
            };
            slice["metadata"]["creationTimestamp"] = json!(rfc3339(self.host.now()));
            self.store.put("endpointslices", slice);
        }
        for slice in plan.surplus {
            self.delete_slice(&slice);
        }
    }

    fn slices_of(&self, service: &str) -> Vec<Rc<Value>> {
        let mut slices = self.store.list("endpointslices");
        slices.retain(|slice| super::service_of(slice).as_deref() == Some(service));
        slices
    }

    fn delete_slices(&self, service: &str) {
        for slice in self.slices_of(service) {
            self.delete_slice(&slice);
        }
    }

    fn delete_slice(&self, slice: &Value) {
        let metadata = &slice["metadata"];
        if let Some(name) = metadata["name"].as_str() {
            self.store
                .delete("endpointslices", metadata["namespace"].as_str(), name);
        }
    }

    /// Source: apiserver `pkg/storage/names/generate.go`.
    fn new_name(&self, slice: &Value) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let prefix = slice["metadata"]["generateName"]
            .as_str()
            .unwrap_or_default();
        let mut random = self.names.borrow_mut();
        let suffix: String = (0..5)
            .map(|_| {
                let index = usize::try_from(random.below(ALPHABET.len() as u64));
                char::from(ALPHABET[index.expect("below the length of a slice")])
            })
            .collect();
        format!("{prefix}{suffix}")
    }

    fn tell<'s>(&self, service: &str, slices: impl Iterator<Item = &'s Value>) {
        let (namespace, name) = &self.config.service;
        if service != key(Some(namespace), name) {
            return;
        }
        let (mut ready, mut not_ready) = (Vec::new(), Vec::new());
        let endpoints = slices.filter_map(|slice| slice["endpoints"].as_array());
        for endpoint in endpoints.flatten() {
            let address = endpoint["addresses"][0].as_str().unwrap_or_default();
            let side = if endpoint["conditions"]["ready"] == true {
                &mut ready
            } else {
                &mut not_ready
            };
            side.push(address.to_owned());
        }
        self.recorder
            .record(self.host.name(), Event::EndpointSlice { ready, not_ready });
    }
}

fn key_of(metadata: &Value) -> String {
    key(
        metadata["namespace"].as_str(),
        metadata["name"].as_str().unwrap_or_default(),
    )
}

/// The slices that a Service should have, and which of those it has become
/// them.
struct Plan {
    wanted: Vec<(Value, Option<Rc<Value>>)>,
    surplus: Vec<Rc<Value>>,
}

impl Plan {
    /// A slice keeps its name while its ports stay the same; one whose ports
    /// nobody has any more is used for others.
    fn new(wanted: Vec<Value>, mut current: Vec<Rc<Value>>) -> Self {
        let mut wanted: Vec<(Value, Option<Rc<Value>>)> = wanted
            .into_iter()
            .map(|slice| {
                let same = current
                    .iter()
                    .position(|current| current["ports"] == slice["ports"]);
                let same = same.map(|index| current.remove(index));
                (slice, same)
            })
            .collect();
        let mut free = current.into_iter();
        for (_, current) in wanted.iter_mut().filter(|(_, current)| current.is_none()) {
            *current = free.next();
        }
        Self {
            wanted,
            surplus: free.collect(),
        }
    }

    fn is_done(&self) -> bool {
        let same = |(slice, current): &(Value, Option<Rc<Value>>)| {
            current
                .as_ref()
                .is_some_and(|current| is_same(current, slice))
        };
        self.surplus.is_empty() && self.wanted.iter().all(same)
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    one["endpoints"] == other["endpoints"] && one["ports"] == other["ports"]
}

/// The slices that a Service should have: one for each set of ports that its
/// pods make of the Service's, or an empty one. `None` without a selector.
fn desired(members: &Members) -> Option<Vec<Value>> {
    let service = &*members.service;
    service["spec"]["selector"].as_object()?;
    let publish = service["spec"]["publishNotReadyAddresses"] == true;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for pod in members.pods.values().filter(|pod| belongs(pod)) {
        let ports = json!(ports(service, pod));
        let endpoint = endpoint(pod, publish);
        match groups.iter_mut().find(|(known, _)| *known == ports) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => groups.push((ports, vec![endpoint])),
        }
    }
    if groups.is_empty() {
        return Some(vec![slice(service, Value::Null, Value::Null)]);
    }
    let slices = groups
        .into_iter()
        .map(|(ports, endpoints)| slice(service, json!(endpoints), ports));
    Some(slices.collect())
}

fn slice(service: &Value, endpoints: Value, ports: Value) -> Value {
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    json!({
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": "",
            "generateName": format!("{name}-"),
            "namespace": service["metadata"]["namespace"],
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": name,
            },
        },
        "addressType": service["spec"]["ipFamilies"][0],
        "endpoints": endpoints,
        "ports": ports,
    })
}

/// Source: `endpointslice/util/controller_utils.go: ShouldPodBeInEndpoints`.
fn belongs(pod: &Value) -> bool {
    let ended = matches!(
        pod["status"]["phase"].as_str(),
        Some("Failed" | "Succeeded")
    );
    !ended
        && pod["status"]["podIP"]
            .as_str()
            .is_some_and(|ip| !ip.is_empty())
}

/// Source: `endpointslice/utils.go: podToEndpoint`.
fn endpoint(pod: &Value, publish_not_ready: bool) -> Value {
    let conditions = pod["status"]["conditions"].as_array();
    let serving = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let metadata = &pod["metadata"];
    let terminating = metadata.get("deletionTimestamp").is_some();
    let mut endpoint = Map::new();
    endpoint.insert("addresses".into(), json!([pod["status"]["podIP"]]));
    endpoint.insert(
        "conditions".into(),
        json!({
            "ready": publish_not_ready || (serving && !terminating),
            "serving": serving,
            "terminating": terminating,
        }),
    );
    endpoint.insert(
        "targetRef".into(),
        json!({
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        }),
    );
    if let Some(node) = pod["spec"].get("nodeName") {
        endpoint.insert("nodeName".into(), node.clone());
    }
    Value::Object(endpoint)
}

/// The Service's ports with numbers in place of names.
///
/// Source: `endpointslice/util/controller_utils.go: FindPort`.
fn ports(service: &Value, pod: &Value) -> Vec<Value> {
    let containers = pod["spec"]["containers"].as_array();
    let named: Vec<&Value> = containers
        .into_iter()
        .flatten()
        .filter_map(|container| container["ports"].as_array())
        .flatten()
        .collect();
    let ports = service["spec"]["ports"].as_array();
    ports
        .into_iter()
        .flatten()
        .filter_map(|port| {
            let target = port.get("targetPort").unwrap_or(&port["port"]);
            let number = if target.is_u64() {
                target.clone()
            } else {
                let container_port = named.iter().find(|known| known["name"] == *target)?;
                container_port["containerPort"].clone()
            };
            Some(json!({"name": port["name"], "port": number, "protocol": "TCP"}))
        })
        .collect()
}
