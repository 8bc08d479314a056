//! What a metrics-server of another process does, as seen from outside.
//!
//! Its trace is derived from what it shows, and from nothing else:
//!
//! | in the trace | what is seen |
//! |---|---|
//! | port bound | its port accepts a connection |
//! | serving | it answers a request over that connection |
//! | informers synced | it watches nodes and pods: an informer begins to once it holds its first list |
//! | a node scraped | its kubelet served it, or the process logged that it could not |
//! | tick started | the first scrape after a pause, or a node's next one |
//! | tick stored | a moment after every node was heard of, or no more can be |
//!
//! A node counts as servable after two good scrapes in a row, which is how
//! every release has it.
//!
//! DIFFERENCE: how long a scrape took is not seen, and recorded as zero.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use mocks::clients::witness::Change;
use mocks::event::{Event as Seen, Recorder};
use mocks::store::Store;
use mocks::tls::{self, Verify};
use reports::trace::Event;
use rustls::pki_types::ServerName;
use seam::Tasks;
use seam::tokio_host::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::TlsConnector;

use crate::brief;
use crate::record::TraceRecorder;
use crate::world::Site;

/// Whose watches are its informers'.
const ACCOUNT: &str = "system:serviceaccount:kube-system:metrics-server";
/// Under which name the trace has it.
const HOST: &str = "metrics-server";
/// How often its port is tried.
const TRY_EVERY: Duration = Duration::from_millis(10);
/// From the last scrape of a tick to its storage: what decoding may take.
const SETTLE: Duration = Duration::from_millis(50);
/// When the witness looks once more after a tick that brought something new:
/// nobody tells when the process has stored it.
const LOOK_AGAIN: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
];

/// Derives trace events from what is seen.
pub struct Evidence {
    recorder: Rc<TraceRecorder>,
    store: Store,
    serving: SocketAddr,
    /// Pods on each node.
    pods: BTreeMap<String, u64>,
    /// After this long no scrape of a tick is outstanding.
    patience: Duration,
    connector: TlsConnector,
    tasks: Tasks,
    me: Weak<Self>,
    life: Cell<u32>,
    ticks: RefCell<Ticks>,
    watched: RefCell<BTreeSet<String>>,
    /// Nodes stored and servable after the latest tick.
    size: Cell<(usize, usize)>,
}

/// The scrapes of the current life.
#[derive(Debug, Default)]
struct Ticks {
    number: u64,
    open: bool,
    /// Nodes heard of in this tick.
    heard: BTreeSet<String>,
    /// Nodes scraped well in this tick, and in the one before.
    good: BTreeSet<String>,
    before: BTreeSet<String>,
}

impl Evidence {
    /// Looks at the process that serves at `serving`.
    #[must_use]
    pub(super) fn new(site: &Site, serving: SocketAddr) -> Rc<Self> {
        let nodes = site.scenario.nodes.iter();
        let pods = nodes
            .map(|node| (node.name.clone(), node.pods.len() as u64))
            .collect();
        let timeout = Duration::from_nanos(brief::case(&site.scenario).request_timeout_ns);
        let tls = tls::client_config(&Verify::Insecure, None, Arc::new(SystemClock));
        Rc::new_cyclic(|me| Self {
            recorder: Rc::clone(&site.recorder),
            store: site.store.clone(),
            serving,
            pods,
            patience: timeout + Duration::from_secs(1),
            connector: TlsConnector::from(tls),
            tasks: Tasks::new(),
            me: Weak::clone(me),
            life: Cell::new(0),
            ticks: RefCell::default(),
            watched: RefCell::default(),
            size: Cell::default(),
        })
    }

    /// The process wrote this to its log.
    pub(super) fn logged(&self, message: &str) {
        if let Some((node, error)) = failed_scrape(message) {
            self.scraped(&node, &outcome(&error), &error);
        }
    }

    fn push(&self, event: Event) {
        self.recorder.push(HOST, event);
    }

