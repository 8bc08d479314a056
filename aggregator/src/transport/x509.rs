//! What Go's `crypto/x509` says of a certificate: the same checks in the same
//! order, with the same texts.

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error as TlsError};
use seam::Timestamp;
use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{AuthorityKeyIdentifier, ParsedExtension};
use x509_parser::prelude::FromDer;

use super::host_name::check_host;
use crate::klog::Quoted;

/// Why a certificate is not accepted, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct X509Error(pub String);

const UNKNOWN_AUTHORITY: &str = "x509: certificate signed by unknown authority";

/// Authorities that are trusted to sign certificates.
#[derive(Debug, Clone)]
pub struct Authorities {
    anchors: RootCertStore,
    known: Vec<Authority>,
}

#[derive(Debug, Clone)]
struct Authority {
    der: CertificateDer<'static>,
    subject: Vec<u8>,
    /// How Go names it in an error: common name, organization or serial.
    name: String,
    validity: Validity,
}

/// From when until when a certificate is valid, in Unix seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    not_before: i64,
    not_after: i64,
}

impl Authorities {
    /// When every one of them is valid.
    pub(crate) fn validity(&self) -> Validity {
        let always = Validity {
            not_before: i64::MIN,
            not_after: i64::MAX,
        };
        self.known
            .iter()
            .map(|authority| authority.validity)
            .fold(always, Validity::and)
    }

    /// Trusts these certificates. What is no certificate is left out, as Go's
    /// `CertPool` does.
    #[must_use]
    pub fn new(certificates: &[CertificateDer<'static>]) -> Self {
        let mut anchors = RootCertStore::empty();
        let mut known = Vec::new();
        for der in certificates {
            let Ok(parsed) = parse(der) else { continue };
            // webpki refuses some roots that Go takes; they can then still be
            // found by equality and named in errors.
            let _ = anchors.add(der.clone());
            known.push(Authority {
                der: der.clone(),
                subject: parsed.subject().as_raw().to_vec(),
                name: display_name(&parsed),
                validity: Validity::of(&parsed),
            });
        }
        Self { anchors, known }
    }

    /// The trust anchors, for webpki.
    #[must_use]
    pub fn anchors(&self) -> &RootCertStore {
        &self.anchors
    }

    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Verifies a server's certificate for `host`, a name or an address
    /// without brackets.
    ///
    /// Source: Go `crypto/x509: (*Certificate).Verify`: the leaf's own
    /// validity, then the name, then the chain.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn verify_server(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &str,
        now: Timestamp,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), X509Error> {
        let certificate = parse(leaf)?;
        Validity::of(&certificate).check(now)?;
        check_host(&certificate, host)?;
        self.verify_chain(leaf, &certificate, intermediates, now, |parsed| {
            verify_server_cert_signed_by_trust_anchor(
                parsed,
                &self.anchors,
                intermediates,
                unix_time(now),
                algorithms.all,
            )
        })
    }

    /// Verifies a chain by `webpki`, and says in Go's words what it says.
    pub(crate) fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        certificate: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
        webpki: impl FnOnce(&ParsedCertificate<'_>) -> Result<(), TlsError>,
    ) -> Result<(), X509Error> {
        if self.known.iter().any(|authority| authority.der == *leaf) {
            return Ok(());
        }
        let verdict = ParsedCertificate::try_from(leaf).and_then(|parsed| webpki(&parsed));
        match verdict {
            Ok(()) => self.check_issuers_validity(certificate, intermediates, now),
            Err(error) => Err(self.explain(&error, certificate, intermediates, now)),
        }
    }

    /// Go also wants the authority to be within its validity, which is of no
    /// interest to webpki.
    fn check_issuers_validity(
        &self,
        leaf: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), X509Error> {
        let mut verdict = Ok(());
        for authority in self.issuers_of(leaf, intermediates) {
            verdict = authority.validity.check(now);
            if verdict.is_ok() {
                break;
            }
        }
        verdict
    }

