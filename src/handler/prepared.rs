//! A reply with a whole file, made once and sent often: its head with a hole for the date, and its content beside it.
//!
//! Invariant: what depends on the connection is not in it; all the rest leaves in one copy.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::clock::Clock;
use super::lines::write_status_line;
use super::server_info::ServerInfo;
use crate::http::conditional::Validators;
use crate::http::date::{IMF_LEN, imf_fixdate};
use crate::http::status::HttpStatus;

/// Most heads are shorter.
const HEAD: usize = 512;

/// A 200, and the 304 that goes with it, which stay the same as long as their file does.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The head of the 200, complete but for the date, and the content that is kept in memory.
    bytes: Box<[u8]>,
    /// Where in it the fields begin, after the status line.
    fields: usize,
    date: usize,
    etag: Range<usize>,
    /// Where the fields end that a 304 has, too (RFC 9110 §15.4.5).
    validators: usize,
    /// Where the head ends, empty line included.
    head: usize,
    last_modified: u64,
    /// The content that is not kept in memory, and its length.
    file: Option<(Arc<File>, u64)>,
    /// The server whose version, name and configuration are in the head.
    server: u64,
}

impl Prepared {
    /// Makes a reply whose content is in memory: `length` bytes that `read` fills in. `fields` are the field lines of the
    /// representation beside its validators.
    pub(crate) fn in_memory(
        server: &ServerInfo,
        validators: &Validators<'_>,
        fields: &[u8],
        length: usize,
        read: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (mut prepared, mut bytes) = Self::head(server, validators, fields, length as u64);
        bytes.reserve_exact(length);
        bytes.resize(prepared.head + length, 0);
        read(bytes.get_mut(prepared.head..).unwrap_or_default())?;
        prepared.bytes = bytes.into();
        Ok(prepared)
    }

    /// Makes a reply whose content is streamed from `file`.
    pub(crate) fn with_file(
        server: &ServerInfo,
        validators: &Validators<'_>,
        fields: &[u8],
        file: File,
        length: u64,
    ) -> Self {
        let (mut prepared, bytes) = Self::head(server, validators, fields, length);
        prepared.file = Some((Arc::new(file), length));
        prepared.bytes = bytes.into();
        prepared
    }

    /// Makes the head, and all but the bytes of the reply.
    fn head(
        server: &ServerInfo,
        validators: &Validators<'_>,
        fields: &[u8],
        length: u64,
    ) -> (Self, Vec<u8>) {
        let config = server.config();
        let mut head = Vec::with_capacity(HEAD);
        write_status_line(&mut head, server, HttpStatus::OK);
        let fields_start = head.len();
        push(
            &mut head,
            &["Server: ", server.version_string(), "\r\nDate: "],
        );
        let date = head.len();
        head.extend_from_slice(&[b' '; IMF_LEN]);
        head.extend_from_slice(b"\r\n");
        for (name, value) in &config.extra_response_headers {
            push(&mut head, &[name, ": ", value, "\r\n"]);
        }
        head.extend_from_slice(b"Last-Modified: ");
        head.extend_from_slice(&imf_fixdate(validators.last_modified));
        head.extend_from_slice(b"\r\nETag: ");
        let etag = head.len()..head.len() + validators.etag.len();
        head.extend_from_slice(validators.etag);
        head.extend_from_slice(b"\r\n");
        let validators_end = head.len();
        head.extend_from_slice(fields);
        push(
            &mut head,
            &["Content-Length: ", &length.to_string(), "\r\n\r\n"],
        );
        let prepared = Self {
            bytes: Box::default(),
            fields: fields_start,
            date,
            etag,
            validators: validators_end,
            head: head.len(),
            last_modified: validators.last_modified,
            file: None,
            server: server.serial,
        };
        (prepared, head)
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators {
            etag: self.part(self.etag.clone()),
            last_modified: self.last_modified,
        }
    }

    /// Whether it was made for `server`.
    pub(crate) fn belongs_to(&self, server: &ServerInfo) -> bool {
        self.server == server.serial
    }

    /// Appends the 200: `connection` is the field line that the connection adds, or nothing. A `silent` one has no content.
    pub(crate) fn append(&self, out: &mut Vec<u8>, clock: &Clock, connection: &[u8], silent: bool) {
        let start = out.len();
        if connection.is_empty() && !silent {
            out.extend_from_slice(&self.bytes);
        } else {
            out.extend_from_slice(self.part(0..self.head - b"\r\n".len()));
            out.extend_from_slice(connection);
            out.extend_from_slice(b"\r\n");
            if !silent {
                self.append_content(out);
            }
        }
        fill_in(out, start + self.date, clock);
    }

    /// Appends the content alone, as far as it is in memory.
    pub(crate) fn append_content(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.part(self.head..self.bytes.len()));
    }

    /// Appends the 304 in place of the 200.
    pub(crate) fn append_not_modified(
        &self,
        out: &mut Vec<u8>,
        server: &ServerInfo,
        clock: &Clock,
        connection: &[u8],
    ) {
        write_status_line(out, server, HttpStatus::NOT_MODIFIED);
        let date = out.len() + self.date - self.fields;
        out.extend_from_slice(self.part(self.fields..self.validators));
        out.extend_from_slice(connection);
        out.extend_from_slice(b"\r\n");
        fill_in(out, date, clock);
    }

    pub(crate) fn content_in_memory(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// The content that is not in memory, and its length.
    pub(crate) fn file(&self) -> Option<(Arc<File>, u64)> {
        self.file.clone()
    }

    /// Bytes of memory behind it.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn holds_descriptor(&self) -> bool {
        self.file.is_some()
    }

    fn part(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }
}

fn fill_in(out: &mut [u8], date: usize, clock: &Clock) {
    if let Some(hole) = out.get_mut(date..date + IMF_LEN) {
        hole.copy_from_slice(&clock.imf_fixdate);
    }
}

fn push(out: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}
