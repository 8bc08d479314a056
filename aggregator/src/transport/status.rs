//! What an API server says instead of an object, and what client-go makes of
//! it.

use std::fmt;

use serde::Deserialize;

use super::error::{ErrorKind, TransportError};
use super::rest::Call;
use crate::klog::Quoted;

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
            Self::Transport {
                prefix,
                error,
                previous,
            } => {
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
pub(super) fn status_error(call: &Call<'_>, code: u16, body: &[u8]) -> RestError {
    if let Some(RestError::Status {
        reason, message, ..
    }) = status_object(body)
    {
        return RestError::Status {
            code,
            reason,
            message,
        };
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

#[cfg(test)]
mod tests {
    use super::super::rest::JSON;
    use super::*;
    use http::Method;

    fn check(code: u16, body: &str, expected: &str) {
        let call = Call {
            method: Method::GET,
            path: "/api/v1/nodes",
            accept: JSON,
            subject: "nodes",
            body: None,
            timeout: None,
        };
        assert_eq!(
            status_error(&call, code, body.as_bytes()).to_string(),
            expected
        );
    }

    #[test]
    fn answers_that_are_no_status_get_client_gos_texts() {
        check(
            503,
            "later",
            "the server is currently unable to handle the request (get nodes)",
        );
        check(
            404,
            "404 page not found",
            "the server could not find the requested resource (get nodes)",
        );
        check(
            500,
            "boom",
            "an error on the server (\"boom\") has prevented the request from succeeding (get nodes)",
        );
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
            error: TransportError::new(
                ErrorKind::Refused,
                "dial tcp 10.43.0.1:443: connect: connection refused",
            ),
            previous: Some("EOF".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "Get \"https://10.43.0.1:443/x\": dial tcp 10.43.0.1:443: connect: connection refused - error from a \
             previous attempt: EOF"
        );
    }
}
