//! The password file: read again when it may have changed.
//!
//! Invariant: a file that cannot be used changes nothing, and is reported once.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::users::Users;

const MAX_BYTES: u64 = 1024 * 1024;
/// How old the last change must be so that the next one is certain to have another time.
const SETTLED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct PasswordFile {
    path: PathBuf,
    /// The file that was read last; `None` if it could have changed since without a trace.
    read: Option<Identity>,
    /// Why the file could not be used the last time.
    failure: Option<String>,
}

/// What tells two states of a file apart: some of it differs after a change, unless the change before had the same time.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl PasswordFile {
    /// Names the file; it is not opened yet.
    ///
    /// # Errors
    /// The path is empty, or relative without a current directory.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: std::path::absolute(path)?,
            read: None,
            failure: None,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file if it may have changed since the last time; `None` if it has not, or if it fails as it did then.
    pub(super) fn news(&mut self) -> Option<Result<Users, String>> {
        let found = std::fs::metadata(&self.path).map(|found| Identity::of(&found));
        if self.read.is_some() && found.ok() == self.read {
            return None;
        }
        let read = self.read();
        let failure = read.as_ref().err().map(ToString::to_string);
        let is_known = failure.is_some() && failure == self.failure;
        self.failure.clone_from(&failure);
        (!is_known).then(|| read.map_err(|_| failure.unwrap_or_default()))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be opened or read, is too large, or has a line that is wrong.
    pub(super) fn read(&mut self) -> io::Result<Users> {
        let flags = OFlags::NONBLOCK.union(OFlags::NOCTTY);
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(&self.path)?;
        let found = file.metadata()?;
        let users = parse(&file, &found)?;
        self.read = is_settled(&found).then(|| Identity::of(&found));
        Ok(users)
    }
}

fn parse(file: &File, found: &Metadata) -> io::Result<Users> {
    let wrong = |message| io::Error::new(io::ErrorKind::InvalidData, message);
    if !found.is_file() {
        return Err(wrong("not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong("larger than 1 MiB".to_owned()));
    }
    Users::parse(&bytes).map_err(wrong)
}

/// Returns whether the last change is so old that the next one will have another time.
fn is_settled(found: &Metadata) -> bool {
    let changed = u64::try_from(found.ctime()).unwrap_or_default();
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed + 1);
    changed.elapsed().is_ok_and(|age| age >= SETTLED)
}

impl Identity {
    fn of(found: &Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ALICE: &str = "alice:$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";

    #[test]
    fn a_file_that_has_changed_is_read_again_and_a_failure_is_reported_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        let mut file = PasswordFile::new(&path).unwrap();
        let mut news = |content: Option<&str>| {
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            file.news().map(|news| news.err().unwrap_or_default())
        };
        assert_eq!(news(Some(ALICE)), Some(String::new()));
        assert_eq!(
            news(Some("alice")).unwrap(),
            "line 1: no colon behind the user"
        );
        assert_eq!(news(Some("alice")), None);
        assert!(news(None).unwrap().contains("No such file"));
        assert_eq!(news(Some(ALICE)), Some(String::new()));
        let comment = "# a comment\n".repeat(100_000);
        assert_eq!(news(Some(&comment)).unwrap(), "larger than 1 MiB");
    }

    #[test]
    fn an_old_file_is_not_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("htpasswd");
        fs::write(&path, ALICE).unwrap();
        let mut file = PasswordFile::new(&path).unwrap();
        // The time of the change is the kernel's, so the test claims that it was long ago.
        assert!(file.news().unwrap().is_ok());
        file.read = Some(Identity::of(&fs::metadata(&path).unwrap()));
        assert!(file.news().is_none());
        fs::write(&path, format!("{ALICE}#")).unwrap();
        assert!(file.news().unwrap().is_ok());
    }

    #[test]
    fn only_a_regular_file_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = PasswordFile::new(directory.path()).unwrap();
        assert!(file.read().is_err());
    }
}
