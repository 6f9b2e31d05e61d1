//! A file that the log is written to, and that is opened again when it has been rotated.
//!
//! Invariant: lines of several loops never mix. The rest of a line that the file took only a part of, because the disk is full, is
//! written before any other line.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memchr::memchr;
use rustix::fs::{Mode, OFlags, ResolveFlags};

/// The owner writes, the group reads, and others do not: the log has addresses, and queries may have secrets.
const MODE: u32 = 0o640;
/// Without blocking, so that a pipe without a reader is an error and a full one makes nothing wait. A regular file ignores it.
const FLAGS: OFlags = OFlags::NONBLOCK
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// An open file for the access log.
///
/// It is opened for appending, and made with mode 0640 where it is missing. A server that [writes to
/// it](crate::HttpServer::log_to) opens it again when [`ServerHandle::reload`](crate::ServerHandle::reload) says so: by its name in
/// the directory where it was at first, also if that has been moved. So open it with the rights that the server will have, and before a
/// [`Confinement`](crate::Confinement) that [keeps that right](crate::Confinement::reopen).
///
/// ```
/// use httpoll::{BaseHttpRequestHandler, HttpServer, LogFile};
///
/// struct Nothing;
/// impl BaseHttpRequestHandler for Nothing {}
///
/// # let directory = std::env::temp_dir().join(format!("httpoll-doc-{}", std::process::id()));
/// # std::fs::create_dir(&directory)?;
/// let log_file = LogFile::open(directory.join("access.log"))?;
/// let mut server = HttpServer::bind("127.0.0.1:0", Nothing)?;
/// server.log_to(log_file);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    /// Its directory, and its name there; `None` for a pipe or a device, which is never opened again.
    place: Option<(OwnedFd, OsString)>,
    newest: Mutex<Newest>,
}

/// The file that the last reload has opened.
#[derive(Debug)]
struct Newest {
    output: Arc<LogOutput>,
    /// The number of the last reload that was acted on.
    reload: u64,
}

impl LogFile {
    /// Opens the file at `path`. What is no regular file, such as `/dev/stdout` or a pipe, is written to and never opened again.
    ///
    /// # Errors
    /// The file cannot be opened or made.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(MODE)
            .custom_flags(FLAGS.bits().cast_signed())
            .open(path)?;
        let place = match file.metadata()?.is_file() {
            true => Some(place(path)?),
            false => None,
        };
        let newest = Newest {
            output: LogOutput::new(file),
            reload: 0,
        };
        Ok(Self {
            path: path.to_owned(),
            place,
            newest: Mutex::new(newest),
        })
    }

    /// Returns the path that the file was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a duplicate of the descriptor of the file's directory; `None` for what is no regular file.
    pub(crate) fn directory(&self) -> io::Result<Option<OwnedFd>> {
        let directory = self.place.as_ref().map(|(directory, _)| directory);
        directory.map(OwnedFd::try_clone).transpose()
    }

    /// Returns the open file.
    pub(crate) fn output(&self) -> Arc<LogOutput> {
        Arc::clone(&lock(&self.newest).output)
    }

    /// Opens the file again, for the first loop that asks because of reload number `reload`, and returns the newest file to every loop.
    /// Where that fails, this is the old one, and the first loop also gets the error.
    pub(crate) fn reopen(&self, reload: u64) -> (Arc<LogOutput>, Option<io::Error>) {
        let mut newest = lock(&self.newest);
        let mut failure = None;
        if newest.reload < reload {
            newest.reload = reload;
            match self.open_again() {
                Ok(Some(file)) => newest.output = LogOutput::new(file),
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        }
        (Arc::clone(&newest.output), failure)
    }

    fn open_again(&self) -> io::Result<Option<File>> {
        let Some((directory, name)) = &self.place else {
            return Ok(None);
        };
        // A link in place of the file could lead the log to any other file.
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | FLAGS;
        let mode = Mode::from_raw_mode(MODE);
        let file: File = rustix::fs::openat2(directory, name, flags, mode, within)?.into();
        if file.metadata()?.is_file() {
            Ok(Some(file))
        } else {
            Err(io::Error::other("not a regular file"))
        }
    }
}

/// Opens the directory of the regular file at `path`, and returns it with the name of the file; links are followed.
fn place(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    let path = fs::canonicalize(path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty())?;
    Ok((directory, name.to_owned()))
}

