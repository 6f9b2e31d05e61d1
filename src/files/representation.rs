//! A regular file as replies tell of it: its validators, its media type and its content, in memory where it is small.
//!
//! Invariant: the content decides. A small file is read to its end, its length is what was read, and its entity tag is a hash
//! of that; what fstat says of a size only decides how much is tried to be read.

use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, OnceLock, Weak};

use twox_hash::XxHash3_128;

use super::identity::Identity;
use crate::handler::clock::Clock;
use crate::handler::prepared::Prepared;
use crate::handler::server_info::ServerInfo;
use crate::http::conditional::Validators;
use crate::http::date::imf_fixdate;
use crate::http::field::{FieldLines, FieldName, FieldValue};
use crate::wire::file_range::{SharedFile, read_now};

/// Files up to this size are read at once and sent from memory; one write for all costs less than a second system call.
pub(crate) const SMALL: u64 = 64 * 1024;

const BYTES: FieldValue<'static> = FieldValue::constant("bytes");

/// What reading a file has come to.
pub(crate) enum Content {
    /// All of it.
    InMemory(Vec<u8>),
    /// It is large: so many bytes, to be sent from the file.
    InFile(u64),
    /// It is small, and on the disk.
    Cold(u64),
    /// More than fstat knows of, as in /proc: it ends where reading ends.
    Unknown,
}

impl Content {
    /// Reads a file of `size` bytes. Where the disk would have to be waited for, a `patient` caller waits.
    pub(crate) fn read(shared: &SharedFile, size: u64, patient: bool) -> io::Result<Self> {
        if size > SMALL {
            return Ok(Self::InFile(size));
        }
        // One byte more tells whether the file has ended.
        let mut content = vec![0; size as usize + 1];
        let mut length = 0;
        loop {
            let Some(room) = content.get_mut(length..) else {
                return Ok(Self::Unknown);
            };
            let read = match read_now(&shared.file, room, length as u64) {
                Some(read) => read?,
                None if patient => shared.file.read_at(room, length as u64)?,
                None => return Ok(Self::Cold(size)),
            };
            length += read;
            if read == 0 {
                content.truncate(length);
                return Ok(Self::InMemory(content));
            } else if length > SMALL as usize {
                // It has grown meanwhile, or its size says nothing.
                let size = shared.file.metadata()?.len();
                return Ok(if size > SMALL {
                    Self::InFile(size)
                } else {
                    Self::Unknown
                });
            } else if length == content.len() {
                content.resize((2 * length).clamp(4096, SMALL as usize + 1), 0);
            }
        }
    }
}

/// What a file is sent with, and its content.
#[derive(Debug)]
pub(crate) struct Representation {
    /// The reply with the whole file.
    pub(crate) whole: Arc<Prepared>,
    not_modified: OnceLock<Arc<Prepared>>,
    pub(crate) content_type: FieldLines,
    pub(crate) size: u64,
    tag: Option<EntityTag>,
    last_modified: u64,
    has_date: bool,
    /// The file that is to be sent from; it may have been closed meanwhile.
    file: Option<Weak<SharedFile>>,
}

impl Representation {
    /// Describes a file with this `content`; `None` where its length is not known.
    pub(crate) fn new(
        server: &ServerInfo,
        clock: &Clock,
        identity: &Identity,
        content_type: &FieldLines,
        content: &Content,
        shared: &Arc<SharedFile>,
    ) -> Option<Self> {
        let (tag, size) = match content {
            Content::InMemory(content) => {
                let hash = XxHash3_128::oneshot(content);
                (
                    Some(EntityTag::strong(format_args!("{hash:032x}"))),
                    content.len() as u64,
                )
            }
            Content::InFile(size) => (Some(EntityTag::of_times(identity, *size, clock)), *size),
            Content::Cold(size) => (None, *size),
            Content::Unknown => return None,
        };
        let last_modified = identity.last_modified().min(clock.unix);
        let mut fields = validator_fields(last_modified, tag.as_ref());
        fields.push(FieldName::ACCEPT_RANGES, BYTES);
        fields.append(content_type);
        let (whole, file) = match content {
            Content::InMemory(content) => (Prepared::in_memory(server, &fields, content), None),
            _ => (
                Prepared::in_file(server, &fields, size),
                Some(Arc::downgrade(shared)),
            ),
        };
        Some(Self {
            whole: Arc::new(whole),
            not_modified: OnceLock::new(),
            content_type: content_type.clone(),
            size,
            tag,
            last_modified,
            has_date: identity.has_date(),
            file,
        })
    }

