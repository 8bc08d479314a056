//! `nodes.*`: one machine and when it is there.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use mocks::deployment::placement::{Amounts, Taint};

use super::clock::{CLOCK, clock};
use super::code::Code;
use super::decoder::{Decoder, Item, Object};
use super::diagnostic::Diagnostic;
use super::fleet::{COUNT, Member};
use super::kubelet::{KUBELET, Owner, plan};
use super::model::{Clock, Distribution, KubeletPlan, Presence, Timeline};
use super::node_pods::{LABELS, PODS, Placed, brought, labels, pods};
use super::placement::{TAINTS, taints};
use super::resources::{AMOUNTS, allocatable};
use super::scalars::DISTRIBUTION;
use super::shape::{Key, Kind, Shape};
use super::tree::Node as Tree;
use super::values::show_duration;

/// What to do instead of changing a node's other settings during the run.
const WHOLE_RUN: &str = "set it on the node for the whole run; `kubelet`, `clock`, `machine`, `registered`, `labels`, `taints`, `allocatable`, `ip`, `addresses`, `ready` and `pods` can change";

/// What to do instead of changing when a node is there.
const A_TIME: &str = "it is a time already: set it on the node, or change `registered`";

pub(crate) static NODE: Shape = Shape::new(
    "Node",
    "A machine, its kubelet, its clock and what runs there.",
    &[
        Key::optional("count", COUNT, "3", "As many nodes, called after this one: `worker` becomes `worker-1`, `worker-2`, … An entry called `worker-2` beside it refines that one. Missing: one node.").fixed(WHOLE_RUN),
        Key::optional("labels", LABELS, "{topology.kubernetes.io/zone: a}", "Labels of the Node object."),
        Key::optional("joinsAt", DISTRIBUTION, "30s", "When the Node object appears; each node of a group draws for itself. Default: 0s, before the run. metrics-server's pod waits for its node.").fixed(A_TIME),
        Key::optional("joinEvery", Kind::Duration, "2s", "In a group, how much later than the one before each further node joins. Default: 0s.").fixed(A_TIME),
        Key::optional("leavesAt", DISTRIBUTION, "50s", "When the Node object is deleted. Missing: never.").fixed(A_TIME),
        Key::optional("leaveEvery", Kind::Duration, "2s", "In a group, how much later than the one before each further node leaves. Default: 0s.").fixed(A_TIME),
        Key::optional("registered", Kind::Boolean, "false", "Whether its Node object is there: in a change, the node joins or leaves. Missing: as `joinsAt` and `leavesAt` say."),
        Key::optional("machine", Kind::Word(&[("Up", "it runs"), ("Down", "it is gone with what runs there: packets to it vanish; its Node is not Ready 50s later, and 5m after that its pods are replaced elsewhere")]), "Down", "Whether the machine itself is there. One that comes back starts its kubelet anew. Default: `Up`."),
        Key::optional("taints", TAINTS, "[{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]", "Taints of the Node, besides those that say how it is. Default: none."),
        Key::optional("allocatable", Kind::Mapping(&AMOUNTS), "{cpu: 80m}", "What pods may request on it together (`status.allocatable`); only those of metrics-server do. Default: 4 cores and 16Gi."),
        Key::given("ready", Kind::Boolean, "false", "The node's condition Ready."),
        Key::optional("ip", Kind::Ip, "10.0.0.77", "The machine's address. Missing: the first IPv4 address of `addresses`, else one of 10.0.0.0/16. A new one cuts what is connected to the old one, at which nobody is found any more; what `addresses` lists explicitly stays until it changes too."),
        Key::optional("addresses", Kind::List(&Kind::Mapping(&ADDRESS)), "[{type: InternalIP, address: 10.0.0.7}, {type: Hostname, address: node-1}]", "`status.addresses` of the Node object, in order. Missing: the machine's address as InternalIP, the node's name as Hostname."),
        Key::optional("clock", Kind::Mapping(&CLOCK), "{offset: -10m}", "The machine's wall clock. Missing: right."),
        Key::given("kubelet", Kind::Mapping(&KUBELET), "{state: Closed}", "The node's kubelet."),
        Key::given("pods", PODS, "[{name: web, containers: [{name: web}]}]", "Pods that the kubelet reports besides metrics-server: how many ordinary ones, or which. After a change, pods that are not named any more are deleted, and those that are described anew start then."),
        Key::given("cpu", Kind::Cpu, "300m", "CPU use of the whole node, in cores.").fixed(WHOLE_RUN),
        Key::given("memory", Kind::Memory, "1.5G", "Working set of the whole node, in bytes.").fixed(WHOLE_RUN),
        Key::given("upFor", Kind::Duration, "30s", "How long the node has been up when the run begins.").fixed(WHOLE_RUN),
    ],
);

