//! Authorities and certificates from a seed.
//!
//! Every byte of a certificate follows from its [`Leaf`] or its authority's
//! arguments: keys are Ed25519, whose signatures need no randomness; serials
//! and dates are explicit. Lengths are constant too, so that the sizes of TLS
//! records, and with them the order of events in a simulation, do not depend
//! on the seed.
//!
//! DIFFERENCE: Kubernetes issues RSA-2048 or ECDSA P-256 keys. Neither the
//! texts nor the rules of verification depend on the algorithm.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use seam::Timestamp;
use sha2::{Digest, Sha256};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    /// The authority whose key derives from `seed`; its certificate is
    /// self-signed.
    #[must_use]
    pub fn new(seed: &str, common_name: &str, not_before: Timestamp, not_after: Timestamp) -> Self {
        let key = key_pair(seed);
        let mut parameters = parameters(seed, not_before, not_after);
        parameters
            .distinguished_name
            .push(DnType::CommonName, common_name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ];
        let certificate = parameters.self_signed(&key).expect(SIGNS);
        Self {
            issuer: Issuer::new(parameters, key),
            certificate,
        }
    }

    /// The authority's certificate.
    #[must_use]
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// The authority's certificate in PEM, as a `ca.crt`.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for `leaf`, signed by this authority. The chain that is
    /// presented holds the leaf alone, as a kubelet's does.
    ///
    /// # Panics
    ///
    /// As [`Identity::self_signed`].
    #[must_use]
    pub fn issue(&self, leaf: &Leaf) -> Identity {
        let key = key_pair(&leaf.seed);
        let certificate = leaf
            .parameters()
            .signed_by(&key, &self.issuer)
            .expect(SIGNS);
        Identity::new(&certificate, &key)
    }
}

/// What a certificate says about its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The key and the serial number derive from it.
    pub seed: String,
    /// Subject CN.
    pub common_name: String,
    /// Subject O. At most one: the encoder writes one value per attribute.
    pub organizations: Vec<String>,
    /// Subject alternative names: host names.
    pub dns: Vec<String>,
    /// Subject alternative names: addresses.
    pub ips: Vec<IpAddr>,
    /// First second of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// What it may be used for.
    pub usage: Usage,
}

/// The extended key usage of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// `serverAuth`
    Server,
    /// `clientAuth`
    Client,
    /// Both.
    Both,
}

impl Leaf {
    fn parameters(&self) -> CertificateParams {
        assert!(
            self.organizations.len() <= 1,
            "a certificate here has at most one organization"
        );
        let mut parameters = parameters(&self.seed, self.not_before, self.not_after);
        for organization in &self.organizations {
            parameters
                .distinguished_name
                .push(DnType::OrganizationName, organization.as_str());
        }
        parameters
            .distinguished_name
            .push(DnType::CommonName, self.common_name.as_str());
        let names = self
            .dns
            .iter()
            .map(|name| SanType::DnsName(name.as_str().try_into().expect("host names are ASCII")));
        let addresses = self.ips.iter().map(|ip| SanType::IpAddress(*ip));
        parameters.subject_alt_names = names.chain(addresses).collect();
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = match self.usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Both => vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        };
        parameters
    }
}

/// A certificate and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    certificate_pem: String,
    key: Vec<u8>,
    key_pem: String,
}

impl Identity {
    /// A certificate that nobody but its holder vouches for.
    ///
    /// # Panics
    ///
    /// If a host name is not ASCII or there is more than one organization.
    #[must_use]
    pub fn self_signed(leaf: &Leaf) -> Self {
        let key = key_pair(&leaf.seed);
        let certificate = leaf.parameters().self_signed(&key).expect(SIGNS);
        Self::new(&certificate, &key)
    }

    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            chain: vec![certificate.der().clone()],
            certificate_pem: certificate.pem(),
            key: key.serialize_der(),
            key_pem: key.serialize_pem(),
        }
    }

    /// The certificates presented in a handshake, the holder's own first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The certificate in PEM, as a `tls.crt`.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.certificate_pem.clone()
    }

    /// The private key in PEM, as a `tls.key`.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key_pem.clone()
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

/// The Ed25519 private key that derives from `seed`, as a PKCS#8 document of
/// 48 bytes.
#[must_use]
pub fn ed25519_pkcs8(seed: &str) -> Vec<u8> {
    // RFC 8410 §7: version 0, algorithm 1.3.101.112, and the key as an octet
    // string inside an octet string.
    const HEADER: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let mut document = HEADER.to_vec();
    document.extend_from_slice(&derive("ed25519", seed));
    document
}

