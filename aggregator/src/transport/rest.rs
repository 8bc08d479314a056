//! Requests to an API server, with client-go's retries and error texts.
//!
//! DIFFERENCE: client-go limits each client to 5 requests a second after a
//! burst of 10; nothing here comes near that.
//! DIFFERENCE: objects travel as JSON, where client-go prefers protobuf.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;
use seam::Host;
use tokio::time::{sleep, timeout};

use super::client::{Authority, HttpClient, Response};
use super::connect::Security;
use super::credentials::HeaderSource;
use super::error::{ErrorKind, TransportError};
use super::status::{RestError, status_error};
use super::tls::{Identity, Tls, Trust};
use super::watch::WatchStream;
use super::x509::Authorities;
use crate::environment::{ClusterConfig, Credentials};
use crate::klog::Quoted;
use crate::options::duration::GoDuration;

/// Source: lib: client-go `rest/request.go: NewRequest`, `maxRetries`.
const MAX_RETRIES: u32 = 10;

/// Bodies are read completely before they are parsed.
const MAX_BODY: usize = 256 << 20;

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

/// How a client secures its connections to the API server.
///
/// # Errors
///
/// Go's text if the client certificate cannot be used.
pub fn security(tls: &Tls, config: &ClusterConfig) -> Result<Security, String> {
    let trust = if config.insecure {
        Trust::Anyone
    } else {
        Trust::Authorities(Authorities::new(&config.ca))
    };
    let identity = match &config.credentials {
        Credentials::ClientCertificate { certificate, key } => {
            Some(Identity::from_pem(certificate, key)?)
        }
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
    pub fn new(
        host: &Host,
        tls: &Tls,
        config: &ClusterConfig,
        user_agent: &str,
    ) -> Result<Rc<Self>, String> {
        let security = security(tls, config)?;
        Ok(Rc::new(Self {
            client: HttpClient::new(host.clone(), Some(security)),
            authority: Authority {
                host: config.host.as_str().into(),
                port: config.port,
            },
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
                call.method == Method::GET
                    && matches!(error.kind, ErrorKind::Eof | ErrorKind::Reset)
            });
            let response = response.await?;
            let status = response.status.as_u16();
            let mut body = Vec::new();
            if let Err(error) = response.read_into(&mut body, MAX_BODY).await {
                return Err(RestError::Decode(format!(
                    "unexpected error when reading response body. Please retry. Original error: {error}"
                )));
            }
            if (200..300).contains(&status) {
                Ok(body)
            } else {
                Err(status_error(call, status, &body))
            }
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
        let call = Call {
            method: Method::GET,
            path,
            accept,
            subject,
            body: None,
            timeout: None,
        };
        let again = |error: &TransportError| {
            matches!(
                error.kind,
                ErrorKind::Eof | ErrorKind::Reset | ErrorKind::Timeout
            )
        };
        match self.answered(&call, again).await {
            Ok(response) if response.status == http::StatusCode::OK => {
                Ok(Some(WatchStream::new(response)))
            }
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
                    let previous = previous
                        .filter(|previous| *previous != error)
                        .map(|previous| previous.text);
                    return Err(RestError::Transport {
                        prefix: self.prefix(call),
                        error,
                        previous,
                    });
                }
            };
            sleep(wait).await;
        }
        unreachable!("the last attempt returns")
    }

    fn request(&self, call: &Call<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(call.body.clone().unwrap_or_default()));
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call
            .path
            .parse()
            .expect("paths are made of constants and encoded parts");
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
        let method = if call.method == Method::GET {
            "Get"
        } else {
            "Post"
        };
        format!(
            "{method} {}: ",
            Quoted(&format!("https://{}{}", self.authority, call.path))
        )
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

/// A duration as a query parameter: `timeout=10s`.
pub(crate) fn timeout_parameter(timeout: Duration) -> String {
    format!("timeout={}", GoDuration::from(timeout))
}
