//! Reading a directory in batches of names.
//!
//! Invariant: all names of a batch are looked at before the next batch is read, if need be in several slices: a file server may take a
//! second for each name.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{
    AtFlags, FileType, RawDir, SeekFrom, Stat, StatxFlags, makedev, seek, statat, statx,
};
use rustix::io::Errno;

use super::entries::{Entry, EntryKind, Run};
use super::readme::{ReadFile, Readme, ReadmeNames};
use crate::files::cache::MAX_LISTED;
use crate::files::identity::Identity;
use crate::files::names::mounts::known_stat;
use crate::files::names::translate_path::is_hidden;
use crate::wire::file_threads::Locality;
use crate::wire::source::Fill;

/// Entries that are read and sorted in one slice. A directory with no more entries is listed as one page.
pub(crate) const SLICE: usize = 512;

/// Bytes that are read in one batch: about a hundred names, and a tenth of a millisecond of work.
const BATCH: usize = 4096;

/// Returns the stat of a symbolic link's target, without leaving the root. The link is given by its path below the root.
pub(super) type Follow = Box<dyn Fn(&[u8]) -> io::Result<Stat> + Send>;

/// A directory that is being read.
pub(crate) struct Reader {
    directory: Arc<OwnedFd>,
    lookup: EntryLookup,
    batch: Vec<u8>,
    /// Names of the last batch that were not looked up, because the time of the slice was over.
    left: VecDeque<(CString, FileType)>,
    /// How a README is read; `None` if none is wanted.
    read_file: Option<ReadFile>,
    readme: Option<Readme>,
}

/// Looks up each name, and makes the entry of it.
struct EntryLookup {
    /// Whether names that begin with a dot are listed; `.well-known` always is.
    dotfiles: bool,
    follow: Follow,
    /// The path of the directory with a slash at its end; empty at the root.
    prefix: Vec<u8>,
    /// The device of the directory; `None` if it is not known.
    device: Option<u64>,
    locality: Locality,
    /// The names that were found and their identities, so that they can be watched.
    listed: Option<Vec<(Vec<u8>, Identity)>>,
    readmes: ReadmeNames,
}

impl Reader {
    /// Prepares to read `directory`, which was opened and not read yet.
    ///
    /// `path` is the path from the root to the directory, decoded, without slashes at its ends. `follow` returns the stat of a
    /// symbolic link's target. It is given the link's path below the root, and fails if the link is broken or leads outside.
    pub(crate) fn new(
        directory: impl Into<Arc<OwnedFd>>,
        path: &[u8],
        dotfiles: bool,
        follow: impl Fn(&[u8]) -> io::Result<Stat> + Send + 'static,
    ) -> Self {
        let mut prefix = path.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let directory = directory.into();
        let device = known_stat(&directory).ok().map(|((device, _), _)| device);
        Self {
            directory,
            lookup: EntryLookup {
                dotfiles,
                follow: Box::new(follow),
                prefix,
                device,
                locality: Locality::Remote,
                listed: Some(Vec::new()),
                readmes: ReadmeNames::default(),
            },
            batch: Vec::with_capacity(BATCH),
            left: VecDeque::new(),
            read_file: None,
            readme: None,
        }
    }

    /// Says where the directory is. What is mounted on the names of a local one may be anywhere.
    #[must_use]
    pub(crate) fn with(mut self, locality: Locality) -> Self {
        self.lookup.locality = locality;
        self
    }

    /// Says how a README is read, by its path below the root.
    #[must_use]
    pub(crate) fn with_readme(
        mut self,
        read: impl Fn(&[u8]) -> io::Result<Option<Vec<u8>>> + Send + 'static,
    ) -> Self {
        self.read_file = Some(Box::new(read));
        self
    }

    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Returns the size of its memory, in bytes. The names that are left are as long as those of a batch.
    pub(super) fn bytes(&self) -> usize {
        let names = if self.left.is_empty() { 0 } else { BATCH };
        let text = self.readme.as_ref().map_or(0, Readme::len);
        self.batch.capacity()
            + text
            + names
            + self.left.capacity() * size_of::<(CString, FileType)>()
    }

    /// Reads into `run` until `run` has a slice of entries, the time `until` is over, or all names and the README are read
    /// ([`Fill::Done`]). At least one name is looked up.
    pub(crate) fn read_slice(
        &mut self,
        run: &mut Run,
        until: Option<Instant>,
    ) -> Result<Fill, Errno> {
        let is_over = || until.is_some_and(|until| Instant::now() >= until);
        loop {
            if let Some((name, file_type)) = self.left.pop_front() {
                let directory = self.directory.as_fd();
                self.lookup.add_entry(directory, &name, file_type, run);
            } else if self.read_batch(run, is_over)? == Fill::Done {
                match self.read_readme() {
                    Ok(readme) => self.readme = readme,
                    // The listing is then not kept, and not sent by a loop that must not wait.
                    Err(_) => self.lookup.listed = None,
                }
                return Ok(Fill::Done);
            }
            if run.len() > SLICE || is_over() {
                return Ok(Fill::More);
            }
        }
    }

