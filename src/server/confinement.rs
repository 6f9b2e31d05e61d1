//! What a process gives up before it serves: everything that serving does not need.
//!
//! Invariant: confinement is never a reason not to serve. What this kernel does not offer, or a container forbids, is left
//! out, and said.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CreateRulesetError, LandlockStatus,
    PathBeneath, RestrictSelfError, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope,
};
use rustix::thread::{no_new_privs, set_no_new_privs};

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod allowed;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod refused;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod system_calls;

/// What is asked of Landlock: the newest version that the crate knows. An older kernel gives what it has of it.
const LANDLOCK: ABI = ABI::V9;

/// What is in force in this process; process-wide, because Landlock and seccomp are.
static IN_FORCE: Mutex<Option<Confined>> = Mutex::new(None);

/// What a process keeps of its rights when it is confined: it reads below some directories, and accepts connections on
/// sockets that listen already.
///
/// Landlock refuses every other file, TCP connections and further ports, and signals to other processes. It does not hide the
/// size, the times or the target of a file or link outside (`stat`, `readlink`). A filter of system calls (seccomp, on x86-64 and
/// AArch64) refuses programs, child processes, sockets, memory that becomes code or that other processes share, other processes'
/// limits, other users, mounts, namespaces, typing into a terminal, and what reaches deep into the kernel. With
/// [`only_serving`](Self::only_serving) it refuses all that serving does not need. A refused call is an error (EACCES, EPERM, or
/// ENOSYS for a call that is newer than this crate), not the end of the process. No program can regain rights any more
/// (`no_new_privs`).
///
/// What is open already stays open: bind, and open what is needed, first.
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
    only_serving: bool,
}

impl Confinement {
    /// Allows no file at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows to read files and list directories below `directory`, mounts included, wherever it is moved.
    pub fn read_below(self, directory: impl Into<OwnedFd>) -> Self {
        self.allow(directory.into(), AccessFs::ReadFile | AccessFs::ReadDir)
    }

    /// Allows to read files below `directory` whose names are known; or one file, which is given opened in its place.
    pub fn read_files_below(self, directory: impl Into<OwnedFd>) -> Self {
        self.allow(directory.into(), AccessFs::ReadFile.into())
    }

    /// Allows to read, write, make and remove files and directories below `directory`. Request bodies beyond 64 KiB need it
    /// for [`std::env::temp_dir`].
    pub fn write_below(mut self, directory: impl Into<OwnedFd>) -> Self {
        self.may_write = true;
        let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock;
        self.allow(directory.into(), AccessFs::from_all(LANDLOCK) & !never)
    }

    /// Allows only the system calls that serving takes, about sixty with those of the C library.
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

    /// Confines the calling thread and all threads that it starts from now on, for good: best called while there is only one.
    ///
    /// A second call takes away more and gives nothing back. Its result is its own: where the kernel takes no further rules (it
    /// has room for 16 sets of them), that is an error, though the earlier ones stay. After
    /// [`only_serving`](Self::only_serving) a second call is refused.
    pub fn enforce(self) -> Confined {
        // What was set earlier stays, even where it cannot be set again.
        let no_new_privileges = set_no_new_privs(true).is_ok() || no_new_privs().unwrap_or(false);
        let (may_write, only_serving) = (self.may_write, self.only_serving);
        let landlock = self
            .restrict_files()
            .unwrap_or_else(|error| Err(reason(error)));
        let confined = Confined {
            landlock,
            no_new_privileges,
            system_calls: filter_system_calls(only_serving, may_write),
        };
        let mut in_force = lock_in_force();
        *in_force = Some(confined.clone().beside(in_force.take()));
        confined
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

/// What the kernel said; the words of the crate for the rest would be a hundred times this code.
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
fn filter_system_calls(only_serving: bool, may_write: bool) -> Result<(), String> {
    let policy = if only_serving {
        allowed::policy(may_write)
    } else {
        refused::policy(may_write)
    };
    system_calls::enforce(&policy)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn filter_system_calls(_only_serving: bool, _may_write: bool) -> Result<(), String> {
    Err("not on this architecture".to_owned())
}

/// What is in force of a [`Confinement`], and why the rest is not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confined {
    /// The version of Landlock that the kernel has: before 4 it knows no ports, before 6 no signals.
    pub landlock: Result<i32, String>,
    /// Whether a program that is executed can gain rights that this process does not have.
    pub no_new_privileges: bool,
    /// Whether system calls are filtered.
    pub system_calls: Result<(), String>,
}

impl Confined {
    /// What is in force after this call and an `earlier` one.
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

    /// Says what is not in force, and why; `None` where all is.
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

/// What is in force, as a list: `Landlock (ABI 7), no new privileges, seccomp`.
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

/// What is in force in this process, for its report.
pub(crate) fn in_force() -> String {
    lock_in_force()
        .as_ref()
        .map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// It is replaced as a whole: a panic elsewhere cannot leave it half changed.
fn lock_in_force() -> MutexGuard<'static, Option<Confined>> {
    IN_FORCE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_force_and_what_is_not_is_one_line() {
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
