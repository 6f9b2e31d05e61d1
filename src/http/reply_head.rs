//! Writes the head of a reply (RFC 9112 §4 and §5), and stores whole replies that are sent often.
//!
//! Invariant: a head consists of a status line, a date, numbers, and fields that were [checked](super::field). Nothing else
//! can be written into it: callers get the buffer only after the empty line that ends the head, or if there is no head.

use super::date::ImfFixdate;
use super::decimal::push_decimal;
use super::field::{DefaultFields, FieldLines, FieldName, FieldValue, write_line};
use super::status::HttpStatus;
use crate::config::ProtocolVersion;

const NEWLINE: &[u8] = b"\r\n";

/// A head that is being written at the end of a buffer.
#[derive(Debug)]
pub(crate) struct ReplyHead<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// The offset of the date from `start`.
    date: Option<usize>,
}

impl<'a> ReplyHead<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self {
            start: out.len(),
            out,
            date: None,
        }
    }

    /// Discards everything that was written since [`new`](Self::new), including content after the head.
    pub(crate) fn reset(&mut self) {
        self.out.truncate(self.start);
        self.date = None;
    }

    /// Returns the position in the buffer where the head begins.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Returns the number of bytes that were written since [`new`](Self::new).
    pub(crate) fn length(&self) -> usize {
        self.out.len() - self.start
    }

    pub(crate) fn status_line(&mut self, version: ProtocolVersion, status: HttpStatus) {
        let code = status.code();
        let digits = [code / 100 % 10, code / 10 % 10, code % 10].map(|digit| b'0' + digit as u8);
        self.out.extend_from_slice(version.name().as_bytes());
        self.out.push(b' ');
        self.out.extend_from_slice(&digits);
        self.out.push(b' ');
        self.out.extend_from_slice(status.phrase().as_bytes());
        self.out.extend_from_slice(NEWLINE);
    }

    pub(crate) fn field(&mut self, name: FieldName<'_>, value: FieldValue<'_>) {
        write_line(self.out, name, value);
    }

    pub(crate) fn lines(&mut self, lines: &FieldLines) {
        self.out.extend_from_slice(lines.as_bytes());
    }

    pub(crate) fn content_length(&mut self, length: u64) {
        self.out.extend_from_slice(b"Content-Length: ");
        push_decimal(self.out, length);
        self.out.extend_from_slice(NEWLINE);
    }

    /// Writes `Date` and remembers its place, because a [stored](Self::store) reply gets a new date each time it is sent.
    pub(crate) fn date(&mut self, date: &ImfFixdate) {
        self.out.extend_from_slice(b"Date: ");
        self.date = Some(self.length());
        self.out.extend_from_slice(date.as_bytes());
        self.out.extend_from_slice(NEWLINE);
    }

    /// Writes those of the `defaults` that the head does not have yet.
    pub(crate) fn defaults(&mut self, defaults: &DefaultFields) {
        if defaults.is_empty() {
            return;
        }
        let written = self.out.get(self.start..).unwrap_or_default();
        let given = given_defaults(written, defaults);
        for (index, (name, value)) in defaults.iter().enumerate() {
            if given & 1 << index == 0 {
                self.field(*name, *value);
            }
        }
    }

    /// Ends the head and returns the buffer for the content. `connection` is the value of the Connection field, if the head
    /// needs one (RFC 9112 §9.3).
    pub(crate) fn end(&mut self, connection: Option<FieldValue<'static>>) -> &mut Vec<u8> {
        if let Some(value) = connection {
            self.field(FieldName::CONNECTION, value);
        }
        self.out.extend_from_slice(NEWLINE);
        self.out
    }

    /// Discards the head and returns the buffer: an HTTP/0.9 reply has no head.
    pub(crate) fn omit(&mut self) -> &mut Vec<u8> {
        self.reset();
        self.out
    }

    /// Ends the head and moves it out of the buffer. With `content` it becomes a reply that any connection can send.
    pub(crate) fn store(&mut self, content: &[u8]) -> StoredReply {
        self.end(None);
        let head = self.out.get(self.start..).unwrap_or_default();
        let stored = StoredReply {
            bytes: [head, content].concat().into(),
            date: self.date,
            head: head.len(),
        };
        self.reset();
        stored
    }

    /// Writes a stored reply with a new `date` and the Connection field that this connection needs. If `head_only`, the content
    /// is left out.
    pub(crate) fn repeat(
        &mut self,
        stored: &StoredReply,
        date: &ImfFixdate,
        connection: Option<FieldValue<'static>>,
        head_only: bool,
    ) {
        let end = if head_only {
            stored.head
        } else {
            stored.bytes.len()
        };
        if connection.is_none() {
            self.out.extend_from_slice(stored.part(0, end));
        } else {
            let fields_end = stored.head - NEWLINE.len();
            self.out.extend_from_slice(stored.part(0, fields_end));
            self.end(connection);
            self.out.extend_from_slice(stored.part(stored.head, end));
        }
        if let Some(place) = stored.date
            && let Some(rest) = self.out.get_mut(self.start + place..)
            && let Some(blank) = rest.first_chunk_mut()
        {
            *blank = *date.as_bytes();
        }
    }
}

