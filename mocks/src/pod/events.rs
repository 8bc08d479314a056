//! Kubernetes Events, and those that a flood drowns.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crate::event::{Event, Recorder};
use crate::event_objects::{EventObjects, Occurrence};
use crate::token_bucket::TokenBucket;

/// Events of one source, object and type that may pass at once.
/// Source: `client-go/tools/record/events_cache.go defaultSpamBurst`.
const BURST: u32 = 25;

/// Time in which one more may pass. Source: `defaultSpamQPS`.
const REFILL: Duration = Duration::from_secs(300);

/// The component that most Events about a pod come from.
const KUBELET: &str = "kubelet";

/// The container that the kubelet's Events here are about.
const CONTAINER: &str = "spec.containers{metrics-server}";

/// Reasons of the kubelet's Events that are about a container, not its pod.
/// Source: `pkg/kubelet/events/event.go`.
const CONTAINER_REASONS: &[&str] = &[
    "BackOff",
    "Created",
    "Failed",
    "Killing",
    "ProbeWarning",
    "Pulled",
    "Pulling",
    "Started",
    "Unhealthy",
];

/// The two types of Kubernetes Events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Records Events about one object, except those that `kubectl get events` would
/// not show either.
///
/// DIFFERENCE: more than ten messages for one reason within ten minutes would
/// be merged into one Event; metrics-server's start-up has fewer texts.
pub(crate) struct EventLog {
    host: String,
    recorder: Rc<dyn Recorder>,
    objects: EventObjects,
    buckets: RefCell<BTreeMap<(&'static str, Severity), TokenBucket>>,
}

impl EventLog {
    /// Events that are told of as things that happened on `host`, and kept as
    /// `objects`.
    pub(crate) fn new(host: &str, recorder: Rc<dyn Recorder>, objects: EventObjects) -> Self {
        Self {
            host: host.to_owned(),
            recorder,
            objects,
            buckets: RefCell::default(),
        }
    }

    /// Records an Event of the component `source`.
    pub(crate) fn record(
        &self,
        source: &'static str,
        severity: Severity,
        reason: &'static str,
        message: String,
    ) {
        let passes = self
            .buckets
            .borrow_mut()
            .entry((source, severity))
            .or_insert_with(|| TokenBucket::new(REFILL, BURST))
            .try_take();
        let kind = severity.name();
        let field_path = match CONTAINER_REASONS.contains(&reason) {
            true => CONTAINER.to_owned(),
            false => String::new(),
        };
        let occurrence = Occurrence {
            source,
            kind,
            reason,
            message: message.clone(),
            field_path,
        };
        self.objects.observe(occurrence, passes);
        if passes {
            let event = Event::Kubernetes {
                kind,
                reason,
                message,
            };
            self.recorder.record(&self.host, event);
        }
    }

    /// A Normal Event of the kubelet.
    pub(crate) fn normal(&self, reason: &'static str, message: impl Into<String>) {
        self.record(KUBELET, Severity::Normal, reason, message.into());
    }

    /// A Warning of the kubelet.
    pub(crate) fn warning(&self, reason: &'static str, message: impl Into<String>) {
        self.record(KUBELET, Severity::Warning, reason, message.into());
    }
}

/// A duration as Go prints it, cut to milliseconds: `7.2s`, `1m0.5s`, `350ms`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let fraction = format!("{:03}", rest % 1000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let seconds = format!("{}{point}{fraction}s", rest / 1000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_objects::Involved;
    use crate::http_client::testing::{Pipes, Recording, TestClock, paused};
    use crate::store::Store;

    #[test]
    fn a_flood_shows_twenty_five_and_then_one_in_five_minutes() {
        paused(async {
            let recording = Recording::new();
            let about = Involved {
                kind: "Pod",
                api_version: "v1",
                resource: "pods",
                namespace: Some("a".to_owned()),
                name: "web".to_owned(),
            };
            let host = Pipes::new().host("n", &TestClock::new());
            let recorder = Rc::clone(&recording) as Rc<dyn Recorder>;
            let objects = EventObjects::new(&host, &Store::new(), about, Rc::new(|| true));
            let log = EventLog::new("n", recorder, objects);
            let shown = || recording.picked(|_| Some(())).len();
            for _ in 0..100 {
                log.warning("Unhealthy", "no");
            }
            assert_eq!(shown(), 25);
            log.normal("Killing", "another type has its own budget");
            assert_eq!(shown(), 26);
            tokio::time::sleep(Duration::from_secs(300)).await;
            for _ in 0..3 {
                log.warning("Unhealthy", "no");
            }
            assert_eq!(shown(), 27);
        });
    }

    #[test]
    fn durations_read_as_in_go() {
        let text = |millis| go_duration(Duration::from_millis(millis));
        assert_eq!(text(0), "0s");
        assert_eq!(text(350), "350ms");
        assert_eq!(text(7_200), "7.2s");
        assert_eq!(text(60_500), "1m0.5s");
        assert_eq!(text(3_600_000), "1h0m0s");
    }
}
