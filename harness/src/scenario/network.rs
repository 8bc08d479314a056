//! `network`: what stands in the way of traffic.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::deployment;
use super::diagnostic::Diagnostic;
use super::fleet::Fleet;
use super::model::{Direction, Party, PathEffect, PathRule, Timeline, Tunnel};
use super::path_checks;
use super::scalars::{DISTRIBUTION, PORT};
use super::shape::{Choice, Key, Kind, Shape};

/// `network`: rules by name.
pub(crate) const NETWORK: Kind = Kind::Named("a name for the rule", &Kind::Mapping(&PATH_RULE));

static PATH_RULE: Shape = Shape::new(
    "PathRule",
    "What the network does with traffic from one party to another. Parties are `metrics-server` (one of its pods is `metrics-server-2`), `apiserver` (one of several is `apiserver-NAME`), `clients`, `nodes` (each of them), the name of a node and the name of a group of nodes; and, for `to` only, `service`, the cluster address of metrics-server's Service: what is dialled before the dialler's node leads it to a pod. `null` removes a rule.",
    &[
        Key::required(
            "from",
            PARTIES,
            "metrics-server",
            "One end: one party or several.",
        ),
        Key::required(
            "to",
            PARTIES,
            "[node-1, apiserver]",
            "The other end: one party or several.",
        )
        .within("nodes: {node-1: {}}"),
        Key::optional(
            "direction",
            Kind::Word(&[
                ("to", "only what `from` sends to `to`"),
                ("from", "only what comes back from `to` to `from`"),
                ("both", "both"),
            ]),
            "both",
            "Which way the rule holds. Default: `to`.",
        ),
        Key::optional(
            "stateful",
            Kind::Boolean,
            "true",
            "Whether the rule knows connections, as a NetworkPolicy and a stateful firewall do: only those that a `from` party opens to a `to` party are concerned, of them also those that exist when the rule begins; what belongs to connections opened the other way passes. Default: false, a rule about packets.",
        ),
        Key::optional(
            "port",
            PORT,
            "10250",
            "Only connections to this port of a `to` party: that of the pod, kubelet or API server, to which a Service leads before a packet is sent; with `to: service` the Service's own, as `443`. Missing: every port, and unless `stateful` says otherwise also replies of `from` to connections from `to`.",
        ),
        Key::required("effect", EFFECT, "drop", "What happens to the traffic."),
        Key::optional(
            "startsAt",
            Kind::Duration,
            "10s",
            "From when on it holds. Default: 0s, the start of the run.",
        ),
        Key::optional(
            "duration",
            Kind::Duration,
            "30s",
            "How long it holds. Missing: to the end.",
        ),
    ],
);

const PARTIES: Kind = Kind::OneOf(&PARTIES_KINDS);

static PARTIES_KINDS: [Kind; 2] = [Kind::Text, Kind::List(&Kind::Text)];

const EFFECT: Kind = Kind::OneOf(&EFFECTS);

static EFFECTS: [Kind; 2] = [
    Kind::Word(&[
        ("drop", "it vanishes"),
        ("refuse", "a reset comes back: connection refused"),
        ("reject", "an ICMP rejection comes back: no route to host"),
    ]),
    Kind::Mapping(&EFFECT_SHAPE),
];

pub(crate) static EFFECT_SHAPE: Shape = Shape::new(
    "PathEffect",
    "What else can happen to traffic.",
    &[
        Key::optional(
            "delay",
            DISTRIBUTION,
            "50ms",
            "It takes this much longer, one way.",
        ),
        Key::optional(
            "loss",
            Kind::Share,
            "1%",
            "This share of segments is lost and sent again.",
        ),
        Key::optional(
            "rejectAfter",
            Kind::Duration,
            "3s",
            "The rejection comes after this time, as when a router gives up looking for the machine.",
        ),
        Key::optional(
            "proxy",
            PROXY,
            "403",
            "An HTTP proxy stands in between and answers every request with this status in the server's place; with `{connect: 403}` it refuses to connect.",
        ),
        Key::optional(
            "tunnel",
            Kind::Word(&[
                ("NoAgent", "konnectivity: no agent is connected to this API server"),
                ("BadGateway", "an HTTP CONNECT tunnel such as K3s', which answers 502"),
            ]),
            "NoAgent",
            "New connections go through a tunnel that does not work.",
        ),
    ],
)
.choice(Choice::One(&EFFECT_KEYS));

const EFFECT_KEYS: [&str; 5] = ["delay", "loss", "rejectAfter", "proxy", "tunnel"];

const STATUS: Kind = Kind::Integer(100, 599);

const PROXY: Kind = Kind::OneOf(&PROXY_KINDS);

