//! One reply while it is being made: head and body in memory, framed by the server when the handler has returned.
//!
//! Invariant: the buffer holds nothing of this reply but a head that is still open. So any failure before [`Reply::finish`]
//! ends in a clean error reply, and a handler cannot break the framing (RFC 9112 §6).

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::clock::Clock;
use super::ending::Framed;
use super::lines::{connection, end_head, write_server_and_date};
use super::page::Page;
use super::prepared::Prepared;
use super::server_info::ServerInfo;
use crate::config::ProtocolVersion;
use crate::http::chunked;
use crate::http::field::{DefaultFields, FieldLines, FieldName, FieldValue};
use crate::http::reply_head::ReplyHead;
use crate::http::request::{Request, Version};
use crate::http::status::HttpStatus;
use crate::wire::body::{Body, BodyFraming, Maker, Part, Parts, SourceBody};
use crate::wire::shared_file::SharedFile;
use crate::wire::source::{Fill, Source, pull};

/// Files up to this size leave in one write with their head; the copy costs less than a second system call.
const INLINE_FILE: usize = 32 * 1024;

const CHUNKED: FieldValue<'static> = FieldValue::constant("chunked");

/// How far the handler came with its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplyStage {
    Start,
    Fields,
    Body,
}

/// What the body consists of.
#[derive(Debug)]
enum ReplyBody {
    /// What was written to `wfile`.
    Written,
    File {
        file: Arc<SharedFile>,
        range: Range<u64>,
    },
    Parts {
        file: Arc<SharedFile>,
        parts: VecDeque<Part>,
    },
    Source {
        source: Box<dyn Source>,
        maker: Maker,
    },
    /// Head and body were made before.
    Prepared(Arc<Prepared>, Option<Arc<SharedFile>>),
}

/// A reply that its handler is making.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    head: ReplyHead<'a>,
    /// The body that streams once the bytes in memory have left.
    rest: &'a mut Body,
    /// What the handler wrote to `wfile`.
    written: &'a mut Vec<u8>,
    content: ReplyBody,
    stage: ReplyStage,
    status: HttpStatus,
    /// The `Content-Length` that the handler gave.
    announced: Option<u64>,
    /// Fields that the head gets at its end, unless the handler or the configuration has them.
    defaults: &'static DefaultFields,
    misuse: Option<&'static str>,
}

impl<'a> Reply<'a> {
    /// Begins a reply at the end of `out`, where nothing streams yet; `written` is scratch for the body.
    pub(crate) fn new(out: &'a mut Vec<u8>, rest: &'a mut Body, written: &'a mut Vec<u8>) -> Self {
        written.clear();
        Self {
            head: ReplyHead::new(out),
            rest,
            written,
            content: ReplyBody::Written,
            stage: ReplyStage::Start,
            status: HttpStatus::OK,
            announced: None,
            defaults: &[],
            misuse: None,
        }
    }

    /// Forgets everything, so that another reply can take its place.
    pub(crate) fn reset(&mut self) {
        self.head.reset();
        self.written.clear();
        self.content = ReplyBody::Written;
        self.stage = ReplyStage::Start;
        self.announced = None;
        self.defaults = &[];
        self.misuse = None;
    }

