//! A 200 with a whole file, made once and sent often: its head with a hole for the date, and its content.

use std::fs::File;
use std::sync::Arc;

use super::clock::Clock;
use super::server_info::ServerInfo;
use crate::http::conditional::Validators;

/// A reply that stays the same as long as its file does.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The head up to the value of `Date`.
    before_date: Box<[u8]>,
    /// The head from there on, `Content-Length` included, without what depends on the connection.
    after_date: Box<[u8]>,
    /// The server whose version, name and configuration are in the head.
    server: u64,
    etag: Box<[u8]>,
    last_modified: u64,
    pub(crate) content: PreparedContent,
}

#[derive(Debug)]
pub(crate) enum PreparedContent {
    Memory(Box<[u8]>),
    File { file: Arc<File>, length: u64 },
}

impl Prepared {
    /// Makes the reply; `fields` are the complete field lines of the representation.
    pub(crate) fn new(
        server: &ServerInfo,
        validators: &Validators<'_>,
        fields: &[u8],
        content: PreparedContent,
    ) -> Self {
        let length = match &content {
            PreparedContent::Memory(bytes) => bytes.len() as u64,
            PreparedContent::File { length, .. } => *length,
        };
        let (version, name) = (
            server.config().protocol_version.name(),
            server.version_string(),
        );
        let before_date = format!("{version} 200 OK\r\nServer: {name}\r\nDate: ");
        let mut after_date = b"\r\n".to_vec();
        after_date.extend_from_slice(fields);
        after_date.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        Self {
            before_date: before_date.into_bytes().into(),
            after_date: after_date.into(),
            server: server.serial,
            etag: validators.etag.into(),
            last_modified: validators.last_modified,
            content,
        }
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators {
            etag: &self.etag,
            last_modified: self.last_modified,
        }
    }

    /// Whether it was made for `server`.
    pub(crate) fn belongs_to(&self, server: &ServerInfo) -> bool {
        self.server == server.serial
    }

    /// Appends the head, still open.
    pub(crate) fn append_head(&self, out: &mut Vec<u8>, clock: &Clock) {
        out.extend_from_slice(&self.before_date);
        out.extend_from_slice(&clock.imf_fixdate);
        out.extend_from_slice(&self.after_date);
    }

    /// Bytes of memory behind it.
    pub(crate) fn memory(&self) -> usize {
        let content = match &self.content {
            PreparedContent::Memory(bytes) => bytes.len(),
            PreparedContent::File { .. } => 0,
        };
        self.before_date.len() + self.after_date.len() + self.etag.len() + content
    }

    pub(crate) fn holds_descriptor(&self) -> bool {
        matches!(self.content, PreparedContent::File { .. })
    }
}
