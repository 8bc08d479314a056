//! What the seed decides before a run begins: when nodes come and go, and when
//! kubelets get their certificates.
//!
//! A scenario may give such a time as a distribution. Everything after this
//! step sees times only: the world, the announced changes, and the judge.

use std::borrow::Cow;
use std::time::Duration;

use crate::scenario::certificate::alternative_names;
use crate::scenario::model::{
    Csr, CsrVerdict, Distribution, Issuance, Kubelet, KubeletPlan, Node, Scenario, Timeline,
};
use crate::seed::Seed;

/// A signer dates certificates back by this much, in case that clocks differ.
/// Source: `pkg/controller/certificates/authority/policies.go`.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// How often a kubelet looks whether it needs a certificate. Source:
/// `client-go/util/certificate/certificate_manager.go`.
const TEMPLATE_POLL: Duration = Duration::from_secs(1);
/// More requests than this make no difference to any run.
const MOST_REQUESTS: usize = 1_000;

/// The scenario with every time drawn that the seed decides.
#[must_use]
pub fn settle(scenario: &Scenario, seed: Seed) -> Cow<'_, Scenario> {
    if !scenario.nodes.iter().any(is_open) {
        return Cow::Borrowed(scenario);
    }
    let mut settled = scenario.clone();
    for node in settled.nodes.iter_mut().filter(|node| is_open(node)) {
        let name = node.name.clone();
        decide(node, scenario.until, &mut |what, distribution| {
            distribution.sample(&mut seed.stream(&format!("node/{name}/{what}")))
        });
    }
    Cow::Owned(settled)
}

/// The node with the median in place of every time that a seed decides.
pub(crate) fn nominal(node: &mut Node, until: Duration) {
    decide(node, until, &mut |_, distribution| distribution.median());
}

/// Whether a seed has anything to decide.
fn is_open(node: &Node) -> bool {
    let varies = |distribution: &Distribution| !matches!(distribution, Distribution::Constant(_));
    let presence = &node.presence;
    let issuance = |plan: &KubeletPlan| match &plan.issuance {
        Issuance::After(after) => varies(after),
        Issuance::Request(_) => true,
    };
    varies(&presence.joins)
        || presence.leaves.as_ref().is_some_and(varies)
        || node.plans.iter().any(|(_, plan)| issuance(plan))
}

/// Draws a value; the name tells the draws of a node apart.
type Draw<'a> = dyn FnMut(&str, &Distribution) -> Duration + 'a;

fn decide(node: &mut Node, until: Duration, draw: &mut Draw<'_>) {
    let presence = &node.presence;
    let joins = draw("joins", &presence.joins) + presence.joins_later;
    let leaves = presence.leaves.as_ref();
    let leaves = leaves.map(|leaves| draw("leaves", leaves) + presence.leaves_later);
    node.there = presence.registered.or_between(joins, leaves);
    let mut there = node.there.0.iter().filter(|(_, is)| *is);
    let joins = there.next().map_or(until, |(at, _)| *at);
    let issued = requested(&node.plans, &node.addresses, joins, until, draw);
    node.kubelet = timeline(&node.plans, &issued, draw);
}

/// A certificate that came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Issued {
    at: Duration,
    /// Issued at, and valid until; absent where the scenario's dates hold.
    dates: Option<(Duration, Duration)>,
    /// What it names: the addresses that the node had when it was asked for;
    /// absent where the scenario's names hold.
    names: Option<Addresses>,
}

/// `status.addresses`: types and values.
type Addresses = Vec<(String, String)>;

