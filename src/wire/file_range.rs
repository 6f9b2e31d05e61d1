//! A range of a file on its way out by sendfile, or by read and write where its file system refuses sendfile: exactly the bytes
//! that were announced, whatever the file does meanwhile.
//!
//! Invariant: bytes that are not in memory are not sent but asked for, for reading them from the disk would stop the loop,
//! and everybody in it. Only a file system that cannot tell, or that takes far too long, is read all the same.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, retry_on_intr};

use super::next::Next;
use super::share::{Cold, Share};
use super::transport::Transport;

/// So much is asked about, and read ahead, at once.
const WINDOW: u64 = 1024 * 1024;
/// One byte in so many is asked about: the kernel reads ahead in larger pieces.
const STEP: usize = 512 * 1024;
/// Attempts, about a millisecond each, until the kernel is asked again to read ahead.
const AGAIN: u32 = 100;
/// Attempts until the file is read all the same.
const PATIENCE: u32 = 2000;
/// So much of a file that sendfile refuses is read at once.
const COPIED: usize = 64 * 1024;

/// A file of which many replies may be on their way at the same time.
#[derive(Debug)]
pub(crate) struct SharedFile {
    pub(crate) file: File,
    /// The turn in which its first window was found in memory: nobody else in that turn asks again.
    warm: AtomicU64,
    /// Whether sendfile has refused it: from then on it is read and written.
    is_copied: AtomicBool,
}

impl From<File> for SharedFile {
    fn from(file: File) -> Self {
        Self {
            file,
            warm: AtomicU64::new(u64::MAX),
            is_copied: AtomicBool::new(false),
        }
    }
}

#[derive(Debug)]
pub(crate) struct FileRange {
    pub(crate) range: Range<u64>,
    /// Where the bytes end that were found in memory.
    warm: u64,
    /// Where the bytes end that the kernel was asked to read ahead.
    asked: u64,
    /// Attempts that found bytes missing, one after the other.
    attempts: u32,
}

impl From<Range<u64>> for FileRange {
    fn from(range: Range<u64>) -> Self {
        Self {
            warm: range.start,
            asked: 0,
            attempts: 0,
            range,
        }
    }
}

