//! Stores a request body for its handler: in memory while it is small, otherwise in a temporary file without a name.
//!
//! Invariant: a body of any length holds at most [`IN_MEMORY`] bytes of memory, and leaves no file behind. All bodies of a loop
//! together stay within their [`SpoolLimits`].

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::ServerConfig;
use crate::http::request::RequestError;

/// Bodies up to this many bytes stay in memory.
const IN_MEMORY: usize = 64 * 1024;

/// A resource that all bodies of a loop share.
#[derive(Clone, Copy, Debug)]
enum Resource {
    Memory,
    Disk,
    Files,
}

const RESOURCES: [Resource; 3] = [Resource::Memory, Resource::Disk, Resource::Files];

/// The amounts that the bodies of a loop may still use. They are atomic, because a handler may move a body to another thread.
#[derive(Debug)]
pub(crate) struct SpoolLimits {
    left: [AtomicU64; RESOURCES.len()],
}

impl SpoolLimits {
    /// Returns the limits of one loop: an equal part of what all `loops` may use.
    pub(crate) fn new(config: &ServerConfig, loops: usize) -> Arc<Self> {
        let left = RESOURCES.map(|resource| {
            let all = match resource {
                Resource::Memory => config.max_spooled_memory,
                Resource::Disk => config.max_spooled_bytes,
                Resource::Files => config.max_spooled_files,
            };
            AtomicU64::new(all.div_ceil(loops.max(1) as u64))
        });
        Arc::new(Self { left })
    }
}

/// The amounts that one body uses. They return to the limits when it is dropped.
#[derive(Debug)]
struct Usage {
    limits: Arc<SpoolLimits>,
    amounts: [u64; RESOURCES.len()],
}

impl Usage {
    fn reserve(&mut self, resource: Resource, amount: usize) -> Result<(), RequestError> {
        let amount = amount as u64;
        let left = &self.limits.left[resource as usize];
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(amount)
        })
        .map_err(|_| RequestError::TooManyBodies)?;
        self.amounts[resource as usize] += amount;
        Ok(())
    }

    fn release(&mut self, resource: Resource) {
        let amount = mem::take(&mut self.amounts[resource as usize]);
        if amount > 0 {
            self.limits.left[resource as usize].fetch_add(amount, Ordering::Relaxed);
        }
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        for resource in RESOURCES {
            self.release(resource);
        }
    }
}

/// A body that is arriving.
#[derive(Debug)]
pub(crate) struct Spool {
    /// The body, or its last bytes that are not in the file yet.
    memory: Vec<u8>,
    /// The file of a body that is too large for memory.
    file: Option<File>,
    length: u64,
    /// The number of bytes of `memory` that were read.
    read: usize,
    usage: Usage,
}

impl Spool {
    pub(crate) fn boxed(limits: &Arc<SpoolLimits>) -> Box<Self> {
        Box::new(Self {
            memory: Vec::new(),
            file: None,
            length: 0,
            read: 0,
            usage: Usage {
                limits: Arc::clone(limits),
                amounts: [0; RESOURCES.len()],
            },
        })
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// The bodies together exceed a limit, or the temporary directory is full or not writable.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        self.length += bytes.len() as u64;
        if self.memory.len() + bytes.len() > IN_MEMORY {
            // Writes whole buffers, so that a body in tiny chunks does not need a system call for each.
            self.store_memory()?;
        }
        if bytes.len() > IN_MEMORY {
            return self.store(bytes);
        }
        self.usage.reserve(Resource::Memory, bytes.len())?;
        self.memory.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the body, which can then be read.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub(crate) fn finish(mut self: Box<Self>) -> Result<RequestBody, RequestError> {
        if self.file.is_some() {
            self.store_memory()?;
            self.memory = Vec::new();
        }
        if let Some(file) = &mut self.file {
            file.rewind()
                .map_err(|_| RequestError::InsufficientStorage)?;
        }
        Ok(RequestBody(Content::Spooled(self)))
    }

    fn store_memory(&mut self) -> Result<(), RequestError> {
        let mut memory = mem::take(&mut self.memory);
        self.store(&memory)?;
        self.usage.release(Resource::Memory);
        memory.clear();
        self.memory = memory;
        Ok(())
    }

    fn store(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        self.usage.reserve(Resource::Disk, bytes.len())?;
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                self.usage.reserve(Resource::Files, 1)?;
                let file = tempfile::tempfile().map_err(|_| RequestError::InsufficientStorage)?;
                self.file.insert(file)
            }
        };
        file.write_all(bytes)
            .map_err(|_| RequestError::InsufficientStorage)
    }
}

impl Read for Spool {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(file) = &mut self.file {
            return file.read(buffer);
        }
        let length = self
            .memory
            .get(self.read..)
            .unwrap_or_default()
            .read(buffer)?;
        self.read += length;
        Ok(length)
    }
}

