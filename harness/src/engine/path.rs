//! The scenario's rules for the paths between machines, and how often each
//! took effect: the part that every engine shares.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use seam::{Moment, Random};
use tokio::time::Instant;

use crate::scenario::model::{Direction, PathEffect, Timeline, Tunnel};
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
    /// Index of the rule's name in [`Paths::rule_names`].
    pub name: usize,
    /// One end.
    pub from: Ends,
    /// The other.
    pub to: Ends,
    /// Which way it holds between them.
    pub direction: Direction,
    /// Whether only connections that `from` opens are concerned, as by a
    /// stateful firewall.
    pub stateful: bool,
    /// Only connections to this port.
    pub port: Option<u16>,
    /// What happens.
    pub effect: PathEffect,
}

/// Machines at one end of a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Ends {
    /// These.
    Of(BTreeSet<IpAddr>),
    /// All others.
    AllBut(BTreeSet<IpAddr>),
}

impl Ends {
    fn contains(&self, ip: &IpAddr) -> bool {
        match self {
            Self::Of(these) => these.contains(ip),
            Self::AllBut(these) => !these.contains(ip),
        }
    }
}

/// What meets a dial before any packet is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// A rejection, after this time.
    RejectAfter(Duration),
    /// An HTTP proxy; see [`PathEffect::Proxy`].
    Proxy {
        /// What it answers.
        status: u16,
        /// Whether it takes the connection.
        connects: bool,
    },
    /// A tunnel that does not work.
    Tunnel(Tunnel),
}

/// Which way a segment goes on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From whom the connection was opened by.
    Out,
    /// Back to them.
    Back,
}

/// Where a segment comes from and goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Who sends it.
    pub src: SocketAddr,
    /// Who receives it.
    pub dst: SocketAddr,
    /// Which of the two opened the connection.
    pub way: Way,
}

impl Hop {
    /// A segment of who opened the connection.
    #[must_use]
    pub fn out(src: SocketAddr, dst: SocketAddr) -> Self {
        let way = Way::Out;
        Self { src, dst, way }
    }

    /// A reply.
    #[must_use]
    pub fn back(src: SocketAddr, dst: SocketAddr) -> Self {
        let way = Way::Back;
        Self { src, dst, way }
    }

    /// A dial: the source port is not chosen yet, and no rule looks at it.
    fn dial(src: IpAddr, dst: SocketAddr) -> Self {
        Self::out(SocketAddr::new(src, 0), dst)
    }

    /// What answers it.
    #[must_use]
    pub fn reply(self) -> Self {
        let way = match self.way {
            Way::Out => Way::Back,
            Way::Back => Way::Out,
        };
        Self {
            src: self.dst,
            dst: self.src,
            way,
        }
    }
}

impl ResolvedRule {
    fn covers(&self, hop: Hop) -> bool {
        let holds =
            |direction: Direction| self.direction == direction || self.direction == Direction::Both;
        let is_of = |way: Way| !self.stateful || hop.way == way;
        let port = |end: SocketAddr| self.port.is_none_or(|port| port == end.port());
        let joins = |from: SocketAddr, to: SocketAddr| {
            self.from.contains(&from.ip()) && self.to.contains(&to.ip()) && port(to)
        };
        holds(Direction::To) && is_of(Way::Out) && joins(hop.src, hop.dst)
            || holds(Direction::From) && is_of(Way::Back) && joins(hop.dst, hop.src)
    }
}

/// A kind of TCP segment, as far as its retransmission goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// Part of an attempt to connect.
    Syn,
    /// Anything on an established connection.
    Data,
    /// A reset, which nobody sends again.
    Reset,
}

/// What becomes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this time.
    Arrives(Instant),
    /// A reset goes back to the sender instead.
    Refused,
    /// Neither it nor any retransmission ever arrives.
    Lost,
}

/// What becomes of one attempt to cross a path.
enum Passage {
    After(Duration),
    Lost,
    Refused,
}

/// The rules of a run over time, and how often each took effect.
#[derive(Debug)]
pub struct Paths {
    start: Moment,
    /// What every packet takes.
    latency: Duration,
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
}

impl Paths {
    /// Paths under `rules` from `start` on.
    #[must_use]
    pub fn new(
        start: impl Into<Moment>,
        rules: Timeline<Vec<ResolvedRule>>,
        rule_names: Vec<String>,
        random: Stream,
    ) -> Self {
        let hits = vec![0; rule_names.len()];
        Self {
            start: start.into(),
            latency: Duration::ZERO,
            rules,
            rule_names,
            inner: RefCell::new(Inner {
                random,
                hits,
                new_hits: Vec::new(),
            }),
        }
    }

    /// Whether no rule of the run ever concerns anybody.
    #[must_use]
    pub fn are_open(&self) -> bool {
        self.latency.is_zero() && self.rules.0.iter().all(|(_, rules)| rules.is_empty())
    }