    /// Reads a batch of names and looks them up; those for which there is no time are left.
    fn read_batch(&mut self, run: &mut Run, is_over: impl Fn() -> bool) -> Result<Fill, Errno> {
        let directory = self.directory.as_fd();
        let mut names = RawDir::new(directory, self.batch.spare_capacity_mut());
        let mut has_time = true;
        loop {
            match names.next() {
                // ENOENT: the directory itself was deleted.
                None | Some(Err(Errno::NOENT)) => return Ok(Fill::Done),
                Some(found) => {
                    let found = found?;
                    let (name, file_type) = (found.file_name(), found.file_type());
                    if has_time {
                        self.lookup.add_entry(directory, name, file_type, run);
                        has_time = !is_over();
                    } else {
                        self.left.push_back((name.to_owned(), file_type));
                    }
                }
            }
            if names.is_buffer_empty() {
                return Ok(Fill::More);
            }
        }
    }

    fn read_readme(&self) -> io::Result<Option<Readme>> {
        let (names, prefix) = (self.lookup.readmes, &self.lookup.prefix);
        let read = self.read_file.as_ref();
        read.map_or(Ok(None), |read| names.read(prefix, read))
    }

    /// Returns the README, after all names were read.
    pub(super) fn readme(&self) -> Option<&Readme> {
        self.readme.as_ref()
    }

    pub(super) fn take_readme(&mut self) -> Option<Readme> {
        self.readme.take()
    }

    /// Reads the README again. Returns whether it has the same text.
    pub(super) fn finds_the_same_readme(&self) -> bool {
        self.read_readme().is_ok_and(|readme| readme == self.readme)
    }

    /// Begins to read the directory again.
    pub(crate) fn rewind(&mut self) -> Result<(), Errno> {
        self.left.clear();
        seek(&self.directory, SeekFrom::Start(0)).map(drop)
    }

    /// Reads the names again. Returns whether they are the listed ones, in the same order.
    pub(crate) fn finds_the_same_names(&mut self) -> bool {
        if self.rewind().is_err() {
            return false;
        }
        let (lookup, mut listed) = (&self.lookup, self.lookup.listed.iter().flatten());
        let mut names = RawDir::new(&self.directory, self.batch.spare_capacity_mut());
        loop {
            match names.next() {
                None => return lookup.listed.is_some() && listed.next().is_none(),
                Some(Ok(found)) => {
                    let name = found.file_name().to_bytes();
                    if lookup.shows(name) && listed.next().is_none_or(|(known, _)| known != name) {
                        return false;
                    }
                }
                Some(Err(_)) => return false,
            }
        }
    }

    /// Returns the listed names and their identities; `None` if there are too many, if one is a symbolic link, of which the target may
    /// be anywhere, or if one is on another device: a mount, which may be of any file system.
    pub(crate) fn listed(&self) -> Option<&[(Vec<u8>, Identity)]> {
        self.lookup.listed.as_deref()
    }
}

impl EntryLookup {
    fn shows(&self, name: &[u8]) -> bool {
        !matches!(name, b"." | b"..") && (self.dotfiles || !is_hidden(name))
    }

    fn add_entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        file_type: FileType,
        run: &mut Run,
    ) {
        let bytes = name.to_bytes();
        if !self.shows(bytes) {
            return;
        }
        if self.locality == Locality::Local
            && file_type == FileType::Directory
            && let Some(mtime) = self.mtime_of_mount(directory, name)
        {
            self.listed = None;
            let mtime = Some(mtime);
            return run.push(Entry {
                mtime,
                ..unknown(bytes, file_type)
            });
        }
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                self.note(bytes, &stat);
                let entry = self.describe(bytes, &stat);
                self.readmes.note(&entry);
                run.push(entry);
            }
            Err(Errno::NOENT) => {}
            Err(_) => run.push(unknown(bytes, file_type)),
        }
    }

    /// Returns the time of a directory on which something is mounted, as far as the kernel knows it: to ask might mean to wait.
    fn mtime_of_mount(&self, directory: BorrowedFd<'_>, name: &CStr) -> Option<i64> {
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let found = statx(directory, name, flags, StatxFlags::MTIME).ok()?;
        let device = makedev(found.stx_dev_major, found.stx_dev_minor);
        (Some(device) != self.device).then_some(found.stx_mtime.tv_sec)
    }

    fn note(&mut self, name: &[u8], stat: &Stat) {
        let Some(listed) = &mut self.listed else {
            return;
        };
        let is_symlink = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        let is_mount = self.device != Some(stat.st_dev);
        if is_symlink || is_mount || listed.len() == MAX_LISTED {
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
