//! Clients without manners: blocking sockets, with and without TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::cluster::Cluster;

/// A connection without TLS.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) fn connect(cluster: &Cluster) -> Self {
        Self(TcpStream::connect(cluster.address()).expect("the server listens"))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // A server may hang up as soon as it has seen enough.
        let _ = self.0.write_all(bytes);
    }

    /// Says that nothing more will come, and reads what is answered.
    pub(crate) fn read_to_end_after_closing(&mut self) -> String {
        let _ = self.0.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        // A reset is an end too.
        let _ = self.0.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A connection under TLS.
pub(crate) struct Secure(StreamOwned<ClientConnection, TcpStream>);

/// A status and a body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Secure {
    pub(crate) fn connect(cluster: &Cluster) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(cluster.authority_pem().as_bytes());
        roots
            .add(authority.expect("it is PEM"))
            .expect("it is a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::from(cluster.address().ip());
        let connection = ClientConnection::new(Arc::new(config), name).expect("the name is valid");
        let stream = TcpStream::connect(cluster.address()).expect("the server listens");
        Self(StreamOwned::new(connection, stream))
    }

    /// Shakes hands now, and sends what is waiting to be sent.
    pub(crate) fn handshake(&mut self) {
        self.0.flush().expect("the server shakes hands");
        while self.0.conn.is_handshaking() {
            self.0
                .conn
                .complete_io(&mut self.0.sock)
                .expect("the server shakes hands");
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        assert!(self.try_send(bytes), "the server reads");
    }

    /// Sends; returns whether the server still listens.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.0
            .write_all(bytes)
            .and_then(|()| self.0.flush())
            .is_ok()
    }

    /// Sends a request without a body, after which the server may hang up.
    pub(crate) fn request(&mut self, method: &str, target: &str, token: &str) {
        let authorization = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        self.send(
            format!(
                "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\r\n"
            )
            .as_bytes(),
        );
    }

    /// Sends a GET and reads its answer.
    pub(crate) fn get(&mut self, path: &str, token: &str) -> Answer {
        self.request("GET", path, token);
        self.answer()
    }

    /// Reads until the server hangs up.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer().expect("the server answers")
    }

    pub(crate) fn try_answer(&mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Some servers hang up without a farewell.
                Err(_) => break,
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body = match head.to_lowercase().contains("transfer-encoding: chunked") {
            true => unchunk(body),
            false => body.to_owned(),
        };
        Some(Answer { status, body })
    }
}

fn unchunk(mut text: &str) -> String {
    let mut out = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        if length == 0 {
            break;
        }
        let end = length.min(rest.len());
        out.push_str(&rest[..end]);
        text = rest[end..].trim_start_matches("\r\n");
    }
    out
}

/// This process's resident memory, where the system tells.
pub(crate) fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
