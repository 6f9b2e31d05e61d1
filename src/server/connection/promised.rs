//! Replies that come later: given by another thread, made when the loop's own work is done, or of no interest any more because
//! the peer has left.

use std::io;
use std::time::Instant;

use super::Connection;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::mailbox::Answer;
use crate::http::head::HeadSearch;
use crate::server::answering::{Then, Turn};
use crate::server::promised::{Coming, PromisedReply};
use crate::server::state::{Awaiting, State, Step};
use crate::wire::transport::Transport;

impl<T: Transport> Connection<T> {
    /// Makes the reply if it can be made now, and answers what was sent after its request.
    pub(super) fn awaiting<H: BaseHttpRequestHandler>(
        &mut self,
        mut awaiting: Box<Awaiting>,
        turn: &mut Turn<'_, H>,
    ) -> io::Result<Step> {
        let is_work = matches!(awaiting.promised.coming, Coming::Work(_));
        if !turn.context.advance(&mut awaiting.promised.coming) {
            self.state = State::Awaiting(awaiting);
            return Ok(if is_work { Step::Busy } else { Step::Wait });
        }
        let Awaiting { promised, unparsed } = *awaiting;
        let began = is_work.then(Instant::now);
        let stop = turn.fulfil(promised);
        let step = self.serve(&unparsed, HeadSearch::default(), stop, turn);
        if let Some(began) = began {
            turn.context.allowance.charge(began.elapsed());
        }
        step
    }

    /// The reply that is still to come on this connection.
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
        if let Some(PromisedReply { coming, .. }) = self.promised()
            && let Coming::Promised(promise) = coming
            && promise.serial == serial
        {
            *coming = Coming::Given(answer);
        }
    }

    /// The peer has closed its side: whoever makes its replies may want to know.
    pub(crate) fn peer_left(&mut self) {
        self.peer_left = true;
        if let Some(promised) = self.promised() {
            promised.note_client_left();
        }
    }
}
