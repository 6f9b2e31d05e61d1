//! TLS on a connection: certificates and keys, and records in place of bytes (RFC 8446, RFC 5246).

mod certificate;
pub(crate) mod config;
mod directories;
mod key;
mod ocsp;
mod pair;
mod pem_file;
mod provider;
mod resolver;
#[cfg(test)]
mod tests;
