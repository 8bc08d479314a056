//! `actions`: what happens once.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::deployment;
use super::diagnostic::Diagnostic;
use super::fleet::Fleet;
use super::model::{Action, ActionKind};
use super::pods::METRICS_SERVER as METRICS_SERVER_NAME;
use super::shape::{Choice, Key, Kind, Shape};
use super::suggest::choice;
use super::timing::{self, Timed};

pub(crate) static ACTION: Shape = Shape::new(
    "Action",
    "Something that happens once to metrics-server's processes, or to a node.",
    &[
        timing::AT,
        timing::WHEN,
        timing::AFTER,
        timing::NTH,
        Key::optional(
            "kill",
            PROCESS,
            "metrics-server",
            "SIGKILL. The kubelet starts it again under its rules.",
        ),
        Key::optional(
            "start",
            PROCESS,
            "metrics-server",
            "Starts it now, whatever the back-off says.",
        ),
        Key::optional("terminate", PROCESS, "metrics-server", "SIGTERM."),
        Key::optional(
            "delete",
            PROCESS,
            "metrics-server",
            "`kubectl delete pod`: its process ends as with SIGTERM, and a new pod takes its place.",
        ),
        Key::optional(
            "rolloutRestart",
            Kind::Word(&DEPLOYMENT),
            "metrics-server",
            "`kubectl rollout restart`: new pods of the same template replace the old ones, as `strategy` has it.",
        ),
        Key::optional(
            "drain",
            Kind::Text,
            "node-1",
            "`kubectl drain` of a node, as far as metrics-server's pods are concerned: cordon, evictions that respect `podDisruptionBudget` and are tried again every 5s.",
        ),
    ],
)
.choice(Choice::One(&KINDS))
.also(timing::ONE_TIME);

/// The keys of which an action has one.
const KINDS: [&str; 6] = [
    "kill",
    "start",
    "terminate",
    "delete",
    "rolloutRestart",
    "drain",
];

const DEPLOYMENT: [(&str, &str); 1] = [("metrics-server", "its Deployment")];

const PROCESS: Kind = Kind::Form(
    "metrics-server or one of its pods",
    "^metrics-server(-[1-9][0-9]*)?$",
);

/// `actions`, in order of time.
pub(crate) fn actions(
    decoder: &mut Decoder,
    item: Item<'_>,
    fleet: &Fleet,
    timings: timing::Reader<'_>,
) -> Option<Timed<Action>> {
    let actions = decoder.list(item, |decoder, item| {
        let mut object = decoder.object(item, &ACTION)?;
        let timing = timings.timing(decoder, &mut object, item);
        let mut one = |key, kind| {
            object
                .optional(decoder, key, process)
                .map(|given| given.map(|pod| (kind, pod)))
        };
        let kinds = [
            one("kill", ActionKind::Kill),
            one("start", ActionKind::Start),
            one("terminate", ActionKind::Terminate),
            one("delete", ActionKind::Delete),
            object
                .optional(decoder, "rolloutRestart", |decoder, item| {
                    decoder.word(item, &[(DEPLOYMENT[0].0, ActionKind::RolloutRestart)])
                })
                .map(|given| given.map(|kind| (kind, None))),
            object
                .optional(decoder, "drain", |decoder, item| {
                    fleet.member(decoder, item)
                })
                .map(|given| given.map(|node| (ActionKind::Drain(node), None))),
        ];
        object.finish(decoder);
        let kinds: Vec<_> = kinds.into_iter().collect::<Option<_>>()?;
        let kinds: Vec<(ActionKind, Option<u32>)> = kinds.into_iter().flatten().collect();
        let [(kind, pod)] = kinds[..] else {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "an action does exactly one thing",
                format!(
                    "write one of {}, such as `{{at: 55s, kill: metrics-server}}`",
                    choice(KINDS)
                ),
            ));
            return None;
        };
        let action = Action {
            at: Duration::ZERO,
            kind,
            pod,
        };
        Some((timing?, action))
    })?;
    let mut actions = Timed::of(actions);
    for (at, action) in &mut actions.due {
        action.at = *at;
    }
    Some(actions)
}

/// `metrics-server`, or one of its pods by number.
fn process(decoder: &mut Decoder, item: Item<'_>) -> Option<Option<u32>> {
    let name = decoder.text(item)?;
    if name == METRICS_SERVER_NAME {
        return Some(None);
    }
    let ordinal = deployment::ordinal(name);
    if ordinal.is_none() {
        deployment::note_no_pod(decoder, item, name);
    }
    ordinal.map(Some)
}
