//! Who may ask what: delegated to the API server, as every aggregated API
//! does.
//!
//! - [`configuration`]: authorities and header names, from the cluster's
//!   ConfigMap or from flags;
//! - [`authenticate`]: who is asking;
//! - [`request_header`]: users that a trusted proxy vouches for;
//! - [`attributes`]: what is asked;
//! - [`authorize`]: whether they may;
//! - [`review`]: the questions put to the API server;
//! - [`cache`]: its answers, for ten seconds.
//!
//! DIFFERENCE: impersonation headers are ignored.

pub mod attributes;
pub mod authenticate;
pub mod authorize;
pub mod cache;
pub mod configuration;
pub mod request_header;
pub mod review;

use std::collections::BTreeMap;

/// Somebody who asks.
///
/// Source: lib: apiserver `pkg/authentication/user/user.go: DefaultInfo`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct User {
    /// `system:serviceaccount:default:web`
    pub name: String,
    /// Empty if unknown.
    pub uid: String,
    /// `system:authenticated`
    pub groups: Vec<String>,
    /// Further facts.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Somebody who presents nothing.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            ..Self::default()
        }
    }

    /// Adds the group of all authenticated users.
    ///
    /// Source: lib: apiserver `pkg/authentication/group/
    /// authenticated_group_adder.go`.
    #[must_use]
    pub(crate) fn authenticated(mut self) -> Self {
        let known = ["system:authenticated", "system:unauthenticated"];
        let is_grouped = self
            .groups
            .iter()
            .any(|group| known.contains(&group.as_str()));
        if self.name != "system:anonymous" && !is_grouped {
            self.groups.push(known[0].to_owned());
        }
        self
    }
}
