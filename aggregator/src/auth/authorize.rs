//! Whether somebody may do what they ask for.

use std::cell::RefCell;
use std::time::Duration;

use super::User;
use super::attributes::Question;
use super::cache::ExpiringCache;
use super::review::{AccessVerdict, Reviewer};
use crate::klog::Log;
use crate::options::AuthorizationOptions;

/// Verdicts remembered at a time.
///
/// Source: lib: apiserver `plugin/pkg/authorizer/webhook/webhook.go:
/// newWithBackoff`.
const MAX_VERDICTS: usize = 8192;

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may happen.
    Allow,
    /// It may not; with the authorizer's reason, possibly empty.
    Deny(String),
    /// Nobody could say.
    Failed(String),
}

/// Decides about requests.
pub struct Authorizer {
    paths: AlwaysAllowed,
    reviewer: Reviewer,
    allow_ttl: Duration,
    deny_ttl: Duration,
    verdicts: RefCell<ExpiringCache<(User, Question), AccessVerdict>>,
    log: Log,
}

/// Paths that anyone may get.
///
/// Source: lib: apiserver `pkg/authorization/path/path.go: NewAuthorizer`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct AlwaysAllowed {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl AlwaysAllowed {
    fn new(paths: &[String]) -> Result<Self, String> {
        let mut allowed = Self::default();
        for path in paths {
            let bare = path.strip_prefix('/').unwrap_or(path);
            match bare.find('*') {
                None => allowed.exact.push(bare.to_owned()),
                Some(star) if star + 1 == bare.len() => {
                    allowed.prefixes.push(bare[..star].to_owned())
                }
                Some(_) => return Err(format!("only trailing * allowed in {path:?}")),
            }
        }
        Ok(allowed)
    }

    fn allows(&self, asked: &Question) -> bool {
        let path = asked.path.strip_prefix('/').unwrap_or(&asked.path);
        asked.resource.is_none()
            && (self.exact.iter().any(|exact| exact == path)
                || self.prefixes.iter().any(|prefix| path.starts_with(prefix)))
    }
}

impl Authorizer {
    /// An authorizer that asks `reviewer` about everything that is not always
    /// allowed.
    ///
    /// # Errors
    ///
    /// If a path that is always allowed is no pattern.
    pub fn new(
        options: &AuthorizationOptions,
        reviewer: Reviewer,
        log: Log,
    ) -> Result<Self, String> {
        Ok(Self {
            paths: AlwaysAllowed::new(&options.always_allow_paths)?,
            reviewer,
            allow_ttl: options.allow_cache_ttl.to_std(),
            deny_ttl: options.deny_cache_ttl.to_std(),
            verdicts: RefCell::new(ExpiringCache::new(MAX_VERDICTS)),
            log,
        })
    }

    /// Whether `user` may do what is asked for.
    ///
    /// Source: lib: apiserver `pkg/server/options/authorization.go:
    /// toAuthorizer`; `plugin/pkg/authorizer/webhook/webhook.go: Authorize`.
    pub async fn authorize(&self, user: &User, asked: &Question) -> Decision {
        if user.groups.iter().any(|group| group == "system:masters") || self.paths.allows(asked) {
            return Decision::Allow;
        }
        let key = (user.clone(), asked.clone());
        let known = self.verdicts.borrow().get(&key);
        let verdict = match known {
            Some(verdict) => verdict,
            None => match self.reviewer.access(user, asked).await {
                Ok(verdict) => {
                    let good_for = if verdict.allowed {
                        self.allow_ttl
                    } else {
                        self.deny_ttl
                    };
                    self.verdicts
                        .borrow_mut()
                        .insert(key, verdict.clone(), good_for);
                    verdict
                }
                Err(error) => {
                    let text = format!("Failed to make webhook authorizer request: {error}");
                    self.log.error("webhook.go:269", text);
                    return Decision::Failed(error.to_string());
                }
            },
        };
        if verdict.allowed {
            Decision::Allow
        } else {
            Decision::Deny(verdict.reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patterns: &[&str], path: &str, expected: bool) {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let allowed = AlwaysAllowed::new(&patterns).expect("valid patterns");
        assert_eq!(
            allowed.allows(&Question::of("GET", path, None)),
            expected,
            "{patterns:?} {path}"
        );
    }

    #[test]
    fn paths_are_allowed_exactly_unless_they_end_in_a_star() {
        let default = ["/healthz", "/readyz", "/livez"];
        check(&default, "/readyz", true);
        check(&default, "/readyz/metric-storage-ready", false);
        check(&default, "/metrics", false);
        check(&["/metrics"], "/readyz", false);
        check(&["/readyz*"], "/readyz/ping", true);
        check(&["/*"], "/apis/metrics.k8s.io/v1beta1/nodes", false);
    }

    #[test]
    fn a_star_within_a_pattern_is_refused() {
        let error = AlwaysAllowed::new(&["/a*/b".to_owned()]);
        assert_eq!(
            error,
            Err("only trailing * allowed in \"/a*/b\"".to_owned())
        );
    }
}
