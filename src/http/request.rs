//! One complete request head: what it says, and every reason to refuse it.
//!
//! Invariant: a head with uncertain framing never becomes a [`Request`] (RFC 9112 §6, §11.2: smuggling), and `Err` is
//! always the peer's fault. RFC 9112 §2 to §6 and §9; RFC 9110 §7.2 and §10.1.1.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use memchr::memchr;

use super::framing::Meaning;
use super::head::{HeadSearch, HeadSpan, MAX_EMPTY_LINES, MAX_FIELDS};
use super::headers::Headers;
use super::host::split_absolute;
use super::status::HttpStatus;
use super::storage::Storage;
use super::token::{is_host, is_token, is_token_byte, names_host};
use crate::config::ServerConfig;

pub(crate) mod owned;

/// A field line as httparse leaves it: name, and value without the blanks around it.
pub(crate) type Field<'a> = httparse::Header<'a>;

/// Why a request is refused. After each of these the framing is lost or in doubt, so the connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestError {
    RequestLine,
    Target,
    Version,
    VersionNotSupported,
    RequestLineTooLong,
    HeadTooLarge,
    TooManyFields,
    FieldLine,
    Host,
    ContentLength,
    TransferEncoding,
    UnknownCoding,
    Expectation,
    ChunkedBody,
    BodyTooLarge,
    /// The body could not be stored in a temporary file.
    InsufficientStorage,
    /// There is no room for the body now; the client may send the request again later.
    TooManyBodies,
    Timeout,
}

impl RequestError {
    pub(crate) fn status(self) -> HttpStatus {
        match self {
            Self::VersionNotSupported => HttpStatus::HTTP_VERSION_NOT_SUPPORTED,
            Self::RequestLineTooLong => HttpStatus::URI_TOO_LONG,
            Self::HeadTooLarge | Self::TooManyFields => HttpStatus::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UnknownCoding => HttpStatus::NOT_IMPLEMENTED,
            Self::Expectation => HttpStatus::EXPECTATION_FAILED,
            Self::Timeout => HttpStatus::REQUEST_TIMEOUT,
            Self::BodyTooLarge => HttpStatus::CONTENT_TOO_LARGE,
            Self::InsufficientStorage => HttpStatus::INSUFFICIENT_STORAGE,
            Self::TooManyBodies => HttpStatus::SERVICE_UNAVAILABLE,
            _ => HttpStatus::BAD_REQUEST,
        }
    }

    /// Returns what was wrong, in words for the error page.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::RequestLine => "Bad request syntax",
            Self::Target => "Bad request target",
            Self::Version => "Bad request version",
            Self::VersionNotSupported => "Invalid HTTP version",
            Self::RequestLineTooLong => "Request line too long",
            Self::HeadTooLarge => "Header fields too large",
            Self::TooManyFields => "Too many header fields",
            Self::FieldLine => "Bad header field",
            Self::Host => "Missing, repeated or bad Host",
            Self::ContentLength => "Bad Content-Length",
            Self::TransferEncoding => "Bad Transfer-Encoding",
            Self::UnknownCoding => "Unknown transfer coding",
            Self::Expectation => "Unknown expectation",
            Self::ChunkedBody => "Bad chunked body",
            Self::BodyTooLarge => "Request body too large",
            Self::InsufficientStorage => "No room for the request body",
            Self::TooManyBodies => "Too many request bodies at a time",
            Self::Timeout => "Request timed out",
        }
    }
}

/// Returns the request line at the start of `head`, without its end. The log needs it even where the head is refused.
pub(crate) fn request_line(head: &[u8]) -> &[u8] {
    let mut line = head;
    // A head with more empty lines than this is refused, perhaps before its request line has arrived.
    for _ in 0..MAX_EMPTY_LINES {
        let rest = line.strip_prefix(b"\r").unwrap_or(line);
        line = rest.strip_prefix(b"\n").unwrap_or(line);
    }
    without_cr(&line[..memchr(b'\n', line).unwrap_or(line.len())])
}

/// The HTTP version of a request; 1.2 to 1.9 count as 1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Http09,
    Http10,
    Http11,
}

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http09 => "HTTP/0.9",
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
        }
    }
}

/// One request head that was understood, borrowed from the bytes it arrived in and from the [`Storage`] of its fields.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) requestline: &'a [u8],
    pub(crate) command: &'a str,
    /// Origin-form, `*`, or the authority of a CONNECT. Several leading slashes are reduced to one (CVE-2021-28861). The bytes
    /// are UTF-8.
    pub(crate) path: Cow<'a, [u8]>,
    pub(crate) headers: Headers<'a>,
    pub(crate) meaning: &'a Meaning,
}

impl<'a> Request<'a> {
    /// Makes what stands for a head that is refused: as much as the reply and the log need to know of it.
    pub(crate) fn refused(head: &'a [u8]) -> Self {
        let requestline = request_line(head);
        // A head that begins with a blank is refused before the method may have come.
        let is_head =
            requestline.starts_with(b"HEAD") && words(requestline).next() == Some(b"HEAD");
        Self {
            requestline,
            command: if is_head { "HEAD" } else { "" },
            path: Cow::Borrowed(b""),
            headers: Headers::default(),
            meaning: &Meaning::UNKNOWN,
        }
    }

