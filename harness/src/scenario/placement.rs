//! `nodes.*.taints`, and what metrics-server's pods ask of their nodes:
//! `nodeSelector` and `tolerations`.

use std::time::Duration;

use mocks::deployment::placement::{Effect, Taint, Toleration};

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::node_pods::LABELS;
use super::shape::{Key, Kind, Shape};

const EFFECT: Kind = Kind::Word(&[
    ("NoSchedule", "none is scheduled there"),
    ("PreferNoSchedule", "other nodes are better"),
    (
        "NoExecute",
        "none is scheduled there, and those that run there are evicted",
    ),
]);

const EFFECTS: [(&str, Effect); 3] = [
    ("NoSchedule", Effect::NoSchedule),
    ("PreferNoSchedule", Effect::PreferNoSchedule),
    ("NoExecute", Effect::NoExecute),
];

pub(crate) const TAINTS: Kind = Kind::List(&Kind::Mapping(&TAINT));

static TAINT: Shape = Shape::new(
    "Taint",
    "What keeps pods that do not tolerate it away from a node.",
    &[
        Key::required(
            "key",
            Kind::Text,
            "node-role.kubernetes.io/control-plane",
            "Its key.",
        ),
        Key::optional("value", Kind::Text, "web", "Its value. Missing: none."),
        Key::required(
            "effect",
            EFFECT,
            "NoSchedule",
            "What it does to pods that do not tolerate it.",
        ),
    ],
);

pub(crate) const TOLERATIONS: Kind = Kind::List(&Kind::Mapping(&TOLERATION));

static TOLERATION: Shape = Shape::new(
    "Toleration",
    "Taints that a pod tolerates, besides a node that is not Ready for five minutes.",
    &[
        Key::optional(
            "key",
            Kind::Text,
            "CriticalAddonsOnly",
            "The taint's key. Missing: any.",
        ),
        Key::optional(
            "operator",
            Kind::Word(&[
                ("Equal", "the value is the same"),
                ("Exists", "whatever the value"),
            ]),
            "Exists",
            "How the value is compared. Default: `Equal`.",
        ),
        Key::optional(
            "value",
            Kind::Text,
            "web",
            "The taint's value. Default: an empty one.",
        )
        .beside("key: dedicated"),
        Key::optional(
            "effect",
            EFFECT,
            "NoSchedule",
            "The taint's effect. Missing: any.",
        )
        .beside("operator: Exists"),
        Key::optional(
            "tolerationSeconds",
            Kind::Integer(0, 86_400),
            "300",
            "Whole seconds for which a `NoExecute` taint is tolerated. Missing: for ever.",
        )
        .beside("operator: Exists, effect: NoExecute"),
    ],
);

pub(crate) const NODE_SELECTOR: Kind = LABELS;

/// Reads `taints`.
pub(crate) fn taints(decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Taint>> {
    decoder.list(item, |decoder, item| {
        let mut object = decoder.object(item, &TAINT)?;
        let key = object.required(decoder, "key", text);
        let value = object.or(decoder, "value", String::new(), text);
        let effect = object.required(decoder, "effect", |decoder, item| {
            decoder.word(item, &EFFECTS)
        });
        object.finish(decoder);
        Some(Taint {
            key: key?,
            value: value?,
            effect: effect?,
        })
    })
}

/// Reads `tolerations`.
pub(crate) fn tolerations(decoder: &mut Decoder, item: Item<'_>) -> Option<Vec<Toleration>> {
    decoder.list(item, toleration)
}

fn toleration(decoder: &mut Decoder, item: Item<'_>) -> Option<Toleration> {
    let mut object = decoder.object(item, &TOLERATION)?;
    let key = object.optional(decoder, "key", text);
    let exists = object.or(decoder, "operator", false, |decoder, item| {
        decoder.word(item, &[("Equal", false), ("Exists", true)])
    });
    let value = object.optional(decoder, "value", text);
    let effect = object.optional(decoder, "effect", |decoder, item| {
        decoder.word(item, &EFFECTS)
    });
    let lasts = object.optional(decoder, "tolerationSeconds", |decoder, item| {
        decoder.integer(item, 0..=86_400).map(Duration::from_secs)
    });
    let place = object.item("value").or(object.item("key")).unwrap_or(item);
    object.finish(decoder);
    let (key, exists, value, effect, lasts) = (key?, exists?, value?, effect?, lasts?);
    // Source: `pkg/apis/core/validation/validation.go ValidateTolerations`.
    let wrong = match (&key, exists, &value) {
        (_, true, Some(_)) => Some("`Exists` compares no value: remove `value`, or write `Equal`"),
        (None, false, _) => Some("without a key it has to be `operator: Exists`"),
        _ if lasts.is_some() && effect != Some(Effect::NoExecute) => {
            Some("`tolerationSeconds` goes with `effect: NoExecute`")
        }
        _ => None,
    };
    if let Some(help) = wrong {
        let message = "Kubernetes refuses this toleration";
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            place.key_span(),
            message,
            help,
        ));
        return None;
    }
    Some(Toleration {
        key,
        value: (!exists).then(|| value.unwrap_or_default()),
        effect,
        lasts,
    })
}

/// Reads `nodeSelector`. A label that is `null` is not asked for.
pub(crate) fn node_selector(
    decoder: &mut Decoder,
    item: Item<'_>,
) -> Option<Vec<(String, String)>> {
    let named = decoder.named(item)?;
    let wanted = named.into_iter().filter(|label| !label.node.is_null());
    let read: Vec<Option<(String, String)>> = wanted
        .map(|label| Some((label.name.to_owned(), decoder.text(label)?.to_owned())))
        .collect();
    read.into_iter().collect()
}

fn text(decoder: &mut Decoder, item: Item<'_>) -> Option<String> {
    decoder.text(item).map(str::to_owned)
}
