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

use super::load::{LoadedFile, Reads};
use super::names::mounts::{FileSystem, Mounts, known_stat};
use super::names::open::{Directory, Opened};
use super::names::root::Root;
use super::representation::{MayWait, SentFrom};
use crate::http::accept_encoding::Coding;
use crate::wire::file_threads::{FileThreads, Locality};

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
    /// Whether the siblings of a file are looked up, the files beside it that have its content in a coding.
    pub(super) with_siblings: bool,
    pub(super) reads: Reads,
    pub(super) patience: Patience<'a>,
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
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                // No watch would report that a regular file takes this name.
                found.is_plain = false;
                continue;
            }
            found.siblings.push(FoundSibling {
                coding,
                path,
                file: file.into(),
                stat,
            });
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
