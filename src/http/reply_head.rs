//! The head of a reply while it is written (RFC 9112 §4 and §5), and a whole reply that is sent often.
//!
//! Invariant: a head is made of a status line, a date, numbers, and fields that were [checked](super::field). Nothing else
//! can be written into it: its buffer is given out only behind the empty line that ends the head, or where there is no head.

use super::date::ImfFixdate;
use super::decimal::push_decimal;
use super::field::{DefaultFields, FieldLines, FieldName, FieldValue, write_line};
use super::status::HttpStatus;
use crate::config::ProtocolVersion;

const NEWLINE: &[u8] = b"\r\n";

/// A head that grows at the end of a buffer.
#[derive(Debug)]
pub(crate) struct ReplyHead<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// How far behind the start the date stands.
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

    /// Forgets all that was written since [`new`](Self::new), what stands behind the head included.
    pub(crate) fn reset(&mut self) {
        self.out.truncate(self.start);
        self.date = None;
    }

    /// Where in its buffer the head begins.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Bytes that were written since [`new`](Self::new).
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

    /// Writes `Date`, whose place is remembered: a [stored](Self::store) reply gets another one each time.
    pub(crate) fn date(&mut self, date: &ImfFixdate) {
        self.out.extend_from_slice(b"Date: ");
        self.date = Some(self.length());
        self.out.extend_from_slice(date.as_bytes());
        self.out.extend_from_slice(NEWLINE);
    }

    /// Writes those of the `defaults` that are not in the head already.
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

    /// Ends the head, and gives the buffer for what comes behind it. `connection` is what the head says of the connection,
    /// where that must be said (RFC 9112 §9.3).
    pub(crate) fn end(&mut self, connection: Option<FieldValue<'static>>) -> &mut Vec<u8> {
        if let Some(value) = connection {
            self.field(FieldName::CONNECTION, value);
        }
        self.out.extend_from_slice(NEWLINE);
        self.out
    }

    /// Gives the buffer for a reply without a head, as HTTP/0.9 has it.
    pub(crate) fn omit(&mut self) -> &mut Vec<u8> {
        self.reset();
        self.out
    }

    /// Ends the head, and takes it with the `content` behind it out of the buffer, as a reply for any connection.
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

    /// Writes a reply that was stored, whose date and `connection` are its own each time. A `silent` one has no content.
    pub(crate) fn repeat(
        &mut self,
        stored: &StoredReply,
        date: &ImfFixdate,
        connection: Option<FieldValue<'static>>,
        silent: bool,
    ) {
        let end = if silent {
            stored.head
        } else {
            stored.bytes.len()
        };
        if connection.is_none() {
            self.out.extend_from_slice(stored.part(0, end));
        } else {
            let open = stored.head - NEWLINE.len();
            self.out.extend_from_slice(stored.part(0, open));
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

/// Returns which of the `defaults` are in `head`, a bit for each.
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

/// A reply that is complete but for its date and what it says of the connection.
#[derive(Debug)]
pub(crate) struct StoredReply {
    /// The head, and the content that is in memory.
    bytes: Box<[u8]>,
    date: Option<usize>,
    /// Where the head ends, empty line included.
    head: usize,
}

impl StoredReply {
    /// The content that is in memory.
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
    fn a_stored_reply_is_the_one_that_would_be_written_anew() {
        let date = imf_fixdate(784_111_777);
        for connection in [None, Some(CLOSE)] {
            for content in [&b""[..], b"content"] {
                let mut anew = Vec::new();
                let mut head = ReplyHead::new(&mut anew);
                begin(&mut head, &date);
                head.end(connection).extend_from_slice(content);

                let mut repeated = b"before".to_vec();
                let mut head = ReplyHead::new(&mut repeated);
                begin(&mut head, &ImfFixdate::BLANK);
                let stored = head.store(b"content");
                assert_eq!((head.length(), stored.content()), (0, &b"content"[..]));
                head.repeat(&stored, &date, connection, content.is_empty());
                assert_eq!(repeated, [b"before", anew.as_slice()].concat());
            }
        }
    }

    #[test]
    fn a_default_is_written_unless_the_field_is_there() {
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
    fn a_reply_of_http_0_9_has_no_head() {
        let mut out = b"before".to_vec();
        let mut head = ReplyHead::new(&mut out);
        begin(&mut head, &ImfFixdate::BLANK);
        head.omit().extend_from_slice(b"content");
        assert_eq!(out, b"beforecontent");
    }
}
