//! The checks behind `/healthz`, `/livez` and `/readyz`.

use std::time::Duration;

use tokio::time::Instant;

use super::Server;
use crate::health::{self, Check, Endpoint};
use crate::klog::Quoted;
use crate::options::duration::GoDuration;

impl Server {
    /// All checks of an endpoint, as they are now. Failures of this program's
    /// own checks are logged.
    ///
    /// Source: `pkg/server/server.go: RegisterProbes`.
    pub(super) fn checks(&self, endpoint: Endpoint) -> Vec<Check> {
        endpoint
            .checks(self.version.probes())
            .into_iter()
            .flatten()
            .map(|&name| self.check(name))
            .collect()
    }

    pub(super) fn check(&self, name: &'static str) -> Check {
        let failure = match name {
            health::STORAGE_READY => self.storage_not_ready(),
            health::COLLECTION_SUCCESSFUL => self.last_tick_failed(),
            health::COLLECTION => self.collection_unhealthy(),
            health::INFORMER_SYNC => self.informers_not_synced(),
            health::COLLECTION_TIMELY => self.collection_late(),
            health::SHUTDOWN => self
                .shutdown
                .is_requested()
                .then(|| "process is shutting down".to_owned()),
            _ => None,
        };
        Check { name, failure }
    }

    fn storage_not_ready(&self) -> Option<String> {
        if self.collected.store.borrow().ready() {
            return None;
        }
        let error = self.version.not_ready_text();
        self.log_failed_probe(health::STORAGE_READY, error, "");
        Some(error.to_owned())
    }

    /// Source: 0.4 `pkg/server/server.go: ProbeMetricCollectionSuccessful`.
    fn last_tick_failed(&self) -> Option<String> {
        let ready = self.collected.store.borrow().ready();
        (!ready).then(|| self.version.not_ready_text().to_owned())
    }

    /// Source: 0.3 `pkg/manager/manager.go: (*Manager).CheckHealth`.
    fn collection_unhealthy(&self) -> Option<String> {
        let limit = self.version.longest_tick(self.resolution);
        let late = |waited: &str| {
            let limit = GoDuration::from(limit);
            format!(
                "time since last tick ({waited}) was greater than expected metrics resolution ({limit})"
            )
        };
        match self.collected.last_tick.get() {
            // Since the year 1, which is more than a Go duration holds.
            None => Some(late("2562047h47m16.854775807s")),
            Some(start) if start.elapsed() > limit => {
                Some(late(&GoDuration::from(start.elapsed()).to_string()))
            }
            Some(_) => self.last_tick_failed(),
        }
    }

    fn informers_not_synced(&self) -> Option<String> {
        let error = if !self.cluster.nodes_synced() {
            "cache for node informer has not synced"
        } else if !self.cluster.pods_synced() {
            "cache for pod informer has not synced"
        } else {
            return None;
        };
        self.log_failed_probe(health::INFORMER_SYNC, error, "");
        Some(error.to_owned())
    }

    fn collection_late(&self) -> Option<String> {
        let limit = self.version.longest_tick(self.resolution);
        let waited = overdue(self.collected.last_tick.get(), limit)?;
        let error = "metric collection didn't finish on time";
        let values = format!(
            " duration=\"{}\" maxDuration=\"{}\"",
            GoDuration::from(waited),
            GoDuration::from(limit)
        );
        self.log_failed_probe(health::COLLECTION_TIMELY, error, &values);
        Some(error.to_owned())
    }

    fn log_failed_probe(&self, probe: &str, error: &str, values: &str) {
        let message = format!(
            "\"Failed probe\" probe={} err={}{values}",
            Quoted(probe),
            Quoted(error)
        );
        self.log.info("server.go:191", message);
    }
}

/// How long ago the last tick started, if that is longer than `limit`.
///
/// Source: `pkg/server/server.go: (*server).probeMetricCollectionTimely`.
fn overdue(last_tick: Option<Instant>, limit: Duration) -> Option<Duration> {
    let waited = last_tick?.elapsed();
    (waited > limit).then_some(waited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Version;

    /// Source: `pkg/server/server_test.go`, cases 1 to 4.
    #[tokio::test(start_paused = true)]
    async fn collection_is_late_when_the_last_tick_began_too_long_ago() {
        let minute = Duration::from_secs(60);
        let limit = Version::V0_8.longest_tick(minute);
        assert_eq!(overdue(None, limit), None);
        let tick = Instant::now();
        assert_eq!(overdue(Some(tick), limit), None);
        tokio::time::advance(minute).await;
        assert_eq!(overdue(Some(tick), limit), None);
        tokio::time::advance(minute / 2).await;
        assert_eq!(overdue(Some(tick), limit), None);
        assert_eq!(
            overdue(Some(tick), Version::V0_4.longest_tick(minute)),
            Some(minute * 3 / 2)
        );
        tokio::time::advance(minute / 2).await;
        assert_eq!(overdue(Some(tick), limit), Some(2 * minute));
    }
}
