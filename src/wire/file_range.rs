//! Sends a range of a file by sendfile, or by read and write if the file system refuses sendfile: exactly the announced bytes,
//! even if the file changes meanwhile.
//!
//! Invariant: bytes that are not in memory are requested and not sent, because reading them from the disk would block the loop
//! and all its connections. The file is read nevertheless if its file system cannot tell what is in memory, or takes too long.

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

/// The number of bytes that are checked, and read ahead, at once.
const WINDOW: u64 = 1024 * 1024;
/// The distance of the bytes that are checked: the kernel reads ahead in larger pieces.
const CHECK_STEP: usize = 512 * 1024;
/// The number of attempts, about a millisecond each, until the kernel is asked again to read ahead.
const ASK_AGAIN_AFTER: u32 = 100;
/// The number of attempts until the file is read nevertheless.
const MAX_ATTEMPTS: u32 = 2000;
/// The number of bytes that are read at once from a file that sendfile refuses.
const COPY_SIZE: usize = 64 * 1024;

/// A file that several replies may send at the same time.
#[derive(Debug)]
pub(crate) struct SharedFile {
    pub(crate) file: File,
    /// The last turn in which its first window was found in memory; other replies in that turn do not check again.
    cached_in_turn: AtomicU64,
    /// Whether sendfile has refused the file, so it is read and written instead.
    is_copied: AtomicBool,
}

impl From<File> for SharedFile {
    fn from(file: File) -> Self {
        Self {
            file,
            cached_in_turn: AtomicU64::new(u64::MAX),
            is_copied: AtomicBool::new(false),
        }
    }
}

/// The part of a file that is still to be sent.
#[derive(Debug)]
pub(crate) struct FileRange {
    pub(crate) range: Range<u64>,
    /// The end of the bytes that were found in memory.
    cached_end: u64,
    /// The end of the bytes that the kernel was asked to read ahead.
    requested_end: u64,
    /// The number of consecutive attempts that found bytes missing.
    attempts: u32,
}

impl From<Range<u64>> for FileRange {
    fn from(range: Range<u64>) -> Self {
        Self {
            cached_end: range.start,
            requested_end: 0,
            attempts: 0,
            range,
        }
    }
}

impl FileRange {
    /// Returns the number of bytes that were not sent yet.
    pub(crate) fn left(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Sends the rest of the range until all is sent, the socket takes no more, the share is spent or the next bytes are only on
    /// the disk.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file has shrunk: the announced length cannot be kept, so only closing the
    /// connection tells the peer.
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
                cold if self.range.start < self.cached_end || self.check_cached(file, cold) => {
                    self.cached_end.min(self.range.end) - self.range.start
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

    /// Reads the next `length` bytes of `file`, at most [`COPY_SIZE`], and writes them. Bytes that the socket does not take are
    /// read again the next time.
    fn copy(
        &mut self,
        file: &File,
        length: usize,
        transport: &mut impl Transport,
        share: &mut Share,
    ) -> io::Result<Next> {
        let mut buffer = vec![0; length.min(COPY_SIZE)];
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

    /// Does the same as [`send`](Self::send), but checks the first window of the file only once per turn for all replies that
    /// send it.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub(crate) fn send_shared(
        &mut self,
        shared: &SharedFile,
        transport: &mut impl Transport,
        share: &mut Share,
    ) -> io::Result<Next> {
        let begins = self.range.start == 0;
        if begins && shared.cached_in_turn.load(Ordering::Relaxed) == share.turn {
            self.cached_end = self.range.end.min(WINDOW);
        }
        let known_end = self.cached_end;
        let sent = self.send(shared, transport, share);
        if begins && self.cached_end > known_end {
            shared.cached_in_turn.store(share.turn, Ordering::Relaxed);
        }
        sent
    }

    /// Returns whether the next window is in memory. If it is not, and `cold` allows it, asks the kernel to read it ahead.
    fn check_cached(&mut self, file: &File, cold: Cold) -> bool {
        let end = self.range.end.min(self.range.start + WINDOW);
        let is_cached = self.attempts > MAX_ATTEMPTS || is_in_memory(file, self.range.start..end);
        if !is_cached && cold == Cold::Ask {
            self.attempts += 1;
            if self.attempts.is_multiple_of(ASK_AGAIN_AFTER) {
                self.requested_end = 0;
            }
        }
        // A file that comes from the disk is requested one window ahead.
        if cold == Cold::Ask && (!is_cached || self.requested_end > 0) {
            self.read_ahead(file, end + WINDOW);
        }
        if is_cached {
            self.cached_end = end;
            if self.attempts <= MAX_ATTEMPTS {
                self.attempts = 0;
            }
        }
        is_cached
    }

    /// Asks the kernel to read ahead up to `end`.
    fn read_ahead(&mut self, file: &File, end: u64) {
        let start = self.requested_end.max(self.range.start);
        let end = end.min(self.range.end);
        if let Some(length) = NonZeroU64::new(end.saturating_sub(start)) {
            // If the file system does not read ahead, the attempts run out and the file is read nevertheless.
            let _ = fadvise(file, start, Some(length), Advice::WillNeed);
            self.requested_end = end;
        }
    }
}

/// Returns whether sendfile cannot send this file: some file systems and sandboxes do not support it.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

/// Returns whether samples of `range` can be read without waiting for the disk.
fn is_in_memory(file: &File, range: Range<u64>) -> bool {
    let last = range.end.saturating_sub(1);
    (range.start..range.end)
        .step_by(CHECK_STEP)
        .map(|start| last.min(start + CHECK_STEP as u64 - 1))
        .all(|offset| read_now(file, &mut [0], offset).is_some())
}

/// Reads the bytes at `offset`; returns `None`, without having read, if that would have to wait for the disk.
pub(crate) fn read_now(file: &File, buffer: &mut [u8], offset: u64) -> Option<io::Result<usize>> {
    match read_in_memory(file, buffer, offset) {
        Ok(length) => Some(Ok(length)),
        Err(Errno::AGAIN) => None,
        // Some kernels and file systems cannot tell.
        Err(_) => Some(file.read_at(buffer, offset)),
    }
}

/// Reads the bytes at `offset`.
///
/// # Errors
/// EAGAIN if that would have to wait for the disk; another error, such as EOPNOTSUPP, if the file system cannot tell.
pub(crate) fn read_in_memory(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut buffers = [IoSliceMut::new(buffer)];
    preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT)
}

/// Fills `buffer` from `offset` on if that needs no waiting for the disk; returns whether it was filled.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if the file ends before.
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
