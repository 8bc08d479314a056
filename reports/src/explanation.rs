//! Why it came to its verdict: causes in order, each with the setting that
//! governs it.
//!
//! The first cause is what decided. Of a pod that was never Ready it is what
//! blocked it at the end; what would block it next once that is mended cannot
//! be seen in one trace: the harness finds it by running the mended scenario,
//! and adds it behind the others.

use serde::{Deserialize, Serialize};

use crate::attribution::{Attribution, Blame, Part};
use crate::case::{Case, Setting, setting};
use crate::judgement::NodeService;
use crate::life::{Life, lives};
use crate::trace::{Event, Trace};
use crate::units::counted;
use crate::verdict::{Finding, Verdict, gave_up};

/// Why a run came to its verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The causes, what decided first. None where all went normally.
    pub causes: Vec<Cause>,
}

/// A cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What it was.
    pub what: String,
    /// The setting that governs it.
    pub governed_by: Setting,
    /// What would have to change before it matters: it lies behind the other
    /// causes. Absent for those seen in the run itself.
    pub behind: Option<String>,
}

/// What changes if a setting is changed, as a run of the changed scenario with
/// the same seed shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remedy {
    /// The change, in the scenario's words: `args: --kubelet-insecure-tls`.
    pub change: String,
    /// The verdict with it.
    pub verdict: Verdict,
    /// The time to ready with it, in nanoseconds.
    pub time_to_ready_ns: Option<u64>,
    /// Whether that is better: a better verdict, or the same one earlier.
    pub helps: bool,
    /// What decides then, if all is not well.
    pub then: Option<String>,
}

/// What an explanation is drawn from.
pub(crate) struct Grounds<'a> {
    pub(crate) case: &'a Case,
    pub(crate) trace: &'a Trace,
    pub(crate) finding: &'a Finding,
    pub(crate) attribution: &'a Attribution,
    pub(crate) nodes: &'a [NodeService],
}

/// The causes of a run's verdict.
pub(crate) fn explain(grounds: &Grounds<'_>) -> Explanation {
    let causes = match grounds.finding.verdict {
        Verdict::Ready => Vec::new(),
        Verdict::ReadyLate => grounds.delays(),
        Verdict::ReadyDegraded => grounds.unserved(),
        Verdict::ReadyButUnreachable => grounds.unreachable(),
        Verdict::Flapping => grounds.flapping(),
        Verdict::InstallFailed => grounds.deadline(),
        Verdict::NotReady => grounds.blockers(),
        Verdict::Deadlock => grounds.deadlock(),
        Verdict::LivenessLoop | Verdict::CrashLoop | Verdict::ConfigError => grounds.endings(),
    };
    let causes = match grounds.finding.verdict {
        Verdict::Ready => causes,
        // A run so short that nothing took any time still has its finding.
        _ if causes.is_empty() => {
            let setting = grounds.case.setting(setting::RESTART);
            vec![cause(grounds.finding.because.clone(), setting)]
        }
        _ => causes,
    };
    Explanation { causes }
}

fn cause(what: impl Into<String>, governed_by: Setting) -> Cause {
    Cause {
        what: what.into(),
        governed_by,
        behind: None,
    }
}

fn of_part(part: &Part) -> Cause {
    cause(part.what.clone(), part.governed_by.clone())
}

