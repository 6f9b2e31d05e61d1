//! What the program gives up before it serves: root, and all that serving does not need.

use std::env;
use std::ffi::CString;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use httpoll::Confinement;
use nix::errno::Errno;
use nix::unistd::{
    Gid, Uid, User, geteuid, getresgid, getresuid, initgroups, setresgid, setresuid,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
};

use super::CommandError;

/// Finds the user that `--user` names, before there is a socket that nobody serves.
pub(crate) fn find_user(name: &str) -> Result<User, CommandError> {
    let shown = name.escape_debug();
    if !geteuid().is_root() {
        return Err(CommandError::Run(format!(
            "only root can become {shown} (--user)"
        )));
    }
    // glibc loads the plugins of its user database at run time; in a static program that crashes.
    if cfg!(all(target_feature = "crt-static", target_env = "gnu")) {
        let reason =
            "a static build with glibc cannot look up users (--user); start it as that user";
        return Err(CommandError::Run(reason.to_owned()));
    }
    match User::from_name(name) {
        Ok(Some(user)) if user.uid.is_root() => {
            Err(CommandError::Run(format!("{shown} is root, too (--user)")))
        }
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(CommandError::Run(format!("no such user: {shown} (--user)"))),
        Err(error) => Err(CommandError::Run(format!(
            "cannot look up the user {shown} (--user): {}",
            io::Error::from(error)
        ))),
    }
}

/// Becomes `user` for good; without one, root is told that it could.
pub(crate) fn give_up_root(user: Option<&User>) -> Result<(), CommandError> {
    match user {
        Some(user) => switch(user).map_err(|error| {
            let name = user.name.escape_debug();
            let error = io::Error::from(error);
            CommandError::Run(format!("cannot become {name} (--user): {error}"))
        }),
        None if geteuid().is_root() => {
            warn("serving as root; --user NAME gives that up once the port is open");
            Ok(())
        }
        None => Ok(()),
    }
}

fn switch(user: &User) -> Result<(), Errno> {
    let (uid, gid) = (user.uid, user.gid);
    let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
    if let Err(error) = empty_bounding_set() {
        warn(format_args!("the capability bounding set stays: {error}"));
    }
    initgroups(&name, gid)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    // That there is no way back is seen by trying it.
    let root = Gid::from_raw(0);
    let is_root_again = setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok()
        || gid != root && setresgid(root, root, root).is_ok();
    let (users, groups) = (getresuid()?, getresgid()?);
    let is_user = [users.real, users.effective, users.saved] == [uid; 3]
        && [groups.real, groups.effective, groups.saved] == [gid; 3];
    if is_root_again || !is_user {
        return Err(Errno::EPERM);
    }
    give_up_capabilities().map_err(|error| Errno::from_raw(error.raw_os_error()))
}

/// Takes every capability out of the set that a program could gain; only root can, and not in each container.
fn empty_bounding_set() -> Result<(), rustix::io::Errno> {
    for number in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // The kernel knows no more of them.
            Err(rustix::io::Errno::INVAL) => break,
            removed => removed?,
        }
    }
    Ok(())
}

/// Drops the capabilities that may be left, those of a program that is run included, and keeps other processes of the user out
/// of this one's memory.
fn give_up_capabilities() -> Result<(), rustix::io::Errno> {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}

/// Names what has to be readable for `path` to be served also after it was replaced: the parent of the name, and the parent of
/// what each symbolic link on the way leads to now.
///
/// The parent would be too much where it is the root directory, or the home directory of the user or of `other` or above one, or
/// where a single file has others beside it. Then it is what is there now, and nothing that takes its place.
pub(crate) fn readable_paths(path: &Path, other: Option<&User>) -> Vec<PathBuf> {
    let homes = [env::home_dir(), other.map(|user| user.dir.clone())];
    let homes: Vec<_> = homes
        .into_iter()
        .flatten()
        .filter_map(|home| home.canonicalize().ok())
        .collect();
    let is_single = path.is_file();
    let is_too_much = |parent: &PathBuf| {
        parent.parent().is_none()
            || homes.iter().any(|home| home.starts_with(parent))
            || is_single && !has_one_entry(parent)
    };
    // A link to the directory of a single file would make all of that readable.
    let names = path
        .ancestors()
        .take(if is_single { 1 } else { usize::MAX });
    let links = names.filter(|name| name.is_symlink());
    let replaceable = links
        .filter_map(|link| link.canonicalize().ok())
        .chain([path.to_owned()]);
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in replaceable {
        // A path that ends with `..` has no name that could be another's.
        let parent = path.file_name().and(path.parent());
        let parent = parent.and_then(|parent| parent.canonicalize().ok());
        let readable = parent.filter(|parent| !is_too_much(parent)).unwrap_or(path);
        if !paths.contains(&readable) {
            paths.push(readable);
        }
    }
    paths
}

fn has_one_entry(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|entries| entries.take(2).count() == 1)
}

/// Confines the process as far as this kernel can; what is missing is said.
pub(crate) fn confine(confinement: Confinement) {
    if let Some(missing) = confinement.enforce().missing() {
        warn(format_args!("not confined by {missing}"));
    }
}

/// Says what the user should know, unless nobody reads on.
fn warn(warning: impl Display) {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut fds, Some(&Timespec::default())) != Ok(0) {
        let _ = writeln!(io::stderr(), "httpoll: {warning}");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_parent_is_readable_unless_that_is_too_much() {
        let base = env::temp_dir().canonicalize().unwrap();
        let base = base.join(format!("httpoll-readable-{}", std::process::id()));
        for directory in ["www/site", "www/release", "www/alone", "home/me"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        for file in ["www/site/a", "www/site/b", "www/alone/a"] {
            fs::write(base.join(file), "").unwrap();
        }
        symlink("release", base.join("www/current")).unwrap();
        symlink("site/a", base.join("www/link")).unwrap();
        let mut me = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        me.dir = base.join("home/me");
        let table: [(&str, &[&str]); 8] = [
            ("www/site", &["www"]),
            ("www/current", &["www"]),
            ("www/site/..", &["www/site/.."]),
            ("home/me", &["home/me"]),
            ("home", &["home"]),
            ("www/alone/a", &["www/alone"]),
            ("www/site/a", &["www/site/a"]),
            ("www/link", &["www/site/a", "www/link"]),
        ];
        for (path, readable) in table {
            // Paths compare by their components, so a slash at the end does not matter.
            let expected: Vec<_> = readable.iter().map(|path| base.join(path)).collect();
            let found = readable_paths(&base.join(path), Some(&me));
            assert_eq!(found, expected, "{path}");
        }
        fs::remove_dir_all(&base).unwrap();
    }
}
