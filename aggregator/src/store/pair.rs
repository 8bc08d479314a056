//! What two points of one subject come to, and which two are kept.

use seam::Timestamp;

use crate::sample::MetricsPoint;

/// A container must be this old at its first point to be served from that
/// point alone.
///
/// Source: `pod.go: freshContainerMinMetricsResolution`.
const FRESH_CONTAINER_MIN_AGE_NS: i64 = 10_000_000_000;

/// The last point of a subject, and the one it is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) last: MetricsPoint,
    pub(super) previous: Option<Previous>,
}

/// What is needed of an earlier point.
#[derive(Debug, Clone, Copy)]
pub(super) struct Previous {
    start: Option<Timestamp>,
    /// `None` is Go's zero time, centuries before any other.
    pub(super) timestamp: Option<Timestamp>,
    cumulative_cpu_ns: u64,
}

impl Previous {
    /// Go's zero `MetricsPoint`, which a container is compared with by mistake:
    /// see [`Pair::of_container`].
    const ZERO: Self = Self {
        start: None,
        timestamp: None,
        cumulative_cpu_ns: 0,
    };
}

impl From<MetricsPoint> for Previous {
    fn from(point: MetricsPoint) -> Self {
        Self {
            start: point.start,
            timestamp: Some(point.timestamp),
            cumulative_cpu_ns: point.cumulative_cpu_ns,
        }
    }
}

/// What is known of a container when its next point comes.
pub(super) struct Kept<'a> {
    pub(super) pair: Option<&'a Pair>,
    /// Some container of the pod has a previous point.
    pub(super) pod_paired: bool,
}

/// What a pair of points comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// When the later point was taken.
    pub timestamp: Timestamp,
    /// Time between the points, in nanoseconds; positive.
    pub window_ns: i64,
    /// Mean CPU use over the window, in billionths of a core.
    pub cpu_nanocores: u64,
    /// Working set at the later point.
    pub memory_bytes: u64,
}

/// Why a pair of points has no usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// The subject's start moved back.
    #[error("unexpected decrease in startTime of node/container")]
    StartDecreased,
    /// The counter went down.
    #[error("unexpected decrease in cumulative CPU usage value")]
    CpuDecreased,
}

impl Pair {
    /// A point that is compared with the start of what it measures, when
    /// nothing was used yet.
    pub(super) fn since_start(point: MetricsPoint) -> Self {
        let previous = Previous {
            start: point.start,
            timestamp: point.start,
            cumulative_cpu_ns: 0,
        };
        Self {
            last: point,
            previous: Some(previous),
        }
    }

    /// A node's new point, and the time of a previous one dropped because the
    /// new one is not later.
    pub(super) fn of_node(point: MetricsPoint, known: Option<&Self>) -> (Self, Option<Timestamp>) {
        let (previous, dropped) = match known {
            // Only 0.5.0 knows starts of nodes: one after the last sample is a
            // restart.
            Some(known) if point.start < Some(known.last.timestamp) => {
                earlier_of(&point, &known.last, known.previous)
            }
            _ => (None, None),
        };
        (
            Self {
                last: point,
                previous,
            },
            dropped,
        )
    }

    /// A container's new point, likewise.
    ///
    /// As in the original, a container without previous point, in a pod that
    /// has another with one, is taken to have one from the year 1; should its
    /// timestamp then repeat, it is served over that window.
    pub(super) fn of_container(
        point: MetricsPoint,
        known: &Kept<'_>,
        resolution_ns: i64,
    ) -> (Self, Option<Timestamp>) {
        if is_fresh(&point, resolution_ns) {
            return (Self::since_start(point), None);
        }
        let (previous, dropped) = match known.pair {
            Some(pair) if point.start < Some(pair.last.timestamp) => {
                let zero = known.pod_paired.then_some(Previous::ZERO);
                earlier_of(&point, &pair.last, pair.previous.or(zero))
            }
            _ => (None, None),
        };
        (
            Self {
                last: point,
                previous,
            },
            dropped,
        )
    }

    /// What the pair comes to; `None` if there is no pair.
    ///
    /// Source: `types.go: resourceUsage`.
    pub(super) fn usage(&self) -> Option<Result<Usage, UsageError>> {
        let Self { last, previous } = self;
        let previous = (*previous)?;
        if last.start < previous.start {
            return Some(Err(UsageError::StartDecreased));
        }
        if last.cumulative_cpu_ns < previous.cumulative_cpu_ns {
            return Some(Err(UsageError::CpuDecreased));
        }
        // From the year 1 to now is longer than a Go duration can be.
        let window_ns = previous
            .timestamp
            .map_or(i64::MAX, |earlier| last.timestamp.nanos_since(earlier));
        Some(Ok(Usage {
            timestamp: last.timestamp,
            window_ns,
            cpu_nanocores: rate(
                last.cumulative_cpu_ns - previous.cumulative_cpu_ns,
                window_ns,
            ),
            memory_bytes: last.memory_bytes,
        }))
    }
}

/// Which earlier point a new one is compared with, and the time of one that is
/// dropped for being too late.
///
/// Source: `node.go: (*nodeStorage).Store`; `pod.go` has the same.
fn earlier_of(
    new: &MetricsPoint,
    last: &MetricsPoint,
    previous: Option<Previous>,
) -> (Option<Previous>, Option<Timestamp>) {
    if new.timestamp > last.timestamp {
        return (Some((*last).into()), None);
    }
    match previous {
        Some(kept) if kept.timestamp < Some(new.timestamp) => (previous, None),
        Some(late) => (None, late.timestamp),
        None => (None, None),
    }
}

/// Whether a container is young enough to be measured since its start, and
/// old enough for that to mean something.
fn is_fresh(point: &MetricsPoint, resolution_ns: i64) -> bool {
    point.start.is_some_and(|start| {
        let age = point.timestamp.nanos_since(start);
        (FRESH_CONTAINER_MIN_AGE_NS..resolution_ns).contains(&age)
    })
}

/// Nanoseconds of CPU per second, in the original's floating point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the original rounds exactly so"
)]
fn rate(cpu_ns: u64, window_ns: i64) -> u64 {
    let whole = (window_ns / 1_000_000_000) as f64;
    let rest = (window_ns % 1_000_000_000) as f64 / 1e9;
    (cpu_ns as f64 / (whole + rest)) as u64
}
