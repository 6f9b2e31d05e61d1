//! Finding what a path leads to. This part of a request may have to wait for a file system, so any thread can do it: it knows
//! neither the connection nor the cache.
//!
//! Invariant: with [`Patience::No`] no call waits for a file system, unless names have left the memory since the kernel was asked.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{FileType, Stat, fstat};
use rustix::io::Errno;

use super::identity::Identity;
use super::live;
use super::names::mounts::{FileSystem, Mounts, known_stat};
use super::names::open::{Directory, Opened};
use super::names::root::Root;
use super::representation::{Content, MAX_IN_MEMORY, MayWait, SentFrom, is_text};
use super::site::lines::MAX_SIZE;
use crate::http::accept_encoding::Coding;
use crate::wire::file_threads::{DroppedByThread, FileThreads, Locality};
use crate::wire::shared_file::SharedFile;

/// Whether a look-up may wait for a file system.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience<'a> {
    Yes,
    No(&'a Mounts),
}

/// What is looked up: a path below the served directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup<'a> {
    pub(super) root: &'a Root,
    pub(super) path: &'a [u8],
    /// Whether a directory is meant: then its index page is looked up, too.
    pub(super) as_directory: bool,
    pub(super) index_pages: &'a [String],
    /// Whether files beside a file are looked up that have its content in a coding.
    pub(super) with_siblings: bool,
    pub(super) reads: Reads,
    pub(super) patience: Patience<'a>,
}

/// What is read of a file that is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reads {
    /// Files up to this size are read as a whole.
    pub(super) most: u64,
    /// Whether the beginning of a larger file is read, because its type depends on it.
    pub(super) beginning: bool,
}

impl Reads {
    /// The content, if it is small.
    pub(super) const CONTENT: Self = Self {
        most: MAX_IN_MEMORY,
        beginning: false,
    };
    /// The content, also if it is a page of some size.
    pub(super) const LIVE: Self = Self {
        most: live::MAX_SIZE,
        beginning: false,
    };
    /// The rules of a site.
    pub(super) const RULES: Self = Self {
        most: MAX_SIZE as u64,
        beginning: false,
    };
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// The served path leads nowhere.
    NoRoot(io::Error),
    File(FoundFile),
    /// A file thread has found and read the file.
    Loaded(LoadedFile),
    Directory(FoundDirectory),
    /// A directory, although a file was meant.
    NoFile,
    /// A file, although a directory was meant; a FIFO, a socket, a device.
    NotServed,
    Nothing(NotOpened),
}

/// A regular file that was opened to be sent.
#[derive(Debug)]
pub(super) struct FoundFile {
    pub(super) path: Vec<u8>,
    pub(super) file: File,
    pub(super) stat: Stat,
    /// The target of a single file that is a symbolic link.
    pub(super) link_target: Option<PathBuf>,
    /// Whether no symbolic link was found on the way: only then changes are noticed and the reply can be kept.
    pub(super) is_plain: bool,
    /// The index pages and siblings that do not exist and would be sent instead if they did.
    pub(super) absent: Vec<Vec<u8>>,
    pub(super) siblings: Vec<FoundSibling>,
}

/// A regular file beside another one, with the content of that one in a coding.
#[derive(Debug)]
pub(super) struct FoundSibling {
    pub(super) coding: Coding,
    pub(super) path: Vec<u8>,
    pub(super) file: File,
    pub(super) stat: Stat,
}

/// A regular file with its content, or with where that is sent from.
#[derive(Debug)]
pub(super) struct LoadedFile {
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) link_target: Option<PathBuf>,
    pub(super) content: Content,
    /// Whether the file begins with text; `false` if it was not asked for.
    pub(super) is_text: bool,
    /// `None` if the content is in memory.
    pub(super) sent_from: Option<SentFrom>,
    /// The siblings that are not older.
    pub(super) siblings: Vec<(Coding, Self)>,
    /// The path of a sibling that is older, and so of no use.
    pub(super) stale: Option<Vec<u8>>,
}

/// A directory without an index page.
#[derive(Debug)]
pub(super) struct FoundDirectory {
    pub(super) root: Directory,
    pub(super) directory: Arc<OwnedFd>,
    /// Device and inode of the directory and of the served one.
    pub(super) ids: [(u64, u64); 2],
    pub(super) is_plain: bool,
    pub(super) absent: Vec<Vec<u8>>,
    pub(super) locality: Locality,
}

/// Why a path leads nowhere.
#[derive(Debug)]
pub(super) struct NotOpened {
    pub(super) errno: Errno,
    pub(super) is_plain: bool,
    /// Whether only the confinement of this process is in the way.
    pub(super) is_out_of_reach: bool,
}

