//! A whole scenario: preset and file layered, then decoded.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::actions::{ACTION, actions};
use super::address_plan::{self, CLUSTER};
use super::aggregation::{AGGREGATION, AUTHENTICATION};
use super::api_server::API_SERVER;
use super::changes::{self, Change};
use super::clock::CLIENTS;
use super::code::Code;
use super::consistency::{check_home, check_nodes};
use super::consumers::{self, CONSUMERS};
use super::decoder::{Decoder, Item, SCENARIO, note_duplicate_keys};
use super::diagnostic::{Diagnostic, Diagnostics};
use super::dns::DNS;
use super::expect;
use super::fleet::Fleet;
use super::head::{Head, LONGEST_RUN, METADATA, head, until};
use super::layers::lay;
use super::manifest;
use super::model::{Action, Clock, Cluster, Expectation, MetricsServer, Scenario, Timeline};
use super::network::{self, NETWORK};
use super::node::NODE;
use super::nodes_over_time;
use super::over_time;
use super::plane;
use super::presets::{self, PRESETS};
use super::rbac::RBAC;
use super::server::{self, METRICS_SERVER};
use super::service::SERVICE_SHAPE;
use super::settings;
use super::shape::{Key, Kind, Shape};
use super::source::{SourceId, Sources, Span};
use super::timing::{self, Moments, Timed};
use super::tree::{Node, Value, overlay};
use super::yaml;

