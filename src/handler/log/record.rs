//! What the log keeps of a request until its reply has left.

use std::ops::Range;
use std::time::Instant;

use super::Log;
use crate::config::LogFormat;
use crate::http::request::Request;
use crate::http::status::HttpStatus;

/// Bytes of a request line or field that are logged at most: a request that is refused for its length must not fill the log.
const MAX_TEXT: usize = 8 * 1024;

/// A request with a reply that has not wholly left. Its texts are ranges of the reply's arena.
#[derive(Debug)]
pub(crate) struct LogRecord {
    pub(crate) status: HttpStatus,
    pub(super) requestline: Range<usize>,
    pub(super) referer: Option<Range<usize>>,
    pub(super) agent: Option<Range<usize>>,
    pub(super) user: Option<Range<usize>>,
    pub(super) started: Instant,
}

impl LogRecord {
    /// Keeps what a line of `log` needs of `request`, and appends its texts to `arena`.
    pub(crate) fn new(
        request: &Request<'_>,
        status: HttpStatus,
        started: Instant,
        log: &Log,
        arena: &mut Vec<u8>,
    ) -> Self {
        let logs_fields = matches!(log.format, LogFormat::Combined | LogFormat::Json);
        let field = |name| {
            let headers = logs_fields.then_some(request.headers)?;
            headers.get(name)
        };
        let mut note = |text: &[u8]| append(arena, text);
        Self {
            status,
            requestline: note(request.requestline),
            referer: field("referer").map(&mut note),
            agent: field("user-agent").map(&mut note),
            user: None,
            started,
        }
    }

    /// Keeps the user that sent the request.
    pub(crate) fn set_user(&mut self, user: &str, arena: &mut Vec<u8>) {
        self.user = Some(append(arena, user.as_bytes()));
    }
}

/// Appends `text`, as much of it as is logged, to `arena`; returns where it stands.
#[inline]
pub(super) fn append(arena: &mut Vec<u8>, text: &[u8]) -> Range<usize> {
    let text = text.get(..MAX_TEXT).unwrap_or(text);
    let start = arena.len();
    arena.extend_from_slice(text);
    start..arena.len()
}
