//! TLS configurations on a machine's own clock.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use seam::WallClock;

use super::x509::{Authorities, X509Error, unix_time};

/// What every TLS configuration of a process shares: algorithms and clock.
#[derive(Clone)]
pub struct Tls {
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn WallClock>,
}

/// Whose server certificates are accepted.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those signed by these authorities.
    Authorities(Authorities),
    /// Any: `--kubelet-insecure-tls`.
    Anyone,
}

/// A certificate chain and the key to it.
#[derive(Debug)]
pub struct Identity {
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads a chain and a key in PEM.
    ///
    /// Source: Go `crypto/tls: X509KeyPair`.
    ///
    /// # Errors
    ///
    /// Go's text if either is missing.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain = certificates(certificate);
        if chain.is_empty() {
            return Err("tls: failed to find any PEM data in certificate input".to_owned());
        }
        match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => Ok(Self { chain, key }),
            Err(_) => Err("tls: failed to find any PEM data in key input".to_owned()),
        }
    }
}

/// The certificates in a PEM file; other blocks are skipped.
#[must_use]
pub fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem)
        .filter_map(Result::ok)
        .collect()
}

impl Tls {
    /// On this clock, with the algorithms that the process has installed, or
    /// else ring's.
    #[must_use]
    pub fn new(clock: Arc<dyn WallClock>) -> Self {
        let provider = CryptoProvider::get_default().cloned();
        Self {
            provider: provider
                .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider())),
            clock,
        }
    }

    /// The algorithms.
    #[must_use]
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn WallClock> {
        &self.clock
    }

    /// The clock as rustls asks for it.
    pub(crate) fn time_provider(&self) -> Arc<dyn TimeProvider> {
        Arc::new(HostTime(Arc::clone(&self.clock)))
    }

    /// A client's side.
    ///
    /// # Errors
    ///
    /// If the identity's key and certificate do not belong together.
    pub fn client(&self, trust: Trust, identity: Option<Identity>) -> Result<ClientConfig, String> {
        let verifier = GoVerifier {
            trust,
            tls: self.clone(),
        };
        let builder =
            ClientConfig::builder_with_details(Arc::clone(&self.provider), self.time_provider())
                .with_safe_default_protocol_versions()
                .expect("ring has cipher suites for TLS 1.2 and 1.3")
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain, identity.key)
                .map_err(|_| "tls: private key does not match public key".to_owned())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct HostTime(Arc<dyn WallClock>);

impl TimeProvider for HostTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.now()))
    }
}

/// Verifies a server as Go does, so that the first error is Go's.
///
/// DIFFERENCE: on failure rustls sends the alert `certificate_unknown`, where
/// Go sends `bad_certificate`.
#[derive(Debug)]
struct GoVerifier {
    trust: Trust,
    tls: Tls,
}

impl ServerCertVerifier for GoVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Trust::Authorities(authorities) = &self.trust {
            authorities
                .verify_server(
                    end_entity,
                    intermediates,
                    &server_name.to_str(),
                    self.tls.clock.now(),
                    &self.tls.provider.signature_verification_algorithms,
                )
                .map_err(refuse)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.tls.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.tls.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.tls
            .provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn refuse(error: X509Error) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}