/// A whole scenario.
pub(crate) static SCENARIO_SHAPE: Shape = Shape::new(
    "Scenario",
    "A scenario: a preset, what differs from it, what happens, and what must come of it.",
    &[
        Key::required(
            "apiVersion",
            Kind::Word(&[("firstlight/v1", "this language")]),
            "firstlight/v1",
            "The version of the language.",
        )
        .fixed("it is about the whole file"),
        Key::required(
            "kind",
            Kind::Word(&[("Scenario", "the only kind")]),
            "Scenario",
            "What the file is.",
        )
        .fixed("it is about the whole file"),
        Key::required(
            "metadata",
            Kind::Mapping(&METADATA),
            "{name: example}",
            "What the scenario is called and what it is about.",
        )
        .fixed("it names the whole scenario"),
        Key::required(
            "preset",
            Kind::Preset,
            "upstream-0.8",
            "The distribution whose defaults hold where the scenario says nothing.",
        )
        .fixed("a scenario builds on one preset"),
        Key::optional(
            "manifest",
            Kind::Text,
            "./metrics-server.yaml",
            "A file with the real manifest, counted from the scenario's directory: Deployment, Service, APIService and PodDisruptionBudget, as applied or as `kubectl get -o yaml` or `helm template` print them. What it says holds in place of the preset; a scenario that says otherwise is wrong. Missing: none.",
        )
        .fixed("what changes is said in the scenario"),
        Key::given(
            "until",
            Kind::Duration,
            "90s",
            "How long the run lasts, from a second to a week.",
        )
        .fixed("it ends the whole run"),
        Key::given(
            "seeds",
            Kind::Seeds,
            "1..20",
            "Which seeds it is run with: one, a range with both ends included, or a list of both.",
        )
        .fixed("a run has one seed"),
        Key::given(
            "epoch",
            Kind::Instant,
            "2026-11-23T09:00:00Z",
            "What right clocks show when the run begins.",
        )
        .fixed("`clock.steps` of a node moves its clock"),
        Key::given(
            "cluster",
            Kind::Mapping(&CLUSTER),
            "{podCIDR: 10.42.0.0/16, serviceCIDR: 10.43.0.0/16}",
            "The addresses of the cluster.",
        )
        .fixed("a cluster keeps its addresses"),
        Key::given(
            "metricsServer",
            Kind::Mapping(&METRICS_SERVER),
            "{args: [--metric-resolution=30s]}",
            "metrics-server and its pods. A change of what belongs to the pod template is rolled out; arguments replace those of the same flag.",
        ),
        Key::required(
            "nodes",
            Kind::Named("the node's name", &Kind::Mapping(&NODE)),
            "{node-1: {}}",
            "The cluster's nodes, at least one. Each is what `nodeDefaults` says, refined by what stands here.",
        ),
        Key::given(
            "nodeDefaults",
            Kind::Mapping(&NODE),
            "{kubelet: {latency: 30ms}}",
            "What holds for every node that says nothing else.",
        ),
        Key::given(
            "apiServer",
            Kind::Mapping(&API_SERVER),
            "{state: Starting}",
            "The API server; where there are several, what each of them is unless it says otherwise.",
        ),
        Key::optional(
            "apiServers",
            Kind::Named("a name for the API server", &Kind::Mapping(&API_SERVER)),
            "{a: {}, b: {state: Starting}}",
            "Several API servers, each with an aggregation layer of its own, behind a load balancer. Missing: one.",
        ),
        Key::given(
            "aggregation",
            Kind::Mapping(&AGGREGATION),
            "{registeredAt: 36s}",
            "The APIService and the aggregation layer.",
        ),
        Key::given(
            "service",
            Kind::Mapping(&SERVICE_SHAPE),
            "{publishNotReadyAddresses: true}",
            "The Service in front of metrics-server.",
        ),
        Key::optional(
            "authentication",
            Kind::Mapping(&AUTHENTICATION),
            "{configMap: absent}",
            "How metrics-server knows who asks.",
        ),
        Key::optional(
            "rbac",
            Kind::Mapping(&RBAC),
            "{metrics-server: {nodes/metrics: deny}}",
            "What differs from the usual permissions.",
        ),
        Key::given(
            "network",
            NETWORK,
            "{firewall: {from: metrics-server, to: nodes, port: 10250, effect: drop}}",
            "What stands in the way of traffic: rules, each with a name.",
        ),
        Key::optional(
            "dns",
            Kind::Mapping(&DNS),
            "{records: {node-1: 10.0.0.1}}",
            "How names resolve for metrics-server. Missing: the name server knows no node.",
        ),
        Key::given(
            "consumers",
            CONSUMERS,
            "{hpa: {every: 15s}}",
            "Who uses the metrics API, each with a name. `null` removes one.",
        ),
        Key::optional(
            "clients",
            Kind::Mapping(&CLIENTS),
            "{clock: {offset: -10m}}",
            "The machine of those who use `kubectl`, and of discovery clients.",
        ),
        Key::optional(
            "actions",
            Kind::List(&Kind::Mapping(&ACTION)),
            "[{at: 55s, kill: metrics-server}]",
            "What happens once.",
        )
        .fixed("actions stand beside `changes`"),
        Key::optional(
            "expect",
            Kind::Mapping(&expect::EXPECT),
            "{verdict: READY, restarts: 0}",
            "What must hold for the scenario to pass.",
        )
        .fixed("expectations stand beside `changes`"),
        Key::optional(
            "changes",
            Kind::List(&changes::CHANGE_KIND),
            "[{at: 40s, apiServer: {state: Down}}]",
            "What changes while the scenario runs.",
        )
        .fixed("changes do not nest"),
    ],
);

/// What origins call a layer over the file.
const LAYER: &str = "the change that is tried";

/// What is known besides the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Knowing<'a> {
    /// The times that were found for what waits for something to happen.
    pub(crate) moments: &'a Moments,
    /// YAML to lay over the file.
    pub(crate) layer: Option<&'a str>,
}

/// Reads the scenario file, which `sources` holds already.
pub(crate) fn read(
    mut sources: Sources,
    digest: &str,
    knowing: Knowing<'_>,
) -> Result<Scenario, Diagnostics> {
    let file = match yaml::read(&sources, SourceId::FILE) {
        Ok(tree) => tree,
        Err(mistake) => return Err(Diagnostics::new(sources, vec![*mistake])),
    };
    let layer = knowing.layer.map(|layer| {
        let id = sources.add(LAYER, layer);
        yaml::read(&sources, id)
    });
    let layer = match layer.transpose() {
        Ok(layer) => layer,
        Err(mistake) => return Err(Diagnostics::new(sources, vec![*mistake])),
    };
    let mut decoder = Decoder::default();
    let trees = Trees {
        file: &file,
        layer: layer.as_ref(),
    };
    let scenario = decode(&mut decoder, &mut sources, trees, digest, knowing.moments);
    let found = decoder.into_found();
    match scenario {
        Some(scenario) if found.is_empty() => Ok(scenario),
        _ => Err(Diagnostics::new(sources, found)),
    }
}

