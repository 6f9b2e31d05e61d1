//! A regular file as it is sent: its validators, its media type and its content (RFC 9110 §8). A small file is in memory.
//!
//! Invariant: the content decides. A small file is read to its end; its length is the number of bytes that were read, and its
//! entity tag is a hash of them. The size that fstat returns only decides how much is read at first.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, OnceLock, Weak};

use rustix::io::Errno;
use twox_hash::XxHash3_128;

use super::codings::Codings;
use super::identity::Identity;
use super::names::guess_type::{BEGINNING, begins_with_text};
use crate::handler::clock::Clock;
use crate::handler::prepared::Prepared;
use crate::handler::server_info::ServerInfo;
use crate::http::accept_encoding::Coding;
use crate::http::conditional::Validators;
use crate::http::date::imf_fixdate;
use crate::http::field::{FieldLines, FieldName, FieldValue};
use crate::http::status::HttpStatus;
use crate::wire::file_threads::DroppedByThread;
use crate::wire::shared_file::{SharedFile, read_in_memory};

/// Files up to this size are sent from memory: one write of head and content costs less than a second system call.
pub(crate) const MAX_IN_MEMORY: u64 = 64 * 1024;

const BYTES: FieldValue<'static> = FieldValue::constant("bytes");

/// Whether reading a small file may wait for its file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MayWait {
    /// For content that is known not to be in memory. Otherwise such a file is [`Content::Cold`].
    pub(crate) for_disk: bool,
    /// Also where the file system cannot tell what is in memory.
    pub(crate) if_unknown: bool,
}

impl MayWait {
    pub(crate) const ALWAYS: Self = Self {
        for_disk: true,
        if_unknown: true,
    };

    /// Reads into `room`; `None` if that might wait and must not.
    fn read(self, file: &File, room: &mut [u8], offset: u64) -> Option<io::Result<usize>> {
        match read_in_memory(file, room, offset) {
            Ok(length) => Some(Ok(length)),
            Err(Errno::AGAIN) if !self.for_disk => None,
            Err(errno) if errno != Errno::AGAIN && !self.if_unknown => None,
            Err(_) => Some(file.read_at(room, offset)),
        }
    }
}

/// Where content is sent from that is not in memory.
#[derive(Debug)]
pub(crate) enum SentFrom {
    Local(Arc<SharedFile>),
    /// A file server: only file threads read from it.
    Remote(RemoteFile),
}

/// A file that is read, and closed, by file threads only.
pub(crate) type RemoteFile = DroppedByThread<Arc<File>>;

/// What was found when a file was read.
#[derive(Debug)]
pub(crate) enum Content {
    /// The whole content.
    InMemory(Vec<u8>),
    /// The file is large: its size. It is sent from the file.
    InFile(u64),
    /// Bytes that have to be read are on the disk; this is the size of the file.
    Cold(u64),
    /// There is more content than fstat says, as in /proc: it ends where reading ends.
    Unknown,
}

impl Content {
    /// Reads a file of `size` bytes, as far as it may wait, unless it has more than `most` bytes.
    pub(crate) fn read(file: &File, size: u64, most: u64, may_wait: MayWait) -> io::Result<Self> {
        if size > most {
            return Ok(Self::InFile(size));
        }
        // Room for one more byte shows whether the file ends there.
        let mut content = vec![0; size as usize + 1];
        let mut length = 0;
        loop {
            let Some(room) = content.get_mut(length..) else {
                return Ok(Self::Unknown);
            };
            let Some(read) = may_wait.read(file, room, length as u64) else {
                return Ok(Self::Cold(size));
            };
            let read = read?;
            length += read;
            if read == 0 {
                content.truncate(length);
                return Ok(Self::InMemory(content));
            } else if length as u64 > most {
                // It has grown since, or its size means nothing.
                let size = file.metadata()?.len();
                return Ok(if size > most {
                    Self::InFile(size)
                } else {
                    Self::Unknown
                });
            } else if length == content.len() {
                content.resize((2 * length).clamp(4096, most as usize + 1), 0);
            }
        }
    }
}

/// Returns whether a file with this `content` begins with text; `None` if reading its beginning might wait and must not.
pub(crate) fn is_text(
    file: &File,
    content: &Content,
    may_wait: MayWait,
) -> io::Result<Option<bool>> {
    if let Content::InMemory(content) = content {
        return Ok(Some(begins_with_text(content)));
    }
    let mut beginning = [0; BEGINNING];
    let Some(length) = may_wait.read(file, &mut beginning, 0).transpose()? else {
        return Ok(None);
    };
    Ok(beginning.get(..length).map(begins_with_text))
}

