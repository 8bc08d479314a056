//! One tick over all nodes, and the ticker that says when.
//!
//! - `lines`: what is logged about it.

mod lines;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use seam::{Host, Random};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::api::Selector;
use crate::environment::{Event, Observer};
use crate::exposition::Registry;
use crate::informer::{ClusterState, Node};
use crate::klog::{Log, Quoted};
use crate::kubelet::{KubeletClient, ScrapeError};
use crate::options::duration::GoDuration;
use crate::pace::{Pace, Work, hold_up};
use crate::sample::MetricsBatch;
use crate::store::Store;
use crate::version::{FirstTick, RequestTimeoutRule, Version};

/// What scraping leaves behind for serving.
pub struct Collected {
    /// The points.
    pub store: RefCell<Store>,
    /// The server's own metrics.
    pub registry: RefCell<Registry>,
    /// When the latest tick started.
    pub last_tick: Cell<Option<Instant>>,
}

impl Collected {
    /// Nothing yet.
    #[must_use]
    pub fn new(version: Version, resolution: Duration) -> Rc<Self> {
        Rc::new(Self {
            store: RefCell::new(Store::new(version, resolution)),
            registry: RefCell::new(Registry::new(resolution)),
            last_tick: Cell::new(None),
        })
    }
}

/// A Go `time.Ticker`: a fixed grid from its creation on, with room for one
/// tick that nobody waited for.
///
/// Source: Go `time: Ticker`.
#[derive(Debug)]
pub struct Ticker {
    origin: Instant,
    period: Duration,
    received: Instant,
}

impl Ticker {
    /// A ticker whose grid begins now. `period` must be positive.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        let origin = Instant::now();
        Self {
            origin,
            period,
            received: origin,
        }
    }

    /// Waits for the next tick and returns when it fired, which is in the
    /// past if the caller was busy then. Later ones that fired meanwhile are
    /// lost.
    pub async fn tick(&mut self) -> Instant {
        let since = self.received.duration_since(self.origin);
        let passed = u32::try_from(since.as_nanos() / self.period.as_nanos()).unwrap_or(u32::MAX);
        let fires = self.origin + self.period.saturating_mul(passed.saturating_add(1));
        sleep_until(fires).await;
        self.received = Instant::now();
        fires
    }
}

/// Scrapes all nodes, tick by tick.
pub struct Scraper {
    /// For timers of the process and the end of each request.
    pub host: Host,
    /// The release.
    pub version: Version,
    /// How to ask a kubelet.
    pub kubelets: KubeletClient,
    /// Which nodes there are.
    pub cluster: Rc<ClusterState>,
    /// Which of them to scrape.
    pub selector: Selector,
    /// `--metric-resolution`
    pub resolution: Duration,
    /// `--kubelet-request-timeout`; without effect up to 0.6.
    pub request_timeout: Duration,
    /// Where points go.
    pub collected: Rc<Collected>,
    /// What holds scraping up.
    pub pace: Rc<dyn Pace>,
    /// Where errors go.
    pub log: Log,
    /// Who is told.
    pub observer: Rc<dyn Observer>,
    /// The stream `scrape-stagger`.
    pub stagger: RefCell<Box<dyn Random>>,
}

impl Scraper {
    /// Scrapes at every tick, for ever; where the release does so also at
    /// once.
    ///
    /// Source: `pkg/server/server.go: runScrape`.
    pub async fn run(&self) {
        let mut ticker = Ticker::new(self.resolution);
        let mut start = match self.version.first_tick() {
            FirstTick::AtOnce => Instant::now(),
            FirstTick::AfterResolution => ticker.tick().await,
        };
        for tick in 1.. {
            self.tick(tick, start).await;
            start = ticker.tick().await;
        }
    }

    /// Source: `pkg/server/server.go: (*server).tick`.
    async fn tick(&self, tick: u64, start: Instant) {
        self.collected.last_tick.set(Some(start));
        let deadline = Instant::now() + self.resolution;
        self.log
            .verbose(6, "server.go:136", || "\"Scraping metrics\"".to_owned());
        let batch = self.scrape(tick, deadline).await;
        let (nodes, pods) = (batch.nodes.len(), batch.pods.len());
        hold_up(&*self.pace, Work::Store { tick, nodes, pods }).await;
        self.log
            .verbose(6, "server.go:139", || "\"Storing metrics\"".to_owned());
        let (report, ready, points) = {
            let mut store = self.collected.store.borrow_mut();
            let report = store.store(batch);
            (report, store.ready(), store.points())
        };
        {
            let mut registry = self.collected.registry.borrow_mut();
            registry.observe_tick(start.elapsed());
            if let Some(points) = points {
                registry.set_points(points);
            }
        }
        self.log_notes(&report);
        self.observer.event(Event::TickStored {
            tick,
            nodes: report.nodes,
            pods: report.pods,
            servable_nodes: report.servable_nodes,
            servable_pods: report.servable_pods,
            others: report.others,
            ready,
        });
        self.log.verbose(6, "server.go:144", || {
            "\"Scraping cycle complete\"".to_owned()
        });
    }

