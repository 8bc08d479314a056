//! metrics-server's core: discovery, scraping, decoding, storage, the
//! `metrics.k8s.io/v1beta1` API and its health checks.
//!
//! Decisions are pure functions of their arguments; input and output are a
//! thin rim around them. In reading order:
//!
//! - [`version`]: what differs between releases, as a value;
//! - [`sample`]: points and batches, the nouns of everything below;
//! - [`decode`]: a kubelet's exposition → points;
//! - [`summary`]: an older kubelet endpoint's JSON → points;
//! - [`store`]: the last two points of each subject → usage and readiness;
//! - [`quantity`]: Kubernetes' notation for CPU and memory;
//! - [`api`]: store and caches → the bodies of the metrics API;
//! - [`health`]: `/livez`, `/readyz`, `/healthz`;
//! - [`exposition`]: the server's own `/metrics`;
//! - [`environment`]: what a process is given, and whom it tells what it does;
//! - [`pace`]: how fast it gets its work done;
//! - [`options`]: its command line;
//! - [`klog`]: its log lines;
//! - [`transport`]: HTTP over TLS, with Go's error texts;
//! - [`kubelet`]: one scrape of one kubelet;
//! - [`scrape`]: one tick over all nodes;
//! - [`informer`]: list and watch;
//! - [`auth`]: who may ask what;
//! - [`server`]: the serving side;
//! - [`process`]: start order and shutdown, from exec to exit code.
//!
//! **Invariant:** nothing here names a simulator, reads a system clock or
//! draws randomness except through [`seam::Host`].

pub mod api;
pub mod auth;
pub mod decode;
pub mod environment;
pub mod exposition;
pub mod health;
pub mod informer;
pub mod klog;
pub mod kubelet;
pub mod options;
pub mod pace;
pub mod process;
pub mod quantity;
pub mod sample;
pub mod scrape;
pub mod server;
pub mod store;
pub mod summary;
pub mod transport;
pub mod version;
