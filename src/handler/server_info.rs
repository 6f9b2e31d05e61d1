//! What a handler may know of the server it answers for.

use std::net::SocketAddr;

use crate::config::ServerConfig;

/// A read-only view of the server: its configuration and where it listens.
#[derive(Clone, Debug)]
#[doc(alias = "server")]
pub struct ServerInfo {
    config: ServerConfig,
    version_string: String,
    addresses: Vec<SocketAddr>,
}

impl ServerInfo {
    pub(crate) fn new(
        config: ServerConfig,
        version_string: String,
        addresses: Vec<SocketAddr>,
    ) -> Self {
        Self {
            config,
            version_string,
            addresses,
        }
    }

    /// Returns the limits and choices that the server was started with.
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Returns what the `Server` field of every reply says.
    pub fn version_string(&self) -> &str {
        &self.version_string
    }

    /// Returns the addresses that the server listens on, ports included.
    #[doc(alias = "server_address")]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}
