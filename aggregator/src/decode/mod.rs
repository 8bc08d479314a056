//! A kubelet's `/metrics/resource` exposition → points.
//!
//! - [`lexer`]: the text format, line by line, as Prometheus reads it;
//! - [`labels`]: its label blocks;
//! - [`text`]: the body, and where reading it got stuck;
//! - [`collect`]: samples → points, and which of them are complete;
//! - [`number`]: floats and integers as Go reads and converts them;
//! - [`quote`]: text from the body in error messages;
//! - [`error`]: every way in which a body can be refused.
//!
//! **Invariant:** one bad line anywhere fails the whole body, also in a series
//! that nobody uses.

mod collect;
mod error;
mod labels;
mod lexer;
mod number;
pub(crate) mod quote;
mod text;

pub use error::{DecodeError, NumberError};

use seam::Timestamp;

use crate::sample::MetricsBatch;
use collect::Collector;
use lexer::Lexer;

/// A subject left out because its sample is incomplete; logged at verbosity 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incomplete<'a> {
    /// `Failed getting complete node metric node=<n> metric={...}`
    Node {
        /// The node's name.
        node: &'a str,
        /// What was found.
        found: Partial,
    },
    /// `Failed getting complete container metric containerName=.. containerMetric={...}`,
    /// then `Failed getting complete Pod metric pod=ns/name`.
    Pod {
        /// `ns/name`
        pod: String,
        /// The first incomplete container by name.
        container: &'a str,
        /// What was found.
        found: Partial,
    },
}

/// What was found of an incomplete point. Zero and `None` are what was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Partial {
    /// As [`crate::sample::MetricsPoint::start`].
    pub start: Option<Timestamp>,
    /// As [`crate::sample::MetricsPoint::timestamp`].
    pub timestamp: Option<Timestamp>,
    /// As [`crate::sample::MetricsPoint::cumulative_cpu_ns`].
    pub cumulative_cpu_ns: u64,
    /// As [`crate::sample::MetricsPoint::memory_bytes`].
    pub memory_bytes: u64,
}

/// Decodes one kubelet's answer. Samples without a timestamp get
/// `request_time`, cut to milliseconds; the node's own series are filed under
/// `node`, whatever their labels say.
///
/// Source: `pkg/scraper/client/resource/decode.go: decodeBatch`.
///
/// # Errors
///
/// The first thing in the body that Prometheus' text parser refuses, in its
/// words.
pub fn decode(
    body: &[u8],
    request_time: Timestamp,
    node: &str,
) -> Result<MetricsBatch, DecodeError> {
    decode_noting(body, request_time, node, &mut |_| {})
}

/// As [`decode`], and tells what was left out as incomplete.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_noting(
    body: &[u8],
    request_time: Timestamp,
    node: &str,
    note: &mut dyn FnMut(Incomplete<'_>),
) -> Result<MetricsBatch, DecodeError> {
    let mut lexer = Lexer::new(body);
    let mut collector = Collector::new(request_time.as_millis());
    while let Some(sample) = lexer.next_sample(collector.expected_labels())? {
        collector.add(&sample)?;
    }
    Ok(collector.finish(node, note))
}
