//! Ed25519 where only the name of the key matters.
//!
//! Whoever signs a handshake writes a digest of the message and its own public
//! key, of the size of a signature. It proves nothing to a stranger, but in a
//! simulation nobody pretends to hold a key; whoever holds another than that
//! of the certificate it shows is found out all the same.
//!
//! Certificates bear real signatures, which their authorities made. Each is
//! verified once per thread: the same certificate is shown in every handshake.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::crypto::{KeyProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm,
    SubjectPublicKeyInfoDer, alg_id,
};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256};

/// Bytes of an Ed25519 public key, which end its `SubjectPublicKeyInfo`.
const PUBLIC_KEY: usize = 32;

/// What tells a digest from a signature: half of its bytes.
const MARK: &[u8; 32] = b"firstlight: signed in simulation";

/// How many verified certificates a thread remembers: more than a run has.
const REMEMBERED: usize = 8192;

/// What a holder of `public_key` writes under `message`.
fn named(public_key: &[u8], message: &[u8]) -> [u8; 64] {
    let digest = Sha256::new()
        .chain_update(public_key)
        .chain_update(message)
        .finalize();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(MARK);
    signature[32..].copy_from_slice(&digest);
    signature
}

/// Loads keys as ring does; those of Ed25519 sign with their name.
#[derive(Debug)]
pub(super) struct NamingKeys;

impl KeyProvider for NamingKeys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let ring = rustls::crypto::ring::default_provider().key_provider;
        let real = ring.load_private_key(key)?;
        let public_key = match (real.algorithm(), real.public_key()) {
            (SignatureAlgorithm::ED25519, Some(info)) => info.last_chunk::<PUBLIC_KEY>().copied(),
            _ => None,
        };
        Ok(match public_key {
            Some(public_key) => Arc::new(NamingKey { real, public_key }),
            None => real,
        })
    }
}

#[derive(Debug)]
struct NamingKey {
    real: Arc<dyn SigningKey>,
    public_key: [u8; PUBLIC_KEY],
}

impl SigningKey for NamingKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let offered = offered.contains(&SignatureScheme::ED25519);
        offered.then(|| Box::new(NamingSigner(self.public_key)) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.real.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

#[derive(Debug)]
struct NamingSigner([u8; PUBLIC_KEY]);

impl Signer for NamingSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(named(&self.0, message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// `real`, where Ed25519 takes a named key for a signature too.
pub(super) fn algorithms(real: WebPkiSupportedAlgorithms) -> WebPkiSupportedAlgorithms {
    type Algorithm = &'static dyn SignatureVerificationAlgorithm;
    fn replaced(algorithms: &[Algorithm]) -> &'static [Algorithm] {
        let all = algorithms.iter().map(|algorithm| {
            match algorithm.signature_alg_id() == alg_id::ED25519 {
                true => &NamedOrReal as Algorithm,
                false => *algorithm,
            }
        });
        // As long-lived as the process, which has one provider.
        Vec::leak(all.collect())
    }
    let mapping = real.mapping.iter();
    let mapping = mapping.map(|(scheme, algorithms)| (*scheme, replaced(algorithms)));
    WebPkiSupportedAlgorithms {
        all: replaced(real.all),
        mapping: Vec::leak(mapping.collect()),
    }
}

/// Ed25519 of handshakes without secrets, and of real certificates.
#[derive(Debug)]
struct NamedOrReal;

/// A certificate's signature, with what it was verified for.
type Verified = BTreeMap<Vec<u8>, (Vec<u8>, Vec<u8>)>;

thread_local! {
    static VERIFIED: RefCell<Verified> = const { RefCell::new(BTreeMap::new()) };
}

impl SignatureVerificationAlgorithm for NamedOrReal {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        if signature.starts_with(MARK) {
            return match signature == named(public_key, message) {
                true => Ok(()),
                false => Err(InvalidSignature),
            };
        }
        VERIFIED.with_borrow_mut(|verified| {
            let known = verified.get(signature);
            if known.is_some_and(|(key, signed)| key == public_key && signed == message) {
                return Ok(());
            }
            webpki_ed25519().verify_signature(public_key, message, signature)?;
            if verified.len() == REMEMBERED {
                verified.clear();
            }
            let what = (public_key.to_vec(), message.to_vec());
            verified.insert(signature.to_vec(), what);
            Ok(())
        })
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}

/// ring's own verification.
fn webpki_ed25519() -> &'static dyn SignatureVerificationAlgorithm {
    let all = rustls::crypto::ring::default_provider()
        .signature_verification_algorithms
        .all;
    let ed25519 = |algorithm: &&&'static dyn SignatureVerificationAlgorithm| {
        algorithm.signature_alg_id() == alg_id::ED25519
    };
    *all.iter().find(ed25519).expect("ring has Ed25519")
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn key(seed: u8) -> Arc<dyn SigningKey> {
        let mut pkcs8 = hex("302e020100300506032b657004220420");
        pkcs8.extend([seed; 32]);
        NamingKeys
            .load_private_key(PrivatePkcs8KeyDer::from(pkcs8).into())
            .expect("a key of Ed25519")
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|pair| {
                let pair = std::str::from_utf8(pair).expect("ASCII");
                u8::from_str_radix(pair, 16).expect("hexadecimal")
            })
            .collect()
    }

    fn public(key: &dyn SigningKey) -> Vec<u8> {
        let info = key.public_key().expect("Ed25519 has one");
        info[info.len() - PUBLIC_KEY..].to_vec()
    }

    fn sign(key: &dyn SigningKey, message: &[u8]) -> Vec<u8> {
        let signer = key.choose_scheme(&[SignatureScheme::ED25519]);
        signer.expect("offered").sign(message).expect("it can")
    }

    #[test]
    fn only_the_holder_of_the_key_and_the_message_that_was_signed_pass() {
        let (one, other) = (key(1), key(2));
        let signature = sign(&*one, b"hello");
        assert_eq!(signature.len(), 64);
        let verify = |key: &dyn SigningKey, message: &[u8]| {
            NamedOrReal.verify_signature(&public(key), message, &signature)
        };
        assert!(verify(&*one, b"hello").is_ok());
        assert!(verify(&*one, b"hullo").is_err());
        assert!(verify(&*other, b"hello").is_err());
    }

    /// Goal: what ring signed is verified, and remembering it lets nothing
    /// else pass. Method: ring's own signer.
    #[test]
    fn real_signatures_are_verified() {
        let mut pkcs8 = hex("302e020100300506032b657004220420");
        pkcs8.extend([3; 32]);
        let ring = rustls::crypto::ring::default_provider().key_provider;
        let real = ring
            .load_private_key(PrivatePkcs8KeyDer::from(pkcs8).into())
            .expect("a key of Ed25519");
        let mut signature = sign(&*real, b"certificate");
        let holder = public(&*real);
        for _ in 0..2 {
            let verify = |message: &[u8], signature: &[u8]| {
                NamedOrReal.verify_signature(&holder, message, signature)
            };
            assert!(verify(b"certificate", &signature).is_ok());
            assert!(verify(b"certificat", &signature).is_err());
        }
        assert!(
            NamedOrReal
                .verify_signature(&public(&*key(4)), b"certificate", &signature)
                .is_err()
        );
        signature[5] ^= 1;
        assert!(
            NamedOrReal
                .verify_signature(&holder, b"certificate", &signature)
                .is_err()
        );
    }

    #[test]
    fn every_other_algorithm_is_rings() {
        let real = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let ours = algorithms(real);
        assert_eq!(ours.supported_schemes(), real.supported_schemes());
        assert_eq!(ours.all.len(), real.all.len());
    }
}
