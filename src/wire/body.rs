//! The part of a reply that does not fit beside its head: a stretch of a file, several with text between, or a source.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::buffer::{Buffer, Sent};
use super::send_file::send_file;
use super::source::{Fill, Source, pull};
use super::transport::Transport;
use crate::http::chunked;

/// A source costs time for every byte, not only room in the socket: more than this waits for the next turn.
const SOURCE_TURN: usize = 64 * 1024;

/// What still has to be streamed after the bytes in memory have left; small, for every reply carries one along.
#[derive(Debug, Default)]
pub(crate) enum Body {
    #[default]
    Empty,
    File {
        file: Arc<File>,
        range: Range<u64>,
    },
    Parts(Box<Parts>),
    Source(Box<SourceBody>),
}

/// Several stretches of one file with text between.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) file: File,
    pub(crate) parts: VecDeque<Part>,
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
    framing: Framing,
    /// What the source said last.
    fill: Fill,
    /// Whether it ever said [`Fill::NotNow`].
    has_slept: bool,
    buffer: Buffer,
    /// Where the content stands in the buffer: what is around it is chunk framing.
    content: Range<usize>,
}

/// How the peer learns where the body of a source ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    /// So many bytes were announced and are still to come.
    Length(u64),
    /// By the close of the connection.
    Close,
}

impl Framing {
    /// Notes that the source gave `length` bytes and said `fill`; what was announced must come, no more and no less.
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
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether what is to be sent is here: a head need not leave before it.
    pub(crate) fn follows_at_once(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Parts(_))
    }

    /// Whether it comes from a source that has waited for events: it may go on for ever.
    pub(crate) fn is_endless(&self) -> bool {
        matches!(self, Self::Source(body) if body.has_slept)
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
            Self::Parts(body) => body.send(transport, budget, counted),
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

impl Parts {
    fn send(
        &mut self,
        transport: &mut impl Transport,
        budget: &mut usize,
        counted: &mut u64,
    ) -> io::Result<Sent> {
        let Self { file, parts } = self;
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
}

impl SourceBody {
    pub(crate) fn new(source: Box<dyn Source>, framing: Framing) -> Self {
        Self {
            source,
            framing,
            fill: Fill::More,
            has_slept: false,
            buffer: Buffer::default(),
            content: 0..0,
        }
    }

    fn send(
        &mut self,
        transport: &mut impl Transport,
        budget: &mut usize,
        counted: &mut u64,
    ) -> io::Result<Sent> {
        let mut pulled = 0;
        let mut asked = false;
        loop {
            let before = self.content_sent();
            let sent = send_buffer(&mut self.buffer, false, transport, budget, &mut 0);
            *counted += self.content_sent() - before;
            match sent? {
                Sent::All => {}
                sent => return Ok(sent),
            }
            self.buffer.clear();
            self.content = 0..0;
            match self.fill {
                Fill::Done => return Ok(Sent::All),
                Fill::NotNow if asked => return Ok(Sent::Idle),
                _ if *budget == 0 || pulled >= SOURCE_TURN => return Ok(Sent::Yield),
                _ => {}
            }
            self.refill()?;
            pulled += self.buffer.bytes.len();
            asked = true;
            if self.buffer.bytes.is_empty() && self.fill == Fill::More {
                return Ok(Sent::Yield);
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
        let start = if self.framing == Framing::Chunked {
            chunked::open_chunk(bytes)
        } else {
            0
        };
        self.fill = pull(self.source.as_mut(), bytes)?;
        self.has_slept |= self.fill == Fill::NotNow;
        self.content = start..bytes.len();
        self.framing.take(self.content.len(), self.fill)?;
        if self.framing == Framing::Chunked {
            chunked::close_chunk(bytes, start);
            if self.fill == Fill::Done {
                bytes.extend_from_slice(chunked::LAST_CHUNK);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    /// Takes at most so many bytes at once, and says "not now" in between.
    struct Slow {
        most: usize,
        full: bool,
        output: Vec<u8>,
        more: Vec<bool>,
    }

    impl Transport for Slow {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
            self.more.push(more);
            let length = bytes.len().min(self.most);
            self.output.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
            self.full = !self.full;
            if !self.full {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let mut bytes = vec![0; length.min(self.most)];
            let length = file.read_at(&mut bytes, offset)?;
            self.output.extend_from_slice(&bytes[..length]);
            Ok(length)
        }

        fn shutdown(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn reset(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    fn slow(most: usize) -> Slow {
        Slow {
            most,
            full: false,
            output: Vec::new(),
            more: Vec::new(),
        }
    }

    fn parts() -> Body {
        let mut file = File::from(memfd_create("parts", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(b"0123456789").unwrap();
        let text = |text: &str| Part::Text(text.as_bytes().to_vec().into());
        let parts = [
            text("<a>"),
            Part::Range(1..4),
            text("<b>"),
            Part::Range(8..10),
            text("<c>"),
        ];
        let parts = parts.into();
        Body::Parts(Box::new(Parts { file, parts }))
    }

    #[test]
    fn parts_leave_in_order_whatever_is_taken_at_once() {
        for most in 1..=20 {
            for share in [1, 2, 5, usize::MAX] {
                let (mut body, mut transport, mut counted) = (parts(), slow(most), 0);
                while body
                    .send(&mut transport, &mut share.clone(), &mut counted)
                    .unwrap()
                    != Sent::All
                {}
                assert_eq!(
                    transport.output, b"<a>123<b>89<c>",
                    "{most} at once, {share} a turn"
                );
                assert_eq!(counted, 14);
                assert!(body.is_empty());
            }
        }
    }

    #[test]
    fn all_parts_but_the_last_say_that_more_follows() {
        let (mut body, mut transport) = (parts(), slow(20));
        while body.send(&mut transport, &mut 100, &mut 0).unwrap() != Sent::All {}
        assert_eq!(transport.more, [true, true, false]);
    }

    #[test]
    fn parts_know_their_length() {
        let Body::Parts(body) = parts() else {
            panic!("no parts");
        };
        let lengths: Vec<_> = body.parts.iter().map(Part::length).collect();
        assert_eq!(lengths, [3, 3, 3, 2, 3]);
    }

    #[test]
    fn a_file_is_sent_within_its_budget() {
        let Body::Parts(body) = parts() else {
            panic!("no parts");
        };
        let mut body = Body::File {
            file: Arc::new(body.file),
            range: 2..9,
        };
        let (mut transport, mut budget, mut counted) = (slow(20), 4, 0);
        let mut send =
            |budget: &mut usize| body.send(&mut transport, budget, &mut counted).unwrap();
        assert_eq!((send(&mut budget), budget), (Sent::Yield, 0));
        assert_eq!(send(&mut 9), Sent::Wait);
        assert_eq!(send(&mut 9), Sent::All);
        assert_eq!((transport.output.as_slice(), counted), (&b"2345678"[..], 7));
    }
}
