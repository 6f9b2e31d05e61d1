//! A reply that is made once and sent many times.
//!
//! Invariant: it does not depend on the connection or on the time. `Date` and `Connection` are added when it is sent; the rest is
//! one copy.

use std::ops::Range;

use super::cors;
use super::lines::{write_common_fields, write_server_and_date};
use super::page::Page;
use super::server_info::ServerInfo;
use crate::http::date::ImfFixdate;
use crate::http::field::FieldLines;
use crate::http::reply_head::{ReplyHead, StoredReply};
use crate::http::status::HttpStatus;

/// Room for a usual head, in bytes.
const HEAD: usize = 512;

/// A complete reply, but for `Date` and `Connection`.
#[derive(Debug)]
pub(crate) struct Prepared {
    status: HttpStatus,
    reply: StoredReply,
    /// Bytes of content that are sent from a file.
    in_file: u64,
    /// The serial number of the server: its version and configuration are in the head.
    server: u64,
}

impl Prepared {
    /// Makes a reply with `content`. `fields` are those of the representation.
    pub(crate) fn in_memory(
        server: &ServerInfo,
        status: HttpStatus,
        fields: &FieldLines,
        content: &[u8],
    ) -> Self {
        let length = content.len() as u64;
        Self::new(server, status, fields, Some(length), content)
    }

    /// Makes the head of a reply with a content of `length` bytes that are sent from a file.
    pub(crate) fn in_file(
        server: &ServerInfo,
        status: HttpStatus,
        fields: &FieldLines,
        length: u64,
    ) -> Self {
        let prepared = Self::new(server, status, fields, Some(length), b"");
        Self {
            in_file: length,
            ..prepared
        }
    }

    /// Makes a 304 for a client that has the representation with these `fields`.
    pub(crate) fn not_modified(server: &ServerInfo, fields: &FieldLines) -> Self {
        Self::new(server, HttpStatus::NOT_MODIFIED, fields, None, b"")
    }

    /// Makes the reply that consists of `page`, with the fields of `policy`.
    pub(crate) fn page(
        server: &ServerInfo,
        status: HttpStatus,
        policy: &FieldLines,
        page: &Page,
    ) -> Self {
        let length = page.content.len() as u64;
        Self::with_head(server, status, &page.content, |head| {
            head.lines(&page.fields);
            head.lines(policy);
            head.content_length(length);
            write_common_fields(head, page.defaults, server);
        })
    }

    fn new(
        server: &ServerInfo,
        status: HttpStatus,
        fields: &FieldLines,
        length: Option<u64>,
        content: &[u8],
    ) -> Self {
        Self::with_head(server, status, content, |head| {
            head.lines(server.extra_fields());
            head.lines(fields);
            if let Some(length) = length {
                head.content_length(length);
            }
            if server.config().cors {
                head.defaults(cors::FIELDS);
            }
        })
    }

    /// Makes a reply with the fields that `write_fields` adds to the head.
    fn with_head(
        server: &ServerInfo,
        status: HttpStatus,
        content: &[u8],
        write_fields: impl FnOnce(&mut ReplyHead<'_>),
    ) -> Self {
        let mut bytes = Vec::with_capacity(HEAD);
        let mut head = ReplyHead::new(&mut bytes);
        head.status_line(server.config().protocol_version, status);
        write_server_and_date(&mut head, server, &ImfFixdate::BLANK);
        write_fields(&mut head);
        Self {
            status,
            reply: head.store(content),
            in_file: 0,
            server: server.serial,
        }
    }

    pub(crate) fn status(&self) -> HttpStatus {
        self.status
    }

    /// Returns whether the reply was made for `server`.
    pub(crate) fn belongs_to(&self, server: &ServerInfo) -> bool {
        self.server == server.serial
    }

    pub(crate) fn reply(&self) -> &StoredReply {
        &self.reply
    }

    /// Returns the content that is in memory.
    pub(crate) fn content(&self) -> &[u8] {
        self.reply.content()
    }

    /// Returns the range of the file that is the content.
    pub(crate) fn range_of_file(&self) -> Range<u64> {
        0..self.in_file
    }
}
