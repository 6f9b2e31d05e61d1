//! Confinement: before it serves, a process gives up everything that serving does not need.
//!
//! Invariant: confinement never keeps a server from starting. What this kernel does not offer, or a container forbids, is left
//! out and reported.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CreateRulesetError, LandlockStatus,
    PathBeneath, RestrictSelfError, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope,
};
use rustix::thread::{no_new_privs, set_no_new_privs};

use crate::wire::log_file::LogFile;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod allowed;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod refused;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod system_calls;

/// The newest version of Landlock that the crate knows. An older kernel enforces the part that it has.
const LANDLOCK: ABI = ABI::V9;

/// What is in force in this process. It is process-wide, because Landlock and seccomp are.
static IN_FORCE: Mutex<Option<Confined>> = Mutex::new(None);

/// The rights that a process keeps when it is confined: to read below some directories, and to accept connections on sockets
/// that listen already.
///
/// Landlock refuses every other file, TCP connections and further ports, and signals to other processes. It does not hide the
/// size, the times or the target of a file or link outside (`stat`, `readlink`). A filter of system calls (seccomp, on x86-64 and
/// AArch64) refuses programs, child processes, sockets, memory that becomes code or that other processes share, other processes'
/// limits, other users, mounts, namespaces, typing into a terminal, and parts of the kernel that serving does not use. With
/// [`only_serving`](Self::only_serving) it refuses every call that serving does not need. A refused call is an error (EACCES,
/// EPERM, or ENOSYS for a call that is newer than this crate), not the end of the process. No program that it executes can regain rights
/// (`no_new_privs`).
///
/// Open descriptors stay open: bind sockets and open files before you enforce it.
///
/// ```no_run
/// use httpoll::{Confinement, HttpServer, SimpleHttpRequestHandler};
///
/// let files = SimpleHttpRequestHandler::new("public")?;
/// let confinement = Confinement::new().read_below(files.directory()?);
/// let mut server = HttpServer::bind("127.0.0.1:8000", files)?;
/// let confined = confinement.enforce();
/// println!("in force: {confined}");
/// server.serve_forever()
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "nothing is confined until it is enforced"]
pub struct Confinement {
    hierarchies: Vec<(OwnedFd, BitFlags<AccessFs>)>,
    may_write: bool,
    may_remove: bool,
    only_serving: bool,
}

impl Confinement {
    /// Makes a confinement that allows no file at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows the process to read files and list directories below `directory`, mounts included, even after it is moved.
    pub fn read_below(self, directory: impl Into<OwnedFd>) -> Self {
        self.allow(directory.into(), AccessFs::ReadFile | AccessFs::ReadDir)
    }

    /// Allows the process to read files below `directory` without listing it; in place of a directory it takes an open file, too.
    pub fn read_files_below(self, directory: impl Into<OwnedFd>) -> Self {
        self.allow(directory.into(), AccessFs::ReadFile.into())
    }

    /// Allows the process to read, write, make and remove files and directories below `directory`. Request bodies beyond 64 KiB
    /// need it for [`std::env::temp_dir`].
    pub fn write_below(mut self, directory: impl Into<OwnedFd>) -> Self {
        self.may_write = true;
        let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock;
        self.allow(directory.into(), AccessFs::from_all(LANDLOCK) & !never)
    }

    /// Allows the process to remove files below `directory`, and nothing else there: the file of a UNIX socket, at the end. Where the
    /// kernel has no Landlock, which would hold the removal to this directory, [`only_serving`](Self::only_serving) refuses it.
    pub fn remove_files_below(mut self, directory: impl Into<OwnedFd>) -> Self {
        self.may_remove = true;
        self.allow(directory.into(), AccessFs::RemoveFile.into())
    }

    /// Allows the process to open `log_file` again, after it was renamed. Landlock knows directories and not the names in them, so this
    /// allows the process to make regular files below the directory of the log file and to write into those that are there, but
    /// not to cut them short, rename or remove them. For a pipe or a device it allows nothing.
    ///
    /// ```no_run
    /// use httpoll::{Confinement, HttpServer, LogFile, SimpleHttpRequestHandler};
    ///
    /// let files = SimpleHttpRequestHandler::new("public")?;
    /// let log_file = LogFile::open("log/access.log")?;
    /// let confinement = Confinement::new()
    ///     .read_below(files.directory()?)
    ///     .reopen(&log_file)?;
    /// let mut server = HttpServer::bind("127.0.0.1:8000", files)?;
    /// server.log_to(log_file);
    /// confinement.enforce();
    /// server.serve_forever()
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// The descriptor of the directory cannot be duplicated.
    pub fn reopen(self, log_file: &LogFile) -> io::Result<Self> {
        let access = AccessFs::MakeReg | AccessFs::WriteFile;
        Ok(match log_file.directory()? {
            Some(directory) => self.allow(directory, access),
            None => self,
        })
    }

    /// Allows only the system calls that serving makes, about sixty with those of the C library.
    ///
    /// This fits handlers that do what a [`SimpleHttpRequestHandler`](crate::SimpleHttpRequestHandler) does, and that store files
    /// where [`write_below`](Self::write_below) allows it. The command confines itself like this.
    pub fn only_serving(mut self) -> Self {
        self.only_serving = true;
        self
    }

    fn allow(mut self, directory: OwnedFd, access: BitFlags<AccessFs>) -> Self {
        self.hierarchies.push((directory, access));
        self
    }

    /// Confines the calling thread and all threads that it starts from now on, for good. Call it while there is only one thread.
    ///
    /// A second call takes away more rights and gives none back. It returns only its own result: where the kernel takes no
    /// further rules (it has room for 16 sets), that is an error, although the earlier ones stay in force. After
    /// [`only_serving`](Self::only_serving) a second call is refused.
    pub fn enforce(self) -> Confined {
        let confined = self.enforce_in_thread(|| {});
        let mut in_force = lock_in_force();
        *in_force = Some(confined.clone().beside(in_force.take()));
        confined
    }

