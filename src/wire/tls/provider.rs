//! The choice of the cryptography: no other file names the provider.

use std::io;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ProducesTickets;

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Makes the keys of session tickets: random, in memory only, and replaced every six hours.
///
/// # Errors
/// The system has no random numbers.
pub(super) fn ticketer() -> io::Result<Arc<dyn ProducesTickets>> {
    ring::Ticketer::new().map_err(io::Error::other)
}
