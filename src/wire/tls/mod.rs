//! TLS on a connection: certificates and keys, and records in place of bytes (RFC 8446, RFC 5246).

pub(crate) mod config;
mod plain;
mod records;
mod server_name;
pub(crate) mod stream;
mod unsent;
