//! From a name to a connection that HTTP can be spoken over.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use seam::{BoxStream, Host};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::client::Authority;
use super::error::{ErrorKind, TransportError};

/// Source: lib: client-go `transport/cache.go: (*tlsTransportCache).get`.
const DIAL_TIMEOUT: Duration = Duration::from_secs(30);

/// Source: lib: client-go `transport/cache.go: tlsHandshakeTimeout` default.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a client secures its connections.
#[derive(Clone)]
pub struct Security {
    /// Trust and identity.
    pub config: Arc<ClientConfig>,
    /// Name to verify in place of the one dialled.
    pub server_name: Option<String>,
}

/// Connects; without `security` the stream is plain TCP.
///
/// # Errors
///
/// Everything that can happen before HTTP, in Go's words.
pub(super) async fn connect(
    host: &Host,
    authority: &Authority,
    security: Option<&Security>,
) -> Result<(SocketAddr, BoxStream), TransportError> {
    let (address, stream) = dial(host, authority).await?;
    let Some(security) = security else {
        return Ok((address, stream));
    };
    let handshake = handshake(address, stream, authority, security);
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(stream) => Ok((address, stream?)),
        Err(_) => Err(TransportError::handshake_timeout()),
    }
}

/// Looks the name up and tries its addresses in order; the first error counts.
///
/// Source: Go `net: (*sysDialer).dialSerial`.
async fn dial(
    host: &Host,
    authority: &Authority,
) -> Result<(SocketAddr, BoxStream), TransportError> {
    let mut trying = None;
    let attempt = async {
        let addresses = match authority.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = host.lookup(&authority.host).await;
                found.map_err(|error| TransportError::lookup(&authority.host, &error))?
            }
        };
        let mut first_error = None;
        for address in addresses {
            let address = SocketAddr::new(address, authority.port);
            trying = Some(address);
            match host.dial(address).await {
                Ok(stream) => return Ok((address, stream)),
                Err(error) => {
                    first_error.get_or_insert_with(|| TransportError::dial(address, &error));
                }
            }
        }
        Err(first_error.unwrap_or_else(|| {
            let text = format!("dial tcp: lookup {}: no such host", authority.host);
            TransportError::new(ErrorKind::Dns, text)
        }))
    };
    match timeout(DIAL_TIMEOUT, attempt).await {
        Ok(result) => result,
        Err(_) => Err(TransportError::dial_timeout(trying, authority)),
    }
}

async fn handshake(
    address: SocketAddr,
    stream: BoxStream,
    authority: &Authority,
    security: &Security,
) -> Result<BoxStream, TransportError> {
    let name = security.server_name.as_deref().unwrap_or(&authority.host);
    let Ok(server_name) = ServerName::try_from(name.to_owned()) else {
        let text = format!(
            "tls: failed to verify certificate: x509: certificate is not valid for any names, but wanted to match {name}"
        );
        return Err(TransportError::new(ErrorKind::Tls, text));
    };
    let connector = TlsConnector::from(Arc::clone(&security.config));
    match connector
        .connect(server_name, FirstBytes::of(stream))
        .into_fallible()
        .await
    {
        Ok(stream) => Ok(Box::new(stream)),
        Err((error, stream)) => Err(TransportError::handshake(address, &error, stream.seen())),
    }
}

/// A stream that remembers the first five bytes read from it: enough to tell
/// a plain HTTP server from one that speaks TLS.
struct FirstBytes {
    stream: BoxStream,
    first: [u8; 5],
    length: usize,
}

impl FirstBytes {
    fn of(stream: BoxStream) -> Self {
        Self {
            stream,
            first: [0; 5],
            length: 0,
        }
    }

    fn seen(&self) -> &[u8] {
        &self.first[..self.length]
    }
}

impl AsyncRead for FirstBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        let wanted = self.first.len() - self.length;
        if wanted > 0 {
            let fresh = &buf.filled()[before..];
            let taken = fresh.len().min(wanted);
            let start = self.length;
            self.first[start..start + taken].copy_from_slice(&fresh[..taken]);
            self.length += taken;
        }
        result
    }
}

impl AsyncWrite for FirstBytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
