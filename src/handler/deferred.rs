//! A reply that another thread gives later, while the loop serves the other connections.
//!
//! Invariant: each promise ends exactly once: its reply is given, or it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::HandlerResult;
use super::exchange::Exchange;
use super::mailbox::{Answer, Mailbox, MessageContent};

/// A promised reply. It can be sent to any thread and kept there for as long as the work takes.
///
/// Requests that the client sent after this one wait for it. If it is dropped without an answer, the client gets a 500.
#[derive(Debug)]
#[must_use = "the client waits for the answer; dropping the promise is a 500"]
pub struct Deferred {
    mailbox: Arc<Mailbox>,
    key: usize,
    serial: u64,
    client_left: Arc<AtomicBool>,
    answered: bool,
}

/// What the loop keeps of a promise.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) serial: u64,
    pub(crate) client_left: Arc<AtomicBool>,
}

impl Deferred {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, key: usize) -> (Self, Promise) {
        let promise = Promise {
            serial: mailbox.next_serial(),
            client_left: Arc::new(AtomicBool::new(false)),
        };
        let deferred = Self {
            mailbox: Arc::clone(mailbox),
            key,
            serial: promise.serial,
            client_left: Arc::clone(&promise.client_left),
            answered: false,
        };
        (deferred, promise)
    }

    /// Gives the reply. `make` runs on the thread of the loop, with the exchange of the request; it should only write down
    /// what is known by then, because the loop waits for it.
    pub fn answer(
        mut self,
        make: impl FnOnce(&mut Exchange<'_>) -> HandlerResult + Send + 'static,
    ) {
        self.answered = true;
        self.post(Some(Answer::Reply(Box::new(make))));
    }

    /// Has the handler answer the request, as if it had come now: for a guard that had to ask another thread first.
    pub fn ask_handler(mut self) {
        self.answered = true;
        self.post(Some(Answer::AskHandler));
    }

    /// Tells whether the client has closed its side meanwhile. It then most likely does not read the answer.
    pub fn client_left(&self) -> bool {
        self.client_left.load(Ordering::Relaxed)
    }

    fn post(&self, answer: Option<Answer>) {
        self.mailbox
            .post(self.key, MessageContent::Answer(self.serial, answer));
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if !self.answered {
            self.post(None);
        }
    }
}
