//! A reply that was made once and is sent often: its head, with a hole for the date, and its content beside it.
//!
//! Invariant: what depends on the connection is not in it; all the rest leaves in one copy.

use std::ops::Range;

use super::clock::Clock;
use super::lines::{push, write_extra_fields, write_status_line};
use super::server_info::ServerInfo;
use crate::http::date::IMF_LEN;
use crate::http::status::HttpStatus;

/// Most heads are shorter.
const HEAD: usize = 512;
/// What stands before the date.
const DATE: &[u8] = b"\r\nDate: ";

/// A reply that stays the same as long as what it tells does.
#[derive(Debug)]
pub(crate) struct Prepared {
    status: HttpStatus,
    /// The head, complete but for the date, and the content that is kept in memory.
    bytes: Box<[u8]>,
    date: usize,
    /// Where in the head the field belongs that the connection adds.
    connection: usize,
    /// Where the head ends, empty line included.
    head: usize,
    /// Bytes of content that are not kept in memory, but sent from a file.
    in_file: u64,
    /// The server whose version, name and configuration are in the head.
    server: u64,
}

impl Prepared {
    /// Makes a 200 with `content`. `fields` are the field lines of the representation, in pieces.
    pub(crate) fn in_memory(server: &ServerInfo, fields: &[&[u8]], content: &[u8]) -> Self {
        let mut head = Head::new(server, HttpStatus::OK, fields);
        head.content_length(content.len() as u64);
        let (mut prepared, mut bytes) = head.end(server);
        bytes.reserve_exact(content.len());
        bytes.extend_from_slice(content);
        prepared.bytes = bytes.into();
        prepared
    }

    /// Makes the head of a 200 whose content, of `length` bytes, is sent from a file.
    pub(crate) fn in_file(server: &ServerInfo, fields: &[&[u8]], length: u64) -> Self {
        let mut head = Head::new(server, HttpStatus::OK, fields);
        head.content_length(length);
        let (mut prepared, bytes) = head.end(server);
        prepared.in_file = length;
        prepared.bytes = bytes.into();
        prepared
    }

    /// Makes the 304 that says that the client has what `fields` describe.
    pub(crate) fn not_modified(server: &ServerInfo, fields: &[&[u8]]) -> Self {
        let (mut prepared, bytes) = Head::new(server, HttpStatus::NOT_MODIFIED, fields).end(server);
        prepared.bytes = bytes.into();
        prepared
    }

    /// Takes over a reply that was written for one connection, all but the field which that would add.
    pub(crate) fn written(
        server: &ServerInfo,
        status: HttpStatus,
        bytes: Vec<u8>,
        connection: usize,
        head: usize,
    ) -> Self {
        let date = bytes.windows(DATE.len()).position(|window| window == DATE);
        Self {
            status,
            date: date.map_or(bytes.len(), |start| start + DATE.len()),
            bytes: bytes.into(),
            connection,
            head,
            in_file: 0,
            server: server.serial,
        }
    }

    pub(crate) fn status(&self) -> HttpStatus {
        self.status
    }

    /// Whether it was made for `server`.
    pub(crate) fn belongs_to(&self, server: &ServerInfo) -> bool {
        self.server == server.serial
    }

    /// Appends the reply: `connection` is the field line that the connection adds, or nothing. A `silent` one has no content.
    pub(crate) fn append(&self, out: &mut Vec<u8>, clock: &Clock, connection: &[u8], silent: bool) {
        let start = out.len();
        let end = if silent { self.head } else { self.bytes.len() };
        if connection.is_empty() {
            out.extend_from_slice(self.part(0..end));
        } else {
            out.extend_from_slice(self.part(0..self.connection));
            out.extend_from_slice(connection);
            out.extend_from_slice(self.part(self.connection..end));
        }
        let date = start + self.date;
        if let Some(hole) = out.get_mut(date..date + IMF_LEN) {
            hole.copy_from_slice(&clock.imf_fixdate);
        }
    }

    /// The content that is in memory.
    pub(crate) fn content(&self) -> &[u8] {
        self.part(self.head..self.bytes.len())
    }

    /// Where in its file the content is that is not in memory.
    pub(crate) fn range_of_file(&self) -> Range<u64> {
        0..self.in_file
    }

    fn part(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }
}

/// A head while it is made.
struct Head {
    status: HttpStatus,
    bytes: Vec<u8>,
    date: usize,
}

impl Head {
    fn new(server: &ServerInfo, status: HttpStatus, fields: &[&[u8]]) -> Self {
        let mut bytes = Vec::with_capacity(HEAD);
        write_status_line(&mut bytes, server, status);
        push(
            &mut bytes,
            &[b"Server: ", server.version_string().as_bytes(), DATE],
        );
        let date = bytes.len();
        push(&mut bytes, &[&[b' '; IMF_LEN], b"\r\n"]);
        write_extra_fields(&mut bytes, server);
        push(&mut bytes, fields);
        Self {
            status,
            bytes,
            date,
        }
    }

    fn content_length(&mut self, length: u64) {
        let length = length.to_string();
        push(
            &mut self.bytes,
            &[b"Content-Length: ", length.as_bytes(), b"\r\n"],
        );
    }

    /// Closes the head; returns it beside the reply, whose content may be yet to come.
    fn end(mut self, server: &ServerInfo) -> (Prepared, Vec<u8>) {
        let connection = self.bytes.len();
        push(&mut self.bytes, &[b"\r\n"]);
        let prepared = Prepared {
            status: self.status,
            bytes: Box::default(),
            date: self.date,
            connection,
            head: self.bytes.len(),
            in_file: 0,
            server: server.serial,
        };
        (prepared, self.bytes)
    }
}
