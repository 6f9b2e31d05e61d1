//! HTTPS: the files that `--tls-cert` and its companions name, and the sockets that speak it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use httpoll::{
    CertificateFiles, Confinement, ListeningSocket, ServerConfig, ServerHandle,
    ThreadingHttpServer, TlsConfig,
};
use nix::unistd::User;
use rustix::fs::{Mode, OFlags};

use super::handler::Handler;
use super::typed::Typed;
use super::values::redirect_http;
use super::{CommandError, Options, privileges, usage};

/// What a PEM file with a private key has in it.
const KEY: &[u8] = b"PRIVATE KEY-----";

/// Checks that the options belong together.
pub(super) fn check(typed: &Typed) -> Result<(), CommandError> {
    let count = |name| typed.paths(name).len();
    let (certificates, keys) = (count("--tls-cert"), count("--tls-key"));
    let mut companions = ["--tls-key", "--tls-password-file", "--redirect-http"].into_iter();
    if certificates == 0
        && let Some(name) = companions.find(|name| typed.is_given(name))
    {
        return Err(usage(format_args!("{name} needs --tls-cert")));
    }
    if keys != 0 && keys != certificates {
        return Err(usage(format_args!(
            "--tls-key names {keys} files and --tls-cert {certificates}: name a key for each certificate, or none"
        )));
    }
    typed.all("--redirect-http", redirect_http)?;
    Ok(())
}

/// Says which option names the key, if none was given and the certificate's file has no key.
fn name_option(typed: &Typed, error: io::Error) -> io::Error {
    let message = error.to_string();
    if typed.is_given("--tls-key") || !message.ends_with("no private key") {
        return error;
    }
    io::Error::new(
        error.kind(),
        format!("{message} (--tls-key names its file)"),
    )
}

/// The certificates that were read, for the sockets of the site.
#[derive(Debug)]
pub(crate) struct Tls {
    config: TlsConfig,
    /// The rights of the thread that reads them again.
    confinement: Confinement,
}

impl Tls {
    /// Reads the files, with the rights that the process has at its start.
    fn read(typed: &Typed) -> io::Result<Self> {
        let mut keys = typed.paths("--tls-key").into_iter();
        let password = typed.path("--tls-password-file");
        let pairs = typed.paths("--tls-cert").into_iter().map(|certificate| {
            let mut files = CertificateFiles::new(certificate);
            if let Some(key) = keys.next() {
                files = files.with_key(key);
            }
            match &password {
                Some(password) => files.with_password_file(password),
                None => files,
            }
        });
        let config = TlsConfig::from_files(pairs).map_err(|error| name_option(typed, error))?;
        Ok(Self {
            confinement: only_reading(&config.directories()?)?,
            config,
        })
    }

    /// Makes a server that speaks HTTPS on `addresses`.
    pub(super) fn bind(
        &self,
        addresses: &[SocketAddr],
        handler: Handler,
        config: ServerConfig,
        loops: NonZeroUsize,
    ) -> io::Result<ThreadingHttpServer<Handler>> {
        ThreadingHttpServer::bind_tls_with(addresses, handler, config, loops, &self.config)
    }

    /// Has a TCP socket speak HTTPS. A UNIX socket stays plain: its peers are on this machine.
    pub(super) fn speak(&self, socket: ListeningSocket) -> ListeningSocket {
        match socket.local_addr() {
            Some(_) => socket.with_tls(&self.config),
            None => socket,
        }
    }

    /// Has a socket redirect to HTTPS on `port`.
    pub(super) fn redirect(&self, socket: ListeningSocket, port: u16) -> ListeningSocket {
        socket.redirecting_to_https(port)
    }

    /// Starts the thread that reads the files again, and gives up the capabilities that were kept for it. Only this thread may read below
    /// their directories; if `user`, which the process is by now, cannot read the files, this thread keeps the right to read what only
    /// root can read. A warning tells if that is not possible.
    pub(crate) fn start_reader(
        self,
        server: &ServerHandle,
        user: Option<&User>,
    ) -> Result<(), CommandError> {
        let Some(user) = user else {
            server.start_tls_reader(self.confinement)?;
            return Ok(());
        };
        let is_readable = self.config.reload().is_ok();
        // The thread has the rights that this one has when it starts.
        let raised = match is_readable {
            true => privileges::give_up_capabilities(),
            false => privileges::raise_read_search(),
        };
        let started = server.start_tls_reader(self.confinement);
        privileges::give_up_capabilities()?;
        let reason = match (raised, started?.landlock) {
            (Ok(()), Ok(_)) => return Ok(()),
            (Ok(()), Err(_)) if is_readable => return Ok(()),
            (Ok(()), Err(reason)) => format!("no Landlock: {reason}"),
            (Err(error), _) => error.to_string(),
        };
        let name = user.name.escape_debug();
        privileges::warn(format_args!(
            "{name} (--user) cannot read the TLS files: restart to use renewed ones, SIGHUP does not ({reason})"
        ));
        Ok(())
    }
}

impl Options {
    /// Reads the files of `--tls-cert`, if there are any. Clients must not be able to read the keys, so these are refused in the
    /// directory `served`, unless their names are hidden there.
    pub(crate) fn tls(&self, served: Option<&Path>) -> Result<Option<Tls>, CommandError> {
        if !self.typed.is_given("--tls-cert") {
            return Ok(None);
        }
        let tls = Tls::read(&self.typed)?;
        for (what, option) in [
            ("private key", "--tls-key"),
            ("password file", "--tls-password-file"),
        ] {
            for path in self.typed.paths(option) {
                self.refuse_served(what, &path, served)?;
            }
        }
        for path in self.typed.paths("--tls-cert") {
            if fs::read(&path)?.windows(KEY.len()).any(|part| part == KEY) {
                self.refuse_served("private key", &path, served)?;
            }
        }
        Ok(Some(tls))
    }
}

/// Returns the rights to read files below `directories`, and no others.
fn only_reading(directories: &[PathBuf]) -> io::Result<Confinement> {
    let mut confinement = Confinement::new().only_serving();
    for directory in directories {
        // With PATH no read permission is needed.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        confinement = confinement.read_files_below(directory);
    }
    Ok(confinement)
}
