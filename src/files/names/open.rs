//! Opening files below the served directory.
//!
//! Invariant: with [`Symlinks::Inside`] every descriptor that is returned is that of a file inside the directory. This holds for
//! any spelling of the path, and even if another process replaces a directory by a symbolic link during the call: the kernel
//! resolves and checks in one system call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    Access, AtFlags, Mode, OFlags, ResolveFlags, Stat, accessat, fstat, openat, openat2,
};
use rustix::io::Errno;

use super::mounts::{FileSystem, Mounts};
use super::root::Symlinks;

/// The open does not block on a FIFO or a device, and does not make a terminal the controlling one of this process.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// Finds a file without opening it.
pub(super) const WALK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// Attempts of one open. openat2 fails with EAGAIN if a rename happens during the call; so many in a row happen only on purpose.
const RACES: usize = 16;
/// Attempts after which EXDEV and EACCES are believed. While a directory on the way is moved, openat2 may fail with EXDEV and
/// Landlock with EACCES.
const REFUSALS: usize = 3;

/// The served directory, opened for one request.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    fd: Arc<OwnedFd>,
    resolver: Resolver,
}

/// How names below the directory are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolver {
    /// openat2 follows symbolic links as long as they stay inside.
    Beneath,
    /// The kernel has no openat2: each component is opened by itself, and no symbolic link is followed.
    NoFollow,
    /// All symbolic links are followed; openat2 shows whether there was one.
    Anywhere,
    /// All symbolic links are followed, and nothing shows whether there was one.
    Unchecked,
}

impl Resolver {
    /// Finds out what the kernel offers. On an older one openat2 fails with ENOSYS, and with EPERM where the seccomp filter of a
    /// container does not know it.
    pub(crate) fn of(symlinks: Symlinks, directory: &OwnedFd) -> Self {
        let tried = openat2(directory, ".", OFlags::PATH, Mode::empty(), BENEATH);
        let is_missing = matches!(tried, Err(Errno::NOSYS | Errno::PERM));
        match (symlinks, is_missing) {
            (Symlinks::Inside, false) => Self::Beneath,
            (Symlinks::Inside, true) => Self::NoFollow,
            (Symlinks::All, false) => Self::Anywhere,
            (Symlinks::All, true) => Self::Unchecked,
        }
    }
}

