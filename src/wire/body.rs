//! The part of a reply that does not fit beside its head: a stretch of a file, several with text between, or a source.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;

use super::buffer::{Buffer, Sent};
use super::send_file::send_file;
use super::source::{Fill, Source};
use super::transport::Transport;
use crate::http::chunked;

/// A source costs time for every byte, not only room in the socket: more than this waits for the next turn.
const SOURCE_TURN: usize = 64 * 1024;

/// What still has to be streamed after the bytes in memory have left.
#[derive(Debug, Default)]
pub(crate) enum Body {
    #[default]
    Empty,
    File {
        file: File,
        range: Range<u64>,
    },
    Parts {
        file: File,
        parts: VecDeque<Part>,
    },
    Source(SourceBody),
}

/// One piece of a body that is made of several stretches of one file.
#[derive(Debug)]
pub(crate) enum Part {
    Text(Buffer),
    Range(Range<u64>),
}

/// A source with what it has produced and the socket has not taken.
#[derive(Debug)]
pub(crate) struct SourceBody {
    source: Box<dyn Source>,
    chunked: bool,
    /// What the source said last.
    fill: Fill,
    buffer: Buffer,
    /// Bytes of the buffer that are chunk framing, not content.
    framing: u64,
}

impl Body {
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether nothing can be sent before the source is woken.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Source(body) => body.fill == Fill::NotNow && body.buffer.is_sent(),
            _ => false,
        }
    }

    /// Streams until all has left, the socket takes no more or `budget` is spent; adds the content that left to `counted`.
    pub(crate) fn send(
        &mut self,
        transport: &mut impl Transport,
        budget: &mut usize,
        counted: &mut u64,
    ) -> io::Result<Sent> {
        let sent = match self {
            Self::Empty => Ok(Sent::All),
            Self::File { file, range } => send_range(file, range, transport, budget, counted),
            Self::Parts { file, parts } => send_parts(file, parts, transport, budget, counted),
            Self::Source(body) => body.send(transport, budget, counted),
        };
        if matches!(sent, Ok(Sent::All)) {
            *self = Self::Empty;
        }
        sent
    }
}

impl Part {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Text(buffer) => buffer.bytes.len() as u64,
            Self::Range(range) => range.end - range.start,
        }
    }
}

fn send_range(
    file: &File,
    range: &mut Range<u64>,
    transport: &mut impl Transport,
    budget: &mut usize,
    counted: &mut u64,
) -> io::Result<Sent> {
    let before = range.start;
    let sent = send_file(file, range, transport, budget);
    *counted += range.start - before;
    sent
}

fn send_buffer(
    buffer: &mut Buffer,
    more: bool,
    transport: &mut impl Transport,
    budget: &mut usize,
    counted: &mut u64,
) -> io::Result<Sent> {
    let before = buffer.sent();
    let sent = buffer.send(transport, more);
    let length = buffer.sent() - before;
    *counted += length as u64;
    *budget = budget.saturating_sub(length);
    sent
}

fn send_parts(
    file: &File,
    parts: &mut VecDeque<Part>,
    transport: &mut impl Transport,
    budget: &mut usize,
    counted: &mut u64,
) -> io::Result<Sent> {
    loop {
        let more = parts.len() > 1;
        let sent = match parts.front_mut() {
            None => return Ok(Sent::All),
            Some(Part::Text(buffer)) => send_buffer(buffer, more, transport, budget, counted)?,
            Some(Part::Range(range)) => send_range(file, range, transport, budget, counted)?,
        };
        if sent != Sent::All {
            return Ok(sent);
        }
        parts.pop_front();
    }
}

impl SourceBody {
    pub(crate) fn new(source: Box<dyn Source>, chunked: bool) -> Self {
        Self {
            source,
            chunked,
            fill: Fill::More,
            buffer: Buffer::default(),
            framing: 0,
        }
    }

    fn send(
        &mut self,
        transport: &mut impl Transport,
        budget: &mut usize,
        counted: &mut u64,
    ) -> io::Result<Sent> {
        let budget = &mut SOURCE_TURN.min(*budget);
        let mut asked = false;
        loop {
            let sent = send_buffer(&mut self.buffer, false, transport, budget, counted)?;
            if sent != Sent::All {
                return Ok(sent);
            }
            *counted -= std::mem::take(&mut self.framing);
            self.buffer.clear();
            match self.fill {
                Fill::Done => return Ok(Sent::All),
                Fill::NotNow if asked => return Ok(Sent::Idle),
                _ if *budget == 0 => return Ok(Sent::Yield),
                _ => {}
            }
            self.refill()?;
            asked = true;
            if self.buffer.bytes.is_empty() && self.fill == Fill::More {
                return Ok(Sent::Yield);
            }
        }
    }

    /// Asks the source for its next piece and frames it.
    fn refill(&mut self) -> io::Result<()> {
        let bytes = &mut self.buffer.bytes;
        if !self.chunked {
            self.fill = self.source.fill(bytes)?;
            return Ok(());
        }
        let start = chunked::open_chunk(bytes);
        self.fill = self.source.fill(bytes)?;
        let content = bytes.len() - start;
        chunked::close_chunk(bytes, start);
        if self.fill == Fill::Done {
            bytes.extend_from_slice(chunked::LAST_CHUNK);
        }
        self.framing = (bytes.len() - content) as u64;
        Ok(())
    }
}
