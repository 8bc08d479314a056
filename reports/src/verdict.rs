//! What became of a start-up, in a word.
//!
//! A verdict describes the whole run up to its end; the state at the end
//! matters most. It says nothing about whether that was wanted: that is what
//! expectations are for.
//!
//! Where the pod is not Ready at the end, the first rule that holds decides:
//!
//! | verdict | rule | incidents |
//! |---|---|---|
//! | [`ConfigError`](Verdict::ConfigError) | the process ended by itself at least once, and every time over its configuration: before it bound its port, or with an error that only flags can cause | RT-02, UP-03 |
//! | [`LivenessLoop`](Verdict::LivenessLoop) | at least two kills by liveness or startup probe, and at least as many as ends of its own | LV, PR-05 |
//! | [`CrashLoop`](Verdict::CrashLoop) | at least two ends of its own | BO-01, BO-03, CV-04 |
//! | [`Flapping`](Verdict::Flapping) | see below | AG-13, SL-07 |
//! | [`Deadlock`](Verdict::Deadlock) | the process has waited for the API server longer than any of its time-outs, and meanwhile a client has waited for the metrics API: its last answer is 503 or none | BO-07 |
//! | [`InstallFailed`](Verdict::InstallFailed) | the deadline passed | CD-01, RT-04 |
//! | [`NotReady`](Verdict::NotReady) | otherwise | CD, SA, NW, AZ, DN, UP |
//!
//! Where it is Ready at the end:
//!
//! | verdict | rule | incidents |
//! |---|---|---|
//! | [`Deadlock`](Verdict::Deadlock) | a controller manager waits for a complete discovery, which lacks the metrics API, whose endpoint one of its controllers would publish | BO-07 |
//! | [`Flapping`](Verdict::Flapping) | the pod's Ready condition, the APIService's Available condition, one client's answers on one path, or one node or pod in the lists went away and came back at least twice | AG-06, AG-12, AG-13, SL-07, KB-03, RT-01 |
//! | [`ReadyButUnreachable`](Verdict::ReadyButUnreachable) | at the end the APIService is not Available, or the last list asked for through the API server was not answered 200; a run that ends within [`PROPAGATION_NS`] of Ready is not held to it | AG-01, AG-03, AG-08, CV-01, NW-06, AZ-06 |
//! | [`InstallFailed`](Verdict::InstallFailed) | the pod became Ready after the deadline | CD-01, RT-04 |
//! | [`ReadyDegraded`](Verdict::ReadyDegraded) | the last answer lacks a node, or a pod, that has been there long enough to be served | CD-03, NW-05, DN-05, KB-05, KB-07 |
//! | [`ReadyLate`](Verdict::ReadyLate) | the pod became Ready later than [`ready_by`] | CD-01, BO-02, SL-12 |
//! | [`Ready`](Verdict::Ready) | otherwise | PR-01, SL-13 |

mod seen;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::case::{Case, NodeBrief};
use crate::life::{End, Life};
use crate::milestone::{Milestone, Milestones};
use crate::trace::Trace;
use crate::units::{counted, duration};
pub(crate) use seen::gave_up;
use seen::{GaveUp, Seen};

/// What became of a start-up, from best to worst: of several runs, the worst
/// verdict speaks for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// Ready in the normal time for its settings, and reachable.
    Ready,
    /// Ready, but later than is normal.
    ReadyLate,
    /// Ready, but some node or pod is missing from the answers.
    ReadyDegraded,
    /// Ready, but its users get no answer.
    ReadyButUnreachable,
    /// Ready or answers that come and go.
    Flapping,
    /// A deadline passed before it was Ready.
    InstallFailed,
    /// Not Ready at the end.
    NotReady,
    /// Killed by its liveness or startup probe again and again.
    LivenessLoop,
    /// It ends by itself again and again.
    CrashLoop,
    /// It and the API server wait for each other.
    Deadlock,
    /// It cannot start with this configuration.
    ConfigError,
}

