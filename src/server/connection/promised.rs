//! A reply that comes later, promised by another thread or waiting for work of the loop, with the request that it is for.

use std::time::Instant;

use super::lingering::Lingering;
use super::waiting::Waiting;
use crate::handler::ending::Coming;
use crate::handler::mailbox::Answer;
use crate::handler::waits::Waits;
use crate::http::request::owned::OwnedRequest;
use crate::wire::spool::RequestBody;

/// A request that waits for its reply.
#[derive(Debug)]
pub(crate) struct PromisedReply {
    pub(crate) coming: Coming,
    /// Whether the reply is the last one of its connection.
    pub(crate) close: bool,
    /// The user that the handler has found to send the request, for the log.
    pub(crate) user: Option<Box<str>>,
    /// When the handler was asked for the reply, for the log.
    pub(crate) started: Instant,
    /// What the reply waits for, if the log says it, and what it has waited for.
    pub(crate) waiting: Option<Waiting>,
    pub(crate) waits: Waits,
    pub(crate) request: OwnedRequest,
    pub(crate) body: RequestBody,
    pub(crate) rest: Rest,
}

/// What is still to come of a request when it is answered.
#[derive(Debug)]
pub(crate) enum Rest {
    Nothing,
    /// The rest of a body that the handler does not want: it is discarded when the reply has left.
    Unwanted(Box<Lingering>),
    /// More than the server is willing to read, so this reply is the last one.
    Unread,
}

impl PromisedReply {
    /// Tells the thread that makes the reply, or its work, that the client has closed its side.
    pub(crate) fn note_client_left(&self) {
        self.coming.note_client_left();
    }

    /// Gives up waiting for a file: the client gets a 503.
    pub(crate) fn give_up_file(&mut self) {
        self.coming = Coming::Given(Some(Answer::Reply(Box::new(|exchange| {
            exchange.send_file_unavailable();
            Ok(())
        }))));
    }

    /// Takes the reply that was promised under the number `serial`; `None` where the promise was dropped. Ignores the reply to an
    /// earlier request, or to an earlier connection with the same key.
    pub(crate) fn deliver(&mut self, serial: u64, answer: Option<Answer>) {
        if let Coming::Promised(promise) = &self.coming
            && promise.serial == serial
        {
            self.coming = Coming::Given(answer);
        }
    }
}
