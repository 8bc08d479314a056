//! The joint between code under simulation and the engine that runs it.
//!
//! The aggregation core and the stand-ins around it never name an engine, a
//! socket type, a system clock or a random-number generator. They are handed a
//! [`Host`], the machine they run on, and ask it for everything that the
//! outside world would provide. Timers are the exception: they are
//! `tokio::time` everywhere, which every engine drives.
//!
//! Read in this order:
//!
//! - [`host`]: [`Host`], what one machine offers to the programs on it;
//! - [`net`]: [`Network`], [`Listener`], [`Stream`]: dial, listen, look up;
//! - [`clock`]: [`Timestamp`] and [`WallClock`], the clock on the wall;
//! - [`moment`]: [`Moment`], a point of the run's time that machines share;
//! - [`random`]: [`Random`] and [`Entropy`], named streams of random numbers;
//! - [`files`]: [`Files`], the few files a process reads and writes;
//! - [`tasks`]: [`Tasks`], the tasks of one process, killed together;
//! - [`tokio_host`]: all of it on real sockets, clocks and files.
//!
//! **Invariant:** nothing here decides anything. There is no policy, protocol
//! or Kubernetes in this crate.
//!
//! Everything is single-threaded: futures need not be `Send`, and run on a
//! `tokio::task::LocalSet`. An engine may give each machine a runtime of its
//! own, with a clock of its own, on that one thread: what machines share may
//! hold a [`Moment`], never an `Instant`, and a task is started through the
//! [`Host`] that it belongs to.

pub mod clock;
pub mod files;
pub mod host;
pub mod moment;
pub mod net;
pub mod random;
pub mod tasks;
pub mod tokio_host;

pub use clock::{Timestamp, WallClock};
pub use files::Files;
pub use host::Host;
pub use moment::Moment;
pub use net::{BoxListener, BoxStream, InTheWay, Listener, LookupError, Network, Stream};
pub use random::{Entropy, Random};
pub use tasks::{Ground, Tasks};
