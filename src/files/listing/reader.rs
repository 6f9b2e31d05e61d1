//! Reading a directory a batch of names at a time.
//!
//! Invariant: what a batch has brought is all looked at before the next one is asked for.

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::fs::{AtFlags, FileType, RawDir, SeekFrom, Stat, seek, statat};
use rustix::io::Errno;

use super::ListingOptions;
use super::entries::{Entry, EntryKind, Run};
use crate::files::cache::MAX_LISTED;
use crate::files::identity::Identity;
use crate::files::names::translate_path::is_hidden;
use crate::wire::source::Fill;

/// A directory of no more entries is listed as one page of known length. The same number is read and sorted in one slice.
pub(crate) const SLICE: usize = 512;

/// Bytes of names that are asked of the kernel at a time: those of a hundred entries or so, about a tenth of a millisecond of work.
const BATCH: usize = 4096;

/// Resolves a symbolic link, given by its path below the root, without leaving the root.
pub(super) type Follow = Box<dyn Fn(&[u8]) -> io::Result<Stat> + Send>;

/// A directory that is being read.
pub(crate) struct Reader {
    directory: OwnedFd,
    look: Look,
    batch: Vec<u8>,
}

/// How an entry is looked at.
struct Look {
    options: ListingOptions,
    follow: Follow,
    /// The path of the directory with the slash that a name follows; empty at the root.
    prefix: Vec<u8>,
    /// What is listed, so that it can be watched.
    listed: Option<Vec<(Vec<u8>, Identity)>>,
}

impl Reader {
    /// Prepares to read `directory`, which was just opened and not read from.
    ///
    /// `path` leads from the root to it, decoded, without slashes at its ends. `follow` resolves a symbolic link, given by
    /// its path below the root, and fails where that is broken or leads outside.
    pub(crate) fn new(
        directory: OwnedFd,
        path: &[u8],
        options: ListingOptions,
        follow: impl Fn(&[u8]) -> io::Result<Stat> + Send + 'static,
    ) -> Self {
        let mut prefix = path.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        Self {
            directory,
            look: Look {
                options,
                follow: Box::new(follow),
                prefix,
                listed: Some(Vec::new()),
            },
            batch: Vec::with_capacity(BATCH),
        }
    }

    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Bytes of memory that it has.
    pub(super) fn bytes(&self) -> usize {
        self.batch.capacity()
    }

    /// Reads into `run` until that has a slice, the time `until` has come or all is read ([`Fill::Done`]). One batch is read in any
    /// case.
    pub(crate) fn read_slice(
        &mut self,
        run: &mut Run,
        until: Option<Instant>,
    ) -> Result<Fill, Errno> {
        loop {
            if self.read_batch(run)? == Fill::Done {
                return Ok(Fill::Done);
            } else if run.len() > SLICE || until.is_some_and(|until| Instant::now() >= until) {
                return Ok(Fill::More);
            }
        }
    }

    fn read_batch(&mut self, run: &mut Run) -> Result<Fill, Errno> {
        let directory = self.directory.as_fd();
        let mut names = RawDir::new(directory, self.batch.spare_capacity_mut());
        loop {
            match names.next() {
                // The directory itself was removed meanwhile.
                None | Some(Err(Errno::NOENT)) => return Ok(Fill::Done),
                Some(found) => {
                    let found = found?;
                    let (name, file_type) = (found.file_name(), found.file_type());
                    self.look.keep(directory, name, file_type, run);
                }
            }
            if names.is_buffer_empty() {
                return Ok(Fill::More);
            }
        }
    }

    /// Goes back to the beginning.
    pub(super) fn rewind(&mut self) -> Result<(), Errno> {
        seek(&self.directory, SeekFrom::Start(0)).map(drop)
    }

    /// Reads the names again; says whether they are those that were listed, in the same order.
    pub(crate) fn finds_the_same_names(&mut self) -> bool {
        if self.rewind().is_err() {
            return false;
        }
        let (look, mut listed) = (&self.look, self.look.listed.iter().flatten());
        let mut names = RawDir::new(&self.directory, self.batch.spare_capacity_mut());
        loop {
            match names.next() {
                None => return look.listed.is_some() && listed.next().is_none(),
                Some(Ok(found)) => {
                    let name = found.file_name().to_bytes();
                    if look.shows(name) && listed.next().is_none_or(|(known, _)| known != name) {
                        return false;
                    }
                }
                Some(Err(_)) => return false,
            }
        }
    }

    /// Returns the names that were listed, and what they are. `None` where there are many, or a symbolic link is among them:
    /// its target may be anywhere.
    pub(crate) fn listed(&self) -> Option<&[(Vec<u8>, Identity)]> {
        self.look.listed.as_deref()
    }
}

impl Look {
    fn shows(&self, name: &[u8]) -> bool {
        !matches!(name, b"." | b"..") && (self.options.dotfiles || !is_hidden(name))
    }

    fn keep(&mut self, directory: BorrowedFd<'_>, name: &CStr, file_type: FileType, run: &mut Run) {
        let bytes = name.to_bytes();
        if !self.shows(bytes) {
            return;
        }
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                self.note(bytes, &stat);
                run.push(self.describe(bytes, &stat));
            }
            Err(Errno::NOENT) => {}
            Err(_) => run.push(unknown(bytes, file_type)),
        }
    }

    fn note(&mut self, name: &[u8], stat: &Stat) {
        let Some(listed) = &mut self.listed else {
            return;
        };
        let is_symlink = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        if is_symlink || listed.len() == MAX_LISTED {
            self.listed = None;
        } else {
            listed.push((name.to_vec(), stat.into()));
        }
    }

    fn describe<'a>(&self, name: &'a [u8], stat: &Stat) -> Entry<'a> {
        let own_type = FileType::from_raw_mode(stat.st_mode);
        if own_type != FileType::Symlink {
            return known(name, stat);
        }
        let path = [self.prefix.as_slice(), name].concat();
        let target = (self.follow)(&path).map(|target| known(name, &target));
        Entry {
            is_link: true,
            ..target.unwrap_or_else(|_| unknown(name, own_type))
        }
    }
}

fn known<'a>(name: &'a [u8], stat: &Stat) -> Entry<'a> {
    let file_type = FileType::from_raw_mode(stat.st_mode);
    let is_file = file_type == FileType::RegularFile;
    Entry {
        size: u64::try_from(stat.st_size).ok().filter(|_| is_file),
        mtime: Some(stat.st_mtime),
        ..unknown(name, file_type)
    }
}

fn unknown(name: &[u8], file_type: FileType) -> Entry<'_> {
    Entry {
        name,
        kind: match file_type {
            FileType::Directory => EntryKind::Directory,
            FileType::RegularFile => EntryKind::File,
            _ => EntryKind::Other,
        },
        is_link: file_type == FileType::Symlink,
        size: None,
        mtime: None,
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}
