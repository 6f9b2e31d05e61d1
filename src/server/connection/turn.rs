//! The steps of a connection: each takes the state, goes on with it, and leaves the state that follows; see the table in
//! [`super::state`]. Every transition is in this file, except those of a passed deadline, which [`Connection::expire`] makes, those of the
//! header in [`super::proxy_header`], and those of the handshake in [`super::handshaking`].
//!
//! Invariant: a step that returns `Continue` has left the next state, and a step that returns anything else but `Close` has left the
//! state to wait in. The data of a state lives in its variant, so nothing has to be reset when the state is left.

use std::io;
use std::mem;
use std::time::Instant;

use super::Connection;
use super::answering::Answering;
use super::arriving::UnfinishedRequest;
use super::lingering::{Discarded, Lingering};
use super::state::{Awaiting, State, Unsent};
use super::then::Then;
use super::unparsed::{Received, Unparsed};
use super::waiting::Waiting;
use crate::handler::BaseHttpRequestHandler;
use crate::http::storage::Storage;
use crate::server::loop_context::LoopContext;
use crate::server::scratch::Scratch;
use crate::wire::next::Next;
use crate::wire::share::Share;
use crate::wire::source::Fill;
use crate::wire::transport::Transport;

/// One call of the loop to a connection, and what the loop lends to it.
pub(super) struct Turn<'t, T, H> {
    pub(super) connection: &'t mut Connection<T>,
    pub(super) share: &'t mut Share,
    pub(super) context: &'t mut LoopContext<H>,
    /// Whether reading has cost all that the connection may use in this turn.
    pub(super) is_spent: bool,
}

impl<'t, T: Transport, H: BaseHttpRequestHandler> Turn<'t, T, H> {
    pub(super) fn new(
        connection: &'t mut Connection<T>,
        share: &'t mut Share,
        context: &'t mut LoopContext<H>,
    ) -> Self {
        share.progress = false;
        Self {
            connection,
            share,
            context,
            is_spent: false,
        }
    }

    /// Goes on with what the loop has read; no bytes mean that the peer has closed its side.
    pub(super) fn answer(
        &mut self,
        received: io::Result<&[u8]>,
        scratch: &mut Scratch,
    ) -> io::Result<Next> {
        let next = match received? {
            [] => self.end_of_stream(false),
            bytes => self.serve(Received::new(bytes), &mut scratch.storage)?,
        };
        match next {
            Next::Continue => self.run(scratch),
            next => Ok(next),
        }
    }

    /// Takes one step after the other.
    pub(super) fn run(&mut self, scratch: &mut Scratch) -> io::Result<Next> {
        loop {
            match self.step(scratch)? {
                Next::Continue => {}
                next => return Ok(next),
            }
        }
    }

    fn step(&mut self, scratch: &mut Scratch) -> io::Result<Next> {
        match mem::take(&mut self.connection.state) {
            State::Reading(unparsed) => self.reading(unparsed, scratch),
            State::ReadingProxyHeader(unparsed) => self.reading_proxy_header(unparsed, scratch),
            State::Handshaking => self.handshaking(&[]),
            State::Parsing(unparsed) => self.serve(unparsed.as_received(), &mut scratch.storage),
            State::ReadingBody(unfinished) => self.reading_body(unfinished, scratch),
            State::WritingHeaders(unsent) | State::Streaming(unsent) => {
                self.sending(unsent, scratch)
            }
            State::Awaiting(awaiting) => self.awaiting(awaiting, &mut scratch.storage),
            State::Lingering(lingering) => self.lingering(lingering, scratch),
            State::Closed => Ok(Next::Close),
        }
    }

