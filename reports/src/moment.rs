//! Happenings that a scenario can wait for or count.
//!
//! Where a field says `None`, anything matches. Texts match where they occur
//! within the text that was seen.

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::milestone::{Milestone, milestones, origin_ns};
use crate::response::{Answer, answers};
use crate::trace::{Event, Record, Trace};

/// Answers of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerFilter {
    /// Who asked: `readiness-probe`, …, `scraper`.
    pub observer: String,
    /// What was asked for: a path; for `scraper` the node's name.
    pub target: Option<String>,
    /// `500`, `refused`, …
    pub outcome: Option<String>,
    /// A part of the text.
    pub text: Option<String>,
    /// The machine that asked, or whose process did.
    pub on: Option<String>,
}

impl AnswerFilter {
    /// Whether the answer is one that could be of this kind: the right
    /// observer asked the right target.
    pub(crate) fn concerns(&self, answer: &Answer<'_>) -> bool {
        answer.observer == self.observer
            && self.target.as_deref().is_none_or(|t| answer.target == t)
            && self.on.as_deref().is_none_or(|on| answer.host == on)
    }

    /// Whether the answer is of this kind.
    pub(crate) fn matches(&self, answer: &Answer<'_>) -> bool {
        self.concerns(answer)
            && self.outcome.as_deref().is_none_or(|o| answer.outcome == o)
            && contains(answer.text, self.text.as_deref())
    }

    /// `scraper of pi 500 with "tls"`
    pub(crate) fn words(&self) -> String {
        let mut words = self.observer.clone();
        if let Some(target) = &self.target {
            words.push_str(&format!(" of {target}"));
        }
        if let Some(on) = &self.on {
            words.push_str(&format!(" on {on}"));
        }
        if let Some(outcome) = &self.outcome {
            words.push_str(&format!(" {outcome}"));
        }
        if let Some(text) = &self.text {
            words.push_str(&format!(" with \"{text}\""));
        }
        words
    }
}

/// Log lines of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogFilter {
    /// A part of the line.
    pub text: Option<String>,
    /// `I`, `W`, `E`, `F`
    pub severity: Option<String>,
    /// The machine whose process wrote it.
    pub on: Option<String>,
}

/// Kubernetes Events of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventFilter {
    /// `Unhealthy`, `Killing`, …
    pub reason: Option<String>,
    /// A part of the message.
    pub text: Option<String>,
    /// The machine whose component recorded it.
    pub on: Option<String>,
}

/// Ends of processes of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExitFilter {
    /// The exit code.
    pub code: Option<i32>,
    /// `Error`, `Completed`, `OOMKilled`
    pub reason: Option<String>,
    /// The machine whose process ended.
    pub on: Option<String>,
}

fn contains(text: &str, part: Option<&str>) -> bool {
    part.is_none_or(|part| text.contains(part))
}

fn is(value: &str, wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| value == wanted)
}

impl LogFilter {
    pub(crate) fn matches(&self, record: &Record) -> bool {
        match &record.event {
            Event::Log { severity, text } => {
                contains(text, self.text.as_deref())
                    && is(severity, self.severity.as_deref())
                    && is(&record.host, self.on.as_deref())
            }
            _ => false,
        }
    }

    pub(crate) fn words(&self) -> String {
        let mut words = "log lines".to_owned();
        if let Some(severity) = &self.severity {
            words.push_str(&format!(" {severity}"));
        }
        if let Some(text) = &self.text {
            words.push_str(&format!(" with \"{text}\""));
        }
        if let Some(on) = &self.on {
            words.push_str(&format!(" on {on}"));
        }
        words
    }
}

impl EventFilter {
    pub(crate) fn matches(&self, record: &Record) -> bool {
        match &record.event {
            Event::Kubernetes {
                reason, message, ..
            } => {
                is(reason, self.reason.as_deref())
                    && contains(message, self.text.as_deref())
                    && is(&record.host, self.on.as_deref())
            }
            _ => false,
        }
    }

    pub(crate) fn words(&self) -> String {
        let mut words = "events".to_owned();
        if let Some(reason) = &self.reason {
            words.push_str(&format!(" {reason}"));
        }
        if let Some(text) = &self.text {
            words.push_str(&format!(" with \"{text}\""));
        }
        if let Some(on) = &self.on {
            words.push_str(&format!(" on {on}"));
        }
        words
    }
}

