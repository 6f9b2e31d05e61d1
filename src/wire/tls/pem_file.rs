//! Reads files that hold PEM sections (RFC 7468), and words what is wrong with them.
//!
//! Invariant: reading never waits, and ends after 1 MiB.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use pem::Pem;
use rustix::fs::OFlags;

const MAX_BYTES: u64 = 1024 * 1024;

/// The first bytes of every DER structure that is longer than 127 bytes: a sequence, and that its length follows.
const LONG_SEQUENCE: [u8; 2] = [0x30, 0x80];

/// Reads a regular file. A pipe is refused, although it could be read once: it cannot be read again by a reload, and the server
/// would wait for a pipe that has no writer.
///
/// # Errors
/// It cannot be opened or read, is not a regular file, is empty or larger than 1 MiB.
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

/// Finds the sections of a PEM file, in their order.
///
/// # Errors
/// It is empty or in DER, or a section is damaged.
pub(super) fn sections(bytes: &[u8]) -> io::Result<Vec<Pem>> {
    if bytes.trim_ascii().is_empty() {
        return Err(wrong("it is empty"));
    }
    if let [sequence, length, ..] = bytes
        && *sequence == LONG_SEQUENCE[0]
        && *length >= LONG_SEQUENCE[1]
    {
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

/// Returns `cannot use the certificate site.pem: it is empty`; without a path, what was given in memory.
pub(super) fn cannot_use(what: &str, path: Option<&Path>, reason: &io::Error) -> io::Error {
    let path = path.map(Path::to_string_lossy).unwrap_or_default();
    let space = if path.is_empty() { "" } else { " " };
    let shown = path.escape_debug();
    io::Error::new(
        reason.kind(),
        format!("cannot use the {what}{space}{shown}: {reason}"),
    )
}