/// The certificates that come of requests. What an approver does is what the
/// plan says that holds when the request is made.
fn requested(
    plans: &[(Duration, KubeletPlan)],
    addresses: &Timeline<Addresses>,
    joins_at: Duration,
    until: Duration,
    draw: &mut Draw<'_>,
) -> Vec<Issued> {
    let asking = plans.iter().find_map(|(from, plan)| match &plan.issuance {
        Issuance::Request(csr) => Some((*from, csr)),
        Issuance::After(_) => None,
    });
    let Some((from, first)) = asking else {
        return Vec::new();
    };
    let first = first.requested_at.as_ref();
    let mut at = first.map_or(joins_at, |at| draw("csr", at)).max(from);
    let mut issued = Vec::new();
    for number in 0..MOST_REQUESTS {
        let Some(csr) = csr_at(plans, at).filter(|_| at < until) else {
            break;
        };
        match approved(plans, number, at, draw) {
            Some(approved) => {
                let not_after = approved + csr.validity.saturating_sub(BACKDATE);
                issued.push(Issued {
                    at: approved,
                    dates: (!csr.keeps_dates).then_some((approved, not_after)),
                    names: csr.follows_addresses.then(|| addresses.at(at).clone()),
                });
                let used = draw(&format!("csr/{number}/renewal"), &used_of(csr.validity));
                let renewed = approved + used.saturating_sub(BACKDATE).max(TEMPLATE_POLL);
                // A node with other addresses than those that were asked for asks
                // anew, once what it has asked for is there.
                let mut moves = addresses.changes().filter(|_| csr.follows_addresses);
                let moved = moves.find(|moved| at < *moved && *moved < renewed);
                at = moved.map_or(renewed, |moved| moved.max(approved) + TEMPLATE_POLL);
            }
            None => at += csr.retry_every,
        }
    }
    issued
}

/// How much of a lifetime a kubelet uses before it asks for the next
/// certificate: 70 to 90 %. Source: `client-go/util/certificate/
/// certificate_manager.go nextRotationDeadline, jitteryDuration`.
fn used_of(validity: Duration) -> Distribution {
    Distribution::Uniform(validity * 7 / 10, validity * 9 / 10)
}

fn csr_at(plans: &[(Duration, KubeletPlan)], at: Duration) -> Option<&Csr> {
    let next = plans.partition_point(|(from, _)| *from <= at);
    match &plans.get(next.checked_sub(1)?)?.1.issuance {
        Issuance::Request(csr) => Some(csr),
        Issuance::After(_) => None,
    }
}

/// When the request made `at` is approved, if it is. The kubelet has given it
/// up by the time it makes the next. An approver that takes another's place
/// finds what is pending then.
fn approved(
    plans: &[(Duration, KubeletPlan)],
    number: usize,
    at: Duration,
    draw: &mut Draw<'_>,
) -> Option<Duration> {
    let csr = csr_at(plans, at)?;
    let verdict = csr.verdicts.get(number).or(csr.verdicts.last());
    if verdict.is_some_and(|verdict| *verdict != CsrVerdict::Approved) {
        return None;
    }
    let given_up = at + csr.retry_every;
    let later = plans.iter().map(|(from, _)| *from);
    let mut later = later
        .filter(|from| at < *from && *from < given_up)
        .peekable();
    let (mut since, mut approver) = (at, csr);
    loop {
        let next = later.peek().copied().unwrap_or(given_up);
        if let Some(decided) = decision(approver, number, since, draw).filter(|at| *at < next) {
            return Some(decided);
        }
        let after = csr_at(plans, later.next()?)?;
        if !after.has_approver_of(approver) {
            since = next;
        }
        approver = after;
    }
}

/// When an approver that sees request `number` pending since `since` approves
/// it.
fn decision(
    approver: &Csr,
    number: usize,
    since: Duration,
    draw: &mut Draw<'_>,
) -> Option<Duration> {
    if approver.approver_runs.is_empty() {
        let after = approver.approved_after.as_ref()?;
        return Some(since + draw(&format!("csr/{number}"), after));
    }
    let mut runs = approver.approver_runs.iter().copied();
    runs.find(|run| *run >= since)
}

