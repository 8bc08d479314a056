//! How long a kubelet takes to answer, and how that depends on load.

use std::time::Duration;

use super::decoder::{Decoder, Item};
use super::model::{Distribution, Latency};
use super::scalars::DISTRIBUTION;
use super::shape::{Choice, Key, Kind, Shape};

/// A distribution, or one with parts that depend on load.
pub(crate) const LATENCY: Kind = Kind::OneOf(&LATENCY_KINDS);

static LATENCY_KINDS: [Kind; 2] = [DISTRIBUTION, Kind::Mapping(&LOADED)];

static LOADED: Shape = Shape::new(
    "LoadedLatency",
    "A latency that grows with what runs on the node, or with what the kubelet is working on. All parts add up.",
    &[
        Key::optional(
            "base",
            DISTRIBUTION,
            "20ms",
            "What every answer takes. Default: 0s.",
        ),
        Key::optional(
            "perPod",
            Kind::Duration,
            "10ms",
            "On top of it, for each pod that runs. Default: 0s.",
        ),
        Key::optional(
            "perContainer",
            Kind::Duration,
            "2s",
            "For each container that runs. Default: 0s.",
        ),
        Key::optional(
            "perConcurrent",
            Kind::Duration,
            "5s",
            "For each other request that the kubelet still works on, also for clients that have given up. Default: 0s.",
        ),
    ],
)
.choice(Choice::Some(&LOADED_KEYS));

const LOADED_KEYS: [&str; 4] = ["base", "perPod", "perContainer", "perConcurrent"];

/// Reads a latency.
pub(crate) fn latency(decoder: &mut Decoder, item: Item<'_>) -> Option<Latency> {
    let is_loaded = LOADED_KEYS.iter().any(|key| item.node.entry(key).is_some());
    if !is_loaded {
        return Some(Latency {
            base: decoder.distribution(item)?,
            per_pod: Duration::ZERO,
            per_container: Duration::ZERO,
            per_concurrent: Duration::ZERO,
        });
    }
    let mut object = decoder.object(item, &LOADED)?;
    let none = Distribution::Constant(Duration::ZERO);
    let base = object.or(decoder, "base", none, Decoder::distribution);
    let mut per = |key| object.or(decoder, key, Duration::ZERO, Decoder::duration);
    let per_pod = per("perPod");
    let per_container = per("perContainer");
    let per_concurrent = per("perConcurrent");
    object.finish(decoder);
    Some(Latency {
        base: base?,
        per_pod: per_pod?,
        per_container: per_container?,
        per_concurrent: per_concurrent?,
    })
}
