//! What can go wrong between two machines, in the words of Go's `net`,
//! `crypto/tls` and `net/http`.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;

use rustls::AlertDescription;
use seam::{InTheWay, LookupError};
use thiserror::Error;

use super::client::Authority;

/// What kind of failure it was, for those who decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The peer's system answered that nobody listens.
    Refused,
    /// A time-out of the transport itself: dialling or the TLS handshake.
    Timeout,
    /// The request's own deadline.
    Deadline,
    /// The connection was reset or closed before the answer was complete.
    Reset,
    /// As [`ErrorKind::Reset`], with a proper end of stream.
    Eof,
    /// TLS failed: an alert, or a certificate that was not accepted.
    Tls,
    /// The name did not resolve.
    Dns,
    /// No way to the address.
    Unreachable,
    /// What came back is not HTTP, or too large.
    Malformed,
}

impl ErrorKind {
    /// The word for it in [`crate::environment::Event::Scraped`].
    #[must_use]
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout | Self::Deadline => "timeout",
            Self::Reset | Self::Eof => "reset",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Unreachable => "unreachable",
            Self::Malformed => "malformed",
        }
    }
}

/// A failure on the way to an answer. `Display` gives what Go prints after
/// `Get "https://…": `.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct TransportError {
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// Go's text.
    pub text: String,
}

impl TransportError {
    /// A failure of this kind with this text.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    /// The request's deadline passed.
    #[must_use]
    pub fn deadline() -> Self {
        Self::new(ErrorKind::Deadline, "context deadline exceeded")
    }

    /// The TLS handshake took longer than 10 s.
    #[must_use]
    pub fn handshake_timeout() -> Self {
        Self::new(ErrorKind::Timeout, "net/http: TLS handshake timeout")
    }

    /// The stream ended before an answer began.
    #[must_use]
    pub fn eof() -> Self {
        Self::new(ErrorKind::Eof, "EOF")
    }

    pub(super) fn lookup(name: &str, error: &LookupError) -> Self {
        let server = match error {
            LookupError::NoSuchHost { server }
            | LookupError::ServerFailure { server }
            | LookupError::Timeout { server } => server,
        };
        let on = server.map_or(String::new(), |server| format!(" on {server}"));
        Self::new(
            ErrorKind::Dns,
            format!("dial tcp: lookup {name}{on}: {error}"),
        )
    }

    pub(super) fn dial_timeout(address: Option<SocketAddr>, authority: &Authority) -> Self {
        let text = match address {
            Some(address) => format!("dial tcp {address}: i/o timeout"),
            None => format!("dial tcp: lookup {}: i/o timeout", authority.host),
        };
        Self::new(ErrorKind::Timeout, text)
    }

    pub(super) fn dial(address: SocketAddr, error: &io::Error) -> Self {
        if let Some(in_the_way) = InTheWay::of(error) {
            return Self::new(ErrorKind::Unreachable, in_the_way.to_string());
        }
        let (kind, text) = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                (ErrorKind::Refused, "connect: connection refused".to_owned())
            }
            io::ErrorKind::HostUnreachable => (
                ErrorKind::Unreachable,
                "connect: no route to host".to_owned(),
            ),
            io::ErrorKind::NetworkUnreachable => (
                ErrorKind::Unreachable,
                "connect: network is unreachable".to_owned(),
            ),
            io::ErrorKind::TimedOut => (
                ErrorKind::Timeout,
                "connect: connection timed out".to_owned(),
            ),
            io::ErrorKind::ConnectionReset => (
                ErrorKind::Reset,
                "connect: connection reset by peer".to_owned(),
            ),
            _ => (ErrorKind::Unreachable, format!("connect: {error}")),
        };
        Self::new(kind, format!("dial tcp {address}: {text}"))
    }

    /// A handshake that failed; `first` are the first bytes the peer sent.
    pub(super) fn handshake(address: SocketAddr, error: &io::Error, first: &[u8]) -> Self {
        match rustls_error(error) {
            Some(rustls::Error::InvalidMessage(_)) if first == b"HTTP/" => Self::new(
                ErrorKind::Malformed,
                "http: server gave HTTP response to HTTPS client",
            ),
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => {
                Self::new(
                    ErrorKind::Tls,
                    "tls: first record does not look like a TLS handshake",
                )
            }
            Some(error) => Self::tls(error),
            None => Self::io(address, error),
        }
    }

    fn tls(error: &rustls::Error) -> Self {
        let text = match error {
            rustls::Error::AlertReceived(alert) => {
                format!("remote error: tls: {}", alert_text(*alert))
            }
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(reason)) => {
                format!("tls: failed to verify certificate: {reason}")
            }
            rustls::Error::InvalidCertificate(_) => {
                "tls: failed to parse certificate from server: x509: malformed certificate"
                    .to_owned()
            }
            other => format!("tls: {other}"),
        };
        Self::new(ErrorKind::Tls, text)
    }

    /// A connected stream that failed.
    ///
    /// DIFFERENCE: Go names both ends of the connection; the local one is not
    /// known here.
    fn io(address: SocketAddr, error: &io::Error) -> Self {
        if let Some(error) = rustls_error(error) {
            return Self::tls(error);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::eof(),
            io::ErrorKind::ConnectionReset => Self::new(
                ErrorKind::Reset,
                format!("read tcp {address}: read: connection reset by peer"),
            ),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => Self::new(
                ErrorKind::Reset,
                format!("write tcp {address}: write: broken pipe"),
            ),
            io::ErrorKind::TimedOut => Self::new(
                ErrorKind::Timeout,
                format!("read tcp {address}: read: connection timed out"),
            ),
            _ => Self::new(
                ErrorKind::Reset,
                format!("read tcp {address}: read: {error}"),
            ),
        }
    }

    /// An exchange of HTTP messages that failed.
    pub(super) fn http(address: SocketAddr, error: &hyper::Error) -> Self {
        if let Some(error) = io_source(error) {
            return Self::io(address, error);
        }
        if error.is_parse() {
            let text = "net/http: HTTP/1.x transport connection broken: malformed HTTP response";
            return Self::new(ErrorKind::Malformed, text);
        }
        Self::eof()
    }

    /// The same failure in the middle of a body, where the end of the stream
    /// is unexpected.
    pub(super) fn in_body(self) -> Self {
        match self.kind {
            ErrorKind::Eof => Self::new(ErrorKind::Reset, "unexpected EOF"),
            _ => self,
        }
    }
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn io_source(error: &hyper::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// What the operating system says of a file or socket, in Go's words.
#[must_use]
pub fn errno_text(error: &io::Error) -> String {
    let text = match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::NotADirectory => "not a directory",
        io::ErrorKind::IsADirectory => "is a directory",
        io::ErrorKind::AddrInUse => "address already in use",
        io::ErrorKind::AddrNotAvailable => "cannot assign requested address",
        io::ErrorKind::ReadOnlyFilesystem => "read-only file system",
        _ => return error.to_string(),
    };
    text.to_owned()
}

