//! `apiServer`, `aggregation`, `service`, `network` and `consumers`.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::fleet::Fleet;
use super::model::{
    Aggregation, ApiServer, ApiServerState, Consumer, ConsumerKind, Party, PathEffect, PathRule,
};

/// The availability controller looks at every APIService this often.
/// Source: `kube-aggregator/pkg/controllers/status/remote/
/// remote_available_controller.go NewAvailableConditionController`.
const RESYNC: Duration = Duration::from_secs(30);

/// Reads `apiServer`.
pub(crate) fn api_server(decoder: &mut Decoder, item: Item<'_>) -> Option<ApiServer> {
    let mut object = decoder.object(item)?;
    let state = object.required(decoder, "state", |decoder, item| {
        decoder.word(
            item,
            &[
                ("Up", ApiServerState::Up),
                ("Down", ApiServerState::Down),
                ("Hang", ApiServerState::Hang),
                ("Starting", ApiServerState::Starting),
            ],
        )
    });
    let latency = object.required(decoder, "latency", Decoder::distribution);
    object.finish(decoder);
    Some(ApiServer {
        state: state?,
        latency: latency?,
    })
}

/// Reads `aggregation`; `publish_not_ready_addresses` comes from `service`.
pub(crate) fn aggregation(
    decoder: &mut Decoder,
    item: Item<'_>,
    publish_not_ready_addresses: Option<bool>,
    until: Option<Duration>,
) -> Option<Aggregation> {
    let mut object = decoder.object(item)?;
    let registered_at = object.required(decoder, "registeredAt", |decoder, item| {
        decoder.time(item, until)
    });
    let insecure = object.required(decoder, "insecureSkipTLSVerify", Decoder::boolean);
    let endpoint_routing = object.required(decoder, "routing", |decoder, item| {
        decoder.word(item, &[("clusterIP", false), ("endpoint", true)])
    });
    let resync_phase = object.optional(decoder, "resyncPhase", resync_phase);
    object.finish(decoder);
    Some(Aggregation {
        registered_at: registered_at?,
        insecure_skip_tls_verify: insecure?,
        endpoint_routing: endpoint_routing?,
        resync_phase: resync_phase?,
        publish_not_ready_addresses: publish_not_ready_addresses?,
    })
}

fn resync_phase(decoder: &mut Decoder, item: Item<'_>) -> Option<Duration> {
    let phase = decoder.duration(item)?;
    if phase < RESYNC {
        return Some(phase);
    }
    decoder.note(Diagnostic::at(
        Code::Contradiction,
        item.span(),
        "the phase of the resync is not below its period",
        "the controller looks every 30s: choose a phase below that",
    ));
    None
}

/// Reads `service`.
pub(crate) fn service(decoder: &mut Decoder, item: Item<'_>) -> Option<bool> {
    let mut object = decoder.object(item)?;
    let publish = object.required(decoder, "publishNotReadyAddresses", Decoder::boolean);
    object.finish(decoder);
    publish
}

/// Reads `network`: rules by name, without those that are null.
pub(crate) fn network(
    decoder: &mut Decoder,
    item: Item<'_>,
    fleet: &Fleet,
) -> Option<Vec<PathRule>> {
    let rules = decoder.named(item)?;
    let read: Vec<Option<PathRule>> = rules
        .into_iter()
        .filter(|rule| !rule.node.is_null())
        .map(|rule| path_rule(decoder, rule, fleet))
        .collect();
    read.into_iter().collect()
}

fn path_rule(decoder: &mut Decoder, item: Item<'_>, fleet: &Fleet) -> Option<PathRule> {
    let mut object = decoder.object(item)?;
    let from = object.required(decoder, "from", |decoder, item| party(decoder, item, fleet));
    let to = object.required(decoder, "to", |decoder, item| party(decoder, item, fleet));
    let both = object.or(decoder, "direction", false, |decoder, item| {
        decoder.word(item, &[("to", false), ("both", true)])
    });
    let port = object.optional(decoder, "port", Decoder::port);
    let effect = object.required(decoder, "effect", effect);
    if from.is_some()
        && from == to
        && from != Some(Party::AllNodes)
        && let Some(item) = object.item("to")
    {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.span(),
            "the rule leads from a party to itself",
            "choose two different parties: traffic of a machine with itself does not cross the network",
        ));
    }
    object.finish(decoder);
    Some(PathRule {
        name: item.name.to_owned(),
        from: from?,
        to: to?,
        both: both?,
        port: port?,
        effect: effect?,
    })
}

