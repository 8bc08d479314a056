//! API server, aggregation layer, EndpointSlices and service routes.

use std::rc::Rc;
use std::time::Duration;

use mocks::aggregation::{AggregationConfig, Routing, Timing};
use mocks::apiserver::{self, ApiServerConfig, Behaviour, Policy, State, Token, User, objects};
use mocks::endpoints::{proxy, slices};
use mocks::event::Recorder;
use mocks::script::Script;
use seam::Random;
use serde_json::json;

use super::machines::Machines;
use super::trust::SERVICE_ACCOUNT_TOKEN;
use super::{Site, sampler};
use crate::scenario::model::ApiServerState;

/// The namespace of everything that belongs to metrics-server.
pub const NAMESPACE: &str = "kube-system";
/// Its Service.
pub const SERVICE: &str = "metrics-server";
/// The controller's resync. Source: `remote_available_controller.go`.
const RESYNC: Duration = Duration::from_secs(30);

/// Starts the control plane. Returns the API server's behaviour over time.
pub fn start(site: &Site, machines: &Machines) -> Script<Behaviour> {
    seed_objects(site);
    let host = &machines.api_server;
    let behaviour = behaviour(site, machines);
    let recorder: Rc<dyn Recorder> = Rc::clone(&site.recorder) as Rc<dyn Recorder>;
    let config = ApiServerConfig {
        addresses: vec![site.addresses.api_server],
        identity: site.trust.api_server.clone(),
        client_ca: site.trust.cluster.certificate(),
        tokens: vec![Token {
            token: SERVICE_ACCOUNT_TOKEN.to_owned(),
            user: User::service_account(NAMESPACE, SERVICE),
            not_before: None,
            expires: None,
        }],
        policy: Policy::new(),
        behaviour: behaviour.clone(),
        aggregation: aggregation(site, machines),
    };
    let process = host.process();
    process.spawn(apiserver::run(
        process.clone(),
        config,
        site.store.clone(),
        Rc::clone(&recorder),
    ));
    let config = slices::Config {
        api_server: behaviour.clone(),
        write_latency: slices::observed_write_latency(host),
        service: (NAMESPACE.to_owned(), SERVICE.to_owned()),
    };
    host.spawn(slices::run(
        host.process(),
        site.store.clone(),
        config,
        recorder,
    ));
    host.spawn(proxy::run(
        host.process(),
        site.store.clone(),
        behaviour.clone(),
        proxy::assumed_sync_duration(host),
        machines.services.clone(),
    ));
    register_later(site, machines, &behaviour);
    behaviour
}

fn behaviour(site: &Site, machines: &Machines) -> Script<Behaviour> {
    let entries = site.scenario.api_server.0.iter().enumerate();
    let entries = entries
        .map(|(index, (at, server))| {
            let behaviour = Behaviour {
                state: match server.state {
                    ApiServerState::Down => State::Down,
                    ApiServerState::Hang => State::Hang,
                    ApiServerState::Starting => State::Starting,
                    ApiServerState::Up => State::Up,
                },
                latency: sampler(
                    &machines.api_server,
                    &format!("latency/{index}"),
                    &server.latency,
                ),
            };
            (*at, behaviour)
        })
        .collect();
    Script::new(site.start, entries)
}

fn aggregation(site: &Site, machines: &Machines) -> AggregationConfig {
    let settings = &site.scenario.aggregation;
    let drawn = || {
        let mut random = machines.api_server.random("aggregation-resync-phase");
        random.duration_between(Duration::ZERO, RESYNC)
    };
    AggregationConfig {
        front_proxy: site.trust.proxy_client.clone(),
        routing: if settings.endpoint_routing {
            Routing::Endpoint
        } else {
            Routing::ClusterIp
        },
        resync_phase: settings.resync_phase.unwrap_or_else(drawn),
        timing: Timing::observed(&machines.api_server),
    }
}

fn seed_objects(site: &Site) {
    let name = site.trust.proxy_client_name();
    site.store.put(
        "configmaps",
        objects::authentication_config_map(
            &site.trust.cluster.pem(),
            &site.trust.front_proxy.pem(),
            &[name],
            site.epoch,
        ),
    );
    let kubernetes = site.addresses.kubernetes_service;
    site.store.put(
        "services",
        objects::service(&objects::Service {
            namespace: "default",
            name: "kubernetes",
            cluster_ip: kubernetes.ip(),
            port_name: "https",
            port: kubernetes.port(),
            target_port: json!(site.addresses.api_server.port()),
            selector: &[],
            publish_not_ready_addresses: false,
            created: site.epoch,
        }),
    );
    site.store.put(
        "endpointslices",
        objects::static_endpoint_slice("default", "kubernetes", "https", site.addresses.api_server),
    );
    site.store.put(
        "services",
        objects::service(&objects::Service {
            namespace: NAMESPACE,
            name: SERVICE,
            cluster_ip: site.addresses.metrics_service.ip(),
            port_name: "https",
            port: site.addresses.metrics_service.port(),
            target_port: json!("https"),
            selector: &[("k8s-app".to_owned(), SERVICE.to_owned())],
            publish_not_ready_addresses: site.scenario.aggregation.publish_not_ready_addresses,
            created: site.epoch,
        }),
    );
    if site.scenario.aggregation.registered_at.is_zero() {
        site.store.put("apiservices", api_service(site, site.epoch));
    }
}

fn api_service(site: &Site, created: seam::Timestamp) -> serde_json::Value {
    let trust = if site.scenario.aggregation.insecure_skip_tls_verify {
        objects::BackendTrust::Insecure
    } else {
        objects::BackendTrust::Bundle(site.trust.cluster.pem())
    };
    objects::metrics_api_service(NAMESPACE, SERVICE, &trust, created)
}

/// Creates the APIService at its time; an API server that does not serve then
/// gets it when it does.
fn register_later(site: &Site, machines: &Machines, behaviour: &Script<Behaviour>) {
    let at = site.scenario.aggregation.registered_at;
    if at.is_zero() {
        return;
    }
    let (start, store, behaviour) = (site.start, site.store.clone(), behaviour.clone());
    let object = api_service(site, site.epoch.after(at));
    machines.api_server.spawn(async move {
        tokio::time::sleep_until(start + at).await;
        apiserver::serving(&behaviour).await;
        store.put("apiservices", object);
    });
}
