//! Standard error as a sink that never blocks.
//!
//! Invariant: the descriptor that other programs share is left as it is (O_NONBLOCK belongs to the open file, so setting it
//! would reach into the shell); a pipe or terminal is opened anew for ourselves instead.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::SendFlags;

/// A pipe takes a write of at most this size whole or not at all (PIPE_BUF), so lines of several loops never mix.
const ATOMIC: usize = 4096;

#[derive(Debug)]
pub(crate) struct Stderr {
    kind: StderrKind,
}

#[derive(Debug)]
enum StderrKind {
    /// A regular file: it never says "not now".
    File,
    /// A pipe or terminal, opened anew so that it does not block.
    Reopened(File),
    /// A socket, as under a service manager.
    Socket,
    /// Neither: asked before every write.
    Polled,
    /// Whatever is written is forgotten.
    Nowhere,
}

impl Stderr {
    pub(crate) fn open() -> Self {
        let stderr = io::stderr();
        let kind =
            match rustix::fs::fstat(&stderr).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(FileType::RegularFile) => StderrKind::File,
                Ok(FileType::Socket) => StderrKind::Socket,
                _ => reopen().map_or(StderrKind::Polled, StderrKind::Reopened),
            };
        Self { kind }
    }

    /// Stands for standard error where nothing is to be written.
    pub(crate) fn nowhere() -> Self {
        Self {
            kind: StderrKind::Nowhere,
        }
    }

    /// Writes as many whole lines as are taken without waiting; returns the number of bytes.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < lines.len() {
            let rest = lines.get(written..).unwrap_or_default();
            match self.write_some(rest) {
                Ok(length) => written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }

    fn write_some(&mut self, lines: &[u8]) -> io::Result<usize> {
        match &mut self.kind {
            StderrKind::File => io::stderr().write(lines),
            StderrKind::Reopened(file) => file.write(whole_lines(lines)),
            StderrKind::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                Ok(rustix::net::send(io::stderr().as_fd(), lines, flags)?)
            }
            StderrKind::Polled if is_writable()? => io::stderr().write(whole_lines(lines)),
            StderrKind::Polled => Err(io::ErrorKind::WouldBlock.into()),
            StderrKind::Nowhere => Ok(lines.len()),
        }
    }
}

/// The lines at the start of `lines` that fit into one atomic write; of a single longer line, what does.
fn whole_lines(lines: &[u8]) -> &[u8] {
    let (front, rest) = lines.split_at(lines.len().min(ATOMIC));
    match front.iter().rposition(|byte| *byte == b'\n') {
        Some(end) if !rest.is_empty() => lines.get(..=end).unwrap_or(front),
        _ => front,
    }
}

fn is_writable() -> io::Result<bool> {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    Ok(poll(&mut fds, Some(&Timespec::default()))? > 0)
}

fn reopen() -> io::Result<File> {
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open("/proc/self/fd/2", flags, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_ends_with_a_line_and_fits_a_pipe() {
        let line = [[b'x'; 99].as_slice(), b"\n"].concat();
        let lines = line.repeat(100);
        assert_eq!(whole_lines(&lines).len(), 4000);
        assert_eq!(whole_lines(b"short\n"), b"short\n");
        assert_eq!(whole_lines(&[b'x'; 9000]).len(), ATOMIC);
    }
}
