//! client-go's requests, retries and errors.
//!
//! Source: `client-go/rest/request.go`, `with_retry.go`,
//! `apimachinery/pkg/api/errors/errors.go`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode};
use seam::Host;
use serde::Deserialize;
use tokio::time::sleep;

use super::ApiAccess;
use crate::event::Outcome;
use crate::http_client::{
    Client, ClientError, IncomingResponse, OutgoingRequest, Settings, Timeouts,
};

/// Source: `client-go/rest/request.go` (`maxRetries: 10`).
const MAX_RETRIES: u32 = 10;

/// The wait before a request whose connection broke is sent again.
/// Source: `with_retry.go retryAfterResponse`.
const BROKEN_CONNECTION_WAIT: Duration = Duration::from_secs(1);

/// A longer body that is no Status is cut.
/// Source: `request.go maxUnstructuredResponseTextBytes`.
const MAX_TEXT: usize = 2048;

/// JSON, as every client can read it.
///
/// DIFFERENCE: clients of built-in types and of the metrics API ask for
/// protobuf first.
pub(super) const JSON: &str = "application/json";

/// A client of the API server.
pub(super) struct Rest {
    client: Client,
    access: ApiAccess,
    user_agent: HeaderValue,
    authorization: Option<HeaderValue>,
}

/// What was asked for, as errors name it: `get nodes.metrics.k8s.io`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// A resource.
    Get(&'static str),
    /// A path that is no resource's. The answer is taken as it comes, so that
    /// the message of a Status is lost.
    Path,
}

/// An answer with a status of 2xx.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: Bytes,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum RestError {
    /// No HTTP answer.
    Transport(ClientError),
    /// One with another status.
    Api(ApiError),
}

/// An error of the API: `apierrors.StatusError`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) code: u16,
    /// `ServiceUnavailable`; empty if unknown.
    pub(super) reason: String,
    pub(super) message: String,
}

impl RestError {
    /// What came back.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Transport(error) => error.outcome,
            Self::Api(error) => Outcome::Status(error.code),
        }
    }
}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Api(error) => f.write_str(&error.message),
        }
    }
}

impl Rest {
    pub(super) fn new(host: &Host, access: ApiAccess, user_agent: &'static str) -> Self {
        Self::with_timeouts(host, access, user_agent, Timeouts::default())
    }

    pub(super) fn with_timeouts(
        host: &Host,
        access: ApiAccess,
        user_agent: &'static str,
        timeouts: Timeouts,
    ) -> Self {
        let settings = Settings {
            timeouts,
            ..Settings::default()
        };
        let authorization = access.token.as_ref().map(|token| {
            HeaderValue::from_str(&format!("Bearer {token}"))
                .expect("a bearer token is printable ASCII")
        });
        Self {
            client: Client::new(host.clone(), access.tls.clone(), settings),
            access,
            user_agent: HeaderValue::from_static(user_agent),
            authorization,
        }
    }

    /// Asks, again where client-go would, and sorts the answer.
    pub(super) async fn get(
        &self,
        path: &PathAndQuery,
        accept: &'static str,
        subject: Subject,
    ) -> Result<Answer, RestError> {
        let mut retries = 0;
        loop {
            let result = self.send(path, accept).await;
            match wait_before_retry(&result) {
                Some(wait) if retries < MAX_RETRIES => sleep(wait).await,
                _ => return sort(result, subject),
            }
            retries += 1;
        }
    }

    /// Asks once and takes whatever comes.
    pub(super) async fn send(
        &self,
        path: &PathAndQuery,
        accept: &'static str,
    ) -> Result<IncomingResponse, ClientError> {
        let mut request = OutgoingRequest::get(&self.access.target, path.clone());
        let headers = &mut request.headers;
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        self.client.send(request).await
    }
}

/// Source: `with_retry.go IsNextRetry`, `checkWait`; `request.go Do`.
fn wait_before_retry(result: &Result<IncomingResponse, ClientError>) -> Option<Duration> {
    match result {
        Err(error) => (error.outcome == Outcome::Reset).then_some(BROKEN_CONNECTION_WAIT),
        Ok(response) => {
            let status = response.status;
            let retriable = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            let seconds = response.headers.get(RETRY_AFTER).filter(|_| retriable)?;
            Some(Duration::from_secs(seconds.to_str().ok()?.parse().ok()?))
        }
    }
}

