//! What comes before the process serves: `pod` and `startCost`.

use std::time::Duration;

use super::decoder::{Decoder, Item};
use super::model::{Availability, Distribution, InitContainer, PodStart, StartCost};
use super::scalars::DISTRIBUTION;
use super::shape::{Key, Kind, Shape};

pub(crate) static POD_START: Shape = Shape::new(
    "PodStart",
    "From the pod's creation to its container's start, one after the other.",
    &[
        Key::given(
            "createdAt",
            Kind::Duration,
            "10s",
            "Time at which the pod is created.",
        )
        .fixed("it belongs to the whole run"),
        Key::given(
            "scheduling",
            DISTRIBUTION,
            "50ms",
            "From creation until it is bound to its node.",
        ),
        Key::given(
            "imagePull",
            DISTRIBUTION,
            "{uniform: [5s, 40s]}",
            "Time to pull the image; 0 where it is there already.",
        ),
        Key::given(
            "sandbox",
            DISTRIBUTION,
            "2s",
            "Sandbox, network and volumes.",
        ),
        Key::optional(
            "networkAvailableAfter",
            AVAILABILITY,
            "40s",
            "Time before which the node has no network (CNI) and makes no sandbox, except for a pod with `hostNetwork`. Missing: it has one.",
        ),
        Key::optional(
            "imageAvailableAfter",
            AVAILABILITY,
            "90s",
            "Time before which pulls of the image fail, with the kubelet's own waits between them (ImagePullBackOff). Missing: none fails.",
        ),
        Key::optional(
            "initContainers",
            Kind::List(&Kind::Mapping(&INIT_CONTAINER)),
            "[{name: wait-for-kubelet, runs: 5s}]",
            "What has to succeed before the image is pulled, one after the other.",
        ),
    ],
);

static INIT_CONTAINER: Shape = Shape::new(
    "InitContainer",
    "A container that has to succeed before metrics-server's may start.",
    &[
        Key::required("name", Kind::ObjectName, "wait-for-kubelet", "Its name."),
        Key::optional(
            "runs",
            DISTRIBUTION,
            "5s",
            "How long a run takes. Default: 0.",
        ),
        Key::optional(
            "until",
            AVAILABILITY,
            "25s",
            "Time before which no run succeeds: it waits for something. Missing: it waits for nothing.",
        ),
        Key::optional(
            "failures",
            Kind::Integer(0, 1000),
            "2",
            "How many runs fail before one succeeds, each followed by the kubelet's back-off. Default: 0.",
        ),
    ],
);

/// A time, or `never`.
const AVAILABILITY: Kind =
    Kind::OneOf(&[Kind::Duration, Kind::Word(&[("never", "not in this run")])]);

pub(crate) static START_COST: Shape = Shape::new(
    "StartCost",
    "What a process costs from exec to its first answer, apart from waiting for others: four parts, one after the other.",
    &[
        Key::given(
            "exec",
            DISTRIBUTION,
            "25ms",
            "Exec until the serving certificate is looked for.",
        ),
        Key::given(
            "certificate",
            DISTRIBUTION,
            "{uniform: [1s, 4s]}",
            "Generating the serving certificate; the port is bound right after. Not spent on a restart in the same pod.",
        ),
        Key::given(
            "configure",
            DISTRIBUTION,
            "140ms",
            "Bound until the first request to the API server.",
        ),
        Key::given(
            "serve",
            DISTRIBUTION,
            "15ms",
            "First tick until the server answers.",
        ),
    ],
);

/// Reads `pod`.
pub(crate) fn pod_start(
    decoder: &mut Decoder,
    item: Item<'_>,
    until: Option<Duration>,
) -> Option<PodStart> {
    let mut object = decoder.object(item, &POD_START)?;
    let created_at = object.required(decoder, "createdAt", |decoder, item| {
        decoder.time(item, until)
    });
    let scheduling = object.required(decoder, "scheduling", Decoder::distribution);
    let image_pull = object.required(decoder, "imagePull", Decoder::distribution);
    let sandbox = object.required(decoder, "sandbox", Decoder::distribution);
    let mut available = |key| object.or(decoder, key, Availability::Always, availability);
    let network_available = available("networkAvailableAfter");
    let image_available = available("imageAvailableAfter");
    let init_containers = object.or(decoder, "initContainers", Vec::new(), |decoder, item| {
        decoder.list(item, init_container)
    });
    object.finish(decoder);
    Some(PodStart {
        network_available: network_available?,
        image_available: image_available?,
        init_containers: init_containers?,
        created_at: created_at?,
        scheduling: scheduling?,
        image_pull: image_pull?,
        sandbox: sandbox?,
    })
}

/// A time, or `never`.
fn availability(decoder: &mut Decoder, item: Item<'_>) -> Option<Availability> {
    if item.node.text() == Some("never") {
        return Some(Availability::Never);
    }
    decoder.duration(item).map(Availability::After)
}

fn init_container(decoder: &mut Decoder, item: Item<'_>) -> Option<InitContainer> {
    let mut object = decoder.object(item, &INIT_CONTAINER)?;
    let name = object.required(decoder, "name", |decoder, item| {
        let name = decoder.text(item)?;
        decoder
            .object_name(name, item.span())
            .then(|| name.to_owned())
    });
    let at_once = Distribution::Constant(Duration::ZERO);
    let runs = object.or(decoder, "runs", at_once, Decoder::distribution);
    let awaited = object.or(decoder, "until", Availability::Always, availability);
    let failures = object.or(decoder, "failures", 0, |decoder, item| {
        decoder.integer(item, 0..=1000)
    });
    object.finish(decoder);
    Some(InitContainer {
        name: name?,
        runs: runs?,
        awaited: awaited?,
        failures: u32::try_from(failures?).ok()?,
    })
}

/// Reads `startCost`.
pub(crate) fn start_cost(decoder: &mut Decoder, item: Item<'_>) -> Option<StartCost> {
    let mut object = decoder.object(item, &START_COST)?;
    let exec = object.required(decoder, "exec", Decoder::distribution);
    let certificate = object.required(decoder, "certificate", Decoder::distribution);
    let configure = object.required(decoder, "configure", Decoder::distribution);
    let serve = object.required(decoder, "serve", Decoder::distribution);
    object.finish(decoder);
    Some(StartCost {
        exec: exec?,
        certificate: certificate?,
        configure: configure?,
        serve: serve?,
    })
}
