//! A file that several replies may send at the same time, and what is known of the parts of it that are in memory.
//!
//! Invariant: a wrong guess costs time and never content: a file that is not in memory can still be sent.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::file_threads::{FileThreads, STAYS_IN_MEMORY};

/// One byte in so many is looked at.
const SAMPLED: usize = 256 * 1024;

/// What is known of the bytes of a file that are in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InMemory {
    Yes,
    No,
    /// The kernel or the file system cannot tell.
    Unknown,
}

/// A file that several replies may send at the same time.
#[derive(Debug)]
pub(crate) struct SharedFile {
    pub(crate) file: Arc<File>,
    /// The threads that read what is not in memory; `None` if the loop does that.
    pub(super) threads: Option<FileThreads>,
    /// Whether the file is on a file system that is in memory.
    is_in_memory: bool,
    read_by_thread: Mutex<ReadsByThread>,
    /// The last turn in which its first window was found in memory; other replies in that turn do not check again.
    pub(super) cached_in_turn: AtomicU64,
    /// Whether sendfile has refused the file, so it is read and written instead.
    pub(super) is_copied: AtomicBool,
    /// The last random number, never 0.
    random: AtomicU64,
}

impl From<File> for SharedFile {
    fn from(file: File) -> Self {
        Self {
            file: Arc::new(file),
            threads: None,
            is_in_memory: false,
            read_by_thread: Mutex::default(),
            cached_in_turn: AtomicU64::new(u64::MAX),
            is_copied: AtomicBool::new(false),
            random: AtomicU64::new(RandomState::new().hash_one(0) | 1),
        }
    }
}

impl SharedFile {
    /// Takes a file of which `threads` read what is not in memory. The kernel then reads nothing ahead by itself: the loop would have to
    /// wait for that where it sends the last bytes that are in memory.
    pub(crate) fn with_threads(self, threads: Option<FileThreads>) -> Self {
        if threads.is_some() {
            // Some file systems read nothing ahead anyway.
            let _ = fadvise(&self.file, 0, None, Advice::Random);
        }
        Self { threads, ..self }
    }

    /// Notes that the file is on a file system that is in memory.
    pub(crate) fn in_memory(self) -> Self {
        Self {
            is_in_memory: true,
            ..self
        }
    }

    /// Returns whether `range` can be read without waiting for the disk. Of a file that is likely to be in memory as a whole, only samples
    /// are looked at, one in each [`SAMPLED`] bytes.
    pub(super) fn has_in_memory(&self, range: Range<u64>) -> InMemory {
        if self.is_in_memory {
            return InMemory::Yes;
        }
        let mut starts = (range.start..range.end).step_by(SAMPLED);
        let sampled = starts.find_map(|start| {
            let step = range.end.min(start + SAMPLED as u64) - start;
            let offset = start + self.next_random() % step;
            self.why_not(&mut [0], offset).err()
        });
        match sampled {
            Some(other) => other,
            None if is_recent(self.lock().any) => self.has_all_in_memory(range),
            None => InMemory::Yes,
        }
    }

    /// Looks at every byte: parts of a file that a thread has to read are on their way to memory, and others have left it.
    fn has_all_in_memory(&self, range: Range<u64>) -> InMemory {
        let (mut bytes, mut offset) = (vec![0; 64 * 1024], range.start);
        while offset < range.end {
            match self.why_not(&mut bytes, offset) {
                // The file has shrunk, which shows when it is sent.
                Ok(0) => break,
                Ok(length) => offset += length as u64,
                Err(other) => return other,
            }
        }
        InMemory::Yes
    }

    /// Reads the bytes at `offset`, or says why it does not.
    fn why_not(&self, bytes: &mut [u8], offset: u64) -> Result<usize, InMemory> {
        read_in_memory(&self.file, bytes, offset).map_err(|errno| match errno {
            Errno::AGAIN => InMemory::No,
            _ => InMemory::Unknown,
        })
    }

    /// Returns a number that clients cannot know (xorshift): they could otherwise ask for just the bytes that are checked.
    fn next_random(&self) -> u64 {
        let mut random = self.random.load(Ordering::Relaxed);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.store(random, Ordering::Relaxed);
        random
    }

    /// Fills `buffer` from `offset` on if that needs no waiting for the disk; returns whether it was filled.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    pub(crate) fn read_exact_now(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        let mut read = 0;
        while let Some(rest @ [_, ..]) = buffer.get_mut(read..) {
            let offset = offset + read as u64;
            let length = match read_in_memory(&self.file, rest, offset) {
                Ok(length) => length,
                Err(Errno::AGAIN) => return Ok(false),
                Err(_) if self.threads.is_some() && !self.is_in_memory => return Ok(false),
                Err(_) => self.file.read_at(rest, offset)?,
            };
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            read += length;
        }
        Ok(true)
    }

    /// Notes that a thread has read a window of the file into memory.
    pub(super) fn note_read_by_thread(&self, is_first: bool) {
        let mut reads = self.lock();
        reads.any = Some(Instant::now());
        if is_first {
            reads.first = reads.any;
        }
    }

    /// Whether a thread has read the first window lately.
    pub(super) fn has_first_window(&self) -> bool {
        is_recent(self.lock().first)
    }

    fn lock(&self) -> MutexGuard<'_, ReadsByThread> {
        self.read_by_thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// When threads last read from a file.
#[derive(Debug, Default)]
struct ReadsByThread {
    /// Any window: then samples do not show what is in memory.
    any: Option<Instant>,
    /// The first window, for file systems that cannot tell what is in memory.
    first: Option<Instant>,
}

fn is_recent(time: Option<Instant>) -> bool {
    time.is_some_and(|time| time.elapsed() < STAYS_IN_MEMORY)
}

/// Reads the bytes at `offset`.
///
/// # Errors
/// EAGAIN if that would have to wait for the disk; another error, such as EOPNOTSUPP, if the file system cannot tell.
pub(crate) fn read_in_memory(file: &File, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut buffers = [IoSliceMut::new(buffer)];
    preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT)
}