    /// Scrapes every matching node at once, each after a delay of its own, and
    /// waits for all of them.
    ///
    /// Source: `pkg/scraper/scraper.go: (*scraper).Scrape`.
    pub async fn scrape(&self, tick: u64, deadline: Instant) -> MetricsBatch {
        let began = Instant::now();
        let nodes = self.cluster.matching_nodes(&self.selector);
        self.observer.event(Event::TickStarted {
            tick,
            nodes: nodes.len(),
        });
        self.log.verbose(1, "scraper.go:115", || {
            let names: Vec<String> = nodes
                .iter()
                .map(|node| Quoted(&node.name).to_string())
                .collect();
            format!(
                "\"Scraping metrics from nodes\" nodes=[{}] nodeCount={}",
                names.join(","),
                nodes.len()
            )
        });
        let delay_ms = (8 * nodes.len() as u64).min(4000);
        let mut scrapes: FuturesUnordered<_> = nodes
            .into_iter()
            .map(|node| {
                let delay = Duration::from_millis(self.stagger.borrow_mut().below(delay_ms));
                self.scrape_node(tick, node, delay, deadline)
            })
            .collect();
        let mut all = MetricsBatch::default();
        let mut failures = Vec::new();
        while let Some((node, result)) = scrapes.next().await {
            match result {
                Ok(batch) => {
                    for duplicate in all.absorb(batch) {
                        self.log_duplicate(&duplicate);
                    }
                }
                Err(error) => failures.extend(self.log_failure(&node, &error)),
            }
        }
        self.log_collected(&failures);
        self.log.verbose(1, "scraper.go:173", || {
            format!(
                "\"Scrape finished\" duration={} nodeCount={} podCount={}",
                Quoted(&GoDuration::from(began.elapsed()).to_string()),
                all.nodes.len(),
                all.pods.len()
            )
        });
        all
    }

    /// Scrapes one node.
    async fn scrape_node(
        &self,
        tick: u64,
        node: Rc<Node>,
        delay: Duration,
        tick_deadline: Instant,
    ) -> (Rc<Node>, Result<MetricsBatch, ScrapeError>) {
        let entered = Instant::now();
        sleep(delay).await;
        self.log.verbose(2, "scraper.go:142", || {
            format!("\"Scraping node\" node={}", Quoted(&node.name))
        });
        let began = Instant::now();
        let deadline = match self.version.request_timeout_rule() {
            RequestTimeoutRule::NineTenthsOfResolution => entered + self.effective_timeout(),
            RequestTimeoutRule::Flag { .. } => began + self.effective_timeout(),
        };
        let deadline = deadline.min(tick_deadline);
        let held_up = hold_up(
            &*self.pace,
            Work::Scrape {
                tick,
                node: &node.name,
            },
        );
        // Past its deadline, asking fails as it does after any other delay.
        let _ = timeout_at(deadline, held_up).await;
        let result = self.kubelets.get_metrics(&node, deadline).await;
        let duration = began.elapsed();
        let success = result.is_ok();
        let end = self.host.now();
        self.collected
            .registry
            .borrow_mut()
            .observe_kubelet_request(&node.name, duration, success, end);
        let (outcome, text) = match &result {
            Ok(_) => ("200", ""),
            Err(error) => (error.outcome.as_str(), error.text.as_str()),
        };
        self.observer.event(Event::Scraped {
            tick,
            node: &node.name,
            outcome,
            text,
            duration,
        });
        (node, result)
    }

    fn effective_timeout(&self) -> Duration {
        match self.version.request_timeout_rule() {
            RequestTimeoutRule::NineTenthsOfResolution => self.resolution * 9 / 10,
            RequestTimeoutRule::Flag { .. } => self.request_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds from the beginning to the start times that a ticker of 15 s
    /// gives to a loop whose ticks take `work` seconds.
    async fn starts(work: &[u64]) -> Vec<u64> {
        let origin = Instant::now();
        let mut ticker = Ticker::new(Duration::from_secs(15));
        let mut starts = vec![0];
        for &seconds in work {
            sleep(Duration::from_secs(seconds)).await;
            starts.push((ticker.tick().await - origin).as_secs());
        }
        starts
    }

    #[tokio::test(start_paused = true)]
    async fn ticks_keep_a_fixed_grid_however_long_they_take() {
        assert_eq!(starts(&[10, 0, 14, 3]).await, [0, 15, 30, 45, 60]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_that_overruns_is_followed_at_once_by_the_one_it_missed() {
        // The first takes 20 s, so the tick of 15 s is received at 20 s. The
        // second takes until 62 s: those of 45 s and 60 s are dropped.
        assert_eq!(starts(&[20, 42, 1]).await, [0, 15, 30, 75]);
    }
}
