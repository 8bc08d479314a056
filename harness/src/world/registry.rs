//! The objects of the control plane over time: Services, the APIService, and
//! what extension servers are told of authentication.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use mocks::apiserver::{self, Behaviour, objects};
use mocks::script::Script;
use mocks::store::Store;
use seam::{Host, Timestamp};
use serde_json::{Value, json};

use super::Site;
use crate::scenario::model::{
    Aggregation, Authentication, CaBundle, Service, TargetPort, Timeline,
};

/// The APIService of the metrics API.
const API_SERVICE: &str = "v1beta1.metrics.k8s.io";
/// Where extension servers look for the front proxy's authority.
const AUTHENTICATION: (&str, &str) = ("kube-system", "extension-apiserver-authentication");

/// Reason and message of an APIService that is Available.
const PASSED: (&str, &str) = ("Passed", "all checks passed");

/// An object that is there, is another, or is not, from a time on.
struct Step {
    at: Duration,
    resource: &'static str,
    namespace: Option<String>,
    name: String,
    /// `None` deletes it.
    object: Option<Value>,
}

/// Puts in place what exists at the beginning, and has the rest follow at its
/// time; an API server that does not serve then gets it when it does.
pub fn start(site: &Site, host: &Host, behaviour: &Script<Behaviour>) {
    let mut later = Vec::new();
    let mut begin = |steps: Vec<Step>| {
        for step in steps {
            match step.at.is_zero() {
                true => step.apply(&site.store),
                false => later.push(step),
            }
        }
    };
    begin(authentication(site));
    namespaces(site);
    kubernetes_service(site);
    begin(services(site));
    begin(api_services(site));
    later.sort_by_key(|step| step.at);
    if later.is_empty() {
        return;
    }
    let (start, store, behaviour) = (site.start, site.store.clone(), behaviour.clone());
    host.spawn(async move {
        for step in later {
            (start + step.at).come().await;
            apiserver::serving(&behaviour).await;
            step.apply(&store);
        }
    });
}

impl Step {
    fn apply(self, store: &Store) {
        let namespace = self.namespace.as_deref();
        let Some(mut object) = self.object else {
            store.delete(self.resource, namespace, &self.name);
            return;
        };
        // Who writes a spec leaves the status alone.
        if let Some(known) = store.get(self.resource, namespace, &self.name) {
            object["status"] = known["status"].clone();
        }
        store.put(self.resource, object);
    }
}

/// The times at which something of a timeline, or one of `more`, happens.
fn times<T>(
    timeline: &Timeline<T>,
    more: impl IntoIterator<Item = Duration>,
) -> BTreeSet<Duration> {
    let begin = [Duration::ZERO];
    begin
        .into_iter()
        .chain(timeline.changes())
        .chain(more)
        .collect()
}

fn when(site: &Site, at: Duration) -> Timestamp {
    site.epoch.after(at)
}

fn authentication(site: &Site) -> Vec<Step> {
    let (namespace, name) = AUTHENTICATION;
    let timeline = &site.scenario.authentication;
    let steps = times(timeline, []).into_iter().map(|at| Step {
        at,
        resource: "configmaps",
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
        object: config_map(site, timeline.at(at), at),
    });
    steps.collect()
}

fn config_map(site: &Site, settings: &Authentication, at: Duration) -> Option<Value> {
    if !settings.present {
        return None;
    }
    let names: Vec<&str> = settings.allowed_names.iter().map(String::as_str).collect();
    let trust = &site.trust;
    let mut object = objects::authentication_config_map(
        &trust.cluster.pem(),
        &trust.front_proxy.pem(),
        &names,
        when(site, at),
    );
    for (key, authority) in [
        ("client-ca-file", settings.client_ca),
        ("requestheader-client-ca-file", settings.request_header_ca),
    ] {
        match authority {
            CaBundle::Cluster => {}
            CaBundle::Unknown => object["data"][key] = json!(trust.unknown.pem()),
            CaBundle::Absent => {
                if let Some(data) = object["data"].as_object_mut() {
                    data.remove(key);
                }
            }
        }
    }
    Some(object)
}

/// The namespaces of every cluster, and those that the scenario's pods are in.
fn namespaces(site: &Site) {
    let always = ["default", "kube-node-lease", "kube-public", "kube-system"];
    let pods = site.scenario.nodes.iter().flat_map(|node| &node.pods);
    let used = pods.map(|pod| pod.namespace.as_str());
    let names: BTreeSet<&str> = always.into_iter().chain(used).collect();
    for name in names {
        let namespace = objects::namespace(name, site.epoch);
        site.store.put("namespaces", namespace);
    }
}

