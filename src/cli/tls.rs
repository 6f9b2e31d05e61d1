//! HTTPS: the files that `--tls-cert` and its companions name, and the sockets that speak it.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{PathBuf, absolute};

use httpoll::{CertificateFiles, ListeningSocket, ServerConfig, ThreadingHttpServer, TlsConfig};

use super::handler::Handler;
use super::typed::Typed;
use super::values::redirect_http;
use super::{CommandError, Options, usage};

/// The files that the options name, made absolute: the process leaves its directory before it reads them again.
#[derive(Debug, Default)]
pub(super) struct TlsFiles {
    certificates: Vec<PathBuf>,
    /// As many as certificates, or none: then the keys are in the files of the certificates.
    keys: Vec<PathBuf>,
    password: Option<PathBuf>,
}

impl TlsFiles {
    pub(super) fn new(typed: &Typed) -> Result<Self, CommandError> {
        let paths = |name| -> io::Result<Vec<_>> {
            let paths = typed.paths(name).into_iter();
            paths.map(absolute).collect()
        };
        let files = Self {
            certificates: paths("--tls-cert")?,
            keys: paths("--tls-key")?,
            password: paths("--tls-password-file")?.pop(),
        };
        let mut companions = ["--tls-key", "--tls-password-file", "--redirect-http"].into_iter();
        let companion = companions.find(|name| typed.is_given(name));
        match (companion, files.certificates.len(), files.keys.len()) {
            (Some(name), 0, _) => Err(usage(format_args!("{name} needs --tls-cert"))),
            (_, certificates, keys) if keys != 0 && keys != certificates => {
                Err(usage(format_args!(
                    "--tls-key names {keys} files and --tls-cert {certificates}: name a key for each certificate, or none"
                )))
            }
            _ => {
                typed.all("--redirect-http", redirect_http)?;
                Ok(files)
            }
        }
    }

    /// Returns the certificates, each with its key and the password.
    fn pairs(&self) -> impl Iterator<Item = CertificateFiles> {
        self.certificates
            .iter()
            .enumerate()
            .map(|(index, certificate)| {
                let mut files = CertificateFiles::new(certificate);
                if let Some(key) = self.keys.get(index) {
                    files = files.with_key(key);
                }
                match &self.password {
                    Some(password) => files.with_password_file(password),
                    None => files,
                }
            })
    }
}

/// The certificates that were read, for the sockets of the site.
#[derive(Debug)]
pub(crate) struct Tls(TlsConfig);

impl Tls {
    /// Makes a server that speaks HTTPS on `addresses`.
    pub(super) fn bind(
        &self,
        addresses: &[SocketAddr],
        handler: Handler,
        config: ServerConfig,
        loops: NonZeroUsize,
    ) -> io::Result<ThreadingHttpServer<Handler>> {
        ThreadingHttpServer::bind_tls_with(addresses, handler, config, loops, &self.0)
    }

    /// Has a TCP socket speak HTTPS. A UNIX socket stays plain: its peers are on this machine.
    pub(super) fn speak(&self, socket: ListeningSocket) -> ListeningSocket {
        match socket.local_addr() {
            Some(_) => socket.with_tls(&self.0),
            None => socket,
        }
    }

    /// Has a socket redirect to HTTPS on `port`.
    pub(super) fn redirect(&self, socket: ListeningSocket, port: u16) -> ListeningSocket {
        socket.redirecting_to_https(port)
    }
}

impl Options {
    /// Reads the files of `--tls-cert`, if there are any, with the rights that the process has at its start.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, CommandError> {
        if self.tls.certificates.is_empty() {
            return Ok(None);
        }
        Ok(Some(Tls(TlsConfig::from_files(self.tls.pairs())?)))
    }
}