    /// Confines the calling thread, and leaves the report of the process as it is. If Landlock cannot be enforced, `without_landlock` is
    /// called while system calls are not filtered yet.
    pub(crate) fn enforce_in_thread(self, without_landlock: impl FnOnce()) -> Confined {
        // A flag that was set earlier stays set, even where it cannot be set again.
        let no_new_privileges = set_no_new_privs(true).is_ok() || no_new_privs().unwrap_or(false);
        let (may_write, only_serving) = (self.may_write, self.only_serving);
        let may_remove = self.may_remove;
        let landlock = self
            .restrict_files()
            .unwrap_or_else(|error| Err(reason(error)));
        if landlock.is_err() {
            without_landlock();
        }
        let may_remove = may_remove && landlock.is_ok();
        Confined {
            landlock,
            no_new_privileges,
            system_calls: filter_system_calls(only_serving, may_write, may_remove),
        }
    }

    fn restrict_files(self) -> Result<Result<i32, String>, RulesetError> {
        let mut ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?;
        for (directory, access) in self.hierarchies {
            ruleset = ruleset.add_rule(PathBeneath::new(directory, access))?;
        }
        let status = ruleset.restrict_self()?;
        Ok(match status.landlock {
            LandlockStatus::Available {
                effective_abi,
                kernel_abi,
            } if status.ruleset != RulesetStatus::NotEnforced => {
                Ok(kernel_abi.unwrap_or(effective_abi as i32))
            }
            _ => Err("not offered by this kernel".to_owned()),
        })
    }
}

/// Returns the error of the system call. The messages of the crate for all other errors would add a hundred times this code to
/// the program.
fn reason(error: RulesetError) -> String {
    match error {
        RulesetError::CreateRuleset(CreateRulesetError::CreateRulesetCall { source, .. })
        | RulesetError::RestrictSelf(RestrictSelfError::RestrictSelfCall { source, .. }) => {
            source.to_string()
        }
        _ => "refused".to_owned(),
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn filter_system_calls(
    only_serving: bool,
    may_write: bool,
    may_remove: bool,
) -> Result<(), String> {
    let policy = if only_serving {
        allowed::policy(may_write, may_remove)
    } else {
        refused::policy(may_write)
    };
    system_calls::enforce(&policy)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn filter_system_calls(
    _only_serving: bool,
    _may_write: bool,
    _may_remove: bool,
) -> Result<(), String> {
    Err("not on this architecture".to_owned())
}

/// The parts of a [`Confinement`] that are in force, and why the others are not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confined {
    /// The version of Landlock that the kernel has, or why it is not in force. Before version 4 it does not restrict
    /// ports, before 6 not signals.
    pub landlock: Result<i32, String>,
    /// Whether no program that is executed can gain rights that this process does not have.
    pub no_new_privileges: bool,
    /// Whether system calls are filtered, or why they are not.
    pub system_calls: Result<(), String>,
}

impl Confined {
    /// Returns what is in force after this call and an `earlier` one.
    fn beside(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else {
            return self;
        };
        Self {
            landlock: earlier.landlock.or(self.landlock),
            no_new_privileges: earlier.no_new_privileges || self.no_new_privileges,
            system_calls: earlier.system_calls.or(self.system_calls),
        }
    }

    /// Returns what is not in force, and why; `None` where everything is.
    pub fn missing(&self) -> Option<String> {
        let landlock = self.landlock.as_ref().err();
        let seccomp = self.system_calls.as_ref().err();
        let missing: Vec<_> = [("Landlock", landlock), ("seccomp", seccomp)]
            .into_iter()
            .filter_map(|(name, reason)| Some(format!("{name} ({})", reason?)))
            .collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}

/// Writes what is in force as a list: `Landlock (ABI 7), no new privileges, seccomp`.
impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Ok(abi) = self.landlock {
            write!(f, "Landlock (ABI {abi})")?;
            separator = ", ";
        }
        if self.no_new_privileges {
            write!(f, "{separator}no new privileges")?;
            separator = ", ";
        }
        if self.system_calls.is_ok() {
            write!(f, "{separator}seccomp")?;
            separator = ", ";
        }
        match self.missing() {
            Some(missing) => write!(f, "{separator}without {missing}"),
            None => Ok(()),
        }
    }
}

/// Returns what is in force in this process, for its report.
pub(crate) fn in_force() -> String {
    lock_in_force()
        .as_ref()
        .map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// Ignores poisoning: the value is replaced as a whole, so a panic cannot leave it half changed.
fn lock_in_force() -> MutexGuard<'static, Option<Confined>> {
    IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_is_in_force_and_what_is_not() {
        let confined =
            |landlock: Result<i32, &str>, no_new_privileges, seccomp: Result<(), &str>| Confined {
                landlock: landlock.map_err(str::to_owned),
                no_new_privileges,
                system_calls: seccomp.map_err(str::to_owned),
            };
        let table = [
            (
                confined(Ok(7), true, Ok(())),
                "Landlock (ABI 7), no new privileges, seccomp",
                None,
            ),
            (
                confined(Err("old"), true, Ok(())),
                "no new privileges, seccomp, without Landlock (old)",
                Some("Landlock (old)"),
            ),
            (
                confined(Err("old"), false, Err("forbidden")),
                "without Landlock (old), seccomp (forbidden)",
                Some("Landlock (old), seccomp (forbidden)"),
            ),
        ];
        for (confined, line, missing) in table {
            assert_eq!(confined.to_string(), line);
            assert_eq!(confined.missing().as_deref(), missing);
        }
    }
}