/// A whole request body, in memory or in a temporary file without a name.
///
/// While it exists, it counts towards the limits of all bodies: see
/// [`ServerConfig::max_spooled_bytes`](crate::ServerConfig::max_spooled_bytes).
#[derive(Debug, Default)]
pub struct RequestBody(Content);

#[derive(Debug, Default)]
enum Content {
    #[default]
    Empty,
    Spooled(Box<Spool>),
    /// The request has a body, and the handler did not ask for it.
    Unread,
    /// The handler has taken the body, which has this length.
    Taken(u64),
}

impl RequestBody {
    /// Stands for a body that is discarded. Reading from it is an error: an empty body would hide that the handler did not ask.
    pub(crate) fn unread() -> Self {
        Self(Content::Unread)
    }

    pub(crate) fn length(&self) -> u64 {
        match &self.0 {
            Content::Spooled(spool) => spool.length,
            Content::Taken(length) => *length,
            Content::Empty | Content::Unread => 0,
        }
    }

    /// Takes what can be read of the body, and leaves its length.
    pub(crate) fn take(&mut self) -> Self {
        match &self.0 {
            Content::Spooled(spool) => {
                let taken = Self(Content::Taken(spool.length));
                mem::replace(self, taken)
            }
            Content::Unread => Self::unread(),
            Content::Empty | Content::Taken(_) => Self::default(),
        }
    }
}

impl Read for RequestBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Content::Empty | Content::Taken(_) => Ok(0),
            Content::Spooled(spool) => spool.read(buffer),
            Content::Unread => Err(io::Error::other(
                "the request body was not read: reads_body returned false",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(memory: u64, disk: u64, files: u64) -> Arc<SpoolLimits> {
        let config = ServerConfig {
            max_spooled_memory: memory,
            max_spooled_bytes: disk,
            max_spooled_files: files,
            ..ServerConfig::default()
        };
        SpoolLimits::new(&config, 1)
    }

    fn left(limits: &SpoolLimits) -> [u64; 3] {
        RESOURCES.map(|resource| limits.left[resource as usize].load(Ordering::Relaxed))
    }

    #[test]
    fn a_body_is_read_back_from_memory_and_from_a_file() {
        let limits = limits(1 << 20, 1 << 20, 5);
        let before = left(&limits);
        for length in [0, 1, IN_MEMORY, IN_MEMORY + 1, 5 * IN_MEMORY] {
            for piece in [10_000, 100_000] {
                let body: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
                let mut spool = Spool::boxed(&limits);
                for piece in body.chunks(piece) {
                    spool.push(piece).unwrap();
                }
                let mut body_read = spool.finish().unwrap();
                let Content::Spooled(spool) = &body_read.0 else {
                    panic!("a body that is not stored");
                };
                assert_eq!(spool.file.is_some(), length > IN_MEMORY);
                assert!(spool.memory.len() <= IN_MEMORY);
                let is_stored = usize::from(length > IN_MEMORY);
                let taken = [length * (1 - is_stored), length * is_stored, is_stored];
                let expected: Vec<_> = before
                    .iter()
                    .zip(taken)
                    .map(|(all, taken)| all - taken as u64)
                    .collect();
                assert_eq!(left(&limits).to_vec(), expected, "{length}");
                assert_eq!(body_read.length(), length as u64);
                let mut read = Vec::new();
                body_read.read_to_end(&mut read).unwrap();
                assert_eq!(read, body);
                drop(body_read);
                assert_eq!(left(&limits), before);
            }
        }
    }

    #[test]
    fn a_body_beyond_a_limit_is_refused_and_returns_its_amounts() {
        let kib = 1024;
        for (memory, disk, files, pieces, fits) in [
            (100, 1000, 1, &[100, 1][..], 1),
            (
                1000 * kib,
                99 * kib,
                1,
                &[60 * 1024, 40 * 1024, 60 * 1024],
                2,
            ),
            (1000 * kib, 100 * kib, 1, &[100 * 1024, 1], 2),
            (1000 * kib, 100 * kib, 1, &[101 * 1024], 0),
            (1000 * kib, 1000 * kib, 0, &[60 * 1024, 60 * 1024], 1),
        ] {
            let limits = limits(memory, disk, files);
            let before = left(&limits);
            let mut spool = Spool::boxed(&limits);
            for (number, piece) in pieces.iter().enumerate() {
                let pushed = spool.push(&vec![b'x'; *piece]);
                let expected = if number < fits {
                    Ok(())
                } else {
                    Err(RequestError::TooManyBodies)
                };
                assert_eq!(pushed, expected, "{pieces:?}: {number}");
            }
            drop(spool);
            assert_eq!(left(&limits), before);
        }
    }

    #[test]
    fn loops_have_equal_limits() {
        let limits = SpoolLimits::new(&ServerConfig::default(), 4);
        let config = ServerConfig::default();
        assert_eq!(
            left(&limits),
            [
                config.max_spooled_memory,
                config.max_spooled_bytes,
                config.max_spooled_files
            ]
            .map(|all| all / 4)
        );
    }
}
