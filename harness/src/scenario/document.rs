//! A whole scenario: preset and file layered, then decoded.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use super::changes::{self, Change};
use super::code::Code;
use super::decoder::{Decoder, Item, Object, SCENARIO, note_duplicate_keys};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::expect;
use super::fleet::Fleet;
use super::model::{Action, ActionKind, Expectation, MetricsServer, Scenario, Timeline};
use super::node::Decoded;
use super::plane;
use super::presets::PRESETS;
use super::server;
use super::settings;
use super::source::{SourceId, Sources, Span};
use super::tree::{Entry, Node, Value, overlay};
use super::yaml;

/// Runs longer than a week are a mistake.
const LONGEST_RUN: Duration = Duration::from_secs(7 * 24 * 3600);

/// Reads the scenario file, which `sources` holds already.
pub(crate) fn read(mut sources: Sources, digest: &str) -> Result<Scenario, Diagnostics> {
    let file = match yaml::read(&sources, SourceId::FILE) {
        Ok(tree) => tree,
        Err(mistake) => return Err(Diagnostics::new(sources, vec![*mistake])),
    };
    let mut decoder = Decoder::default();
    let scenario = decode(&mut decoder, &mut sources, &file, digest);
    let found = decoder.into_found();
    match scenario {
        Some(scenario) if found.is_empty() => Ok(scenario),
        _ => Err(Diagnostics::new(sources, found)),
    }
}

