//! A file as the replies that are kept of it: the 200, and the 304 for whoever has it already.

use std::io;
use std::sync::Arc;

use super::guess_type::charset;
use super::resource::{EntityTag, Resource};
use crate::handler::prepared::Prepared;
use crate::handler::server_info::ServerInfo;
use crate::http::conditional::Validators;
use crate::http::date::imf_fixdate;
use crate::wire::stretch::read_exact_now;

/// Files up to this size are read at once and sent from memory; one write for all costs less than a second system call.
pub(crate) const SMALL: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct KeptFile {
    pub(crate) whole: Arc<Prepared>,
    pub(crate) not_modified: Arc<Prepared>,
    etag: EntityTag,
    last_modified: u64,
}

impl KeptFile {
    /// Makes the replies with `resource`, which has these validators.
    pub(crate) fn new(
        server: &ServerInfo,
        resource: Resource,
        media_type: &str,
        etag: EntityTag,
        last_modified: u64,
    ) -> io::Result<Self> {
        let date = imf_fixdate(last_modified);
        let fields: [&[u8]; 8] = [
            b"Last-Modified: ",
            &date,
            b"\r\nETag: ",
            etag.as_bytes(),
            b"\r\nAccept-Ranges: bytes\r\nContent-Type: ",
            media_type.as_bytes(),
            charset(media_type).as_bytes(),
            b"\r\n",
        ];
        // What a 304 has of these (RFC 9110 §15.4.5).
        let [name, date, between, tag, ..] = fields;
        let not_modified = Prepared::not_modified(server, &[name, date, between, tag, b"\r\n"]);
        let whole = prepare(server, resource, &fields)?;
        Ok(Self {
            whole: Arc::new(whole),
            not_modified: Arc::new(not_modified),
            etag,
            last_modified,
        })
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators {
            etag: self.etag.as_bytes(),
            last_modified: self.last_modified,
        }
    }

    /// Bytes of memory behind it.
    pub(crate) fn memory(&self) -> usize {
        self.whole.memory() + self.not_modified.memory()
    }
}

/// Makes the reply with the whole file.
fn prepare(server: &ServerInfo, resource: Resource, fields: &[&[u8]]) -> io::Result<Prepared> {
    let Resource { file, size, .. } = resource;
    if let Ok(length) = usize::try_from(size)
        && size <= SMALL
    {
        let mut is_read = false;
        let prepared = Prepared::in_memory(server, fields, length, |content| {
            is_read = read_exact_now(&file, content, 0)?;
            Ok(())
        })?;
        if is_read {
            return Ok(prepared);
        }
    }
    Ok(Prepared::with_file(server, fields, file, size))
}
