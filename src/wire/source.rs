//! A body that is produced while it is sent. The server asks for each piece, so a slow client slows only its own source.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{fmt, io};

/// A response body that is produced piece by piece, whenever the socket takes more.
///
/// The server frames the pieces (RFC 9112 §7.1): chunked for HTTP/1.1, until the close for HTTP/1.0. A body that is complete
/// after the first `fill` is sent with a `Content-Length` instead. It is [`Send`], because its server may be moved into a thread.
pub trait Source: Send {
    /// Appends the next piece, ideally a few KiB, to `out` and returns whether more will follow.
    ///
    /// A call must be short, because the loop serves no other connection meanwhile.
    ///
    /// # Errors
    /// An error or a panic closes the connection before the end of the body is marked, so the client sees that the body is
    /// incomplete.
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill>;
}

impl fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// Asks `source` for its next piece; a panic becomes an error.
pub(crate) fn pull(source: &mut dyn Source, out: &mut Vec<u8>) -> io::Result<Fill> {
    catch_unwind(AssertUnwindSafe(|| source.fill(out)))
        .unwrap_or_else(|_| Err(io::Error::other("the source panicked")))
}

/// The answer of a [`Source`] that was asked for a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// There is more. If nothing was appended, the source is asked again in the next turn.
    More,
    /// There may be more later. The source is asked again after the waker of its connection was called, and sometimes after an
    /// event of the socket.
    NotNow,
    /// The body is complete.
    Done,
}