static ADDRESS: Shape = Shape::new(
    "NodeAddress",
    "An address of a Node object.",
    &[
        Key::required(
            "type",
            Kind::Word(&[
                ("InternalIP", "an address inside the cluster's network"),
                ("ExternalIP", "an address outside"),
                ("Hostname", "the node's host name"),
                ("InternalDNS", "a name inside the cluster's network"),
                ("ExternalDNS", "a name outside"),
            ]),
            "InternalIP",
            "What it is.",
        ),
        Key::required(
            "address",
            Kind::OneOf(&[Kind::Ip, Kind::Text]),
            "10.0.0.7",
            "An IP address, or a name for the resolver.",
        ),
    ],
);

/// Address types of a node. Source: `k8s.io/api/core/v1 NodeAddressType`.
const ADDRESS_TYPES: [(&str, &str); 5] = [
    ("InternalIP", "InternalIP"),
    ("ExternalIP", "ExternalIP"),
    ("Hostname", "Hostname"),
    ("InternalDNS", "InternalDNS"),
    ("ExternalDNS", "ExternalDNS"),
];

/// `status.addresses`: types and values.
pub(crate) type Addresses = Vec<(String, String)>;

/// A decoded node, as it is from one time on.
#[derive(Debug, Clone)]
pub(crate) struct Decoded {
    pub(crate) labels: Vec<(String, String)>,
    /// Without what is said of `registered` at other times.
    pub(crate) presence: Presence,
    pub(crate) registered: Option<bool>,
    pub(crate) taints: Vec<Taint>,
    /// As in its Node object by itself if absent.
    pub(crate) allocatable: Option<Amounts>,
    pub(crate) up: bool,
    pub(crate) ready: bool,
    pub(crate) addresses: Addresses,
    pub(crate) ip: IpAddr,
    pub(crate) clock: Clock,
    pub(crate) plan: KubeletPlan,
    pub(crate) pods: Vec<Placed>,
    pub(crate) cpu_nanocores: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) up_for: Duration,
}

/// Which node is read, and what is known of it already.
pub(crate) struct Reading<'a> {
    pub(crate) member: &'a Member,
    /// Its number among all nodes.
    pub(crate) index: usize,
    /// From when on what is read holds.
    pub(crate) at: Duration,
    /// Its pods up to then, if this is a later reading.
    pub(crate) before: Option<&'a [Placed]>,
    /// What it was at the start, if this is a later reading.
    pub(crate) first: Option<&'a Decoded>,
    pub(crate) until: Option<Duration>,
}