    /// The path as text.
    pub(crate) fn path_text(&self) -> &str {
        str::from_utf8(&self.path).unwrap_or_default()
    }

    /// Finds and parses the head at the front of `bytes`, and says where it stands; `None` where it is not complete yet.
    /// `search` remembers how far the bytes were searched.
    // Inlined into the loop of the site; that of the administration is the other caller, and rare.
    #[inline(always)]
    pub(crate) fn find<'h: 'a>(
        bytes: &'h [u8],
        search: &mut HeadSearch,
        storage: &'a mut Storage,
        config: &ServerConfig,
    ) -> Result<Option<(Self, HeadSpan)>, RequestError> {
        if let Some(found) = find_usual(bytes, storage, config) {
            let span = HeadSpan {
                start: 0,
                end: found.usual_length(),
            };
            return Ok(Some((Self::new(found, storage), span)));
        }
        let Some(span) = search.search(bytes, config)? else {
            return Ok(None);
        };
        let head = bytes.get(span.start..span.end).unwrap_or_default();
        let found = parse_careful(head, storage, config)?;
        Ok(Some((Self::new(found, storage), span)))
    }

    fn new(found: ParsedHead<'a>, storage: &'a Storage) -> Self {
        Self {
            requestline: found.line,
            command: found.command,
            path: found.path,
            headers: Headers::new(found.block, &storage.fields),
            meaning: &storage.meaning,
        }
    }
}

/// A head that was parsed, without the part that is in the storage.
struct ParsedHead<'h> {
    line: &'h [u8],
    command: &'h str,
    path: Cow<'h, [u8]>,
    /// The bytes that the fields stand in; in a head of the usual form, all that follows the target.
    block: &'h [u8],
}

impl ParsedHead<'_> {
    /// The length of a head in the usual form, where the block begins with the blank before the version.
    fn usual_length(&self) -> usize {
        self.line.len() + self.block.len() - VERSION
    }
}

/// Parses a head that is complete and in the usual form: single blanks in the request line, and a version. For any other
/// bytes it returns `None`, and [`parse_careful`] finds out what they are.
// Inlined into the loop of the site; that of the administration is the other caller, and rare.
#[inline(always)]
fn find_usual<'h>(
    bytes: &'h [u8],
    storage: &mut Storage,
    config: &ServerConfig,
) -> Option<ParsedHead<'h>> {
    let found = match find_repeated(bytes, storage) {
        Some(found) => found,
        None => find_new(bytes, storage)?,
    };
    let newline = match found.block.get(VERSION) {
        Some(b'\r') => 2,
        _ => 1,
    };
    let is_short = found.line.len() + newline <= config.max_request_line;
    (is_short && found.usual_length() <= config.max_head).then_some(found)
}

/// Parses a head that repeats the last one after the target.
// Inlined into the loop of the site; that of the administration is the other caller, and rare.
#[inline(always)]
fn find_repeated<'h>(bytes: &'h [u8], storage: &Storage) -> Option<ParsedHead<'h>> {
    let (command, rest) = match bytes.strip_prefix(b"GET ") {
        Some(rest) => ("GET", rest),
        None => split_method(bytes)?,
    };
    let end = rest.iter().position(|byte| !byte.is_ascii_graphic())?;
    if end == 0 {
        return None;
    }
    let (target, tail) = rest.split_at(end);
    Some(ParsedHead {
        line: bytes.get(..command.len() + 1 + end + VERSION)?,
        command,
        path: origin_form(target, command).ok()?,
        block: storage.recognise(tail)?,
    })
}

/// Returns the method at the front of `bytes`, and what comes after the single blank behind it.
fn split_method(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let blank = bytes.iter().position(|byte| !is_token_byte(*byte))?;
    let (command, rest) = bytes.split_at(blank);
    if command.is_empty() {
        return None;
    }
    Some((str::from_utf8(command).ok()?, rest.strip_prefix(b" ")?))
}

/// Parses a head in one pass, and remembers its tail.
fn find_new<'h>(bytes: &'h [u8], storage: &mut Storage) -> Option<ParsedHead<'h>> {
    // httparse would skip any number of empty lines before a request.
    if !is_token_byte(*bytes.first()?) {
        return None;
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    let httparse::Status::Complete(length) =
        parsed.parse_with_uninit_headers(bytes, &mut fields).ok()?
    else {
        return None;
    };
    let (command, target) = (parsed.method?, parsed.path?);
    let version = match parsed.version? {
        0 => Version::Http10,
        _ => Version::Http11,
    };
    let end = command.len() + b" ".len() + target.len();
    let tail = bytes.get(end..length)?;
    storage.read(parsed.headers, tail, version).ok()?;
    storage.remember(tail);
    Some(ParsedHead {
        line: bytes.get(..end + VERSION)?,
        command,
        path: origin_form(target.as_bytes(), command).ok()?,
        block: tail,
    })
}