impl ExitFilter {
    pub(crate) fn matches(&self, record: &Record) -> bool {
        match &record.event {
            Event::ProcessExited { code, reason, .. } => {
                self.code.is_none_or(|wanted| wanted == *code)
                    && is(reason, self.reason.as_deref())
                    && is(&record.host, self.on.as_deref())
            }
            _ => false,
        }
    }

    pub(crate) fn words(&self) -> String {
        let mut words = "exits".to_owned();
        if let Some(code) = self.code {
            words.push_str(&format!(" with {code}"));
        }
        if let Some(reason) = &self.reason {
            words.push_str(&format!(" ({reason})"));
        }
        if let Some(on) = &self.on {
            words.push_str(&format!(" on {on}"));
        }
        words
    }
}

/// Something that happens once or several times in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Moment {
    /// A milestone, by its name in scenarios.
    Milestone(String),
    /// An answer.
    Response(AnswerFilter),
    /// A log line.
    Log(LogFilter),
    /// A Kubernetes Event.
    Event(EventFilter),
    /// The end of a process.
    Exit(ExitFilter),
}

impl Moment {
    /// When it happened for the `nth` time, from 1: virtual nanoseconds since
    /// the simulation began. A milestone happens once.
    #[must_use]
    pub fn nth_in(&self, case: &Case, trace: &Trace, nth: u64) -> Option<u64> {
        let skip = usize::try_from(nth.saturating_sub(1)).unwrap_or(usize::MAX);
        let among = |matches: &dyn Fn(&Record) -> bool| {
            let mut found = trace.records.iter().filter(|record| matches(record));
            found.nth(skip).map(|record| record.t)
        };
        match self {
            Self::Milestone(name) => {
                let since = milestones(case, trace).at(Milestone::from_name(name)?)?;
                (skip == 0).then(|| origin_ns(trace) + since)
            }
            Self::Response(filter) => {
                let mut found = answers(trace).filter(|answer| filter.matches(answer));
                found.nth(skip).map(|answer| answer.at)
            }
            Self::Log(filter) => among(&|record| filter.matches(record)),
            Self::Event(filter) => among(&|record| filter.matches(record)),
            Self::Exit(filter) => among(&|record| filter.matches(record)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(events: Vec<(u64, &str, Event)>) -> Trace {
        let record = |(seq, (t, host, event)): (usize, (u64, &str, Event))| Record {
            t,
            seq: seq as u64,
            host: host.to_owned(),
            event,
        };
        Trace {
            records: events.into_iter().enumerate().map(record).collect(),
        }
    }

    fn log(severity: &str, text: &str) -> Event {
        Event::Log {
            severity: severity.to_owned(),
            text: text.to_owned(),
        }
    }

    fn exit(code: i32) -> Event {
        Event::ProcessExited {
            code,
            reason: "Error".to_owned(),
            killed_by: None,
        }
    }

    #[test]
    fn the_nth_of_its_kind_is_found_and_others_are_passed_over() {
        let trace = trace(vec![
            (1, "metrics-server", log("I", "Serving securely")),
            (2, "metrics-server-2", log("E", "Failed to scrape node")),
            (3, "metrics-server", log("E", "Failed to scrape node")),
            (4, "metrics-server", exit(2)),
            (5, "metrics-server", log("E", "Failed to scrape node")),
            (6, "metrics-server", exit(137)),
        ]);
        let at = |moment: &Moment, nth| moment.nth_in(&Case::default(), &trace, nth);
        let failed = |on: Option<&str>| {
            Moment::Log(LogFilter {
                text: Some("Failed to scrape".to_owned()),
                severity: Some("E".to_owned()),
                on: on.map(str::to_owned),
            })
        };
        assert_eq!(at(&failed(None), 1), Some(2));
        assert_eq!(at(&failed(Some("metrics-server")), 1), Some(3));
        assert_eq!(at(&failed(None), 3), Some(5));
        assert_eq!(at(&failed(None), 4), None);
        let killed = Moment::Exit(ExitFilter {
            code: Some(137),
            ..ExitFilter::default()
        });
        assert_eq!(at(&killed, 1), Some(6));
        assert_eq!(at(&Moment::Exit(ExitFilter::default()), 1), Some(4));
    }

    #[test]
    fn a_milestone_is_found_at_its_virtual_time() {
        let trace = trace(vec![
            (7, "metrics-server", Event::ProcessStarted { restart: 0 }),
            (9, "metrics-server", Event::InformersSynced),
        ]);
        let synced = Moment::Milestone("informersSynced".to_owned());
        assert_eq!(synced.nth_in(&Case::default(), &trace, 1), Some(9));
        assert_eq!(synced.nth_in(&Case::default(), &trace, 2), None);
    }
}