/// What a reply with a file says beside the content.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) status: HttpStatus,
    /// `Content-Type`, and what the type of the file brings along.
    pub(crate) content_type: FieldLines,
    /// The coding that the content is in.
    pub(crate) coding: Option<Coding>,
    /// Fields that say how the reply may be cached, and those of the site.
    pub(crate) policy: Arc<FieldLines>,
}

impl Description {
    /// Returns the fields that a 200, a 206 and a 304 have in common (RFC 9110 §15.4.5).
    fn common_fields(&self, last_modified: u64, tag: Option<&EntityTag>) -> FieldLines {
        let mut fields = FieldLines::default();
        // Validators are for conditions and ranges, which are about a 200.
        if self.status == HttpStatus::OK {
            fields.push(
                FieldName::LAST_MODIFIED,
                (&imf_fixdate(last_modified)).into(),
            );
            // A tag has only digits, letters, dots and dashes in its quotes, so it is always a valid value.
            if let Some(Ok(value)) = tag.map(|tag| FieldValue::new(tag.as_bytes())) {
                fields.push(FieldName::ETAG, value);
            }
        }
        fields.append(&self.policy);
        fields
    }

    /// Returns the fields of the whole reply, and of a 206 but for the `content_type`.
    fn fields_of_content(&self, mut fields: FieldLines) -> FieldLines {
        if self.status == HttpStatus::OK {
            fields.push(FieldName::ACCEPT_RANGES, BYTES);
        }
        if let Some(coding) = self.coding {
            fields.push(FieldName::CONTENT_ENCODING, coding.value());
        }
        fields
    }

    fn whole_fields(&self, last_modified: u64, tag: Option<&EntityTag>) -> FieldLines {
        let mut fields = self.fields_of_content(self.common_fields(last_modified, tag));
        fields.append(&self.content_type);
        fields
    }
}

/// A file in the state in which it is sent.
#[derive(Debug)]
pub(crate) struct Representation {
    /// The reply with the whole file.
    pub(crate) whole: Arc<Prepared>,
    not_modified: OnceLock<Arc<Prepared>>,
    pub(crate) description: Description,
    pub(crate) size: u64,
    tag: Option<EntityTag>,
    last_modified: u64,
    has_date: bool,
    /// The open file that the content is sent from. It may have been closed; a remote file is not shared.
    file: Option<Weak<SharedFile>>,
    /// The same content in other codings; `None` if it is sent in none.
    pub(crate) codings: Option<Box<Codings<Self>>>,
}

impl Representation {
    /// Describes a file with this `content`; `None` if its length is not known.
    pub(crate) fn new(
        server: &ServerInfo,
        clock: &Clock,
        identity: &Identity,
        description: Description,
        content: &Content,
        sent_from: Option<&SentFrom>,
    ) -> Option<Self> {
        let (tag, size) = match content {
            Content::InMemory(content) => {
                let tag = EntityTag::of_content(content, description.coding);
                (Some(tag), content.len() as u64)
            }
            Content::InFile(size) => {
                let tag = EntityTag::of_times(identity, *size, description.coding, clock);
                (Some(tag), *size)
            }
            Content::Cold(size) => (None, *size),
            Content::Unknown => return None,
        };
        let last_modified = identity.last_modified().min(clock.unix);
        let fields = description.whole_fields(last_modified, tag.as_ref());
        let status = description.status;
        let whole = match content {
            Content::InMemory(content) => Prepared::in_memory(server, status, &fields, content),
            _ => Prepared::in_file(server, status, &fields, size),
        };
        let file = sent_from.map(|sent_from| match sent_from {
            SentFrom::Local(shared) => Arc::downgrade(shared),
            SentFrom::Remote(_) => Weak::new(),
        });
        Some(Self {
            whole: Arc::new(whole),
            not_modified: OnceLock::new(),
            description,
            size,
            tag,
            last_modified,
            has_date: identity.has_date(),
            file,
            codings: None,
        })
    }

    /// Returns the representation of the same file in a coding, in which it is `content`.
    pub(crate) fn in_coding(&self, server: &ServerInfo, coding: Coding, content: &[u8]) -> Self {
        let description = Description {
            coding: Some(coding),
            ..self.description.clone()
        };
        let tag = EntityTag::of_content(content, description.coding);
        let fields = description.whole_fields(self.last_modified, Some(&tag));
        let whole = Prepared::in_memory(server, description.status, &fields, content);
        Self {
            whole: Arc::new(whole),
            not_modified: OnceLock::new(),
            description,
            size: content.len() as u64,
            tag: Some(tag),
            last_modified: self.last_modified,
            has_date: self.has_date,
            file: None,
            codings: None,
        }
    }

