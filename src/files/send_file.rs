//! A file as a reply: conditions first, then ranges, then head and content (RFC 9110 §13.2.2 and §14).

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::representation::{Description, RemoteFile, Representation, SentFrom};
use crate::handler::exchange::Exchange;
use crate::http::conditional::{Condition, Precondition, evaluate_known, if_range_holds};
use crate::http::field::{FieldName, FieldValue};
use crate::http::range::{RangeSet, parse_range};
use crate::http::status::HttpStatus;
use crate::wire::body::Part;
use crate::wire::file_source::FilePart;
use crate::wire::shared_file::SharedFile;
use crate::wire::source::{Fill, Source};

/// Replies to a GET or HEAD of a file. Content that is not in memory is `sent_from` a file.
// Inlined with `send_whole`, which saves 20 of 1,900 instructions per request.
#[inline(always)]
pub(crate) fn send_file(
    exchange: &mut Exchange<'_>,
    representation: &Representation,
    sent_from: Option<SentFrom>,
) -> io::Result<()> {
    let may_select = || representation.whole.status() == HttpStatus::OK;
    if exchange.condition() == Condition::None || !may_select() {
        // Fast path: no condition and no range.
        send_whole(exchange, representation, sent_from);
        return Ok(());
    }
    send_selected(exchange, representation, sent_from)
}

#[inline(always)]
fn send_whole(
    exchange: &mut Exchange<'_>,
    representation: &Representation,
    sent_from: Option<SentFrom>,
) {
    let whole = Arc::clone(&representation.whole);
    match sent_from {
        Some(SentFrom::Local(file)) => exchange.send_prepared_file(whole, file),
        Some(SentFrom::Remote(file)) => send_remote(exchange, representation, file),
        None => exchange.send_prepared(whole),
    }
}

fn send_remote(exchange: &mut Exchange<'_>, representation: &Representation, file: RemoteFile) {
    begin_reply(exchange, representation, representation.whole.status());
    exchange.send_lines(&representation.description.content_type);
    exchange.end_headers();
    exchange.send_by_threads(file, [FilePart::Range(0..representation.size)]);
}

/// Replies to a request with conditions or ranges: with all of the file, parts of it, or a 304, 412 or 416.
#[inline(never)]
fn send_selected(
    exchange: &mut Exchange<'_>,
    representation: &Representation,
    sent_from: Option<SentFrom>,
) -> io::Result<()> {
    let (validators, now) = (representation.validators(), exchange.clock().unix);
    match evaluate_known(exchange.condition(), &exchange.headers(), &validators, now) {
        Precondition::Proceed => {}
        Precondition::NotModified => {
            let reply = Arc::clone(representation.not_modified(exchange.server()));
            exchange.send_prepared(reply);
            return Ok(());
        }
        Precondition::Failed => {
            exchange.send_error(HttpStatus::PRECONDITION_FAILED, None, None);
            return Ok(());
        }
    }
    match requested_ranges(exchange, representation) {
        RangeSet::Whole => send_whole(exchange, representation, sent_from),
        RangeSet::Single(range) => {
            begin_reply(exchange, representation, HttpStatus::PARTIAL_CONTENT);
            exchange.send_lines(&representation.description.content_type);
            exchange.send_header("Content-Range", content_range(&range, representation.size));
            exchange.end_headers();
            send_range(exchange, representation, sent_from, range)?;
        }
        RangeSet::Multiple(ranges) => send_multipart(exchange, representation, sent_from, &ranges)?,
        RangeSet::Unsatisfiable => {
            exchange.send_error(HttpStatus::RANGE_NOT_SATISFIABLE, None, None);
            let size = representation.size;
            exchange.send_header("Content-Range", format!("bytes */{size}"));
        }
    }
    Ok(())
}

/// Returns the ranges that apply: those of a GET, in one field, unless If-Range rules them out (RFC 9110 §14.2).
fn requested_ranges(exchange: &Exchange<'_>, representation: &Representation) -> RangeSet {
    if exchange.command() != "GET" {
        return RangeSet::Whole;
    }
    let headers = exchange.headers();
    let Some(range) = headers.get("range") else {
        return RangeSet::Whole;
    };
    let mut validators = representation.validators();
    // All codings of a file have its date, so it does not tell whether the client has a part of this one.
    validators.has_date &= !representation.is_negotiated();
    let holds = |value| if_range_holds(value, &validators, exchange.clock().unix);
    if headers.get_all("range").count() > 1 || !headers.get_all("if-range").all(holds) {
        return RangeSet::Whole;
    }
    parse_range(range, representation.size)
}

