//! Reads files that hold PEM sections (RFC 7468), and words what is wrong with them.
//!
//! Invariant: a file is read to at most 1 MiB, and a pipe without a writer does not stop the server.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use pem::Pem;
use rustix::fs::OFlags;

const MAX_BYTES: u64 = 1024 * 1024;

/// The first byte of certificates, keys and PKCS #12 files in DER, and the smallest second one if the length does not fit in it.
const SEQUENCE: u8 = 0x30;
const LONG: u8 = 0x80;

/// The sections of a file, or of text in memory, and how messages name it. Not `Debug`: that would show private keys.
pub(super) struct PemFile<'a> {
    what: &'static str,
    pub(super) path: Option<&'a Path>,
    pub(super) sections: Vec<Pem>,
}

impl<'a> PemFile<'a> {
    /// # Errors
    /// The file cannot be read, or is no PEM file.
    pub(super) fn read(what: &'static str, path: &'a Path) -> io::Result<Self> {
        let bytes = read(path).map_err(|error| cannot_use(what, Some(path), &error))?;
        Self::new(what, Some(path), &bytes)
    }

    /// # Errors
    /// The bytes are not in PEM.
    pub(super) fn new(
        what: &'static str,
        path: Option<&'a Path>,
        bytes: &[u8],
    ) -> io::Result<Self> {
        let sections = parse(bytes).map_err(|error| cannot_use(what, path, &error))?;
        Ok(Self {
            what,
            path,
            sections,
        })
    }

    pub(super) fn cannot_use(&self, reason: &io::Error) -> io::Error {
        cannot_use(self.what, self.path, reason)
    }
}

/// Reads a regular file. A pipe, as `<(...)` of a shell, could be read once, but not again by a reload, so it is refused.
///
/// # Errors
/// It cannot be opened or read, is not a regular file, or is larger than 1 MiB.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY);
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(wrong("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong("larger than 1 MiB"));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> io::Result<Vec<Pem>> {
    if bytes.trim_ascii().is_empty() {
        return Err(wrong("it is empty"));
    }
    if matches!(bytes, [SEQUENCE, LONG..=u8::MAX, ..]) {
        return Err(wrong(
            "it is binary (DER or PKCS #12), and has to be PEM; openssl x509, pkey and pkcs12 convert it",
        ));
    }
    // The error of the crate may show what stands in the file, which can be part of a key.
    pem::parse_many(bytes).map_err(|_| wrong("a section of it is damaged"))
}

pub(super) fn wrong(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

/// Returns `cannot use the certificate site.pem: it is empty`, without the path if there is none.
pub(super) fn cannot_use(what: &str, path: Option<&Path>, reason: &io::Error) -> io::Error {
    let path = path.map(|path| format!(" {}", shown(path)));
    let path = path.unwrap_or_default();
    io::Error::new(
        reason.kind(),
        format!("cannot use the {what}{path}: {reason}"),
    )
}

pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