    /// The same paths, each longer by `latency`.
    #[must_use]
    pub fn with_latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Whether a router answers a dial with an ICMP rejection now.
    pub fn rejects(&self, src: IpAddr, dst: SocketAddr) -> bool {
        let dial = Hop::dial(src, dst);
        let rules = self.rules.at(self.start.elapsed());
        let rejecting = rules
            .iter()
            .find(|rule| rule.effect == PathEffect::Reject && rule.covers(dial));
        if let Some(rule) = rejecting {
            self.inner.borrow_mut().hit(rule.name);
        }
        rejecting.is_some()
    }

    /// Counts that the rule `name` took effect otherwise than on a path.
    pub fn count(&self, name: &str) {
        let index = self.rule_names.iter().position(|known| known == name);
        if let Some(index) = index {
            self.inner.borrow_mut().hit(index);
        }
    }

    /// Whether any rule of the run ever concerns connections that `src` opens
    /// to `dst`.
    #[must_use]
    pub fn concern(&self, src: IpAddr, dst: SocketAddr) -> bool {
        let dial = Hop::dial(src, dst);
        let mut rules = self.rules.0.iter().flat_map(|(_, rules)| rules);
        rules.any(|rule| rule.covers(dial) || rule.covers(dial.reply()))
    }

    /// Whether any rule of the run asks who opened a connection.
    #[must_use]
    pub fn are_stateful(&self) -> bool {
        let mut rules = self.rules.0.iter().flat_map(|(_, rules)| rules);
        rules.any(|rule| rule.stateful)
    }

    /// What becomes of a dial to a Service's address before it leads to an
    /// endpoint. Whether it is rejected, [`Paths::rejects`] says.
    pub fn at_service(&self, src: IpAddr, service: SocketAddr, now: Instant) -> Fate {
        match self.fate(Hop::dial(src, service), Segment::Syn, now) {
            // A Service is no machine: nothing travels there.
            Fate::Arrives(at) => Fate::Arrives(at - self.latency),
            lost_or_refused => lost_or_refused,
        }
    }

    /// Decides what becomes of a segment that leaves its sender at `now`.
    ///
    /// TCP hides loss from its users: a lost segment comes again one
    /// retransmission time-out later. So loss and outages become delay here.
    /// Rules are known for the whole run, so the instant at which a
    /// retransmission gets through is known when the first copy is lost.
    pub fn fate(&self, hop: Hop, segment: Segment, now: Instant) -> Fate {
        match self.passage(hop, now) {
            Passage::Refused => Fate::Refused,
            Passage::After(delay) => Fate::Arrives(now + delay),
            Passage::Lost => self.retransmitted(hop, segment, now),
        }
    }

    /// What becomes of the retransmissions of a segment lost at `lost_at`.
    fn retransmitted(&self, hop: Hop, segment: Segment, lost_at: Instant) -> Fate {
        let (mut timeout, retries) = match segment {
            Segment::Syn => (SYN_RTO, SYN_RETRIES),
            Segment::Data => (DATA_RTO, DATA_RETRIES),
            Segment::Reset => (DATA_RTO, 0),
        };
        let mut at = lost_at;
        for _ in 0..retries {
            at += timeout;
            timeout = (timeout * 2).min(RTO_MAX);
            if let Passage::After(delay) = self.passage(hop, at) {
                return Fate::Arrives(at + delay);
            }
        }
        Fate::Lost
    }

    /// What meets a dial from `src` to `dst` now, before any packet is sent.
    /// Unlike the other effects it is not the engine's to show.
    pub fn barrier(&self, src: IpAddr, dst: SocketAddr) -> Option<Barrier> {
        let dial = Hop::dial(src, dst);
        let rules = self.rules.at(self.start.elapsed()).iter();
        let mut covering = rules.filter(|rule| rule.covers(dial));
        let (name, barrier) = covering.find_map(|rule| {
            let barrier = match rule.effect {
                PathEffect::RejectAfter(after) => Barrier::RejectAfter(after),
                PathEffect::Proxy { status, connects } => Barrier::Proxy { status, connects },
                PathEffect::Tunnel(tunnel) => Barrier::Tunnel(tunnel),
                _ => return None,
            };
            Some((rule.name, barrier))
        })?;
        self.inner.borrow_mut().hit(name);
        Some(barrier)
    }

    /// One attempt to cross a path at `at`.
    fn passage(&self, hop: Hop, at: Instant) -> Passage {
        let mut inner = self.inner.borrow_mut();
        let mut delay = self.latency;
        let rules = self.rules.at(self.start.until(at));
        for rule in rules.iter().filter(|rule| rule.covers(hop)) {
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
                // Connections that exist go on.
                PathEffect::RejectAfter(_) | PathEffect::Proxy { .. } | PathEffect::Tunnel(_) => {}
            }
        }
        Passage::After(delay)
    }

    /// Names of rules that took effect for the first time since the last call.
    pub fn take_new_hits(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.borrow_mut().new_hits)
            .into_iter()
            .map(|name| self.rule_names[name].clone())
            .collect()
    }

    /// Whether [`Paths::take_new_hits`] has something to give.
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
}

impl Inner {
    fn hit(&mut self, name: usize) {
        if self.hits[name] == 0 {
            self.new_hits.push(name);
        }
        self.hits[name] += 1;
    }
}
