//! What the header fields say about the message: where its body ends, whether the connection persists, what is expected.
//!
//! Invariant: framing that is not certain is an error, never a guess (RFC 9112 §6.3 and §11.2: smuggling).

use super::accept_encoding::AcceptedCodings;
use super::conditional::Condition;
use super::request::{Field, RequestError, Version, parse_digits};
use super::token::{is_host, names_host};

/// How the end of a request body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

/// What all fields of a head mean together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meaning {
    pub(crate) version: Version,
    pub(crate) framing: Framing,
    /// Whether the peer wants the connection to persist after this request (RFC 9112 §9.3).
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
    /// What makes the reply depend on more than the target (RFC 9110 §13 and §14).
    pub(crate) condition: Condition,
    /// Whether each Accept field, if there is any, is `*/*` (RFC 9110 §12.5.1).
    pub(crate) accepts_anything: bool,
    pub(crate) accepted_codings: AcceptedCodings,
}

impl Default for Meaning {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Meaning {
    /// Stands for the meaning of a head that was not understood.
    pub(super) const UNKNOWN: Self = Self {
        version: Version::Http11,
        framing: Framing::Length(0),
        keep_alive: false,
        expects_continue: false,
        condition: Condition::None,
        accepts_anything: true,
        accepted_codings: AcceptedCodings::NONE,
    };

    pub(super) fn of(fields: &[Field<'_>], version: Version) -> Result<Self, RequestError> {
        let facts = Facts::gather(fields, version)?;
        Ok(Self {
            version,
            framing: facts.framing(version)?,
            keep_alive: facts.keep_alive(version),
            expects_continue: facts.expects_continue,
            condition: match version {
                // Replies of HTTP/0.9 have no status, so a condition could not be answered.
                Version::Http09 => Condition::None,
                _ => facts.condition(),
            },
            accepts_anything: !facts.is_choosy,
            accepted_codings: if facts.names_codings {
                let named = fields.iter().filter(|field| is_accept_encoding(field.name));
                AcceptedCodings::of(named.map(|field| field.value))
            } else {
                AcceptedCodings::NONE
            },
        })
    }
}

fn is_accept_encoding(name: &str) -> bool {
    name.eq_ignore_ascii_case("accept-encoding")
}

/// What the fields say, gathered in one pass.
#[derive(Default)]
struct Facts {
    hosts: usize,
    content_length: Option<u64>,
    codings: usize,
    chunked_last: bool,
    unknown_coding: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    /// The number of the first field that is an If-None-Match.
    none_match: Option<usize>,
    modified_since: bool,
    /// Whether there is a range, or another condition.
    others: bool,
    is_choosy: bool,
    /// Whether there is an Accept-Encoding.
    names_codings: bool,
}

impl Facts {
    fn gather(fields: &[Field<'_>], version: Version) -> Result<Self, RequestError> {
        let mut facts = Self::default();
        for (number, field) in fields.iter().enumerate() {
            match field.name.len() {
                5 if field.name.eq_ignore_ascii_case("range") => facts.others = true,
                8 | 13 | 17 | 19 if is_condition(field.name) => {
                    facts.note_condition(field.name, number);
                }
                4 if field.name.eq_ignore_ascii_case("host") => {
                    facts.host(field.value, version)?;
                }
                6 if field.name.eq_ignore_ascii_case("accept") => {
                    facts.is_choosy |= field.value != b"*/*";
                }
                6 if field.name.eq_ignore_ascii_case("expect") => {
                    facts.expect(field.value, version)?;
                }
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    facts.connection(field.value);
                }
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    facts.length(field.value)?;
                }
                15 if is_accept_encoding(field.name) => facts.names_codings = true,
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    facts.coding(field.value)?;
                }
                _ => {}
            }
        }
        if facts.hosts == 0 && version == Version::Http11 {
            return Err(RequestError::Host);
        }
        Ok(facts)
    }

    fn note_condition(&mut self, name: &str, number: usize) {
        if name.eq_ignore_ascii_case("if-none-match") && self.none_match.is_none() {
            self.none_match = Some(number);
        } else if name.eq_ignore_ascii_case("if-modified-since") {
            self.modified_since = true;
        } else {
            self.others = true;
        }
    }

    fn condition(&self) -> Condition {
        match self.none_match {
            _ if self.others => Condition::Other,
            // With an If-None-Match, the date is ignored (RFC 9110 §13.1.3).
            Some(number) => Condition::NoneMatch(number),
            None if self.modified_since => Condition::Other,
            None => Condition::None,
        }
    }

    /// HTTP/1.0 does not require Host, so an empty one counts as none there, and the request is for the one site
    /// (RFC 9112 §3.3).
    fn host(&mut self, value: &[u8], version: Version) -> Result<(), RequestError> {
        self.hosts += 1;
        let may_be_empty = version < Version::Http11;
        if self.hosts == 1 && is_host(value) && (may_be_empty || names_host(value)) {
            Ok(())
        } else {
            Err(RequestError::Host)
        }
    }

    fn expect(&mut self, value: &[u8], version: Version) -> Result<(), RequestError> {
        if version < Version::Http11 {
            return Ok(());
        }
        self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        if self.expects_continue {
            Ok(())
        } else {
            Err(RequestError::Expectation)
        }
    }

    fn connection(&mut self, value: &[u8]) {
        for token in list(value) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Equal lengths in several field lines are allowed; a list in one line, a sign or a blank is refused.
    fn length(&mut self, value: &[u8]) -> Result<(), RequestError> {
        let length = parse_digits(value).ok_or(RequestError::ContentLength)?;
        match self.content_length.replace(length) {
            Some(other) if other != length => Err(RequestError::ContentLength),
            _ => Ok(()),
        }
    }

    fn coding(&mut self, value: &[u8]) -> Result<(), RequestError> {
        for coding in list(value).filter(|coding| !coding.is_empty()) {
            if self.chunked_last {
                return Err(RequestError::TransferEncoding);
            }
            self.chunked_last = coding.eq_ignore_ascii_case(b"chunked");
            self.unknown_coding |= !self.chunked_last;
        }
        self.codings += 1;
        Ok(())
    }

    fn framing(&self, version: Version) -> Result<Framing, RequestError> {
        if self.codings == 0 {
            return Ok(Framing::Length(self.content_length.unwrap_or(0)));
        }
        if self.content_length.is_some() || version < Version::Http11 {
            Err(RequestError::TransferEncoding)
        } else if self.unknown_coding {
            Err(RequestError::UnknownCoding)
        } else if self.chunked_last {
            Ok(Framing::Chunked)
        } else {
            Err(RequestError::TransferEncoding)
        }
    }

    fn keep_alive(&self, version: Version) -> bool {
        match version {
            Version::Http09 => false,
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 => !self.close,
        }
    }
}

/// Whether a field of this name may make a request conditional.
fn is_condition(name: &str) -> bool {
    let start = name.get(..3).unwrap_or_default();
    start.eq_ignore_ascii_case("if-")
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}
