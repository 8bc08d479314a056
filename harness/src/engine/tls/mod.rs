//! TLS without secrets, for connections that never leave the process.
//!
//! A simulated handshake is a real one, byte for byte on the wire, but nobody
//! listens to it and nobody forges it. What only keeps others out is therefore
//! left away: more than half of the time of a run would go into it.
//!
//! - [`key_exchange`]: both ends use the same key;
//! - [`signatures`]: a handshake's signature only names the key that it was
//!   made with.
//!
//! What certificates say is verified as always: names, validity, purpose, and
//! that the authority signed them.

use std::sync::LazyLock;

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

mod key_exchange;
mod signatures;

/// Has every TLS connection of this process that is simulated from now on do
/// without secrets. Connections over real sockets belong into a process that
/// has not called it.
pub fn forgo_secrecy() {
    static INSTALLED: LazyLock<()> = LazyLock::new(|| {
        // A second installation is refused, and means the same.
        let _ = provider().install_default();
    });
    LazyLock::force(&INSTALLED);
}

fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups = vec![&key_exchange::OneKey];
    provider.key_provider = &signatures::NamingKeys;
    provider.signature_verification_algorithms =
        signatures::algorithms(provider.signature_verification_algorithms);
    // Go's first choice; rustls would begin with the one of 256 bits.
    // Source: Go `crypto/tls/defaults.go: defaultCipherSuitesTLS13`.
    provider
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider
}
