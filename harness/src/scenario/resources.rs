//! `resources`, `cpu` and `memory` of metrics-server's container.

use std::time::Duration;

use mocks::deployment::placement::Amounts;

use super::decoder::{Decoder, Item};
use super::model::{Cpu, Distribution, Limits, Memory};
use super::scalars::DISTRIBUTION;
use super::shape::{Choice, Key, Kind, Shape};

pub(crate) static RESOURCES: Shape = Shape::new(
    "Resources",
    "Requests and limits of the container, as in a manifest.",
    &[
        Key::optional(
            "requests",
            Kind::Mapping(&AMOUNTS),
            "{cpu: 100m, memory: 200Mi}",
            "What a node must have left for the pod (`nodes.*.allocatable`). They decide nothing else: no other process competes for the processor; what one that does adds is said with `cpu`. Default: 100m and 200Mi, as in metrics-server's manifests.",
        ),
        Key::optional(
            "limits",
            Kind::Mapping(&AMOUNTS),
            "{cpu: 20m, memory: 200Mi}",
            "A process that takes more memory than this is killed; how much it takes is said with `memory`. One that takes more CPU is held up to the next tenth of a second (CFS): `startCost` is CPU time, and scraping a node takes a thousandth of a core on average. What it serves waits behind that.",
        ),
    ],
);

pub(crate) static AMOUNTS: Shape = Shape::new(
    "ResourceAmounts",
    "Amounts of CPU and memory.",
    &[
        Key::optional("cpu", Kind::Cpu, "100m", "Cores."),
        Key::optional("memory", Kind::Memory, "200Mi", "Bytes."),
    ],
);

pub(crate) static CPU: Shape = Shape::new(
    "Cpu",
    "What a starved processor adds to the process's work.",
    &[
        Key::optional(
            "request",
            DISTRIBUTION,
            "{uniform: [0ms, 3s]}",
            "Added to each request that metrics-server serves, probes included. Default: 0.",
        ),
        Key::optional(
            "tick",
            DISTRIBUTION,
            "4s",
            "Added to each scrape tick before its result is stored. Default: 0.",
        ),
    ],
)
.choice(Choice::Some(&["request", "tick"]));

pub(crate) static MEMORY: Shape = Shape::new(
    "Memory",
    "What the process uses of its memory. Above `resources.limits.memory` it is killed (exit 137, OOMKilled); without that limit it may have what its node of 16 GiB has left: a critical pod (`priorityClassName`) is killed then, any other is evicted when less than 100 MiB are left.",
    &[
        Key::optional("base", Kind::Memory, "40Mi", "From its start. Default: 0."),
        Key::optional(
            "perNode",
            Kind::Memory,
            "2Mi",
            "For each node that it knows. Default: 0.",
        ),
        Key::optional(
            "perPod",
            Kind::Memory,
            "100Ki",
            "For each pod that it stores. Default: 0.",
        ),
        Key::optional(
            "perTick",
            Kind::Memory,
            "1Mi",
            "What each scrape tick leaves behind. Default: 0.",
        ),
    ],
)
.choice(Choice::Some(&["base", "perNode", "perPod", "perTick"]));

/// What the manifests of metrics-server request.
///
/// Source: metrics-server `manifests/base/deployment.yaml`.
pub(crate) const USUAL_REQUESTS: Amounts = Amounts {
    cpu_millis: 100,
    memory_bytes: 200 << 20,
};

/// Reads `resources`: requests and limits.
pub(crate) fn resources(decoder: &mut Decoder, item: Item<'_>) -> Option<(Amounts, Limits)> {
    let mut object = decoder.object(item, &RESOURCES)?;
    let requests = object.optional(decoder, "requests", amounts);
    let limits = object.optional(decoder, "limits", amounts);
    object.finish(decoder);
    let requests = requests?.map_or(USUAL_REQUESTS, |said| asked(&said, Amounts::default()));
    Some((requests, limits?.unwrap_or_default()))
}

/// What a node has for pods where a scenario does not say it: all that it has.
const USUAL_ALLOCATABLE: Amounts = Amounts {
    cpu_millis: 4_000,
    memory_bytes: 16 << 30,
};

/// Reads `allocatable`.
pub(crate) fn allocatable(decoder: &mut Decoder, item: Item<'_>) -> Option<Amounts> {
    amounts(decoder, item).map(|said| asked(&said, USUAL_ALLOCATABLE))
}

/// Amounts with those of `usual` where nothing is said. Parts of a thousandth of
/// a core count as one.
fn asked(said: &Limits, usual: Amounts) -> Amounts {
    let cpu = said.cpu_nanocores.map(|nanos| nanos.div_ceil(1_000_000));
    Amounts {
        cpu_millis: cpu.unwrap_or(usual.cpu_millis),
        memory_bytes: said.memory_bytes.unwrap_or(usual.memory_bytes),
    }
}

fn amounts(decoder: &mut Decoder, item: Item<'_>) -> Option<Limits> {
    let mut object = decoder.object(item, &AMOUNTS)?;
    let cpu = object.optional(decoder, "cpu", Decoder::cpu);
    let memory = object.optional(decoder, "memory", Decoder::memory);
    object.finish(decoder);
    Some(Limits {
        cpu_nanocores: cpu?,
        memory_bytes: memory?,
    })
}

/// Reads `cpu`.
pub(crate) fn cpu(decoder: &mut Decoder, item: Item<'_>) -> Option<Cpu> {
    let nothing = || Distribution::Constant(Duration::ZERO);
    let mut object = decoder.object(item, &CPU)?;
    let request = object.or(decoder, "request", nothing(), Decoder::distribution);
    let tick = object.or(decoder, "tick", nothing(), Decoder::distribution);
    object.finish(decoder);
    Some(Cpu {
        request: request?,
        tick: tick?,
    })
}

/// Reads `memory`.
pub(crate) fn memory(decoder: &mut Decoder, item: Item<'_>) -> Option<Memory> {
    let mut object = decoder.object(item, &MEMORY)?;
    let mut bytes = |key| object.or(decoder, key, 0, Decoder::memory);
    let base = bytes("base");
    let per_node = bytes("perNode");
    let per_pod = bytes("perPod");
    let per_tick = bytes("perTick");
    object.finish(decoder);
    Some(Memory {
        base: base?,
        per_node: per_node?,
        per_pod: per_pod?,
        per_tick: per_tick?,
    })
}
