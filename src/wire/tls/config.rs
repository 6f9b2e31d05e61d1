//! What a listener needs to speak TLS.
//!
//! Invariant: all connections of a configuration share one `ServerConfig`, so a reload keeps the keys of session tickets.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;

use super::directories::directories;
use super::pair::{Pair, ocsp_path};
use super::pem_file::PemFile;
use super::provider::{provider, ticketer};
use super::resolver::{Pairs, Resolver};

/// Where a certificate and its private key are.
///
/// A file `CERTIFICATE.ocsp` beside the certificate, if there is one, is an OCSP response in DER, as `openssl ocsp -respout` writes
/// it. Clients get it with the certificate until it is stale.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    pub(super) certificate: PathBuf,
    pub(super) key: Option<PathBuf>,
    pub(super) password: Option<PathBuf>,
}

impl CertificateFiles {
    /// Names a PEM file with the certificate chain, the server's own certificate first, and with the private key, which may stand
    /// anywhere in it.
    pub fn new(certificate: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: None,
            password: None,
        }
    }

    /// Names a PEM file of its own for the private key: PKCS #8, PKCS #1 or SEC 1. The first key in it is used.
    #[must_use]
    pub fn with_key(self, key: impl Into<PathBuf>) -> Self {
        Self {
            key: Some(key.into()),
            ..self
        }
    }

    /// Names a file with the password of an encrypted private key (PKCS #8). As in Python, the password is the content of the file
    /// without white space at its ends, and a password for a key that is not encrypted does no harm.
    #[must_use]
    pub fn with_password_file(self, password: impl Into<PathBuf>) -> Self {
        Self {
            password: Some(password.into()),
            ..self
        }
    }

    /// Makes the paths independent of the current directory.
    fn absolute(self) -> io::Result<Self> {
        let absolute = |path: Option<PathBuf>| path.map(std::path::absolute).transpose();
        Ok(Self {
            certificate: std::path::absolute(self.certificate)?,
            key: absolute(self.key)?,
            password: absolute(self.password)?,
        })
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let optional = [self.key.as_deref(), self.password.as_deref()];
        [self.certificate.as_path()]
            .into_iter()
            .chain(optional.into_iter().flatten())
    }
}

/// Certificates, their keys, and all that the connections of a server share for TLS.
///
/// Connections speak TLS 1.2 or 1.3, and HTTP/1.1 or HTTP/1.0 inside. Clones share one state, so [`reload`](Self::reload) on any of
/// them is in force for all, in all threads.
///
/// With several certificates the client gets the one for the server name that it sends: of those whose subjectAltName has the name,
/// the first one whose key the client can use. `*.example.org` stands for one label; an exact name is preferred to it. A client that
/// sends no name, or one that no certificate has, gets the first certificate whose key it can use. A certificate without a
/// subjectAltName is never chosen by its name.
///
/// ```no_run
/// use httpoll::{CertificateFiles, TlsConfig};
///
/// # fn main() -> std::io::Result<()> {
/// let tls = TlsConfig::from_files([
///     CertificateFiles::new("example.org.pem").with_key("example.org.key"),
///     CertificateFiles::new("example.net.pem"), // the key is in the same file
/// ])?;
/// // Later, when the certificates were renewed:
/// if let Err(error) = tls.reload() {
///     eprintln!("{error}; the certificates that were read before stay in force");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsConfig {
    files: Arc<[CertificateFiles]>,
    resolver: Arc<Resolver>,
    server_config: Arc<ServerConfig>,
}

impl TlsConfig {
    /// Reads all files. They have to be regular files of at most 1 MiB.
    ///
    /// # Errors
    /// There is no pair, or a file cannot be used. The message says which and why: it cannot be read, a certificate is expired or not
    /// yet valid, a key does not belong to its certificate, and so on. Intermediate certificates are sent as they are.
    pub fn from_files(pairs: impl IntoIterator<Item = CertificateFiles>) -> io::Result<Self> {
        let files: Vec<_> = pairs.into_iter().collect();
        if files.is_empty() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, "no certificate is named"));
        }
        // Messages of this first time show the paths as they were given.
        let pairs = read_all(&files)?;
        let files = files.into_iter().map(CertificateFiles::absolute);
        Self::new(pairs, files.collect::<io::Result<_>>()?)
    }

    /// Takes one certificate chain and its key, both in the same PEM text. [`reload`](Self::reload) has nothing to read then.
    ///
    /// # Errors
    /// They cannot be used. The message says why.
    pub fn from_pem(certificate_and_key: &[u8]) -> io::Result<Self> {
        let pem = PemFile::new("certificate", None, certificate_and_key)?;
        let pair = Pair::new(&pem, &pem, None, &provider())?;
        Self::new(Pairs::new([pair]), Vec::new())
    }

    fn new(pairs: Pairs, files: Vec<CertificateFiles>) -> io::Result<Self> {
        let resolver = Arc::new(Resolver::new(pairs));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&resolver) as Arc<_>);
        // A client that offers other protocols only, as h2, is refused (RFC 7301 section 3.2): it would not speak HTTP/1.1. Browsers
        // always offer http/1.1 too; `curl --http1.0` offers http/1.0 only.
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        // Sessions are kept by the clients, in tickets: no memory here, and no lock that the loops share.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ticketer()?;
        // The order of the provider decides about the cipher, so that short handshakes and replies cost least.
        config.ignore_client_order = true;
        // A client that reads its ticket has one for the next connection; each further one costs as much as a small reply.
        config.send_tls13_tickets = 1;
        Ok(Self {
            files: files.into(),
            resolver,
            server_config: Arc::new(config),
        })
    }

    /// Reads all files again. New connections use the new certificates, and clients resume their sessions with them.
    ///
    /// # Errors
    /// A file cannot be used; all certificates that were read before stay in force.
    pub fn reload(&self) -> io::Result<()> {
        if !self.files.is_empty() {
            self.resolver.replace(read_all(&self.files)?);
        }
        Ok(())
    }

    /// Returns the directories that have to be readable for [`reload`](Self::reload) in a confined process, as absolute paths without
    /// symbolic links: the directory of each file and, for a symbolic link, also the directory that it leads to, because the link may
    /// later lead to another file there. A directory inside another one of them is not named.
    ///
    /// # Errors
    /// A path cannot be resolved.
    pub fn directories(&self) -> io::Result<Vec<PathBuf>> {
        let paths = self.files.iter().flat_map(CertificateFiles::paths);
        let ocsp: Vec<_> = self
            .files
            .iter()
            .map(|files| ocsp_path(&files.certificate))
            .collect();
        directories(paths.chain(ocsp.iter().map(PathBuf::as_path)))
    }

    pub(crate) fn server_config(&self) -> &Arc<ServerConfig> {
        &self.server_config
    }
}

fn read_all(files: &[CertificateFiles]) -> io::Result<Pairs> {
    let provider = provider();
    let pairs = files.iter().map(|files| Pair::read(files, &provider));
    Ok(Pairs::new(pairs.collect::<io::Result<Vec<_>>>()?))
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
