//! A body that is made while it is sent: the server pulls, so a slow reader slows its own source and nobody else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{fmt, io};

/// A response body that is produced piece by piece, whenever the socket takes more.
///
/// The server frames what comes out (RFC 9112 §7.1): chunked for HTTP/1.1, until the close for HTTP/1.0. A body that is
/// complete after the first `fill` leaves with a `Content-Length` instead.
pub trait Source {
    /// Appends the next piece, a few KiB at best, to `out` and says whether more will follow.
    ///
    /// One call must be short: the loop serves nobody else meanwhile.
    ///
    /// # Errors
    /// An error, or a panic, ends the connection without the end mark of the body, so that the peer can tell that it is incomplete.
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill>;
}

impl fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// Asks `source` for its next piece; its panic is an error like any other.
pub(crate) fn pull(source: &mut dyn Source, out: &mut Vec<u8>) -> io::Result<Fill> {
    catch_unwind(AssertUnwindSafe(|| source.fill(out)))
        .unwrap_or_else(|_| Err(io::Error::other("the source panicked")))
}

/// What a [`Source`] says after it was asked for a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// There is more; having appended nothing means "I am still working, ask again in the next turn".
    More,
    /// There may be more later: the source is asked again when its connection's waker was called, and now and then when an
    /// event of the socket comes.
    NotNow,
    /// That was all.
    Done,
}
