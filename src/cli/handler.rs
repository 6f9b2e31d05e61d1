//! What the command serves: the files of a directory, behind a password if one is asked for.

use std::borrow::Cow;
use std::os::fd::BorrowedFd;

use httpoll::{
    BaseHttpRequestHandler, BasicAuth, Exchange, HandlerResult, SimpleHttpRequestHandler,
};

/// The handler of the command.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    pub(crate) files: SimpleHttpRequestHandler,
    pub(crate) auth: Option<BasicAuth>,
}

impl BaseHttpRequestHandler for Handler {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match &self.auth {
            Some(auth) if !auth.admits(exchange) => Ok(()),
            _ => self.files.handle_one_request(exchange),
        }
    }

    fn reads_body(&self, command: &str, path: &str) -> bool {
        self.files.reads_body(command, path)
    }

    fn may_change_files(&self) -> bool {
        self.files.may_change_files()
    }

    fn service_actions(&mut self) {
        self.files.service_actions();
    }

    fn event_source(&mut self) -> Option<BorrowedFd<'_>> {
        self.files.event_source()
    }

    fn check_ready(&mut self) -> Result<(), Cow<'static, str>> {
        self.files.check_ready()
    }
}