/// `preset`, and the preset's tree. Without a usable name the first preset
/// stands in, so that the rest of the file is checked all the same.
fn preset(decoder: &mut Decoder, sources: &mut Sources, file: &Rc<Node>) -> (String, Rc<Node>) {
    let names: Vec<(&'static str, usize)> = PRESETS
        .iter()
        .enumerate()
        .map(|(index, preset)| (preset.name, index))
        .collect();
    let chosen = decoder.object(Item::root(file)).and_then(|mut head| {
        head.required(decoder, "preset", |decoder, item| {
            decoder.word(item, &names)
        })
    });
    let preset = PRESETS[chosen.unwrap_or(0)];
    let id = sources.add(preset.name, preset.text);
    let tree = yaml::read(sources, id).expect("presets are YAML: a test reads them all");
    (preset.name.to_owned(), tree)
}

fn decode(
    decoder: &mut Decoder,
    sources: &mut Sources,
    file: &Rc<Node>,
    digest: &str,
) -> Option<Scenario> {
    let Value::Map(_) = file.value else {
        decoder.note(Diagnostic::at(
            Code::WrongType,
            Item::root(file).span(),
            "a scenario is a mapping",
            "begin with `apiVersion: firstlight/v1`, `kind: Scenario`, `metadata`, `preset` and `nodes`",
        ));
        return None;
    };
    note_duplicate_keys(decoder, file);
    let (preset, preset_tree) = preset(decoder, sources, file);
    let merged = overlay(&preset_tree, &with_preset_args(&preset_tree, file));
    let parts = parts(decoder, sources, &merged, Item::root(file).key_span())?;

    // The settings at zero are checked even if a change is wrong.
    let changes = parts.changes.as_deref().unwrap_or(&[]);
    let over_time = changes::apply(decoder, &merged, &parts.nodes, changes, parts.until)?;
    let settings = settings::settings(sources, &merged, &parts.nodes, changes);
    check_nodes(decoder, &parts.nodes, &over_time.nodes);
    let metrics_server = parts.metrics_server?;
    check_home(decoder, &merged, &metrics_server, &over_time.nodes);
    parts.changes?;
    let head = parts.head?;
    let plane = over_time.plane;
    Some(Scenario {
        name: head.name,
        description: head.description,
        tags: head.tags,
        links: head.links,
        file: PathBuf::from(sources.name(SourceId::FILE)),
        input_digest: digest.to_owned(),
        preset,
        until: parts.until?,
        seeds: head.seeds,
        epoch_unix_ns: head.epoch_unix_ns,
        metrics_server,
        nodes: changes::nodes(&parts.nodes, over_time.nodes),
        api_servers: plane.api_servers,
        aggregation: plane.aggregation,
        service: plane.service,
        authentication: plane.authentication,
        rbac: plane.rbac,
        network: Timeline::of_changes(over_time.network),
        consumers: plane.consumers,
        actions: parts.actions?,
        expectations: parts.expectations?,
        settings,
    })
}

/// The parts of a document; `None` where a mistake was noted.
struct Parts {
    head: Option<Head>,
    until: Option<Duration>,
    /// Empty after a mistake: then only what does not refer to nodes is
    /// checked.
    nodes: Fleet,
    metrics_server: Option<MetricsServer>,
    actions: Option<Vec<Action>>,
    expectations: Option<Vec<Expectation>>,
    changes: Option<Vec<Change>>,
}

fn parts(
    decoder: &mut Decoder,
    sources: &Sources,
    merged: &Rc<Node>,
    place: Span,
) -> Option<Parts> {
    let mut object = decoder.object(Item::named(SCENARIO, place, merged))?;
    let until = object.required(decoder, "until", until);
    let head = head(decoder, &mut object);
    let nodes = object
        .required(decoder, "nodes", Fleet::read)
        .unwrap_or_default()
        .with_api_servers(&plane::server_names(merged));
    let metrics_server = object.required(decoder, "metricsServer", |decoder, item| {
        server::metrics_server(decoder, item, &nodes, until)
    });
    let actions = object.or(decoder, "actions", Vec::new(), |decoder, item| {
        actions(decoder, item, until)
    });
    let reader = expect::Reader { sources, until };
    let expectations = object.or(decoder, "expect", Vec::new(), |decoder, item| {
        reader.expectations(decoder, item)
    });
    let changes = object.or(decoder, "changes", Vec::new(), |decoder, item| {
        changes::read(decoder, item, &nodes, until)
    });
    // These vary over time: `changes` decodes them.
    for key in plane::KEYS.into_iter().chain(["nodeDefaults", "network"]) {
        object.item(key);
    }
    object.finish(decoder);
    Some(Parts {
        head,
        until,
        nodes,
        metrics_server,
        actions,
        expectations,
        changes,
    })
}

/// The file with the preset's arguments put before its own: arguments add up.
fn with_preset_args(preset: &Rc<Node>, file: &Rc<Node>) -> Rc<Node> {
    let own = file.path(&["metricsServer", "args"]);
    let (Some(own), Some(preset)) = (own, preset.path(&["metricsServer", "args"])) else {
        return Rc::clone(file);
    };
    if !matches!(own.value.value, Value::List(_)) {
        return Rc::clone(file);
    }
    let all = preset
        .value
        .items()
        .iter()
        .chain(own.value.items())
        .map(Rc::clone);
    let span = own.value.span;
    let list = Rc::new(Node {
        span,
        value: Value::List(all.collect()),
    });
    let layer = |entry: &Entry, value: Rc<Node>| {
        let value = Value::Map(vec![Entry {
            value,
            ..entry.clone()
        }]);
        Rc::new(Node { span, value })
    };
    let server = file.entry("metricsServer").expect("its args were found");
    overlay(file, &layer(server, layer(own, list)))
}

/// What names the scenario and says how it is run.
struct Head {
    name: String,
    description: String,
    tags: Vec<String>,
    links: Vec<String>,
    seeds: Vec<u64>,
    epoch_unix_ns: i64,
}

fn head(decoder: &mut Decoder, object: &mut Object<'_>) -> Option<Head> {
    object.item("preset");
    let version = object.required(decoder, "apiVersion", |decoder, item| {
        decoder.word(item, &[("firstlight/v1", ())])
    });
    let kind = object.required(decoder, "kind", |decoder, item| {
        decoder.word(item, &[("Scenario", ())])
    });
    let seeds = object.required(decoder, "seeds", Decoder::seeds);
    let epoch_unix_ns = object.required(decoder, "epoch", Decoder::instant);
    let metadata = object.required(decoder, "metadata", |decoder, item| {
        let mut object = decoder.object(item)?;
        let name = object.required(decoder, "name", |decoder, item| {
            let name = decoder.text(item)?;
            decoder
                .object_name(name, item.span())
                .then(|| name.to_owned())
        });
        let owned = |decoder: &mut Decoder, item: Item<'_>| decoder.text(item).map(str::to_owned);
        let description = object.or(decoder, "description", String::new(), owned);
        let tags = object.or(decoder, "tags", Vec::new(), |decoder, item| {
            decoder.list(item, owned)
        });
        let links = object.or(decoder, "links", Vec::new(), |decoder, item| {
            decoder.list(item, link)
        });
        object.finish(decoder);
        Some((name?, description?, tags?, links?))
    });
    version?;
    kind?;
    let (name, description, tags, links) = metadata?;
    Some(Head {
        name,
        description: description.trim_end().to_owned(),
        tags,
        links,
        seeds: seeds?,
        epoch_unix_ns: epoch_unix_ns?,
    })
}

fn link(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
    let link = decoder.text(item)?;
    if link.starts_with("https://") || link.starts_with("http://") {
        return Some(link.to_owned());
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        item.span(),
        format!("`{link}` is not a link"),
        "write a whole address, beginning with `https://`",
    ));
    None
}

