//! API servers, aggregation layers, EndpointSlices and service routes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use mocks::aggregation::{AggregationConfig, Routing, Timing};
use mocks::apiserver::{
    self, ApiServerConfig, Behaviour, ClientSampler, Policy, State, Token, User, Watches,
};
use mocks::deployment_objects;
use mocks::endpoints::{proxy, slices};
use mocks::event::{Met, Recorder};
use mocks::kubelet::{Authorizer, Review};
use mocks::script::Script;
use seam::{Host, Random};

use super::consumers::Discovered;
use super::machines::Machines;
use super::trust::SERVICE_ACCOUNT_TOKEN;
use super::{Site, access, registry, sampler};
use crate::scenario::model;
use crate::scenario::model::{ApiServer, ApiServerNode, ApiServerState, Distribution, Timeline};

/// The namespace of everything that belongs to metrics-server.
pub const NAMESPACE: &str = "kube-system";
/// Its Service and its ServiceAccount.
pub const SERVICE: &str = "metrics-server";
/// The controller's resync. Source: `remote_available_controller.go`.
const RESYNC: Duration = Duration::from_secs(30);

/// The control plane's behaviour over time.
pub struct ControlPlane {
    /// Of each API server.
    behaviours: Vec<Script<Behaviour>>,
    /// Of whichever serves best at a time: what the cluster's controllers and
    /// kubelets, who take any, work with.
    pub combined: Script<Behaviour>,
    policy: Policy,
}

impl ControlPlane {
    /// A control plane that does nothing yet.
    #[must_use]
    pub fn new(site: &Site, machines: &Machines) -> Self {
        let servers = site.scenario.api_servers.iter().zip(&machines.api_servers);
        let behaviours: Vec<Script<Behaviour>> = servers
            .map(|(server, host)| behaviour(site, host, &server.over_time))
            .collect();
        Self {
            combined: combined(site, &behaviours),
            behaviours,
            policy: access::policy(site),
        }
    }

    /// What answers a kubelet's SubjectAccessReviews.
    #[must_use]
    pub fn authorizer(&self) -> Authorizer {
        let (policy, api_server) = (self.policy.clone(), self.combined.clone());
        Rc::new(move |subresource| {
            if !api_server.current().serves() {
                return Review::Unavailable;
            }
            match policy.may_get_nodes(NAMESPACE, SERVICE, subresource) {
                true => Review::Allowed,
                false => Review::Denied,
            }
        })
    }

    /// Starts API servers and controllers.
    pub fn start(&self, site: &Site, machines: &Machines, discovered: &Discovered) {
        let first = &machines.api_servers[0];
        registry::start(site, first, &self.combined);
        for number in 0..self.behaviours.len() {
            self.start_server(site, machines, number);
        }
        let recorder: Rc<dyn Recorder> = Rc::clone(&site.recorder) as Rc<dyn Recorder>;
        let config = slices::Config {
            api_server: self.combined.clone(),
            write_latency: slices::observed_write_latency(first),
            service: registry::told_service(site),
        };
        let (host, store) = (first.process(), site.store.clone());
        let slices = slices::run(host, store, config, recorder);
        let discovered = discovered.clone();
        first.spawn(async move {
            discovered.complete().await;
            slices.await;
        });
        first.spawn(proxy::run(
            first.process(),
            site.store.clone(),
            self.combined.clone(),
            proxy::assumed_sync_duration(first),
            machines.services.clone(),
        ));
        first.spawn(deployment_objects::run(
            first.process(),
            site.store.clone(),
            deployment(site),
            self.combined.clone(),
        ));
    }

    fn start_server(&self, site: &Site, machines: &Machines, number: usize) {
        let server = &site.scenario.api_servers[number];
        let host = &machines.api_servers[number];
        let address = site.addresses.api_server(number);
        // What is outside finds the first server only, at an address of its own.
        let outside = site.outside.as_ref().filter(|_| number == 0);
        let outside = outside.map(|outside| outside.api_server);
        let show = |server: &ApiServer| {
            let certificate = &server.certificate;
            site.trust
                .api_server(name(site, number), address.ip(), certificate)
        };
        let config = ApiServerConfig {
            addresses: std::iter::once(address).chain(outside).collect(),
            identity: script(site, &server.over_time, |server| &server.certificate, show),
            client_ca: site.trust.cluster.certificate(),
            tokens: vec![Token {
                token: SERVICE_ACCOUNT_TOKEN.to_owned(),
                user: User::service_account(NAMESPACE, SERVICE),
                not_before: None,
                expires: None,
            }],
            policy: self.policy.clone(),
            behaviour: self.behaviours[number].clone(),
            aggregation: aggregation(site, server, host),
            witness: Some(site.addresses.witness),
        };
        let (told, dialled) = (Rc::clone(&site.recorder), server.name.clone());
        let witness = site.addresses.witness;
        site.doors.tell(address, move |from, is_connected| {
            if from == witness {
                return;
            }
            told.met(&dialled, Met::ApiServer);
            if is_connected {
                told.met(&dialled, Met::ServingCertificate);
            }
        });
        let process = host.process();
        let recorder: Rc<dyn Recorder> = Rc::clone(&site.recorder) as Rc<dyn Recorder>;
        process.spawn(apiserver::run(
            process.clone(),
            config,
            site.store.clone(),
            recorder,
        ));
    }
}

