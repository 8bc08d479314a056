//! What the simulated network does to each packet.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use turmoil_net::{Packet, TcpFlags, TcpSegment, Transport};

use super::path::{Passage, Paths};

/// First retransmission time-out of an established connection. Source: Linux
/// `include/net/tcp.h`, `TCP_RTO_MIN`.
const DATA_RTO: Duration = Duration::from_millis(200);
/// First retransmission time-out of a connection attempt. Source: Linux
/// `include/net/tcp.h`, `TCP_TIMEOUT_INIT`.
const SYN_RTO: Duration = Duration::from_secs(1);
/// Upper bound of any retransmission time-out. Source: `TCP_RTO_MAX`.
const RTO_MAX: Duration = Duration::from_secs(120);
/// Retransmissions before an established connection is given up. Source:
/// sysctl `net.ipv4.tcp_retries2`.
const DATA_RETRIES: u32 = 15;
/// Retransmissions before an attempt is given up. Source: sysctl
/// `net.ipv4.tcp_syn_retries`.
const SYN_RETRIES: u32 = 6;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this time.
    Arrives(Instant),
    /// A reset goes back to the sender instead.
    Refused,
    /// Neither it nor any retransmission ever arrives.
    Lost,
}

/// The paths between machines.
///
/// TCP hides loss from its users: a lost segment comes again one
/// retransmission time-out later, and what follows on that connection waits
/// behind it. So loss and outages become delay here. Rules are known for the
/// whole run, so the instant at which a retransmission gets through is known
/// when the first copy is lost.
#[derive(Debug)]
pub struct Links {
    paths: Rc<Paths>,
    /// Per direction of a connection, when its latest delayed packet arrives.
    queues: RefCell<BTreeMap<(SocketAddr, SocketAddr), Instant>>,
}

impl Links {
    /// Links under the rules of `paths`.
    #[must_use]
    pub fn new(paths: Rc<Paths>) -> Self {
        Self {
            paths,
            queues: RefCell::default(),
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
        let arrival = match self.paths.passage(src, dst, now) {
            Passage::Refused => return Fate::Refused,
            Passage::After(delay) => now + delay,
            Passage::Lost => match self.retransmitted(src, dst, segment.flags, now) {
                Some(arrival) => arrival,
                None => return Fate::Lost,
            },
        };
        Fate::Arrives(self.in_order(src, dst, now, arrival))
    }

    /// When a retransmission of a packet lost at `lost_at` arrives, if one does.
    fn retransmitted(
        &self,
        src: SocketAddr,
        dst: SocketAddr,
        flags: TcpFlags,
        lost_at: Instant,
    ) -> Option<Instant> {
        let (mut timeout, retries) = if flags.syn {
            (SYN_RTO, SYN_RETRIES)
        } else {
            (DATA_RTO, DATA_RETRIES)
        };
        // Nobody retransmits a reset.
        let retries = if flags.rst { 0 } else { retries };
        let mut at = lost_at;
        for _ in 0..retries {
            at += timeout;
            timeout = (timeout * 2).min(RTO_MAX);
            if let Passage::After(delay) = self.paths.passage(src, dst, at) {
                return Some(at + delay);
            }
        }
        None
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
