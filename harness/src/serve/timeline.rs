//! What happens, printed as it happens.

use std::cell::RefCell;
use std::collections::BTreeMap;

use reports::trace::{Event, Record};

use super::say;

/// Nodes up to which each scrape has a line of its own.
const FEW_NODES: usize = 10;
/// Lines of a process's log that are printed in one run.
const MAX_LOG_LINES: u64 = 200;
/// Characters of a line.
const MAX_LINE: usize = 200;

/// Prints a line for each record that is news.
pub struct Timeline {
    few_nodes: bool,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// What was last said of each subject.
    last: BTreeMap<String, String>,
    log_lines: u64,
}

impl Timeline {
    /// A timeline of a cluster of so many nodes.
    #[must_use]
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            few_nodes: nodes <= FEW_NODES,
            state: RefCell::default(),
        }
    }

    /// Prints what `record` says, if it is news.
    pub(super) fn follow(&self, record: &Record) {
        if let Some(line) = self.line(record) {
            say(&format!("{line}\n"));
        }
    }

    fn line(&self, record: &Record) -> Option<String> {
        let text = self.text(record)?;
        let shown: String = text
            .chars()
            .map(|character| {
                if character.is_control() {
                    ' '
                } else {
                    character
                }
            })
            .take(MAX_LINE)
            .collect();
        let seconds = record.t / 1_000_000_000;
        let millis = record.t / 1_000_000 % 1_000;
        Some(format!(
            "{seconds:>6}.{millis:03}s  {:<16}{shown}",
            record.host
        ))
    }

    fn text(&self, record: &Record) -> Option<String> {
        Some(match &record.event {
            Event::Changed { what } => what.clone(),
            Event::ProcessStarted { restart: 0 } => "process started".to_owned(),
            Event::ProcessStarted { restart } => format!("process started again ({restart})"),
            Event::ProcessExited {
                code,
                reason,
                killed_by,
            } => match killed_by {
                Some(by) => format!("process ended by {by}: exit code {code} ({reason})"),
                None => format!("process ended: exit code {code} ({reason})"),
            },
            Event::BackOff { nominal_ns } => {
                format!(
                    "back-off {} s before the next start",
                    nominal_ns / 1_000_000_000
                )
            }
            Event::PortBound { address } => format!("port bound: {address}"),
            Event::InformersSynced => "informers synced".to_owned(),
            Event::PodCondition {
                condition, status, ..
            } if condition == "Ready" => format!("pod Ready={status}"),
            Event::EndpointSlice { ready, .. } => {
                return self.news("endpoints", format!("ready endpoints: {}", ready.len()));
            }
            Event::ApiService { status, reason, .. } => {
                format!("APIService Available={status} ({reason})")
            }
            Event::TickStored {
                tick,
                nodes,
                servable_nodes,
                ..
            } => {
                let text = format!("{nodes} nodes stored, {servable_nodes} servable");
                return self
                    .news("tick", text)
                    .map(|text| format!("tick {tick}: {text}"));
            }
            Event::Scraped {
                node,
                outcome,
                text,
                ..
            } if self.few_nodes => {
                return self.news(&format!("scrape {node}"), answer(node, outcome, text));
            }
            Event::Response {
                observer,
                target,
                outcome,
                text,
                ..
            } => {
                let what = format!("{observer} {target}");
                return self.news(observer, answer(&what, outcome, text));
            }
            Event::PathRuleHit { rule } => format!("network rule {rule} takes effect"),
            Event::NotModelled { request } => format!("not modelled: {request}"),
            Event::Log { severity, text } if severity != "I" => return self.log(severity, text),
            _ => return None,
        })
    }

    /// `text`, unless it is what was last said of `subject`.
    fn news(&self, subject: &str, text: String) -> Option<String> {
        let mut state = self.state.borrow_mut();
        let before = state.last.insert(subject.to_owned(), text.clone());
        (before.as_deref() != Some(&text)).then_some(text)
    }

    fn log(&self, severity: &str, text: &str) -> Option<String> {
        let lines = {
            let mut state = self.state.borrow_mut();
            state.log_lines += 1;
            state.log_lines
        };
        match lines {
            ..MAX_LOG_LINES => Some(format!("{severity} {text}")),
            MAX_LOG_LINES => Some("further lines of its log are not shown".to_owned()),
            _ => None,
        }
    }
}

fn answer(what: &str, outcome: &str, text: &str) -> String {
    match outcome {
        "200" => format!("{what}: 200"),
        _ => format!("{what}: {outcome} {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(event: Event) -> Record {
        Record {
            t: 61_005_999_999,
            seq: 0,
            host: "pi".to_owned(),
            event,
        }
    }

    #[test]
    fn only_news_is_printed() {
        let timeline = Timeline::new(1);
        let slice = || {
            record(Event::EndpointSlice {
                ready: vec!["10.0.0.1".to_owned()],
                not_ready: Vec::new(),
            })
        };
        assert_eq!(
            timeline.line(&slice()).as_deref(),
            Some("    61.005s  pi              ready endpoints: 1")
        );
        assert_eq!(timeline.line(&slice()), None);
    }

    #[test]
    fn a_flood_of_log_lines_is_cut_off_and_cannot_steer_the_terminal() {
        let timeline = Timeline::new(1);
        let lines = (0..1_000).filter_map(|_| {
            timeline.line(&record(Event::Log {
                severity: "E".to_owned(),
                text: "\u{1b}[2J".to_owned() + &"x".repeat(1_000),
            }))
        });
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), 200);
        assert!(
            lines
                .iter()
                .all(|line| !line.contains('\u{1b}') && line.len() < 250)
        );
    }
}
