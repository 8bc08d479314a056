//! `changes`: overlays that hold from a time on, and the timelines that they
//! make of the settings.

use std::rc::Rc;
use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item, is_extension};
use super::diagnostic::Diagnostic;
use super::dns;
use super::document::SCENARIO_SHAPE;
use super::fleet::{Fleet, Member};
use super::layers::lay_server;
use super::model::{self, Dns, MetricsServer, PathRule, Timeline};
use super::network;
use super::node::{self, Decoded, Reading};
use super::plane;
use super::server;
use super::shape::{Key, Kind, Shape};
use super::source::Span;
use super::suggest::{choice, nearest};
use super::timing::{self, Timed};
use super::tree::{Entry, Node, Value, overlay};
use crate::settle;

/// An entry of `changes`.
pub(crate) static CHANGE_KIND: Kind = Kind::Change(&CHANGE, &SCENARIO_SHAPE);

static CHANGE: Shape = Shape::new(
    "Change",
    "Settings that hold from a time on. Besides its own keys it has those of a scenario that can change, each refining what holds until then.",
    &[
        timing::AT,
        timing::WHEN,
        timing::AFTER,
        timing::NTH,
        Key::optional(
            LASTS,
            Kind::Duration,
            "30s",
            "How long it lasts; then what it set is undone. Missing: to the end.",
        ),
    ],
)
.also(timing::ONE_TIME)
.needs("apiServer: {state: Down}");

/// The keys of a scenario that can change while it runs.
fn changeable() -> impl Iterator<Item = &'static str> + Clone {
    let keys = SCENARIO_SHAPE.keys.iter();
    keys.filter(|key| key.fixed.is_none()).map(|key| key.name)
}

/// How long a change lasts; for ever without it.
const LASTS: &str = "for";

/// One entry of `changes`.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) at: Duration,
    /// How long it lasts; then what it set is as if it had not been.
    pub(crate) lasts: Option<Duration>,
    pub(crate) overlay: Rc<Node>,
}

impl Change {
    /// Whether it may end a pod of metrics-server for good.
    pub(crate) fn may_replace_pods(&self) -> bool {
        let replaces = |path: &str| {
            let of_node = path.starts_with("nodes.") || path.starts_with("nodeDefaults.");
            path.starts_with("metricsServer.")
                || of_node && (path.ends_with(".ready") || path.ends_with(".machine"))
        };
        self.leaves().iter().any(|(path, ..)| replaces(path))
    }

    /// What it sets: path, place and value as written.
    pub(crate) fn leaves(&self) -> Vec<(String, Span, String)> {
        let mut leaves = Vec::new();
        for entry in self
            .overlay
            .entries()
            .iter()
            .filter(|entry| changeable().any(|key| key == &*entry.key))
        {
            collect_leaves(&entry.key, entry.key_span, &entry.value, &mut leaves);
        }
        leaves
    }
}

/// Single values, each with its path. A network rule is one setting however
/// many fields it has; an empty mapping is none.
fn collect_leaves(
    path: &str,
    key_span: Span,
    node: &Node,
    leaves: &mut Vec<(String, Span, String)>,
) {
    let is_rule = path.starts_with("network.");
    let is_empty = matches!(&node.value, Value::Map(entries) if entries.is_empty());
    if !is_rule && (is_empty || !node.is_one_value()) {
        for entry in node
            .entries()
            .iter()
            .filter(|entry| !is_extension(&entry.key))
        {
            let path = format!("{path}.{}", entry.key);
            collect_leaves(&path, entry.key_span, &entry.value, leaves);
        }
    } else {
        leaves.push((path.to_owned(), key_span, node.to_flow()));
    }
}

/// Reads `changes`, in order of time.
pub(crate) fn read(
    decoder: &mut Decoder,
    item: Item<'_>,
    fleet: &Fleet,
    reader: timing::Reader<'_>,
) -> Option<Timed<Change>> {
    let changes = decoder.list(item, |decoder, item| {
        let mut object = decoder.object(item, &CHANGE)?;
        let timing = reader.timing(decoder, &mut object, item);
        let lasts = object.optional(decoder, LASTS, lasts);
        let before = decoder.count();
        check_keys(decoder, item);
        if let Some(nodes) = item.node.entry("nodes") {
            for node in decoder.named(Item::of(nodes))? {
                fleet.meant_by(decoder, node);
            }
        }
        let change = Change {
            at: Duration::ZERO,
            lasts: lasts?,
            overlay: Rc::clone(item.node),
        };
        if change.leaves().is_empty() && decoder.count() == before {
            decoder.note(Diagnostic::at(
                Code::SaysNothing,
                item.key_span(),
                "this change changes nothing",
                "add what changes, such as `nodes: {pi: {kubelet: {state: Open}}}`",
            ));
        }
        Some((timing?, change))
    })?;
    let mut changes = Timed::of(changes);
    for (at, change) in &mut changes.due {
        change.at = *at;
    }
    Some(changes)
}

fn lasts(decoder: &mut Decoder, item: Item<'_>) -> Option<Duration> {
    let lasts = decoder.duration(item)?;
    if !lasts.is_zero() {
        return Some(lasts);
    }
    decoder.note(Diagnostic::at(
        Code::SaysNothing,
        item.span(),
        "a change that lasts no time changes nothing",
        "write how long it lasts, or remove `for`: it then lasts to the end",
    ));
    None
}

