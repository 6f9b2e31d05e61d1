//! The choice of the cryptography: no other file names a provider.

use std::io;
use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::{self, cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, SupportedKxGroup};
use rustls::server::ProducesTickets;

use super::random::PublicNumbers;

/// Returns what ring offers, with AES-128 first: its handshake hashes with SHA-256, which processors have instructions for, and a
/// client that can use AES-256 can use it too.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| !is_preferred(*suite));
    provider.kx_groups = vec![x25519(), kx_group::SECP256R1, kx_group::SECP384R1];
    provider.secure_random = &PublicNumbers;
    Arc::new(provider)
}

fn is_preferred(suite: SupportedCipherSuite) -> bool {
    [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ]
    .contains(&suite)
}

/// Returns X25519, the largest part of a resumed handshake. That of graviola takes less time than that of ring (benches/wall_time.rs), and
/// its assembler code is proved to be right, but not every processor has the instructions for it.
fn x25519() -> &'static dyn SupportedKxGroup {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if graviola::util::is_cpu_supported() {
        return &rustls_graviola::kx::X25519;
    }
    kx_group::X25519
}

/// Fills `bytes` with random numbers of the system.
pub(super) fn fill_with_random(bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
    ring::default_provider().secure_random.fill(bytes)
}

/// Makes the keys of session tickets: random, in memory only, and replaced every six hours.
///
/// # Errors
/// The system has no random numbers.
pub(super) fn ticketer() -> io::Result<Arc<dyn ProducesTickets>> {
    ring::Ticketer::new().map_err(io::Error::other)
}
