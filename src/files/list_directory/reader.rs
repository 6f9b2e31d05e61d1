//! Reading a directory a slice at a time.
//!
//! Invariant: slices are counted in entries, never in time, so that two readers of one directory (a HEAD and a GET) get
//! the same pieces.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, RawDir, Stat, statat};
use rustix::io::Errno;

use super::ListingOptions;
use super::entries::{Entry, Kind, Run, Sorted};
use super::order::Order;
use crate::files::cache::MAX_LISTED;
use crate::files::identity::Identity;
use crate::files::translate_path::is_hidden;
use crate::wire::source::Fill;

/// How many entries one call reads and sorts at least, unless there are no more: about a millisecond of work.
pub(super) const SLICE: usize = 512;

/// Bytes of names that are asked of the kernel at a time: those of a few hundred entries.
const BATCH: usize = 16 * 1024;

/// Resolves a symbolic link, given by its path below the root, without leaving the root.
pub(super) type Follow = Box<dyn Fn(&[u8]) -> io::Result<Stat>>;

/// A directory that is being read.
pub(super) struct Reader {
    directory: OwnedFd,
    order: Order,
    look: Look,
    batch: Vec<u8>,
    sorted: Sorted,
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
    pub(super) fn new(
        directory: OwnedFd,
        path: &[u8],
        order: Order,
        options: ListingOptions,
        follow: Follow,
    ) -> Self {
        let mut prefix = path.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        Self {
            directory,
            order,
            look: Look {
                options,
                follow,
                prefix,
                listed: Some(Vec::new()),
            },
            batch: Vec::with_capacity(BATCH),
            sorted: Sorted::default(),
        }
    }

    /// Reads one slice; [`Fill::Done`]: that was the last one.
    pub(super) fn read_slice(&mut self) -> io::Result<Fill> {
        let mut run = Run::new(self.order);
        let directory = self.directory.as_fd();
        let mut names = RawDir::new(directory, self.batch.spare_capacity_mut());
        // A slice ends where a batch does, for the rest of that would be lost; and a directory that just fills a slice is seen
        // to its end.
        let fill = loop {
            if run.len() > SLICE && names.is_buffer_empty() {
                break Fill::More;
            }
            match names.next() {
                // The directory itself was removed meanwhile.
                None | Some(Err(Errno::NOENT)) => break Fill::Done,
                Some(found) => {
                    let found = found?;
                    let (name, file_type) = (found.file_name(), found.file_type());
                    self.look.keep(directory, name, file_type, &mut run);
                }
            }
        };
        self.sorted.push(run);
        Ok(fill)
    }

    /// Returns the names that were listed, and what they are. `None` where there are many, or a symbolic link is among them:
    /// its target may be anywhere.
    pub(super) fn take_listed(&mut self) -> Option<Vec<(Vec<u8>, Identity)>> {
        self.look.listed.take()
    }

    /// Returns what was read, in order.
    pub(super) fn into_sorted(self) -> Sorted {
        self.sorted
    }
}

impl Look {
    fn keep(&mut self, directory: BorrowedFd<'_>, name: &CStr, file_type: FileType, run: &mut Run) {
        let bytes = name.to_bytes();
        if matches!(bytes, b"." | b"..") || (is_hidden(bytes) && !self.options.dotfiles) {
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
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            _ => Kind::Other,
        },
        is_link: file_type == FileType::Symlink,
        size: None,
        mtime: None,
    }
}
