//! A trace cut into the lives of the metrics-server process.

use std::collections::BTreeMap;

use crate::replica::names_pods;
use crate::trace::{Event, Record, Trace};

/// One process, from its start to its end. Times are virtual nanoseconds
/// since the simulation began.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life<'t> {
    /// When it started.
    pub(crate) started: u64,
    /// When it bound its port.
    pub(crate) port_bound: Option<u64>,
    /// When its informers were synced.
    pub(crate) informers_synced: Option<u64>,
    /// When it began to answer requests.
    pub(crate) serving: Option<u64>,
    /// Its scrape ticks, in order.
    pub(crate) ticks: Vec<Tick<'t>>,
    /// Its last log line of severity E.
    error: Option<&'t str>,
    /// Its last log line of severity F, which tells why it ends.
    fatal: Option<&'t str>,
    /// How it ended, if it did.
    pub(crate) ended: Option<End<'t>>,
    /// Nominal wait before the next start, if the kubelet announced one.
    pub(crate) back_off_ns: Option<u64>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'t> {
    /// When.
    pub(crate) at: u64,
    /// Exit code.
    pub(crate) code: i32,
    /// `OOMKilled`, `Error`, `Completed`
    pub(crate) reason: &'t str,
    /// Who ended it; itself if absent.
    pub(crate) killed_by: Option<&'t str>,
}

/// One scrape tick.
#[derive(Debug, Clone)]
pub(crate) struct Tick<'t> {
    /// When it began.
    pub(crate) started: u64,
    /// Nodes it set out to scrape.
    pub(crate) nodes: u64,
    /// What was stored at its end, if it came to that.
    pub(crate) stored: Option<Stored>,
    /// What each node's scrape came to.
    pub(crate) scrapes: BTreeMap<&'t str, Scrape<'t>>,
}

/// What a tick stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    /// When.
    pub(crate) at: u64,
    /// Nodes in the batch.
    pub(crate) nodes: u64,
    /// Pods in the batch.
    pub(crate) pods: u64,
    /// Nodes with a previous point.
    pub(crate) servable_nodes: u64,
    /// Pods with a previous point.
    pub(crate) servable_pods: u64,
}

/// What a scrape came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scrape<'t> {
    /// `200`, `refused`, …
    pub(crate) outcome: &'t str,
    /// The error, empty on success.
    pub(crate) text: &'t str,
    /// How long it took.
    pub(crate) duration_ns: u64,
}

impl Tick<'_> {
    /// Whether it stored at least one sample.
    pub(crate) fn is_good(&self) -> bool {
        self.stored
            .is_some_and(|stored| stored.nodes > 0 || stored.pods > 0)
    }
}

impl Scrape<'_> {
    /// Whether the kubelet answered with an exposition.
    pub(crate) fn is_good(&self) -> bool {
        self.outcome == "200"
    }
}

/// The lives of the process in `trace`, of all its pods, in order of their
/// start.
pub(crate) fn lives(trace: &Trace) -> Vec<Life<'_>> {
    let names_pods = names_pods(trace);
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lives: Vec<Life<'_>> = Vec::new();
    for record in &trace.records {
        let pod = if names_pods { &*record.host } else { "" };
        if let Event::ProcessStarted { .. } = record.event {
            latest.insert(pod, lives.len());
            lives.push(Life {
                started: record.t,
                ..Life::default()
            });
        } else if let Some(life) = latest.get(pod).map(|index| &mut lives[*index]) {
            life.observe(record);
        }
    }
    lives
}

impl<'t> Life<'t> {
    fn observe(&mut self, record: &'t Record) {
        match &record.event {
            Event::BackOff { nominal_ns } => self.back_off_ns = Some(*nominal_ns),
            // Whatever a process is reported to do after its end came from
            // results under way; it changes nothing any more.
            _ if self.ended.is_some() => {}
            Event::PortBound { .. } => {
                self.port_bound.get_or_insert(record.t);
            }
            Event::InformersSynced => {
                self.informers_synced.get_or_insert(record.t);
            }
            Event::Serving { .. } => {
                self.serving.get_or_insert(record.t);
            }
            Event::Log { severity, text } => self.observe_log(severity, text),
            Event::ProcessExited {
                code,
                reason,
                killed_by,
            } => {
                self.ended = Some(End {
                    at: record.t,
                    code: *code,
                    reason,
                    killed_by: killed_by.as_deref(),
                });
            }
            _ => self.observe_scraping(record),
        }
    }

    fn observe_log(&mut self, severity: &str, text: &'t str) {
        let first_line = text.lines().next().unwrap_or_default();
        match severity {
            // The Go panic repeats the error that came before it.
            "F" if first_line.starts_with("panic: ") => {}
            "F" => {
                let error = first_line.strip_prefix("Error: ").unwrap_or(first_line);
                self.fatal = Some(error);
            }
            "E" => self.error = Some(first_line),
            _ => {}
        }
    }

    /// What the process complained of last: what it ended over, if it said so.
    pub(crate) fn last_error(&self) -> Option<&'t str> {
        self.fatal.or(self.error)
    }

    fn observe_scraping(&mut self, record: &'t Record) {
        match &record.event {
            Event::TickStarted { nodes, .. } => self.ticks.push(Tick {
                started: record.t,
                nodes: *nodes,
                stored: None,
                scrapes: BTreeMap::new(),
            }),
            Event::Scraped {
                node,
                outcome,
                text,
                duration_ns,
            } => {
                if let Some(tick) = self.ticks.last_mut() {
                    let scrape = Scrape {
                        outcome,
                        text,
                        duration_ns: *duration_ns,
                    };
                    tick.scrapes.insert(node, scrape);
                }
            }
            Event::TickStored {
                nodes,
                pods,
                servable_nodes,
                servable_pods,
                ..
            } => {
                if let Some(tick) = self.ticks.last_mut() {
                    tick.stored = Some(Stored {
                        at: record.t,
                        nodes: *nodes,
                        pods: *pods,
                        servable_nodes: *servable_nodes,
                        servable_pods: *servable_pods,
                    });
                }
            }
            _ => {}
        }
    }
}
