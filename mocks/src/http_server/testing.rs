//! A client of one connection, for unit tests of servers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use seam::{Host, Stream};
use tokio_rustls::TlsConnector;

/// As long as anybody waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to a server.
pub(crate) struct Client {
    requests: SendRequest<Full<Bytes>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body, as far as it came.
    pub(crate) body: Vec<u8>,
    /// How the body ended before its end.
    pub(crate) broken: Option<String>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

/// Dials, shakes hands and speaks HTTP on what comes of it. Failures are kinds
/// of I/O errors, Go's TLS texts, or `timeout`.
pub(crate) async fn connect(
    host: &Host,
    address: SocketAddr,
    config: Option<Arc<rustls::ClientConfig>>,
) -> Result<Client, String> {
    let tls = async {
        let stream = host.dial(address).await?;
        let Some(config) = config else {
            return Ok(start(host, stream).await);
        };
        let name = ServerName::from(address.ip());
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Ok(start(host, stream).await)
    };
    match tokio::time::timeout(PATIENCE, tls).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(describe(&error)),
        Err(_) => Err("timeout".to_owned()),
    }
}

fn describe(error: &io::Error) -> String {
    crate::tls::go_text(error).unwrap_or_else(|| format!("{:?}", error.kind()))
}

async fn start(host: &Host, stream: impl Stream) -> Client {
    let (requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("no byte has been exchanged yet");
    host.spawn(connection);
    Client { requests }
}

impl Client {
    /// Sends a request and waits for all of the answer, or ten seconds.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let response = tokio::time::timeout_at(deadline, self.requests.send_request(request)).await;
        let response = response
            .map_err(|_| "timeout")?
            .map_err(|error| error.to_string())?;
        let (head, mut pieces) = response.into_parts();
        let mut answer = Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: Vec::new(),
            broken: None,
        };
        loop {
            match tokio::time::timeout_at(deadline, pieces.frame()).await {
                Ok(None) => return Ok(answer),
                Ok(Some(Ok(frame))) => {
                    answer.body.extend(frame.into_data().unwrap_or_default());
                }
                Ok(Some(Err(error))) => answer.broken = Some(error.to_string()),
                Err(_) => {
                    answer.broken = Some("timeout".to_owned());
                    return Ok(answer);
                }
            }
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.send(get(path)).await
    }

    /// Whether the server has not hung up yet.
    pub(crate) fn is_open(&self) -> bool {
        !self.requests.is_closed()
    }
}

/// `GET path`
pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "server")
        .body(Full::default())
        .expect("tests ask for paths")
}