    /// Returns when the file was changed last, in seconds since 1970; not later than the reply was made.
    pub(crate) fn last_modified(&self) -> u64 {
        self.last_modified
    }

    /// Returns whether the same content may be sent in another coding.
    pub(crate) fn is_negotiated(&self) -> bool {
        self.codings.is_some() || self.description.coding.is_some()
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators {
            etag: self.tag.as_ref().map_or(b"", EntityTag::as_bytes),
            last_modified: self.last_modified,
            has_date: self.has_date,
        }
    }

    /// Returns the 304, which is made when it is first needed.
    pub(crate) fn not_modified(&self, server: &ServerInfo) -> &Arc<Prepared> {
        self.not_modified
            .get_or_init(|| Arc::new(Prepared::not_modified(server, &self.common_fields())))
    }

    /// Returns the fields that a 200, a 206 and a 304 have in common (RFC 9110 §15.4.5).
    pub(crate) fn common_fields(&self) -> FieldLines {
        self.description
            .common_fields(self.last_modified, self.tag.as_ref())
    }

    /// Returns the fields of a 206 but for those of its type.
    pub(crate) fn fields_of_part(&self) -> FieldLines {
        self.description.fields_of_content(self.common_fields())
    }

    /// Returns the content if it is in memory.
    pub(crate) fn content(&self) -> Option<&[u8]> {
        self.file.is_none().then(|| self.whole.content())
    }

    /// Returns the bytes of content in memory, in all codings.
    pub(crate) fn bytes_in_memory(&self) -> usize {
        let codings = self.codings.iter().flat_map(|codings| codings.replies());
        let coded: usize = codings.map(|coded| coded.bytes_in_memory()).sum();
        self.content().map_or(0, <[u8]>::len) + coded
    }

    /// Returns the open file that the content is sent from, if it is not in memory; `Err` if the file has been closed.
    pub(crate) fn file(&self) -> Result<Option<Arc<SharedFile>>, ()> {
        match &self.file {
            None => Ok(None),
            Some(file) => file.upgrade().map(Some).ok_or(()),
        }
    }
}

/// An entity tag with its quotes; a weak one begins with `W/`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntityTag {
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl EntityTag {
    const ROOM: usize = 60;

    fn strong(text: impl std::fmt::Display) -> Self {
        Self::write(format_args!("\"{text}\""))
    }

    /// Returns the tag of a small file, a hash of its content. A sibling may have the bytes of its file, so the tag also names the
    /// coding.
    pub(crate) fn of_content(content: &[u8], coding: Option<Coding>) -> Self {
        let hash = XxHash3_128::oneshot(content);
        let coding = coding.map_or("", Coding::suffix);
        Self::strong(format_args!("{hash:032x}{coding}"))
    }

    /// Returns the tag of a large file, made of its mtime in nanoseconds and its size.
    ///
    /// File systems count time in ticks. While another change could get the same mtime, the tag also has the present time in it, so
    /// it is used once only. If the mtime carries no information, as in a reproducible image, the tag is weak and made of the
    /// ctime: it shows that the file has changed, but is not enough to continue a download.
    /// A file and its sibling may have the same time and size, so the tag of the sibling also names the coding.
    fn of_times(identity: &Identity, size: u64, coding: Option<Coding>, clock: &Clock) -> Self {
        let (modified, changed) = (identity.modified_nanos(), identity.changed_nanos());
        let coding = coding.map_or("", Coding::suffix);
        if !identity.has_date() {
            Self::write(format_args!("W/\"{changed:x}-{size:x}{coding}\""))
        } else if identity.is_fresh(clock.since_1970) {
            let now = clock.since_1970.as_nanos() as u64;
            Self::strong(format_args!("{modified:x}-{size:x}-{now:x}{coding}"))
        } else {
            Self::strong(format_args!("{modified:x}-{size:x}{coding}"))
        }
    }

    fn write(text: impl std::fmt::Display) -> Self {
        let mut bytes = [0; Self::ROOM];
        let mut rest = bytes.as_mut_slice();
        // Three hexadecimal numbers of 64 bits always fit.
        let _ = write!(rest, "{text}");
        let length = Self::ROOM - rest.len();
        Self { bytes, length }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
