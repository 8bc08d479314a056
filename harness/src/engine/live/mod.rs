//! The live engine: real sockets on loopback, in real time.
//!
//! The scenario's machines are loopback addresses of this machine, each their
//! own, and its ports are real ports; nothing listens anywhere else. Programs
//! of this process reach each other through the seam, so path rules, service
//! routes and clocks have the same effect on them as in virtual time.
//!
//! - [`addresses`]: where the scenario's addresses are on this machine;
//! - [`network`]: the operating system's TCP as a [`seam::Network`];
//! - `relay`: delay, loss and outages on a real connection.
//!
//! DIFFERENCE: a program of another process dials with the operating system,
//! which completes its handshake whatever a rule says. A rule that drops then
//! leaves its connection unanswered, and one that refuses or rejects resets it
//! right after the handshake.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use seam::{Network, Tasks};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

pub mod addresses;
pub mod network;
mod relay;

use super::Engine;
use super::terrain::Terrain;
use addresses::AddressBook;
use network::{LiveNetwork, Shared, Strangers};

/// The machines of one world on loopback.
pub struct Live {
    shared: Rc<Shared>,
}

impl Live {
    /// Machines whose addresses are in `book`. `strangers` says whom the
    /// connections of other processes are taken for.
    #[must_use]
    pub fn new(book: Rc<AddressBook>, terrain: Rc<Terrain>, strangers: Strangers) -> Self {
        Self {
            shared: Rc::new(Shared {
                book,
                terrain,
                strangers,
                held: RefCell::default(),
                tasks: Tasks::new(),
            }),
        }
    }
}

impl Engine for Live {
    fn network(&mut self, ip: IpAddr) -> Rc<dyn Network> {
        Rc::new(LiveNetwork::new(ip, Rc::clone(&self.shared)))
    }
}

/// Runs `body` in real time, on one thread, where tasks can be started. What
/// it leaves running ends with it.
///
/// # Errors
///
/// If the operating system refuses the runtime its event queue.
pub fn block_on<F: Future>(body: F) -> std::io::Result<F::Output> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, body))
}
