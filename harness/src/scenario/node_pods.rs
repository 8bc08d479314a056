//! `nodes.*.pods`: what runs on a node besides metrics-server.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Container, Pod};
use super::shape::{Key, Kind, Shape};
use super::source::Span;

pub(crate) const LABELS: Kind = Kind::Named("a label's name", &Kind::Text);

pub(crate) const PODS: Kind = Kind::OneOf(&PODS_KINDS);

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
        Key::optional(
            "deletedAt",
            Kind::Duration,
            "40s",
            "When it is deleted. Missing: never, unless the node leaves.",
        ),
        Key::required(
            "containers",
            Kind::List(&Kind::Mapping(&CONTAINER)),
            "[{name: web}]",
            "Its containers. The Pod object appears when the first of them starts.",
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
            "restarts",
            Kind::List(&Kind::Duration),
            "[20s, 40s]",
            "When it starts again, its CPU time from zero. Missing: never.",
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

/// A pod, and what was said of it.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) pod: Pod,
    /// As the scenario describes it, where a change brings it and it therefore
    /// starts later.
    described: Option<Box<Pod>>,
    /// The place of its name, for messages.
    pub(crate) place: Span,
}

impl Placed {
    fn new(pod: Pod, place: Span) -> Self {
        Self {
            pod,
            described: None,
            place,
        }
    }

    fn described(&self) -> &Pod {
        self.described.as_deref().unwrap_or(&self.pod)
    }

    /// The pod when a change brings it `at` a time: nothing of it has started
    /// before.
    fn brought(mut self, at: Duration) -> Self {
        self.described = Some(Box::new(self.pod.clone()));
        let start = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
        self.pod.comes_at = at;
        for container in &mut self.pod.containers {
            container.started_ns = container.started_ns.max(start);
            container.restarts.retain(|restart| at < *restart);
        }
        self
    }
}

/// A number of ordinary pods, or a list of particular ones.
pub(crate) fn pods(
    decoder: &mut Decoder,
    item: Item<'_>,
    node: &str,
    until: Option<Duration>,
) -> Option<Vec<Placed>> {
    if item.node.text().is_some() {
        let count = decoder.integer(item, 0..=1000)?;
        let pods = (1..=count).map(|number| Placed::new(ordinary_pod(node, number), item.span()));
        return Some(pods.collect());
    }
    decoder.list(item, |decoder, item| pod(decoder, item, until))
}

/// Started an hour before the run with twenty thousandths of a core and
/// 20 MB, like the containers of the recordings.
fn ordinary_pod(node: &str, number: u64) -> Pod {
    Pod {
        namespace: "default".to_owned(),
        name: format!("{node}-pod-{number}"),
        labels: Vec::new(),
        comes_at: Duration::ZERO,
        deleted_at: None,
        containers: vec![Container {
            name: "app".to_owned(),
            started_ns: STARTED_NS,
            restarts: Vec::new(),
            cpu_nanocores: CPU_NANOCORES,
            memory_bytes: MEMORY_BYTES,
        }],
    }
}

const STARTED_NS: i64 = -3_600_000_000_000;
const CPU_NANOCORES: u64 = 20_000_000;
const MEMORY_BYTES: u64 = 20_000_000;

fn pod(decoder: &mut Decoder, item: Item<'_>, until: Option<Duration>) -> Option<Placed> {
    let mut object = decoder.object(item, &POD)?;
    let namespace = object.or(decoder, "namespace", "default".to_owned(), object_name);
    let name = object.required(decoder, "name", object_name);
    let place = object.item("name").map_or(item.span(), Item::span);
    let labels = object.or(decoder, "labels", Vec::new(), labels);
    let deleted_at = object.optional(decoder, "deletedAt", |decoder, item| {
        decoder.time(item, until)
    });
    let containers = object.required(decoder, "containers", |decoder, item| {
        decoder.list(item, |decoder, item| container(decoder, item, until))
    });
    object.finish(decoder);
    let pod = Pod {
        namespace: namespace?,
        name: name?,
        labels: labels?,
        comes_at: Duration::ZERO,
        deleted_at: deleted_at?,
        containers: containers?,
    };
    Some(Placed::new(pod, place))
}

/// `pods`, which hold from `at` on, as they follow upon those `before`: what is
/// described as before goes on, anything else starts then at the earliest.
pub(crate) fn brought(pods: Vec<Placed>, before: &[Placed], at: Duration) -> Vec<Placed> {
    let follow = |new: Placed| {
        let known = before.iter().find(|known| *known.described() == new.pod);
        known.cloned().unwrap_or_else(|| new.brought(at))
    };
    pods.into_iter().map(follow).collect()
}

/// Reads labels.
pub(crate) fn labels(decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<(String, String)>> {
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

fn object_name(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
    let name = decoder.text(item)?;
    decoder
        .object_name(name, item.span())
        .then(|| name.to_owned())
}

fn container(decoder: &mut Decoder, item: Item<'_>, until: Option<Duration>) -> Option<Container> {
    let mut object = decoder.object(item, &CONTAINER)?;
    let name = object.required(decoder, "name", object_name);
    let started_ns = object.or(decoder, "started", STARTED_NS, Decoder::signed_duration);
    let restarts = object.or(decoder, "restarts", Vec::new(), |decoder, item| {
        decoder.list(item, |decoder, item| decoder.time(item, until))
    });
    check_restarts(
        decoder,
        object.item("restarts"),
        started_ns,
        restarts.as_deref(),
    );
    let cpu_nanocores = object.or(decoder, "cpu", CPU_NANOCORES, Decoder::cpu);
    let memory_bytes = object.or(decoder, "memory", MEMORY_BYTES, Decoder::memory);
    object.finish(decoder);
    Some(Container {
        name: name?,
        started_ns: started_ns?,
        restarts: restarts?,
        cpu_nanocores: cpu_nanocores?,
        memory_bytes: memory_bytes?,
    })
}

/// Restarts follow the start and each other.
fn check_restarts(
    decoder: &mut Decoder,
    item: Option<Item<'_>>,
    started_ns: Option<i64>,
    restarts: Option<&[Duration]>,
) {
    let (Some(item), Some(started_ns), Some(restarts)) = (item, started_ns, restarts) else {
        return;
    };
    let after_start = restarts
        .first()
        .is_none_or(|first| i128::from(started_ns) < i128::try_from(first.as_nanos()).unwrap_or(0));
    if after_start && restarts.windows(2).all(|pair| pair[0] < pair[1]) {
        return;
    }
    decoder.note(Diagnostic::at(
        Code::Contradiction,
        item.span(),
        "the restarts of a container are not in order of time, after its start",
        "sort them, each later than `started`",
    ));
}
