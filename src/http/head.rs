//! Finds the end of a request head, and limits its size (RFC 9112 §2.2 and §3).
//!
//! Invariant: the result does not depend on how the network splits the bytes; `Ok(None)` means that more bytes are needed.

use memchr::memchr;

use super::request::{RequestError, without_cr, words};
use super::token::is_token_byte;
use crate::config::ServerConfig;

/// A head with more field lines than this is refused with 431.
pub(crate) const MAX_FIELDS: usize = 100;
/// The number of empty lines that are accepted before a request line (RFC 9112 §2.2).
pub(super) const MAX_EMPTY_LINES: u8 = 4;

/// The position of a complete head in the searched bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadSpan {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The search for the end of a head. It remembers its position, so a slow sender cannot make it quadratic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadSearch {
    /// Where the head starts.
    start: usize,
    /// Where the current line starts.
    line: usize,
    /// Where the search continues: after the last newline, or after all bytes of an incomplete line.
    searched: usize,
    lines: usize,
    empty_lines: u8,
}

impl HeadSearch {
    /// Continues the search in `bytes`, which start with the bytes of the last call.
    pub(crate) fn search(
        &mut self,
        bytes: &[u8],
        config: &ServerConfig,
    ) -> Result<Option<HeadSpan>, RequestError> {
        while let Some(length) = memchr(b'\n', &bytes[self.searched..]) {
            let newline = self.searched + length;
            let line = without_cr(&bytes[self.line..newline]);
            let next = newline + 1;
            if line.is_empty() && self.lines > 0 {
                self.check_limits(next, config)?;
                return Ok(Some(self.span(next)));
            } else if line.is_empty() {
                self.start = next;
                self.empty_lines += 1;
                if self.empty_lines > MAX_EMPTY_LINES {
                    return Err(RequestError::RequestLine);
                }
            } else {
                if self.lines == 0 {
                    self.check_first(bytes)?;
                }
                self.check_limits(next, config)?;
                self.lines += 1;
                if self.lines > MAX_FIELDS + 1 {
                    return Err(RequestError::TooManyFields);
                }
                if self.lines == 1 && words(line).nth(2).is_none() && words(line).nth(1).is_some() {
                    return Ok(Some(self.span(next)));
                }
            }
            self.line = next;
            self.searched = next;
        }
        self.searched = bytes.len();
        self.check_first(bytes)?;
        self.check_limits(bytes.len(), config).map(|()| None)
    }

    /// Refuses a first byte with which no request can begin; a CR may belong to an empty line.
    fn check_first(&self, bytes: &[u8]) -> Result<(), RequestError> {
        match bytes.get(self.start) {
            Some(first) if !is_token_byte(*first) && *first != b'\r' => {
                Err(RequestError::RequestLine)
            }
            _ => Ok(()),
        }
    }

    fn span(&self, end: usize) -> HeadSpan {
        HeadSpan {
            start: self.start,
            end,
        }
    }

    fn check_limits(&self, end: usize, config: &ServerConfig) -> Result<(), RequestError> {
        if self.lines == 0 && end - self.start > config.max_request_line {
            Err(RequestError::RequestLineTooLong)
        } else if end - self.start > config.max_head {
            Err(RequestError::HeadTooLarge)
        } else {
            Ok(())
        }
    }
}
