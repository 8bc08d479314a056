//! Engines: what stands behind the seam.
//!
//! Shared by all of them:
//!
//! - this file: [`Engine`], what a world needs from whatever runs it;
//! - [`terrain`]: what the machines of a world share;
//! - [`path`]: the scenario's path rules, and how often each took effect;
//! - [`clock`]: wall clocks that may be wrong;
//! - [`memory_files`]: a file system in memory.
//!
//! The virtual engine:
//!
//! - [`link`]: what the network does to each packet;
//! - [`windows`]: which packets are answered;
//! - [`reuse`]: connections that are being closed do not hold their port;
//! - [`tls`]: TLS without secrets;
//! - [`fabric`]: simulated TCP as a [`seam::Network`];
//! - [`virtual_time`]: the event loop on a paused clock.
//!
//! The turmoil engine, which checks it: [`turmoil`](mod@turmoil).
//!
//! The live engine, on real sockets: [`live`].

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use seam::{Network, Tasks};

pub mod clock;
pub mod fabric;
pub mod link;
pub mod live;
pub mod memory_files;
pub mod path;
pub mod reuse;
pub mod terrain;
pub mod tls;
pub mod turmoil;
pub mod virtual_time;
pub mod windows;

/// What a world needs from the engine that runs it: a network for each of its
/// machines. Everything else is the same under every engine: wall clocks
/// count on `tokio::time`, randomness comes from the seed, files are in
/// memory, and path rules, services and names are in the
/// [`Terrain`](terrain::Terrain) that the engine was made from.
pub trait Engine {
    /// The network as the machine with this address sees it. Addresses are
    /// the scenario's own; where a socket really is, is the engine's affair.
    /// The machine comes into being when its address is first asked for;
    /// asked again, it is the same machine.
    fn network(&mut self, ip: IpAddr) -> Rc<dyn Network>;

    /// A group of tasks that run on the machine with this address. As a rule
    /// the tasks of all machines run together.
    fn tasks(&mut self, _ip: IpAddr) -> Tasks {
        Tasks::new()
    }

    /// The networks of many machines on which nothing ever dials. An engine
    /// may keep them cheaper than others.
    fn listeners(&mut self, ips: &[IpAddr]) -> Vec<Rc<dyn Network>> {
        ips.iter().map(|ip| self.network(*ip)).collect()
    }
}

/// An engine that simulates, as users choose one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simulator {
    /// The virtual engine.
    Virtual {
        /// What everything takes from one machine to another, besides what the
        /// scenario says. Nothing, unless a run is to be compared with one
        /// on an engine whose packets take time.
        latency: Duration,
    },
    /// The turmoil engine: slow, and for comparison with the virtual one.
    Turmoil,
}

impl Simulator {
    /// The engine for everything.
    pub const VIRTUAL: Self = Self::Virtual {
        latency: Duration::ZERO,
    };
}

/// A simulation that no longer moves: tasks keep waking each other at one
/// virtual instant. Always a defect in firstlight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck {
    /// The virtual time at which it stopped moving.
    pub at: Duration,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "virtual time stands still at {:?}: tasks keep waking each other",
            self.at
        )
    }
}

impl std::error::Error for Stuck {}