    fn reading(
        &mut self,
        unparsed: Option<Box<Unparsed>>,
        scratch: &mut Scratch,
    ) -> io::Result<Next> {
        if self.is_spent {
            self.connection.state = State::Reading(unparsed);
            return Ok(Next::Yield);
        }
        let Scratch { bytes, storage } = scratch;
        let Some(bytes) = self.read_requests(bytes)? else {
            self.connection.state = State::Reading(unparsed);
            return Ok(Next::Wait);
        };
        match unparsed {
            unparsed if bytes.is_empty() => Ok(self.end_of_stream(unparsed.is_some())),
            None => self.serve(Received::new(bytes), storage),
            Some(mut unparsed) => {
                unparsed.bytes.extend_from_slice(bytes);
                // A head that arrives in small pieces is neither searched nor copied from its start each time.
                let mut search = unparsed.search;
                if let Ok(None) = search.search(&unparsed.bytes, self.context.server.config()) {
                    unparsed.search = search;
                    self.connection.state = State::Reading(Some(unparsed));
                    return Ok(Next::Continue);
                }
                self.serve(unparsed.as_received(), storage)
            }
        }
    }

    fn reading_body(
        &mut self,
        unfinished: Box<UnfinishedRequest>,
        scratch: &mut Scratch,
    ) -> io::Result<Next> {
        if self.share.bytes == 0 {
            self.connection.state = State::ReadingBody(unfinished);
            return Ok(Next::Yield);
        }
        let Some(mut bytes) = self.read(&mut scratch.bytes)? else {
            self.connection.state = State::ReadingBody(unfinished);
            return Ok(Next::Wait);
        };
        if bytes.is_empty() {
            return Ok(self.end_of_stream(true));
        }
        self.share.progress = true;
        self.share.bytes = self.share.bytes.saturating_sub(bytes.len());
        let then = self.answering().take_body(unfinished, &mut bytes);
        self.go_on(then, Received::new(bytes), &mut scratch.storage)
    }

    /// Ends the connection, because the peer has closed its side, perhaps within a request.
    #[cold]
    fn end_of_stream(&mut self, in_request: bool) -> Next {
        let transport = &self.connection.transport;
        if transport.is_cut() && (in_request || transport.memory() > 0) {
            self.log_cut();
        }
        self.connection.transport.finish();
        Next::Close
    }

    /// Goes on with what the reply waits for, and makes the reply if it can be made now.
    fn awaiting(&mut self, mut awaiting: Box<Awaiting>, storage: &mut Storage) -> io::Result<Next> {
        let now = self.context.clock.instant;
        let transport = &self.connection.transport;
        let promised = &mut awaiting.promised;
        if let Some(waiting) = promised.waiting.take() {
            promised.waits.add(&waiting.end(transport, now));
        }
        let is_work = promised.coming.is_work();
        let (next, waits_for) = match promised.coming.advance(&mut self.context.allowance) {
            Fill::Done => return self.fulfil(*awaiting, is_work, storage),
            Fill::More => {
                // The deadline is that of one wait for a file, so each slice starts it again.
                self.share.progress = true;
                (Next::Work, Next::Work)
            }
            Fill::NotNow if is_work => (Next::Wait, Next::WaitForDisk),
            Fill::NotNow => (Next::Wait, Next::Wait),
        };
        if self.context.log.has_details() {
            promised.waiting = Waiting::begin(waits_for, false, transport, now);
        }
        self.connection.state = State::Awaiting(awaiting);
        Ok(next)
    }

    /// Makes the reply that was to come later, and answers what was sent after its request.
    fn fulfil(
        &mut self,
        awaiting: Awaiting,
        is_work: bool,
        storage: &mut Storage,
    ) -> io::Result<Next> {
        let Awaiting { promised, unparsed } = awaiting;
        let began = is_work.then(Instant::now);
        let then = self.answering().fulfil(promised);
        let next = self.go_on(then, unparsed.as_received(), storage);
        if let Some(began) = began {
            self.context.allowance.charge(began.elapsed());
        }
        next
    }