impl Verdict {
    /// The word: `READY_LATE`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::ReadyLate => "READY_LATE",
            Self::ReadyDegraded => "READY_DEGRADED",
            Self::ReadyButUnreachable => "READY_BUT_UNREACHABLE",
            Self::Flapping => "FLAPPING",
            Self::InstallFailed => "INSTALL_FAILED",
            Self::NotReady => "NOT_READY",
            Self::LivenessLoop => "LIVENESS_LOOP",
            Self::CrashLoop => "CRASH_LOOP",
            Self::Deadlock => "DEADLOCK",
            Self::ConfigError => "CONFIG_ERROR",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A verdict and the finding that decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The word.
    pub verdict: Verdict,
    /// Why: `killed by the liveness probe 4 times`.
    pub because: String,
}

/// What a healthy scrape takes at most beyond the stagger of its requests.
/// Longer than the slowest healthy kubelet in the incidents and recordings,
/// shorter than the slowest that calls for attention (SL-12).
pub const NORMAL_SCRAPE_NS: u64 = 1_000_000_000;

/// What a change of readiness takes at most to reach the metrics API's users
/// in a healthy cluster: 0.1–1.5 s.
///
/// Source: readiness-to-routable chain of Kubernetes 1.36: kubelet status
/// PATCH, EndpointSlice, availability check, kube-proxy.
pub const PROPAGATION_NS: u64 = 1_500_000_000;

/// The longest of the process's own time-outs towards the API server: dialling
/// an address that does not answer.
///
/// Source: client-go `transport` dial time-out, 30 s; the TLS handshake has
/// 10 s. A request that TLS accepted has none.
const LONGEST_TIMEOUT_NS: u64 = 30_000_000_000;

/// When a healthy start with these settings has made the pod Ready at the
/// latest, in nanoseconds since the start of the process.
///
/// Storage is ready when the second scrape is stored, one resolution after the
/// first: `start cost + resolution + scrape`. The readiness probe that sees it
/// comes at most one period later, and not before the initial delay; a startup
/// probe must have succeeded first. Then the status has to travel.
///
/// Source: metrics-server `pkg/server/server.go: runScrape`,
/// `pkg/scraper/scraper.go` (requests are spread over `min(8 ms × nodes, 4 s)`);
/// kubelet `pkg/kubelet/prober/worker.go: doProbe`.
#[must_use]
pub fn ready_by(case: &Case) -> u64 {
    let Some(probe) = &case.readiness else {
        return PROPAGATION_NS;
    };
    let stagger_ns = (8_000_000 * case.nodes.len() as u64).min(4_000_000_000);
    let stored = case.start_cost_ns + case.resolution_ns + stagger_ns + NORMAL_SCRAPE_NS;
    let started = case.startup.as_ref().map_or(0, |startup| {
        let successes = u64::from(startup.success_threshold.max(1));
        case.start_cost_ns.max(startup.initial_delay_ns) + successes * startup.period_ns
    });
    let further_successes = u64::from(probe.success_threshold.saturating_sub(1));
    stored.max(probe.initial_delay_ns).max(started)
        + probe.period_ns * (1 + further_successes)
        + PROPAGATION_NS
}

/// Names what became of the start-up in `trace`, by the rules of this module.
#[must_use]
pub fn verdict(case: &Case, trace: &Trace, milestones: &Milestones) -> Finding {
    let seen = Seen::in_trace(case, trace);
    let (verdict, because) = if seen.ready_at_end {
        ready_at_end(case, &seen, milestones)
    } else {
        not_ready_at_end(case, &seen, milestones)
    };
    Finding { verdict, because }
}

