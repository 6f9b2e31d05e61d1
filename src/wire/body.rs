//! A body that does not leave with its head: a range of a file, several ranges with text between them, or a source.
//!
//! Invariant: a body is as long as its head announced, or the connection ends.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::buffer::Buffer;
use super::file_range::FileRange;
use super::next::Next;
use super::share::Share;
use super::shared_file::SharedFile;
use super::source::{Fill, Source, pull};
use super::transport::Transport;
use crate::http::chunked;

/// Bytes that one source may make in a turn: making them takes time, even if the socket has room for more.
const SOURCE_TURN: usize = 64 * 1024;

/// What still has to be streamed after the bytes in memory have left. It is small, because every reply has one.
#[derive(Debug, Default)]
pub(crate) enum Body {
    #[default]
    Empty,
    File {
        file: Arc<SharedFile>,
        file_range: FileRange,
    },
    Parts(Box<Parts>),
    Source(Box<SourceBody>),
}

/// Several ranges of one file, with text between them.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) file: Arc<SharedFile>,
    pub(crate) parts: VecDeque<Part>,
}

/// One piece of a body that is made of several ranges of one file.
#[derive(Debug)]
pub(crate) enum Part {
    Text(Buffer),
    Range(FileRange),
}

/// A source with what it has produced and the socket has not taken.
#[derive(Debug)]
pub(crate) struct SourceBody {
    source: Box<dyn Source>,
    framing: BodyFraming,
    maker: Maker,
    /// What the source said last.
    fill: Fill,
    /// Whether the source has ever said [`Fill::NotNow`].
    has_slept: bool,
    buffer: Buffer,
    /// Where the content stands in the buffer; the bytes around it are chunk framing.
    content: Range<usize>,
    /// Bytes that the source has given since it last said [`Fill::NotNow`].
    given: u64,
}

/// What makes the pieces of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    Handler,
    /// The loop itself: the time that the source takes is charged as that of work.
    Work,
    /// The file threads. A source that has nothing now waits for a file.
    FileThreads,
}

/// How the peer learns where the body of a source ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    Chunked,
    /// By its announced length, of which so many bytes are still to come.
    Length(u64),
    /// By the close of the connection.
    Close,
}

impl BodyFraming {
    /// Notes that the source gave `length` bytes and said `fill`.
    ///
    /// # Errors
    /// The body is longer or shorter than announced.
    pub(crate) fn take(&mut self, length: usize, fill: Fill) -> io::Result<()> {
        if let Self::Length(left) = self {
            *left = left.checked_sub(length as u64).ok_or_else(another_length)?;
            if fill == Fill::Done && *left > 0 {
                return Err(another_length());
            }
        }
        Ok(())
    }
}

fn another_length() -> io::Error {
    io::Error::other("a body of another length than announced")
}

impl Body {
    pub(crate) fn file(file: Arc<SharedFile>, range: Range<u64>) -> Self {
        let file_range = range.into();
        Self::File { file, file_range }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether the next bytes are at hand, so that the head may wait for them in the kernel.
    pub(crate) fn follows_at_once(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Parts(_))
    }

    /// Whether the body comes from a source that has waited for events, and so may go on for ever.
    pub(crate) fn is_endless(&self) -> bool {
        matches!(self, Self::Source(body) if body.has_slept && body.maker == Maker::Handler)
    }

    /// Whether the time that making the body takes is charged as that of work.
    pub(crate) fn is_work(&self) -> bool {
        matches!(self, Self::Source(body) if body.maker == Maker::Work)
    }

    /// Whether the body waits for its source to be woken, and not for the socket.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Source(body) => body.fill == Fill::NotNow && body.buffer.is_sent(),
            _ => false,
        }
    }

    /// Whether the body waits for a file thread to read its next piece.
    pub(crate) fn awaits_file(&self) -> bool {
        self.is_idle() && matches!(self, Self::Source(body) if body.maker == Maker::FileThreads)
    }

    /// Bytes of memory that the body keeps.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Source(body) => body.buffer.bytes.capacity(),
            _ => 0,
        }
    }

    /// Bytes still to come. If the end of a source is unknown, it is expected to give as many as since its last
    /// [`Fill::NotNow`].
    pub(crate) fn left(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::File { file_range, .. } => file_range.left(),
            Self::Parts(body) => body.parts.iter().map(Part::left).sum(),
            Self::Source(body) => body.left(),
        }
    }

    /// Sends until everything has left, the socket takes no more, the share is spent or there is nothing at hand. Adds the number
    /// of content bytes that have left to `counted`.
    pub(crate) fn send(
        &mut self,
        transport: &mut impl Transport,
        share: &mut Share,
        counted: &mut u64,
    ) -> io::Result<Next> {
        let sent = match self {
            Self::Empty => return Ok(Next::Continue),
            _ if share.whole && self.left() > share.bytes as u64 => return Ok(Next::Yield),
            Self::File { file, file_range } => count(file_range, counted, |file_range| {
                file_range.send_shared(file, transport, share)
            }),
            Self::Parts(body) => body.send(transport, share, counted),
            Self::Source(body) => body.send(transport, share, counted),
        };
        if matches!(sent, Ok(Next::Continue)) {
            *self = Self::Empty;
        }
        sent
    }
}

