//! What a path rule must not say, each part being right by itself.

use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Direction, Party, PathEffect, PathRule};

/// Notes the contradictions of a rule at the keys that make them.
pub(crate) fn check(decoder: &mut Decoder, item: Item<'_>, rule: &PathRule) {
    let found = [window(rule), ends(rule), direction(rule), service(rule)];
    for (key, what, help) in found.into_iter().flatten() {
        let entry = item.node.entry(key);
        let span = entry.map_or(item.key_span(), |entry| entry.value.span);
        decoder.note(Diagnostic::at(Code::Contradiction, span, what, help));
    }
}

/// A key, what is wrong there, and what helps.
type Mistake = (&'static str, &'static str, &'static str);

fn window(rule: &PathRule) -> Option<Mistake> {
    (rule.lasts == Some(Duration::ZERO)).then_some((
        "duration",
        "the rule begins and ends at the same instant",
        "write how long it holds, such as `30s`, or leave `duration` out",
    ))
}

fn ends(rule: &PathRule) -> Option<Mistake> {
    let ([from], [to]) = (&rule.from[..], &rule.to[..]) else {
        return None;
    };
    (from == to && !matches!(from, Party::AllNodes | Party::Service)).then_some((
        "to",
        "the rule leads from a party to itself",
        "choose two different parties: traffic of a machine with itself does not cross the network",
    ))
}

fn direction(rule: &PathRule) -> Option<Mistake> {
    let what = match (&rule.effect, rule.direction) {
        (PathEffect::Proxy { .. } | PathEffect::Tunnel(_), Direction::From | Direction::Both) => {
            "a proxy or a tunnel stands in the way of those who connect"
        }
        (PathEffect::RejectAfter(_), Direction::From) => {
            "a rejection after some time comes to those who connect"
        }
        _ => return None,
    };
    Some(("direction", what, "leave `direction` out"))
}

/// A Service's address is dialled, and nothing else happens there.
fn service(rule: &PathRule) -> Option<Mistake> {
    let is_service = |party: &Party| *party == Party::Service;
    if rule.from.iter().any(is_service) {
        return Some((
            "from",
            "a Service sends nothing: what comes from behind it comes from a pod",
            "write `metrics-server`",
        ));
    }
    if !rule.to.iter().any(is_service) {
        return None;
    }
    if rule.direction != Direction::To {
        return Some((
            "direction",
            "nothing comes back from a Service's address: replies come from a pod",
            "leave `direction` out, or write `to: metrics-server`",
        ));
    }
    match rule.effect {
        PathEffect::Drop | PathEffect::Refuse | PathEffect::Reject | PathEffect::RejectAfter(_) => {
            None
        }
        _ => Some((
            "effect",
            "at a Service's address dials fail or pass: nothing travels there",
            "write `drop`, `refuse`, `reject` or `{rejectAfter: 3s}`, or `to: metrics-server`",
        )),
    }
}
