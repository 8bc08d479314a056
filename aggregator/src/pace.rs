//! How fast the process gets its work done.
//!
//! Computing costs nothing in simulated time. What a starved processor adds to
//! it, the world says here: before each piece of work it is asked for how long
//! the process is held up. A real process is held up by its machine, in fact.

use std::time::Duration;

use tokio::time::sleep;

/// A piece of work that takes processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work<'a> {
    /// The TLS handshake of a client whose connection was accepted.
    Handshake,
    /// A client's request, between its head and its answer.
    Request {
        /// The path without the query.
        path: &'a str,
    },
    /// Asking one kubelet: connecting, reading, decoding. Counts against the
    /// time-out of the request.
    Scrape {
        /// Number of the tick.
        tick: u64,
        /// The node's name.
        node: &'a str,
    },
    /// Storing what a tick brought, after the last kubelet answered.
    Store {
        /// Number of the tick.
        tick: u64,
        /// Nodes with a point in this tick.
        nodes: usize,
        /// Pods with a point in this tick.
        pods: usize,
    },
}

/// Says how long the process is held up.
pub trait Pace {
    /// For how long `work` is held up before it is done. Called once for each
    /// piece of work, at the moment that it begins; must not call back.
    fn delay(&self, work: &Work<'_>) -> Duration;
}

/// A process that nothing holds up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unhindered;

impl Pace for Unhindered {
    fn delay(&self, _work: &Work<'_>) -> Duration {
        Duration::ZERO
    }
}

/// Waits for as long as `work` is held up: not even for one turn of the
/// scheduler if it is not.
pub(crate) async fn hold_up(pace: &dyn Pace, work: Work<'_>) {
    let delay = pace.delay(&work);
    if !delay.is_zero() {
        sleep(delay).await;
    }
}