/// One opening of the file, which all loops share.
#[derive(Debug)]
pub(crate) struct LogOutput(Mutex<Writing>);

#[derive(Debug)]
struct Writing {
    file: File,
    /// The rest of a line that the file took only a part of.
    torn: Vec<u8>,
    /// Whether the last write has failed.
    is_failing: bool,
}

/// What [`LogOutput::write`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The bytes of whole lines that need not be written again.
    pub(crate) length: usize,
    /// Whether the rest of one of them still has to be written, by another call.
    pub(crate) is_torn: bool,
}

impl LogOutput {
    fn new(file: File) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Writing {
            file,
            torn: Vec::new(),
            is_failing: false,
        })))
    }

    /// Writes as many whole lines of `lines` as the file takes now.
    ///
    /// # Errors
    /// The file does not take them: the disk is full or broken. Further failures until the next success are not errors; then the
    /// file just takes nothing.
    pub(crate) fn write(&self, lines: &[u8]) -> io::Result<Taken> {
        let mut writing = lock(&self.0);
        let length = match writing.write(lines) {
            Ok(length) => {
                writing.is_failing = false;
                length
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if !mem::replace(&mut writing.is_failing, true) => return Err(error),
            Err(_) => 0,
        };
        let is_torn = !writing.torn.is_empty();
        Ok(Taken { length, is_torn })
    }
}

impl Writing {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        while !self.torn.is_empty() {
            let length = self.file.write(&self.torn)?;
            self.torn.drain(..length);
        }
        if lines.is_empty() {
            return Ok(0);
        }
        let length = self.file.write(lines)?;
        let (taken, rest) = lines.split_at(length);
        if length == 0 || taken.ends_with(b"\n") {
            return Ok(length);
        }
        let end = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (torn, _) = rest.split_at(end);
        self.torn.extend_from_slice(torn);
        Ok(length + end)
    }
}

/// Ignores poisoning: nothing here panics between two changes that belong together.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::pipe;

    use rustix::fs::{fcntl_getfl, fcntl_setfl};

    use super::*;

    #[test]
    fn a_torn_line_is_finished_before_any_other_line() {
        let (mut reader, writer) = pipe().unwrap();
        let flags = fcntl_getfl(&writer).unwrap();
        fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
        let output = LogOutput::new(File::from(OwnedFd::from(writer)));
        let long = [[b'x'; 99_999].as_slice(), b"\n"].concat();
        let written = output.write(&[long.as_slice(), b"second\n"].concat());
        let taken = written.unwrap();
        assert_eq!((taken.length, taken.is_torn), (long.len(), true));
        assert_eq!(output.write(b"other\n").unwrap().length, 0);
        let mut read = Vec::new();
        let mut room = vec![0; 65_536];
        while !read.ends_with(b"other\n") {
            let length = io::Read::read(&mut reader, &mut room).unwrap();
            read.extend_from_slice(&room[..length]);
            let taken = output.write(b"other\n").unwrap();
            assert!(!taken.is_torn);
        }
        assert!(read.starts_with(&[long.as_slice(), b"other\n"].concat()));
    }

    #[test]
    fn a_failure_is_an_error_once() {
        let full = LogFile::open("/dev/full").unwrap().output();
        let error = full.write(b"line\n").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let none = Taken::default();
        assert_eq!(full.write(b"line\n").unwrap(), none);
    }

    #[test]
    fn a_reload_opens_the_file_once_for_all_loops() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log_file = LogFile::open(&path).unwrap();
        let old = log_file.output();
        fs::rename(&path, directory.path().join("log.1")).unwrap();
        let (first, failure) = log_file.reopen(1);
        assert!(failure.is_none());
        let (second, _) = log_file.reopen(1);
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &old));
        old.write(b"old\n").unwrap();
        first.write(b"new\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
    }

    #[test]
    fn a_link_or_a_directory_in_place_of_the_file_is_refused_once_for_all_loops() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log_file = LogFile::open(&path).unwrap();
        let old = log_file.output();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        let (kept, failure) = log_file.reopen(1);
        assert!(Arc::ptr_eq(&kept, &old) && failure.is_some());
        assert!(log_file.reopen(1).1.is_none());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(log_file.reopen(2).1.is_some());
        fs::remove_dir(&path).unwrap();
        assert!(log_file.reopen(3).1.is_none());
        assert!(path.is_file());
    }
}
