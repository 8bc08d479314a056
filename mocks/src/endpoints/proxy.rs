//! kube-proxy: from a Service's address to that of an endpoint.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use seam::{Host, Random};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::apiserver::{Behaviour, KillOnDrop, Sampler, serving, uniform};
use crate::script::Script;
use crate::store::{Store, Watch};

/// Time between the end of one sync of the rules and the start of the next.
///
/// Source: `pkg/proxy/apis/config/v1alpha1/defaults.go`.
const MIN_SYNC_PERIOD: Duration = Duration::from_secs(1);

/// Where packets to an address go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To this endpoint of the Service.
    Endpoint(SocketAddr),
    /// Nowhere, and the sender is told: connection refused. The Service has
    /// no ready endpoint.
    Reject,
    /// No rule is about this address. A pod's or node's own address is routed
    /// as usual; a ClusterIP leads nowhere.
    NotProgrammed,
}

/// The rules in force. Cloning shares them.
#[derive(Clone)]
pub struct ServiceTable {
    inner: Rc<RefCell<Rules>>,
}

struct Rules {
    endpoints: BTreeMap<SocketAddr, Vec<SocketAddr>>,
    random: Box<dyn Random>,
}

impl ServiceTable {
    /// A table without rules, on a machine where kube-proxy has not run yet.
    #[must_use]
    pub fn new(host: &Host) -> Self {
        Self {
            inner: Rc::new(RefCell::new(Rules {
                endpoints: BTreeMap::new(),
                random: host.random("service-endpoints"),
            })),
        }
    }

    /// Where a new connection to `address` goes. Among several endpoints each
    /// connection draws one.
    #[must_use]
    pub fn route(&self, address: SocketAddr) -> Route {
        let rules = &mut *self.inner.borrow_mut();
        match rules.endpoints.get(&address).map(Vec::as_slice) {
            None => Route::NotProgrammed,
            Some([]) => Route::Reject,
            Some([only]) => Route::Endpoint(*only),
            Some(several) => {
                let index = usize::try_from(rules.random.below(several.len() as u64));
                Route::Endpoint(several[index.expect("below the length of a slice")])
            }
        }
    }
}

/// How long a sync takes on a small machine with a few Services: 20 to 80 ms,
/// an assumption.
#[must_use]
pub fn assumed_sync_duration(host: &Host) -> Sampler {
    let millis = Duration::from_millis;
    uniform(host, "kube-proxy-sync", millis(20), millis(80))
}

/// Keeps `table` up to date until the future is dropped. `sync_duration` draws
/// how long it takes to write the rules.
///
/// Source: `pkg/proxy/iptables/proxier.go`,
/// `pkg/proxy/runner/bounded_frequency_runner.go`.
pub async fn run(
    host: Host,
    store: Store,
    api_server: Script<Behaviour>,
    sync_duration: Sampler,
    table: ServiceTable,
) {
    // No rule is written before Services and EndpointSlices were listed once.
    serving(&api_server).await;
    let changed = Rc::new(Notify::new());
    let watchers = host.process();
    let _watchers = KillOnDrop::new(watchers.tasks());
    for resource in ["services", "endpointslices"] {
        let watch = store.watch(resource);
        watchers.spawn(follow(watch, api_server.clone(), Rc::clone(&changed)));
    }
    loop {
        let rules = rules(&store);
        tokio::time::sleep(sync_duration()).await;
        table.inner.borrow_mut().endpoints = rules;
        let synced = Instant::now();
        changed.notified().await;
        tokio::time::sleep_until(synced + MIN_SYNC_PERIOD).await;
    }
}

async fn follow(mut watch: Watch, api_server: Script<Behaviour>, changed: Rc<Notify>) {
    loop {
        watch.next().await;
        serving(&api_server).await;
        changed.notify_one();
    }
}

fn rules(store: &Store) -> BTreeMap<SocketAddr, Vec<SocketAddr>> {
    let slices = store.list("endpointslices");
    let mut rules = BTreeMap::new();
    for service in store.list("services") {
        let cluster_ip = service["spec"]["clusterIP"].as_str();
        let Some(ip) = cluster_ip.and_then(|ip| ip.parse::<IpAddr>().ok()) else {
            continue;
        };
        let metadata = &service["metadata"];
        let name = crate::store::key(
            metadata["namespace"].as_str(),
            metadata["name"].as_str().unwrap_or_default(),
        );
        let slices: Vec<&Value> = slices
            .iter()
            .map(|slice| &**slice)
            .filter(|slice| super::service_of(slice).as_deref() == Some(name.as_str()))
            .collect();
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            let number = port["port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok());
            if let Some(number) = number {
                let endpoints = endpoints(&slices, &port["name"]);
                rules.insert(SocketAddr::new(ip, number), endpoints);
            }
        }
    }
    rules
}

/// Ready endpoints; if there are none, those that still serve while they
/// terminate.
///
/// Source: `pkg/proxy/topology.go: CategorizeEndpoints`.
fn endpoints(slices: &[&Value], port_name: &Value) -> Vec<SocketAddr> {
    let of_condition = |wanted: fn(&Value) -> bool| {
        let mut found: Vec<SocketAddr> = slices
            .iter()
            .flat_map(|slice| addresses(slice, port_name, wanted))
            .collect();
        found.sort();
        found
    };
    let ready = of_condition(|conditions| conditions["ready"] != false);
    if !ready.is_empty() {
        return ready;
    }
    of_condition(|conditions| conditions["serving"] == true && conditions["terminating"] == true)
}

fn addresses(slice: &Value, port_name: &Value, wanted: fn(&Value) -> bool) -> Vec<SocketAddr> {
    let ports = slice["ports"].as_array().into_iter().flatten();
    let number = ports
        .filter(|port| port["name"] == *port_name)
        .find_map(|port| u16::try_from(port["port"].as_u64()?).ok());
    let Some(number) = number else {
        return Vec::new();
    };
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    endpoints
        .filter(|endpoint| wanted(&endpoint["conditions"]))
        .filter_map(|endpoint| endpoint["addresses"][0].as_str()?.parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, number))
        .collect()
}