    /// Discards what still comes, until the next request begins, the peer closes too, or the time for it is over: a close before
    /// that could reset the connection, and the peer would lose the reply.
    fn lingering(
        &mut self,
        mut lingering: Box<Lingering>,
        scratch: &mut Scratch,
    ) -> io::Result<Next> {
        let now = self.context.clock.instant;
        if lingering.lasted(now) >= self.context.server.config().linger_time {
            return Ok(Next::Close);
        } else if self.share.bytes == 0 {
            self.connection.state = State::Lingering(lingering);
            return Ok(Next::Yield);
        }
        let Some(mut bytes) = self.read(&mut scratch.bytes)? else {
            self.connection.state = State::Lingering(lingering);
            return Ok(Next::Wait);
        };
        if bytes.is_empty() {
            return Ok(Next::Close);
        }
        self.share.bytes = self.share.bytes.saturating_sub(bytes.len());
        let config = self.context.server.config();
        self.share.progress = lingering.may_be_renewed(now, config);
        match lingering.discard(&mut bytes, config) {
            Discarded::Some => {}
            Discarded::All => {
                return self.serve(Received::new(bytes), &mut scratch.storage);
            }
            // No next request will be found. The peer may still have to read the reply.
            Discarded::TooMuch | Discarded::Malformed(_) => {
                self.connection.transport.shutdown()?;
                lingering.discard_all();
            }
        }
        self.connection.state = State::Lingering(lingering);
        Ok(Next::Continue)
    }

    fn sending(&mut self, mut unsent: Box<Unsent>, scratch: &mut Scratch) -> io::Result<Next> {
        unsent.end_wait(&self.connection.transport, self.context.clock.instant);
        let outgoing = &mut unsent.outgoing;
        let is_work = outgoing.body.is_work();
        if is_work && self.context.allowance.is_spent() {
            self.connection.state = State::unsent(unsent);
            self.connection.begin_wait(Next::Work, self.context);
            return Ok(Next::Work);
        }
        let (before, began) = (outgoing.sent(), is_work.then(Instant::now));
        let sent = outgoing.send(&mut self.connection.transport, false, self.share);
        let left = outgoing.sent() - before;
        if let Some(began) = began {
            self.context.allowance.charge(began.elapsed());
        }
        if left > 0 {
            self.share.progress = true;
            unsent.acked = None;
        }
        let is_blocked = outgoing.is_blocked(&sent);
        self.context.server.counters.count_write(left, is_blocked);
        let client = &self.connection.client;
        self.context.log(outgoing, client, sent.is_err());
        if matches!(sent, Err(_) | Ok(Next::Continue)) {
            self.context.finished.take(outgoing);
        }
        let mut next = sent?;
        if next == Next::Continue {
            self.follow(unsent.then, &unsent.unparsed.as_received())?;
            return Ok(next);
        }
        if is_blocked {
            next = self.discard_meanwhile(&mut unsent, scratch)?;
        }
        self.connection.state = State::unsent(unsent);
        self.connection.begin_wait(next, self.context);
        Ok(next)
    }

    /// Discards an unwanted body while the socket takes no more of the reply: the peer may read nothing before it has sent
    /// everything.
    fn discard_meanwhile(
        &mut self,
        unsent: &mut Unsent,
        scratch: &mut Scratch,
    ) -> io::Result<Next> {
        while let Then::Discard(unwanted) = &mut unsent.then {
            if self.share.bytes == 0 {
                return Ok(Next::Yield);
            }
            let Some(mut bytes) = self.read(&mut scratch.bytes)? else {
                break;
            };
            self.share.bytes = self.share.bytes.saturating_sub(bytes.len());
            let is_end = bytes.is_empty();
            match unwanted.discard(&mut bytes, self.context.server.config()) {
                Discarded::Some if !is_end => {}
                Discarded::All => {
                    unsent.unparsed = Unparsed::of(&Received::new(bytes));
                    unsent.then = Then::Parse;
                }
                _ => unsent.then = Then::Linger,
            }
        }
        Ok(Next::Wait)
    }

    /// Goes on with `then`. The requests in `received` are parsed at once if that is [`Then::Parse`], and kept otherwise.
    fn go_on(
        &mut self,
        then: Then,
        received: Received<'_>,
        storage: &mut Storage,
    ) -> io::Result<Next> {
        match then {
            Then::Parse => self.serve(received, storage),
            then => self.send_and_follow(then, &received),
        }
    }

