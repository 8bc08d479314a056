//! The serving side of TLS.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::version::{TLS12, TLS13};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme, SupportedProtocolVersion,
};

use crate::klog::Quoted;
use crate::options::ServingOptions;
use crate::transport::tls::{Identity, Tls};

static FROM_1_2: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static FROM_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

/// Which TLS versions `--tls-min-version` leaves. TLS 1.0 and 1.1 are not
/// spoken whatever it says.
///
/// # Errors
///
/// Go's text for an unknown name.
pub fn versions(minimum: &str) -> Result<&'static [&'static SupportedProtocolVersion], String> {
    match minimum {
        "" | "VersionTLS10" | "VersionTLS11" | "VersionTLS12" => Ok(FROM_1_2),
        "VersionTLS13" => Ok(FROM_1_3),
        other => Err(format!("unknown tls version {}", Quoted(other))),
    }
}

/// The configuration that every connection is accepted with. A client may
/// present any certificate; whether it is worth anything is a matter of
/// authentication.
///
/// Source: lib: apiserver `pkg/server/secure_serving.go: tlsConfig`, with
/// `ClientAuth: tls.RequestClientCert`.
///
/// # Errors
///
/// As [`versions`], and if the key is not the certificate's.
pub fn config(
    tls: &Tls,
    identity: Identity,
    options: &ServingOptions,
) -> Result<Arc<ServerConfig>, String> {
    let mut config =
        ServerConfig::builder_with_details(Arc::clone(tls.provider()), tls.time_provider())
            .with_protocol_versions(versions(&options.tls_min_version)?)
            .expect("ring has cipher suites for TLS 1.2 and 1.3")
            .with_client_cert_verifier(Arc::new(AnyCertificate(tls.clone())))
            .with_single_cert(identity.chain, identity.key)
            .map_err(|_| "tls: private key does not match public key".to_owned())?;
    config.alpn_protocols = if options.disable_http2 {
        vec![b"http/1.1".to_vec()]
    } else {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    };
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Asks for a certificate and takes what comes, provided that the client has
/// its key.
#[derive(Debug)]
struct AnyCertificate(Tls);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// DIFFERENCE: Go names the authorities it knows; no client here chooses
    /// its certificate by that.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
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
            &self.0.provider().signature_verification_algorithms,
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
            &self.0.provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0
            .provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_tls_version_is_refused_in_gos_words() {
        assert_eq!(
            versions("x").err(),
            Some("unknown tls version \"x\"".to_owned())
        );
        assert_eq!(versions("VersionTLS13").map(<[_]>::len), Ok(1));
    }
}
