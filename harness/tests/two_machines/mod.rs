//! Two machines with path rules between them, under whichever engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use firstlight::engine::path::{Ends, Paths, ResolvedRule};
use firstlight::engine::terrain::{ServiceRoute, Terrain};
use firstlight::scenario::model::{Direction, PathEffect, Timeline};
use firstlight::seed::Seed;
use seam::Moment;

pub(crate) const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
pub(crate) const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
pub(crate) const PORT: u16 = 10_250;
pub(crate) const NOW: Duration = Duration::ZERO;

pub(crate) type Rules = Vec<(Duration, Vec<ResolvedRule>)>;

/// Rules that are all called `rule`, over a network on which every packet
/// takes `latency`.
pub(crate) fn paths(start: impl Into<Moment>, latency: Duration, rules: Rules) -> Rc<Paths> {
    let names = vec!["rule".to_owned()];
    let random = Seed(1).stream("network");
    Rc::new(Paths::new(start, Timeline(rules), names, random).with_latency(latency))
}

/// Port 443 is a service of the server's, 444 one without endpoints, 445 one
/// that nobody knows yet. The server is called `node-a`.
pub(crate) fn terrain(paths: Rc<Paths>) -> Rc<Terrain> {
    Rc::new(Terrain {
        paths,
        is_service: Box::new(|address| (443..=445).contains(&address.port())),
        services: Box::new(|address| match address.port() {
            443 => ServiceRoute::Endpoint(SocketAddr::new(SERVER, PORT)),
            444 => ServiceRoute::Refused,
            445 => ServiceRoute::Unknown,
            _ => ServiceRoute::Direct,
        }),
        names: BTreeMap::from([("node-a".to_owned(), vec![SERVER])]),
        name_server: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10)), 53),
    })
}

/// A rule about what the client sends to the server's port.
pub(crate) fn rule(effect: PathEffect) -> ResolvedRule {
    ResolvedRule {
        name: 0,
        from: Ends::Of(BTreeSet::from([CLIENT])),
        to: Ends::Of(BTreeSet::from([SERVER])),
        direction: Direction::To,
        stateful: false,
        port: Some(PORT),
        effect,
    }
}