    /// Seconds since 1970 of the last change, not later than the reply was made.
    pub(crate) fn last_modified(&self) -> u64 {
        self.last_modified
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators {
            etag: self.tag.as_ref().map_or(b"", EntityTag::as_bytes),
            last_modified: self.last_modified,
            has_date: self.has_date,
        }
    }

    /// The 304 that says that the client has it.
    pub(crate) fn not_modified(&self, server: &ServerInfo) -> &Arc<Prepared> {
        self.not_modified
            .get_or_init(|| Arc::new(Prepared::not_modified(server, &self.validator_fields())))
    }

    /// What a 200, a 206 and a 304 have alike (RFC 9110 §15.4.5).
    pub(crate) fn validator_fields(&self) -> FieldLines {
        validator_fields(self.last_modified, self.tag.as_ref())
    }

    /// The content from its first byte on, where it is in memory.
    pub(crate) fn content(&self) -> Option<&[u8]> {
        self.file.is_none().then(|| self.whole.content())
    }

    /// The open file that the content is sent from; `Err` where it has been closed.
    pub(crate) fn file(&self) -> Result<Option<Arc<SharedFile>>, ()> {
        match &self.file {
            None => Ok(None),
            Some(file) => file.upgrade().map(Some).ok_or(()),
        }
    }
}

fn validator_fields(last_modified: u64, tag: Option<&EntityTag>) -> FieldLines {
    let mut fields = FieldLines::default();
    fields.push(
        FieldName::LAST_MODIFIED,
        (&imf_fixdate(last_modified)).into(),
    );
    // A tag is hexadecimal digits in quotes.
    if let Some(Ok(value)) = tag.map(|tag| FieldValue::new(tag.as_bytes())) {
        fields.push(FieldName::ETAG, value);
    }
    fields
}

/// An entity tag with its quotes, and `W/` before a weak one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntityTag {
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl EntityTag {
    const ROOM: usize = 56;

    fn strong(text: impl std::fmt::Display) -> Self {
        Self::write(format_args!("\"{text}\""))
    }

    /// The tag of a large file: its mtime in nanoseconds and its size.
    ///
    /// File systems count time in ticks. As long as another change might get the same time, the tag is that of this moment
    /// alone. Where the mtime says nothing, as in a reproducible image, the tag is weak and made with the ctime: it tells
    /// that the file has changed, and is not enough to continue a download.
    fn of_times(identity: &Identity, size: u64, clock: &Clock) -> Self {
        let (modified, changed) = (identity.modified_nanos(), identity.changed_nanos());
        if !identity.has_date() {
            Self::write(format_args!("W/\"{changed:x}-{size:x}\""))
        } else if identity.is_fresh(clock.since_1970) {
            let now = clock.since_1970.as_nanos() as u64;
            Self::strong(format_args!("{modified:x}-{size:x}-{now:x}"))
        } else {
            Self::strong(format_args!("{modified:x}-{size:x}"))
        }
    }

    fn write(text: impl std::fmt::Display) -> Self {
        let mut bytes = [0; Self::ROOM];
        let mut rest = bytes.as_mut_slice();
        // Three numbers of 64 bits in hexadecimal always fit.
        let _ = write!(rest, "{text}");
        let length = Self::ROOM - rest.len();
        Self { bytes, length }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
