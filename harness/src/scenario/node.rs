//! `nodes.*`: one machine, its clock and what runs there.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item, Object};
use super::diagnostic::Diagnostic;
use super::fleet::{COUNT, Member};
use super::kubelet::{KUBELET, Owner, Plan, plan};
use super::model::{Clock, Container, Pod};
use super::shape::{Key, Kind, Shape};
use super::source::Span;
use super::tree::Node as Tree;

/// What to do instead of changing a node's other settings during the run.
const WHOLE_RUN: &str = "set it on the node for the whole run; `kubelet` and `ready` can change";

pub(crate) static NODE: Shape = Shape::new(
    "Node",
    "A machine, its kubelet, its clock and what runs there.",
    &[
        Key::optional("count", COUNT, "3", "As many nodes, called after this one: `worker` becomes `worker-1`, `worker-2`, … An entry called `worker-2` beside it refines that one. Missing: one node.").fixed(WHOLE_RUN),
        Key::optional("labels", LABELS, "{topology.kubernetes.io/zone: a}", "Labels of the Node object.").fixed(WHOLE_RUN),
        Key::optional("joinsAt", Kind::Duration, "30s", "When the Node object appears. Default: 0s, before the run.").fixed("it is a time already: set it on the node").within("nodes: {first: {}}\nmetricsServer: {node: first}"),
        Key::optional("leavesAt", Kind::Duration, "50s", "When the Node object is deleted. Missing: never.").fixed("it is a time already: set it on the node"),
        Key::given("ready", Kind::Boolean, "false", "The node's condition Ready."),
        Key::optional("ip", Kind::Ip, "10.0.0.77", "The machine's address. Missing: the first address of `addresses` that is one, else one of 10.0.0.0/16.").fixed(WHOLE_RUN),
        Key::optional("addresses", Kind::List(&Kind::Mapping(&ADDRESS)), "[{type: InternalIP, address: 10.0.0.7}, {type: Hostname, address: node-1}]", "`status.addresses` of the Node object, in order. Missing: the machine's address as InternalIP, the node's name as Hostname.").fixed(WHOLE_RUN),
        Key::optional("clock", Kind::Mapping(&CLOCK), "{offset: -10m}", "The machine's wall clock. Missing: right.").fixed("`clock.steps` of the node moves its clock at given times"),
        Key::given("kubelet", Kind::Mapping(&KUBELET), "{state: Closed}", "The node's kubelet."),
        Key::given("pods", PODS, "[{name: web, containers: [{name: web}]}]", "Pods that the kubelet reports besides metrics-server: how many ordinary ones, or which.").fixed(WHOLE_RUN),
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

pub(crate) static CLOCK: Shape = Shape::new(
    "Clock",
    "A wall clock that may be wrong. Timers run on the monotonic clock and keep their pace.",
    &[
        Key::optional(
            "offset",
            Kind::SignedDuration,
            "-10m",
            "How far it is ahead (positive) or behind when the run begins. Default: 0s.",
        ),
        Key::optional(
            "drift",
            Kind::Drift,
            "20ppm",
            "How much too fast it runs. Default: 0.",
        ),
        Key::optional(
            "steps",
            Kind::List(&Kind::Mapping(&STEP)),
            "[{at: 40s, by: 10m}]",
            "Corrections, in order of time.",
        ),
    ],
);

static STEP: Shape = Shape::new(
    "ClockStep",
    "A correction of a clock, as NTP makes it.",
    &[
        Key::required("at", Kind::Duration, "40s", "When, in time of the run."),
        Key::required(
            "by",
            Kind::SignedDuration,
            "10m",
            "By how much, forward if positive.",
        ),
    ],
);

const LABELS: Kind = Kind::Named("a label's name", &Kind::Text);

const PODS: Kind = Kind::OneOf(&PODS_KINDS);

static PODS_KINDS: [Kind; 2] = [Kind::Integer(0, 1000), Kind::List(&Kind::Mapping(&POD))];

static POD: Shape = Shape::new(
    "Pod",
    "A pod whose containers the kubelet reports.",
    &[
        Key::optional(
            "namespace",
            Kind::ObjectName,
            "kube-system",
            "Its namespace. Default: `default`.",
        ),
        Key::required(
            "name",
            Kind::ObjectName,
            "coredns",
            "Its name, once in a namespace.",
        ),
        Key::optional("labels", LABELS, "{app: web}", "Its labels."),
        Key::required(
            "containers",
            Kind::List(&Kind::Mapping(&CONTAINER)),
            "[{name: web}]",
            "Its containers.",
        ),
    ],
);

static CONTAINER: Shape = Shape::new(
    "Container",
    "A container that the kubelet reports.",
    &[
        Key::required("name", Kind::ObjectName, "web", "Its name."),
        Key::optional(
            "started",
            Kind::SignedDuration,
            "-2s",
            "When it started, counted from the start of the run. Default: -1h.",
        ),
        Key::optional(
            "cpu",
            Kind::Cpu,
            "20m",
            "Its CPU use, in cores. Default: 20m.",
        ),
        Key::optional(
            "memory",
            Kind::Memory,
            "20M",
            "Its working set, in bytes. Default: 20M.",
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

/// A decoded node, as it is from one time on.
#[derive(Debug, Clone)]
pub(crate) struct Decoded {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) joins_at: Duration,
    pub(crate) leaves_at: Option<Duration>,
    pub(crate) ready: bool,
    pub(crate) addresses: Vec<(String, String)>,
    pub(crate) ip: IpAddr,
    pub(crate) clock: Clock,
    pub(crate) plan: Plan,
    /// Each with the place of its name, for messages.
    pub(crate) pods: Vec<(Pod, Span)>,
    pub(crate) cpu_nanocores: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) up_for: Duration,
}

/// Reads the node `member`, number `index`, whose complete tree is `tree`.
pub(crate) fn node(
    decoder: &mut Decoder,
    tree: &Rc<Tree>,
    member: &Member,
    index: usize,
    until: Option<Duration>,
) -> Option<Decoded> {
    let item = Item::named(&member.group, member.key_span, tree);
    let mut object = decoder.object(item, &NODE)?;
    object.item("count");
    let labels = object.or(decoder, "labels", Vec::new(), labels);
    let (joins_at, leaves_at) = presence(decoder, &mut object, until);
    let ready = object.required(decoder, "ready", Decoder::boolean);
    let (addresses, ip) = addresses(decoder, &mut object, &member.name, index);
    let clock = object.or(decoder, "clock", Clock::default(), |decoder, item| {
        clock(decoder, item, until)
    });
    let owner = Owner {
        name: &member.name,
        addresses: addresses.as_deref().unwrap_or(&[]),
    };
    let plan = object.required(decoder, "kubelet", |decoder, item| {
        plan(decoder, item, &owner)
    });
    let pods = object.required(decoder, "pods", |decoder, item| {
        pods(decoder, item, &member.name)
    });
    let cpu_nanocores = object.required(decoder, "cpu", Decoder::cpu);
    let memory_bytes = object.required(decoder, "memory", Decoder::memory);
    let up_for = object.required(decoder, "upFor", Decoder::duration);
    object.finish(decoder);
    Some(Decoded {
        labels: labels?,
        joins_at: joins_at?,
        leaves_at: leaves_at?,
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

fn labels(decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<(String, String)>> {
    let named = decoder.named(item)?;
    let read: Vec<Option<(String, String)>> = named
        .into_iter()
        .map(|label| {
            decoder
                .text(label)
                .map(|value| (label.name.to_owned(), value.to_owned()))
        })
        .collect();
    read.into_iter().collect()
}

type Presence = (Option<Duration>, Option<Option<Duration>>);

fn presence(decoder: &mut Decoder, object: &mut Object<'_>, until: Option<Duration>) -> Presence {
    let time = |decoder: &mut Decoder, item: Item<'_>| decoder.time(item, until);
    let joins_at = object.or(decoder, "joinsAt", Duration::ZERO, time);
    let leaves_at = object.optional(decoder, "leavesAt", time);
    if let (Some(joins), Some(Some(leaves))) = (joins_at, leaves_at)
        && leaves <= joins
        && let Some(item) = object.item("leavesAt")
    {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            "the node leaves before it has joined",
            "choose `leavesAt` later than `joinsAt`",
        ));
    }
    (joins_at, leaves_at)
}

type Addresses = (Option<Vec<(String, String)>>, Option<IpAddr>);

/// `status.addresses`, and the machine's own address: `ip`, else the first
/// literal InternalIP, else the first literal address, else one derived from
/// the node's number.
fn addresses(
    decoder: &mut Decoder,
    object: &mut Object<'_>,
    name: &str,
    index: usize,
) -> Addresses {
    let explicit_ip = object.optional(decoder, "ip", Decoder::ip);
    let listed = object.optional(decoder, "addresses", |decoder, item| {
        decoder.list(item, address)
    });
    let (Some(explicit_ip), Some(listed)) = (explicit_ip, listed) else {
        return (None, None);
    };
    let literal = |kind: Option<&str>| {
        let listed = listed.iter().flatten();
        let mut of_kind = listed.filter(|(k, _)| kind.is_none_or(|kind| k == kind));
        of_kind.find_map(|(_, address)| address.parse::<IpAddr>().ok())
    };
    let ip = explicit_ip
        .or_else(|| literal(Some("InternalIP")))
        .or_else(|| literal(None))
        .unwrap_or_else(|| default_ip(index));
    let addresses = listed.unwrap_or_else(|| {
        vec![
            ("InternalIP".to_owned(), ip.to_string()),
            ("Hostname".to_owned(), name.to_owned()),
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

/// Reads a machine's `clock`.
pub(crate) fn clock(
    decoder: &mut Decoder,
    item: Item<'_>,
    until: Option<Duration>,
) -> Option<Clock> {
    let mut object = decoder.object(item, &CLOCK)?;
    let offset_ns = object.or(decoder, "offset", 0, Decoder::signed_duration);
    let drift_ppb = object.or(decoder, "drift", 0, Decoder::drift);
    let steps = object.or(decoder, "steps", Vec::new(), |decoder, item| {
        decoder.list(item, |decoder, item| step(decoder, item, until))
    });
    if let Some(steps) = &steps
        && !steps.windows(2).all(|pair| pair[0].0 < pair[1].0)
        && let Some(item) = object.item("steps")
    {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            "the steps of a clock are not in order of time",
            "sort them by `at`, with one step at a time",
        ));
    }
    object.finish(decoder);
    Some(Clock {
        offset_ns: offset_ns?,
        drift_ppb: drift_ppb?,
        steps: steps?,
    })
}

fn step(decoder: &mut Decoder, item: Item<'_>, until: Option<Duration>) -> Option<(Duration, i64)> {
    let mut object = decoder.object(item, &STEP)?;
    let at = object.required(decoder, "at", |decoder, item| decoder.time(item, until));
    let by = object.required(decoder, "by", Decoder::signed_duration);
    object.finish(decoder);
    Some((at?, by?))
}

/// A number of ordinary pods, or a list of particular ones.
fn pods(decoder: &mut Decoder, item: Item<'_>, node: &str) -> Option<Vec<(Pod, Span)>> {
    if item.node.text().is_some() {
        let count = decoder.integer(item, 0..=1000)?;
        let pods = (1..=count).map(|number| (ordinary_pod(node, number), item.span()));
        return Some(pods.collect());
    }
    decoder.list(item, pod)
}

/// Started an hour before the run with twenty thousandths of a core and
/// 20 MB, like the containers of the recordings.
fn ordinary_pod(node: &str, number: u64) -> Pod {
    Pod {
        namespace: "default".to_owned(),
        name: format!("{node}-pod-{number}"),
        labels: Vec::new(),
        containers: vec![Container {
            name: "app".to_owned(),
            started_ns: STARTED_NS,
            cpu_nanocores: CPU_NANOCORES,
            memory_bytes: MEMORY_BYTES,
        }],
    }
}

const STARTED_NS: i64 = -3_600_000_000_000;
const CPU_NANOCORES: u64 = 20_000_000;
const MEMORY_BYTES: u64 = 20_000_000;

fn pod(decoder: &mut Decoder, item: Item<'_>) -> Option<(Pod, Span)> {
    let mut object = decoder.object(item, &POD)?;
    let namespace = object.or(decoder, "namespace", "default".to_owned(), object_name);
    let name = object.required(decoder, "name", object_name);
    let place = object.item("name").map_or(item.span(), Item::span);
    let labels = object.or(decoder, "labels", Vec::new(), labels);
    let containers = object.required(decoder, "containers", |decoder, item| {
        decoder.list(item, container)
    });
    object.finish(decoder);
    let pod = Pod {
        namespace: namespace?,
        name: name?,
        labels: labels?,
        containers: containers?,
    };
    Some((pod, place))
}

fn object_name(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
    let name = decoder.text(item)?;
    decoder
        .object_name(name, item.span())
        .then(|| name.to_owned())
}

fn container(decoder: &mut Decoder, item: Item<'_>) -> Option<Container> {
    let mut object = decoder.object(item, &CONTAINER)?;
    let name = object.required(decoder, "name", object_name);
    let started_ns = object.or(decoder, "started", STARTED_NS, Decoder::signed_duration);
    let cpu_nanocores = object.or(decoder, "cpu", CPU_NANOCORES, Decoder::cpu);
    let memory_bytes = object.or(decoder, "memory", MEMORY_BYTES, Decoder::memory);
    object.finish(decoder);
    Some(Container {
        name: name?,
        started_ns: started_ns?,
        cpu_nanocores: cpu_nanocores?,
        memory_bytes: memory_bytes?,
    })
}