/// Reads a node whose complete tree is `tree`.
pub(crate) fn node(
    decoder: &mut Decoder,
    tree: &Rc<Tree>,
    reading: &Reading<'_>,
) -> Option<Decoded> {
    let (member, until) = (reading.member, reading.until);
    let item = Item::named(&member.group, member.key_span, tree);
    let mut object = decoder.object(item, &NODE)?;
    object.item("count");
    let labels = object.or(decoder, "labels", Vec::new(), labels);
    let presence = presence(decoder, &mut object, member.ordinal, until);
    let registered = object.optional(decoder, "registered", Decoder::boolean);
    if let (Some(Some(_)), true) = (registered, reading.first.is_none()) {
        note_idle_times(decoder, &mut object);
    }
    let taints = object.or(decoder, "taints", Vec::new(), taints);
    let up = object.or(decoder, "machine", true, |decoder, item| {
        decoder.word(item, &[("Up", true), ("Down", false)])
    });
    let allocatable = object.optional(decoder, "allocatable", allocatable);
    let ready = object.required(decoder, "ready", Decoder::boolean);
    let (addresses, ip) = addresses(decoder, &mut object, reading);
    let clock = object.or(decoder, "clock", Clock::default(), |decoder, item| {
        clock(decoder, item, until)
    });
    let first = reading.first.map(|first| &first.addresses);
    let first = first.or(addresses.as_ref());
    let owner = Owner {
        name: &member.name,
        addresses: first.map_or(&[], Vec::as_slice),
    };
    let plan = object.required(decoder, "kubelet", |decoder, item| {
        plan(decoder, item, &owner)
    });
    let pods = object.required(decoder, "pods", |decoder, item| {
        pods(decoder, item, &member.name, until)
    });
    let pods = pods.map(|pods| match reading.before {
        Some(before) => brought(pods, before, reading.at),
        None => pods,
    });
    let cpu_nanocores = object.required(decoder, "cpu", Decoder::cpu);
    let memory_bytes = object.required(decoder, "memory", Decoder::memory);
    let up_for = object.required(decoder, "upFor", Decoder::duration);
    object.finish(decoder);
    Some(Decoded {
        labels: labels?,
        presence: presence?,
        registered: registered?,
        taints: taints?,
        allocatable: allocatable?,
        up: up?,
        ready: ready?,
        addresses: addresses?,
        ip: ip?,
        clock: clock?,
        plan: plan?,
        pods: pods?,
        cpu_nanocores: cpu_nanocores?,
        memory_bytes: memory_bytes?,
        up_for: up_for?,
    })
}

/// When the node, number `ordinal` of its group, comes and goes.
fn presence(
    decoder: &mut Decoder,
    object: &mut Object<'_>,
    ordinal: u32,
    until: Option<Duration>,
) -> Option<Presence> {
    let before_the_run = Distribution::Constant(Duration::ZERO);
    let joins_later = object.or(decoder, "joinEvery", Duration::ZERO, Decoder::duration);
    let joins_later = joins_later.map(|every| every.saturating_mul(ordinal));
    let joins = object.or(decoder, "joinsAt", before_the_run, |decoder, item| {
        moment(decoder, item, joins_later, until)
    });
    let leaves_later = object.or(decoder, "leaveEvery", Duration::ZERO, Decoder::duration);
    let leaves_later = leaves_later.map(|every| every.saturating_mul(ordinal));
    let leaves = object.optional(decoder, "leavesAt", |decoder, item| {
        moment(decoder, item, leaves_later, until)
    });
    let presence = Presence {
        joins: joins?,
        joins_later: joins_later?,
        leaves: leaves?,
        leaves_later: leaves_later?,
        registered: Timeline::constant(None),
    };
    if let Some(leaves) = &presence.leaves
        && leaves.median() + presence.leaves_later <= presence.joins.median() + presence.joins_later
        && let Some(item) = object.item("leavesAt")
    {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            "the node leaves before it has joined",
            "choose `leavesAt` later than `joinsAt`",
        ));
    }
    Some(presence)
}

/// Times beside `registered` decide nothing from the beginning on.
fn note_idle_times(decoder: &mut Decoder, object: &mut Object<'_>) {
    for key in ["joinsAt", "joinEvery", "leavesAt", "leaveEvery"] {
        if let Some(item) = object.item(key) {
            decoder.note(Diagnostic::at(
                Code::SaysNothing,
                item.key_span(),
                format!("`{key}` says nothing beside `registered`"),
                "keep one of them; `registered` can change while the scenario runs",
            ));
        }
    }
}