fn not_ready_at_end(case: &Case, seen: &Seen<'_>, milestones: &Milestones) -> (Verdict, String) {
    let by_itself = |life: &&Life<'_>| life.ended.is_some_and(|end| end.killed_by.is_none());
    let crashed: Vec<_> = seen.lives.iter().filter(by_itself).collect();
    let probes: Vec<_> = seen.lives.iter().filter_map(killing_probe).collect();
    let (crashes, kills) = (crashed.len(), probes.len());
    if crashes > 0 && crashed.iter().all(|life| is_configuration_error(life)) {
        return (Verdict::ConfigError, configuration_error(&seen.lives));
    }
    if let Some(probe) = probes.last().filter(|_| kills >= 2 && kills >= crashes) {
        let because = format!("killed by the {probe} probe {kills} times");
        return (Verdict::LivenessLoop, because);
    }
    if crashes >= 2 {
        return (Verdict::CrashLoop, crash(crashes, &seen.lives));
    }
    if let Some(because) = &seen.flapping {
        return (Verdict::Flapping, because.clone());
    }
    if let Some(because) = deadlock(seen) {
        return (Verdict::Deadlock, because);
    }
    if let Some(because) = deadline_missed(case, seen) {
        return (Verdict::InstallFailed, because);
    }
    let never = milestones.at(Milestone::PodReady).is_none();
    let because = match (seen.lives.is_empty(), never) {
        (true, _) => "the container never started".to_owned(),
        (false, true) => "the pod was never Ready".to_owned(),
        (false, false) => "the pod was Ready, but is not at the end".to_owned(),
    };
    (Verdict::NotReady, because)
}

fn ready_at_end(case: &Case, seen: &Seen<'_>, milestones: &Milestones) -> (Verdict, String) {
    let ready_ns = milestones.at(Milestone::PodReady).unwrap_or(0);
    if let Some(because) = waiting_controllers(seen) {
        return (Verdict::Deadlock, because);
    }
    if let Some(because) = &seen.flapping {
        return (Verdict::Flapping, because.clone());
    }
    if let Some(because) = unreachable(seen) {
        return (Verdict::ReadyButUnreachable, because);
    }
    if let Some(because) = deadline_missed(case, seen) {
        return (Verdict::InstallFailed, because);
    }
    if let Some(because) = missing(case, seen) {
        return (Verdict::ReadyDegraded, because);
    }
    let by_ns = ready_by(case);
    if ready_ns > by_ns {
        let because = format!(
            "Ready at {}, normal for these settings is {} at the latest",
            duration(ready_ns),
            duration(by_ns)
        );
        return (Verdict::ReadyLate, because);
    }
    let because = format!(
        "within the normal time for these settings, at most {}",
        duration(by_ns)
    );
    (Verdict::Ready, because)
}

fn killing_probe<'t>(life: &Life<'t>) -> Option<&'t str> {
    let by = life.ended.and_then(|end| end.killed_by)?;
    matches!(by, "liveness" | "startup").then_some(by)
}

/// Errors after binding the port that only flags can cause.
///
/// Source: metrics-server `pkg/server/config.go: Config.Complete`,
/// `cmd/metrics-server/app/options/options.go: Options.restConfig`.
const CONFIGURATION_ERRORS: [&str; 4] = [
    "unable to parse requirement",
    "unable to construct lister client config",
    "unable to construct a client to connect to the kubelets",
    "unable to load in-cluster configuration",
];

/// metrics-server ends with 2 after an error it returns and with 255 after
/// `klog.Fatal`; before the port is bound both come from its configuration.
fn is_configuration_error(life: &Life<'_>) -> bool {
    let code = life.ended.map(|end| end.code);
    match life.port_bound {
        None => matches!(code, Some(2 | 255)),
        Some(_) => {
            let error = life.last_error().unwrap_or_default();
            code == Some(2)
                && CONFIGURATION_ERRORS
                    .iter()
                    .any(|known| error.contains(known))
        }
    }
}

fn configuration_error(lives: &[Life<'_>]) -> String {
    let (code, error) = last_end(lives);
    match error {
        Some(error) => format!("exit {code} on start: {error}"),
        None => format!("exit {code} before the port was bound"),
    }
}

fn crash(crashes: usize, lives: &[Life<'_>]) -> String {
    let (code, error) = last_end(lives);
    let out_of_memory = lives
        .iter()
        .rev()
        .find_map(|life| life.ended.filter(|end| end.killed_by.is_none()))
        .is_some_and(|end| end.reason == "OOMKilled");
    let error = match error {
        _ if out_of_memory => " (OOMKilled)".to_owned(),
        Some(error) => format!(": {error}"),
        None => String::new(),
    };
    format!("the process ended by itself {crashes} times, last with exit {code}{error}")
}

fn last_end<'t>(lives: &[Life<'t>]) -> (i32, Option<&'t str>) {
    let own = |life: &Life<'t>| match life.ended {
        Some(End {
            code,
            killed_by: None,
            ..
        }) => Some((code, life.last_error())),
        _ => None,
    };
    lives.iter().rev().find_map(own).unwrap_or((0, None))
}

