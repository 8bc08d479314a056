//! What Go's `crypto/x509` checks of a server's certificate: in its order and
//! in its words.
//!
//! The order decides what a certificate with several defects is refused for:
//! its own validity first, then the host name, then the chain.
//!
//! Source: crypto/x509/verify.go, `Certificate.Verify`, `isValid`,
//! `VerifyHostname`, `buildChains`.

use std::net::IpAddr;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use seam::Timestamp;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Why a certificate was refused. The texts are Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    /// It is not a certificate.
    #[error("x509: malformed certificate")]
    Malformed,
    /// It, or an authority above it, is not valid yet.
    #[error(
        "x509: certificate has expired or is not yet valid: current time {} is before {}",
        rfc3339(*.now), rfc3339(*.not_before)
    )]
    NotValidYet {
        /// What the verifier's clock shows.
        now: Timestamp,
        /// First second of validity.
        not_before: Timestamp,
    },
    /// It, or an authority above it, is no longer valid.
    #[error(
        "x509: certificate has expired or is not yet valid: current time {} is after {}",
        rfc3339(*.now), rfc3339(*.not_after)
    )]
    Expired {
        /// What the verifier's clock shows.
        now: Timestamp,
        /// Last second of validity.
        not_after: Timestamp,
    },
    /// The server was dialled by address and the certificate has none.
    #[error("x509: cannot validate certificate for {host} because it doesn't contain any IP SANs")]
    NoIpSans {
        /// The address.
        host: String,
    },
    /// The certificate names others.
    #[error("x509: certificate is valid for {names}, not {host}")]
    OtherNames {
        /// Its names, or addresses if `host` is one.
        names: String,
        /// The server's name.
        host: String,
    },
    /// The certificate names nobody.
    #[error("x509: certificate is not valid for any names, but wanted to match {host}")]
    NoNames {
        /// The server's name.
        host: String,
    },
    /// The certificate has its name where names were before 2000.
    #[error("x509: certificate relies on legacy Common Name field, use SANs instead")]
    LegacyCommonName,
    /// No known authority signed it.
    #[error("x509: certificate signed by unknown authority{}", hint(.suspect.as_deref()))]
    UnknownAuthority {
        /// An authority with the issuer's name that did not sign it.
        suspect: Option<String>,
    },
    /// It is not meant for servers.
    #[error("x509: certificate specifies an incompatible key usage")]
    IncompatibleUsage,
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_seconds())
        .map_or_else(|_| at.as_seconds().to_string(), |at| at.to_string())
}

/// The same name and another key: the authority was created anew.
///
/// DIFFERENCE: Go names the algorithm that failed, which in a real cluster is
/// RSA or ECDSA.
fn hint(suspect: Option<&str>) -> String {
    suspect.map_or_else(String::new, |name| {
        format!(
            " (possibly because of \"x509: Ed25519 verification failure\" while trying to verify \
             candidate authority certificate \"{name}\")"
        )
    })
}

/// The authorities that a client trusts.
#[derive(Debug)]
pub(super) struct Authorities {
    roots: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Authorities {
    /// What cannot be parsed is left out, as `CertPool.AppendCertsFromPEM`
    /// does.
    pub(super) fn new(
        roots: &[CertificateDer<'static>],
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        let roots = roots
            .iter()
            .filter(|root| X509Certificate::from_der(root).is_ok());
        Self {
            roots: roots.cloned().collect(),
            algorithms,
        }
    }

    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: Timestamp,
    ) -> Result<(), VerificationError> {
        let certificate = parse(leaf)?;
        check_validity(&certificate, now)?;
        check_name(&certificate, server_name)?;
        if self.roots.iter().any(|root| root.as_ref() == leaf.as_ref()) {
            return Ok(());
        }
        self.check_chain(leaf, &certificate, intermediates, now)
    }

    /// Go considers only authorities that are valid now, and remembers why it
    /// passed over the others.
    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), VerificationError> {
        let (valid, outdated): (Vec<_>, Vec<_>) = self
            .roots
            .iter()
            .partition(|root| parse(root).is_ok_and(|root| check_validity(&root, now).is_ok()));
        let Err(error) = self.chain_to(&valid, leaf, intermediates, now) else {
            return Ok(());
        };
        if matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
            )
        ) {
            return Err(VerificationError::IncompatibleUsage);
        }
        for other in outdated.into_iter().chain(intermediates) {
            let other_certificate = parse(other)?;
            let leads_there = self.chain_to(&[other], leaf, intermediates, now).is_ok();
            if leads_there {
                check_validity(&other_certificate, now)?;
            }
        }
        let suspect = self.roots.iter().find_map(|root| {
            let root = parse(root).ok()?;
            (root.subject().as_raw() == certificate.issuer().as_raw()).then(|| common_name(&root))
        });
        Err(VerificationError::UnknownAuthority { suspect })
    }

    fn chain_to(
        &self,
        anchors: &[&CertificateDer<'_>],
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), Error> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(anchors.iter().map(|anchor| (*anchor).clone()));
        let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(leaf)?,
            &store,
            intermediates,
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)),
            self.algorithms.all,
        )
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, VerificationError> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(_) => Err(VerificationError::Malformed),
    }
}

