//! X25519 with one key for everybody.

use std::sync::LazyLock;

use rustls::crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use x25519_dalek::{PublicKey, StaticSecret};

/// The key exchange: both ends hold the same key, which spares the
/// multiplications on the curve.
#[derive(Debug)]
pub(super) struct OneKey;

struct Pair {
    secret: StaticSecret,
    public: PublicKey,
    /// What two holders of the key agree on.
    with_itself: [u8; 32],
}

static PAIR: LazyLock<Pair> = LazyLock::new(|| {
    // Any number is a valid key: it is clamped.
    let secret = StaticSecret::from(*b"firstlight: nobody listens here.");
    let public = PublicKey::from(&secret);
    let with_itself = secret.diffie_hellman(&public).to_bytes();
    Pair {
        secret,
        public,
        with_itself,
    }
});

impl SupportedKxGroup for OneKey {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(OneKey))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for OneKey {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer =
            <[u8; 32]>::try_from(peer).map_err(|_| Error::from(PeerMisbehaved::InvalidKeyShare))?;
        if peer == PAIR.public.to_bytes() {
            return Ok(SharedSecret::from(&PAIR.with_itself[..]));
        }
        let shared = PAIR.secret.diffie_hellman(&PublicKey::from(peer));
        Ok(SharedSecret::from(&shared.to_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        PAIR.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a stranger's key is answered as X25519 demands. Method: ring's
    /// implementation at the other end.
    #[test]
    fn a_peer_with_a_key_of_its_own_agrees() {
        let ring = rustls::crypto::ring::kx_group::X25519;
        let theirs = ring.start().expect("the system has randomness");
        let ours = OneKey.start().expect("there is a key");
        let their_key = theirs.pub_key().to_vec();
        let our_secret = ours.complete(&their_key).expect("32 bytes");
        let their_secret = theirs.complete(PAIR.public.as_bytes()).expect("32 bytes");
        assert_eq!(our_secret.secret_bytes(), their_secret.secret_bytes());
    }

    #[test]
    fn two_of_us_agree_on_what_the_curve_says() {
        let one = OneKey.start().expect("there is a key");
        let other = OneKey.start().expect("there is a key");
        let secret = one.complete(other.pub_key()).expect("32 bytes");
        let computed = PAIR.secret.diffie_hellman(&PAIR.public);
        assert_eq!(secret.secret_bytes(), computed.as_bytes());
        assert!(other.complete(&[7; 31]).is_err());
    }
}