/// The Service under which pods know the API servers.
fn kubernetes_service(site: &Site) {
    let address = site.addresses.kubernetes_service;
    let servers: Vec<SocketAddr> = (0..site.scenario.api_servers.len())
        .map(|index| site.addresses.api_server(index))
        .collect();
    site.store.put(
        "services",
        objects::service(&objects::Service {
            namespace: "default",
            name: "kubernetes",
            cluster_ip: address.ip(),
            port_name: "https",
            port: address.port(),
            target_port: json!(servers[0].port()),
            selector: &[],
            publish_not_ready_addresses: false,
            created: site.epoch,
        }),
    );
    let mut slice =
        objects::static_endpoint_slice("default", "kubernetes", "https", servers[0], site.epoch);
    slice["endpoints"] = servers
        .iter()
        .map(
            |server| json!({"addresses": [server.ip().to_string()], "conditions": {"ready": true}}),
        )
        .collect();
    site.store.put("endpointslices", slice);
}

fn services(site: &Site) -> Vec<Step> {
    let timeline = &site.scenario.service;
    let there = &site.scenario.service_there;
    let mut steps = Vec::new();
    let mut current: Option<&Service> = None;
    for at in times(timeline, there.changes()) {
        let wanted = Some(timeline.at(at)).filter(|_| *there.at(at));
        let is_same = |one: &Service, other: &Service| {
            (&one.namespace, &one.name) == (&other.namespace, &other.name)
        };
        let step = |settings: &Service, object| Step {
            at,
            resource: "services",
            namespace: Some(settings.namespace.clone()),
            name: settings.name.clone(),
            object,
        };
        if let Some(old) = current
            && wanted.is_none_or(|new| !is_same(old, new))
        {
            steps.push(step(old, None));
        }
        if let Some(new) = wanted
            && current != wanted
        {
            steps.push(step(new, Some(service(site, new, at))));
        }
        current = wanted;
    }
    steps
}

fn service(site: &Site, settings: &Service, at: Duration) -> Value {
    let mut object = objects::service(&objects::Service {
        namespace: &settings.namespace,
        name: &settings.name,
        cluster_ip: site.addresses.metrics_service.ip(),
        port_name: &settings.port_name,
        port: settings.port,
        target_port: match &settings.target_port {
            TargetPort::Number(port) => json!(port),
            TargetPort::Name(name) => json!(name),
        },
        selector: &settings.selector,
        publish_not_ready_addresses: settings.publish_not_ready_addresses,
        created: when(site, at),
    });
    if let Some(protocol) = &settings.app_protocol {
        object["spec"]["ports"][0]["appProtocol"] = json!(protocol);
    }
    object
}

fn api_services(site: &Site) -> Vec<Step> {
    let timeline = &site.scenario.aggregation;
    let there = &site.scenario.api_service_there;
    let mut steps: Vec<Step> = Vec::new();
    for at in times(timeline, there.changes()) {
        let object = there.at(at).then(|| api_service(site, timeline.at(at), at));
        let was = steps.last().and_then(|step| step.object.as_ref());
        let spec = |object: &Value| object["spec"].clone();
        if object.as_ref().map(spec) == was.map(spec) {
            continue;
        }
        steps.push(Step {
            at,
            resource: "apiservices",
            namespace: None,
            name: API_SERVICE.to_owned(),
            object,
        });
    }
    steps
}

fn api_service(site: &Site, settings: &Aggregation, at: Duration) -> Value {
    let reference = &settings.service;
    let trust = match (settings.insecure_skip_tls_verify, settings.ca_bundle) {
        (true, _) => objects::BackendTrust::Insecure,
        (false, CaBundle::Unknown) => objects::BackendTrust::Bundle(site.trust.unknown.pem()),
        (false, _) => objects::BackendTrust::Bundle(site.trust.cluster.pem()),
    };
    let created = when(site, at);
    let mut object =
        objects::metrics_api_service(&reference.namespace, &reference.name, &trust, created);
    let spec = &mut object["spec"];
    spec["service"]["port"] = json!(reference.port);
    spec["groupPriorityMinimum"] = json!(settings.group_priority_minimum);
    spec["versionPriority"] = json!(settings.version_priority);
    if !settings.insecure_skip_tls_verify
        && settings.ca_bundle == CaBundle::Absent
        && let Some(spec) = spec.as_object_mut()
    {
        spec.remove("caBundle");
    }
    if settings.available && at.is_zero() {
        object["status"]["conditions"] = json!([{
            "type": "Available",
            "status": "True",
            "lastTransitionTime": objects::rfc3339(created),
            "reason": PASSED.0,
            "message": PASSED.1,
        }]);
    }
    object
}

/// The Service whose endpoints reports tell of: namespace and name.
pub fn told_service(site: &Site) -> (String, String) {
    let first = site.scenario.service.at(Duration::ZERO);
    (first.namespace.clone(), first.name.clone())
}