fn check_validity(
    certificate: &X509Certificate<'_>,
    now: Timestamp,
) -> Result<(), VerificationError> {
    let validity = certificate.validity();
    let not_before = Timestamp::from_seconds(validity.not_before.timestamp());
    let not_after = Timestamp::from_seconds(validity.not_after.timestamp());
    if now < not_before {
        Err(VerificationError::NotValidYet { now, not_before })
    } else if now > not_after {
        Err(VerificationError::Expired { now, not_after })
    } else {
        Ok(())
    }
}

fn check_name(
    certificate: &X509Certificate<'_>,
    server_name: &ServerName<'_>,
) -> Result<(), VerificationError> {
    let names = subject_alternative_names(certificate)?;
    match server_name {
        ServerName::IpAddress(address) => check_address(&names, IpAddr::from(*address)),
        name => check_host(certificate, &names, &name.to_str()),
    }
}

fn check_address(names: &[GeneralName<'_>], address: IpAddr) -> Result<(), VerificationError> {
    let addresses: Vec<IpAddr> = names.iter().filter_map(as_address).collect();
    let host = address.to_string();
    if addresses.contains(&address) {
        Ok(())
    } else if addresses.is_empty() {
        Err(VerificationError::NoIpSans { host })
    } else {
        let names: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        Err(VerificationError::OtherNames {
            names: names.join(", "),
            host,
        })
    }
}

fn check_host(
    certificate: &X509Certificate<'_>,
    names: &[GeneralName<'_>],
    host: &str,
) -> Result<(), VerificationError> {
    let dns: Vec<&str> = names.iter().filter_map(as_host).collect();
    if dns.iter().any(|pattern| host_matches(pattern, host)) {
        return Ok(());
    }
    let host = host.to_owned();
    if names.is_empty() && host_matches(&common_name(certificate), &host) {
        Err(VerificationError::LegacyCommonName)
    } else if dns.is_empty() {
        Err(VerificationError::NoNames { host })
    } else {
        Err(VerificationError::OtherNames {
            names: dns.join(", "),
            host,
        })
    }
}

fn subject_alternative_names<'a>(
    certificate: &X509Certificate<'a>,
) -> Result<Vec<GeneralName<'a>>, VerificationError> {
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| VerificationError::Malformed)?;
    Ok(extension.map_or_else(Vec::new, |found| found.value.general_names.clone()))
}

fn as_host<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::DNSName(host) => Some(host),
        _ => None,
    }
}

fn as_address(name: &GeneralName<'_>) -> Option<IpAddr> {
    let GeneralName::IPAddress(bytes) = name else {
        return None;
    };
    if let Ok(v4) = <[u8; 4]>::try_from(*bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from)
}

/// An asterisk stands for the whole first label and nothing else.
///
/// Source: crypto/x509/verify.go, `matchHostnames`.
fn host_matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(pattern), Some((_, host))) => pattern.eq_ignore_ascii_case(host),
        _ => !pattern.is_empty() && pattern.eq_ignore_ascii_case(host),
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> String {
    let name = certificate.subject().iter_common_name().next();
    name.and_then(|name| name.as_str().ok())
        .unwrap_or_default()
        .to_owned()
}
