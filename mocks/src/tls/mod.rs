//! Both ends of TLS, on a machine's own clock.
//!
//! - [`verify`]: what Go's `crypto/x509` checks, in its order, in its words;
//! - [`text`]: TLS failures as Go prints them.
//!
//! Sessions are never resumed: a client looks at the certificate in every
//! handshake, so that an expiry takes effect with the next connection.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use seam::WallClock;

use crate::pki::Identity;

pub mod text;
pub mod verify;

pub use text::go_text;
pub use verify::VerificationError;

/// What a server wants to know about its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing: it does not ask.
    None,
    /// It asks for a certificate and takes any, or none: Go's
    /// `RequestClientCert`. The client proves that it holds the key; whether
    /// its name means something is for the HTTP layer to decide.
    Request,
}

/// What a client demands of a server's certificate.
#[derive(Debug, Clone)]
pub enum Verify {
    /// Nothing beyond the proof that the server holds the key: Go's
    /// `InsecureSkipVerify`.
    Insecure,
    /// That it leads to one of these authorities, is valid now, and names the
    /// server.
    Roots(Vec<CertificateDer<'static>>),
}

/// A server that shows `identity` and speaks HTTP/1.1.
///
/// # Panics
///
/// If the key of `identity` is not that of its certificate.
#[must_use]
pub fn server_config(
    identity: &Identity,
    clock: Arc<dyn WallClock>,
    clients: ClientAuth,
) -> Arc<ServerConfig> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ServerConfig::builder_with_details(provider, Arc::new(ValidationTime(clock)))
        .with_safe_default_protocol_versions()
        .expect(VERSIONS);
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Request => builder.with_client_cert_verifier(Arc::new(AnyClient(algorithms))),
    };
    let mut config = builder
        .with_single_cert(identity.chain().to_vec(), identity.key())
        .expect("an identity's key is its certificate's");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}

/// A client that demands what `verify` says, and shows `identity` to servers
/// that ask for a certificate.
///
/// # Panics
///
/// If the key of `identity` is not that of its certificate.
#[must_use]
pub fn client_config(
    verify: &Verify,
    identity: Option<&Identity>,
    clock: Arc<dyn WallClock>,
) -> Arc<ClientConfig> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier = GoVerifier {
        authorities: match verify {
            Verify::Insecure => None,
            Verify::Roots(roots) => Some(verify::Authorities::new(roots, algorithms)),
        },
        algorithms,
        clock: Arc::clone(&clock),
    };
    let builder = ClientConfig::builder_with_details(provider, Arc::new(ValidationTime(clock)))
        .with_safe_default_protocol_versions()
        .expect(VERSIONS)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain().to_vec(), identity.key())
            .expect("an identity's key is its certificate's"),
    };
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

const VERSIONS: &str = "ring supports the default protocol versions";

/// The algorithms that the process has installed, or else ring's.
fn provider() -> Arc<CryptoProvider> {
    let installed = CryptoProvider::get_default().cloned();
    installed.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

/// rustls' view of a machine's clock.
#[derive(Debug)]
struct ValidationTime(Arc<dyn WallClock>);

impl TimeProvider for ValidationTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_seconds()).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Verifies servers as Go does. Without authorities it only checks that the
/// server holds the key of the certificate it shows.
#[derive(Debug)]
struct GoVerifier {
    authorities: Option<verify::Authorities>,
    algorithms: WebPkiSupportedAlgorithms,
    clock: Arc<dyn WallClock>,
}

impl ServerCertVerifier for GoVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        // In whole seconds; Go compares with the clock's full resolution.
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(authorities) = &self.authorities {
            authorities
                .verify(leaf, intermediates, server_name, self.clock.now())
                .map_err(|error| CertificateError::Other(OtherError(Arc::new(error))))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Takes any client certificate whose key the client holds.
#[derive(Debug)]
struct AnyClient(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