    /// A new life began.
    fn started(&self) {
        self.life.set(self.life.get() + 1);
        *self.ticks.borrow_mut() = Ticks::default();
        self.watched.borrow_mut().clear();
        let (me, life) = (self.me.clone(), self.life.get());
        self.tasks.spawn(async move {
            while let Some(me) = me.upgrade()
                && me.life.get() == life
            {
                if me.knock(life).await {
                    return;
                }
                sleep(TRY_EVERY).await;
            }
        });
    }

    /// Tries the port; once it is bound, waits for an answer.
    async fn knock(&self, life: u32) -> bool {
        let Ok(stream) = TcpStream::connect(self.serving).await else {
            return false;
        };
        let address = self.serving.to_string();
        if self.life.get() == life {
            self.push(Event::PortBound {
                address: address.clone(),
            });
        }
        if self.ask(stream).await.is_some() && self.life.get() == life {
            self.push(Event::Serving { address });
        }
        true
    }

    /// Waits for the first byte of an answer, whatever it says.
    async fn ask(&self, stream: TcpStream) -> Option<()> {
        let name = ServerName::from(IpAddr::from([127, 0, 0, 1]));
        let mut stream = self.connector.connect(name, stream).await.ok()?;
        let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\nUser-Agent: firstlight-witness\r\n\
                       Connection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        stream.read_u8().await.ok().map(|_| ())
    }

    /// Its informer of a resource holds the first list.
    fn watching(&self, resource: &str) {
        let synced = {
            let mut watched = self.watched.borrow_mut();
            if !matches!(resource, "nodes" | "pods") || !watched.insert(resource.to_owned()) {
                return;
            }
            watched.len() == 2
        };
        self.push(Event::InformerSynced {
            resource: resource.to_owned(),
        });
        if synced {
            self.push(Event::InformersSynced);
        }
    }

    /// A node was scraped, or could not be.
    fn scraped(&self, node: &str, outcome: &str, error: &str) {
        let nodes = self.store.list("nodes").len();
        let again = {
            let ticks = self.ticks.borrow();
            // A failure that is logged after the kubelet answered is the same
            // scrape: the answer was no good.
            !ticks.open || outcome == "200" && ticks.heard.contains(node)
        };
        if again {
            let last = self.ticks.borrow().number;
            self.close(last);
            self.open(nodes as u64);
        }
        let complete = {
            let mut ticks = self.ticks.borrow_mut();
            ticks.heard.insert(node.to_owned());
            if outcome == "200" {
                ticks.good.insert(node.to_owned());
            } else {
                ticks.good.remove(node);
            }
            ticks.heard.len() >= nodes
        };
        self.push(Event::Scraped {
            node: node.to_owned(),
            outcome: outcome.to_owned(),
            text: error.to_owned(),
            duration_ns: 0,
        });
        if complete {
            self.close_after(SETTLE);
        }
    }

    fn open(&self, nodes: u64) {
        let tick = {
            let mut ticks = self.ticks.borrow_mut();
            ticks.number += 1;
            ticks.open = true;
            ticks.heard.clear();
            ticks.good.clear();
            ticks.number
        };
        self.push(Event::TickStarted { tick, nodes });
        self.close_after(self.patience);
    }

    fn close_after(&self, wait: Duration) {
        let (me, life, tick) = (self.me.clone(), self.life.get(), self.ticks.borrow().number);
        self.tasks.spawn(async move {
            sleep(wait).await;
            if let Some(me) = me.upgrade()
                && me.life.get() == life
            {
                me.close(tick);
            }
        });
    }

    /// The tick of this number is over, if it still goes on.
    fn close(&self, tick: u64) {
        let (stored, size) = {
            let mut ticks = self.ticks.borrow_mut();
            if !ticks.open || ticks.number != tick {
                return;
            }
            ticks.open = false;
            let servable: Vec<&String> = ticks.good.intersection(&ticks.before).collect();
            let pods = |nodes: &mut dyn Iterator<Item = &String>| -> u64 {
                nodes.filter_map(|node| self.pods.get(node)).sum()
            };
            let stored = Event::TickStored {
                tick,
                nodes: ticks.good.len() as u64,
                pods: pods(&mut ticks.good.iter()),
                servable_nodes: servable.len() as u64,
                servable_pods: pods(&mut servable.iter().copied()),
            };
            let servable_nodes = servable.len();
            let size = (ticks.good.len(), servable_nodes);
            ticks.before = std::mem::take(&mut ticks.good);
            (stored, size)
        };
        self.push(stored);
        let others = self.size.replace(size) != size;
        self.recorder.wake_witness(Change::Stored { others });
        if others {
            self.look_again();
        }
    }

