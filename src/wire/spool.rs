//! A request body on its way to a handler: in memory while it is small, else in a temporary file without a name.
//!
//! Invariant: it holds at most [`IN_MEMORY`] bytes of memory, whatever its length, and leaves nothing behind.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};

/// Bodies up to this many bytes stay in memory.
const IN_MEMORY: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Spool {
    /// The body, or what is still to be written of it.
    memory: Vec<u8>,
    /// Where the body goes once memory was too small.
    file: Option<File>,
    length: u64,
    /// Bytes of `memory` that have been read.
    read: usize,
}

impl Spool {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// The temporary directory is full, or cannot be written to.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        if self.memory.len() + bytes.len() > IN_MEMORY {
            // Whole buffers, so that a body in tiny chunks does not cost a system call for each.
            let file = match &mut self.file {
                Some(file) => file,
                None => self.file.insert(tempfile::tempfile()?),
            };
            file.write_all(&self.memory)?;
            self.memory.clear();
        }
        match &mut self.file {
            Some(file) if bytes.len() > IN_MEMORY => file.write_all(bytes),
            _ => {
                self.memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Goes back to the start: from now on it is read.
    pub(crate) fn rewind(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            file.rewind()?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_from_memory_and_from_a_file() {
        for length in [0, 1, IN_MEMORY, IN_MEMORY + 1, 5 * IN_MEMORY] {
            let body: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            let mut spool = Spool::default();
            for piece in body.chunks(10_000) {
                spool.push(piece).unwrap();
            }
            spool.rewind().unwrap();
            let mut read = Vec::new();
            spool.read_to_end(&mut read).unwrap();
            assert_eq!(read, body);
            assert_eq!(spool.length(), length as u64);
            assert_eq!(spool.file.is_some(), length > IN_MEMORY);
            assert!(spool.memory.len() <= IN_MEMORY);
        }
    }
}