    /// Answers the requests in `received` in order, sends the replies, and leaves the connection in the state that follows.
    pub(super) fn serve(
        &mut self,
        mut received: Received<'_>,
        storage: &mut Storage,
    ) -> io::Result<Next> {
        self.connection.is_new = false;
        loop {
            match self.answering().answer(&mut received, storage) {
                Then::Parse => {}
                follows => return self.send_and_follow(follows, &received),
            }
            let next = self.send_made(false)?;
            if next != Next::Continue {
                return Ok(self.suspend(next, Then::Parse, &received));
            } else if self.share.requests == 0 {
                self.connection.state = State::Parsing(Unparsed::boxed(&received));
                return Ok(Next::Yield);
            } else if received.bytes.is_empty() {
                self.connection.state = State::Reading(None);
                // Fast path: most requests come alone, and the socket has told that there is nothing more to read.
                return Ok(if self.may_read() {
                    Next::Continue
                } else {
                    Next::Wait
                });
            }
        }
    }

    /// Sends the replies, and sets the state for `then`. [`serve`](Self::serve) does both itself for [`Then::Parse`].
    // Not inlined: `Then::Parse` is by far the usual case.
    #[inline(never)]
    fn send_and_follow(&mut self, then: Then, received: &Received<'_>) -> io::Result<Next> {
        let next = self.send_made(matches!(then, Then::Close | Then::Linger))?;
        if next != Next::Continue {
            return Ok(self.suspend(next, then, received));
        }
        self.follow(then, received)?;
        Ok(next)
    }

    /// Keeps the unsent rest of the replies, and what follows them, until the connection can go on.
    fn suspend(&mut self, next: Next, then: Then, received: &Received<'_>) -> Next {
        self.connection.suspend(then, received, self.context);
        self.connection.begin_wait(next, self.context);
        next
    }

    fn answering(&mut self) -> Answering<'_, H> {
        let may_have_sent_more = self.may_read();
        Answering {
            context: self.context,
            client: &mut self.connection.client,
            share: self.share,
            may_have_sent_more,
        }
    }

    /// Sends what was made in this turn. `is_last` says that the end of the stream follows the replies.
    // Inlined into both callers; one runs for every request.
    #[inline(always)]
    fn send_made(&mut self, is_last: bool) -> io::Result<Next> {
        let outgoing = &mut self.context.outgoing;
        let ends = is_last && outgoing.body.is_empty();
        let sent = outgoing.send(&mut self.connection.transport, ends, self.share);
        let is_blocked = outgoing.is_blocked(&sent);
        let counters = &mut self.context.server.counters;
        counters.count_write(outgoing.sent(), is_blocked);
        let next = sent?;
        self.context.log_outgoing(&self.connection.client, false);
        if next == Next::Continue {
            let LoopContext {
                outgoing, finished, ..
            } = &mut *self.context;
            finished.take(outgoing);
            outgoing.clear();
        }
        Ok(next)
    }

    /// Sets the state that follows when everything that was made has left.
    fn follow(&mut self, then: Then, received: &Received<'_>) -> io::Result<()> {
        let now = self.context.clock.instant;
        self.connection.state = match then {
            Then::Parse if received.bytes.is_empty() => State::Reading(None),
            Then::Parse => State::Parsing(Unparsed::boxed(received)),
            Then::ReadHead => State::Reading(Some(Unparsed::boxed(received))),
            Then::ReadBody(unfinished) => State::ReadingBody(unfinished),
            Then::Discard(mut unwanted) => {
                unwanted.restart(now);
                State::Lingering(unwanted)
            }
            Then::Await(promised) => {
                if self.connection.peer_left {
                    promised.note_client_left();
                }
                let (promised, unparsed) = (*promised, Unparsed::of(received));
                State::Awaiting(Box::new(Awaiting { promised, unparsed }))
            }
            Then::Close => {
                self.connection.transport.finish();
                State::Closed
            }
            Then::Linger => {
                self.connection.transport.shutdown()?;
                State::Lingering(Lingering::boxed(now, None))
            }
            Then::Reset => {
                self.connection.transport.reset()?;
                State::Closed
            }
        };
        Ok(())
    }
}