/// A time within the run, even when `later` is added, or what it is drawn
/// from.
fn moment(
    decoder: &mut Decoder,
    item: Item<'_>,
    later: Option<Duration>,
    until: Option<Duration>,
) -> Option<Distribution> {
    let moment = decoder.distribution(item)?;
    let latest = moment.max() + later.unwrap_or_default();
    let Some(until) = until.filter(|until| latest >= *until) else {
        return Some(moment);
    };
    let shown = match &moment {
        Distribution::Constant(at) if *at == latest => {
            format!("`{}: {}`", item.name, show_duration(latest))
        }
        _ => format!("`{}`, at the latest {},", item.name, show_duration(latest)),
    };
    decoder.note(Diagnostic::at(
        Code::AfterEnd,
        item.span(),
        format!("{shown} is not before the end of the scenario"),
        format!(
            "the scenario ends at {}: choose an earlier time, or a later `until`",
            show_duration(until)
        ),
    ));
    None
}

/// `status.addresses`, and the machine's own address: `ip`, else the first
/// literal IPv4 InternalIP, else the first literal IPv4 address, else one derived from
/// the node's number.
///
/// Only a new `ip` moves the machine later.
fn addresses(
    decoder: &mut Decoder,
    object: &mut Object<'_>,
    reading: &Reading<'_>,
) -> (Option<Addresses>, Option<IpAddr>) {
    let explicit_ip = object.optional(decoder, "ip", Decoder::ip);
    let listed = object.optional(decoder, "addresses", |decoder, item| {
        decoder.list(item, address)
    });
    let (Some(explicit_ip), Some(listed)) = (explicit_ip, listed) else {
        return (None, None);
    };
    let literal = |kind: Option<&str>| {
        let listed = listed.iter().flatten();
        let of_kind = listed.filter(|(k, _)| kind.is_none_or(|kind| k == kind));
        // Of a dual-stack node the one that pods of an IPv4 cluster reach.
        let mut parsed = of_kind.filter_map(|(_, address)| address.parse::<Ipv4Addr>().ok());
        parsed.next().map(IpAddr::V4)
    };
    let ip = explicit_ip
        .or(reading.first.map(|first| first.ip))
        .or_else(|| literal(Some("InternalIP")))
        .or_else(|| literal(None))
        .unwrap_or_else(|| default_ip(reading.index));
    let addresses = listed.unwrap_or_else(|| {
        vec![
            ("InternalIP".to_owned(), ip.to_string()),
            ("Hostname".to_owned(), reading.member.name.to_string()),
        ]
    });
    (Some(addresses), Some(ip))
}

/// 10.0.0.1, 10.0.0.2, … with 250 nodes to a third number.
fn default_ip(index: usize) -> IpAddr {
    let third = u8::try_from(index / 250).expect("fewer than 64,000 nodes");
    let fourth = u8::try_from(index % 250 + 1).expect("at most 250");
    IpAddr::V4(Ipv4Addr::new(10, 0, third, fourth))
}

fn address(decoder: &mut Decoder, item: Item<'_>) -> Option<(String, String)> {
    let mut object = decoder.object(item, &ADDRESS)?;
    let kind = object.required(decoder, "type", |decoder, item| {
        decoder.word(item, &ADDRESS_TYPES)
    });
    let is_ip = kind.is_some_and(|kind| kind.ends_with("IP"));
    let address = object.required(decoder, "address", |decoder, item| {
        if is_ip {
            return decoder.ip(item).map(|ip| ip.to_string());
        }
        decoder.text(item).map(str::to_owned)
    });
    object.finish(decoder);
    Some((kind?.to_owned(), address?))
}
