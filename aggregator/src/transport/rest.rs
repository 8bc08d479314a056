//! Requests to an API server, with client-go's retries and error texts.
//!
//! DIFFERENCE: client-go limits each client to 5 requests a second after a
//! burst of 10; nothing here comes near that.
//! DIFFERENCE: objects travel as JSON, where client-go prefers protobuf.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use seam::Host;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::client::{Authority, HttpClient, Response};
use super::connect::Security;
use super::credentials::HeaderSource;
use super::error::{ErrorKind, TransportError};
use super::tls::{Identity, Tls, Trust};
use super::x509::Authorities;
use crate::environment::{ClusterConfig, Credentials};
use crate::klog::Quoted;
use crate::options::duration::GoDuration;

/// Source: lib: client-go `rest/request.go: NewRequest`, `maxRetries`.
const MAX_RETRIES: u32 = 10;

/// Bodies are read completely before they are parsed.
const MAX_BODY: usize = 256 << 20;

/// One event of a watch may not be larger.
const MAX_EVENT: usize = 16 << 20;

/// JSON, for objects of a known type.
pub const JSON: &str = "application/json";

/// A client of one API server with one set of credentials.
pub struct ApiServer {
    client: Rc<HttpClient>,
    authority: Authority,
    authorization: HeaderSource,
    user_agent: HeaderValue,
}

/// A request that is to be answered by one object.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// `GET` or `POST`.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// `Accept`
    pub accept: &'static str,
    /// `configmaps extension-apiserver-authentication`, for error texts.
    pub subject: &'a str,
    /// A JSON body.
    pub body: Option<Bytes>,
    /// Time for each attempt, reading included; unlimited if `None`.
    pub timeout: Option<Duration>,
}

/// Why a request to an API server failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestError {
    /// No answer.
    Transport {
        /// `Get "https://…": `
        prefix: String,
        /// What happened.
        error: TransportError,
        /// What happened at the attempt before, if that was something else.
        previous: Option<String>,
    },
    /// An answer that is not the object.
    Status {
        /// HTTP status.
        code: u16,
        /// `Expired`
        reason: String,
        /// The server's own message, or the one that client-go makes up.
        message: String,
    },
    /// An answer that cannot be read as the object.
    Decode(String),
}

