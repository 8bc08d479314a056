//! What holds of a scenario from each time on: at zero, then one change after
//! the other laid over it.

use std::rc::Rc;
use std::time::Duration;

use super::changes::Change;
use super::clock;
use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::dns;
use super::fleet::Fleet;
use super::layers::lay_server;
use super::model::{Clock, Dns, MetricsServer, PathRule};
use super::network;
use super::node::{self, Decoded, Reading};
use super::plane;
use super::server;
use super::tree::{Node, Value, overlay};

/// Everything that varies, as values from each time on; not yet thinned out.
pub(crate) struct OverTime {
    /// metrics-server's settings from each change of them on.
    pub(crate) metrics_server: Vec<(Duration, MetricsServer)>,
    pub(crate) plane: plane::Plane,
    pub(crate) network: Vec<(Duration, Vec<PathRule>)>,
    pub(crate) dns: Vec<(Duration, Dns)>,
    /// The clock of the clients' machine.
    pub(crate) clients: Vec<(Duration, Clock)>,
    /// For each node, as decoded at zero and at each change that touches it.
    pub(crate) nodes: Vec<Vec<(Duration, Decoded)>>,
}

/// The settings in force, as trees.
#[derive(Clone)]
struct State {
    fleet: Fleet,
    node_defaults: Rc<Node>,
    network: Rc<Node>,
    metrics_server: Rc<Node>,
    /// Null where nothing is said of it; the next likewise.
    dns: Rc<Node>,
    clients: Rc<Node>,
    plane: plane::State,
}

/// What was decoded so far.
struct Read {
    metrics_server: Vec<(Duration, MetricsServer)>,
    network: Vec<(Duration, Vec<PathRule>)>,
    dns: Vec<(Duration, Dns)>,
    clients: Vec<(Duration, Clock)>,
    nodes: Vec<Vec<(Duration, Decoded)>>,
    plane: plane::OverTime,
}

/// What a change touches: nodes by number, and parts of the control plane.
#[derive(Default)]
struct Touched {
    metrics_server: bool,
    nodes: Vec<usize>,
    plane: Vec<&'static str>,
}

/// Decodes what holds at zero, then lays one change after the other over it.
pub(crate) fn apply(
    decoder: &mut Decoder,
    merged: &Rc<Node>,
    fleet: &Fleet,
    changes: &[Change],
    until: Option<Duration>,
) -> Option<OverTime> {
    let preset_has = "every preset has it: a test reads them all";
    let tree = |key| Rc::clone(&merged.entry(key).expect(preset_has).value);
    let null = || {
        let (span, value) = (merged.span, Value::Null);
        Rc::new(Node { span, value })
    };
    let tree_or_null = |key| {
        merged
            .entry(key)
            .map_or_else(null, |entry| Rc::clone(&entry.value))
    };
    let mut state = State {
        fleet: fleet.clone(),
        node_defaults: tree("nodeDefaults"),
        network: tree("network"),
        metrics_server: tree("metricsServer"),
        dns: tree_or_null("dns"),
        clients: tree_or_null("clients"),
        plane: plane::State::new(decoder, merged),
    };
    let mut result = Read {
        metrics_server: Vec::new(),
        nodes: vec![Vec::new(); fleet.members().len()],
        network: Vec::new(),
        dns: Vec::new(),
        clients: Vec::new(),
        plane: plane::OverTime::default(),
    };
    // What holds of metrics-server at zero is decoded with the document.
    let all = Touched {
        metrics_server: false,
        nodes: (0..fleet.members().len()).collect(),
        plane: plane::KEYS.to_vec(),
    };
    decode_state(decoder, &state, Duration::ZERO, &all, until, &mut result);
    let base = state.clone();
    let mut in_force: Vec<usize> = Vec::new();
    for (at, turn) in turns(changes) {
        let touched = match turn {
            Turn::Begins(index) => {
                in_force.push(index);
                state.change(decoder, &changes[index].overlay)
            }
            Turn::Ends(index) => {
                in_force.retain(|other| *other != index);
                // What is wrong with it was noted when it began; one that
                // refined what has ended is no mistake.
                let unheard = &mut Decoder::default();
                state = base.clone();
                for other in &in_force {
                    state.change(unheard, &changes[*other].overlay);
                }
                base.clone().change(unheard, &changes[index].overlay)
            }
        };
        decode_state(decoder, &state, at, &touched, until, &mut result);
    }
    let complete = !result.network.is_empty()
        && !result.dns.is_empty()
        && result.nodes.iter().all(|node| !node.is_empty());
    let plane = state.plane.finish(result.plane)?;
    complete.then_some(OverTime {
        metrics_server: result.metrics_server,
        plane,
        network: result.network,
        dns: result.dns,
        clients: result.clients,
        nodes: result.nodes,
    })
}

