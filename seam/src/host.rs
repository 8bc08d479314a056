//! What one machine offers to the programs on it.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use tokio::task::JoinHandle;

use crate::{BoxListener, BoxStream, Entropy, Files, LookupError, Network, Random, Tasks};
use crate::{Timestamp, WallClock};

/// A machine, seen from one process on it: its network, wall clock,
/// randomness and files, and the group that the process's tasks belong to.
///
/// Cloning is cheap and gives another handle to the same machine and process;
/// [`Host::process`] starts another process on the same machine.
#[derive(Clone)]
pub struct Host {
    name: Rc<str>,
    network: Rc<dyn Network>,
    clock: Arc<dyn WallClock>,
    entropy: Rc<dyn Entropy>,
    files: Rc<dyn Files>,
    tasks: Tasks,
}

impl Host {
    /// Assembles a machine. `name` is for messages and traces.
    pub fn new(
        name: &str,
        network: Rc<dyn Network>,
        clock: Arc<dyn WallClock>,
        entropy: Rc<dyn Entropy>,
        files: Rc<dyn Files>,
    ) -> Self {
        Self {
            name: name.into(),
            network,
            clock,
            entropy,
            files,
            tasks: Tasks::new(),
        }
    }

    /// This machine, whose programs run where the tasks of `other` do.
    #[must_use]
    pub fn beside(self, other: &Tasks) -> Self {
        Self {
            tasks: other.beside(),
            ..self
        }
    }

    /// The machine's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Another process on this machine: everything is shared except the tasks.
    #[must_use]
    pub fn process(&self) -> Self {
        self.clone().beside(&self.tasks)
    }

    /// Another process on this machine with a file system of its own, as a
    /// container has.
    #[must_use]
    pub fn container(&self, files: Rc<dyn Files>) -> Self {
        Self {
            files,
            ..self.process()
        }
    }

    /// The tasks of this process.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Starts a task in this process.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.tasks.spawn(future)
    }

    /// Opens a connection; see [`Network::dial`].
    pub fn dial(&self, address: SocketAddr) -> LocalBoxFuture<'static, std::io::Result<BoxStream>> {
        self.network.dial(address)
    }

    /// Binds a port; see [`Network::listen`].
    pub fn listen(
        &self,
        address: SocketAddr,
    ) -> LocalBoxFuture<'static, std::io::Result<BoxListener>> {
        self.network.listen(address)
    }

    /// Resolves a name; see [`Network::lookup`].
    pub fn lookup(&self, name: &str) -> LocalBoxFuture<'static, Result<Vec<IpAddr>, LookupError>> {
        self.network.lookup(name)
    }

    /// What this machine's wall clock shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The wall clock itself, for TLS configurations that outlive a call.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn WallClock> {
        Arc::clone(&self.clock)
    }

    /// The random stream called `name` on this machine, from its beginning.
    #[must_use]
    pub fn random(&self, name: &str) -> Box<dyn Random> {
        self.entropy.stream(&format!("{}/{name}", self.name))
    }

    /// The files that this process sees.
    #[must_use]
    pub fn files(&self) -> &dyn Files {
        &*self.files
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
