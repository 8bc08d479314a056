//! placeholder
pub mod distribution;
pub mod engine;
pub mod scenario;
pub mod seed;
