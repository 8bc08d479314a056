//! The scenario's rules for the paths between machines, and how often each
//! took effect: the part that every engine shares.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use seam::Random;
use tokio::time::Instant;

use crate::scenario::model::{PathEffect, Timeline};
use crate::seed::Stream;

/// A scenario's path rule with its parties resolved to addresses.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedRule {
    /// Index of the rule's name in [`Paths::rule_names`].
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

/// What becomes of one attempt to cross a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It gets through, this much later.
    After(Duration),
    /// It vanishes.
    Lost,
    /// A reset comes back.
    Refused,
}

/// The rules of a run over time, and how often each took effect.
#[derive(Debug)]
pub struct Paths {
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
}

impl Paths {
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
            }),
        }
    }

    /// Whether a router answers a dial with an ICMP rejection now.
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

    /// One attempt to cross the path from `src` to `dst` at `at`.
    pub fn passage(&self, src: SocketAddr, dst: SocketAddr, at: Instant) -> Passage {
        let mut inner = self.inner.borrow_mut();
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
