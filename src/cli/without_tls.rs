//! A program without the feature `tls`: the options of HTTPS are known, and refused.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;

use httpoll::{ListeningSocket, ServerConfig, ServerHandle, ThreadingHttpServer};
use nix::unistd::User;

use super::flags::{FLAGS, Group};
use super::handler::Handler;
use super::typed::Typed;
use super::{CommandError, Options};

/// Refuses the options of HTTPS.
pub(super) fn check(typed: &Typed) -> Result<(), CommandError> {
    let mut flags = FLAGS.iter().filter(|flag| flag.group == Group::Tls);
    match flags.find(|flag| typed.is_given(flag.long)) {
        Some(flag) => Err(CommandError::Usage(format!(
            "{}: this httpoll was built without TLS (feature tls)",
            flag.long
        ))),
        None => Ok(()),
    }
}

/// No certificates: there is no value of this type.
#[derive(Debug)]
pub(crate) struct Tls(Infallible);

impl Tls {
    pub(super) fn bind(
        &self,
        _addresses: &[SocketAddr],
        _handler: Handler,
        _config: ServerConfig,
        _loops: NonZeroUsize,
    ) -> io::Result<ThreadingHttpServer<Handler>> {
        match self.0 {}
    }

    pub(super) fn speak(&self, _socket: ListeningSocket) -> ListeningSocket {
        match self.0 {}
    }

    pub(super) fn redirect(&self, _socket: ListeningSocket, _port: u16) -> ListeningSocket {
        match self.0 {}
    }

    pub(crate) fn start_reader(
        self,
        _server: &ServerHandle,
        _user: Option<&User>,
    ) -> Result<(), CommandError> {
        match self.0 {}
    }
}

impl Options {
    pub(crate) fn tls(&self, _served: Option<&Path>) -> Result<Option<Tls>, CommandError> {
        Ok(None)
    }
}