impl Lookup<'_> {
    /// Finds what the path leads to.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if that might wait, and must not. An open file cannot be examined: a 500.
    pub(super) fn find(&self) -> io::Result<Found> {
        let root = match self.open_root()? {
            Ok(root) => root,
            Err(error) => return Ok(Found::NoRoot(error)),
        };
        let Opened { found, is_plain } = self.open(&root, self.path)?;
        let file = match found {
            Ok(file) => file,
            Err(errno) => return self.not_opened(&root, errno, is_plain),
        };
        let stat = fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if !self.as_directory => {
                let path = self.path.to_vec();
                self.file(&root, (path, file, stat), is_plain, Vec::new())
            }
            FileType::Directory if self.as_directory => self.find_page(root, file, is_plain),
            FileType::Directory => Ok(Found::NoFile),
            _ => Ok(Found::NotServed),
        }
    }

    /// Finds the first index page of a directory that is a regular file; the directory itself if there is none.
    fn find_page(
        &self,
        root: Directory,
        directory: OwnedFd,
        mut is_plain: bool,
    ) -> io::Result<Found> {
        let mut absent = Vec::new();
        for page in self.index_pages {
            let mut path = self.path.to_vec();
            push_segment(&mut path, page);
            let opened = self.open(&root, &path)?;
            // A link that leads nowhere may lead somewhere when its target is made.
            is_plain &= opened.is_plain;
            match opened.found {
                Ok(file) => {
                    let stat = fstat(&file)?;
                    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                        return self.file(&root, (path, file, stat), is_plain, absent);
                    }
                }
                Err(errno) if is_missing(errno) => {}
                Err(errno) => return self.not_opened(&root, errno, is_plain),
            }
            absent.push(path);
        }
        let ids = [known_stat(&directory)?.0, known_stat(&root)?.0];
        Ok(Found::Directory(FoundDirectory {
            root,
            directory: Arc::new(directory),
            ids,
            is_plain,
            absent,
            locality: match self.patience {
                Patience::Yes => Locality::Remote,
                // Nothing else is found without waiting.
                Patience::No(_) => Locality::Local,
            },
        }))
    }

    fn file(
        &self,
        root: &Directory,
        (path, file, stat): (Vec<u8>, OwnedFd, Stat),
        is_plain: bool,
        absent: Vec<Vec<u8>>,
    ) -> io::Result<Found> {
        let mut found = FoundFile {
            path,
            file: file.into(),
            stat,
            link_target: self.root.link_target(),
            is_plain,
            absent,
            siblings: Vec::new(),
        };
        if self.with_siblings {
            self.find_siblings(root, &mut found)?;
        }
        Ok(Found::File(found))
    }

    /// Finds the siblings of a file. A sibling has no siblings itself.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if that might wait, and must not. An open file cannot be examined: a 500.
    fn find_siblings(&self, root: &Directory, found: &mut FoundFile) -> io::Result<()> {
        let is_sibling = |coding: &Coding| found.path.ends_with(coding.suffix().as_bytes());
        if self.root.single().is_some() || Coding::ALL.iter().any(is_sibling) {
            return Ok(());
        }
        for coding in Coding::ALL {
            let path = [&found.path, coding.suffix().as_bytes()].concat();
            let opened = self.open(root, &path)?;
            found.is_plain &= opened.is_plain;
            let Ok(file) = opened.found else {
                found.absent.push(path);
                continue;
            };
            let stat = fstat(&file)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                found.siblings.push(FoundSibling {
                    coding,
                    path,
                    file: file.into(),
                    stat,
                });
            }
        }
        Ok(())
    }

    /// Describes why nothing was opened.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if finding that out might wait, and must not.
    fn not_opened(&self, root: &Directory, errno: Errno, is_plain: bool) -> io::Result<Found> {
        let is_out_of_reach = match self.patience {
            _ if errno != Errno::ACCESS => false,
            Patience::Yes => root.is_out_of_reach(self.root.single()),
            Patience::No(_) => return Err(io::ErrorKind::WouldBlock.into()),
        };
        Ok(Found::Nothing(NotOpened {
            errno,
            is_plain,
            is_out_of_reach,
        }))
    }

    /// Opens the served directory, unless that might wait: the outer error.
    fn open_root(&self) -> io::Result<io::Result<Directory>> {
        let opened = match self.patience {
            Patience::Yes => Some(self.root.open()),
            Patience::No(_) => self.root.open_now(),
        };
        opened.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Opens the file at `path`, unless that might wait: an error.
    fn open(&self, root: &Directory, path: &[u8]) -> io::Result<Opened> {
        let opened = match self.patience {
            Patience::Yes => Some(root.open(path)),
            Patience::No(mounts) => root.open_now(path, mounts),
        };
        opened.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    /// Finds what the path leads to, and reads a small file, in one of the `threads`.
    ///
    /// # Errors
    /// A file cannot be examined or read: a 500.
    pub(super) fn find_and_load(&self, threads: &FileThreads) -> io::Result<Found> {
        match self.find()? {
            Found::File(found) => {
                let file_system = FileSystem::ask(&found.file);
                let loaded = found.load(MayWait::ALWAYS, file_system, Some(threads), self.reads)?;
                if let Some(SentFrom::Remote(_)) = loaded.sent_from {
                    threads.help_to_drop();
                }
                Ok(Found::Loaded(loaded))
            }
            Found::Directory(mut found) => {
                if FileSystem::ask(&found.directory).is_local() {
                    found.locality = Locality::Local;
                }
                Ok(Found::Directory(found))
            }
            found => Ok(found),
        }
    }
}

impl FoundFile {
    /// Reads the file if it is small. A large one is sent from the file. If there are `threads`, only they read a file that is not local,
    /// or one of which the end is not known.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn load(
        self,
        may_wait: MayWait,
        file_system: FileSystem,
        threads: Option<&FileThreads>,
        reads: Reads,
    ) -> io::Result<LoadedFile> {
        let content = Content::read(&self.file, self.size(), reads.most, may_wait)?;
        let is_text = match reads.beginning {
            true => is_text(&self.file, &content, may_wait)?,
            false => Some(false),
        };
        let content = is_text.map_or(Content::Cold(self.size()), |_| content);
        let (siblings, stale): (Vec<_>, Vec<_>) = self
            .siblings
            .into_iter()
            .partition(|sibling| !is_older(&sibling.stat, &self.stat));
        let stale = stale.into_iter().next().map(|sibling| sibling.path);
        let siblings = siblings.into_iter().map(|sibling| {
            let coding = sibling.coding;
            let loaded = sibling
                .alone()
                .load(may_wait, file_system, threads, Reads::CONTENT)?;
            Ok((coding, loaded))
        });
        let siblings = siblings.collect::<io::Result<_>>()?;
        let sent_from = match (&content, threads) {
            (Content::InMemory(_), _) => None,
            (content, Some(threads))
                if !file_system.is_local() || matches!(content, Content::Unknown) =>
            {
                let file = DroppedByThread::new(Arc::new(self.file), threads);
                Some(SentFrom::Remote(file))
            }
            _ => {
                let shared = SharedFile::from(self.file).with_threads(threads.cloned());
                let shared = match file_system {
                    FileSystem::Memory => shared.in_memory(),
                    _ => shared,
                };
                Some(SentFrom::Local(Arc::new(shared)))
            }
        };
        Ok(LoadedFile {
            path: self.path,
            stat: self.stat,
            link_target: self.link_target,
            content,
            is_text: is_text == Some(true),
            sent_from,
            siblings,
            stale,
        })
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or(0)
    }
}