/// The kubelet over time.
fn timeline(
    plans: &[(Duration, KubeletPlan)],
    issued: &[Issued],
    draw: &mut Draw<'_>,
) -> Timeline<Kubelet> {
    let mut entries = Vec::new();
    for (index, (from, plan)) in plans.iter().enumerate() {
        let end = plans.get(index + 1).map(|(from, _)| *from);
        let within = |at: &Duration| from < at && end.is_none_or(|end| *at < end);
        match &plan.issuance {
            Issuance::After(after) => {
                // One name for all plans: the same wish is the same draw.
                let available = draw("certificate", after);
                let at = |time| plan.at(available <= time, None, None);
                entries.push((*from, at(*from)));
                entries.extend(Some(available).filter(within).map(|time| (time, at(time))));
            }
            Issuance::Request(_) => {
                let at = |time| {
                    let held = issued.iter().rev().find(|one| one.at <= time);
                    let names = held.and_then(|one| one.names.as_ref());
                    plan.at(held.is_some(), held.and_then(|one| one.dates), names)
                };
                entries.push((*from, at(*from)));
                let new = issued.iter().map(|one| one.at).filter(within);
                entries.extend(new.map(|time| (time, at(time))));
            }
        }
    }
    Timeline::of_changes(entries)
}

impl KubeletPlan {
    /// The kubelet with or without its certificate. `dates` are when that was
    /// issued and until when it is valid, `names` the addresses that it names.
    fn at(
        &self,
        has_certificate: bool,
        dates: Option<(Duration, Duration)>,
        names: Option<&Addresses>,
    ) -> Kubelet {
        let mut kubelet = self.kubelet.clone();
        if !has_certificate {
            kubelet.state = self.until_then;
            kubelet.awaits_certificate = true;
        }
        if let Some((issued, not_after)) = dates {
            kubelet.certificate.not_before_ns = nanos(issued) - nanos(BACKDATE);
            kubelet.certificate.not_after_ns = nanos(not_after);
        }
        if let Some(names) = names {
            (kubelet.certificate.ips, kubelet.certificate.dns) = alternative_names(names);
        }
        kubelet
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::model::KubeletState;
    use crate::scenario::parse;

    fn scenario(nodes: &str) -> Scenario {
        let head = "apiVersion: firstlight/v1\nkind: Scenario\nmetadata: {name: t}\npreset: upstream-0.8\nuntil: 2h\n";
        parse("t.yaml", &format!("{head}{nodes}")).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    /// When the kubelet of the first node serves, and when it does not: `+25`
    /// is from 25 s on.
    fn served(nodes: &str) -> Vec<String> {
        let scenario = scenario(nodes);
        let settled = settle(&scenario, Seed(1));
        let entries = &settled.nodes[0].kubelet.0;
        let word = |kubelet: &Kubelet| match kubelet.state {
            KubeletState::Open => "+",
            _ => "-",
        };
        let shown = entries
            .iter()
            .map(|(at, kubelet)| format!("{}{}", word(kubelet), at.as_secs()));
        shown.collect()
    }

    fn with_csr(csr: &str) -> String {
        format!(
            "nodes: {{a: {{joinsAt: 10s, kubelet: {{certificate: {{csr: {csr}}}}}}}, b: {{}}}}\nmetricsServer: {{node: b}}"
        )
    }

    /// Source: the incidents of slow, absent, denying and one-shot approvers.
    #[test]
    fn certificates_come_when_an_approver_sees_a_request_that_is_pending() {
        let check = |csr: &str, expected: &[&str]| assert_eq!(served(&with_csr(csr)), expected);
        check("{approvedAfter: 25s}", &["-0", "+35"]);
        check("{requestedAt: 40s, approvedAfter: 25s}", &["-0", "+65"]);
        check("{approvedAfter: never}", &["-0"]);
        // A kubelet waits 15 min for each request.
        check("{approvedAfter: 16m}", &["-0"]);
        check(
            "{approvedAfter: 1s, outcomes: [Denied, Denied, Approved], retryEvery: 17m}",
            &["-0", "+2051"],
        );
        // Made at 10 s: the first run comes too early, the second finds it.
        check("{approverRuns: [5s, 60s]}", &["-0", "+60"]);
        check("{approverRuns: [5s]}", &["-0"]);
    }

    #[test]
    fn a_new_policy_counts_from_the_next_request_on() {
        let change = "\nchanges: [{at: 5m, nodes: {a: {kubelet: {certificate: {csr: {outcomes: [Approved]}}}}}}]";
        let csr = with_csr("{approvedAfter: 1s, outcomes: [Denied], retryEvery: 17m}");
        assert_eq!(served(&format!("{csr}{change}")), ["-0", "+1031"]);
    }

    /// Source: client-go `util/certificate/certificate_manager.go
    /// certSatisfiesTemplate`.
    #[test]
    fn other_addresses_are_asked_for_anew() {
        let csr = with_csr("{approvedAfter: 4s}");
        let change = |addresses: &str| {
            format!("\nchanges: [{{at: 30s, nodes: {{a: {{addresses: {addresses}}}}}}}]")
        };
        let moved = change("[{type: InternalIP, address: 10.9.9.9}]");
        let scenario = scenario(&format!("{csr}{moved}"));
        let settled = settle(&scenario, Seed(1));
        let named: Vec<(u64, String)> = settled.nodes[0]
            .kubelet
            .0
            .iter()
            .map(|(at, kubelet)| (at.as_secs(), format!("{:?}", kubelet.certificate.ips)))
            .collect();
        let names = |at: u64, ip: &str| (at, format!("[{ip}]"));
        assert_eq!(named[1..], [names(14, "10.0.0.1"), names(35, "10.9.9.9")]);
    }

    #[test]
    fn an_approver_that_comes_later_finds_what_is_pending() {
        let csr = with_csr("{approvedAfter: never}");
        let change = |at: &str, kubelet: &str| {
            format!("\nchanges: [{{at: {at}, nodes: {{a: {{kubelet: {kubelet}}}}}}}]")
        };
        let approver = "{certificate: {csr: {approvedAfter: 2s}}}";
        assert_eq!(
            served(&format!("{csr}{}", change("5m", approver))),
            ["-0", "+302"]
        );
        // By 15 min and 10 s the kubelet has asked again.
        assert_eq!(
            served(&format!("{csr}{}", change("16m", approver))),
            ["-0", "+962"]
        );
        // Whatever else changes, the approver goes on.
        let slow = with_csr("{approvedAfter: 60s}");
        let other = "{latency: 1s}";
        assert_eq!(
            served(&format!("{slow}{}", change("20s", other))),
            ["-0", "-20", "+70"]
        );
    }

    #[test]
    fn a_short_certificate_is_renewed_before_it_expires() {
        let csr = with_csr("{approvedAfter: 1s, validity: 60m}");
        let scenario = scenario(&csr);
        let settled = settle(&scenario, Seed(1));
        let entries = &settled.nodes[0].kubelet.0;
        let dates: Vec<(i64, i64)> = entries[1..]
            .iter()
            .map(|(_, kubelet)| {
                let dates = &kubelet.certificate;
                (dates.not_before_ns, dates.not_after_ns)
            })
            .collect();
        assert_eq!(dates[0], (-289_000_000_000, 3_311_000_000_000));
        assert!(dates.len() > 1 && dates[1].0 < dates[0].1, "{dates:?}");
    }

    #[test]
    fn the_seed_draws_when_nodes_join_and_their_place_adds_to_it() {
        let scenario = scenario(
            "nodes: {first: {}, late: {count: 3, joinsAt: {uniform: [10s, 20s]}, joinEvery: 30s}}",
        );
        let joins = |seed| -> Vec<Duration> {
            let settled = settle(&scenario, Seed(seed));
            let nodes = settled.nodes.iter();
            nodes
                .map(|node| node.there.changes().next().unwrap_or_default())
                .collect()
        };
        let (one, two) = (joins(1), joins(2));
        assert_ne!(one, two);
        assert_eq!(one, joins(1));
        for (index, at) in one[1..].iter().enumerate() {
            let least = 10 + 30 * index as u64;
            assert!((least..least + 10).contains(&at.as_secs()), "{one:?}");
        }
    }
}