    /// Authorities named as issuer of the leaf or of an intermediate.
    fn issuers_of<'a>(
        &'a self,
        leaf: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> impl Iterator<Item = &'a Authority> {
        let mut issuers = vec![leaf.issuer().as_raw().to_vec()];
        for der in intermediates {
            if let Ok(intermediate) = parse(der) {
                issuers.push(intermediate.issuer().as_raw().to_vec());
            }
        }
        self.known
            .iter()
            .filter(move |authority| issuers.contains(&authority.subject))
    }

    fn explain(
        &self,
        error: &TlsError,
        leaf: &X509Certificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> X509Error {
        use CertificateError as E;
        let TlsError::InvalidCertificate(error) = error else {
            return X509Error("x509: malformed certificate".to_owned());
        };
        let text = match error {
            E::ExpiredContext { not_after, .. } => expired(now, "after", seconds(*not_after)),
            E::NotValidYetContext { not_before, .. } => {
                expired(now, "before", seconds(*not_before))
            }
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
                "x509: certificate specifies an incompatible key usage".to_owned()
            }
            E::BadEncoding => "x509: malformed certificate".to_owned(),
            E::BadSignature => match self.issuers_of(leaf, intermediates).next() {
                Some(candidate) => format!(
                    "{UNKNOWN_AUTHORITY} (possibly because of {} while trying to verify candidate authority \
                     certificate {})",
                    Quoted(signature_failure(leaf)),
                    Quoted(&candidate.name)
                ),
                None => UNKNOWN_AUTHORITY.to_owned(),
            },
            _ => UNKNOWN_AUTHORITY.to_owned(),
        };
        X509Error(text)
    }
}

impl Validity {
    /// When the certificate is valid.
    pub(crate) fn of(certificate: &X509Certificate<'_>) -> Self {
        Self {
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        }
    }

    /// When both are valid.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            not_before: self.not_before.max(other.not_before),
            not_after: self.not_after.min(other.not_after),
        }
    }

    /// # Errors
    ///
    /// Go's text if `now` lies outside.
    pub(crate) fn check(self, now: Timestamp) -> Result<(), X509Error> {
        if now < Timestamp::from_seconds(self.not_before) {
            return Err(X509Error(expired(now, "before", self.not_before)));
        }
        if now > Timestamp::from_seconds(self.not_after) {
            return Err(X509Error(expired(now, "after", self.not_after)));
        }
        Ok(())
    }
}

/// Checks that a certificate is within its own validity.
///
/// # Errors
///
/// Go's text if it is not.
pub(crate) fn check_validity(
    certificate: &X509Certificate<'_>,
    now: Timestamp,
) -> Result<(), X509Error> {
    Validity::of(certificate).check(now)
}

/// How the API server's logs tell one certificate from another.
///
/// Source: lib: apiserver `pkg/authentication/request/x509/x509.go:
/// certificateIdentifier`.
pub(crate) fn identity(certificate: &X509Certificate<'_>) -> String {
    let hex = |bytes: &[u8]| {
        let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    };
    let (mut subject_key, mut authority_key) = (String::new(), String::new());
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(key) => subject_key = hex(key.0),
            ParsedExtension::AuthorityKeyIdentifier(AuthorityKeyIdentifier {
                key_identifier: Some(key),
                ..
            }) => {
                authority_key = hex(key.0);
            }
            _ => {}
        }
    }
    format!(
        "SN={}, SKID={subject_key}, AKID={authority_key}",
        certificate.tbs_certificate.serial
    )
}

/// Reads a certificate.
///
/// # Errors
///
/// If it is none.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, X509Error> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(_) => Err(X509Error("x509: malformed certificate".to_owned())),
    }
}

/// The time as webpki takes it; times before 1970 become 1970.
pub(crate) fn unix_time(now: Timestamp) -> UnixTime {
    let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

fn expired(now: Timestamp, relation: &str, limit: i64) -> String {
    format!(
        "x509: certificate has expired or is not yet valid: current time {} is {relation} {}",
        rfc3339(now.as_seconds()),
        rfc3339(limit)
    )
}

fn rfc3339(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("@{seconds}"),
    }
}

fn display_name(certificate: &X509Certificate<'_>) -> String {
    let subject = certificate.subject();
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        attribute.as_str().ok().map(str::to_owned)
    };
    let common = subject.iter_common_name().next().and_then(text);
    let named = common.or_else(|| subject.iter_organization().next().and_then(text));
    named.unwrap_or_else(|| format!("serial:{}", certificate.tbs_certificate.serial))
}

