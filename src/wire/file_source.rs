//! A body that file threads read piece by piece, from a file of which any read may wait for its file system.
//!
//! Invariant: one piece is read ahead while the one before it is sent. So a reply has two pieces in memory at most, and one job.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::task::Poll;

use super::file_threads::{DroppedByThread, Pending, Refused, Submitter};
use super::source::{Fill, Source};

/// Bytes that are read at a time.
const PIECE: u64 = 64 * 1024;

/// One part of a body that is made of a file.
#[derive(Debug)]
pub(crate) enum FilePart {
    Text(Vec<u8>),
    Range(Range<u64>),
    /// From this offset to the end of a file whose length is not known.
    ToEnd(u64),
}

/// Parts of one file, in their order.
#[derive(Debug)]
pub(crate) struct FileSource {
    file: DroppedByThread<Arc<File>>,
    parts: VecDeque<FilePart>,
    submitter: Submitter,
    /// The texts before the piece that is being read.
    texts: Vec<u8>,
    /// The piece that is being read.
    next: Option<Pending<io::Result<Vec<u8>>>>,
}

impl FilePart {
    /// Returns the length in bytes; `None` if it is not known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Text(text) => Some(text.len() as u64),
            Self::Range(range) => Some(range.end.saturating_sub(range.start)),
            Self::ToEnd(_) => None,
        }
    }
}

impl FileSource {
    /// Begins to read the first piece.
    ///
    /// # Errors
    /// The threads take no more jobs.
    pub(crate) fn begin(
        file: DroppedByThread<Arc<File>>,
        parts: VecDeque<FilePart>,
        submitter: Submitter,
    ) -> Result<Self, Refused> {
        let mut source = Self {
            file,
            parts,
            submitter,
            texts: Vec::new(),
            next: None,
        };
        source.read_ahead()?;
        Ok(source)
    }

    /// Takes out the texts that come next, and has a thread read the piece after them, if there is one.
    fn read_ahead(&mut self) -> Result<(), Refused> {
        let (offset, length) = loop {
            match self.parts.front_mut() {
                Some(FilePart::Text(text)) => self.texts.append(text),
                Some(FilePart::Range(range)) => {
                    break (range.start, PIECE.min(range.end - range.start));
                }
                Some(FilePart::ToEnd(offset)) => break (*offset, PIECE),
                None => return Ok(()),
            }
            self.parts.pop_front();
        };
        if let Some(file) = self.file.get().map(Arc::clone) {
            let read = move || read_piece(&file, offset, length as usize);
            self.next = Some(self.submitter.submit(read)?);
        }
        Ok(())
    }

    /// Notes that the next `length` bytes of the first part were read; 0 is the end of the file.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file is shorter than announced.
    fn advance(&mut self, length: u64) -> io::Result<()> {
        let is_done = match self.parts.front_mut() {
            Some(FilePart::Range(_)) if length == 0 => {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Some(FilePart::Range(range)) => {
                range.start += length;
                range.start >= range.end
            }
            Some(FilePart::ToEnd(offset)) => {
                *offset += length;
                length == 0
            }
            Some(FilePart::Text(_)) | None => false,
        };
        if is_done {
            self.parts.pop_front();
        }
        Ok(())
    }
}

impl Source for FileSource {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.append(&mut self.texts);
        let Some(pending) = &self.next else {
            return Ok(Fill::Done);
        };
        let piece = match pending.poll() {
            Poll::Pending => return Ok(Fill::NotNow),
            Poll::Ready(piece) => piece.map_err(|Refused| refused())??,
        };
        self.next = None;
        out.extend_from_slice(&piece);
        self.advance(piece.len() as u64)?;
        self.read_ahead().map_err(|Refused| refused())?;
        out.append(&mut self.texts);
        Ok(match self.next {
            Some(_) => Fill::More,
            None => Fill::Done,
        })
    }
}

fn refused() -> io::Error {
    io::Error::other("the file threads take no more jobs")
}

/// Reads until `length` bytes are there or the file ends.
fn read_piece(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; length];
    let mut read = 0;
    while let Some(room @ [_, ..]) = piece.get_mut(read..) {
        match file.read_at(room, offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(read);
    Ok(piece)
}

#[cfg(test)]
mod tests;