/// Parses a complete head in any form, and finds out what is wrong with one that is refused.
fn parse_careful<'h>(
    head: &'h [u8],
    storage: &mut Storage,
    config: &ServerConfig,
) -> Result<ParsedHead<'h>, RequestError> {
    let end = memchr(b'\n', head).map_or(head.len(), |newline| newline + 1);
    let (line, block) = head.split_at(end);
    let line = without_cr(line.strip_suffix(b"\n").unwrap_or(line));
    let (command, target, version) = parse_request_line(line, config)?;
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    storage.read(parse_fields(block, &mut fields)?, block, version)?;
    Ok(ParsedHead {
        line,
        command,
        path: origin_form(target, command)?,
        block,
    })
}

/// The length of a blank and the version.
const VERSION: usize = b" HTTP/1.1".len();

/// Returns method, target and version; the target is UTF-8.
fn parse_request_line<'a>(
    line: &'a [u8],
    config: &ServerConfig,
) -> Result<(&'a str, &'a [u8], Version), RequestError> {
    let mut words = words(line);
    let (Some(command), Some(target)) = (words.next(), words.next()) else {
        return Err(RequestError::RequestLine);
    };
    let version = words.next();
    if words.next().is_some() || !line.first().is_some_and(|first| is_token_byte(*first)) {
        return Err(RequestError::RequestLine);
    }
    if !is_token(command) {
        return Err(RequestError::RequestLine);
    }
    if target.iter().any(u8::is_ascii_control) {
        return Err(RequestError::Target);
    }
    let command = str::from_utf8(command).map_err(|_| RequestError::RequestLine)?;
    if str::from_utf8(target).is_err() {
        return Err(RequestError::Target);
    }
    let version = version.map_or(Ok(Version::Http09), parse_version)?;
    if version == Version::Http09 && (command != "GET" || !config.http09) {
        return Err(RequestError::RequestLine);
    }
    Ok((command, target, version))
}

/// Parses a version: one digit, a dot, one digit (RFC 9112 §2.3). With more digits, two servers may understand it differently.
fn parse_version(word: &[u8]) -> Result<Version, RequestError> {
    match word.strip_prefix(b"HTTP/") {
        Some(b"0.9") => Ok(Version::Http09),
        Some(b"1.0") => Ok(Version::Http10),
        Some([b'1', b'.', b'1'..=b'9']) => Ok(Version::Http11),
        Some([b'2'..=b'9', b'.', b'0'..=b'9']) => Err(RequestError::VersionNotSupported),
        _ => Err(RequestError::Version),
    }
}

/// Reduces the target to origin-form (RFC 9112 §3.2), because one server has one site. Whether it answers for the authority of
/// an absolute-form is [checked](super::host::is_served) later. Inlined, because nearly all targets are in origin-form already: it
/// saves 22 of the 1,800 instructions of a request.
#[inline(always)]
fn origin_form<'a>(target: &'a [u8], command: &str) -> Result<Cow<'a, [u8]>, RequestError> {
    if target.starts_with(b"/") && target.get(1) != Some(&b'/') {
        Ok(Cow::Borrowed(target))
    } else {
        reduce(target, command)
    }
}

/// Reduces a target of one of the other forms, which few clients send.
fn reduce<'a>(target: &'a [u8], command: &str) -> Result<Cow<'a, [u8]>, RequestError> {
    if let Some(mut path) = target.strip_prefix(b"/") {
        while let Some(rest) = path.strip_prefix(b"/") {
            path = rest;
        }
        return Ok(Cow::Borrowed(&target[target.len() - path.len() - 1..]));
    }
    if (target == b"*" && command == "OPTIONS") || command == "CONNECT" {
        return Ok(Cow::Borrowed(target));
    }
    let (authority, path) = split_absolute(target).ok_or(RequestError::Target)?;
    if !is_host(authority) || !names_host(authority) {
        Err(RequestError::Target)
    } else if path.starts_with(b"/") {
        reduce(path, command)
    } else if path.is_empty() {
        let path = if command == "OPTIONS" { b"*" } else { b"/" };
        Ok(Cow::Borrowed(path))
    } else {
        Ok(Cow::Owned([b"/", path].concat()))
    }
}

fn parse_fields<'a, 'h: 'a>(
    block: &'h [u8],
    storage: &'a mut [Field<'h>],
) -> Result<&'a [Field<'h>], RequestError> {
    if block.is_empty() {
        return Ok(&[]);
    }
    match httparse::parse_headers(block, storage) {
        Ok(httparse::Status::Complete((length, fields))) if length == block.len() => Ok(fields),
        Err(httparse::Error::TooManyHeaders) => Err(RequestError::TooManyFields),
        _ => Err(RequestError::FieldLine),
    }
}

pub(super) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
}

pub(super) fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Parses a number of any length. It saturates, because what exceeds 64 bits exceeds every limit.
pub(crate) fn parse_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        })
    })
}

#[cfg(test)]
mod tests;
