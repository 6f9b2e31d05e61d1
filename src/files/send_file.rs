//! A file as a reply: conditionals, then ranges, then headers and content (RFC 9110 §13.2.2 and §14).

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::cache::Identity;
use super::guess_type::charset;
use super::kept_file::{KeptFile, SMALL};
use super::resource::Resource;
use crate::handler::exchange::Exchange;
use crate::http::conditional::{
    Condition, Precondition, Validators, evaluate_known, if_range_holds,
};
use crate::http::date::imf_fixdate;
use crate::http::range::{RangeSet, parse_range};
use crate::http::status::HttpStatus;
use crate::wire::body::Part;

/// Answers a GET or HEAD of `resource`, which is a regular file; a reply with the whole of it is given to `keep`.
pub(crate) fn send_file(
    exchange: &mut Exchange<'_>,
    resource: Resource,
    media_type: &str,
    keep: impl FnOnce(Identity, KeptFile),
) -> io::Result<()> {
    let tag = resource.etag(exchange.clock().since_1970);
    let last_modified = resource.last_modified(exchange.clock().unix);
    let validators = Validators {
        etag: tag.as_bytes(),
        last_modified,
    };
    if send_precondition(exchange, &validators) {
        return Ok(());
    }
    match requested_ranges(exchange, &validators, resource.size) {
        RangeSet::Whole => {
            let (identity, size) = (resource.identity, resource.size);
            let file = KeptFile::new(exchange.server(), resource, media_type, tag, last_modified)?;
            exchange.send_prepared(Arc::clone(&file.whole));
            // A small file that came from the disk is read into memory the next time.
            if size > SMALL || !file.whole.holds_descriptor() {
                keep(identity, file);
            }
            Ok(())
        }
        RangeSet::Single(range) => {
            begin(exchange, HttpStatus::PARTIAL_CONTENT, &validators);
            content_type(exchange, media_type);
            exchange.send_header("Content-Range", content_range(&range, resource.size));
            exchange.end_headers();
            exchange.copyfile(resource.file, range);
            Ok(())
        }
        RangeSet::Multiple(ranges) => {
            send_multipart(exchange, resource, media_type, &ranges, &validators)
        }
        RangeSet::Unsatisfiable => {
            exchange.send_error(HttpStatus::RANGE_NOT_SATISFIABLE, None, None);
            exchange.send_header("Content-Range", format!("bytes */{}", resource.size));
            Ok(())
        }
    }
}

/// Answers a GET or HEAD of a whole file from what was kept of it.
pub(crate) fn send_kept(exchange: &mut Exchange<'_>, kept: &KeptFile) {
    match precondition(exchange, &kept.validators()) {
        Precondition::Proceed => exchange.send_prepared(Arc::clone(&kept.whole)),
        Precondition::NotModified => exchange.send_prepared(Arc::clone(&kept.not_modified)),
        Precondition::Failed => exchange.send_error(HttpStatus::PRECONDITION_FAILED, None, None),
    }
}

/// Answers where the request's conditions decide (RFC 9110 §13.2.2), and says whether they did.
fn send_precondition(exchange: &mut Exchange<'_>, validators: &Validators<'_>) -> bool {
    match precondition(exchange, validators) {
        Precondition::Proceed => return false,
        Precondition::NotModified => {
            exchange.send_response(HttpStatus::NOT_MODIFIED);
            validator_fields(exchange, validators);
            exchange.end_headers();
        }
        Precondition::Failed => exchange.send_error(HttpStatus::PRECONDITION_FAILED, None, None),
    }
    true
}

#[inline]
fn precondition(exchange: &Exchange<'_>, validators: &Validators<'_>) -> Precondition {
    evaluate_known(exchange.condition(), &exchange.headers(), validators)
}

/// The ranges that count: of a GET, in one field, and not overruled by If-Range (RFC 9110 §14.2).
fn requested_ranges(exchange: &Exchange<'_>, validators: &Validators<'_>, size: u64) -> RangeSet {
    if exchange.command() != "GET" || exchange.condition() == Condition::None {
        return RangeSet::Whole;
    }
    let headers = exchange.headers();
    let Some(range) = headers.get("range") else {
        return RangeSet::Whole;
    };
    let holds = |value| if_range_holds(value, validators, exchange.clock().unix);
    if headers.get_all("range").count() > 1 || !headers.get_all("if-range").all(holds) {
        return RangeSet::Whole;
    }
    parse_range(range, size)
}

fn begin(exchange: &mut Exchange<'_>, status: HttpStatus, validators: &Validators<'_>) {
    exchange.send_response(status);
    validator_fields(exchange, validators);
    exchange.send_header("Accept-Ranges", "bytes");
}

fn validator_fields(exchange: &mut Exchange<'_>, validators: &Validators<'_>) {
    exchange.send_header("Last-Modified", imf_fixdate(validators.last_modified));
    exchange.send_header("ETag", validators.etag);
}

fn content_type(exchange: &mut Exchange<'_>, media_type: &str) {
    let charset = charset(media_type);
    exchange.send_header_parts("Content-Type", &[media_type.as_bytes(), charset.as_bytes()]);
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

/// Sends several ranges as `multipart/byteranges` (RFC 9110 §14.6), each part straight from the file.
fn send_multipart(
    exchange: &mut Exchange<'_>,
    resource: Resource,
    media_type: &str,
    ranges: &[Range<u64>],
    validators: &Validators<'_>,
) -> io::Result<()> {
    let boundary = format!("{:016x}", RandomState::new().hash_one(validators.etag));
    let charset = charset(media_type);
    let mut parts = VecDeque::with_capacity(ranges.len() * 2 + 1);
    let mut delimiter = "--";
    for range in ranges {
        let content_range = content_range(range, resource.size);
        parts.push_back(text(format!(
            "{delimiter}{boundary}\r\nContent-Type: {media_type}{charset}\r\nContent-Range: {content_range}\r\n\r\n"
        )));
        parts.push_back(Part::Range(range.clone().into()));
        delimiter = "\r\n--";
    }
    parts.push_back(text(format!("\r\n--{boundary}--\r\n")));
    begin(exchange, HttpStatus::PARTIAL_CONTENT, validators);
    exchange.send_header(
        "Content-Type",
        format!("multipart/byteranges; boundary={boundary}"),
    );
    exchange.end_headers();
    exchange.copy_parts(Arc::new(resource.file.into()), parts);
    Ok(())
}

fn text(text: String) -> Part {
    Part::Text(text.into_bytes().into())
}