/// Returns a bit mask of the `defaults` that `head` already has.
fn given_defaults(head: &[u8], defaults: &DefaultFields) -> u32 {
    let mut given = 0;
    for end in memchr::memchr_iter(b'\n', head) {
        let line = head.get(end + 1..).unwrap_or_default();
        for (index, (name, _)) in defaults.iter().enumerate() {
            let name = name.as_str().as_bytes();
            let is_given = line
                .split_at_checked(name.len())
                .is_some_and(|(start, rest)| {
                    rest.starts_with(b":") && start.eq_ignore_ascii_case(name)
                });
            given |= u32::from(is_given) << index;
        }
    }
    given
}

/// A reply that is complete except for its date and its Connection field.
#[derive(Debug)]
pub(crate) struct StoredReply {
    /// The head and the content that is in memory.
    bytes: Box<[u8]>,
    /// The offset of the date.
    date: Option<usize>,
    /// The length of the head, including the empty line.
    head: usize,
}

impl StoredReply {
    /// Returns the content that is in memory.
    pub(crate) fn content(&self) -> &[u8] {
        self.part(self.head, self.bytes.len())
    }

    fn part(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::date::imf_fixdate;

    const CLOSE: FieldValue<'static> = FieldValue::constant("close");

    fn begin(head: &mut ReplyHead<'_>, date: &ImfFixdate) {
        head.status_line(ProtocolVersion::Http11, HttpStatus::NOT_FOUND);
        head.date(date);
        head.content_length(7);
    }

    #[test]
    fn a_head_is_written_line_by_line() {
        let mut out = b"before".to_vec();
        let mut head = ReplyHead::new(&mut out);
        begin(&mut head, &imf_fixdate(784_111_777));
        head.end(Some(CLOSE)).extend_from_slice(b"content");
        let expected = "before\
            HTTP/1.1 404 Not Found\r\n\
            Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
            Content-Length: 7\r\n\
            Connection: close\r\n\
            \r\n\
            content";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_stored_reply_equals_a_newly_written_one() {
        let date = imf_fixdate(784_111_777);
        for connection in [None, Some(CLOSE)] {
            for content in [&b""[..], b"content"] {
                let mut written = Vec::new();
                let mut head = ReplyHead::new(&mut written);
                begin(&mut head, &date);
                head.end(connection).extend_from_slice(content);

                let mut repeated = b"before".to_vec();
                let mut head = ReplyHead::new(&mut repeated);
                begin(&mut head, &ImfFixdate::BLANK);
                let stored = head.store(b"content");
                assert_eq!((head.length(), stored.content()), (0, &b"content"[..]));
                head.repeat(&stored, &date, connection, content.is_empty());
                assert_eq!(repeated, [b"before", written.as_slice()].concat());
            }
        }
    }

    #[test]
    fn a_default_field_is_written_unless_the_head_has_it() {
        const DEFAULTS: &DefaultFields = &[
            (FieldName::VARY, FieldValue::constant("default")),
            (FieldName::SERVER, FieldValue::constant("default")),
        ];
        let mut out = b"Vary: of another reply\r\n".to_vec();
        let start = out.len();
        let mut head = ReplyHead::new(&mut out);
        head.status_line(ProtocolVersion::Http10, HttpStatus::OK);
        head.field(FieldName::ETAG, FieldValue::constant("Vary: no field"));
        head.field(FieldName::new("sERVER").unwrap(), FieldValue::constant(""));
        head.defaults(DEFAULTS);
        let expected = "HTTP/1.0 200 OK\r\nETag: Vary: no field\r\nsERVER: \r\nVary: default\r\n";
        assert_eq!(
            out[start..].escape_ascii().to_string(),
            expected.escape_default().to_string()
        );
    }

    #[test]
    fn an_http_0_9_reply_has_no_head() {
        let mut out = b"before".to_vec();
        let mut head = ReplyHead::new(&mut out);
        begin(&mut head, &ImfFixdate::BLANK);
        head.omit().extend_from_slice(b"content");
        assert_eq!(out, b"beforecontent");
    }
}