const SIGNS: &str = "signing needs only the parameters, which are ours";

fn key_pair(seed: &str) -> KeyPair {
    let document = PrivatePkcs8KeyDer::from(ed25519_pkcs8(seed));
    KeyPair::from_pkcs8_der_and_sign_algo(&document, &PKCS_ED25519)
        .expect("32 bytes of anything are an Ed25519 private key")
}

fn parameters(seed: &str, not_before: Timestamp, not_after: Timestamp) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.serial_number = Some(serial(seed));
    // `time::OffsetDateTime`, which this crate has no other reason to name.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let date = |at: Timestamp| {
        let seconds = Duration::from_secs(at.as_seconds().unsigned_abs());
        if at < Timestamp::EPOCH {
            epoch - seconds
        } else {
            epoch + seconds
        }
    };
    parameters.not_before = date(not_before);
    parameters.not_after = date(not_after);
    parameters
}

/// A serial number of 16 bytes whose first byte is neither zero nor negative:
/// DER would drop the one and pad the other, and lengths would vary.
fn serial(seed: &str) -> SerialNumber {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&derive("serial", seed)[..16]);
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn derive(purpose: &str, seed: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(purpose);
    hash.update([0]);
    hash.update(seed);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_767_268_800);

    fn leaf(seed: &str) -> Leaf {
        Leaf {
            seed: seed.to_owned(),
            common_name: "system:node:pi".to_owned(),
            organizations: vec!["system:nodes".to_owned()],
            dns: vec!["pi".to_owned()],
            ips: vec!["10.0.0.5".parse().unwrap()],
            not_before: NOON,
            not_after: NOON.after(Duration::from_secs(86_400)),
            usage: Usage::Server,
        }
    }

    fn authority(seed: &str) -> Authority {
        Authority::new(
            seed,
            "cluster-ca",
            NOON,
            NOON.after(Duration::from_secs(86_400)),
        )
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(authority("a").pem(), authority("a").pem());
        assert_ne!(authority("a").pem(), authority("b").pem());
        let issued = authority("a").issue(&leaf("n"));
        assert_eq!(issued, authority("a").issue(&leaf("n")));
        assert_ne!(issued, authority("b").issue(&leaf("n")));
        assert_ne!(issued, authority("a").issue(&leaf("m")));
        assert_eq!(
            Identity::self_signed(&leaf("n")),
            Identity::self_signed(&leaf("n"))
        );
    }

    /// Goal: no seed shifts the size of a handshake. Leading zero bytes in a
    /// serial, a key identifier or a signature would show in about one seed of
    /// 256 each.
    #[test]
    fn lengths_do_not_depend_on_the_seed() {
        let lengths = |seed: u32| {
            let authority = authority(&format!("ca-{seed}"));
            let issued = authority.issue(&leaf(&format!("leaf-{seed}")));
            let own = Identity::self_signed(&leaf(&format!("leaf-{seed}")));
            [
                authority.certificate().len(),
                issued.chain()[0].len(),
                own.chain()[0].len(),
                issued.key.len(),
            ]
        };
        let first = lengths(0);
        for seed in 1..300 {
            assert_eq!(lengths(seed), first, "seed {seed}");
        }
    }

    #[test]
    fn certificates_say_what_the_leaf_says() {
        let issued = authority("a").issue(&leaf("n"));
        let (rest, certificate) = x509_parser::parse_x509_certificate(&issued.chain()[0]).unwrap();
        assert!(rest.is_empty());
        assert_eq!(
            certificate.subject().to_string(),
            "O=system:nodes, CN=system:node:pi"
        );
        assert_eq!(certificate.issuer().to_string(), "CN=cluster-ca");
        assert_eq!(
            certificate.validity().not_before.timestamp(),
            NOON.as_seconds()
        );
        assert_eq!(
            certificate.validity().not_after.timestamp(),
            NOON.as_seconds() + 86_400
        );
        assert!(!certificate.is_ca());
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 2);
    }

    #[test]
    fn dates_before_1970_are_dates() {
        let early = Leaf {
            not_before: Timestamp::from_seconds(-86_400),
            ..leaf("n")
        };
        let identity = Identity::self_signed(&early);
        let (_, certificate) = x509_parser::parse_x509_certificate(&identity.chain()[0]).unwrap();
        assert_eq!(certificate.validity().not_before.timestamp(), -86_400);
    }
}
