//! `cluster`: the address ranges of pods and Services.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::code::Code;
use super::decoder::{Decoder, Item};
use super::diagnostic::Diagnostic;
use super::model::Cluster;
use super::shape::{Key, Kind, Shape};

/// A range with room for the addresses that are handed out.
const RANGE: Kind = Kind::Form("an address range", r"^[0-9.]+/[0-9]+$");

pub(crate) static CLUSTER: Shape = Shape::new(
    "Cluster",
    "The addresses of the cluster.",
    &[
        Key::given(
            "podCIDR",
            RANGE,
            "10.42.0.0/16",
            "The range of pods' addresses, of at least a /16.",
        ),
        Key::given(
            "serviceCIDR",
            RANGE,
            "10.43.0.0/16",
            "The range of Services' addresses, of at least a /16.",
        ),
    ],
);

/// Reads `cluster`.
pub(crate) fn cluster(decoder: &mut Decoder, item: Item<'_>) -> Option<Cluster> {
    let mut object = decoder.object(item, &CLUSTER)?;
    let pods = object.required(decoder, "podCIDR", range);
    let services = object.required(decoder, "serviceCIDR", range);
    object.finish(decoder);
    let (pods, services) = (pods?, services?);
    if pods == services {
        decoder.note(Diagnostic::at(
            Code::Contradiction,
            item.key_span(),
            "pods and Services have the same addresses",
            "choose two ranges, such as `podCIDR: 10.42.0.0/16` and `serviceCIDR: 10.43.0.0/16`",
        ));
        return None;
    }
    Some(Cluster { pods, services })
}

/// The first address of a range of IPv4 addresses.
fn range(decoder: &mut Decoder, item: Item<'_>) -> Option<Ipv4Addr> {
    let text = decoder.text(item)?;
    let parts = text.split_once('/');
    let parsed = parts.and_then(|(address, length)| {
        let address: Ipv4Addr = address.parse().ok()?;
        let length: u32 = length.parse().ok()?;
        (8..=16).contains(&length).then_some((address, length))
    });
    if let Some((address, length)) = parsed {
        let mask = u32::MAX << (32 - length);
        return Some(Ipv4Addr::from(u32::from(address) & mask));
    }
    let is_ipv6 = parts.is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    if is_ipv6 {
        decoder.note(Diagnostic::at(
            Code::BadValue,
            item.span(),
            format!("`{text}` is a range of IPv6 addresses, and only IPv4 clusters are simulated"),
            "write an IPv4 range from a /8 to a /16, such as `10.42.0.0/16`",
        ));
        return None;
    }
    decoder.note(Diagnostic::at(
        Code::BadValue,
        item.span(),
        format!("`{text}` is not a range of addresses with room for a cluster"),
        "write an IPv4 range from a /8 to a /16, such as `10.42.0.0/16`",
    ));
    None
}