impl RestError {
    /// Whether nobody listened at the server's port.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Transport { error, .. } if error.kind == ErrorKind::Refused)
    }

    /// Whether the server answered with this status.
    #[must_use]
    pub fn is_status(&self, status: u16) -> bool {
        matches!(self, Self::Status { code, .. } if *code == status)
    }

    /// Whether a resource version was too old.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Status { code: 410, .. })
            || matches!(self, Self::Status { reason, .. } if reason == "Expired" || reason == "Gone")
    }

    /// Whether a resource version is from the future.
    #[must_use]
    pub fn is_too_large_resource_version(&self) -> bool {
        matches!(self, Self::Status { message, .. } if message.contains("Too large resource version"))
    }
}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport { prefix, error, previous } => {
                write!(f, "{prefix}{error}")?;
                match previous {
                    Some(previous) => write!(f, " - error from a previous attempt: {previous}"),
                    None => Ok(()),
                }
            }
            Self::Status { message, .. } => f.write_str(message),
            Self::Decode(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for RestError {}

/// How a client secures its connections to the API server.
///
/// # Errors
///
/// Go's text if the client certificate cannot be used.
pub fn security(tls: &Tls, config: &ClusterConfig) -> Result<Security, String> {
    let trust = if config.insecure { Trust::Anyone } else { Trust::Authorities(Authorities::new(&config.ca)) };
    let identity = match &config.credentials {
        Credentials::ClientCertificate { certificate, key } => Some(Identity::from_pem(certificate, key)?),
        _ => None,
    };
    Ok(Security {
        config: Arc::new(tls.client(trust, identity)?),
        server_name: config.server_name.clone(),
    })
}

impl ApiServer {
    /// A client for the server that `config` describes.
    ///
    /// # Errors
    ///
    /// Go's text if the client certificate cannot be used.
    pub fn new(host: &Host, tls: &Tls, config: &ClusterConfig, user_agent: &str) -> Result<Rc<Self>, String> {
        let security = security(tls, config)?;
        Ok(Rc::new(Self {
            client: HttpClient::new(host.clone(), Some(security)),
            authority: Authority { host: config.host.as_str().into(), port: config.port },
            authorization: HeaderSource::new(host.clone(), &config.credentials),
            user_agent: HeaderValue::from_str(user_agent).map_err(|error| error.to_string())?,
        }))
    }

    /// Makes a request and reads the answer.
    ///
    /// Source: lib: client-go `rest/request.go: (*Request).Do`.
    ///
    /// # Errors
    ///
    /// [`RestError`]; a time-out of the call is a [`RestError::Transport`].
    pub async fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, RestError> {
        let attempt = async {
            let response = self.answered(call, |error| {
                call.method == Method::GET && matches!(error.kind, ErrorKind::Eof | ErrorKind::Reset)
            });
            let response = response.await?;
            let status = response.status.as_u16();
            let mut body = Vec::new();
            if let Err(error) = response.read_into(&mut body, MAX_BODY).await {
                return Err(RestError::Decode(format!(
                    "unexpected error when reading response body. Please retry. Original error: {error}"
                )));
            }
            if (200..300).contains(&status) { Ok(body) } else { Err(status_error(call, status, &body)) }
        };
        let Some(limit) = call.timeout else {
            return attempt.await;
        };
        match timeout(limit, attempt).await {
            Ok(result) => result,
            Err(_) => Err(RestError::Transport {
                prefix: self.prefix(call),
                error: TransportError::new(
                    ErrorKind::Deadline,
                    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                ),
                previous: None,
            }),
        }
    }

    /// Opens a watch. `None` is a watch that ended before it began, which is
    /// what client-go makes of an end of stream or a time-out.
    ///
    /// Source: lib: client-go `rest/request.go: (*Request).Watch`.
    ///
    /// # Errors
    ///
    /// [`RestError`].
    pub async fn watch(
        &self,
        path: &str,
        accept: &'static str,
        subject: &str,
    ) -> Result<Option<WatchStream>, RestError> {
        let call = Call { method: Method::GET, path, accept, subject, body: None, timeout: None };
        let again = |error: &TransportError| {
            matches!(error.kind, ErrorKind::Eof | ErrorKind::Reset | ErrorKind::Timeout)
        };
        match self.answered(&call, again).await {
            Ok(response) if response.status == http::StatusCode::OK => Ok(Some(WatchStream::new(response))),
            Ok(response) => {
                let status = response.status.as_u16();
                let mut body = Vec::new();
                // Without a body the status alone makes the message.
                let _ = response.read_into(&mut body, MAX_BODY).await;
                Err(status_error(&call, status, &body))
            }
            Err(RestError::Transport { error, .. }) if again(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends until an answer may be passed on.
    ///
    /// Source: lib: client-go `rest/with_retry.go: IsNextRetry, WrapPreviousError`.
    async fn answered(
        &self,
        call: &Call<'_>,
        again: impl Fn(&TransportError) -> bool,
    ) -> Result<Response, RestError> {
        let mut previous: Option<TransportError> = None;
        for attempt in 0.. {
            let last = attempt == MAX_RETRIES;
            let wait = match self.client.send(&self.authority, self.request(call)).await {
                Ok(response) => match retry_after(&response) {
                    Some(wait) if !last => wait,
                    _ => return Ok(response),
                },
                Err(error) if again(&error) && !last => {
                    previous = Some(error);
                    Duration::from_secs(1)
                }
                Err(error) => {
                    let previous = previous.filter(|previous| *previous != error).map(|previous| previous.text);
                    return Err(RestError::Transport { prefix: self.prefix(call), error, previous });
                }
            };
            sleep(wait).await;
        }
        unreachable!("the last attempt returns")
    }

    fn request(&self, call: &Call<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(call.body.clone().unwrap_or_default()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.path.parse().expect("paths are made of constants and encoded parts");
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.authority.to_string()) {
            headers.insert(header::HOST, host);
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static(call.accept));
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if call.body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        }
        if let Some(authorization) = self.authorization.header() {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        request
    }

    /// Source: Go `net/url: (*Error).Error`.
    fn prefix(&self, call: &Call<'_>) -> String {
        let method = if call.method == Method::GET { "Get" } else { "Post" };
        format!("{method} {}: ", Quoted(&format!("https://{}{}", self.authority, call.path)))
    }
}

/// How long an answer asks to wait before the same request.
fn retry_after(response: &Response) -> Option<Duration> {
    let status = response.status;
    if status.as_u16() != 429 && !status.is_server_error() {
        return None;
    }
    let seconds = response.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(seconds.parse().ok()?))
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct StatusBody {
    kind: String,
    message: String,
    reason: String,
    code: u16,
}

/// Reads a `Status`, as in the `object` of a watch's `ERROR` event.
pub(crate) fn status_object(json: &[u8]) -> Option<RestError> {
    let status: StatusBody = serde_json::from_slice(json).ok()?;
    (status.kind == "Status").then_some(RestError::Status {
        code: status.code,
        reason: status.reason,
        message: status.message,
    })
}

/// What client-go makes of an answer that is not a success.
///
/// Source: lib: apimachinery `pkg/api/errors/errors.go:
/// NewGenericServerResponse`.
fn status_error(call: &Call<'_>, code: u16, body: &[u8]) -> RestError {
    if let Some(RestError::Status { reason, message, .. }) = status_object(body) {
        return RestError::Status { code, reason, message };
    }
    let said = String::from_utf8_lossy(body);
    let said = said.trim();
    let message = match code {
        401 => "the server has asked for the client to provide credentials".to_owned(),
        403 if !said.is_empty() => said.to_owned(),
        403 => "unknown".to_owned(),
        404 => "the server could not find the requested resource".to_owned(),
        405 => "the server does not allow this method on the requested resource".to_owned(),
        410 => "the server has received a request for a resource version that is too old".to_owned(),
        429 => "the server has received too many requests and has asked us to try again later".to_owned(),
        503 => "the server is currently unable to handle the request".to_owned(),
        504 => "the server was unable to return a response in the time allotted, but may still be processing the \
                request"
            .to_owned(),
        500.. => format!("an error on the server ({}) has prevented the request from succeeding", Quoted(said)),
        _ => format!("the server responded with the status code {code} but did not return more information"),
    };
    let verb = call.method.as_str().to_lowercase();
    RestError::Status {
        code,
        reason: String::new(),
        message: format!("{message} ({verb} {})", call.subject),
    }
}

/// The events of a watch, one JSON document per line.
pub struct WatchStream {
    response: Response,
    buffer: Vec<u8>,
    /// Length of the line handed out last, newline included.
    consumed: usize,
}

impl WatchStream {
    fn new(response: Response) -> Self {
        Self { response, buffer: Vec::new(), consumed: 0 }
    }

    /// The next event; `None` when the server ended the watch. Cancelling
    /// loses nothing.
    ///
    /// # Errors
    ///
    /// If the stream breaks, or an event is too large.
    pub async fn next(&mut self) -> Result<Option<&[u8]>, TransportError> {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        let mut searched = 0;
        loop {
            if let Some(found) = memchr::memchr(b'\n', &self.buffer[searched..]) {
                let end = searched + found;
                self.consumed = end + 1;
                return Ok(Some(&self.buffer[..end]));
            }
            searched = self.buffer.len();
            if searched > MAX_EVENT {
                return Err(TransportError::new(ErrorKind::Malformed, "watch event is too large"));
            }
            match self.response.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(TransportError::new(ErrorKind::Reset, "unexpected EOF")),
            }
        }
    }
}

/// A duration as a query parameter: `timeout=10s`.
pub(crate) fn timeout_parameter(timeout: Duration) -> String {
    format!("timeout={}", GoDuration::from(timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, body: &str, expected: &str) {
        let call = Call {
            method: Method::GET,
            path: "/api/v1/nodes",
            accept: JSON,
            subject: "nodes",
            body: None,
            timeout: None,
        };
        assert_eq!(status_error(&call, code, body.as_bytes()).to_string(), expected);
    }

    #[test]
    fn answers_that_are_no_status_get_client_gos_texts() {
        check(503, "later", "the server is currently unable to handle the request (get nodes)");
        check(404, "404 page not found", "the server could not find the requested resource (get nodes)");
        check(500, "boom", "an error on the server (\"boom\") has prevented the request from succeeding (get nodes)");
        check(403, "no", "no (get nodes)");
    }

    #[test]
    fn a_status_speaks_for_itself() {
        let body = r#"{"kind":"Status","status":"Failure","message":"nodes is forbidden: no","reason":"Forbidden","code":403}"#;
        check(403, body, "nodes is forbidden: no");
    }

    #[test]
    fn the_error_of_the_attempt_before_is_added() {
        let error = RestError::Transport {
            prefix: "Get \"https://10.43.0.1:443/x\": ".to_owned(),
            error: TransportError::new(ErrorKind::Refused, "dial tcp 10.43.0.1:443: connect: connection refused"),
            previous: Some("EOF".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "Get \"https://10.43.0.1:443/x\": dial tcp 10.43.0.1:443: connect: connection refused - error from a \
             previous attempt: EOF"
        );
    }
}
