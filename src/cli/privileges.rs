//! What the process gives up before it serves: root, and every right that serving does not need.

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
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities,
};

use super::CommandError;
use super::banner::has_room;

/// Looks up the user that `--user` names. This happens before the socket is bound, so that a wrong name binds none.
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
            Err(CommandError::Run(format!("--user {shown} would stay root")))
        }
        Ok(Some(user)) => Ok(user),
        Ok(None) => Err(CommandError::Run(format!("no such user: {shown} (--user)"))),
        Err(error) => Err(CommandError::Run(format!(
            "cannot look up the user {shown} (--user): {}",
            io::Error::from(error)
        ))),
    }
}

/// Becomes `user` for good. Without a user, a warning tells root about `--user`. With `may_read` the process may
/// [raise](raise_read_search) the right to read once more, and has to [give it up](give_up_capabilities) afterwards.
pub(crate) fn give_up_root(user: Option<&User>, may_read: bool) -> Result<(), CommandError> {
    match user {
        Some(user) => become_user(user, may_read).map_err(|error| {
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

fn become_user(user: &User, may_read: bool) -> Result<(), Errno> {
    let (uid, gid) = (user.uid, user.gid);
    let name = CString::new(user.name.as_str()).map_err(|_| Errno::EINVAL)?;
    if let Err(error) = empty_bounding_set() {
        warn(format_args!("the capability bounding set stays: {error}"));
    }
    if may_read {
        // Without this a change of the user would drop all capabilities.
        set_keep_capabilities(true).map_err(from_rustix)?;
    }
    initgroups(&name, gid)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    limit_capabilities(may_read).map_err(from_rustix)?;
    // Try to become root again: only a refusal shows that there is no way back.
    let root = Gid::from_raw(0);
    let is_root_again = setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)).is_ok()
        || gid != root && setresgid(root, root, root).is_ok();
    let (users, groups) = (getresuid()?, getresgid()?);
    let is_user = [users.real, users.effective, users.saved] == [uid; 3]
        && [groups.real, groups.effective, groups.saved] == [gid; 3];
    if is_root_again || !is_user {
        return Err(Errno::EPERM);
    }
    // Other processes of the user must not reach into the memory of this one.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(from_rustix)
}

fn from_rustix(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

/// Empties the set of capabilities that an executed program could gain. Only root can do this, and not in every container.
fn empty_bounding_set() -> Result<(), rustix::io::Errno> {
    for number in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // The kernel has no capability of this number or above.
            Err(rustix::io::Errno::INVAL) => break,
            removed => removed?,
        }
    }
    Ok(())
}

/// Drops all capabilities, inheritable ones included; `may_read` keeps that to read every file, which is then not effective.
fn limit_capabilities(may_read: bool) -> Result<(), rustix::io::Errno> {
    let permitted = match may_read {
        // A container may not have it.
        true => capabilities(None)?.permitted & CapabilitySet::DAC_READ_SEARCH,
        false => CapabilitySet::empty(),
    };
    let sets = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
}

/// Lets this thread, and the threads that it starts, read every file and look up names in every directory.
///
/// # Errors
/// The process was not given this right, or has given it up.
#[cfg(feature = "tls")]
pub(crate) fn raise_read_search() -> io::Result<()> {
    let sets = CapabilitySets {
        effective: CapabilitySet::DAC_READ_SEARCH,
        permitted: CapabilitySet::DAC_READ_SEARCH,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

/// Drops all capabilities of this thread.
#[cfg(feature = "tls")]
pub(crate) fn give_up_capabilities() -> io::Result<()> {
    Ok(limit_capabilities(false)?)
}

/// Returns the paths that must stay readable so that `path` is served even after it is replaced: the parent of `path`, and the
/// parent of the target of each symbolic link on the way.
///
/// A parent contains too much if it is the root directory, if it is or contains the home directory of this user or of `other`, or
/// if a single file is served and the parent has other entries. The path itself is then returned in its place, and what replaces it
/// later cannot be read.
pub(crate) fn readable_paths(path: &Path, other: Option<&User>) -> Vec<PathBuf> {
    let homes = homes(other);
    let is_single = path.is_file();
    let has_too_much =
        |parent: &PathBuf| contains_home(parent, &homes) || is_single && !has_one_entry(parent);
    // For a single file only its own name counts: a link further up would make a whole directory readable.
    let names = path
        .ancestors()
        .take(if is_single { 1 } else { usize::MAX });
    let links = names.filter(|name| name.is_symlink());
    let replaceable = links
        .filter_map(|link| link.canonicalize().ok())
        .chain([path.to_owned()]);
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in replaceable {
        // A path that ends with `..` has no name that another file could take.
        let parent = path.file_name().and(path.parent());
        let parent = parent.and_then(|parent| parent.canonicalize().ok());
        let readable = parent
            .filter(|parent| !has_too_much(parent))
            .unwrap_or(path);
        if !paths.contains(&readable) {
            paths.push(readable);
        }
    }
    paths
}

/// Returns the directories that must stay readable so that the file at `path` can be read even after it is replaced: its directory,
/// and that of its target if it is a symbolic link. In place of a directory that contains too much it is the file.
pub(crate) fn replaceable_paths(path: &Path, other: Option<&User>) -> Vec<PathBuf> {
    let homes = homes(other);
    let mut paths = Vec::new();
    for path in [Some(path.to_owned()), path.canonicalize().ok()] {
        let Some(path) = path else { continue };
        let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
        let readable = parent
            .filter(|parent| !contains_home(parent, &homes))
            .unwrap_or(path);
        if !paths.contains(&readable) {
            paths.push(readable);
        }
    }
    paths
}

/// Returns the home directories of this user and of `other`.
fn homes(other: Option<&User>) -> Vec<PathBuf> {
    [env::home_dir(), other.map(|user| user.dir.clone())]
        .into_iter()
        .flatten()
        .filter_map(|home| home.canonicalize().ok())
        .collect()
}

/// Returns whether `directory` is the root directory, or is or contains one of `homes`.
fn contains_home(directory: &Path, homes: &[PathBuf]) -> bool {
    directory.parent().is_none() || homes.iter().any(|home| home.starts_with(directory))
}

fn has_one_entry(directory: &Path) -> bool {
    fs::read_dir(directory).is_ok_and(|entries| entries.take(2).count() == 1)
}

/// Confines the process as far as this kernel can, and prints a warning about what is missing.
pub(crate) fn confine(confinement: Confinement) {
    if let Some(missing) = confinement.enforce().missing() {
        warn(format_args!("not confined by {missing}"));
    }
}

/// Prints a warning, unless standard error has no room: the server must not wait for its reader.
pub(crate) fn warn(warning: impl Display) {
    let mut stderr = io::stderr();
    if has_room(&stderr) {
        let _ = writeln!(stderr, "httpoll: {warning}");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_parent_is_readable_unless_it_contains_too_much() {
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
            // Paths are compared by component, so a final slash makes no difference.
            let expected: Vec<_> = readable.iter().map(|path| base.join(path)).collect();
            let found = readable_paths(&base.join(path), Some(&me));
            assert_eq!(found, expected, "{path}");
        }
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn the_directory_of_a_file_is_readable_unless_it_contains_too_much() {
        let base = env::temp_dir().canonicalize().unwrap();
        let base = base.join(format!("httpoll-replaceable-{}", std::process::id()));
        for directory in ["users/new", "home/me"] {
            fs::create_dir_all(base.join(directory)).unwrap();
        }
        for file in [
            "users/plain",
            "users/new/target",
            "home/me/own",
            "home/other",
        ] {
            fs::write(base.join(file), "").unwrap();
        }
        symlink("new/target", base.join("users/link")).unwrap();
        let mut me = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        me.dir = base.join("home/me");
        let table: [(&str, &[&str]); 4] = [
            ("users/plain", &["users"]),
            ("users/link", &["users", "users/new"]),
            ("home/me/own", &["home/me/own"]),
            ("home/other", &["home/other"]),
        ];
        for (path, readable) in table {
            let expected: Vec<_> = readable.iter().map(|path| base.join(path)).collect();
            let found = replaceable_paths(&base.join(path), Some(&me));
            assert_eq!(found, expected, "{path}");
        }
        fs::remove_dir_all(&base).unwrap();
    }
}