/// What Go's signature check says, by the algorithm of the signature.
fn signature_failure(certificate: &X509Certificate<'_>) -> &'static str {
    match certificate
        .signature_algorithm
        .algorithm
        .to_id_string()
        .as_str()
    {
        "1.3.101.112" => "x509: Ed25519 verification failure",
        oid if oid.starts_with("1.2.840.10045.4.") => "x509: ECDSA verification failure",
        _ => "crypto/rsa: verification error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use std::time::Duration;

    const START: i64 = 1_700_000_000;

    struct Pki {
        authority: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    fn params(names: &[&str], from: i64, days: u64) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("valid names");
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(u64::try_from(from).expect("after 1970"));
        params.not_after = params.not_before + Duration::from_secs(days * 86_400);
        params
    }

    fn authority(name: &str, days: u64) -> Pki {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let mut params = params(&[], START, days);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate");
        Pki {
            authority: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn leaf(pki: &Pki, names: &[&str]) -> CertificateDer<'static> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        params(names, START, 30)
            .signed_by(&key, &pki.issuer)
            .expect("a certificate")
            .der()
            .clone()
    }

    fn check(trusted: &Pki, leaf: &CertificateDer<'_>, host: &str, days: i64, expected: &str) {
        let now = Timestamp::from_seconds(START + days * 86_400);
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let authorities = Authorities::new(std::slice::from_ref(&trusted.authority));
        let verdict = authorities.verify_server(leaf, &[], host, now, &algorithms);
        assert_eq!(
            verdict.map_or_else(|error| error.0, |()| String::new()),
            expected
        );
    }

    #[test]
    fn a_good_certificate_is_accepted() {
        let pki = authority("kubernetes", 100);
        let leaf = leaf(&pki, &["10.0.0.1", "node-1", "*.example.org"]);
        for host in ["10.0.0.1", "node-1", "NODE-1", "a.example.org"] {
            check(&pki, &leaf, host, 1, "");
        }
    }

    #[test]
    fn host_errors_list_what_the_certificate_is_for() {
        let pki = authority("kubernetes", 100);
        let leaf = leaf(&pki, &["10.0.0.1", "10.0.0.2", "a.b.example.org", "node-1"]);
        check(
            &pki,
            &leaf,
            "10.0.0.9",
            1,
            "x509: certificate is valid for 10.0.0.1, 10.0.0.2, not 10.0.0.9",
        );
        check(
            &pki,
            &leaf,
            "node-2",
            1,
            "x509: certificate is valid for a.b.example.org, node-1, not node-2",
        );
    }

    #[test]
    fn a_certificate_without_addresses_is_not_for_an_address() {
        let pki = authority("kubernetes", 100);
        check(
            &pki,
            &leaf(&pki, &["node-1"]),
            "10.0.0.1",
            1,
            "x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs",
        );
    }

    #[test]
    fn time_is_told_before_the_name_and_the_name_before_the_authority() {
        let pki = authority("kubernetes", 100);
        let foreign = leaf(&authority("other", 100), &["node-1"]);
        check(
            &pki,
            &foreign,
            "node-2",
            -1,
            "x509: certificate has expired or is not yet valid: current time 2023-11-13T22:13:20Z is before \
             2023-11-14T22:13:20Z",
        );
        check(
            &pki,
            &foreign,
            "node-2",
            31,
            "x509: certificate has expired or is not yet valid: current time 2023-12-15T22:13:20Z is after \
             2023-12-14T22:13:20Z",
        );
        check(
            &pki,
            &foreign,
            "node-2",
            1,
            "x509: certificate is valid for node-1, not node-2",
        );
        check(
            &pki,
            &foreign,
            "node-1",
            1,
            "x509: certificate signed by unknown authority",
        );
    }

    #[test]
    fn an_authority_of_the_same_name_with_another_key_is_named() {
        check(
            &authority("kubernetes", 100),
            &leaf(&authority("kubernetes", 100), &["node-1"]),
            "node-1",
            1,
            "x509: certificate signed by unknown authority (possibly because of \"x509: Ed25519 verification \
             failure\" while trying to verify candidate authority certificate \"kubernetes\")",
        );
    }

    #[test]
    fn an_expired_authority_fails_the_chain() {
        let pki = authority("kubernetes", 10);
        check(
            &pki,
            &leaf(&pki, &["node-1"]),
            "node-1",
            20,
            "x509: certificate has expired or is not yet valid: current time 2023-12-04T22:13:20Z is after \
             2023-11-24T22:13:20Z",
        );
    }
}
