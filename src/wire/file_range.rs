//! Sends a range of a file by sendfile, or by read and write if the file system refuses sendfile: exactly the announced bytes,
//! even if the file changes meanwhile.
//!
//! Invariant: bytes that are known not to be in memory are requested and not sent, because reading them from the disk would block the
//! loop and all its connections. With file threads, a thread reads them, and a range for which they do not come in time fails. Without
//! threads, the file is read nevertheless if its file system cannot tell what is in memory, or takes too long.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Instant;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, pread, retry_on_intr};

use super::file_threads::{FileThreads, Locality, Pending};
use super::next::Next;
use super::share::{Cold, Share};
use super::shared_file::{InMemory, SharedFile};
use super::transport::Transport;

/// The number of bytes that are checked, and read ahead, at once.
const WINDOW: u64 = 1024 * 1024;
/// The number of attempts, about a millisecond each, until the kernel is asked again to read ahead.
const ASK_AGAIN_AFTER: u32 = 100;
/// The number of attempts until the file is read nevertheless.
const MAX_ATTEMPTS: u32 = 2000;
/// The number of bytes that are read at once from a file that sendfile refuses.
const COPY_SIZE: usize = 64 * 1024;

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
    by_thread: Option<Box<AwaitedWindow>>,
}

/// The next window of a file, which a thread reads into memory.
#[derive(Debug)]
struct AwaitedWindow {
    since: Instant,
    /// `None` if the threads have not taken the job yet, or have done it and the bytes are still not in memory.
    pending: Option<Pending<()>>,
}

impl From<Range<u64>> for FileRange {
    fn from(range: Range<u64>) -> Self {
        Self {
            cached_end: range.start,
            requested_end: 0,
            attempts: 0,
            by_thread: None,
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
                cold if self.range.start < self.cached_end
                    || self.check_cached(shared, cold)? =>
                {
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

    /// Returns whether the next window is in memory. If it is not, and `cold` allows it, has a thread read it, or asks the kernel to
    /// read it ahead.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] if a thread has not read it in time.
    fn check_cached(&mut self, shared: &SharedFile, cold: Cold) -> io::Result<bool> {
        if let Some(threads) = &shared.threads {
            return self.check_with_threads(shared, threads);
        }
        let file = &shared.file;
        let end = self.range.end.min(self.range.start + WINDOW);
        // Where the file system cannot tell, the file is read nevertheless.
        let is_cached = self.attempts > MAX_ATTEMPTS
            || shared.has_in_memory(self.range.start..end) != InMemory::No;
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
        Ok(is_cached)
    }

    /// Returns whether the next window is in memory. If it is not, has a thread read it, unless one is doing that already.
    fn check_with_threads(
        &mut self,
        shared: &SharedFile,
        threads: &FileThreads,
    ) -> io::Result<bool> {
        let end = self.range.end.min(self.range.start + WINDOW);
        let by_thread = self.by_thread.as_mut();
        let is_done = by_thread.is_some_and(|by_thread| by_thread.is_done());
        let is_first = self.range.start == 0;
        if is_done {
            shared.note_read_by_thread(is_first);
        }
        let is_cached = match shared.has_in_memory(self.range.start..end) {
            InMemory::Yes => true,
            InMemory::No => false,
            InMemory::Unknown => is_done || is_first && shared.has_first_window(),
        };
        if is_cached {
            self.cached_end = end;
            self.by_thread = None;
        } else {
            self.read_by_thread(shared, threads)?;
        }
        Ok(is_cached)
    }

    /// Has a thread read the next window, unless one is doing that already.
    fn read_by_thread(&mut self, shared: &SharedFile, threads: &FileThreads) -> io::Result<()> {
        let by_thread = self.by_thread.get_or_insert_with(|| {
            Box::new(AwaitedWindow {
                since: Instant::now(),
                pending: None,
            })
        });
        if by_thread.since.elapsed() > threads.timeout() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if by_thread.pending.is_none() {
            let (file, range) = (Arc::clone(&shared.file), self.range.start..self.range.end);
            let read = move || read_window(&file, range);
            // If it is refused, the next attempt tries again.
            by_thread.pending = threads
                .submit(Waker::noop().clone(), Locality::Local, read)
                .ok();
        }
        Ok(())
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

impl AwaitedWindow {
    /// Returns whether the thread has read the window since the last call.
    fn is_done(&mut self) -> bool {
        let polled = self.pending.as_ref().map(Pending::poll);
        let is_there = matches!(polled, Some(Poll::Ready(_)));
        if is_there {
            self.pending = None;
        }
        matches!(polled, Some(Poll::Ready(Ok(()))))
    }
}

/// Reads the first window of `range` into memory, and has the kernel read the next one ahead.
fn read_window(file: &File, range: Range<u64>) {
    let end = range.end.min(range.start + WINDOW);
    let ahead = range.end.min(end + WINDOW) - range.start;
    // A failure shows when the file is sent.
    let _ = fadvise(file, range.start, NonZeroU64::new(ahead), Advice::WillNeed);
    // Only what was read is known to be in memory.
    let (mut bytes, mut offset) = (vec![0; COPY_SIZE], range.start);
    while offset < end
        && let Ok(length @ 1..) = file.read_at(&mut bytes, offset)
    {
        offset += length as u64;
    }
}

/// Returns whether sendfile cannot send this file: some file systems and sandboxes do not support it.
fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|errno| refusals.contains(&errno))
}

#[cfg(test)]
mod tests;