fn party(decoder: &mut Decoder, item: Item<'_>, fleet: &Fleet) -> Option<Party> {
    const PARTIES: [(&str, Party); 4] = [
        ("metrics-server", Party::MetricsServer),
        ("apiserver", Party::ApiServer),
        ("clients", Party::Clients),
        ("nodes", Party::AllNodes),
    ];
    let name = decoder.text(item)?;
    if let Some((_, party)) = PARTIES.iter().find(|(word, _)| *word == name) {
        return Some(party.clone());
    }
    if let Some(index) = fleet.index(name) {
        return Some(Party::Node(index));
    }
    if fleet.members().is_empty() {
        // Then what is wrong with the nodes has been noted already.
        return None;
    }
    let parties = PARTIES.iter().map(|(word, _)| *word);
    decoder.unknown(
        Code::UnknownName,
        item,
        "a party",
        parties.chain(fleet.names().take(5)),
    );
    None
}

/// A word, or `{delay: …}` or `{loss: …}`.
fn effect(decoder: &mut Decoder, item: Item<'_>) -> Option<PathEffect> {
    if item.node.entries().is_empty() {
        return decoder.word(
            item,
            &[
                ("drop", PathEffect::Drop),
                ("refuse", PathEffect::Refuse),
                ("reject", PathEffect::Reject),
            ],
        );
    }
    let mut object = decoder.object(item)?;
    let delay = object.optional(decoder, "delay", Decoder::distribution);
    let loss = object.optional(decoder, "loss", Decoder::share);
    object.finish(decoder);
    match (delay?, loss?) {
        (Some(delay), None) => Some(PathEffect::Delay(delay)),
        (None, Some(loss)) => Some(PathEffect::Loss(loss)),
        _ => {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "a rule must have exactly one effect",
                "keep one of `delay` and `loss`, or write `drop`, `refuse` or `reject`",
            ));
            None
        }
    }
}

/// Reads `consumers`, without those that are null.
pub(crate) fn consumers(
    decoder: &mut Decoder,
    item: Item<'_>,
    until: Option<Duration>,
) -> Option<Vec<Consumer>> {
    const KINDS: [(&str, ConsumerKind); 3] = [
        ("kubectl-top", ConsumerKind::KubectlTop),
        ("hpa", ConsumerKind::Hpa),
        ("discovery", ConsumerKind::Discovery),
    ];
    let mut object = decoder.object(item)?;
    let mut read = Vec::new();
    for (key, kind) in KINDS {
        read.push(object.optional(decoder, key, |decoder, item| {
            consumer(decoder, item, kind, until)
        }));
    }
    object.finish(decoder);
    let consumers: Vec<Option<Consumer>> = read.into_iter().collect::<Option<_>>()?;
    Some(consumers.into_iter().flatten().collect())
}

fn consumer(
    decoder: &mut Decoder,
    item: Item<'_>,
    kind: ConsumerKind,
    until: Option<Duration>,
) -> Option<Consumer> {
    let mut object = decoder.object(item)?;
    let from = object.or(decoder, "from", Duration::ZERO, |decoder, item| {
        decoder.time(item, until)
    });
    let every = object.required(decoder, "every", |decoder, item| {
        let every = decoder.duration(item)?;
        if every >= Duration::from_millis(1) {
            return Some(every);
        }
        decoder.note(Diagnostic::at(
            Code::BadValue,
            item.span(),
            "nobody asks more often than every millisecond",
            "write an interval such as `5s`, or `null` instead of the consumer to remove it",
        ));
        None
    });
    object.finish(decoder);
    Some(Consumer {
        kind,
        from: from?,
        every: every?,
    })
}