fn until(decoder: &mut Decoder, item: Item<'_>) -> Option<Duration> {
    let until = decoder.duration(item)?;
    if (Duration::from_secs(1)..=LONGEST_RUN).contains(&until) {
        return Some(until);
    }
    decoder.note(Diagnostic::at(
        Code::BadNumber,
        item.span(),
        "a scenario lasts from one second to a week",
        "write how long to simulate, such as `until: 5m`",
    ));
    None
}

/// `actions`, in order of time.
fn actions(decoder: &mut Decoder, item: Item<'_>, until: Option<Duration>) -> Option<Vec<Action>> {
    let mut actions = decoder.list(item, |decoder, item| {
        let mut object = decoder.object(item)?;
        let at = object.required(decoder, "at", |decoder, item| decoder.time(item, until));
        let mut one = |key, kind| {
            object
                .optional(decoder, key, |decoder, item| decoder.word(item, &[("metrics-server", ())]))
                .map(|given| given.map(|()| kind))
        };
        let kinds = [
            one("kill", ActionKind::Kill),
            one("start", ActionKind::Start),
            one("terminate", ActionKind::Terminate),
        ];
        object.finish(decoder);
        let kinds: Vec<Option<ActionKind>> = kinds.into_iter().collect::<Option<_>>()?;
        let kinds: Vec<ActionKind> = kinds.into_iter().flatten().collect();
        let [kind] = kinds[..] else {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "an action does exactly one thing",
                "write one of `kill`, `start` and `terminate`, such as `{at: 55s, kill: metrics-server}`",
            ));
            return None;
        };
        Some(Action { at: at?, kind })
    })?;
    actions.sort_by_key(|action| action.at);
    Some(actions)
}

/// Addresses belong to one node, pods run on one node.
fn check_nodes(decoder: &mut Decoder, fleet: &Fleet, nodes: &[Vec<(Duration, Decoded)>]) {
    let mut addresses = std::collections::BTreeMap::new();
    let mut pods = std::collections::BTreeMap::new();
    for (member, node) in fleet.members().iter().zip(nodes) {
        let Some((_, node)) = node.first() else {
            continue;
        };
        if let Some((other, place)) = addresses.insert(node.ip, (&member.name, member.key_span)) {
            let message = format!(
                "`{}` and `{other}` have the same address {}",
                member.name, node.ip
            );
            let help = "give one of them another address, or none: addresses are then assigned";
            decoder.note(
                Diagnostic::at(Code::Duplicate, member.key_span, message, help)
                    .related(place, "the other"),
            );
        }
        for (pod, place) in &node.pods {
            let name = (&pod.namespace, &pod.name);
            let Some((_, other)) = pods.insert(name, (&member.name, *place)) else {
                continue;
            };
            let message = format!("the pod `{}/{}` runs twice", pod.namespace, pod.name);
            let help = "name them differently; for ordinary pods on every node write a number, such as `pods: 10`";
            let diagnostic = Diagnostic::at(Code::Duplicate, *place, message, help);
            decoder.note(if other == *place {
                diagnostic
            } else {
                diagnostic.related(other, "the other")
            });
        }
    }
}

/// The pod needs its node.
fn check_home(
    decoder: &mut Decoder,
    merged: &Node,
    server: &MetricsServer,
    nodes: &[Vec<(Duration, Decoded)>],
) {
    let Some((_, home)) = nodes.get(server.node).and_then(|node| node.first()) else {
        return;
    };
    let created = server.pod.created_at;
    let there = home.joins_at <= created && home.leaves_at.is_none_or(|leaves| created < leaves);
    let entry = merged
        .path(&["metricsServer", "node"])
        .or_else(|| merged.entry("nodes"));
    if let Some(entry) = entry.filter(|_| !there) {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            Item::of(entry).span(),
            "metrics-server's node is not there when the pod is created",
            "choose another `metricsServer.node`, or set `pod.createdAt` between `joinsAt` and `leavesAt`",
        ));
    }
}
