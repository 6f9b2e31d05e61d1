//! What an opened descriptor turned out to be, and what identifies its present content.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{FileType, fstat};

use super::cache::Identity;

/// What can be served of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A FIFO, a socket, a device: never served.
    Other,
}

/// An open file with the facts that were true when it was asked.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) file: File,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) identity: Identity,
}

impl Resource {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let stat = fstat(&fd)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            _ => Kind::Other,
        };
        Ok(Self {
            file: fd.into(),
            kind,
            size: stat.st_size.try_into().unwrap_or(0),
            identity: Identity::from(&stat),
        })
    }

    /// Seconds since 1970 of the last change, never later than `now` (RFC 9110 §8.8.2.1).
    pub(crate) fn last_modified(&self, now: u64) -> u64 {
        u64::try_from(self.identity.modified.0)
            .unwrap_or(0)
            .min(now)
    }

    /// A strong entity tag: the nanosecond of the last change, and the size. File systems count time in ticks, so as long as
    /// another change might have the same nanosecond, the tag is that of this moment `now` (since 1970) alone.
    pub(crate) fn etag(&self, now: Duration) -> EntityTag {
        let (seconds, nanoseconds) = self.identity.modified;
        let changed = (seconds as u64)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(nanoseconds);
        let mut tag = EntityTag {
            bytes: [0; EntityTag::ROOM],
            length: 0,
        };
        let mut rest = tag.bytes.as_mut_slice();
        // Three numbers of 64 bits in hexadecimal always fit.
        let _ = write!(rest, "\"{changed:x}-{:x}", self.size);
        if self.identity.is_fresh(now) {
            let _ = write!(rest, "-{:x}", now.as_nanos() as u64);
        }
        let _ = rest.write_all(b"\"");
        tag.length = EntityTag::ROOM - rest.len();
        tag
    }
}

/// An entity tag with its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntityTag {
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl EntityTag {
    const ROOM: usize = 52;

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
