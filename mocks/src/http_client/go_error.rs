//! Failures of an exchange, in the words of Go's `net/http`.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use http::Method;
use seam::InTheWay;

use super::OutgoingRequest;
use crate::event::Outcome;
use crate::tls::go_text;

/// How far an exchange got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No answer's headers arrived: `http.Client.Do` fails.
    Headers,
    /// They did: reading the body fails.
    Body,
}

/// Why there was no answer, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    /// What it was, for the record.
    pub outcome: Outcome,
    /// What Go prints after `Get "https://…": `.
    pub text: String,
    /// How far the exchange got.
    pub stage: Stage,
    method: Method,
    url: String,
}

impl ClientError {
    /// The request's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for ClientError {
    /// Go's whole text: `Get "https://10.42.0.9:10250/readyz": EOF`; for a
    /// failure while reading the body, which is no `url.Error`, the text alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stage == Stage::Headers {
            let (first, rest) = self.method.as_str().split_at(1);
            write!(f, "{first}{} \"{}\": ", rest.to_ascii_lowercase(), self.url)?;
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for ClientError {}

/// A failure that does not yet know its request.
#[derive(Debug)]
pub(super) struct Failure {
    outcome: Outcome,
    text: String,
}

impl Failure {
    pub(super) fn new(outcome: Outcome, text: impl Into<String>) -> Self {
        Self {
            outcome,
            text: text.into(),
        }
    }

    pub(super) fn of(self, request: &OutgoingRequest, stage: Stage) -> ClientError {
        ClientError {
            outcome: self.outcome,
            text: self.text,
            stage,
            method: request.method.clone(),
            url: request.target.url(request.path.as_str()),
        }
    }

    /// `http.Client.Timeout` passed.
    ///
    /// Go versions differ in what they print before the parenthesis; this is
    /// what Go 1.23 and later do at every point before the answer.
    pub(super) fn client_timeout(stage: Stage) -> Self {
        let during = match stage {
            Stage::Headers => "Client.Timeout exceeded while awaiting headers",
            Stage::Body => "Client.Timeout or context cancellation while reading body",
        };
        Self::new(
            Outcome::Timeout,
            format!("context deadline exceeded ({during})"),
        )
    }

    pub(super) fn dial_timeout(address: SocketAddr) -> Self {
        Self::new(Outcome::Timeout, format!("dial tcp {address}: i/o timeout"))
    }

    pub(super) fn tls_timeout() -> Self {
        Self::new(Outcome::Timeout, "net/http: TLS handshake timeout")
    }

    /// `connect(2)` failed.
    pub(super) fn dial(address: SocketAddr, error: &io::Error) -> Self {
        if let Some(in_the_way) = InTheWay::of(error) {
            return Self::new(Outcome::Unreachable, in_the_way.to_string());
        }
        let (outcome, cause) = match error.kind() {
            io::ErrorKind::ConnectionRefused => (Outcome::Refused, "connection refused"),
            io::ErrorKind::HostUnreachable => (Outcome::Unreachable, "no route to host"),
            io::ErrorKind::NetworkUnreachable => (Outcome::Unreachable, "network is unreachable"),
            io::ErrorKind::TimedOut => (Outcome::Timeout, "connection timed out"),
            io::ErrorKind::ConnectionReset => (Outcome::Reset, "connection reset by peer"),
            _ => return Self::new(Outcome::Unreachable, format!("dial tcp {address}: {error}")),
        };
        Self::new(outcome, format!("dial tcp {address}: connect: {cause}"))
    }

    /// A connection failed in its TLS handshake, between or within messages.
    ///
    /// DIFFERENCE: Go prints both ends, `read tcp 10.42.0.1:47060->10.42.0.9:10250:
    /// …`. The near end's port is not known here, and is left out as Go leaves
    /// out an address it does not know.
    pub(super) fn io(peer: SocketAddr, error: &io::Error) -> Self {
        if let Some(text) = go_text(error) {
            return Self::new(Outcome::Tls, text);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::new(Outcome::Reset, "EOF"),
            io::ErrorKind::ConnectionReset => Self::new(
                Outcome::Reset,
                format!("read tcp {peer}: read: connection reset by peer"),
            ),
            io::ErrorKind::BrokenPipe => Self::new(
                Outcome::Reset,
                format!("write tcp {peer}: write: broken pipe"),
            ),
            _ => Self::new(Outcome::Reset, format!("read tcp {peer}: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client::Target;
    use std::rc::Rc;

    fn peer() -> SocketAddr {
        "10.42.0.9:10250".parse().expect("an address")
    }

    #[test]
    fn dial_failures_read_as_in_go() {
        let text = |kind: io::ErrorKind| Failure::dial(peer(), &kind.into()).text;
        assert_eq!(
            text(io::ErrorKind::ConnectionRefused),
            "dial tcp 10.42.0.9:10250: connect: connection refused"
        );
        assert_eq!(
            text(io::ErrorKind::HostUnreachable),
            "dial tcp 10.42.0.9:10250: connect: no route to host"
        );
        assert_eq!(
            Failure::dial_timeout(peer()).text,
            "dial tcp 10.42.0.9:10250: i/o timeout"
        );
    }

    /// Source: kubernetes-sigs/metrics-server#1084, k0sproject/k0s#5503: what a
    /// proxy or tunnel says stands by itself.
    #[test]
    fn what_stands_in_the_way_is_all_that_is_said() {
        let error = io::Error::other(InTheWay("No agent available".to_owned()));
        let failure = Failure::dial(peer(), &error);
        assert_eq!(failure.text, "No agent available");
        assert_eq!(failure.outcome, Outcome::Unreachable);
    }

    #[test]
    fn lost_connections_read_as_in_go() {
        let failure = |kind: io::ErrorKind| Failure::io(peer(), &kind.into());
        assert_eq!(failure(io::ErrorKind::UnexpectedEof).text, "EOF");
        let reset = failure(io::ErrorKind::ConnectionReset);
        assert_eq!(reset.outcome, Outcome::Reset);
        assert_eq!(
            reset.text,
            "read tcp 10.42.0.9:10250: read: connection reset by peer"
        );
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::InternalError);
        let alert = Failure::io(peer(), &io::Error::new(io::ErrorKind::InvalidData, alert));
        assert_eq!(alert.outcome, Outcome::Tls);
        assert_eq!(alert.text, "remote error: tls: internal error");
    }

    #[test]
    fn the_url_is_named_only_before_the_answer() {
        let target = Rc::new(Target::https(peer()));
        let path = http::uri::PathAndQuery::from_static("/readyz?verbose");
        let request = OutgoingRequest::get(&target, path);
        let text = |stage| {
            Failure::client_timeout(stage)
                .of(&request, stage)
                .to_string()
        };
        assert_eq!(
            text(Stage::Headers),
            "Get \"https://10.42.0.9:10250/readyz?verbose\": context deadline exceeded \
             (Client.Timeout exceeded while awaiting headers)"
        );
        assert_eq!(
            text(Stage::Body),
            "context deadline exceeded (Client.Timeout or context cancellation while reading body)"
        );
    }
}
