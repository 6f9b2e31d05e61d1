//! Opening files below a directory that was itself opened once.
//!
//! Invariant: with [`Symlinks::Inside`] no descriptor of anything outside the directory is ever handed out, whatever the
//! spelling of the path and whoever swaps a directory for a symbolic link meanwhile: the kernel resolves and checks in one call.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, Stat, openat, openat2, statat};
use rustix::io::Errno;

/// Never blocks on a FIFO or a device, never makes a terminal our own.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// openat2 says EAGAIN when a rename ran against it; so often in a row means that somebody is at it on purpose.
const RACES: usize = 16;

/// Which symbolic links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symlinks {
    Inside,
    All,
}

/// A directory, opened once, below which files are opened.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    directory: Arc<OwnedFd>,
    resolver: Resolver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolver {
    /// openat2 resolves symbolic links as long as they stay inside.
    Beneath,
    /// The kernel has no openat2: component by component, and no symbolic link at all.
    NoFollow,
    Anywhere,
}

impl Root {
    pub(crate) fn open(directory: &Path, symlinks: Symlinks) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, directory, flags, Mode::empty())?;
        let resolver = match symlinks {
            Symlinks::All => Resolver::Anywhere,
            // An older kernel says ENOSYS, a container's filter may say EPERM.
            Symlinks::Inside => {
                match openat2(&directory, ".", OFlags::PATH, Mode::empty(), BENEATH) {
                    Err(Errno::NOSYS | Errno::PERM) => Resolver::NoFollow,
                    _ => Resolver::Beneath,
                }
            }
        };
        Ok(Self {
            directory: Arc::new(directory),
            resolver,
        })
    }

    pub(crate) fn directory(&self) -> io::Result<OwnedFd> {
        self.directory.try_clone()
    }

    /// Opens the regular file or directory (or what else is there: the caller asks fstat) at `path`, which has no `..` and no
    /// leading slash; the empty path is the directory itself.
    ///
    /// # Errors
    /// As of openat2: ENOENT, ENOTDIR, ELOOP, EXDEV (leads outside), EACCES, ENXIO (a socket), ENAMETOOLONG, EMFILE.
    pub(crate) fn file(&self, path: &[u8]) -> io::Result<OwnedFd> {
        self.open_below(path, FILE)
    }

    /// Tells what `path` is, symbolic links followed as far as files are opened through them.
    pub(crate) fn stat(&self, path: &[u8]) -> io::Result<Stat> {
        let fd = self.open_below(path, OFlags::PATH | OFlags::CLOEXEC)?;
        Ok(rustix::fs::fstat(fd)?)
    }

    /// Tells what `path` is without opening it: only for comparing it with what was opened from there before.
    pub(crate) fn stat_by_name(&self, path: &[u8]) -> io::Result<Stat> {
        Ok(statat(&self.directory, or_itself(path), AtFlags::empty())?)
    }

    /// Returns what stands for the last name of `path`, a symbolic link included: only for comparing it, too.
    pub(crate) fn name(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.directory, path, flags, Mode::empty())?)
    }

    fn open_below(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let path = or_itself(path);
        let opened = match self.resolver {
            Resolver::Beneath => self.beneath(path, flags),
            Resolver::NoFollow => self.no_follow(path, flags),
            Resolver::Anywhere => openat(&self.directory, path, flags, Mode::empty()),
        };
        Ok(opened?)
    }

    fn beneath(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut opened = Err(Errno::AGAIN);
        for _ in 0..RACES {
            opened = openat2(&self.directory, path, flags, Mode::empty(), BENEATH);
            if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
                break;
            }
        }
        opened
    }

    fn no_follow(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory: Option<OwnedFd> = None;
        let mut components = path.split(|byte| *byte == b'/').peekable();
        while let Some(component) = components.next() {
            if component == b".." {
                return Err(Errno::XDEV);
            }
            let below = directory
                .as_ref()
                .map_or(self.directory.as_fd(), |fd| fd.as_fd());
            let last = components.peek().is_none();
            let flags = if last { flags | OFlags::NOFOLLOW } else { step };
            directory = Some(openat(below, component, flags, Mode::empty())?);
        }
        directory.ok_or(Errno::NOENT)
    }
}

/// The empty path is the directory itself.
fn or_itself(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    /// A directory with files, and symbolic links that stay inside and that do not.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("httpoll-open-{}-{name}", std::process::id()));
            fs::create_dir_all(path.join("root/sub")).unwrap();
            fs::write(path.join("secret"), "outside").unwrap();
            fs::write(path.join("root/file"), "inside").unwrap();
            symlink("file", path.join("root/inner")).unwrap();
            symlink("../file", path.join("root/sub/up")).unwrap();
            symlink("../secret", path.join("root/escape")).unwrap();
            symlink(path.join("secret"), path.join("root/absolute")).unwrap();
            symlink("..", path.join("root/parent")).unwrap();
            Self(path)
        }

        fn root(&self, resolver: Resolver) -> Root {
            let root = Root::open(&self.0.join("root"), Symlinks::Inside).unwrap();
            Root { resolver, ..root }
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn opens(root: &Root, paths: &[&str]) -> Vec<bool> {
        paths
            .iter()
            .map(|path| root.file(path.as_bytes()).is_ok())
            .collect()
    }

    const PATHS: [&str; 8] = [
        "",
        "file",
        "sub",
        "inner",
        "sub/up",
        "escape",
        "absolute",
        "parent/secret",
    ];

    #[test]
    fn links_are_followed_as_long_as_they_stay_inside() {
        let tree = Tree::new("beneath");
        let root = tree.root(Resolver::Beneath);
        assert_eq!(
            opens(&root, &PATHS),
            [true, true, true, true, true, false, false, false]
        );
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let tree = Tree::new("no-follow");
        let root = tree.root(Resolver::NoFollow);
        assert_eq!(
            opens(&root, &PATHS),
            [true, true, true, false, false, false, false, false]
        );
        assert_eq!(opens(&root, &["sub/../file", "../secret"]), [false, false]);
    }

    #[test]
    fn on_demand_all_links_are_followed() {
        let tree = Tree::new("anywhere");
        let root = tree.root(Resolver::Anywhere);
        assert_eq!(opens(&root, &PATHS), [true; 8]);
    }
}