/// `preset`, and the preset's tree. Without a usable name another preset
/// stands in, so that the rest of the file is checked all the same.
fn preset(decoder: &mut Decoder, sources: &mut Sources, file: &Rc<Node>) -> (String, Rc<Node>) {
    let names: Vec<(&'static str, &'static str)> = PRESETS
        .iter()
        .map(|preset| (preset.name, preset.name))
        .collect();
    let root = Item::root(file);
    let chosen = decoder.object(root, &SCENARIO_SHAPE).and_then(|mut head| {
        head.required(decoder, "preset", |decoder, item| {
            decoder.word(item, &names)
        })
    });
    let name = chosen.unwrap_or(presets::FALLBACK);
    let tree = presets::tree(sources, name);
    (name.to_owned(), tree)
}

/// What is read.
#[derive(Clone, Copy)]
struct Trees<'t> {
    file: &'t Rc<Node>,
    /// What is laid over everything else.
    layer: Option<&'t Rc<Node>>,
}

fn decode(
    decoder: &mut Decoder,
    sources: &mut Sources,
    Trees { file, layer }: Trees<'_>,
    digest: &str,
    moments: &Moments,
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
    let manifest = manifest::layer::of_scenario(decoder, sources, file);
    let base = match &manifest {
        Some(manifest) => overlay(&preset_tree, &manifest.layer),
        None => preset_tree,
    };
    let mut merged = lay(decoder, &base, file);
    if let Some(layer) = layer {
        merged = lay(decoder, &merged, layer);
    }
    let place = Item::root(file).key_span();
    let parts = parts(decoder, sources, &merged, place, moments)?;

    // The settings at zero are checked even if a change is wrong.
    let none = Timed::default();
    let timed = parts.changes.as_ref().unwrap_or(&none);
    check_pending(decoder, &merged, &parts, timed);
    let changes: Vec<Change> = timed.due.iter().map(|(_, change)| change.clone()).collect();
    let changes = &*changes;
    let over_time = over_time::apply(decoder, &merged, &parts.nodes, changes, parts.until)?;
    let settings = settings::settings(sources, &merged, &parts.nodes, changes);
    check_nodes(decoder, &parts.nodes, &over_time.nodes);
    let metrics_server = parts.metrics_server?;
    check_home(decoder, &merged, &metrics_server, &over_time.nodes);
    let (actions, changes) = (parts.actions?, parts.changes?);
    let waits_to_replace_pods = changes.waiting.iter().any(Change::may_replace_pods)
        || actions.waiting.iter().any(Action::may_replace_pods);
    let waiting = changes.pending.into_iter().map(|(trigger, _)| trigger);
    let triggers = waiting.chain(actions.pending.into_iter().map(|(trigger, _)| trigger));
    let triggers = triggers.collect();
    let head = parts.head?;
    let plane = over_time.plane;
    let until = parts.until?;
    Some(Scenario {
        name: head.name,
        description: head.description,
        tags: head.tags,
        links: head.links,
        file: PathBuf::from(sources.name(SourceId::FILE)),
        input_digest: input_digest(digest, manifest.as_ref()),
        notes: manifest.map_or(Vec::new(), |manifest| manifest.notes),
        preset,
        until,
        seeds: head.seeds,
        epoch_unix_ns: head.epoch_unix_ns,
        cluster: parts.cluster?,
        clients: Clock::over_time(&over_time.clients),
        metrics_server,
        metrics_server_changes: over_time.metrics_server,
        nodes: nodes_over_time::nodes(&parts.nodes, over_time.nodes, until),
        api_servers: plane.api_servers,
        aggregation: plane.aggregation,
        api_service_there: plane.api_service_there,
        service: plane.service,
        service_there: plane.service_there,
        authentication: plane.authentication,
        rbac: plane.rbac,
        network: network::over_time(&over_time.network),
        dns: Timeline::of_changes(over_time.dns),
        consumers: plane.consumers,
        actions: actions.due.into_iter().map(|(_, action)| action).collect(),
        triggers,
        waits_to_replace_pods,
        text: sources.text(SourceId::FILE).into(),
        layer: None,
        expectations: parts.expectations?,
        settings,
    })
}

