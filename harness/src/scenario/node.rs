//! `nodes.*`: one machine, its clock and what runs there.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item, Object};
use super::diagnostic::Diagnostic;
use super::fleet::Member;
use super::kubelet::{Owner, Plan, plan};
use super::model::{Clock, Container, Pod};
use super::source::Span;
use super::tree::Node as Tree;

/// Address types of a node. Source: `k8s.io/api/core/v1 NodeAddressType`.
const ADDRESS_TYPES: [(&str, &str); 5] = [
    ("InternalIP", "InternalIP"),
    ("ExternalIP", "ExternalIP"),
    ("Hostname", "Hostname"),
    ("InternalDNS", "InternalDNS"),
    ("ExternalDNS", "ExternalDNS"),
];

/// Keys of a node that hold for the whole run.
pub(crate) const FIXED_KEYS: [&str; 11] = [
    "count",
    "labels",
    "joinsAt",
    "leavesAt",
    "ip",
    "addresses",
    "clock",
    "pods",
    "cpu",
    "memory",
    "upFor",
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
    let mut object = decoder.object(item)?;
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
    let mut object = decoder.object(item)?;
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
    let mut object = decoder.object(item)?;
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
    let mut object = decoder.object(item)?;
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
    let mut object = decoder.object(item)?;
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
    let mut object = decoder.object(item)?;
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
