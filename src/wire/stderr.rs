//! Writes to standard error without blocking.
//!
//! Invariant: the descriptor that other programs share is not changed (O_NONBLOCK belongs to the open file, so setting it
//! would reach into the shell); a pipe or terminal is opened a second time instead.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::SendFlags;

/// A pipe takes a write of at most this size completely or not at all (PIPE_BUF), so lines of several loops never mix.
const ATOMIC: usize = 4096;

/// Standard error, by what it is connected to.
#[derive(Debug)]
pub(crate) enum Stderr {
    /// A regular file, which never returns WouldBlock.
    File,
    /// A pipe or terminal, opened a second time so that it does not block.
    Reopened(File),
    /// A socket, as a service manager may give.
    Socket,
    /// Anything else; poll tells before every write whether it is writable.
    Polled,
    /// Nothing: all lines are discarded.
    Discard,
}

impl Stderr {
    pub(crate) fn open() -> Self {
        let stderr = io::stderr();
        match rustix::fs::fstat(&stderr).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::RegularFile) => Self::File,
            Ok(FileType::Socket) => Self::Socket,
            _ => reopen().map_or(Self::Polled, Self::Reopened),
        }
    }

    /// Writes as many whole lines as possible without blocking; returns the number of bytes.
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
        match self {
            Self::File => io::stderr().write(lines),
            Self::Reopened(file) => file.write(whole_lines(lines)),
            Self::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                Ok(rustix::net::send(io::stderr().as_fd(), lines, flags)?)
            }
            Self::Polled if is_writable()? => io::stderr().write(whole_lines(lines)),
            Self::Polled => Err(io::ErrorKind::WouldBlock.into()),
            Self::Discard => Ok(lines.len()),
        }
    }
}

/// Returns the lines at the start of `lines` that fit into one atomic write, or the start of a single longer line.
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