    fn look_again(&self) {
        let recorder = Rc::clone(&self.recorder);
        self.tasks.spawn(async move {
            let begin = Instant::now();
            for wait in LOOK_AGAIN {
                sleep_until(begin + wait).await;
                recorder.wake_witness(Change::Stored { others: true });
            }
        });
    }
}

impl Recorder for Evidence {
    fn record(&self, host: &str, event: Seen) {
        match event {
            Seen::ContainerStarted { .. } => self.started(),
            Seen::WatchRequested { user, resource } if user == ACCOUNT => self.watching(&resource),
            Seen::KubeletServed { status: 200 } => self.scraped(host, "200", ""),
            _ => {}
        }
    }
}

/// The node and the error of a log line about a failed scrape.
///
/// Source: metrics-server `pkg/scraper/scraper.go: Scrape`.
fn failed_scrape(message: &str) -> Option<(String, String)> {
    message
        .starts_with("\"Failed to scrape node")
        .then(|| Some((value(message, " node=")?, value(message, " err=")?)))?
}

/// The value of a key in a structured log line, without its quotes.
fn value(message: &str, key: &str) -> Option<String> {
    let at = message.find(key)? + key.len();
    let mut characters = message[at..].chars();
    if characters.next()? != '"' {
        return message[at..].split(' ').next().map(str::to_owned);
    }
    let mut text = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => match characters.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

/// The trace's word for a scraper's error.
fn outcome(error: &str) -> String {
    const WORDS: [(&str, &str); 12] = [
        ("connection refused", "refused"),
        ("no route to host", "unreachable"),
        ("no such host", "dns"),
        ("context deadline exceeded", "timeout"),
        ("i/o timeout", "timeout"),
        ("Timeout", "timeout"),
        ("x509", "tls"),
        ("tls:", "tls"),
        ("connection reset", "reset"),
        ("EOF", "reset"),
        ("broken pipe", "reset"),
        ("no address", "no-address"),
    ];
    if let Some(rest) = error.split("request failed, status: \"").nth(1) {
        return rest.chars().take_while(char::is_ascii_digit).collect();
    }
    let known = WORDS.iter().find(|(part, _)| error.contains(part));
    known.map_or("malformed", |(_, word)| word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_scrapes_are_read_from_the_log() {
        let line = r#""Failed to scrape node" err="Get \"https://10.0.0.1:10250/metrics/resource\": dial tcp 10.0.0.1:10250: connect: connection refused" node="pi""#;
        let (node, error) = failed_scrape(line).expect("it is one");
        assert_eq!(node, "pi");
        assert_eq!(outcome(&error), "refused");
        assert!(error.starts_with("Get \"https://10.0.0.1:10250/metrics/resource\": "));
        let line = r#""Failed to scrape node, timeout to access kubelet" err="context deadline exceeded" node="pi" timeout="10s""#;
        assert_eq!(
            failed_scrape(line),
            Some(("pi".to_owned(), "context deadline exceeded".to_owned()))
        );
        assert_eq!(
            failed_scrape("\"Scraping metrics from nodes\" nodeCount=1"),
            None
        );
    }

    #[test]
    fn errors_have_the_traces_words() {
        for (error, word) in [
            ("request failed, status: \"401 Unauthorized\"", "401"),
            ("remote error: tls: internal error", "tls"),
            (
                "net/http: request canceled (Client.Timeout exceeded)",
                "timeout",
            ),
            ("unexpected EOF", "reset"),
            ("invalid metric type", "malformed"),
        ] {
            assert_eq!(outcome(error), word);
        }
    }
}