impl Grounds<'_> {
    /// The parts that took longer than is normal, the longest excess first.
    fn delays(&self) -> Vec<Cause> {
        let mut late: Vec<&Part> = self.attribution.parts.iter().collect();
        late.retain(|part| part.excess_ns > 0);
        // Stable: of equals the earlier part comes first.
        // What ended a process is why it waits to be restarted.
        let is_restart = |part: &&&Part| part.governed_by.name == setting::RESTART;
        let waiting: u64 = late
            .iter()
            .filter(is_restart)
            .map(|part| part.excess_ns)
            .sum();
        late.sort_by_key(|part| {
            let costs = if part.is_an_end { waiting } else { 0 };
            std::cmp::Reverse(part.excess_ns + costs)
        });
        if late.is_empty() {
            let longest = self
                .attribution
                .parts
                .iter()
                .rev()
                .max_by_key(|part| part.ns);
            late.extend(longest);
        }
        late.into_iter().map(of_part).collect()
    }

    /// What the run waited for at its end, then what had delayed it before.
    fn blockers(&self) -> Vec<Cause> {
        if self.attribution.ready {
            return self.lost();
        }
        let blocking = self.attribution.parts.iter().filter(|part| part.blocking);
        let mut causes: Vec<Cause> = blocking.map(of_part).collect();
        let earlier = self.delays();
        causes.extend(
            earlier
                .into_iter()
                .filter(|late| !causes.contains(late))
                .collect::<Vec<_>>(),
        );
        if causes.is_empty() {
            let setting = self.case.setting(setting::NODES);
            causes.push(cause(self.finding.because.clone(), setting));
        }
        causes
    }

    /// Why a pod that was Ready is not any more.
    fn lost(&self) -> Vec<Cause> {
        let lives = lives(self.trace);
        let ended = lives.last().and_then(|life| life.ended);
        if ended.is_some() {
            return self.endings();
        }
        let mut causes = self.failing_nodes();
        if causes.is_empty() {
            let text = self.last_failure("readiness-probe");
            let what = match text {
                Some(text) => format!("{}: {text}", self.finding.because),
                None => self.finding.because.clone(),
            };
            causes.push(cause(what, self.case.setting(setting::READINESS)));
        }
        causes
    }

    /// Nodes whose last scrape failed, in the order of the case.
    fn failing_nodes(&self) -> Vec<Cause> {
        let blame = Blame::of(self.trace);
        let failing = self.nodes.iter().filter_map(|node| {
            let error = node.last_error.as_ref()?;
            let what = format!("node {}: {error}", node.name);
            let governed_by = blame.node(self.case, &node.name);
            Some(cause(what, governed_by))
        });
        failing.collect()
    }

    /// Nodes and pods that are missing from the answers.
    fn unserved(&self) -> Vec<Cause> {
        let mut causes = self.failing_nodes();
        if causes.is_empty() {
            let because = &self.finding.because;
            let named =
                |node: &&NodeService| because.split_whitespace().any(|word| word == node.name);
            let node = self
                .nodes
                .iter()
                .find(named)
                .or_else(|| self.owner_named_in(because));
            let governed_by = match node {
                Some(node) => self.case.setting(&setting::kubelet(&node.name)),
                None => self.case.setting(setting::NODES),
            };
            causes.push(cause(because.clone(), governed_by));
        }
        causes
    }

    /// The node of the pod that a finding names.
    fn owner_named_in(&self, because: &str) -> Option<&NodeService> {
        let words: Vec<&str> = because.split([' ', ',']).collect();
        let node = self.case.nodes.iter().find(|node| {
            let mut pods = node.pods.iter();
            pods.any(|pod| words.contains(&&*pod.name))
        })?;
        self.nodes.iter().find(|service| service.name == node.name)
    }

    /// Why a Ready pod is not reached through the API server.
    fn unreachable(&self) -> Vec<Cause> {
        let mut what = self.finding.because.clone();
        let last = self
            .trace
            .records
            .iter()
            .rev()
            .find_map(|record| match &record.event {
                Event::ApiService {
                    status, message, ..
                } => Some((status, message)),
                _ => None,
            });
        if let Some((status, message)) = last
            && status != "True"
            && !message.is_empty()
        {
            what.push_str(&format!(": {message}"));
        }
        vec![cause(what, self.on_the_way())]
    }

    /// The network rule between the API server and metrics-server that took
    /// effect; else the aggregation layer.
    fn on_the_way(&self) -> Setting {
        let hit = |name: &str| {
            self.trace
                .records
                .iter()
                .any(|record| matches!(&record.event, Event::PathRuleHit { rule } if rule == name))
        };
        let rule = self.case.path_rules.iter().find(|rule| {
            let setting = self.case.setting(&setting::network(rule));
            hit(rule) && setting.value.contains("apiserver")
        });
        match rule {
            Some(rule) => self.case.setting(&setting::network(rule)),
            None => self.layer_between(),
        }
    }

    /// What the scenario says of the layers between the API server and
    /// metrics-server.
    fn layer_between(&self) -> Setting {
        let layers = [
            setting::AUTHENTICATION,
            setting::RBAC,
            setting::SERVICE,
            setting::AGGREGATION,
            setting::API_SERVERS,
        ];
        let said = self.case.said(&layers);
        said.unwrap_or_else(|| self.case.setting(setting::AGGREGATION))
    }

    /// What comes and goes.
    fn flapping(&self) -> Vec<Cause> {
        let because = &self.finding.because;
        let governed_by = match because.split_whitespace().next() {
            Some("node" | "pod") => match self.unserved().into_iter().next() {
                Some(cause) => cause.governed_by,
                None => self.case.setting(setting::NODES),
            },
            Some("Ready") => self
                .failing_nodes()
                .into_iter()
                .next()
                .map_or_else(|| self.case.setting(setting::READINESS), |c| c.governed_by),
            _ => self.on_the_way(),
        };
        let mut causes = vec![cause(because.clone(), governed_by)];
        causes.extend(self.failing_nodes());
        causes
    }

    fn deadline(&self) -> Vec<Cause> {
        let mut causes = if self.attribution.ready {
            self.delays()
        } else {
            self.blockers()
        };
        let setting = match gave_up(self.case, self.trace) {
            Some(gave_up) => format!("consumers.{}.timeout", gave_up.observer),
            None => setting::DEADLINE.to_owned(),
        };
        let setting = self.case.setting(&setting);
        causes.push(cause(self.finding.because.clone(), setting));
        causes
    }

    fn deadlock(&self) -> Vec<Cause> {
        let mut causes = vec![cause(
            self.finding.because.clone(),
            self.case.setting(setting::AGGREGATION),
        )];
        if !self.attribution.ready {
            causes.extend(self.blockers());
        }
        causes
    }

    /// What ends the process again and again: of its attempts the commonest.
    fn endings(&self) -> Vec<Cause> {
        let lives = lives(self.trace);
        let last = lives.iter().rev().find(|life| life.ended.is_some());
        let Some(life) = last else {
            return self.blockers_only();
        };
        let end = life.ended.expect("it has ended");
        match end.killed_by {
            Some(probe @ ("liveness" | "startup")) => vec![self.killed(probe, &lives)],
            Some("eviction") => {
                let what = "its node ran out of memory and evicted the pod".to_owned();
                vec![cause(what, self.case.setting(setting::MEMORY))]
            }
            Some(_) => {
                let what = format!("the scenario ended the process (exit {})", end.code);
                vec![cause(what, self.case.setting(setting::ACTIONS))]
            }
            None => vec![self.crashed(life, end.code)],
        }
    }

    fn blockers_only(&self) -> Vec<Cause> {
        let blocking = self.attribution.parts.iter().filter(|part| part.blocking);
        blocking.map(of_part).collect()
    }

    fn killed(&self, probe: &str, lives: &[Life<'_>]) -> Cause {
        let kills = lives
            .iter()
            .filter(|life| life.ended.is_some_and(|end| end.killed_by == Some(probe)))
            .count() as u64;
        let mut what = format!("killed by the {probe} probe {}", counted(kills, "time"));
        let text = self.last_failure(&format!("{probe}-probe"));
        if let Some(text) = text {
            what.push_str(&format!(": {text}"));
        }
        // Where another port is asked than the one that is served, that is it.
        let is_refused = text.is_some_and(|text| text.contains("connection refused"));
        if is_refused && let Some(port) = self.case.said(&[setting::CONTAINER_PORT]) {
            return cause(what, port);
        }
        let name = match probe {
            "startup" => setting::STARTUP,
            _ => setting::LIVENESS,
        };
        cause(what, self.case.setting(name))
    }

    fn crashed(&self, life: &Life<'_>, code: i32) -> Cause {
        let mut what = format!("the process ended with exit {code}");
        if let Some(reason) = life.ended.map(|end| end.reason).filter(|r| *r != "Error") {
            what.push_str(&format!(" ({reason})"));
        }
        if let Some(error) = life.last_error() {
            what.push_str(&format!(": {error}"));
        }
        let out_of_memory = life.ended.is_some_and(|end| end.reason == "OOMKilled");
        let name = match (life.port_bound, self.finding.verdict) {
            _ if out_of_memory => self.case.setting(setting::MEMORY),
            (None, _) | (_, Verdict::ConfigError) => self.case.setting(setting::ARGS),
            (Some(_), _) => self.towards_the_api_server(),
        };
        cause(what, name)
    }

    /// The network rule on the way from metrics-server to the API server that
    /// took effect; else the API server.
    fn towards_the_api_server(&self) -> Setting {
        let rule = self.on_the_way();
        if rule.name.starts_with("network.") {
            rule
        } else {
            self.case.setting(setting::API_SERVER)
        }
    }

    /// What a probe that failed last told its user.
    fn last_failure(&self, observer: &str) -> Option<&str> {
        self.trace
            .records
            .iter()
            .rev()
            .find_map(|record| match &record.event {
                Event::Response {
                    observer: who,
                    outcome,
                    text,
                    ..
                } if who == observer && outcome != "200" => Some(&**text),
                _ => None,
            })
    }
}
