//! Questions put to the API server: TokenReview and SubjectAccessReview.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use seam::Random;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use super::User;
use super::attributes::Question;
use crate::transport::rest::{ApiServer, Call, JSON, timeout_parameter};
use crate::transport::status::RestError;

/// Source: lib: apiserver `pkg/server/options/authentication.go,
/// authorization.go: NewDelegating…Options`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Source: lib: apiserver `pkg/server/options/authentication.go:
/// DefaultAuthWebhookRetryBackoff`.
const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Asks an API server, and again after a passing failure.
pub struct Reviewer {
    api: Rc<ApiServer>,
    jitter: RefCell<Box<dyn Random>>,
}

/// The API server's word on an access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessVerdict {
    /// Whether it may happen.
    pub allowed: bool,
    /// Why not; possibly empty.
    pub reason: String,
}

#[derive(Deserialize)]
struct Answer<S> {
    status: S,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: ReviewedUser,
    error: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ReviewedUser {
    username: String,
    uid: String,
    groups: Option<Vec<String>>,
    extra: Option<BTreeMap<String, Vec<String>>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct AccessStatus {
    allowed: bool,
    denied: bool,
    reason: String,
}

impl Reviewer {
    /// Asks this API server; `jitter` stretches the waits between attempts.
    #[must_use]
    pub fn new(api: Rc<ApiServer>, jitter: Box<dyn Random>) -> Self {
        Self {
            api,
            jitter: RefCell::new(jitter),
        }
    }

    /// Whose token this is; `None` if nobody's.
    ///
    /// Source: lib: apiserver `plugin/pkg/authenticator/token/webhook/
    /// webhook.go: AuthenticateToken`.
    ///
    /// # Errors
    ///
    /// If the API server does not say.
    pub async fn token(&self, token: &str) -> Result<Option<User>, String> {
        let body = json!({
            "kind": "TokenReview",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {},
            "spec": {"token": token},
            "status": {"user": {}},
        });
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let call = Call {
            method: Method::POST,
            path,
            accept: JSON,
            subject: "tokenreviews.authentication.k8s.io",
            body: Some(Bytes::from(body.to_string())),
            timeout: None,
        };
        let answer = match timeout(TIMEOUT, self.ask::<TokenStatus>(&call)).await {
            Ok(answer) => answer.map_err(|error| error.to_string())?,
            Err(_) => return Err("context deadline exceeded".to_owned()),
        };
        if !answer.error.is_empty() {
            return Err(answer.error);
        }
        Ok(answer.authenticated.then(|| User {
            name: answer.user.username,
            uid: answer.user.uid,
            groups: answer.user.groups.unwrap_or_default(),
            extra: answer.user.extra.unwrap_or_default(),
        }))
    }

    /// Whether a user may do something.
    ///
    /// Source: lib: apiserver `plugin/pkg/authorizer/webhook/webhook.go:
    /// Authorize`.
    ///
    /// # Errors
    ///
    /// If the API server does not say.
    pub async fn access(&self, user: &User, asked: &Question) -> Result<AccessVerdict, RestError> {
        let body = json!({
            "kind": "SubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": access_spec(user, asked),
            "status": {"allowed": false},
        });
        let path = format!(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews?{}",
            timeout_parameter(TIMEOUT)
        );
        let call = Call {
            method: Method::POST,
            path: &path,
            accept: JSON,
            subject: "subjectaccessreviews.authorization.k8s.io",
            body: Some(Bytes::from(body.to_string())),
            timeout: Some(TIMEOUT),
        };
        let answer: AccessStatus = self.ask(&call).await?;
        Ok(AccessVerdict {
            allowed: answer.allowed && !answer.denied,
            reason: answer.reason,
        })
    }

    /// Source: lib: apiserver `pkg/util/webhook/webhook.go:
    /// WithExponentialBackoff`.
    async fn ask<S: for<'a> Deserialize<'a>>(&self, call: &Call<'_>) -> Result<S, RestError> {
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            let error = match self.api.call(call).await {
                Ok(body) => {
                    let answer: Result<Answer<S>, _> = serde_json::from_slice(&body);
                    return answer
                        .map(|answer| answer.status)
                        .map_err(|error| RestError::Decode(error.to_string()));
                }
                Err(error) => error,
            };
            if attempt == ATTEMPTS || !passes(&error) {
                return Err(error);
            }
            let stretched = self
                .jitter
                .borrow_mut()
                .duration_between(wait, wait * 6 / 5);
            sleep(stretched).await;
            wait = wait * 3 / 2;
            attempt += 1;
        }
    }
}

/// Source: lib: apiserver `pkg/util/webhook/webhook.go: DefaultShouldRetry`.
fn passes(error: &RestError) -> bool {
    match error {
        RestError::Transport { error, .. } => error.kind == crate::transport::ErrorKind::Reset,
        RestError::Status { code, reason, .. } => {
            matches!(code, 429 | 500 | 504) || reason == "InternalError" || reason == "Timeout"
        }
        RestError::Decode(_) => false,
    }
}

fn access_spec(user: &User, asked: &Question) -> Value {
    let mut spec = Map::new();
    match &asked.resource {
        Some(resource) => {
            let mut attributes = Map::new();
            for (name, value) in [
                ("namespace", &resource.namespace),
                ("verb", &asked.verb),
                ("group", &resource.group),
                ("version", &resource.version),
                ("resource", &resource.resource),
                ("subresource", &resource.subresource),
                ("name", &resource.name),
            ] {
                if !value.is_empty() {
                    attributes.insert(name.to_owned(), json!(value));
                }
            }
            spec.insert("resourceAttributes".to_owned(), Value::Object(attributes));
        }
        None => {
            spec.insert(
                "nonResourceAttributes".to_owned(),
                json!({"path": asked.path, "verb": asked.verb}),
            );
        }
    }
    spec.insert("user".to_owned(), json!(user.name));
    spec.insert("groups".to_owned(), json!(user.groups));
    if !user.extra.is_empty() {
        spec.insert("extra".to_owned(), json!(user.extra));
    }
    if !user.uid.is_empty() {
        spec.insert("uid".to_owned(), json!(user.uid));
    }
    Value::Object(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_review_names_only_what_is_known() {
        let user = User {
            name: "ada".to_owned(),
            groups: vec!["dev".to_owned()],
            ..User::default()
        };
        let asked = Question::of("GET", "/apis/metrics.k8s.io/v1beta1/nodes", None);
        assert_eq!(
            access_spec(&user, &asked).to_string(),
            r#"{"resourceAttributes":{"verb":"list","group":"metrics.k8s.io","version":"v1beta1","resource":"nodes"},"user":"ada","groups":["dev"]}"#
        );
        let asked = Question::of("GET", "/metrics", None);
        assert_eq!(
            access_spec(&user, &asked).to_string(),
            r#"{"nonResourceAttributes":{"path":"/metrics","verb":"get"},"user":"ada","groups":["dev"]}"#
        );
    }
}
