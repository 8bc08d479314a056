//! Hosts, clocks and the network between them.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mocks::endpoints::{Route, ServiceTable};
use mocks::script::Script;
use seam::{Files, Host, Moment, Network, Random, Tasks};

use super::homes::Homes;
use super::names::Names;
use super::outlook::{Outlook, Proxies, Surroundings};
use super::{Site, paths};
use crate::engine::Engine;
use crate::engine::clock::SimulatedClock;
use crate::engine::memory_files::MemoryFiles;
use crate::engine::path::Paths;
use crate::engine::terrain::{ServiceRoute, Terrain};
use crate::scenario::model::{ApiServer, ApiServerState, Clock, Timeline};
use crate::{brief, faults};

/// The machines of one world.
pub struct Machines {
    /// The control plane's machines: an API server each, on the first the
    /// controllers too.
    pub api_servers: Vec<Host>,
    /// Where clients run.
    pub clients: Host,
    /// Where the witness looks from.
    pub witness: Host,
    /// Where metrics-server's pods are, by their number from 1.
    pub pods: Vec<Place>,
    /// The nodes, in the scenario's order.
    pub nodes: Vec<Machine>,
    /// No machine: the scenario itself, for what happens by its will.
    pub world: Host,
    /// Where service addresses lead.
    pub services: ServiceTable,
    /// The clocks that the scenario has wrong at some time.
    pub wrong_clocks: Vec<WrongClock>,
}

/// A clock that is wrong at some time.
pub struct WrongClock {
    /// The machine.
    pub host: String,
    /// What the fault is called.
    pub fault: String,
    /// The clock.
    pub clock: Arc<SimulatedClock>,
}

/// A machine and its wall clock.
pub struct Machine {
    /// The machine.
    pub host: Host,
    /// Its wall clock.
    pub clock: Arc<SimulatedClock>,
    /// Where it is.
    pub place: Place,
}

/// Where a machine is, as far as programs notice.
#[derive(Clone)]
pub struct Place {
    /// Its network.
    pub network: Rc<dyn Network>,
    /// A group of tasks that run there.
    pub tasks: Tasks,
}

/// What the machines of `site` will share.
#[must_use]
pub fn terrain(site: &Site) -> Rc<Terrain> {
    let (scenario, addresses) = (&site.scenario, &site.addresses);
    Rc::new(Terrain {
        paths: Rc::new(
            Paths::new(
                site.start,
                paths::resolve(scenario, addresses),
                brief::path_rules(scenario),
                site.seed.stream("network"),
            )
            .with_latency(site.latency),
        ),
        is_service: service_addresses(addresses.kubernetes_service),
        services: route_services(
            Rc::clone(&site.services),
            addresses.kubernetes_service,
            KubernetesService::new(site),
        ),
        names: BTreeMap::new(),
        name_server: addresses.name_server,
    })
}

/// Builds the machines on the network that `engine` gives them.
pub(super) fn build(site: &Site, terrain: &Rc<Terrain>, engine: &mut dyn Engine) -> Machines {
    let addresses = &site.addresses;
    let right = || Clock::default();
    let clock = SimulatedClock::new(site.start, site.epoch, right());
    let mut builder = Builder {
        site,
        engine,
        surroundings: Rc::new(Surroundings {
            terrain: Rc::clone(terrain),
            doors: Rc::clone(&site.doors),
            homes: Homes::of(&site.scenario, site.start),
            proxies: Proxies::new(Arc::new(clock), site.epoch),
        }),
        files: Rc::default(),
    };
    let servers = site.scenario.api_servers.iter().enumerate();
    let servers: Vec<Machine> = servers
        .map(|(number, server)| {
            let ip = addresses.api_server(number).ip();
            builder.machine(&server.name, ip, server.clock.clone())
        })
        .collect();
    let clock = site.scenario.clients.clone();
    let clients = builder.machine("clients", addresses.clients, clock);
    let witness = builder.machine("witness", addresses.witness, right()).host;
    // A pod with `hostNetwork` asks the cluster's name server too.
    let of_nodes = names(site, 1);
    let nodes: Vec<Machine> = site
        .scenario
        .nodes
        .iter()
        .zip(node_networks(site, builder.engine))
        .map(|(node, network)| {
            let place = builder.around(network, node.ip, Some(Rc::clone(&of_nodes)));
            builder.on(place, &node.name, node.clock.clone())
        })
        .collect();
    let wrong_clocks = wrong_clocks(site, &servers, &clients, &nodes);
    let api_servers: Vec<Host> = servers.into_iter().map(|server| server.host).collect();
    let pods = addresses.pods.iter().enumerate();
    let pods = pods
        .map(|(index, ip)| {
            let ordinal = u32::try_from(index).map_or(u32::MAX, |index| index + 1);
            let place = builder.outlook(*ip, Some(names(site, ordinal)));
            let server = &site.scenario.metrics_server;
            if ordinal <= server.replicas && !server.host_network {
                place.tasks.settle();
            }
            place
        })
        .collect();
    let table = site
        .services
        .get_or_init(|| ServiceTable::new(&api_servers[0]))
        .clone();
    Machines {
        world: api_servers[0].process(),
        api_servers,
        clients: clients.host,
        witness,
        pods,
        nodes,
        services: table,
        wrong_clocks,
    }
}