/// The API server keeps metrics-server waiting, and the metrics API keeps the
/// API server's clients waiting.
fn deadlock(seen: &Seen<'_>) -> Option<String> {
    let life = seen.lives.last().filter(|life| life.ended.is_none())?;
    let bound = life.port_bound?;
    let waited = seen.end.saturating_sub(bound);
    if life.informers_synced.is_some() || waited <= LONGEST_TIMEOUT_NS {
        return None;
    }
    let registered = seen.api_service_registered && !seen.api_service_available;
    let (client, outcome) = seen
        .last_answers
        .iter()
        .find(|(_, outcome)| matches!(**outcome, "503" | "timeout"))?;
    registered.then(|| {
        format!(
            "the process has waited {} for the API server while {client} waits for the metrics \
             API ({outcome})",
            duration(waited)
        )
    })
}

fn waiting_controllers(seen: &Seen<'_>) -> Option<String> {
    let outcome = seen.controllers_wait?;
    let registered = seen.api_service_registered && !seen.api_service_available;
    registered.then(|| {
        format!(
            "the controller manager waits for discovery, which lacks the metrics API ({outcome}), \
             whose endpoint it does not publish before"
        )
    })
}

fn deadline_missed(case: &Case, seen: &Seen<'_>) -> Option<String> {
    if let Some(GaveUp {
        observer,
        text,
        waited_ns,
    }) = seen.gave_up
    {
        let waited = duration(waited_ns);
        return Some(format!("{observer} gave up after {waited}: {text}"));
    }
    let deadline = seen.pod_created + case.deadline_ns?;
    let late = match seen.first_ready {
        Some(ready) => ready > deadline,
        None => seen.end >= deadline,
    };
    late.then(|| {
        let after = duration(deadline - seen.pod_created);
        format!("not Ready {after} after the pod was created, when the deadline passed")
    })
}

fn unreachable(seen: &Seen<'_>) -> Option<String> {
    if seen.end.saturating_sub(seen.ready_since) <= PROPAGATION_NS {
        return None;
    }
    if !seen.api_service_registered {
        return Some("no APIService routes the metrics API".to_owned());
    }
    if !seen.api_service_available {
        return Some(format!(
            "the APIService is not Available: {}",
            seen.api_service_reason
        ));
    }
    match seen.last_list {
        Some((_, "200")) | None => None,
        Some((target, outcome)) => Some(format!("GET {target} is answered {outcome}")),
    }
}

/// The first node or pod, in the order of the case, that has been there long
/// enough to be served and is not in the last lists.
fn missing(case: &Case, seen: &Seen<'_>) -> Option<String> {
    let nodes: BTreeSet<_> = seen.nodes_listed?.iter().collect();
    // A newcomer needs two scrapes, and the first may begin a resolution later.
    let due = seen
        .end
        .saturating_sub(3 * case.resolution_ns + case.request_timeout_ns);
    let settled = || {
        let here = |node: &&NodeBrief| {
            let since = node.present_since(seen.end);
            since.is_some_and(|since| since <= due)
        };
        case.nodes.iter().filter(here)
    };
    let lost: Vec<_> = settled()
        .filter(|node| !nodes.contains(&node.name))
        .collect();
    if let Some(first) = lost.first() {
        let all = settled().count();
        return Some(match lost.len() {
            1 => format!("node {} of {all} is not served", first.name),
            count => format!(
                "{count} of {all} nodes are not served, {} first",
                first.name
            ),
        });
    }
    let pods: BTreeSet<_> = seen.pods_listed?.iter().collect();
    let lost: Vec<_> = settled()
        .flat_map(|node| &node.pods)
        .filter(|pod| pod.complete_at_ns <= due && !pods.contains(&pod.name))
        .collect();
    let first = &lost.first()?.name;
    Some(format!(
        "{} not served, {first} first",
        counted(lost.len() as u64, "pod")
    ))
}