static PROXY_KINDS: [Kind; 2] = [STATUS, Kind::Mapping(&CONNECT)];

static CONNECT: Shape = Shape::new(
    "ProxyConnect",
    "A proxy that is asked to connect.",
    &[Key::required(
        "connect",
        STATUS,
        "403",
        "What it answers to CONNECT instead of 200.",
    )],
);

/// Reads `network`: rules by name, without those that are null.
pub(crate) fn network(
    decoder: &mut Decoder,
    item: Item<'_>,
    fleet: &Fleet,
    until: Option<Duration>,
) -> Option<Vec<PathRule>> {
    let rules = decoder.named(item)?;
    let read: Vec<Option<PathRule>> = rules
        .into_iter()
        .filter(|rule| !rule.node.is_null())
        .map(|rule| path_rule(decoder, rule, fleet, until))
        .collect();
    read.into_iter().collect()
}

fn path_rule(
    decoder: &mut Decoder,
    item: Item<'_>,
    fleet: &Fleet,
    until: Option<Duration>,
) -> Option<PathRule> {
    let mut object = decoder.object(item, &PATH_RULE)?;
    let parties = |decoder: &mut Decoder, item: Item<'_>| parties(decoder, item, fleet);
    let from = object.required(decoder, "from", parties);
    let to = object.required(decoder, "to", parties);
    let direction = object.or(decoder, "direction", Direction::To, |decoder, item| {
        decoder.word(
            item,
            &[
                ("to", Direction::To),
                ("from", Direction::From),
                ("both", Direction::Both),
            ],
        )
    });
    let stateful = object.or(decoder, "stateful", false, Decoder::boolean);
    let port = object.optional(decoder, "port", Decoder::port);
    let effect = object.required(decoder, "effect", effect);
    let starts_at = object.or(decoder, "startsAt", Duration::ZERO, |decoder, item| {
        decoder.time(item, until)
    });
    let lasts = object.optional(decoder, "duration", Decoder::duration);
    object.finish(decoder);
    let rule = PathRule {
        name: item.name.to_owned(),
        from: from?,
        to: to?,
        direction: direction?,
        stateful: stateful?,
        port: port?,
        effect: effect?,
        starts_at: starts_at?,
        lasts: lasts?,
    };
    path_checks::check(decoder, item, &rule);
    Some(rule)
}

/// One party, or a list of them; a group of nodes is each of its nodes.
fn parties(decoder: &mut Decoder, item: Item<'_>, fleet: &Fleet) -> Option<Vec<Party>> {
    if item.node.text().is_some() {
        return party(decoder, item, fleet);
    }
    let parties = decoder.list(item, |decoder, item| party(decoder, item, fleet))?;
    if parties.is_empty() {
        decoder.note(Diagnostic::at(
            Code::SaysNothing,
            item.span(),
            format!("`{}` names nobody", item.name),
            "write at least one party, such as `metrics-server` or `nodes`",
        ));
        return None;
    }
    Some(parties.concat())
}

/// A party, or each node of a group.
fn party(decoder: &mut Decoder, item: Item<'_>, fleet: &Fleet) -> Option<Vec<Party>> {
    const PARTIES: [(&str, Party); 5] = [
        ("metrics-server", Party::MetricsServer),
        ("apiserver", Party::ApiServer),
        ("clients", Party::Clients),
        ("nodes", Party::AllNodes),
        ("service", Party::Service),
    ];
    let name = decoder.text(item)?;
    if let Some((_, party)) = PARTIES.iter().find(|(word, _)| *word == name) {
        return Some(vec![party.clone()]);
    }
    if let Some(nodes) = fleet.called(name) {
        return Some(nodes.into_iter().map(Party::Node).collect());
    }
    if let Some(index) = fleet.api_server(name) {
        return Some(vec![Party::OneApiServer(index)]);
    }
    if let Some(ordinal) = deployment::ordinal(name) {
        return Some(vec![Party::Replica(ordinal)]);
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
        parties
            .chain(fleet.api_servers())
            .chain(fleet.names().take(5)),
    );
    None
}