fn wrong_clocks(
    site: &Site,
    servers: &[Machine],
    clients: &Machine,
    nodes: &[Machine],
) -> Vec<WrongClock> {
    let scenario = &site.scenario;
    let of_servers = scenario.api_servers.iter().zip(servers);
    let of_servers = of_servers.map(|(server, machine)| {
        let fault = faults::of_server(&server.name, "clock");
        (&server.clock, fault, machine)
    });
    let of_nodes = scenario.nodes.iter().zip(nodes);
    let of_nodes =
        of_nodes.map(|(node, machine)| (&node.clock, faults::clock(&node.group), machine));
    let of_clients = (&scenario.clients, faults::CLIENTS_CLOCK.to_owned(), clients);
    let all = of_servers.chain([of_clients]).chain(of_nodes);
    let wrong = all.filter(|(clock, ..)| **clock != Clock::default());
    wrong
        .map(|(_, fault, machine)| WrongClock {
            host: machine.host.name().to_owned(),
            fault,
            clock: Arc::clone(&machine.clock),
        })
        .collect()
}

struct Builder<'a> {
    site: &'a Site,
    engine: &'a mut dyn Engine,
    surroundings: Rc<Surroundings>,
    files: Rc<MemoryFiles>,
}

impl Builder<'_> {
    /// The place at `ip`, with the network as it is seen from there.
    fn outlook(&mut self, ip: IpAddr, names: Option<Rc<Names>>) -> Place {
        let network = self.engine.network(ip);
        self.around(network, ip, names)
    }

    fn around(&mut self, network: Rc<dyn Network>, ip: IpAddr, names: Option<Rc<Names>>) -> Place {
        let network = Rc::new(Outlook {
            network,
            ip,
            surroundings: Rc::clone(&self.surroundings),
            names,
        });
        Place {
            network,
            tasks: self.engine.tasks(ip),
        }
    }

    fn machine(&mut self, name: &str, ip: IpAddr, clock: Clock) -> Machine {
        let place = self.outlook(ip, None);
        self.on(place, name, clock)
    }

    fn on(&self, place: Place, name: &str, clock: Clock) -> Machine {
        let clock = Arc::new(SimulatedClock::new(self.site.start, self.site.epoch, clock));
        let host = Host::new(
            name,
            Rc::clone(&place.network),
            Arc::clone(&clock) as Arc<dyn seam::WallClock>,
            Rc::new(self.site.seed),
            Rc::clone(&self.files) as Rc<dyn Files>,
        );
        Machine {
            host: host.beside(&place.tasks),
            clock,
            place,
        }
    }
}

/// The networks of all nodes. Only kubelets that probe a pod dial: with many
/// nodes and a pod that stays where it is, all nodes but its own only listen.
fn node_networks(site: &Site, engine: &mut dyn Engine) -> Vec<Rc<dyn Network>> {
    let scenario = &site.scenario;
    let stays = scenario.nodes.len() >= MANY_NODES && !scenario.has_several_pods();
    let home = scenario.metrics_server.nodes[0];
    let (own, shared): (Vec<usize>, Vec<usize>) =
        (0..scenario.nodes.len()).partition(|index| !stays || *index == home);
    let ip = |index: &usize| scenario.nodes[*index].ip;
    let mut networks: Vec<(usize, Rc<dyn Network>)> = own
        .iter()
        .map(|index| (*index, engine.network(ip(index))))
        .collect();
    let addresses: Vec<IpAddr> = shared.iter().map(ip).collect();
    networks.extend(shared.into_iter().zip(engine.listeners(&addresses)));
    networks.sort_by_key(|(index, _)| *index);
    networks.into_iter().map(|(_, network)| network).collect()
}

