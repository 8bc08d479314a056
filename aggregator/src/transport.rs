//! HTTP over TLS as Go's clients do it: the same time-outs, the same reuse of
//! connections, the same error texts.
//!
//! - [`error`]: what can go wrong on the way, in Go's words;
//! - [`x509`]: what Go's `crypto/x509` says of a certificate;
//! - `host_name`: whether it is for a host;
//! - [`tls`]: TLS configurations on a machine's own clock;
//! - [`credentials`]: bearer tokens and their files;
//! - [`connect`]: name → address → TCP → TLS;
//! - [`client`]: requests over kept-alive connections;
//! - [`rest`]: requests to an API server, with client-go's retries;
//! - [`status`]: what an API server says instead of an object;
//! - [`watch`]: the events that a watch brings.
//!
//! DIFFERENCE: HTTP/1.1 only, where Go prefers HTTP/2. So requests that run at
//! the same time use a connection each, and a request cut by its deadline
//! closes its connection.
//! DIFFERENCE: proxies from the environment are not used.

pub mod client;
pub mod connect;
pub mod credentials;
pub mod error;
mod host_name;
pub mod rest;
pub mod status;
pub mod tls;
pub mod watch;
pub mod x509;

pub use client::{Authority, HttpClient, Response};
pub use error::{ErrorKind, TransportError};