/// Source: `request.go transformResponse`, `Result.Error`.
fn sort(
    result: Result<IncomingResponse, ClientError>,
    subject: Subject,
) -> Result<Answer, RestError> {
    let response = result.map_err(RestError::Transport)?;
    let content_type = content_type(&response.headers);
    if response.status.is_success() {
        return Ok(Answer {
            status: response.status.as_u16(),
            content_type,
            body: response.body,
        });
    }
    let code = response.status.as_u16();
    let told = match subject {
        Subject::Get(_) => status_object(code, &response.body),
        Subject::Path => None,
    };
    let error = told.unwrap_or_else(|| {
        let is_text = content_type.is_empty() || content_type.starts_with("text/");
        let text = if is_text {
            text(&response.body)
        } else {
            "unknown".to_owned()
        };
        generic_error(code, &text, subject)
    });
    Err(RestError::Api(error))
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn text(body: &[u8]) -> String {
    let cut = &body[..body.len().min(MAX_TEXT)];
    String::from_utf8_lossy(cut).trim().to_owned()
}

/// A `Status` object that tells of a failure. Source: `errors.FromObject`.
fn status_object(code: u16, body: &[u8]) -> Option<ApiError> {
    #[derive(Deserialize)]
    struct Status {
        kind: String,
        #[serde(default)]
        status: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        reason: String,
    }
    let status: Status = serde_json::from_slice(body).ok()?;
    (status.kind == "Status" && status.status != "Success").then_some(ApiError {
        code,
        reason: status.reason,
        message: status.message,
    })
}

/// Source: `apimachinery/pkg/api/errors NewGenericServerResponse`.
fn generic_error(code: u16, text: &str, subject: Subject) -> ApiError {
    let (reason, message) = match code {
        400 => (
            "BadRequest",
            "the server rejected our request for an unknown reason",
        ),
        401 => (
            "Unauthorized",
            "the server has asked for the client to provide credentials",
        ),
        403 => ("Forbidden", text),
        404 => (
            "NotFound",
            "the server could not find the requested resource",
        ),
        405 => (
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        ),
        406 if text.is_empty() || text == "unknown" => (
            "NotAcceptable",
            "the server was unable to respond with a content type that the client supports",
        ),
        406 => ("NotAcceptable", text),
        429 => (
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => (
            "ServiceUnavailable",
            "the server is currently unable to handle the request",
        ),
        504 => (
            "Timeout",
            "the server was unable to return a response in the time allotted, but may still be \
             processing the request",
        ),
        _ => ("", ""),
    };
    let message = match (message, code) {
        ("", 500..) => {
            format!("an error on the server ({text:?}) has prevented the request from succeeding")
        }
        ("", _) if reason.is_empty() => format!(
            "the server responded with the status code {code} but did not return more information"
        ),
        (message, _) => message.to_owned(),
    };
    let reason = match (reason, code) {
        ("", 500..) => "InternalError",
        (reason, _) => reason,
    };
    ApiError {
        code,
        reason: reason.to_owned(),
        message: match subject {
            Subject::Get(resource) => format!("{message} (get {resource})"),
            Subject::Path => message,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::time::Instant;

    use crate::http_client::testing::{Pipes, TestClock, answer, any_tls, paused, plain, serve};

    fn message(code: u16, content_type: &'static str, body: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let response = IncomingResponse {
            status: StatusCode::from_u16(code).expect("a status"),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        };
        let error = sort(Ok(response), Subject::Get("pods.metrics.k8s.io"));
        error.expect_err("not 2xx").to_string()
    }

    #[test]
    fn answers_without_a_status_object_get_client_gos_words() {
        let plain = "text/plain; charset=utf-8";
        assert_eq!(
            message(503, plain, "service unavailable\n"),
            "the server is currently unable to handle the request (get pods.metrics.k8s.io)"
        );
        assert_eq!(
            message(404, plain, "404 page not found\n"),
            "the server could not find the requested resource (get pods.metrics.k8s.io)"
        );
        assert_eq!(
            message(500, plain, "missing user\n"),
            "an error on the server (\"missing user\") has prevented the request from succeeding \
             (get pods.metrics.k8s.io)"
        );
        assert_eq!(
            message(418, plain, ""),
            "the server responded with the status code 418 but did not return more information \
             (get pods.metrics.k8s.io)"
        );
    }

    #[test]
    fn a_status_object_speaks_for_itself() {
        let body = r#"{"kind":"Status","status":"Failure","message":"no","reason":"Forbidden"}"#;
        assert_eq!(message(403, JSON, body), "no");
    }

    #[test]
    fn a_503_with_retry_after_is_asked_again_and_one_without_is_not() {
        for (retry_after, tries, seconds) in [(true, 3, 10), (false, 1, 0)] {
            paused(async move {
                let host = Pipes::new().host("client", &TestClock::new());
                let target = plain("10.43.0.1:443");
                let asked = Rc::new(Cell::new(0));
                let count = Rc::clone(&asked);
                let handler = move |_: &_| {
                    count.set(count.get() + 1);
                    let mut response = answer(if count.get() == 3 { 200 } else { 503 }, "");
                    if retry_after {
                        response
                            .headers_mut()
                            .insert(RETRY_AFTER, HeaderValue::from_static("5"));
                    }
                    response
                };
                serve(&host, target.address, Rc::new(handler)).await;
                let access = ApiAccess {
                    target,
                    tls: any_tls(&host),
                    token: None,
                };
                let rest = Rest::new(&host, access, "kubectl");
                let start = Instant::now();
                let path = PathAndQuery::from_static("/apis");
                let _ = rest.get(&path, JSON, Subject::Path).await;
                assert_eq!(asked.get(), tries);
                assert_eq!(start.elapsed().as_secs(), seconds);
            });
        }
    }
}