/// The digest of the file, and of the manifest where there is one.
fn input_digest(file: &str, manifest: Option<&manifest::Manifest>) -> String {
    match manifest {
        Some(manifest) => {
            let both = format!("{file} {}", manifest.digest);
            reports::trace::hex(&Sha256::digest(both.as_bytes()))
        }
        None => file.to_owned(),
    }
}

/// The parts of a document; `None` where a mistake was noted.
struct Parts {
    head: Option<Head>,
    until: Option<Duration>,
    /// Empty after a mistake: then only what does not refer to nodes is
    /// checked.
    nodes: Fleet,
    cluster: Option<Cluster>,
    metrics_server: Option<MetricsServer>,
    actions: Option<Timed<Action>>,
    expectations: Option<Vec<Expectation>>,
    changes: Option<Timed<Change>>,
}

fn parts(
    decoder: &mut Decoder,
    sources: &Sources,
    merged: &Rc<Node>,
    place: Span,
    moments: &Moments,
) -> Option<Parts> {
    let mut object = decoder.object(Item::named(SCENARIO, place, merged), &SCENARIO_SHAPE)?;
    let until = object.required(decoder, "until", until);
    let head = head(decoder, &mut object);
    let cluster = object.required(decoder, "cluster", address_plan::cluster);
    let nodes = object
        .required(decoder, "nodes", Fleet::read)
        .unwrap_or_default()
        .with_api_servers(&plane::server_names(merged));
    let metrics_server = object.required(decoder, "metricsServer", |decoder, item| {
        server::metrics_server(decoder, item, &nodes, until)
    });
    let consumers = consumers::all_names(merged);
    let timings = timing::Reader {
        sources,
        until,
        moments,
        consumers: &consumers,
    };
    let actions = object.or(decoder, "actions", Timed::default(), |decoder, item| {
        actions(decoder, item, &nodes, timings)
    });
    let reader = expect::Reader {
        sources,
        until,
        fleet: &nodes,
        consumers: &consumers,
    };
    let expectations = object.or(decoder, "expect", Vec::new(), |decoder, item| {
        reader.expectations(decoder, item)
    });
    let changes = object.or(decoder, "changes", Timed::default(), |decoder, item| {
        changes::read(decoder, item, &nodes, timings)
    });
    // These vary over time: `changes` decodes them.
    for key in plane::KEYS
        .into_iter()
        .chain(["nodeDefaults", "network", "dns", "clients"])
    {
        object.item(key);
    }
    object.finish(decoder);
    Some(Parts {
        head,
        until,
        nodes,
        cluster,
        metrics_server,
        actions,
        expectations,
        changes,
    })
}

/// Checks changes whose time is not known yet, as if they came last.
fn check_pending(decoder: &mut Decoder, merged: &Rc<Node>, parts: &Parts, changes: &Timed<Change>) {
    if changes.pending.is_empty() {
        return;
    }
    let last = parts.until.unwrap_or(LONGEST_RUN);
    let known = changes.due.iter().map(|(_, change)| change.clone());
    let pending = changes.pending.iter().map(|(_, change)| Change {
        at: last,
        ..change.clone()
    });
    let all: Vec<Change> = known.chain(pending).collect();
    over_time::apply(decoder, merged, &parts.nodes, &all, parts.until);
}