/// metrics-server's Deployment as the API shows it.
///
/// DIFFERENCE: it keeps its first template's replicas and strategy.
fn deployment(site: &Site) -> deployment_objects::Config {
    let server = &site.scenario.metrics_server;
    deployment_objects::Config {
        namespace: NAMESPACE.to_owned(),
        name: SERVICE.to_owned(),
        selector: vec![("k8s-app".to_owned(), SERVICE.to_owned())],
        replicas: u64::from(server.replicas),
        max_unavailable: u64::from(server.strategy.max_unavailable(server.replicas)),
    }
}

fn name(site: &Site, number: usize) -> &str {
    &site.scenario.api_servers[number].name
}

fn behaviour(site: &Site, host: &Host, over_time: &Timeline<ApiServer>) -> Script<Behaviour> {
    let entries = over_time.0.iter().enumerate();
    let entries = entries
        .map(|(index, (at, server))| {
            let behaviour = Behaviour {
                state: match server.state {
                    ApiServerState::Down => State::Down,
                    ApiServerState::Hang => State::Hang,
                    ApiServerState::Starting => State::Starting,
                    ApiServerState::Up => State::Up,
                },
                latency: of_each_client(host, format!("latency/{index}"), &server.latency),
                write_latency: sampler(
                    host,
                    &format!("write-latency/{index}"),
                    &server.write_latency,
                ),
                watches: match server.watches {
                    model::Watches::Served => Watches::Served,
                    model::Watches::Silent => Watches::Silent,
                    model::Watches::Initializing => Watches::Initializing,
                },
                trouble: server.trouble,
            };
            (*at, behaviour)
        })
        .collect();
    Script::new(site.start, entries)
}

/// Draws from `distribution`, for each client's machine from a stream of its
/// own.
fn of_each_client(host: &Host, stream: String, distribution: &Distribution) -> ClientSampler {
    let (host, distribution) = (host.clone(), distribution.clone());
    let streams: RefCell<BTreeMap<IpAddr, Box<dyn Random>>> = RefCell::default();
    Rc::new(move |client| {
        let mut streams = streams.borrow_mut();
        let random = streams
            .entry(client)
            .or_insert_with(|| host.random(&format!("{stream}/{client}")));
        distribution.sample(&mut **random)
    })
}

/// What is in force of the server that serves best, the first of equals.
fn combined(site: &Site, behaviours: &[Script<Behaviour>]) -> Script<Behaviour> {
    if let [only] = behaviours {
        return only.clone();
    }
    let servers = &site.scenario.api_servers;
    let mut times: Vec<Duration> = servers
        .iter()
        .flat_map(|server| server.over_time.0.iter().map(|(at, _)| *at))
        .collect();
    times.sort_unstable();
    times.dedup();
    let rank = |behaviour: &Behaviour| {
        let of_state = match behaviour.state {
            State::Up => 0,
            State::Starting => 1,
            State::Hang => 2,
            State::Down => 3,
        };
        (!behaviour.serves(), of_state)
    };
    let best = |at: Duration| {
        let of_each = behaviours.iter().map(|script| script.at(at));
        of_each.min_by_key(|behaviour| rank(behaviour)).cloned()
    };
    let entries = times.into_iter().filter_map(|at| Some((at, best(at)?)));
    Script::new(site.start, entries.collect())
}

fn aggregation(site: &Site, server: &ApiServerNode, host: &Host) -> AggregationConfig {
    let settings = &site.scenario.aggregation;
    let flags = server.flags(settings);
    let drawn = || {
        let mut random = host.random("aggregation-resync-phase");
        random.duration_between(Duration::ZERO, RESYNC)
    };
    let routing = |endpoint: bool| match endpoint {
        true => Routing::Endpoint,
        false => Routing::ClusterIp,
    };
    let phase = settings.at(Duration::ZERO).resync_phase;
    AggregationConfig {
        front_proxy: script(
            site,
            &flags,
            |flags| &flags.front_proxy,
            |flags| site.trust.proxy_client(&flags.front_proxy),
        ),
        routing: script(
            site,
            &flags,
            |flags| &flags.endpoint_routing,
            |flags| routing(flags.endpoint_routing),
        ),
        resync_phase: phase.unwrap_or_else(drawn),
        timing: Timing::observed(host),
    }
}

/// A part of a timeline as a script, made anew only where `part` differs.
fn script<T, P: PartialEq, S: Clone>(
    site: &Site,
    timeline: &Timeline<T>,
    part: impl Fn(&T) -> &P,
    make: impl Fn(&T) -> S,
) -> Script<S> {
    let mut entries: Vec<(Duration, S)> = Vec::new();
    let mut last: Option<&P> = None;
    for (at, value) in &timeline.0 {
        if last != Some(part(value)) {
            entries.push((*at, make(value)));
            last = Some(part(value));
        }
    }
    Script::new(site.start, entries)
}
