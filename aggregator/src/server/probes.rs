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
            .checks()
            .iter()
            .map(|&name| self.check(name))
            .collect()
    }

    pub(super) fn check(&self, name: &'static str) -> Check {
        let failure = match name {
            health::STORAGE_READY => self.storage_not_ready(),
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
        let error = "no metrics to serve";
        self.log_failed_probe(health::STORAGE_READY, error, "");
        Some(error.to_owned())
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
        let (waited, limit) = overdue(self.collected.last_tick.get(), self.resolution)?;
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

/// How long ago the last tick started and how long that may be, if it is
/// longer.
///
/// Source: `pkg/server/server.go: (*server).probeMetricCollectionTimely`.
fn overdue(last_tick: Option<Instant>, resolution: Duration) -> Option<(Duration, Duration)> {
    let waited = last_tick?.elapsed();
    let limit = resolution * 3 / 2;
    (waited > limit).then_some((waited, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: `pkg/server/server_test.go`, cases 1 to 4.
    #[tokio::test(start_paused = true)]
    async fn collection_is_late_when_the_last_tick_began_too_long_ago() {
        let minute = Duration::from_secs(60);
        assert_eq!(overdue(None, minute), None);
        let tick = Instant::now();
        assert_eq!(overdue(Some(tick), minute), None);
        tokio::time::advance(minute).await;
        assert_eq!(overdue(Some(tick), minute), None);
        tokio::time::advance(minute).await;
        assert_eq!(
            overdue(Some(tick), minute),
            Some((2 * minute, minute * 3 / 2))
        );
    }
}