    pub(crate) fn misuse(&self) -> Option<&'static str> {
        match self.stage {
            ReplyStage::Start => Some(self.misuse.unwrap_or("the handler made no reply")),
            _ => self.misuse,
        }
    }

    pub(crate) fn status(&self) -> Option<HttpStatus> {
        self.is_begun().then_some(self.status)
    }

    pub(crate) fn is_untouched(&self) -> bool {
        self.stage == ReplyStage::Start && self.misuse.is_none()
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.stage != ReplyStage::Start
    }

    /// Keeps the first misuse, because later ones may be its consequences.
    pub(crate) fn refuse(&mut self, misuse: &'static str) {
        self.misuse.get_or_insert(misuse);
    }

    pub(crate) fn status_line(&mut self, status: HttpStatus, server: &ServerInfo) {
        if self.is_begun() {
            return self.refuse("a second status line");
        } else if status.code() < 200 {
            self.refuse("an interim status as the reply");
        }
        self.stage = ReplyStage::Fields;
        self.status = status;
        self.head
            .status_line(server.config().protocol_version, status);
    }

    pub(crate) fn field(&mut self, name: FieldName<'_>, value: FieldValue<'_>) {
        if self.is_open() {
            self.head.field(name, value);
        }
    }

    pub(crate) fn lines(&mut self, lines: &FieldLines) {
        if self.is_open() {
            self.head.lines(lines);
        }
    }

    pub(crate) fn set_defaults(&mut self, fields: &'static DefaultFields) {
        self.defaults = fields;
    }

    /// Whether a field may be added now. If not, that is noted as misuse.
    pub(crate) fn is_open(&mut self) -> bool {
        let is_open = self.stage == ReplyStage::Fields;
        if !is_open {
            self.refuse("a header field outside of the head");
        }
        is_open
    }

    pub(crate) fn announce(&mut self, length: u64) {
        match self.announced.replace(length) {
            Some(other) if other != length => self.refuse("two different lengths"),
            _ => {}
        }
    }

    pub(crate) fn end_headers(&mut self) {
        match self.stage {
            ReplyStage::Fields => self.stage = ReplyStage::Body,
            _ => self.refuse("end_headers without a head"),
        }
    }

    /// Returns the body in memory to write to, or why it cannot be written to now.
    pub(crate) fn body(&mut self) -> Result<&mut Vec<u8>, &'static str> {
        match (self.stage, &self.content) {
            (ReplyStage::Body, ReplyBody::Written) => Ok(self.written),
            (ReplyStage::Body, _) => Err("a write after the body was handed over"),
            _ => Err("a write before end_headers"),
        }
    }

    /// Takes `page` as the body. The head stays open for further fields.
    pub(crate) fn page(&mut self, page: Page) {
        self.lines(&page.fields);
        self.set_defaults(page.defaults);
        *self.written = page.content;
    }

    /// Takes a copy of `content` as the body, with `defaults` if the status allows a body. The head stays open for further
    /// fields.
    pub(crate) fn content(&mut self, defaults: &'static DefaultFields, content: &[u8]) {
        if self.status.allows_body() {
            self.set_defaults(defaults);
        }
        self.written.extend_from_slice(content);
    }

    pub(crate) fn file(&mut self, file: Arc<SharedFile>, range: Range<u64>) {
        let range = range.start..range.end.max(range.start);
        self.hand_over(ReplyBody::File { file, range });
    }

    pub(crate) fn parts(&mut self, file: Arc<SharedFile>, parts: VecDeque<Part>) {
        self.hand_over(ReplyBody::Parts { file, parts });
    }

    pub(crate) fn source(&mut self, source: Box<dyn Source>, maker: Maker) {
        self.hand_over(ReplyBody::Source { source, maker });
    }

    /// Takes a reply that was made before, and the file with the content that is not in memory. No other reply may have been
    /// begun.
    pub(crate) fn prepared(&mut self, prepared: Arc<Prepared>, file: Option<Arc<SharedFile>>) {
        if self.is_begun() {
            return self.refuse("a second status line");
        }
        self.stage = ReplyStage::Body;
        self.status = prepared.status();
        self.content = ReplyBody::Prepared(prepared, file);
    }

    fn hand_over(&mut self, content: ReplyBody) {
        match self.body() {
            Ok(written) if written.is_empty() => self.content = content,
            Ok(_) => self.refuse("a second body"),
            Err(misuse) => self.refuse(misuse),
        }
    }

    /// Frames the reply (RFC 9112 §6.3) and appends a small body to the head. The framing is `Content-Length` where the length
    /// is known, otherwise chunked, and for a peer that does not know chunked, the close of the connection.
    ///
    /// # Errors
    /// The body cannot be read, or is not as long as announced. The caller must then reset and replace the reply.
    pub(crate) fn finish(
        &mut self,
        request: &Request<'_>,
        server: &ServerInfo,
        clock: &Clock,
        close: bool,
    ) -> io::Result<Framed> {
        let mut framed = Framed {
            status: self.status,
            overhead: 0,
            keep_alive: request.meaning.keep_alive
                && !close
                && server.config().protocol_version == ProtocolVersion::Http11,
        };
        let silent = request.command == "HEAD" || !self.status.allows_body();
        // Fast path: a prepared reply is not moved.
        if let ReplyBody::Prepared(prepared, file) = &mut self.content {
            let head = &mut self.head;
            framed.overhead = append_prepared(head, prepared, silent, request, clock, &framed);
            if let Some(file) = file.take().filter(|_| !silent) {
                *self.rest = Body::file(file, prepared.range_of_file());
            }
        } else {
            self.finish_body(silent, request, server, &mut framed)?;
        }
        Ok(framed)
    }

    /// Frames a reply that the handler made now.
    fn finish_body(
        &mut self,
        silent: bool,
        request: &Request<'_>,
        server: &ServerInfo,
        framed: &mut Framed,
    ) -> io::Result<()> {
        match std::mem::replace(&mut self.content, ReplyBody::Written) {
            ReplyBody::Source { source, maker } => {
                self.finish_source(source, maker, silent, request, server, framed)?;
            }
            ReplyBody::File { file, range } => {
                self.length_field(range.end - range.start, silent)?;
                let out = end_head(&mut self.head, self.defaults, request, server, framed);
                if !silent {
                    *self.rest = inline_file(out, file, range)?;
                }
            }
            ReplyBody::Parts { file, parts } => {
                self.length_field(parts.iter().map(Part::length).sum(), silent)?;
                end_head(&mut self.head, self.defaults, request, server, framed);
                if !silent {
                    *self.rest = Body::Parts(Box::new(Parts { file, parts }));
                }
            }
            ReplyBody::Written | ReplyBody::Prepared(..) => {
                let length = self.written.len() as u64;
                self.length_field(length, silent)?;
                self.append_written(silent, request, server, framed);
            }
        }
        Ok(())
    }

    /// Asks the source for its first piece at once: a body that is complete then has a known length. This is done for HEAD too,
    /// so that it gets the same head as GET.
    fn finish_source(
        &mut self,
        mut source: Box<dyn Source>,
        maker: Maker,
        silent: bool,
        request: &Request<'_>,
        server: &ServerInfo,
        framed: &mut Framed,
    ) -> io::Result<()> {
        if !self.status.allows_body() {
            self.length_field(0, true)?;
            end_head(&mut self.head, self.defaults, request, server, framed);
            return Ok(());
        }
        let fill = pull(source.as_mut(), self.written)?;
        let length = self.written.len();
        if fill == Fill::Done {
            self.length_field(length as u64, silent)?;
            self.append_written(silent, request, server, framed);
            return Ok(());
        }
        let mut framing = self.source_framing(request, server);
        framing.take(length, fill)?;
        framed.keep_alive &= framing != BodyFraming::Close;
        match self.announced {
            Some(length) => self.head.content_length(length),
            None if framing == BodyFraming::Chunked => {
                self.head.field(FieldName::TRANSFER_ENCODING, CHUNKED);
            }
            None => {}
        }
        let out = end_head(&mut self.head, self.defaults, request, server, framed);
        if !silent {
            let before = out.len();
            if framing == BodyFraming::Chunked {
                chunked::write_chunk(out, self.written);
            } else {
                out.extend_from_slice(self.written);
            }
            framed.overhead += (out.len() - before - length) as u64;
            *self.rest = Body::Source(Box::new(SourceBody::new(source, framing, maker)));
        }
        Ok(())
    }

    /// Chooses how the peer learns where the body of a source ends.
    fn source_framing(&self, request: &Request<'_>, server: &ServerInfo) -> BodyFraming {
        match self.announced {
            Some(length) => BodyFraming::Length(length),
            None if request.meaning.version == Version::Http11
                && server.config().protocol_version == ProtocolVersion::Http11 =>
            {
                BodyFraming::Chunked
            }
            None => BodyFraming::Close,
        }
    }

    /// Ends the head, and appends what the handler wrote.
    fn append_written(
        &mut self,
        silent: bool,
        request: &Request<'_>,
        server: &ServerInfo,
        framed: &mut Framed,
    ) {
        let out = end_head(&mut self.head, self.defaults, request, server, framed);
        if !silent {
            out.extend_from_slice(self.written);
        }
    }

    /// Announces the length of the body. A reply without a body may announce what GET would have sent (RFC 9110 §8.6).
    fn length_field(&mut self, length: u64, silent: bool) -> io::Result<()> {
        let length = match self.announced {
            Some(announced) if announced != length && !silent => {
                return Err(io::Error::other("a body of another length than announced"));
            }
            Some(announced) => announced,
            None if self.status == HttpStatus::RESET_CONTENT => 0,
            None if !self.status.allows_body() => return Ok(()),
            None => length,
        };
        if self.status == HttpStatus::NO_CONTENT || self.status.code() < 200 {
            return Ok(());
        }
        self.head.content_length(length);
        Ok(())
    }

    pub(crate) fn server_and_date(&mut self, server: &ServerInfo, clock: &Clock) {
        write_server_and_date(&mut self.head, server, &clock.imf_fixdate);
    }
}

