//! Stand-ins for everything around metrics-server: kubelets, API server with
//! its aggregation layer, the pod and its probes, and clients.
//!
//! Each is a real server or client that speaks HTTP over TLS through
//! [`seam::Host`]; what it does is a function of its configuration, time and
//! named randomness. In reading order:
//!
//! - [`event`]: what a stand-in tells the world about a run;
//! - `event_objects`: Kubernetes Events in the store;
//! - [`script`]: values that change at given times;
//! - [`pki`]: authorities and certificates from a seed;
//! - [`tls`]: both ends of TLS, on a machine's own clock;
//! - [`http_server`], [`http_client`]: HTTP/1.1, with Go's error texts;
//! - [`load`]: ground truth of resource use;
//! - [`exposition`]: load → `/metrics/resource`;
//! - [`kubelet`]: the serving side of a kubelet;
//! - [`store`]: the cluster's objects, versions and watches;
//! - [`apiserver`]: list, watch, get, reviews;
//! - [`aggregation`]: availability, proxying, discovery of an aggregated API;
//! - [`endpoints`]: pods → EndpointSlices → service routes;
//! - [`pod`]: container life, probes, restarts, status;
//! - [`deployment`]: rollouts, scheduling, disruption budgets;
//! - [`deployment_objects`]: pods → Deployment and ReplicaSets in the API;
//! - [`clients`]: `kubectl top`, the autoscaler, discovery, and the witness.
//!
//! **Invariant:** nothing here knows the aggregation core. The two meet as
//! bytes on a wire, so that a shared misunderstanding cannot cancel out.

pub mod aggregation;
pub mod apiserver;
pub mod clients;
pub mod deployment;
pub mod deployment_objects;
pub mod endpoints;
pub mod event;
mod event_objects;
pub mod exposition;
pub mod http_client;
pub mod http_server;
pub mod kubelet;
pub mod load;
pub mod pki;
pub mod pod;
mod quantity;
pub mod script;
pub mod store;
pub mod tls;
mod token_bucket;