/// A change, by its index, comes or goes.
#[derive(Debug, Clone, Copy)]
enum Turn {
    Ends(usize),
    Begins(usize),
}

/// The comings and goings of changes in order of time. Of several at one time
/// those that end come first, the others as they stand in the file.
fn turns(changes: &[Change]) -> Vec<(Duration, Turn)> {
    let begins = changes
        .iter()
        .enumerate()
        .map(|(index, change)| (change.at, Turn::Begins(index)));
    let ends = changes.iter().enumerate().filter_map(|(index, change)| {
        let end = change.at.saturating_add(change.lasts?);
        Some((end, Turn::Ends(index)))
    });
    let mut turns: Vec<_> = ends.chain(begins).collect();
    turns.sort_by_key(|(at, _)| *at);
    turns
}

impl State {
    /// Lays a change over the settings; what it touches.
    fn change(&mut self, decoder: &mut Decoder, change: &Node) -> Touched {
        let mut touched = Vec::new();
        let mut plane = Vec::new();
        let mut metrics_server = false;
        for entry in change.entries() {
            if self.plane.change(decoder, entry) {
                plane.extend(plane::KEYS.into_iter().find(|key| **key == *entry.key));
            }
            match &*entry.key {
                "metricsServer" => {
                    self.metrics_server = lay_server(decoder, &self.metrics_server, &entry.value);
                    metrics_server = true;
                }
                "network" => self.network = overlay(&self.network, &entry.value),
                "dns" => self.dns = overlay(&self.dns, &entry.value),
                "clients" => self.clients = overlay(&self.clients, &entry.value),
                "nodeDefaults" => {
                    self.node_defaults = overlay(&self.node_defaults, &entry.value);
                    touched = (0..self.fleet.members().len()).collect();
                }
                "nodes" => {
                    for node in entry.value.entries() {
                        if node.value.is_null() {
                            decoder.note(Diagnostic::at(
                                Code::CannotChange,
                                Item::of(node).key_span(),
                                format!("`{}` cannot be taken away by a change", node.key),
                                "write `registered: false`: its Node object is then deleted",
                            ));
                            continue;
                        }
                        for index in self.fleet.meant_by(decoder, Item::of(node)) {
                            self.fleet.refine(index, &node.value);
                            touched.push(index);
                        }
                    }
                }
                _ => {}
            }
        }
        touched.sort_unstable();
        touched.dedup();
        Touched {
            metrics_server,
            nodes: touched,
            plane,
        }
    }
}

fn decode_state(
    decoder: &mut Decoder,
    state: &State,
    at: Duration,
    touched: &Touched,
    until: Option<Duration>,
    result: &mut Read,
) {
    let item = |name, tree| Item::named(name, Item::root(tree).key_span(), tree);
    let plane = &mut result.plane;
    state
        .plane
        .decode(decoder, at, until, &touched.plane, plane);
    if let Some(rules) = network::network(
        decoder,
        item("network", &state.network),
        &state.fleet,
        until,
    ) {
        result.network.push((at, rules));
    }
    if let Some(dns) = dns::dns(decoder, item("dns", &state.dns)) {
        result.dns.push((at, dns));
    }
    if let Some(clock) = clock::of_clients(decoder, item("clients", &state.clients), until) {
        result.clients.push((at, clock));
    }
    if touched.metrics_server {
        let whole = item("metricsServer", &state.metrics_server);
        if let Some(server) = server::metrics_server(decoder, whole, &state.fleet, until) {
            result.metrics_server.push((at, server));
        }
    }
    for index in &touched.nodes {
        let member = &state.fleet.members()[*index];
        let tree = match member.own.is_null() {
            true => Rc::clone(&state.node_defaults),
            false => overlay(&state.node_defaults, &member.own),
        };
        let first = result.nodes[*index].first();
        let reading = Reading {
            member,
            index: *index,
            at,
            first: first.map(|(_, decoded)| decoded),
            before: result.nodes[*index]
                .last()
                .map(|(_, decoded)| &*decoded.pods),
            until,
        };
        if let Some(decoded) = node::node(decoder, &tree, &reading) {
            result.nodes[*index].push((at, decoded));
        }
    }
}
