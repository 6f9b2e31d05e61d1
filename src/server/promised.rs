//! Replies that come later, and what they wait for.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::answering::Rest;
use crate::handler::deferred::Promise;
use crate::handler::mailbox::Answer;
use crate::handler::work::Work;
use crate::wire::spool::RequestBody;

/// A request whose reply comes later.
#[derive(Debug)]
pub(crate) struct PromisedReply {
    pub(crate) coming: Coming,
    /// Whether the reply is the last of its connection.
    pub(crate) close: bool,
    /// When the handler was asked for it, for the log.
    pub(crate) started: Instant,
    pub(crate) head: Vec<u8>,
    pub(crate) body: RequestBody,
    pub(crate) rest: Rest,
}

impl PromisedReply {
    /// The client has closed its side. What a thread knows of it, it knows from here.
    pub(crate) fn note_client_left(&self) {
        if let Coming::Promised(promise) = &self.coming {
            promise.client_left.store(true, Ordering::Relaxed);
        }
    }
}

/// What a reply waits for.
#[derive(Debug)]
pub(crate) enum Coming {
    /// Another thread will give it.
    Promised(Promise),
    /// The promise has come to this; `None` where it was dropped.
    Given(Option<Answer>),
    /// The loop itself goes on with it, as far as there is time.
    Work(Box<dyn Work>),
}
