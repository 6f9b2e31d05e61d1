//! Replies that are promised: given by another thread, or of no interest any more because the peer has left.

use std::sync::atomic::Ordering;

use super::Connection;
use crate::handler::mailbox::Answer;
use crate::server::answering::{PromisedReply, Then};
use crate::server::state::State;
use crate::wire::transport::Transport;

impl<T: Transport> Connection<T> {
    /// The promised reply that is still to come on this connection.
    fn promised(&mut self) -> Option<&mut PromisedReply> {
        match &mut self.state {
            State::Awaiting(awaiting) => Some(&mut awaiting.promised),
            State::WritingHeaders(unsent) | State::Streaming(unsent) => match &mut unsent.then {
                Then::Await(promised) => Some(promised),
                _ => None,
            },
            _ => None,
        }
    }

    /// Takes what a promise came to; a promise of another request, or of another connection that had this key, is void.
    pub(crate) fn deliver(&mut self, serial: u64, answer: Option<Answer>) {
        if let Some(promised) = self
            .promised()
            .filter(|promised| promised.promise.serial == serial)
        {
            promised.answer = Some(answer);
        }
    }

    /// The peer has closed its side: whoever makes its replies may want to know.
    pub(crate) fn peer_left(&mut self) {
        self.peer_left = true;
        if let Some(promised) = self.promised() {
            promised.promise.client_left.store(true, Ordering::Relaxed);
        }
    }
}