impl FileRange {
    /// Bytes that have not left.
    pub(crate) fn left(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Sends `file` from where it stands, until all has left, the socket takes no more, the share is spent or the disk must be
    /// waited for.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file has shrunk: the announced length can no longer be kept, so only closing
    /// the connection tells the peer.
    pub(crate) fn send(
        &mut self,
        shared: &SharedFile,
        transport: &mut impl Transport,
        share: &mut Share,
    ) -> io::Result<Next> {
        let file = &shared.file;
        while self.left() > 0 {
            if share.bytes == 0 {
                return Ok(Next::Yield);
            }
            let ready = match share.cold {
                Cold::Read => self.left(),
                cold if self.range.start < self.warm || self.warm_up(file, cold) => {
                    self.warm.min(self.range.end) - self.range.start
                }
                _ => return Ok(Next::WaitForDisk),
            };
            let length = usize::try_from(ready).unwrap_or(usize::MAX);
            let length = length.min(share.bytes);
            if shared.is_copied.load(Ordering::Relaxed) {
                match self.copy(file, length, transport, share)? {
                    Next::Continue => continue,
                    sent => return Ok(sent),
                }
            }
            match transport.send_file(file, self.range.start, length) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.range.start += length as u64;
                    share.bytes -= length;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Next::Wait),
                Err(error) if is_refusal(&error) => shared.is_copied.store(true, Ordering::Relaxed),
                Err(error) => return Err(error),
            }
        }
        Ok(Next::Continue)
    }

    /// Reads the next `length` bytes of `file` and writes them, at most [`COPIED`]; what the socket does not take is read again
    /// the next time.
    fn copy(
        &mut self,
        file: &File,
        length: usize,
        transport: &mut impl Transport,
        share: &mut Share,
    ) -> io::Result<Next> {
        let mut buffer = vec![0; length.min(COPIED)];
        let read = retry_on_intr(|| pread(file, &mut *buffer, self.range.start))?;
        let Some(bytes @ [_, ..]) = buffer.get(..read) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        let more = (read as u64) < self.left();
        match transport.write(bytes, more) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => {
                self.range.start += length as u64;
                share.bytes -= length;
                // A short write means that the socket is full.
                Ok(if length < read {
                    Next::Wait
                } else {
                    Next::Continue
                })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Next::Wait),
            Err(error) => Err(error),
        }
    }

    /// The same with a file that others send, too: what one of them has found in this turn, all know.
    ///
    /// # Errors
    /// As of [`send`](Self::send).
    pub(crate) fn send_shared(
        &mut self,
        shared: &SharedFile,
        transport: &mut impl Transport,
        share: &mut Share,
    ) -> io::Result<Next> {
        let begins = self.range.start == 0;
        if begins && shared.warm.load(Ordering::Relaxed) == share.turn {
            self.warm = self.range.end.min(WINDOW);
        }
        let known = self.warm;
        let sent = self.send(shared, transport, share);
        if begins && self.warm > known {
            shared.warm.store(share.turn, Ordering::Relaxed);
        }
        sent
    }

    /// Says whether the next bytes can be sent without the disk; asks for them where they cannot, and `cold` allows it.
    fn warm_up(&mut self, file: &File, cold: Cold) -> bool {
        let end = self.range.end.min(self.range.start + WINDOW);
        let is_warm = self.attempts > PATIENCE || is_in_memory(file, self.range.start..end);
        if !is_warm && cold == Cold::Ask {
            self.attempts += 1;
            if self.attempts.is_multiple_of(AGAIN) {
                self.asked = 0;
            }
        }
        // What comes from the disk is asked for one window ahead.
        if cold == Cold::Ask && (!is_warm || self.asked > 0) {
            self.ask(file, end + WINDOW);
        }
        if is_warm {
            self.warm = end;
            if self.attempts <= PATIENCE {
                self.attempts = 0;
            }
        }
        is_warm
    }

    /// Asks the kernel to read ahead up to `end`.
    fn ask(&mut self, file: &File, end: u64) {
        let start = self.asked.max(self.range.start);
        let end = end.min(self.range.end);
        if let Some(length) = NonZeroU64::new(end.saturating_sub(start)) {
            // A file system that does not read ahead is one that is waited for in vain.
            let _ = fadvise(file, start, Some(length), Advice::WillNeed);
            self.asked = end;
        }
    }
}

/// Whether sendfile cannot send this file: some file systems and sandboxes do not have it.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

/// Whether `range` can be read without waiting for the disk, as far as samples tell.
fn is_in_memory(file: &File, range: Range<u64>) -> bool {
    let last = range.end.saturating_sub(1);
    (range.start..range.end)
        .step_by(STEP)
        .map(|start| last.min(start + STEP as u64 - 1))
        .all(|offset| read_now(file, &mut [0], offset).is_some())
}

/// Reads what is at `offset`; `None` where that would have to wait for the disk, and nothing was read.
pub(crate) fn read_now(file: &File, buffer: &mut [u8], offset: u64) -> Option<io::Result<usize>> {
    let mut buffers = [IoSliceMut::new(buffer)];
    match preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT) {
        Ok(length) => Some(Ok(length)),
        Err(Errno::AGAIN) => None,
        // Neither every kernel nor every file system can tell.
        Err(_) => Some(file.read_at(buffer, offset)),
    }
}

/// Fills `buffer` from `offset` on, if that can be done without waiting for the disk; says whether it was.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] where the file ends before.
pub(crate) fn read_exact_now(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
    let mut read = 0;
    while let Some(rest @ [_, ..]) = buffer.get_mut(read..) {
        match read_now(file, rest, offset + read as u64) {
            None => return Ok(false),
            Some(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(length) => read += length?,
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