impl LoadedFile {
    /// Whether any of the content has to be read from the disk.
    pub(super) fn is_cold(&self) -> bool {
        let is_cold = |content: &Content| matches!(content, Content::Cold(_));
        let mut siblings = self.siblings.iter().map(|(_, sibling)| &sibling.content);
        is_cold(&self.content) || siblings.any(is_cold)
    }
}

impl FoundSibling {
    /// Returns the sibling as a file for itself.
    fn alone(self) -> FoundFile {
        FoundFile {
            path: self.path,
            file: self.file,
            stat: self.stat,
            link_target: None,
            is_plain: false,
            absent: Vec::new(),
            siblings: Vec::new(),
        }
    }
}

/// Returns whether a sibling was made before its file was changed last. Tools that compress give the time of the file to the sibling,
/// some of them without the fraction of its second or with microseconds alone.
fn is_older(sibling: &Stat, file: &Stat) -> bool {
    let modified = |stat| Identity::from(stat).modified_nanos();
    let (sibling, file) = (modified(sibling), modified(file));
    let unit = [1_000_000_000, 1000]
        .into_iter()
        .find(|unit| sibling % unit == 0);
    sibling < file - file % unit.unwrap_or(1)
}

fn push_segment(path: &mut Vec<u8>, segment: &str) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(segment.as_bytes());
}

/// Returns whether `errno` means that no descriptor or memory is left, or that the file system is not there now.
pub(super) fn is_unavailable(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
            | Errno::AGAIN
            | Errno::INTR
            | Errno::NOTCONN
            | Errno::CONNABORTED
            | Errno::STALE
            | Errno::TIMEDOUT
    )
}

/// Returns whether `errno` means that no file that can be served has this name.
pub(super) fn is_missing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::NXIO
            | Errno::NODEV
            | Errno::INVAL
            | Errno::ILSEQ
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_with_a_rounded_time_is_not_older() {
        let modified = |seconds, nanos| {
            let mut stat = rustix::fs::stat("/").unwrap();
            (stat.st_mtime, stat.st_mtime_nsec) = (seconds, nanos);
            stat
        };
        let file = modified(100, 123_456_789);
        for (seconds, nanos, expected) in [
            (100, 123_456_789, false),
            (100, 123_456_000, false),
            (100, 0, false),
            (101, 0, false),
            (100, 123_456_788, true),
            (100, 123_455_000, true),
            (99, 999_999_999, true),
            (99, 0, true),
        ] {
            let sibling = modified(seconds, nanos);
            assert_eq!(is_older(&sibling, &file), expected, "{seconds}.{nanos:09}");
        }
    }
}
