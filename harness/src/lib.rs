//! firstlight replays the cold start of a Kubernetes metrics-server in virtual
//! time and judges it.
//!
//! Start at [`run`]: one function from a scenario and a seed to a trace, and
//! one from there to a judgement. In reading order:
//!
//! - [`scenario`]: the language, from a file to a checked scenario;
//! - [`seed`], [`distribution`]: what is left to chance, repeatably;
//! - [`settle`]: the times that the seed decides;
//! - [`engine`]: virtual time, the network, clocks;
//! - [`world`]: from a scenario to machines and programs;
//! - [`record`]: from what happens to the trace;
//! - [`trigger`]: changes that wait for something to happen;
//! - [`remedy`]: what would help, by trying;
//! - [`changes`], [`faults`], [`brief`]: what the judge is told;
//! - [`run`]: all of it;
//! - [`serve`]: the same on loopback, in real time;
//! - [`cli`]: the command.

pub mod brief;
pub mod changes;
pub mod cli;
pub mod distribution;
pub mod engine;
pub mod faults;
pub mod record;
pub mod remedy;
pub mod run;
pub mod scenario;
pub mod seed;
pub mod serve;
pub mod settle;
pub mod trigger;
pub mod world;