/// A word, or what else can happen.
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
    let before = decoder.count();
    let mut object = decoder.object(item, &EFFECT_SHAPE)?;
    let delay = object.optional(decoder, "delay", Decoder::distribution);
    let loss = object.optional(decoder, "loss", Decoder::share);
    let reject_after = object.optional(decoder, "rejectAfter", Decoder::duration);
    let proxy = object.optional(decoder, "proxy", proxy);
    let tunnel = object.optional(decoder, "tunnel", |decoder, item| {
        decoder.word(
            item,
            &[
                ("NoAgent", Tunnel::NoAgent),
                ("BadGateway", Tunnel::BadGateway),
            ],
        )
    });
    object.finish(decoder);
    let given = [
        delay?.map(PathEffect::Delay),
        loss?.map(PathEffect::Loss),
        reject_after?.map(PathEffect::RejectAfter),
        proxy?,
        tunnel?.map(PathEffect::Tunnel),
    ];
    let given: Vec<PathEffect> = given.into_iter().flatten().collect();
    match <[PathEffect; 1]>::try_from(given) {
        Ok([only]) => Some(only),
        Err(none) if none.is_empty() && decoder.count() > before => None,
        Err(_) => {
            decoder.note(Diagnostic::at(
                Code::Contradiction,
                item.key_span(),
                "a rule must have exactly one effect",
                "keep one of `delay`, `loss`, `rejectAfter`, `proxy` and `tunnel`, or write `drop`, `refuse` or `reject`",
            ));
            None
        }
    }
}

/// A status, or `{connect: …}`.
fn proxy(decoder: &mut Decoder, item: Item<'_>) -> Option<PathEffect> {
    let status = |decoder: &mut Decoder, item: Item<'_>| {
        u16::try_from(decoder.integer(item, 100..=599)?).ok()
    };
    if item.node.entries().is_empty() {
        let status = status(decoder, item)?;
        return Some(PathEffect::Proxy {
            status,
            connects: true,
        });
    }
    let mut object = decoder.object(item, &CONNECT)?;
    let connect = object.required(decoder, "connect", status);
    object.finish(decoder);
    Some(PathEffect::Proxy {
        status: connect?,
        connects: false,
    })
}

/// The rules in force over time: rules come and go with changes, and within
/// their own windows.
pub(crate) fn over_time(written: &[(Duration, Vec<PathRule>)]) -> Timeline<Vec<PathRule>> {
    let mut times: Vec<Duration> = written.iter().map(|(at, _)| *at).collect();
    for rule in written.iter().flat_map(|(_, rules)| rules) {
        times.push(rule.starts_at);
        times.extend(rule.ends_at());
    }
    times.sort_unstable();
    times.dedup();
    let entries = times.into_iter().map(|at| {
        let next = written.partition_point(|(from, _)| *from <= at);
        // Rules with a mistake are missing.
        let rules = written[..next].last().map_or(&[][..], |(_, rules)| rules);
        let in_force = rules
            .iter()
            .filter(|rule| rule.starts_at <= at && rule.ends_at().is_none_or(|end| at < end));
        (at, in_force.cloned().collect())
    });
    Timeline::of_changes(entries.collect())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// Goal: which rules hold when. Method: windows and a change that overlap.
    #[test]
    fn rules_come_and_go_with_their_windows_and_with_changes() {
        let text = "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {name: t}\npreset: upstream-0.8\nuntil: 2m\n\
            nodes: {worker: {count: 2}, other: {}}\n\
            network:\n  a: {from: metrics-server, to: worker, effect: drop, startsAt: 10s, duration: 20s}\n  b: {from: [clients, apiserver], to: [worker-1, other], effect: {rejectAfter: 3s}}\n\
            changes: [{at: 20s, network: {b: null}}]\n";
        let scenario = parse("t.yaml", text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let shown: Vec<String> = scenario
            .network
            .0
            .iter()
            .map(|(at, rules)| {
                let names: Vec<&str> = rules.iter().map(|rule| &*rule.name).collect();
                format!("{} {}", at.as_secs(), names.join("+"))
            })
            .collect();
        assert_eq!(shown, ["0 b", "10 a+b", "20 a", "30 "]);
        let rules = &scenario.network.0[1].1;
        assert_eq!(rules[0].to, [Party::Node(0), Party::Node(1)]);
        assert_eq!(rules[1].from, [Party::Clients, Party::ApiServer]);
        assert_eq!(rules[1].to, [Party::Node(0), Party::Node(2)]);
    }

    /// Goal: a mistake that a change mends is still only a mistake. Method:
    /// rules that are wrong until the change, which once made the parser panic.
    #[test]
    fn a_rule_that_is_wrong_until_a_change_is_a_mistake() {
        let text = "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {name: t}\npreset: upstream-0.8\nuntil: 2m\n\
            nodes: {pi: {}}\nnetwork: {a: {from: metrics-server, to: nowhere, effect: drop}}\n\
            changes: [{at: 20s, network: {a: {to: pi}}}]\n";
        let mistakes = parse("t.yaml", text).expect_err("a party that is not there");
        assert_eq!(mistakes.count(), 1, "{mistakes}");
    }
}
