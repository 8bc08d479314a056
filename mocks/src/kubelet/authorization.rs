//! Who reads a kubelet's metrics and may: the answers of the API server, kept.
//!
//! Source: `pkg/kubelet/server/auth.go`, `server.go InstallAuthFilter`;
//! KubeletConfiguration `authentication.webhook`, `authorization.webhook`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::http_server::Response;

/// How long an answer is kept: KubeletConfiguration `cacheAuthorizedTTL` and
/// `cacheUnauthorizedTTL`.
const ALLOWED_TTL: Duration = Duration::from_secs(300);
const DENIED_TTL: Duration = Duration::from_secs(30);

/// How long a token that was reviewed is believed: KubeletConfiguration
/// `authentication.webhook.cacheTTL`. That a review was impossible is not kept.
const TOKEN_TTL: Duration = Duration::from_secs(120);

/// The waits between five attempts to reach the API server: half a second,
/// each half as long again.
///
/// DIFFERENCE: without the jitter of up to a fifth.
///
/// Source: apiserver `pkg/util/webhook/webhook.go:
/// DefaultRetryBackoffWithInitialDelay`.
const PATIENCE: Duration = Duration::from_micros(4_062_500);

/// What the API server answers to a SubjectAccessReview.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// It may.
    Allowed,
    /// It may not.
    Denied,
    /// There is no answer.
    Unavailable,
}

/// Asks the API server whether metrics-server may get a subresource of nodes:
/// `metrics`, `stats`.
pub type Authorizer = Rc<dyn Fn(&str) -> Review>;

/// The kubelet's authorizer with its cache.
pub(super) struct Authorization {
    authorizer: Authorizer,
    user: &'static str,
    kept: RefCell<BTreeMap<&'static str, (Instant, bool)>>,
    /// Until when the token is believed.
    believed: Cell<Option<Instant>>,
}

impl Authorization {
    pub(super) fn new(authorizer: Authorizer, user: &'static str) -> Self {
        Self {
            authorizer,
            user,
            kept: RefCell::default(),
            believed: Cell::new(None),
        }
    }

    /// Has the API server review a token that it will find good.
    ///
    /// Source: apiserver `pkg/authentication/token/cache/
    /// cached_token_authenticator.go`.
    pub(super) async fn review_token(&self) -> Result<(), Response> {
        let is_believed = |until: Instant| until > Instant::now();
        if self.believed.get().is_some_and(is_believed) {
            return Ok(());
        }
        if (self.authorizer)("metrics") == Review::Unavailable {
            tokio::time::sleep(PATIENCE).await;
            return Err(super::scrape::unauthorized());
        }
        self.believed.set(Some(Instant::now() + TOKEN_TTL));
        Ok(())
    }

    /// Lets a request for a subresource through, or answers it.
    pub(super) async fn check(&self, subresource: &'static str) -> Result<(), Response> {
        let kept = self.kept.borrow().get(subresource).copied();
        let allowed = match kept.filter(|(until, _)| *until > Instant::now()) {
            Some((_, allowed)) => allowed,
            None => self.ask(subresource).await?,
        };
        match allowed {
            true => Ok(()),
            false => Err(Response::plain(
                403,
                &format!(
                    "Forbidden (user={}, verb=get, resource=nodes, subresource(s)=[{subresource}])",
                    self.user
                ),
            )),
        }
    }

    async fn ask(&self, subresource: &'static str) -> Result<bool, Response> {
        let allowed = match (self.authorizer)(subresource) {
            Review::Allowed => true,
            Review::Denied => false,
            Review::Unavailable => {
                tokio::time::sleep(PATIENCE).await;
                let user = self.user;
                return Err(Response::plain(
                    500,
                    &format!(
                        "Authorization error (user={user}, verb=get, resource=nodes, \
                         subresource={subresource})"
                    ),
                ));
            }
        };
        let ttl = if allowed { ALLOWED_TTL } else { DENIED_TTL };
        let entry = (Instant::now() + ttl, allowed);
        self.kept.borrow_mut().insert(subresource, entry);
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_server::Body;

    fn text(response: Response) -> (u16, String) {
        let Body::Full(body) = response.body else {
            panic!("refusals are not streamed")
        };
        (response.status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_believed_for_two_minutes_after_its_review() {
        let review = Rc::new(Cell::new(Review::Unavailable));
        let now = Rc::clone(&review);
        let authorization = Authorization::new(Rc::new(move |_| now.get()), "sa");
        let refused = (401, "Unauthorized".to_owned());
        let shown = async || authorization.review_token().await.map_err(text);
        assert_eq!(shown().await, Err(refused.clone()));
        review.set(Review::Denied);
        assert_eq!(shown().await, Ok(()), "what it may do is another question");
        review.set(Review::Unavailable);
        tokio::time::advance(TOKEN_TTL - Duration::from_millis(1)).await;
        assert_eq!(shown().await, Ok(()), "kept");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(shown().await, Err(refused));
    }

    #[tokio::test(start_paused = true)]
    async fn a_denial_is_kept_for_half_a_minute_and_leave_for_five() {
        let review = Rc::new(Cell::new(Review::Denied));
        let now = Rc::clone(&review);
        let authorization = Authorization::new(Rc::new(move |_| now.get()), "sa");
        let denied = authorization.check("metrics").await.map_err(text);
        let expected = "Forbidden (user=sa, verb=get, resource=nodes, subresource(s)=[metrics])";
        assert_eq!(denied, Err((403, expected.to_owned())));
        review.set(Review::Allowed);
        tokio::time::advance(DENIED_TTL - Duration::from_millis(1)).await;
        assert!(authorization.check("metrics").await.is_err(), "kept");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(authorization.check("metrics").await.is_ok());
        review.set(Review::Unavailable);
        tokio::time::advance(ALLOWED_TTL - Duration::from_millis(1)).await;
        assert!(authorization.check("metrics").await.is_ok(), "kept");
        tokio::time::advance(Duration::from_millis(1)).await;
        let asked = Instant::now();
        let error = authorization.check("metrics").await.map_err(text);
        let expected =
            "Authorization error (user=sa, verb=get, resource=nodes, subresource=metrics)";
        assert_eq!(error, Err((500, expected.to_owned())));
        assert_eq!(asked.elapsed().as_secs(), 4);
    }
}
