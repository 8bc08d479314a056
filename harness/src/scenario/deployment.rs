//! The Deployment's part of `metricsServer`: strategy, disruption budget, and
//! what refines single pods.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use mocks::deployment::{Amount, Budget, Strategy};

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::dns::{self, DNS};
use super::files::FILES;
use super::fleet::Fleet;
use super::model::{DnsRefinement, MetricsServer};
use super::pod_start::{POD_START, START_COST};
use super::pods::{METRICS_SERVER, MOST_PODS};
use super::resources::{CPU, MEMORY};
use super::server;
use super::shape::{Choice, Key, Kind, Shape};
use super::tree::{Entry, Node, Value, overlay};

/// A number of pods or a share of the replicas.
const AMOUNT: Kind = Kind::Form("a number or a share such as `25%`", "^[0-9]+%?$");

pub(crate) static STRATEGY: Shape = Shape::new(
    "Strategy",
    "How pods of a new template replace those of the old one, as in a Deployment.",
    &[
        Key::optional(
            "type",
            Kind::Word(&[
                ("RollingUpdate", "new pods come while old ones go"),
                ("Recreate", "all old pods go first"),
            ]),
            "Recreate",
            "Default: `RollingUpdate`.",
        ),
        Key::optional(
            "rollingUpdate",
            Kind::Mapping(&ROLLING_UPDATE),
            "{maxUnavailable: 0}",
            "Limits of a rolling update.",
        ),
    ],
);

static ROLLING_UPDATE: Shape = Shape::new(
    "RollingUpdate",
    "Limits of a rolling update. They cannot both be 0.",
    &[
        Key::optional(
            "maxUnavailable",
            AMOUNT,
            "0",
            "How many replicas may be missing, or which share of them, rounded down. Default: 25%.",
        ),
        Key::optional(
            "maxSurge",
            AMOUNT,
            "1",
            "How many pods more than the replicas there may be, or which share of them, rounded up. Default: 25%.",
        ),
    ],
);

pub(crate) static BUDGET: Shape = Shape::new(
    "PodDisruptionBudget",
    "How many pods a drain must leave alone.",
    &[
        Key::optional(
            "minAvailable",
            AMOUNT,
            "1",
            "How many pods must stay Ready, or which share of the replicas, rounded up.",
        ),
        Key::optional(
            "maxUnavailable",
            AMOUNT,
            "1",
            "How many pods may be missing, or which share of the replicas, rounded up.",
        ),
    ],
)
.choice(Choice::One(&["minAvailable", "maxUnavailable"]));

/// What can be refined for one pod.
pub(crate) static REPLICA: Shape = Shape::new(
    "Replica",
    "What holds for one pod only.",
    &[
        Key::optional(
            "node",
            Kind::Text,
            "node-1",
            "The node that the pod is created for.",
        )
        .fixed("`drain` in `actions` moves pods"),
        Key::optional(
            "pod",
            Kind::Mapping(&POD_START),
            "{imagePull: 40s}",
            "What the pod waits for before its container starts.",
        ),
        Key::optional(
            "startCost",
            Kind::Mapping(&START_COST),
            "{exec: 2s}",
            "What its process costs before it serves.",
        ),
        Key::optional(
            "cpu",
            Kind::Mapping(&CPU),
            "{request: 6s}",
            "What a starved processor adds to its work.",
        ),
        Key::optional(
            "memory",
            Kind::Mapping(&MEMORY),
            "{base: 150Mi}",
            "What its process uses of its memory.",
        ),
        Key::optional(
            "files",
            FILES,
            "{/ca/ca.crt: {authority: unknown}}",
            "What volumes put into its container, on top of what all have.",
        ),
        Key::optional(
            "dns",
            Kind::Mapping(&DNS),
            "{default: SERVFAIL}",
            "How names resolve for it, on top of what `dns` says.",
        ),
    ],
);

/// Reads `strategy`.
pub(crate) fn strategy(decoder: &mut Decoder, item: Item<'_>) -> Option<Strategy> {
    let mut object = decoder.object(item, &STRATEGY)?;
    let recreate = object.or(decoder, "type", false, |decoder, item| {
        decoder.word(item, &[("RollingUpdate", false), ("Recreate", true)])
    });
    let limits = object.optional(decoder, "rollingUpdate", rolling_update);
    let place = object.item("rollingUpdate");
    object.finish(decoder);
    match (recreate?, limits?) {
        (false, limits) => Some(limits.unwrap_or(Strategy::DEFAULT)),
        // A preset's limits do not outlive a change of the type.
        (true, Some(_)) if place.is_some_and(|place| place.key_span().is_in_file()) => {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                place.map_or(item.key_span(), Item::key_span),
                "`rollingUpdate` says nothing about `type: Recreate`",
                "remove one of the two",
            ));
            None
        }
        (true, _) => Some(Strategy::Recreate),
    }
}

