//! Pods → EndpointSlices → service routes.
//!
//! - [`slices`]: the EndpointSlice controller of kube-controller-manager;
//! - [`proxy`]: kube-proxy, and the table of routes that it keeps.
//!
//! Both stand still while the API server does not serve: they see nothing and
//! can write nothing. kube-proxy's table stays as it was.
//!
//! DIFFERENCE: controllers resume as soon as the API server serves again. Real
//! ones first wait out a back-off of their informers and may have to win their
//! lease back, which takes up to 17 s.

use serde_json::Value;

pub mod proxy;
pub mod slices;
#[cfg(test)]
mod tests;

pub use proxy::{Route, ServiceTable};

/// The key of the Service that an EndpointSlice belongs to.
pub(crate) fn service_of(slice: &Value) -> Option<String> {
    let metadata = &slice["metadata"];
    let service = metadata["labels"]["kubernetes.io/service-name"].as_str()?;
    Some(crate::store::key(metadata["namespace"].as_str(), service))
}
