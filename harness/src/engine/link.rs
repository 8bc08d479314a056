//! What the simulated network does to each packet.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::time::Instant;
use turmoil_net::{Packet, TcpFlags, TcpSegment, Transport};

use super::path::{Fate, Hop, Paths, Segment};

/// The paths between machines.
///
/// What follows a delayed segment on its connection waits behind it.
#[derive(Debug)]
pub struct Links {
    paths: Rc<Paths>,
    /// Per direction of a connection, when its latest delayed packet arrives.
    queues: RefCell<BTreeMap<(SocketAddr, SocketAddr), Instant>>,
    /// Connections by who opened them and to whom, where a rule asks for it.
    /// None is forgotten: a port to listen at is never one to dial from, so
    /// that the same two ends are always the same way round.
    opened: RefCell<BTreeSet<(SocketAddr, SocketAddr)>>,
}

impl Links {
    /// Links under the rules of `paths`.
    #[must_use]
    pub fn new(paths: Rc<Paths>) -> Self {
        Self {
            paths,
            queues: RefCell::default(),
            opened: RefCell::default(),
        }
    }

    /// Decides what becomes of a packet that leaves its sender now.
    pub fn fate(&self, packet: &Packet) -> Fate {
        let now = Instant::now();
        let Transport::Tcp(segment) = &packet.payload else {
            return Fate::Arrives(now);
        };
        let src = SocketAddr::new(packet.src, segment.src_port);
        let dst = SocketAddr::new(packet.dst, segment.dst_port);
        let kind = match segment.flags {
            TcpFlags { rst: true, .. } => Segment::Reset,
            TcpFlags { syn: true, .. } => Segment::Syn,
            _ => Segment::Data,
        };
        match self.paths.fate(self.hop(src, dst, segment), kind, now) {
            Fate::Arrives(arrival) => Fate::Arrives(self.in_order(src, dst, now, arrival)),
            lost_or_refused => lost_or_refused,
        }
    }

    /// Which way a segment goes on its connection, as a stateful firewall knows
    /// it: from the first segment of each.
    fn hop(&self, src: SocketAddr, dst: SocketAddr, segment: &TcpSegment) -> Hop {
        if !self.paths.are_stateful() {
            return Hop::out(src, dst);
        }
        let mut opened = self.opened.borrow_mut();
        if segment.flags.syn && !segment.flags.ack {
            opened.insert((src, dst));
        }
        match opened.contains(&(dst, src)) {
            true => Hop::back(src, dst),
            false => Hop::out(src, dst),
        }
    }

    /// Keeps one direction of a connection in order.
    fn in_order(
        &self,
        src: SocketAddr,
        dst: SocketAddr,
        now: Instant,
        arrival: Instant,
    ) -> Instant {
        let mut queues = self.queues.borrow_mut();
        let before = queues.get(&(src, dst)).copied();
        if arrival <= now && before.is_none() {
            return arrival;
        }
        let arrival = before.map_or(arrival, |before| before.max(arrival));
        if arrival <= now {
            queues.remove(&(src, dst));
        } else {
            queues.insert((src, dst), arrival);
        }
        arrival
    }
}

/// The reset that answers `packet` when its path refuses it.
pub fn reset_for(packet: &Packet) -> Option<Packet> {
    let Transport::Tcp(segment) = &packet.payload else {
        return None;
    };
    if segment.flags.rst {
        return None;
    }
    let length = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX)
        + u32::from(segment.flags.syn)
        + u32::from(segment.flags.fin);
    Some(Packet {
        src: packet.dst,
        dst: packet.src,
        ttl: packet.ttl,
        payload: Transport::Tcp(TcpSegment {
            src_port: segment.dst_port,
            dst_port: segment.src_port,
            seq: segment.ack,
            ack: segment.seq.wrapping_add(length),
            flags: TcpFlags {
                rst: true,
                ack: true,
                ..TcpFlags::default()
            },
            window: 0,
            payload: bytes::Bytes::new(),
        }),
    })
}
