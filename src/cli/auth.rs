//! `--auth`: the password file, and the rights to read it again while the server runs.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, absolute};

use httpoll::{BasicAuth, Confinement};
use rustix::fs::{Mode, OFlags};

use super::{CommandError, Options, privileges};

impl Options {
    /// Reads the password file. Clients must not be able to read it, so it is refused in the directory `served`, unless its name is
    /// hidden there.
    pub(super) fn auth(&self, served: Option<&Path>) -> Result<Option<BasicAuth>, CommandError> {
        let Some(path) = &self.auth else {
            return Ok(None);
        };
        let auth = BasicAuth::open(path).map_err(|error| self.unusable(path, &error, ""))?;
        self.refuse_served("password file", path, served)
            .map_err(|error| error.at(self.typed.place("--auth")))?;
        Ok(Some(auth))
    }

    /// Refuses a file with a secret that clients could read, because it is in the directory `served` and its name is not hidden there.
    pub(super) fn refuse_served(
        &self,
        what: &str,
        path: &Path,
        served: Option<&Path>,
    ) -> Result<(), CommandError> {
        if !served.is_some_and(|served| self.is_served(path, served)) {
            return Ok(());
        }
        let shown = path.to_string_lossy();
        Err(CommandError::Run(format!(
            "the {what} {} is in the served directory, so clients could read it: move it elsewhere",
            shown.escape_debug()
        )))
    }

    /// Whether clients can get the file at `path` by that name, or by the name that links lead to. Hard links are not looked for.
    fn is_served(&self, path: &Path, served: &Path) -> bool {
        let is_hidden = |name: &OsStr| {
            !self.dotfiles && name.as_encoded_bytes().starts_with(b".") && name != ".well-known"
        };
        let is_visible = |path: &Path, served: &Path| {
            let below = path.strip_prefix(served);
            below.is_ok_and(|below| !below.iter().any(is_hidden))
        };
        let Some((file, directory)) = path.canonicalize().ok().zip(served.canonicalize().ok())
        else {
            return false;
        };
        let Some((name, served)) = absolute(path).ok().zip(absolute(served).ok()) else {
            return false;
        };
        let is_link_followed = self.follow_symlinks || file.starts_with(&directory);
        let is_named = is_visible(&name, &served) || is_visible(&name, &directory);
        is_visible(&file, &directory) || is_named && is_link_followed
    }

    /// Checks that the user of `--user` can read the password file, because its changes are read with the rights of that user.
    pub(crate) fn check_auth(&self, auth: Option<&BasicAuth>) -> Result<(), CommandError> {
        let Some((auth, user)) = auth.zip(self.typed.path("--user")) else {
            return Ok(());
        };
        let user = format!(
            ", as user {} (--user)",
            user.to_string_lossy().escape_debug()
        );
        auth.reload()
            .map_err(|error| self.unusable(auth.path(), &error, &user))
    }

    fn unusable(&self, path: &Path, error: &io::Error, user: &str) -> CommandError {
        let shown = path.to_string_lossy();
        let shown = shown.escape_debug();
        let error = CommandError::Run(format!(
            "cannot use the password file {shown}: {error}{user}"
        ));
        error.at(self.typed.place("--auth"))
    }

    /// Allows the confined process to read the password file again, also after it is replaced.
    pub(super) fn allow_auth(
        &self,
        mut confinement: Confinement,
        auth: Option<&BasicAuth>,
    ) -> Result<Confinement, CommandError> {
        let Some(auth) = auth else {
            return Ok(confinement);
        };
        for path in privileges::replaceable_paths(auth.path(), self.user()?.as_ref()) {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let file = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
            confinement = confinement.read_files_below(file);
        }
        Ok(confinement)
    }
}
