//! What the network does to each packet.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use seam::Random;
use tokio::time::Instant;
use turmoil_net::{Packet, TcpFlags, TcpSegment, Transport};

use crate::scenario::model::{PathEffect, Timeline};
use crate::seed::Stream;

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

/// A scenario's path rule with its parties resolved to addresses.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedRule {
    /// Index of the rule's name in [`Links::rule_names`].
    pub name: usize,
    /// Senders.
    pub from: BTreeSet<IpAddr>,
    /// Receivers.
    pub to: BTreeSet<IpAddr>,
    /// Whether it holds for replies too.
    pub both: bool,
    /// Only connections to this port.
    pub port: Option<u16>,
    /// What happens.
    pub effect: PathEffect,
}

impl ResolvedRule {
    fn covers(&self, src: SocketAddr, dst: SocketAddr) -> bool {
        let forward = self.from.contains(&src.ip())
            && self.to.contains(&dst.ip())
            && self.port.is_none_or(|port| port == dst.port());
        let backward = self.both
            && self.from.contains(&dst.ip())
            && self.to.contains(&src.ip())
            && self.port.is_none_or(|port| port == src.port());
        forward || backward
    }
}

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
    start: Instant,
    rules: Timeline<Vec<ResolvedRule>>,
    /// Names of the rules, in the scenario's order.
    pub rule_names: Vec<String>,
    inner: RefCell<Inner>,
}

#[derive(Debug)]
struct Inner {
    random: Stream,
    hits: Vec<u64>,
    new_hits: Vec<usize>,
    /// Per direction of a connection, when its latest delayed packet arrives.
    queues: BTreeMap<(SocketAddr, SocketAddr), Instant>,
}

impl Links {
    /// Paths under `rules` from `start` on.
    #[must_use]
    pub fn new(
        start: Instant,
        rules: Timeline<Vec<ResolvedRule>>,
        rule_names: Vec<String>,
        random: Stream,
    ) -> Self {
        let hits = vec![0; rule_names.len()];
        Self {
            start,
            rules,
            rule_names,
            inner: RefCell::new(Inner {
                random,
                hits,
                new_hits: Vec::new(),
                queues: BTreeMap::new(),
            }),
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
        let mut inner = self.inner.borrow_mut();
        let arrival = match self.passage(&mut inner, src, dst, now) {
            Passage::Refused => return Fate::Refused,
            Passage::After(delay) => now + delay,
            Passage::Lost => match self.retransmitted(&mut inner, src, dst, segment.flags, now) {
                Some(arrival) => arrival,
                None => return Fate::Lost,
            },
        };
        Fate::Arrives(inner.in_order(src, dst, now, arrival))
    }

    /// Whether a router answers a dial with an ICMP rejection.
    pub fn rejects(&self, src: IpAddr, dst: SocketAddr) -> bool {
        // The source port is not chosen yet, and no rule looks at it.
        let src = SocketAddr::new(src, 0);
        let rules = self.rules.at(self.start.elapsed());
        let rejecting = rules
            .iter()
            .find(|rule| rule.effect == PathEffect::Reject && rule.covers(src, dst));
        if let Some(rule) = rejecting {
            self.inner.borrow_mut().hit(rule.name);
        }
        rejecting.is_some()
    }

    /// Names of rules that took effect for the first time since the last call.
    pub fn take_new_hits(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.borrow_mut().new_hits)
            .into_iter()
            .map(|name| self.rule_names[name].clone())
            .collect()
    }

    /// Whether [`Links::take_new_hits`] has something to give.
    pub fn has_new_hits(&self) -> bool {
        !self.inner.borrow().new_hits.is_empty()
    }

    /// How often each rule took effect, in the scenario's order.
    pub fn totals(&self) -> Vec<(String, u64)> {
        let inner = self.inner.borrow();
        self.rule_names
            .iter()
            .cloned()
            .zip(inner.hits.iter().copied())
            .collect()
    }

    /// One attempt to cross the path at `at`.
    fn passage(&self, inner: &mut Inner, src: SocketAddr, dst: SocketAddr, at: Instant) -> Passage {
        let mut delay = Duration::ZERO;
        let rules = self.rules.at(at.duration_since(self.start));
        for rule in rules.iter().filter(|rule| rule.covers(src, dst)) {
            match &rule.effect {
                PathEffect::Drop | PathEffect::Reject => {
                    inner.hit(rule.name);
                    return Passage::Lost;
                }
                PathEffect::Refuse => {
                    inner.hit(rule.name);
                    return Passage::Refused;
                }
                PathEffect::Delay(distribution) => {
                    inner.hit(rule.name);
                    delay += distribution.sample(&mut inner.random);
                }
                PathEffect::Loss(per_million) => {
                    if inner.random.below(1_000_000) < u64::from(*per_million) {
                        inner.hit(rule.name);
                        return Passage::Lost;
                    }
                }
            }
        }
        Passage::After(delay)
    }

    /// When a retransmission of a packet lost at `lost_at` arrives, if one does.
    fn retransmitted(
        &self,
        inner: &mut Inner,
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
            if let Passage::After(delay) = self.passage(inner, src, dst, at) {
                return Some(at + delay);
            }
        }
        None
    }
}

enum Passage {
    After(Duration),
    Lost,
    Refused,
}

impl Inner {
    fn hit(&mut self, name: usize) {
        if self.hits[name] == 0 {
            self.new_hits.push(name);
        }
        self.hits[name] += 1;
    }

    /// Keeps one direction of a connection in order.
    fn in_order(
        &mut self,
        src: SocketAddr,
        dst: SocketAddr,
        now: Instant,
        arrival: Instant,
    ) -> Instant {
        let before = self.queues.get(&(src, dst)).copied();
        if arrival <= now && before.is_none() {
            return arrival;
        }
        let arrival = before.map_or(arrival, |before| before.max(arrival));
        if arrival <= now {
            self.queues.remove(&(src, dst));
        } else {
            self.queues.insert((src, dst), arrival);
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