/// The result of opening a path.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The open file, which may be of any type: the caller asks fstat.
    ///
    /// Errors are those of openat2: ENOENT, ENOTDIR, ELOOP, EXDEV (leads outside), EACCES, ENXIO (a socket), ENAMETOOLONG,
    /// EMFILE.
    pub(crate) found: Result<OwnedFd, Errno>,
    /// Whether no symbolic link was on the way. Then the result can only change if a directory on the way does.
    pub(crate) is_plain: bool,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    pub(crate) fn new(fd: Arc<OwnedFd>, resolver: Resolver) -> Self {
        Self { fd, resolver }
    }

    pub(crate) fn into_fd(self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Opens the file at `path`, which has no `..` and no leading slash; the empty path is the directory itself.
    pub(crate) fn open(&self, path: &[u8]) -> Opened {
        self.open_with(path, FILE, ResolveFlags::empty())
    }

    /// Opens as [`open`](Self::open) does, unless that might wait: where a name is not in memory, or where the mount of the file is
    /// not known to be of a local file system. `None` if it might.
    ///
    /// The kernel's own promise (RESOLVE_CACHED) covers the names, not the open of the file system. So the path is first walked
    /// without opening anything, and the mount is looked at. A file system in memory needs no promise as long as the path stays on it,
    /// and gives none for missing names.
    pub(crate) fn open_now(&self, path: &[u8], mounts: &Mounts) -> Option<Opened> {
        let walked = self.walk_now(path, WALK, mounts)?;
        match walked.found {
            Ok(_) => self.at_once(path, FILE, mounts),
            Err(_) => Some(walked),
        }
    }

    /// Finds the file at `path` without opening it; `None` if that might wait, or if the file is not on a local file system.
    pub(super) fn walk_now(&self, path: &[u8], flags: OFlags, mounts: &Mounts) -> Option<Opened> {
        let walked = self.at_once(path, flags, mounts)?;
        let found = walked.found.as_ref();
        found
            .map_or(true, |file| mounts.is_local(file))
            .then_some(walked)
    }

    /// Opens with `flags` if no name has to be waited for.
    fn at_once(&self, path: &[u8], flags: OFlags, mounts: &Mounts) -> Option<Opened> {
        let rules = match mounts.file_system(self) {
            Some(FileSystem::Memory) => ResolveFlags::NO_XDEV,
            _ => ResolveFlags::CACHED,
        };
        let opened = self.open_with(path, flags, rules);
        let leaves = |errno| rules == ResolveFlags::NO_XDEV && errno == Errno::XDEV;
        let waits = |errno: &Errno| may_mean_wait(*errno) || leaves(*errno);
        (!opened.found.as_ref().is_err_and(waits)).then_some(opened)
    }

    /// Returns the stat of the file at `path`. Symbolic links are followed as [`open`](Self::open) follows them.
    pub(crate) fn stat(&self, path: &[u8]) -> io::Result<Stat> {
        let fd = self.open_with(path, WALK, ResolveFlags::empty()).found?;
        Ok(fstat(fd)?)
    }

    /// Returns whether the directory, or the `single` file in it, cannot be read although its permissions allow it. The only reason
    /// for that is Landlock: the rules of this process were made for the file that had the name before.
    pub(crate) fn is_out_of_reach(&self, single: Option<&[u8]>) -> bool {
        let served = single.unwrap_or(b".");
        self.open(served).found.err() == Some(Errno::ACCESS)
            && accessat(&self.fd, served, Access::READ_OK, AtFlags::empty()).is_ok()
    }

    /// Opens with `rules` beside those of the resolver. Without openat2 there are no rules, so a path that has to be in memory fails
    /// with EAGAIN.
    fn open_with(&self, path: &[u8], flags: OFlags, rules: ResolveFlags) -> Opened {
        let path = if path.is_empty() { b"." } else { path };
        let rest = match self.resolver {
            Resolver::Beneath => BENEATH | rules,
            Resolver::Anywhere => rules,
            Resolver::NoFollow | Resolver::Unchecked if !rules.is_empty() => {
                return Opened {
                    found: Err(Errno::AGAIN),
                    is_plain: false,
                };
            }
            Resolver::NoFollow => {
                return Opened {
                    found: self.no_follow(path, flags),
                    is_plain: true,
                };
            }
            Resolver::Unchecked => {
                return Opened {
                    found: openat(&self.fd, path, flags, Mode::empty()),
                    is_plain: false,
                };
            }
        };
        let resolved = self.resolve(path, flags, rest | ResolveFlags::NO_SYMLINKS);
        // With NO_SYMLINKS, ELOOP means that a symbolic link is on the way.
        if matches!(resolved, Err(Errno::LOOP)) {
            return Opened {
                found: self.resolve(path, flags, rest),
                is_plain: false,
            };
        }
        Opened {
            found: resolved,
            is_plain: true,
        }
    }

    fn resolve(&self, path: &[u8], flags: OFlags, rules: ResolveFlags) -> Result<OwnedFd, Errno> {
        let mut opened = Err(Errno::AGAIN);
        for attempt in 1..=RACES {
            opened = openat2(&self.fd, path, flags, Mode::empty(), rules);
            match opened {
                Err(Errno::AGAIN) if rules.contains(ResolveFlags::CACHED) => break,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::XDEV | Errno::ACCESS) if attempt < REFUSALS => {}
                _ => break,
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
            let below = directory.as_ref().map_or(self.fd.as_fd(), |fd| fd.as_fd());
            let last = components.peek().is_none();
            let flags = if last { flags | OFlags::NOFOLLOW } else { step };
            directory = Some(openat(below, component, flags, Mode::empty())?);
        }
        directory.ok_or(Errno::NOENT)
    }
}

