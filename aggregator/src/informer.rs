//! List and watch: what the process knows of the cluster.
//!
//! - [`objects`]: the few fields that are read of each object;
//! - [`state`]: the caches, filled by watches and read by everyone;
//! - [`backoff`]: client-go's waits between attempts;
//! - [`resource`]: what is listed and watched, and where it goes;
//! - `event`: one event of a watch;
//! - [`reflector`]: one resource, listed and watched for ever.
//!
//! **Invariant:** after the first sync nothing ever empties a cache but the
//! API server: losing it changes nothing for scraping and serving.

pub mod backoff;
mod event;
pub mod objects;
pub mod reflector;
pub mod resource;
pub mod state;

pub use objects::Node;
pub use reflector::Reflector;
pub use resource::{Resource, Sink};
pub use state::ClusterState;
