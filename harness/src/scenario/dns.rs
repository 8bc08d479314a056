//! `dns`: how names resolve in metrics-server's pod.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::{Answer, Distribution, Dns, DnsRefinement};
use super::scalars::DISTRIBUTION;
use super::shape::{Key, Kind, Shape};

pub(crate) static DNS: Shape = Shape::new(
    "Dns",
    "The cluster's name server, as metrics-server finds it. It matters where nodes are scraped by name: `Hostname`, `InternalDNS` or `ExternalDNS` first in `--kubelet-preferred-address-types`.",
    &[
        Key::optional(
            "records",
            Kind::Named("a host name", &ANSWER),
            "{node-1: 10.0.0.1, node-2: SERVFAIL}",
            "What it says of single names.",
        ),
        Key::optional(
            "default",
            ANSWER,
            "SERVFAIL",
            "What it says of every other name. Default: `NXDOMAIN`, as clusters do not know the names of nodes.",
        ),
        Key::optional(
            "latency",
            DISTRIBUTION,
            "200ms",
            "How long it takes for each query; a name with fewer than five dots takes four, one for each search domain and one for itself. Default: 0s.",
        ),
    ],
);

const ANSWER: Kind = Kind::OneOf(&ANSWERS);

static ANSWERS: [Kind; 3] = [
    Kind::Word(&[
        ("NXDOMAIN", "no such host"),
        ("SERVFAIL", "the server fails: server misbehaving"),
        (
            "REFUSED",
            "the server refuses to answer: server misbehaving",
        ),
        ("timeout", "no answer"),
    ]),
    Kind::Ip,
    Kind::List(&Kind::Ip),
];

/// Reads `dns`; nothing is a name server that knows no node.
pub(crate) fn dns(decoder: &mut Decoder, item: Item<'_>) -> Option<Dns> {
    let usual = Dns {
        records: BTreeMap::new(),
        default: Answer::NoSuchHost,
        latency: Distribution::Constant(Duration::ZERO),
    };
    if item.node.is_null() {
        return Some(usual);
    }
    refinement(decoder, item).map(|said| usual.refined(&said))
}

/// Reads what differs of a name server.
pub(crate) fn refinement(decoder: &mut Decoder, item: Item<'_>) -> Option<DnsRefinement> {
    let mut object = decoder.object(item, &DNS)?;
    let records = object.or(decoder, "records", BTreeMap::new(), records);
    let default = object.optional(decoder, "default", answer);
    let latency = object.optional(decoder, "latency", Decoder::distribution);
    object.finish(decoder);
    Some(DnsRefinement {
        records: records?,
        default: default?,
        latency: latency?,
    })
}

fn records(decoder: &mut Decoder, item: Item<'_>) -> Option<BTreeMap<String, Answer>> {
    let read: Vec<Option<(String, Answer)>> = decoder
        .named(item)?
        .into_iter()
        .filter(|record| !record.node.is_null())
        .map(|record| Some((record.name.to_owned(), answer(decoder, record)?)))
        .collect();
    read.into_iter().collect()
}

/// A word, an address, or a list of addresses.
fn answer(decoder: &mut Decoder, item: Item<'_>) -> Option<Answer> {
    let Some(text) = item.node.text() else {
        let addresses = decoder.list(item, Decoder::ip)?;
        return Some(Answer::Addresses(addresses));
    };
    match text {
        "NXDOMAIN" => Some(Answer::NoSuchHost),
        "SERVFAIL" => Some(Answer::ServerFailure),
        "REFUSED" => Some(Answer::Refused),
        "timeout" => Some(Answer::Timeout),
        _ => match text.parse::<IpAddr>() {
            Ok(address) => Some(Answer::Addresses(vec![address])),
            Err(_) => {
                decoder.note(Diagnostic::at(
                    Code::BadValue,
                    item.span(),
                    format!("`{text}` is not what a name server says of a name"),
                    "write an address such as `10.0.0.1`, or `NXDOMAIN`, `SERVFAIL`, `REFUSED` or `timeout`",
                ));
                None
            }
        },
    }
}
