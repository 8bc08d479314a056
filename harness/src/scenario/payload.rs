//! What is wrong with a kubelet's metrics.

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Flaw, FlawKind, Payload};
use super::shape::{Choice, Key, Kind, Shape};

pub(crate) const PAYLOAD: Kind = Kind::OneOf(&PAYLOAD_KINDS);

static PAYLOAD_KINDS: [Kind; 2] = [
    Kind::Word(&[
        ("Healthy", "nothing"),
        ("NoNodeSeries", "no `node_*` series"),
        ("NoContainerSeries", "no `container_*` series"),
        ("ZeroNode", "CPU and memory of the node are zero"),
        ("NoContainerCpu", "every container lacks its CPU series"),
        (
            "NoContainerMemory",
            "every container lacks its memory series",
        ),
        ("ScrapeError", "nothing but `resource_scrape_error 1`"),
        ("Empty", "an empty body"),
        ("Garbage", "random bytes"),
        ("Endless", "a body without an end"),
        (
            "DuplicateSeries",
            "every CPU sample of the node and its containers stands twice",
        ),
        ("InvalidUtf8", "one more container, whose name is not UTF-8"),
        ("NaN", "every CPU and memory sample is `NaN`"),
        ("Unlabelled", "the containers' samples carry no labels"),
    ]),
    Kind::Mapping(&PAYLOAD_SHAPE),
];

pub(crate) static PAYLOAD_SHAPE: Shape = Shape::new(
    "Payload",
    "A body of one's own, or a healthy one except for some pods.",
    &[
        Key::optional("raw", Kind::Text, r#""node_cpu_usage_seconds_total {CPU} {TS}\n""#, "This text; `{CPU}` and `{TS}` stand for the node's CPU seconds and the sample's time in milliseconds."),
        Key::optional("truncated", Kind::Integer(0, 1_000_000), "100", "The body breaks off after this many bytes."),
        Key::optional("pods", Kind::Named("a pod, as `name`, `namespace/name` or `namespace/name/container`", &FLAW), "{kube-system/coredns: NoCpu}", "What is wrong with the series of these pods' containers."),
        Key::optional("nodeStarted", Kind::Duration, "46s", "In `/stats/summary`, which metrics-server 0.5 reads, the node says at each scrape that it started this long before its sample."),
    ],
)
.choice(Choice::One(&["raw", "truncated", "pods", "nodeStarted"]));

static FLAW: Kind = Kind::Word(&[
    ("Missing", "there are none"),
    ("NoCpu", "no CPU series"),
    ("NoMemory", "no memory series"),
    ("NoStartTime", "no start time"),
    ("Zero", "CPU and memory are zero"),
    ("NaN", "CPU and memory are `NaN`"),
    ("Duplicate", "each sample stands twice"),
    ("Unlabelled", "the samples carry no labels"),
]);

/// Reads `payload`: what is wrong with all of it, and with single pods.
pub(crate) fn payload(decoder: &mut Decoder, item: Item<'_>) -> Option<(Payload, Vec<Flaw>)> {
    if item.node.entries().is_empty() {
        return Some((word(decoder, item)?, Vec::new()));
    }
    let mut object = decoder.object(item, &PAYLOAD_SHAPE)?;
    let raw = object.optional(decoder, "raw", |decoder, item| {
        decoder.text(item).map(str::to_owned)
    });
    let truncated = object.optional(decoder, "truncated", |decoder, item| {
        decoder.integer(item, 0..=1_000_000)
    });
    let pods = object.optional(decoder, "pods", flaws);
    let node_started = object.optional(decoder, "nodeStarted", Decoder::duration);
    object.finish(decoder);
    match (raw?, truncated?, pods?, node_started?) {
        (Some(text), None, None, None) => Some((Payload::Raw(text), Vec::new())),
        (None, Some(bytes), None, None) => {
            let payload = Payload::Truncated(usize::try_from(bytes).ok()?);
            Some((payload, Vec::new()))
        }
        (None, None, Some(flaws), None) => Some((Payload::Healthy, flaws)),
        (None, None, None, Some(before)) => Some((Payload::NodeStarted(before), Vec::new())),
        _ => {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "`payload` must have exactly one shape",
                "keep one of `raw`, `truncated`, `pods` and `nodeStarted`, or write a word such as `Healthy`",
            ));
            None
        }
    }
}

/// Reads the payload of one path, where single pods cannot be told apart.
pub(crate) fn whole_payload(decoder: &mut Decoder, item: Item<'_>) -> Option<Payload> {
    let (payload, flaws) = payload(decoder, item)?;
    if flaws.is_empty() {
        return Some(payload);
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        item.key_span(),
        "`pods` cannot be spoilt at one path only",
        "write `pods` in the kubelet's own `payload`: it holds at every path",
    ));
    None
}

fn word(decoder: &mut Decoder, item: Item<'_>) -> Option<Payload> {
    decoder.word(
        item,
        &[
            ("Healthy", Payload::Healthy),
            ("NoNodeSeries", Payload::NoNodeSeries),
            ("NoContainerSeries", Payload::NoContainerSeries),
            ("ZeroNode", Payload::ZeroNode),
            ("NoContainerCpu", Payload::NoContainerCpu),
            ("NoContainerMemory", Payload::NoContainerMemory),
            ("ScrapeError", Payload::ScrapeError),
            ("Empty", Payload::Empty),
            ("Garbage", Payload::Garbage),
            ("Endless", Payload::Endless),
            ("DuplicateSeries", Payload::DuplicateSeries),
            ("InvalidUtf8", Payload::InvalidUtf8),
            ("NaN", Payload::Nan),
            ("Unlabelled", Payload::Unlabelled),
        ],
    )
}

fn flaws(decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Flaw>> {
    let read: Vec<Option<Flaw>> = decoder
        .named(item)?
        .into_iter()
        .filter(|pod| !pod.node.is_null())
        .map(|pod| flaw(decoder, pod))
        .collect();
    read.into_iter().collect()
}

fn flaw(decoder: &mut Decoder, item: Item<'_>) -> Option<Flaw> {
    let parts: Vec<&str> = item.name.split('/').collect();
    let well_formed = parts
        .iter()
        .all(|part| decoder.object_name(part, item.key_span()));
    let kind = decoder.word(
        item,
        &[
            ("Missing", FlawKind::Missing),
            ("NoCpu", FlawKind::NoCpu),
            ("NoMemory", FlawKind::NoMemory),
            ("NoStartTime", FlawKind::NoStartTime),
            ("Zero", FlawKind::Zero),
            ("NaN", FlawKind::Nan),
            ("Duplicate", FlawKind::Duplicate),
            ("Unlabelled", FlawKind::Unlabelled),
        ],
    );
    let owned = |text: &str| text.to_owned();
    let (namespace, pod, container) = match parts[..] {
        [pod] => (None, pod, None),
        [namespace, pod] => (Some(namespace), pod, None),
        [namespace, pod, container] => (Some(namespace), pod, Some(container)),
        _ => {
            decoder.note(Diagnostic::at(
                Code::BadValue,
                item.key_span(),
                format!("`{}` does not name a pod", item.name),
                "write `name`, `namespace/name` or `namespace/name/container`",
            ));
            return None;
        }
    };
    if !well_formed {
        return None;
    }
    Some(Flaw {
        namespace: namespace.map(owned),
        pod: owned(pod),
        container: container.map(owned),
        kind: kind?,
    })
}