/// Appends a reply that was made before; returns how many bytes of it are not content.
fn append_prepared(
    head: &mut ReplyHead<'_>,
    prepared: &Prepared,
    silent: bool,
    request: &Request<'_>,
    clock: &Clock,
    framed: &Framed,
) -> u64 {
    if request.meaning.version == Version::Http09 {
        head.omit().extend_from_slice(prepared.content());
    } else {
        let connection = connection(request, framed.keep_alive);
        head.repeat(prepared.reply(), &clock.imf_fixdate, connection, silent);
    }
    let content = if silent { 0 } else { prepared.content().len() };
    (head.length() - content) as u64
}

/// Appends the file if it is small and in memory; otherwise returns it to be streamed.
fn inline_file(out: &mut Vec<u8>, file: Arc<SharedFile>, range: Range<u64>) -> io::Result<Body> {
    match usize::try_from(range.end - range.start) {
        Ok(length) if length <= INLINE_FILE => {
            let start = out.len();
            out.resize(start + length, 0);
            let room = out.get_mut(start..).unwrap_or_default();
            if file.read_exact_now(room, range.start)? {
                return Ok(Body::Empty);
            }
            out.truncate(start);
        }
        _ => {}
    }
    Ok(Body::file(file, range))
}

#[cfg(test)]
mod tests;
