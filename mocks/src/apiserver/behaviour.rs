//! What a dial to the API server meets, and how long answers take.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use seam::Host;

use crate::script::Script;

/// The API server's behaviour during some stretch of time.
#[derive(Clone)]
pub struct Behaviour {
    /// What a dial meets.
    pub state: State,
    /// Draws how long an answer takes.
    pub latency: ClientSampler,
    /// Draws how long a write to the datastore takes besides.
    pub write_latency: Sampler,
    /// What becomes of watches.
    pub watches: Watches,
    /// What requests are answered instead of being served.
    pub trouble: Option<Trouble>,
}

impl Behaviour {
    /// An API server in this state whose answers take this long, whose
    /// datastore is as quick as any, and which serves watches.
    #[must_use]
    pub fn new(state: State, latency: Sampler) -> Self {
        Self {
            state,
            latency: Rc::new(move |_| latency()),
            write_latency: Rc::new(|| Duration::ZERO),
            watches: Watches::Served,
            trouble: None,
        }
    }

    /// Whether it serves its own paths.
    #[must_use]
    pub fn serves(&self) -> bool {
        matches!(self.state, State::Up | State::Starting) && self.trouble.is_none()
    }
}

/// Why requests are answered with an error, health endpoints excepted. Watches
/// that are open go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// 429: API priority and fairness rejects them.
    ///
    /// DIFFERENCE: it rejects everybody, also who is exempt in a cluster.
    TooManyRequests,
    /// 500: the datastore does not answer.
    ///
    /// DIFFERENCE: a server without its datastore still answers what it knows
    /// without asking it (discovery, reviews, lists out of the watch cache,
    /// aggregated APIs), and its `/readyz` says so.
    Datastore,
    /// 503: something in front of the server has nobody to pass them to.
    Unavailable,
}

/// What becomes of watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watches {
    /// They tell what happens.
    Served,
    /// They stay open and tell nothing, not even that they end: the way back
    /// to the client is gone and neither end has noticed.
    Silent,
    /// The watch cache is being built: watches end; lists and new watches are
    /// answered 429.
    ///
    /// Source: apiserver `pkg/storage/cacher/{cacher,ready}.go`.
    Initializing,
}

/// Draws a duration each time it is called.
pub type Sampler = Rc<dyn Fn() -> Duration>;

/// Draws a duration each time it is called, for the client at an address:
/// what one client waits must not depend on which others there are.
pub type ClientSampler = Rc<dyn Fn(IpAddr) -> Duration>;

/// Draws uniformly from `from..to` out of the host's random stream `name`.
#[must_use]
pub fn uniform(host: &Host, name: &str, from: Duration, to: Duration) -> Sampler {
    let random = RefCell::new(host.random(name));
    Rc::new(move || random.borrow_mut().duration_between(from, to))
}

/// What a dial to the API server meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody listens: connection refused. Connections that were open are
    /// reset: the process is gone.
    Down,
    /// TCP connects, nothing answers: the process stands still, its
    /// controllers too. It goes on where it stood.
    Hang,
    /// The process has started: it serves what it serves itself, but paths
    /// of aggregated APIs are not installed yet.
    Starting,
    /// It serves everything.
    Up,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour")
            .field("state", &self.state)
            .field("watches", &self.watches)
            .finish_non_exhaustive()
    }
}

/// Waits while the API server stands still.
pub(crate) async fn responsive(behaviour: &Script<Behaviour>) {
    while behaviour.current().state == State::Hang {
        behaviour.changed().await;
    }
}

/// Waits while watches tell nothing.
pub(crate) async fn told(behaviour: &Script<Behaviour>) {
    while behaviour.current().watches == Watches::Silent {
        behaviour.changed().await;
    }
}

/// Waits until the API server serves its own paths: what every controller of
/// the cluster waits for.
pub async fn serving(behaviour: &Script<Behaviour>) {
    while !behaviour.current().serves() {
        behaviour.changed().await;
    }
}
