//! What a limit of CPU does to a process: it may run for a part of each period
//! only, and stands still for the rest (CFS bandwidth control).
//!
//! The process's costs are those of its start, as the scenario has them, and
//! of scraping. Serving costs nothing of its own, but waits until what began
//! earlier is done.
//!
//! Source: Linux `Documentation/scheduler/sched-bwc.rst`; `pkg/kubelet/cm/
//! helpers_linux.go MilliCPUToQuota, QuotaPeriod`; metrics-server `README.md`,
//! "Scaling": a thousandth of a core for each node.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use aggregator::options::{self, Command};
use aggregator::pace::{Pace, Work};
use tokio::time::Instant;

use crate::scenario::model::MetricsServer;

/// Source: `helpers_linux.go QuotaPeriod`.
const PERIOD: Duration = Duration::from_millis(100);

/// How much a process may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// In each period; less than a period.
    per_period: Duration,
    /// What scraping a node costs.
    scrape: Duration,
}

impl Quota {
    /// The quota of a container; `None` where nothing holds up a process whose
    /// parts run one after the other: no limit, or one of a whole core.
    #[must_use]
    pub fn of(server: &MetricsServer) -> Option<Self> {
        let nanocores = server.limits.cpu_nanocores?;
        // The kubelet grants a millisecond at least, `minQuotaPeriod`.
        let per_period = Duration::from_nanos(nanocores / 10).max(Duration::from_millis(1));
        let resolution = match options::parse(&server.args, server.version) {
            Ok(Command::Run(options)) => options.metric_resolution.to_std(),
            // Such a process ends before it scrapes.
            _ => Duration::ZERO,
        };
        (per_period < PERIOD).then_some(Self {
            per_period,
            scrape: resolution / 1000,
        })
    }

    /// How long `work` takes that begins with a period.
    #[must_use]
    pub fn takes(&self, work: Duration) -> Duration {
        let quota = self.per_period.as_nanos();
        let whole = work.as_nanos().saturating_sub(1) / quota;
        let whole = u32::try_from(whole).unwrap_or(u32::MAX);
        PERIOD * whole + work.saturating_sub(self.per_period * whole)
    }
}

/// A process under a quota, and what else holds it up.
pub struct Rationed {
    quota: Quota,
    other: Rc<dyn Pace>,
    began: Instant,
    /// Work that was taken on, in processor time since `began`: what was not
    /// used of a period is lost.
    taken: Cell<Duration>,
}

impl Rationed {
    /// A process that starts now.
    #[must_use]
    pub fn new(quota: Quota, other: Rc<dyn Pace>) -> Self {
        Self {
            quota,
            other,
            began: Instant::now(),
            taken: Cell::new(Duration::ZERO),
        }
    }

    /// Takes on work; how long it is until that is done.
    fn take(&self, work: Duration) -> Duration {
        let now = self.began.elapsed();
        let periods = now.as_nanos() / PERIOD.as_nanos();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        // What could have been used by now.
        let used =
            self.quota.per_period * periods + (now - PERIOD * periods).min(self.quota.per_period);
        let taken = self.taken.get().max(used) + work;
        self.taken.set(taken);
        if taken <= used {
            return Duration::ZERO;
        }
        self.quota.takes(taken).saturating_sub(now)
    }
}

impl Pace for Rationed {
    fn delay(&self, work: &Work<'_>) -> Duration {
        let cost = match work {
            Work::Scrape { .. } => self.quota.scrape,
            Work::Handshake | Work::Request { .. } | Work::Store { .. } => Duration::ZERO,
        };
        self.take(cost) + self.other.delay(work)
    }
}

#[cfg(test)]
mod tests {
    use aggregator::pace::Unhindered;

    use super::*;

    fn quota(per_period_ms: u64, scrape_ms: u64) -> Quota {
        Quota {
            per_period: Duration::from_millis(per_period_ms),
            scrape: Duration::from_millis(scrape_ms),
        }
    }

    #[test]
    fn work_beyond_the_quota_goes_on_in_the_next_period() {
        let check = |work, takes| {
            let took = quota(20, 0).takes(Duration::from_millis(work));
            assert_eq!(took, Duration::from_millis(takes), "{work} ms");
        };
        check(0, 0);
        check(15, 15);
        check(20, 20);
        check(21, 101);
        check(260, 1_220);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_wait_behind_scrapes_and_idle_time_is_not_saved_up() {
        let process = Rationed::new(quota(10, 15), Rc::new(Unhindered));
        let scrape = Work::Scrape { tick: 1, node: "a" };
        let millis = |work: &Work<'_>| process.delay(work).as_millis();
        assert_eq!(millis(&Work::Handshake), 0);
        assert_eq!([millis(&scrape), millis(&scrape)], [105, 210]);
        assert_eq!(millis(&Work::Handshake), 210);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!([millis(&Work::Handshake), millis(&scrape)], [0, 105]);
    }
}