impl Part {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Text(buffer) => buffer.bytes.len() as u64,
            Self::Range(file_range) => file_range.left(),
        }
    }

    fn left(&self) -> u64 {
        match self {
            Self::Text(buffer) => buffer.left() as u64,
            Self::Range(file_range) => file_range.left(),
        }
    }
}

/// Sends a part of `file_range` by `send`, and adds the bytes that have left to `counted`.
fn count(
    file_range: &mut FileRange,
    counted: &mut u64,
    send: impl FnOnce(&mut FileRange) -> io::Result<Next>,
) -> io::Result<Next> {
    let before = file_range.left();
    let sent = send(file_range);
    *counted += before - file_range.left();
    sent
}

fn send_buffer(
    buffer: &mut Buffer,
    more: bool,
    transport: &mut impl Transport,
    share: &mut Share,
    counted: &mut u64,
) -> io::Result<Next> {
    let before = buffer.sent();
    let sent = buffer.send(transport, more);
    let length = buffer.sent() - before;
    *counted += length as u64;
    share.bytes = share.bytes.saturating_sub(length);
    sent
}

impl Parts {
    fn send(
        &mut self,
        transport: &mut impl Transport,
        share: &mut Share,
        counted: &mut u64,
    ) -> io::Result<Next> {
        let Self { file, parts } = self;
        loop {
            let more = parts.len() > 1;
            let sent = match parts.front_mut() {
                None => return Ok(Next::Continue),
                Some(Part::Text(buffer)) => send_buffer(buffer, more, transport, share, counted)?,
                Some(Part::Range(file_range)) => count(file_range, counted, |file_range| {
                    file_range.send(file, transport, share)
                })?,
            };
            if sent != Next::Continue {
                return Ok(sent);
            }
            parts.pop_front();
        }
    }
}

impl SourceBody {
    pub(crate) fn new(source: Box<dyn Source>, framing: BodyFraming, maker: Maker) -> Self {
        Self {
            source,
            framing,
            maker,
            fill: Fill::More,
            has_slept: false,
            buffer: Buffer::default(),
            content: 0..0,
            given: 0,
        }
    }

    fn left(&self) -> u64 {
        match self.framing {
            BodyFraming::Length(left) => left + self.buffer.left() as u64,
            // A source that sleeps or works waits for time, not for bytes to be sent.
            _ if self.fill == Fill::NotNow || self.maker == Maker::Work => {
                self.buffer.left() as u64
            }
            // It is expected to give as much again as it has given.
            _ => self.given,
        }
    }

    fn send(
        &mut self,
        transport: &mut impl Transport,
        share: &mut Share,
        counted: &mut u64,
    ) -> io::Result<Next> {
        let mut pulled = 0;
        let mut asked = false;
        loop {
            let before = self.content_sent();
            let sent = send_buffer(&mut self.buffer, false, transport, share, &mut 0);
            *counted += self.content_sent() - before;
            match sent? {
                Next::Continue => {}
                sent => return Ok(sent),
            }
            self.buffer.clear();
            self.content = 0..0;
            match self.fill {
                Fill::Done => return Ok(Next::Continue),
                Fill::NotNow if asked => return Ok(Next::Wait),
                _ if share.bytes == 0 || pulled >= SOURCE_TURN => {
                    return Ok(if self.maker == Maker::Work {
                        Next::Work
                    } else {
                        Next::Yield
                    });
                }
                _ => {}
            }
            self.refill()?;
            pulled += self.buffer.bytes.len();
            asked = true;
            if self.buffer.bytes.is_empty() && self.fill == Fill::More {
                return Ok(Next::Yield);
            }
        }
    }

    fn content_sent(&self) -> u64 {
        let sent = self.buffer.sent().min(self.content.end);
        sent.saturating_sub(self.content.start) as u64
    }

    /// Asks the source for its next piece and frames it.
    fn refill(&mut self) -> io::Result<()> {
        let bytes = &mut self.buffer.bytes;
        let start = if self.framing == BodyFraming::Chunked {
            chunked::open_chunk(bytes)
        } else {
            0
        };
        self.fill = pull(self.source.as_mut(), bytes)?;
        self.content = start..bytes.len();
        if self.fill == Fill::NotNow {
            self.has_slept = true;
            self.given = 0;
        } else {
            self.given += self.content.len() as u64;
        }
        self.framing.take(self.content.len(), self.fill)?;
        if self.framing == BodyFraming::Chunked {
            chunked::close_chunk(bytes, start);
            if self.fill == Fill::Done {
                bytes.extend_from_slice(chunked::LAST_CHUNK);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