/// Source: Go `crypto/tls/alert.go: alertText`.
fn alert_text(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let text = match alert {
        A::CloseNotify => "close notify",
        A::UnexpectedMessage => "unexpected message",
        A::BadRecordMac => "bad record MAC",
        A::DecryptionFailed => "decryption failed",
        A::RecordOverflow => "record overflow",
        A::DecompressionFailure => "decompression failure",
        A::HandshakeFailure => "handshake failure",
        A::BadCertificate => "bad certificate",
        A::UnsupportedCertificate => "unsupported certificate",
        A::CertificateRevoked => "revoked certificate",
        A::CertificateExpired => "expired certificate",
        A::CertificateUnknown => "unknown certificate",
        A::IllegalParameter => "illegal parameter",
        A::UnknownCA => "unknown certificate authority",
        A::AccessDenied => "access denied",
        A::DecodeError => "error decoding message",
        A::DecryptError => "error decrypting message",
        A::ExportRestriction => "export restriction",
        A::ProtocolVersion => "protocol version not supported",
        A::InsufficientSecurity => "insufficient security level",
        A::InternalError => "internal error",
        A::InappropriateFallback => "inappropriate fallback",
        A::UserCanceled => "user canceled",
        A::NoRenegotiation => "no renegotiation",
        A::MissingExtension => "missing extension",
        A::UnsupportedExtension => "unsupported extension",
        A::CertificateUnobtainable => "certificate unobtainable",
        A::UnrecognisedName => "unrecognized name",
        A::BadCertificateStatusResponse => "bad certificate status response",
        A::BadCertificateHashValue => "bad certificate hash value",
        A::UnknownPSKIdentity => "unknown PSK identity",
        A::CertificateRequired => "certificate required",
        A::NoApplicationProtocol => "no application protocol",
        other => return format!("alert({})", u8::from(other)),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> SocketAddr {
        "10.98.0.1:10250".parse().expect("a literal address")
    }

    #[test]
    fn dial_errors_read_as_in_the_recordings() {
        let check = |kind: io::ErrorKind, text: &str| {
            assert_eq!(
                TransportError::dial(address(), &io::Error::from(kind)).text,
                text
            );
        };
        check(
            io::ErrorKind::ConnectionRefused,
            "dial tcp 10.98.0.1:10250: connect: connection refused",
        );
        check(
            io::ErrorKind::HostUnreachable,
            "dial tcp 10.98.0.1:10250: connect: no route to host",
        );
    }

    #[test]
    fn a_server_without_a_certificate_reads_as_in_the_recordings() {
        let alert = rustls::Error::AlertReceived(AlertDescription::InternalError);
        let error = io::Error::new(io::ErrorKind::InvalidData, alert);
        let error = TransportError::handshake(address(), &error, b"\x15\x03\x03\x00\x02");
        assert_eq!(
            error,
            TransportError::new(ErrorKind::Tls, "remote error: tls: internal error")
        );
    }

    #[test]
    fn a_plain_http_server_is_recognized_by_its_first_bytes() {
        let broken = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        let error = io::Error::new(io::ErrorKind::InvalidData, broken);
        let text = |first: &[u8]| TransportError::handshake(address(), &error, first).text;
        assert_eq!(
            text(b"HTTP/"),
            "http: server gave HTTP response to HTTPS client"
        );
        assert_eq!(
            text(b"SSH-2"),
            "tls: first record does not look like a TLS handshake"
        );
    }

    #[test]
    fn names_that_do_not_resolve_tell_which_server_said_so() {
        let server = Some("10.0.0.10:53".parse().expect("a literal address"));
        assert_eq!(
            TransportError::lookup("n-y", &LookupError::NoSuchHost { server }).text,
            "dial tcp: lookup n-y on 10.0.0.10:53: no such host"
        );
    }
}