fn rolling_update(decoder: &mut Decoder, item: Item<'_>) -> Option<Strategy> {
    let mut object = decoder.object(item, &ROLLING_UPDATE)?;
    let share = Amount::Percent(25);
    let max_unavailable = object.or(decoder, "maxUnavailable", share, amount);
    let max_surge = object.or(decoder, "maxSurge", share, amount);
    object.finish(decoder);
    let (max_unavailable, max_surge) = (max_unavailable?, max_surge?);
    let nothing = |amount| matches!(amount, Amount::Count(0) | Amount::Percent(0));
    // Source: `pkg/apis/apps/validation/validation.go
    // ValidateRollingUpdateDeployment`.
    if nothing(max_unavailable) && nothing(max_surge) {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.key_span(),
            "`maxUnavailable` and `maxSurge` cannot both be 0: no pod could ever be replaced",
            "raise one of them, such as `maxSurge: 1`",
        ));
        return None;
    }
    Some(Strategy::RollingUpdate {
        max_unavailable,
        max_surge,
    })
}

/// `2` or `25%`.
fn amount(decoder: &mut Decoder, item: Item<'_>) -> Option<Amount> {
    let text = decoder.text(item)?;
    let (number, percent) = match text.strip_suffix('%') {
        Some(number) => (number, true),
        None => (text, false),
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let most = if percent { 100 } else { MOST_PODS as u32 };
    let parsed = number.parse::<u32>().ok().filter(|_| digits);
    match parsed.filter(|number| *number <= most) {
        Some(number) if percent => Some(Amount::Percent(number)),
        Some(number) => Some(Amount::Count(number)),
        None => {
            decoder.note(Diagnostic::at(
                Code::BadNumber,
                item.span(),
                format!("`{text}` is not a number of pods"),
                "write a number such as `1`, or a share of the replicas such as `25%`",
            ));
            None
        }
    }
}

/// Reads `podDisruptionBudget`.
pub(crate) fn budget(decoder: &mut Decoder, item: Item<'_>) -> Option<Budget> {
    let mut object = decoder.object(item, &BUDGET)?;
    let min_available = object.optional(decoder, "minAvailable", amount);
    let max_unavailable = object.optional(decoder, "maxUnavailable", amount);
    object.finish(decoder);
    match (min_available?, max_unavailable?) {
        (Some(amount), None) => Some(Budget::MinAvailable(amount)),
        (None, Some(amount)) => Some(Budget::MaxUnavailable(amount)),
        _ => {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "a budget has exactly one limit",
                "keep one of `minAvailable` and `maxUnavailable`",
            ));
            None
        }
    }
}

/// The number of a pod: 2 for `metrics-server-2`.
pub(crate) fn ordinal(name: &str) -> Option<u32> {
    let number = name.strip_prefix(METRICS_SERVER)?.strip_prefix('-')?;
    let ordinal: u32 = number.parse().ok()?;
    let plain = ordinal.to_string() == number;
    (plain && (1..=MOST_PODS as u32).contains(&ordinal)).then_some(ordinal)
}

/// Notes a name that is none of a pod's.
pub(crate) fn note_no_pod(decoder: &mut Decoder, item: Item<'_>, name: &str) {
    decoder.note(Diagnostic::at(
        Code::UnknownName,
        item.span(),
        format!("`{name}` is none of metrics-server's pods"),
        "pods are numbered in order of creation: write `metrics-server-1`, `metrics-server-2` and so on",
    ));
}

/// Reads `perReplica`: the settings of `whole`, refined for each pod.
pub(crate) fn per_replica(
    decoder: &mut Decoder,
    item: Item<'_>,
    whole: &Rc<Node>,
    fleet: &Fleet,
    until: Option<Duration>,
) -> Option<BTreeMap<u32, MetricsServer>> {
    let common = without(whole, "perReplica");
    let named = decoder.named(item)?;
    let read: Vec<Option<(u32, MetricsServer)>> = named
        .into_iter()
        .map(|pod| {
            let Some(ordinal) = ordinal(pod.name) else {
                note_no_pod(
                    decoder,
                    Item::named(pod.name, pod.key_span(), pod.node),
                    pod.name,
                );
                return None;
            };
            let before = decoder.count();
            let mut object = decoder.object(pod, &REPLICA)?;
            let dns = object.or(decoder, "dns", DnsRefinement::default(), dns::refinement);
            for key in REPLICA.names() {
                object.item(key);
            }
            object.finish(decoder);
            if decoder.count() > before {
                return None;
            }
            let refined = overlay(&common, &without(pod.node, "dns"));
            let refined = Item::named("metricsServer", pod.key_span(), &refined);
            let server = server::metrics_server(decoder, refined, fleet, until)?;
            Some((
                ordinal,
                MetricsServer {
                    dns: dns?,
                    ..server
                },
            ))
        })
        .collect();
    read.into_iter().collect()
}

fn without(whole: &Rc<Node>, key: &str) -> Rc<Node> {
    let entries: Vec<Entry> = whole
        .entries()
        .iter()
        .filter(|entry| &*entry.key != key)
        .cloned()
        .collect();
    Rc::new(Node {
        span: whole.span,
        value: Value::Map(entries),
    })
}