/// Begins a reply with a part of a file, or with all of a file that only file threads read.
fn begin_reply(exchange: &mut Exchange<'_>, representation: &Representation, status: HttpStatus) {
    exchange.send_response(status);
    exchange.send_lines(&representation.fields_of_part());
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

fn send_range(
    exchange: &mut Exchange<'_>,
    representation: &Representation,
    sent_from: Option<SentFrom>,
    range: Range<u64>,
) -> io::Result<()> {
    match (sent_from, representation.content()) {
        (Some(SentFrom::Local(file)), _) => exchange.copy_shared(file, range),
        (Some(SentFrom::Remote(file)), _) => {
            exchange.send_by_threads(file, [FilePart::Range(range)]);
        }
        (None, content) => exchange.wfile().write_all(cut(content, &range))?,
    }
    Ok(())
}

/// Returns the bytes of `range` in a content that is in memory.
fn cut<'c>(content: Option<&'c [u8]>, range: &Range<u64>) -> &'c [u8] {
    let range = range.start as usize..range.end as usize;
    content
        .and_then(|content| content.get(range))
        .unwrap_or_default()
}

/// Sends several ranges as `multipart/byteranges` (RFC 9110 §14.6). The parts of a large file are sent from the file itself.
fn send_multipart(
    exchange: &mut Exchange<'_>,
    representation: &Representation,
    sent_from: Option<SentFrom>,
    ranges: &[Range<u64>],
) -> io::Result<()> {
    let boundary = RandomState::new().hash_one(representation.validators().etag);
    let boundary = format!("{boundary:016x}");
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    begin_reply(exchange, representation, HttpStatus::PARTIAL_CONTENT);
    exchange.send_header("Content-Type", content_type);
    exchange.end_headers();
    let heads = ranges
        .iter()
        .map(|range| part_head(&boundary, representation, range))
        .collect::<io::Result<Vec<_>>>()?;
    let end = format!("\r\n--{boundary}--\r\n").into_bytes();
    let parts = heads.into_iter().zip(ranges.iter().cloned());
    match sent_from {
        Some(SentFrom::Local(file)) => {
            let part = |(head, range): (Vec<u8>, Range<u64>)| {
                [Part::Text(head.into()), Part::Range(range.into())]
            };
            let end = Part::Text(end.into());
            exchange.copy_parts(file, parts.flat_map(part).chain([end]).collect());
        }
        Some(SentFrom::Remote(file)) => {
            let part = |(head, range)| [FilePart::Text(head), FilePart::Range(range)];
            let end = FilePart::Text(end);
            exchange.send_by_threads(file, parts.flat_map(part).chain([end]));
        }
        None => {
            let content = representation.content();
            let mut body = exchange.wfile();
            for (head, range) in parts {
                body.write_all(&head)?;
                body.write_all(cut(content, &range))?;
            }
            body.write_all(&end)?;
        }
    }
    Ok(())
}

/// Returns the boundary and the fields of a part. A line end precedes the first boundary, too, as with nginx and Apache: zsync
/// skips a line there.
fn part_head(
    boundary: &str,
    representation: &Representation,
    range: &Range<u64>,
) -> io::Result<Vec<u8>> {
    let content_range = content_range(range, representation.size);
    let mut fields = representation.description.content_type.clone();
    fields.push(
        FieldName::CONTENT_RANGE,
        FieldValue::new(content_range.as_bytes())?,
    );
    let boundary = boundary.as_bytes();
    let pieces: [&[u8]; 5] = [b"\r\n--", boundary, b"\r\n", fields.as_bytes(), b"\r\n"];
    Ok(pieces.concat())
}

/// Sends a file of unknown length until it ends. It has no entity tag, because its content is not known before it was read.
pub(crate) fn send_to_end(
    exchange: &mut Exchange<'_>,
    sent_from: SentFrom,
    description: &Description,
) {
    exchange.send_response(description.status);
    exchange.send_lines(&description.policy);
    exchange.send_lines(&description.content_type);
    exchange.end_headers();
    match sent_from {
        SentFrom::Local(file) => exchange.stream(Box::new(ToEnd { file, offset: 0 })),
        SentFrom::Remote(file) => exchange.send_by_threads(file, [FilePart::ToEnd(0)]),
    }
}

/// Reads a file piece by piece until it ends.
struct ToEnd {
    file: Arc<SharedFile>,
    offset: u64,
}

/// Bytes that are read at a time.
const PIECE: usize = 16 * 1024;

impl Source for ToEnd {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        let start = out.len();
        out.resize(start + PIECE, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let length = self.file.file.read_at(room, self.offset)?;
        out.truncate(start + length);
        self.offset += length as u64;
        Ok(if length == 0 { Fill::Done } else { Fill::More })
    }
}
