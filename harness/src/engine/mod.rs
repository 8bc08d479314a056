//! Engines: what stands behind the seam.
//!
//! - [`clock`]: wall clocks that may be wrong;
//! - [`memory_files`]: a file system in memory;
//! - [`link`]: what the network does to each packet;
//! - [`fabric`]: simulated TCP as a [`seam::Network`];
//! - [`virtual_time`]: the event loop on a paused clock.

pub mod clock;
pub mod fabric;
pub mod link;
pub mod memory_files;
pub mod virtual_time;
