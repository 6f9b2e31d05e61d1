//! TLS on a connection: certificates and keys, and records in place of bytes (RFC 8446, RFC 5246).

mod buffers;
mod certificate;
pub(crate) mod config;
mod directories;
mod key;
mod ocsp;
mod pair;
mod pem_file;
mod plain;
mod provider;
mod random;
mod records;
mod resolver;
mod server_name;
pub(crate) mod stream;
#[cfg(test)]
pub(crate) mod test_peer;
#[cfg(test)]
mod tests;
mod unsent_records;