/// From this many nodes on, those that only listen are told apart.
const MANY_NODES: usize = 16;

/// Service addresses lead where kube-proxy's table says; that of the API
/// server itself is served by every node's proxy from the beginning.
fn route_services(
    services: Rc<OnceCell<ServiceTable>>,
    kubernetes: SocketAddr,
    api_servers: KubernetesService,
) -> Box<dyn Fn(SocketAddr) -> ServiceRoute> {
    let is_service = service_addresses(kubernetes);
    Box::new(move |address| {
        if address == kubernetes {
            return ServiceRoute::Endpoint(api_servers.endpoint());
        }
        if !is_service(address) {
            return ServiceRoute::Direct;
        }
        match services.get().map(|table| table.route(address)) {
            Some(Route::Endpoint(endpoint)) => ServiceRoute::Endpoint(endpoint),
            Some(Route::Reject) => ServiceRoute::Refused,
            Some(Route::NotProgrammed) | None => ServiceRoute::Unknown,
        }
    })
}

/// Tells addresses of Services from those of machines.
fn service_addresses(kubernetes: SocketAddr) -> Box<dyn Fn(SocketAddr) -> bool> {
    let service_range = kubernetes.ip();
    Box::new(move |address| same_service_range(service_range, address.ip()))
}

/// The endpoints of the Service `kubernetes`: the API servers.
struct KubernetesService {
    start: Moment,
    servers: Vec<(SocketAddr, Timeline<ApiServer>)>,
    random: RefCell<Box<dyn Random>>,
}

/// An API server is an endpoint until it has not renewed its lease for this
/// long.
///
/// Source: `pkg/controlplane/instance.go: DefaultEndpointReconcilerTTL`.
const LEASE: Duration = Duration::from_secs(15);

impl KubernetesService {
    fn new(site: &Site) -> Self {
        let servers = site.scenario.api_servers.iter().enumerate();
        Self {
            start: site.start,
            servers: servers
                .map(|(number, server)| {
                    let address = site.addresses.api_server(number);
                    (address, server.over_time.clone())
                })
                .collect(),
            random: RefCell::new(Box::new(site.seed.stream("kubernetes-service"))),
        }
    }

    /// Where a new connection goes: among several endpoints kube-proxy's rules
    /// draw one. Nobody is left to remove the last.
    fn endpoint(&self) -> SocketAddr {
        if let [(only, _)] = &self.servers[..] {
            return *only;
        }
        let now = self.start.elapsed();
        let is_alive = |server: &&(SocketAddr, Timeline<ApiServer>)| was_up(&server.1, now);
        let mut endpoints: Vec<SocketAddr> = self
            .servers
            .iter()
            .filter(is_alive)
            .map(|(address, _)| *address)
            .collect();
        if endpoints.is_empty() {
            endpoints = self.servers.iter().map(|(address, _)| *address).collect();
        }
        let drawn = self.random.borrow_mut().below(endpoints.len() as u64);
        endpoints[usize::try_from(drawn).expect("below the length of a list")]
    }
}

/// Whether a server has served at some time since its last lease ran out.
fn was_up(server: &Timeline<ApiServer>, now: Duration) -> bool {
    let since = now.saturating_sub(LEASE);
    let is_up =
        |server: &ApiServer| matches!(server.state, ApiServerState::Up | ApiServerState::Starting);
    let later = server.0.iter().filter(|(at, _)| (since..=now).contains(at));
    is_up(server.at(since)) || later.into_iter().any(|(_, server)| is_up(server))
}

/// Service ranges are the /16 around the Service `kubernetes`.
fn same_service_range(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..2] == other.octets()[..2],
        _ => false,
    }
}

/// The name server as pod number `ordinal` finds it.
fn names(site: &Site, ordinal: u32) -> Rc<Names> {
    let host = site.scenario.pod_name(ordinal);
    let dns = site.scenario.dns_of_pod(ordinal);
    Rc::new(Names {
        dns: Script::new(site.start, dns.0),
        server: site.addresses.name_server,
        random: RefCell::new(Box::new(site.seed.stream(&format!("{host}/dns")))),
        host,
        recorder: Rc::clone(&site.recorder),
    })
}
