//! The served directory or single file, found anew by its path for each request.
//!
//! Invariant: it is not held open between two requests, so a directory that was deleted, replaced or unmounted is released. Only
//! a directory that was passed as an open descriptor stays open and the same, even if its name changes.

use std::borrow::Cow;
use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, statat};
use rustix::io::Errno;

use super::mounts::Mounts;
use super::open::{Directory, Resolver, WALK, may_mean_wait};
use super::walk::{PathStep, open_root, walk};
use crate::wire::file_threads::Locality;

/// Finds a directory without opening it.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Which symbolic links below the directory are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symlinks {
    Inside,
    All,
}

/// The served directory or single file.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    place: Place,
    resolver: Resolver,
    /// The name of the one file in the directory that is served. If it is a symbolic link, it may lead anywhere.
    single: Option<Vec<u8>>,
}

/// How the served directory is found.
#[derive(Clone, Debug)]
enum Place {
    /// The absolute path of the directory.
    Named(PathBuf),
    /// The open directory.
    Pinned(Arc<OwnedFd>),
}

impl Root {
    /// Serves what `path` leads to, a directory or a regular file. A relative path begins at the current directory of this
    /// moment.
    pub(crate) fn named(path: &Path, symlinks: Symlinks) -> io::Result<Self> {
        let path = absolute(path)?;
        let metadata = fs::metadata(&path)?;
        let single = match (path.parent(), path.file_name()) {
            _ if metadata.is_dir() => None,
            (Some(parent), Some(name)) if metadata.is_file() => {
                Some((parent.to_owned(), name.as_bytes().to_vec()))
            }
            _ => {
                let message = "neither a directory nor a regular file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        Ok(match single {
            None => {
                fs::read_dir(&path)?;
                let resolver = Resolver::of(symlinks, &open_directory(&path)?);
                let (place, single) = (Place::Named(path), None);
                Self {
                    place,
                    resolver,
                    single,
                }
            }
            Some((parent, name)) => {
                fs::File::open(&path)?;
                let resolver = Resolver::of(Symlinks::All, &open_directory(&parent)?);
                let (place, single) = (Place::Named(parent), Some(name));
                Self {
                    place,
                    resolver,
                    single,
                }
            }
        })
    }

    /// Serves the open `directory`, even if it is renamed or deleted.
    pub(crate) fn pinned(directory: OwnedFd) -> Self {
        Self {
            resolver: Resolver::of(Symlinks::Inside, &directory),
            place: Place::Pinned(Arc::new(directory)),
            single: None,
        }
    }

    /// Returns the name of the single file.
    pub(crate) fn single(&self) -> Option<&[u8]> {
        self.single.as_deref()
    }

    /// Returns the target of a single file that is a symbolic link.
    pub(crate) fn link_target(&self) -> Option<PathBuf> {
        self.single.as_ref()?;
        fs::read_link(self.path()?).ok()
    }

