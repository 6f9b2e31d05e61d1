//! A certificate chain with its private key, and the OCSP response for it.
//!
//! Invariant: the key belongs to the first certificate of the chain.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;

use super::certificate;
use super::config::CertificateFiles;
use super::key::signing_key;
use super::ocsp;
use super::pem_file::{PemFile, cannot_use, read, shown, wrong};

#[derive(Debug)]
pub(super) struct Pair {
    /// The DNS names of the certificate in small letters; a wildcard begins with `*.`.
    pub(super) names: Vec<String>,
    certified: Arc<CertifiedKey>,
    stapled: Option<Stapled>,
}

/// The same chain and key with an OCSP response.
#[derive(Debug)]
struct Stapled {
    certified: Arc<CertifiedKey>,
    /// The time since 1970 from which on clients refuse the response.
    stale: Option<Duration>,
}

impl Pair {
    /// Reads the files of a pair.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(super) fn read(files: &CertificateFiles, provider: &CryptoProvider) -> io::Result<Self> {
        let certificate = PemFile::read("certificate", &files.certificate)?;
        let read_key = |path| PemFile::read("private key", path);
        let key = files.key.as_deref().map(read_key).transpose()?;
        let password = files.password.as_deref().map(read_password).transpose()?;
        let key = key.as_ref().unwrap_or(&certificate);
        let pair = Self::new(&certificate, key, password.as_deref(), provider)?;
        let path = ocsp_path(&files.certificate);
        pair.with_ocsp(&path)
            .map_err(|error| cannot_use("OCSP response", Some(&path), &error))
    }

    /// Takes a chain and its key, which may be in the same file.
    ///
    /// # Errors
    /// One of them cannot be used, or they do not belong together.
    pub(super) fn new(
        certificate: &PemFile<'_>,
        key: &PemFile<'_>,
        password: Option<&[u8]>,
        provider: &CryptoProvider,
    ) -> io::Result<Self> {
        let chain = certificate::chain(&certificate.sections, unix_time())
            .map_err(|error| certificate.cannot_use(&error))?;
        let signing_key = signing_key(&key.sections, password, provider)
            .map_err(|error| key.cannot_use(&error))?;
        // CertifiedKey::keys_match compares the same, but refuses certificates of version 1, which OpenSSL still makes.
        let public_key = signing_key.public_key();
        if public_key.is_some_and(|public| public.as_ref() != chain.public_key) {
            let path = certificate.path.map(|path| format!(" of {}", shown(path)));
            let path = path.unwrap_or_default();
            return Err(key.cannot_use(&wrong(format!(
                "its key does not belong to the first certificate{path}"
            ))));
        }
        Ok(Self {
            names: chain.names,
            certified: Arc::new(CertifiedKey::new(chain.certificates, signing_key)),
            stapled: None,
        })
    }

    /// Adds the OCSP response of a file. There is none to add if the file does not exist or, as for HAProxy, is empty.
    fn with_ocsp(self, path: &Path) -> io::Result<Self> {
        let response = match read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self),
            response => response?,
        };
        if response.is_empty() {
            return Ok(self);
        }
        let stale = ocsp::next_update(&response)?;
        let mut certified = CertifiedKey::clone(&self.certified);
        certified.ocsp = Some(response);
        let certified = Arc::new(certified);
        let stapled = Some(Stapled { certified, stale });
        Ok(Self { stapled, ..self })
    }

    /// Returns what rustls sends and signs with, with the OCSP response until it is stale.
    pub(super) fn certified(&self) -> &Arc<CertifiedKey> {
        match &self.stapled {
            Some(stapled) if stapled.stale.is_none_or(|stale| unix_time() < stale) => {
                &stapled.certified
            }
            _ => &self.certified,
        }
    }
}

/// Returns the path at which the OCSP response for a certificate is looked for.
pub(super) fn ocsp_path(certificate: &Path) -> PathBuf {
    let mut path = certificate.as_os_str().to_owned();
    path.push(".ocsp");
    path.into()
}

/// Reads a password as Python does: all of the file, without white space at its ends.
fn read_password(path: &Path) -> io::Result<Vec<u8>> {
    let password = read(path).and_then(|password| match password.trim_ascii() {
        [] => Err(wrong("it is empty")),
        password => Ok(password.to_vec()),
    });
    password.map_err(|error| cannot_use("password file", Some(path), &error))
}

fn unix_time() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}