/// Returns whether `errno` may mean that an open with RESOLVE_CACHED would have to wait, or that the kernel does not know this rule.
pub(super) fn may_mean_wait(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::AGAIN | Errno::INVAL | Errno::NOSYS | Errno::PERM
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use crate::files::names::mounts::FileSystem;

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

        fn directory(&self, resolver: Resolver) -> Directory {
            let fd = fs::File::open(self.0.join("root")).unwrap().into();
            Directory::new(Arc::new(fd), resolver)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn opens(root: &Directory, paths: &[&str]) -> Vec<bool> {
        paths
            .iter()
            .map(|path| root.open(path.as_bytes()).found.is_ok())
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
        let root = tree.directory(Resolver::Beneath);
        assert_eq!(
            opens(&root, &PATHS),
            [true, true, true, true, true, false, false, false]
        );
    }

    #[test]
    fn without_openat2_no_link_is_followed() {
        let tree = Tree::new("no-follow");
        let root = tree.directory(Resolver::NoFollow);
        assert_eq!(
            opens(&root, &PATHS),
            [true, true, true, false, false, false, false, false]
        );
        assert_eq!(opens(&root, &["sub/../file", "../secret"]), [false, false]);
    }

    #[test]
    fn all_links_are_followed_if_the_owner_wants_it() {
        let tree = Tree::new("anywhere");
        for resolver in [Resolver::Anywhere, Resolver::Unchecked] {
            let root = tree.directory(resolver);
            assert_eq!(opens(&root, &PATHS), [true; 8]);
        }
    }

    #[test]
    fn a_symbolic_link_on_the_way_is_noticed() {
        let tree = Tree::new("plain");
        for resolver in [Resolver::Beneath, Resolver::Anywhere] {
            let root = tree.directory(resolver);
            let plain = PATHS.map(|path| root.open(path.as_bytes()).is_plain);
            assert_eq!(plain, [true, true, true, false, false, false, false, false]);
            assert!(root.open(b"nothing").is_plain);
        }
    }

    fn known_mounts() -> Mounts {
        Mounts::read(&fs::File::open("/proc/self/mountinfo").unwrap()).unwrap()
    }

    fn opens_now(root: &Directory, path: &str, mounts: &Mounts) -> Option<Result<(), Errno>> {
        let opened = root.open_now(path.as_bytes(), mounts)?;
        Some(opened.found.map(drop))
    }

    #[test]
    fn a_file_in_memory_on_a_known_mount_is_opened_at_once() {
        let tree = Tree::new("now");
        let mounts = known_mounts();
        for resolver in [Resolver::Beneath, Resolver::Anywhere] {
            let root = tree.directory(resolver);
            for path in ["", "file", "sub"] {
                let opened = root.open_now(path.as_bytes(), &mounts).unwrap();
                assert!(opened.found.is_ok() && opened.is_plain, "{path}");
            }
            let opened = root.open_now(b"file", &mounts).unwrap();
            let content = io::read_to_string(fs::File::from(opened.found.unwrap()));
            assert_eq!(content.unwrap(), "inside");
        }
    }

    #[test]
    fn a_file_on_a_mount_that_is_not_known_to_be_local_is_left_to_a_thread() {
        let tree = Tree::new("unknown");
        let root = tree.directory(Resolver::Beneath);
        assert_eq!(opens_now(&root, "file", &Mounts::default()), None);
        // A mount below the directory may be another one.
        let system = Directory::new(
            Arc::new(fs::File::open("/").unwrap().into()),
            Resolver::Anywhere,
        );
        let mounts = known_mounts();
        assert_eq!(opens_now(&system, "proc/version", &mounts), None);
        // The directory itself is always in memory.
        let proc = fs::File::open("/proc").unwrap();
        let proc = Directory::new(Arc::new(proc.into()), Resolver::Beneath);
        assert_eq!(opens_now(&proc, "", &mounts), None);
        assert!(system.open(b"proc/version").found.is_ok());
    }

    #[test]
    fn without_openat2_everything_is_left_to_a_thread() {
        let tree = Tree::new("old-kernel");
        let mounts = known_mounts();
        for resolver in [Resolver::NoFollow, Resolver::Unchecked] {
            let root = tree.directory(resolver);
            for path in ["", "file", "nothing", "escape"] {
                assert_eq!(opens_now(&root, path, &mounts), None, "{path}");
            }
        }
    }

    #[test]
    fn links_are_followed_at_once_or_left_to_a_thread() {
        let tree = Tree::new("links-now");
        let mounts = known_mounts();
        for resolver in [Resolver::Beneath, Resolver::Anywhere] {
            let root = tree.directory(resolver);
            for path in &PATHS[3..] {
                // From now on the link is in memory.
                let opened = root.open(path.as_bytes());
                let Some(now) = root.open_now(path.as_bytes(), &mounts) else {
                    // The kernel refuses a link that leads outside only where it may wait, and overlayfs follows none.
                    let is_overlay = mounts.file_system(&root) == Some(FileSystem::Overlay);
                    assert!(opened.found.is_err() || is_overlay, "{path}");
                    continue;
                };
                assert_eq!(now.is_plain, opened.is_plain, "{path}");
                assert_eq!(now.found.err(), opened.found.err(), "{path}");
            }
        }
    }

    #[test]
    fn a_missing_name_that_is_in_memory_is_missing_at_once() {
        let tree = Tree::new("missing-now");
        let (mounts, root) = (known_mounts(), tree.directory(Resolver::Beneath));
        for path in ["nothing", "sub/nothing", "nothing/nothing"] {
            assert_eq!(root.open(path.as_bytes()).found.err(), Some(Errno::NOENT));
            // Some file systems, such as tmpfs, keep no names of files that are not there.
            let now = opens_now(&root, path, &mounts);
            let may_wait = mounts.file_system(&root) != Some(FileSystem::Disk);
            let is_missing = now == Some(Err(Errno::NOENT));
            assert!(is_missing || now.is_none() && may_wait, "{path} {now:?}");
        }
        fs::write(tree.0.join("root/nothing"), "something").unwrap();
        assert_eq!(opens_now(&root, "nothing", &mounts), Some(Ok(())));
        fs::remove_file(tree.0.join("root/nothing")).unwrap();
        assert_ne!(opens_now(&root, "nothing", &mounts), Some(Ok(())));
    }
}