    /// Returns the served path, made absolute; `None` for an open directory.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match (&self.place, &self.single) {
            (Place::Pinned(_), _) => None,
            (Place::Named(path), None) => Some(path.clone()),
            (Place::Named(path), Some(name)) => Some(path.join(OsStr::from_bytes(name))),
        }
    }

    /// Opens the directory that the path leads to now.
    ///
    /// # Errors
    /// The path leads nowhere, or to something that is no directory.
    pub(crate) fn open(&self) -> io::Result<Directory> {
        let fd = match &self.place {
            Place::Named(path) => Arc::new(open_directory(path)?),
            Place::Pinned(fd) => Arc::clone(fd),
        };
        Ok(Directory::new(fd, self.resolver))
    }

    /// Opens as [`open`](Self::open) does, unless that might wait: `None` if it might.
    pub(crate) fn open_now(&self) -> Option<io::Result<Directory>> {
        let path = match &self.place {
            Place::Named(path) => path,
            Place::Pinned(_) => return Some(self.open()),
        };
        let opened = openat2(CWD, path, DIRECTORY, Mode::empty(), ResolveFlags::CACHED);
        Some(match opened {
            Ok(fd) => Ok(Directory::new(Arc::new(fd), self.resolver)),
            Err(errno) if may_mean_wait(errno) => return None,
            Err(errno) => Err(errno.into()),
        })
    }

    /// Returns where the file at `path` probably is: where the last directory on the way is that the kernel has in memory.
    pub(crate) fn locality(&self, path: &[u8], mounts: &Mounts) -> Locality {
        let path = Path::new(OsStr::from_bytes(path));
        let (from, path) = match &self.place {
            Place::Named(directory) => (CWD, Cow::Owned(directory.join(path))),
            Place::Pinned(fd) => (fd.as_fd(), Cow::Borrowed(path)),
        };
        let find = |path: &Path| {
            let path = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            };
            openat2(from, path, WALK, Mode::empty(), ResolveFlags::CACHED).ok()
        };
        match path.ancestors().find_map(find) {
            Some(found) if mounts.is_local(&found) => Locality::Local,
            _ => Locality::Remote,
        }
    }

    /// Checks that the directory, and the single file in it, is there now.
    ///
    /// # Errors
    /// The path leads nowhere, or the directory that was passed open is deleted.
    pub(crate) fn check(&self) -> io::Result<()> {
        let directory = self.open()?.into_fd()?;
        if fstat(&directory)?.st_nlink == 0 {
            return Err(Errno::NOENT.into());
        }
        if let Some(name) = &self.single {
            statat(&directory, name.as_slice(), AtFlags::empty())?;
        }
        Ok(())
    }

    /// Returns the stat of the file at `path`, for comparison with a file that was opened at the same path before; `scratch` is for
    /// the whole path. If the last name is a symbolic link, the stat is that of the link, so a file that was opened through it
    /// never compares equal. The link of a single file is followed, because it is a step on the way to the file.
    ///
    /// # Errors
    /// The path leads nowhere. With `mounts`, EAGAIN if finding out might wait for a file system.
    pub(crate) fn stat(
        &self,
        path: &[u8],
        scratch: &mut Vec<u8>,
        mounts: Option<&Mounts>,
    ) -> io::Result<Stat> {
        if let Some(mounts) = mounts {
            return self.stat_now(path, mounts);
        }
        scratch.clear();
        let fd = match &self.place {
            Place::Named(directory) => {
                scratch.extend_from_slice(directory.as_os_str().as_bytes());
                scratch.push(b'/');
                CWD
            }
            Place::Pinned(fd) => fd.as_fd(),
        };
        scratch.extend_from_slice(path);
        if scratch.is_empty() {
            scratch.push(b'.');
        }
        let flags = match self.single {
            Some(_) => AtFlags::empty(),
            None => AtFlags::SYMLINK_NOFOLLOW,
        };
        Ok(statat(fd, scratch.as_slice(), flags)?)
    }

    fn stat_now(&self, path: &[u8], mounts: &Mounts) -> io::Result<Stat> {
        let directory = self.open_now().ok_or(Errno::AGAIN)??;
        let flags = match self.single {
            Some(_) => WALK,
            None => WALK.union(OFlags::NOFOLLOW),
        };
        let walked = directory
            .walk_now(path, flags, mounts)
            .ok_or(Errno::AGAIN)?;
        Ok(fstat(walked.found?)?)
    }

    /// Returns every directory and symbolic link on the way to `path`, and the index of the step that `path` leads to. Symbolic
    /// links are followed on the way to the served directory and to the single file. Below the directory they are an error. With
    /// `mounts`, a step that might wait for a file system is an error, too.
    pub(crate) fn walk(
        &self,
        path: &[u8],
        mounts: Option<&Mounts>,
    ) -> io::Result<(Vec<PathStep>, usize)> {
        let (mut steps, directory) = match &self.place {
            Place::Named(directory) => {
                let mut steps = vec![PathStep::new(open_root()?)?];
                let at = walk(
                    &mut steps,
                    0,
                    directory.as_os_str().as_bytes(),
                    true,
                    mounts,
                )?;
                (steps, at)
            }
            Place::Pinned(fd) => (vec![PathStep::new(fd.try_clone()?)?], 0),
        };
        let end = walk(&mut steps, directory, path, self.single.is_some(), mounts)?;
        Ok((steps, end))
    }
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, DIRECTORY, Mode::empty())?)
}

/// Makes `path` absolute without following its symbolic links. The current directory gets the name that the shell gives it
/// (`PWD`), if that leads to the same directory.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    let whole = if path.is_absolute() {
        path.to_owned()
    } else {
        let named = env::var_os("PWD").map(PathBuf::from);
        let is_current = |path: &PathBuf| path.is_absolute() && is_same(path, Path::new("."));
        named
            .filter(is_current)
            .map_or_else(env::current_dir, Ok)?
            .join(path)
    };
    // A `.` can be left out. A `..` cannot: after a symbolic link it does not lead back to the directory of the link.
    Ok(whole
        .components()
        .filter(|part| *part != Component::CurDir)
        .collect())
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::metadata(a), fs::metadata(b)), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Writes the name that messages use.
impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("the opened directory"),
        }
    }
}
