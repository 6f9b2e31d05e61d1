//! Reading a directory a slice at a time.
//!
//! Invariant: slices are counted in entries, never in time, so that two readers of one directory (a HEAD and a GET) get
//! the same pieces.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Stat, statat};
use rustix::io::Errno;

use super::ListingOptions;
use super::entries::{Entry, Kind, Run, Sorted};
use super::order::Order;
use crate::files::translate_path::is_hidden;
use crate::wire::source::Fill;

/// How many entries one call reads and sorts: about a millisecond of work.
pub(super) const SLICE: usize = 512;

/// Resolves a symbolic link, given by its path below the root, without leaving the root.
pub(super) type Follow = Box<dyn Fn(&[u8]) -> io::Result<Stat>>;

/// A directory that is being read.
pub(super) struct Reader {
    directory: Dir,
    order: Order,
    options: ListingOptions,
    follow: Follow,
    /// The path of the directory with the slash that a name follows; empty at the root.
    prefix: Vec<u8>,
    sorted: Sorted,
}

impl Reader {
    pub(super) fn new(
        directory: OwnedFd,
        path: &[u8],
        order: Order,
        options: ListingOptions,
        follow: Follow,
    ) -> io::Result<Self> {
        let mut prefix = path.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        Ok(Self {
            directory: Dir::new(directory)?,
            order,
            options,
            follow,
            prefix,
            sorted: Sorted::default(),
        })
    }

    /// Reads one slice; [`Fill::Done`]: that was the last one.
    pub(super) fn read_slice(&mut self) -> io::Result<Fill> {
        let mut run = Run::new(self.order);
        let mut fill = Fill::More;
        // One look further than a slice, to see the end of a directory that just fills it.
        for _ in 0..=SLICE {
            let Some(found) = self.next_entry() else {
                fill = Fill::Done;
                break;
            };
            self.keep(&found?, &mut run)?;
        }
        self.sorted.push(run);
        Ok(fill)
    }

    /// Returns what was read, in order.
    pub(super) fn into_sorted(self) -> Sorted {
        self.sorted
    }

    fn next_entry(&mut self) -> Option<io::Result<DirEntry>> {
        loop {
            match self.directory.read()? {
                Ok(found) if matches!(found.file_name().to_bytes(), b"." | b"..") => {}
                found => return Some(found.map_err(io::Error::from)),
            }
        }
    }

    fn keep(&self, found: &DirEntry, run: &mut Run) -> io::Result<()> {
        let name = found.file_name();
        if is_hidden(name.to_bytes()) && !self.options.dotfiles {
            return Ok(());
        }
        match statat(self.directory.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => run.push(self.describe(name.to_bytes(), &stat)),
            Err(Errno::NOENT) => {}
            Err(_) => run.push(unknown(name.to_bytes(), found.file_type())),
        }
        Ok(())
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