fn check_keys(decoder: &mut Decoder, item: Item<'_>) {
    for entry in item.node.entries() {
        let key = &*entry.key;
        if CHANGE.key(key).is_some() || is_extension(key) {
            continue;
        }
        if SCENARIO_SHAPE.key(key).is_some() {
            check_entry(decoder, entry, &SCENARIO_SHAPE);
            continue;
        }
        let message = format!("unknown key `{key}` in `changes`");
        let diagnostic = match nearest(key, changeable().chain(CHANGE.names())) {
            Some(right) => {
                let help = format!("did you mean `{right}`?");
                Diagnostic::at(Code::UnknownKey, entry.key_span, message, help).replacement(right)
            }
            None => {
                let own = choice(CHANGE.names());
                let help = format!("besides {own} a change has {}", choice(changeable()));
                Diagnostic::at(Code::UnknownKey, entry.key_span, message, help)
            }
        };
        decoder.note(diagnostic);
    }
}

/// Notes what `shape` says cannot change, here and below.
fn check_entry(decoder: &mut Decoder, entry: &Entry, shape: &'static Shape) {
    let Some(key) = shape.key(&entry.key) else {
        return;
    };
    if let Some(instead) = key.fixed {
        note_fixed(decoder, key.name, entry.key_span, instead);
    } else {
        check_value(decoder, &entry.value, &key.kind);
    }
}

fn check_value(decoder: &mut Decoder, node: &Node, kind: &'static Kind) {
    for kind in kind.alternatives() {
        for entry in node.entries() {
            match kind {
                Kind::Mapping(shape) => check_entry(decoder, entry, shape),
                Kind::Named(_, value) => check_value(decoder, &entry.value, value),
                _ => {}
            }
        }
    }
}

fn note_fixed(decoder: &mut Decoder, key: &str, place: Span, instead: &str) {
    let message = format!("`{key}` cannot change while the scenario runs");
    decoder.note(Diagnostic::at(Code::CannotChange, place, message, instead));
}

/// Everything that varies, as values from each time on; not yet thinned out.
pub(crate) struct OverTime {
    /// metrics-server's settings from each change of them on.
    pub(crate) metrics_server: Vec<(Duration, MetricsServer)>,
    pub(crate) plane: plane::Plane,
    pub(crate) network: Vec<(Duration, Vec<PathRule>)>,
    pub(crate) dns: Vec<(Duration, Dns)>,
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
    /// Null where nothing is said of it.
    dns: Rc<Node>,
    plane: plane::State,
}

/// What was decoded so far.
struct Read {
    metrics_server: Vec<(Duration, MetricsServer)>,
    network: Vec<(Duration, Vec<PathRule>)>,
    dns: Vec<(Duration, Dns)>,
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
    let mut state = State {
        fleet: fleet.clone(),
        node_defaults: tree("nodeDefaults"),
        network: tree("network"),
        metrics_server: tree("metricsServer"),
        dns: merged.entry("dns").map_or_else(
            || {
                let span = merged.span;
                Rc::new(Node {
                    span,
                    value: Value::Null,
                })
            },
            |entry| Rc::clone(&entry.value),
        ),
        plane: plane::State::new(decoder, merged),
    };
    let mut result = Read {
        metrics_server: Vec::new(),
        nodes: vec![Vec::new(); fleet.members().len()],
        network: Vec::new(),
        dns: Vec::new(),
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
                                "write when it leaves at the node itself: `leavesAt: 50s`",
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
            first_addresses: first.map(|(_, decoded)| &decoded.addresses),
            until,
        };
        if let Some(decoded) = node::node(decoder, &tree, &reading) {
            result.nodes[*index].push((at, decoded));
        }
    }
}

/// The model's nodes from what was decoded over time.
pub(crate) fn nodes(
    fleet: &Fleet,
    over_time: Vec<Vec<(Duration, Decoded)>>,
    until: Duration,
) -> Vec<model::Node> {
    let pairs = fleet.members().iter().zip(over_time);
    pairs
        .filter_map(|(member, versions)| node_over_time(member, versions, until))
        .collect()
}

fn node_over_time(
    member: &Member,
    versions: Vec<(Duration, Decoded)>,
    until: Duration,
) -> Option<model::Node> {
    fn over_time<T: PartialEq>(
        versions: &[(Duration, Decoded)],
        part: impl Fn(&Decoded) -> T,
    ) -> Timeline<T> {
        let parts = versions.iter().map(|(at, decoded)| (*at, part(decoded)));
        Timeline::of_changes(parts.collect())
    }
    let up = over_time(&versions, |decoded| decoded.up);
    let ready = over_time(&versions, |decoded| decoded.ready);
    let addresses = over_time(&versions, |decoded| decoded.addresses.clone());
    let plans = over_time(&versions, |decoded| decoded.plan.clone()).0;
    let (_, first) = versions.into_iter().next()?;
    let mut node = model::Node {
        name: member.name.to_string(),
        group: member.group.to_string(),
        labels: first.labels,
        joins_at: Duration::ZERO,
        leaves_at: None,
        presence: first.presence,
        up,
        ready,
        addresses,
        ip: first.ip,
        clock: first.clock,
        kubelet: Timeline::constant(first.plan.kubelet),
        plans,
        pods: first.pods.into_iter().map(|(pod, _)| pod).collect(),
        cpu_nanocores: first.cpu_nanocores,
        memory_bytes: first.memory_bytes,
        up_for: first.up_for,
    };
    settle::nominal(&mut node, until);
    Some(node)
}
