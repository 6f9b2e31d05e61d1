//! The state machine of one connection (RFC 9112 §9). Every transition is in this file, or in [`lingering`] where what comes
//! is discarded.
//!
//! Invariant: a call to [`Connection::advance`] ends only by *wait* (the kernel said WouldBlock), *yield* (its share of this
//! turn is spent) or *close*. The data of a state lives in its variant, so leaving the state is the reset.

use std::io;
use std::mem;
use std::time::Instant;

use super::answering::{Readable, Stop, Then, Turn, UnfinishedRequest};
use super::loop_context::{Client, LoopContext};
use super::state::{Awaiting, Outcome, State, Step, Unparsed, Unsent};
use super::timers::Timeout;
use crate::handler::BaseHttpRequestHandler;
use crate::http::head::HeadSearch;
use crate::http::request::{RequestError, request_line};
use crate::wire::buffer::Sent;
use crate::wire::share::Share;
use crate::wire::transport::Transport;

pub(crate) mod lingering;
mod promised;
mod status;

use lingering::Lingering;

/// Bytes that are read of requests at a time: of a client that does not read its replies, as many are kept.
const MAX_PIPELINED: usize = 32 * 1024;

/// One client, generic over its transport so that tests can script every split and every short write.
#[derive(Debug)]
pub(crate) struct Connection<T> {
    transport: T,
    client: Client,
    state: State,
    /// What the socket has said of bytes to read, which it will not say again.
    readable: Readable,
    /// That the peer has closed its side is said once too, and replies may be promised after it.
    peer_left: bool,
}

impl<T: Transport> Connection<T> {
    pub(crate) fn new(transport: T, client: Client) -> Self {
        Self {
            transport,
            client,
            state: State::Reading(None),
            readable: Readable::No,
            peer_left: false,
        }
    }

    /// Goes as far as the socket and its share of this turn allow; `scratch` is where bytes are read to.
    pub(crate) fn advance<H: BaseHttpRequestHandler>(
        &mut self,
        readable: Readable,
        share: &mut Share,
        scratch: &mut [u8],
        context: &mut LoopContext<H>,
    ) -> Outcome {
        self.hear(readable);
        self.take_turn(share, context, |connection, turn| {
            connection.run(Step::Next, scratch, turn)
        })
    }

    /// Reads the first bytes of a request into `room` without answering it: the loop reads from several idle connections, so
    /// that one look at the file system serves them all. `None` where the socket has nothing now, 0 where the peer has
    /// closed its side.
    ///
    /// # Errors
    /// The peer or the network is gone.
    pub(crate) fn receive(&mut self, room: &mut [u8]) -> io::Result<Option<usize>> {
        self.hear(Readable::Bytes);
        self.readable.receive(&mut self.transport, room)
    }

    /// Goes on with the bytes that [`receive`](Self::receive) has read, as far as the socket and the share allow.
    pub(crate) fn answer<H: BaseHttpRequestHandler>(
        &mut self,
        received: io::Result<&[u8]>,
        share: &mut Share,
        scratch: &mut [u8],
        context: &mut LoopContext<H>,
    ) -> Outcome {
        self.take_turn(share, context, |connection, turn| {
            let step = match received? {
                [] => Step::Close,
                bytes => connection.serve(bytes, HeadSearch::default(), None, turn)?,
            };
            if matches!(step, Step::Next) && connection.has_nothing_to_do(turn) {
                return Ok(Outcome::Wait {
                    progress: turn.progress,
                });
            }
            connection.run(step, scratch, turn)
        })
    }

    #[inline(always)]
    fn take_turn<H: BaseHttpRequestHandler>(
        &mut self,
        share: &mut Share,
        context: &mut LoopContext<H>,
        act: impl FnOnce(&mut Self, &mut Turn<'_, H>) -> io::Result<Outcome>,
    ) -> Outcome {
        let mut turn = Turn {
            context,
            client: self.client,
            readable: self.readable,
            share,
            progress: false,
        };
        let outcome = act(self, &mut turn);
        self.readable = turn.readable;
        outcome.unwrap_or_else(|_| {
            // The peer or the network is gone: a matter of counters, not of messages.
            turn.context.server.counters.disconnects += 1;
            self.abandon(turn.context);
            Outcome::Close
        })
    }

    /// Notes what an event has told, until it is acted upon.
    pub(crate) fn hear(&mut self, readable: Readable) {
        self.readable = self.readable.max(readable);
    }

    /// The deadline of what the connection was waiting for has passed.
    pub(crate) fn expire<H: BaseHttpRequestHandler>(
        &mut self,
        share: &mut Share,
        scratch: &mut [u8],
        context: &mut LoopContext<H>,
    ) -> Outcome {
        if self.awaits() == Some(Timeout::Send) {
            if self.is_delivered(context) {
                return Outcome::Wait { progress: true };
            }
            self.discard_unsent();
        }
        if let State::ReadingBody(request) = &mut self.state
            && request.keeps_pace(context.clock.instant, context.server.config())
        {
            return Outcome::Wait { progress: true };
        }
        let head = match &mut self.state {
            State::Reading(Some(unparsed)) => mem::take(&mut unparsed.bytes),
            State::ReadingBody(request) => mem::take(&mut request.head),
            _ => Vec::new(),
        };
        if request_line(&head).is_empty() {
            self.abandon(context);
            return Outcome::Close;
        }
        context.refuse(RequestError::Timeout, &head, self.client);
        self.suspend(Then::Linger, &[], context);
        self.advance(Readable::No, share, scratch, context)
    }

    /// Has the close that follows throw away what the kernel holds of a reply. A mere close would leave it megabytes for minutes.
    pub(crate) fn discard_unsent(&mut self) {
        if self.awaits() == Some(Timeout::Send) {
            let _ = self.transport.reset();
        }
    }

    /// Whether the peer reads what the kernel has for it. A stream that never ends is not waited for when the server ends.
    fn is_delivered<H>(&mut self, context: &LoopContext<H>) -> bool {
        let given_up = context.draining && self.is_endless();
        match (&mut self.state, self.transport.delivery()) {
            (State::WritingHeaders(unsent) | State::Streaming(unsent), Some(delivery)) => {
                !given_up && unsent.is_delivered(delivery, context.server.config())
            }
            _ => false,
        }
    }

    /// Ends the connection; replies that had begun to leave are logged with what has left of them.
    pub(crate) fn abandon<H: BaseHttpRequestHandler>(&mut self, context: &mut LoopContext<H>) {
        context.log_scratch(self.client, true);
        context.outgoing.clear();
        if let State::WritingHeaders(mut unsent) | State::Streaming(mut unsent) =
            mem::take(&mut self.state)
        {
            context.log(&mut unsent.outgoing, self.client, true);
        }
    }

    /// Whether only the socket can tell more, as after most replies.
    #[inline(always)]
    fn has_nothing_to_do<H>(&self, turn: &Turn<'_, H>) -> bool {
        turn.readable == Readable::No && matches!(self.state, State::Reading(_))
    }

    /// Takes one step after the other, from what the `step` before has come to.
    fn run<H: BaseHttpRequestHandler>(
        &mut self,
        mut step: Step,
        scratch: &mut [u8],
        turn: &mut Turn<'_, H>,
    ) -> io::Result<Outcome> {
        loop {
            match step {
                Step::Next => {}
                Step::Wait => {
                    return Ok(Outcome::Wait {
                        progress: turn.progress,
                    });
                }
                Step::Yield => return Ok(Outcome::Yield),
                Step::Busy => return Ok(Outcome::Busy),
                Step::Cold => return Ok(Outcome::Cold),
                Step::Close => return Ok(Outcome::Close),
            }
            if self.has_nothing_to_do(turn) {
                return Ok(Outcome::Wait {
                    progress: turn.progress,
                });
            }
            step = match mem::take(&mut self.state) {
                State::Reading(unparsed) => self.reading(unparsed, scratch, turn)?,
                State::Parsing(unparsed) => {
                    self.serve(&unparsed.bytes, unparsed.search, None, turn)?
                }
                State::ReadingBody(request) => self.reading_body(request, scratch, turn)?,
                State::WritingHeaders(unsent) | State::Streaming(unsent) => {
                    self.sending(unsent, scratch, turn)?
                }
                State::Awaiting(awaiting) => self.awaiting(awaiting, turn)?,
                State::Lingering(lingering) => self.lingering(lingering, scratch, turn)?,
                State::Closed => Step::Close,
            };
        }
    }

    fn reading<H: BaseHttpRequestHandler>(
        &mut self,
        unparsed: Option<Box<Unparsed>>,
        scratch: &mut [u8],
        turn: &mut Turn<'_, H>,
    ) -> io::Result<Step> {
        let length = scratch.len().min(MAX_PIPELINED);
        let room = scratch.get_mut(..length).unwrap_or_default();
        let Some(bytes) = self.read(room, turn)? else {
            self.state = State::Reading(unparsed);
            return Ok(Step::Wait);
        };
        match unparsed {
            _ if bytes.is_empty() => Ok(Step::Close),
            None => self.serve(bytes, HeadSearch::default(), None, turn),
            Some(mut unparsed) => {
                unparsed.bytes.extend_from_slice(bytes);
                // A slow drip is neither searched nor copied again and again.
                let mut search = unparsed.search;
                if let Ok(None) = search.search(&unparsed.bytes, turn.context.server.config()) {
                    unparsed.search = search;
                    self.state = State::Reading(Some(unparsed));
                    return Ok(Step::Next);
                }
                self.serve(&unparsed.bytes, unparsed.search, None, turn)
            }
        }
    }

    fn reading_body<H: BaseHttpRequestHandler>(
        &mut self,
        request: Box<UnfinishedRequest>,
        scratch: &mut [u8],
        turn: &mut Turn<'_, H>,
    ) -> io::Result<Step> {
        if turn.share.bytes == 0 {
            self.state = State::ReadingBody(request);
            return Ok(Step::Yield);
        }
        let Some(mut bytes) = self.read(scratch, turn)? else {
            self.state = State::ReadingBody(request);
            return Ok(Step::Wait);
        };
        if bytes.is_empty() {
            return Ok(Step::Close);
        }
        turn.progress = true;
        turn.share.bytes = turn.share.bytes.saturating_sub(bytes.len());
        let stop = turn.take_body(request, &mut bytes);
        self.serve(bytes, HeadSearch::default(), stop, turn)
    }

    /// Reads once: `None` where the socket has nothing now, no bytes where the peer has closed its side.
    fn read<'s, H>(
        &mut self,
        scratch: &'s mut [u8],
        turn: &mut Turn<'_, H>,
    ) -> io::Result<Option<&'s [u8]>> {
        if turn.readable == Readable::No {
            return Ok(None);
        }
        let length = turn.readable.receive(&mut self.transport, scratch)?;
        // What is read now is later than every look at the file system until now.
        turn.context.clock.begin_epoch();
        Ok(length.and_then(|length| scratch.get(..length)))
    }

    /// Answers the requests in `bytes` in order, sends the answers, and leaves the connection in the state that follows.
    /// `stop` is what is already known to follow from the bytes before.
    fn serve<H: BaseHttpRequestHandler>(
        &mut self,
        mut bytes: &[u8],
        mut search: HeadSearch,
        mut stop: Option<Stop>,
        turn: &mut Turn<'_, H>,
    ) -> io::Result<Step> {
        loop {
            let stop = stop
                .take()
                .unwrap_or_else(|| turn.answer(&mut bytes, &mut search));
            let sent = turn.context.outgoing.send(&mut self.transport, turn.share);
            let left = turn.context.outgoing.sent();
            let is_partial = matches!(sent, Ok(Sent::Wait));
            turn.context.server.counters.count_write(left, is_partial);
            let sent = sent?;
            turn.context.log_scratch(self.client, false);
            if sent != Sent::All {
                self.suspend(stop.into(), bytes, turn.context);
                return Ok(sent.into());
            }
            turn.context.outgoing.clear();
            match stop {
                Stop::Send if turn.share.requests == 0 => {
                    self.state = State::Parsing(Unparsed::boxed(bytes, HeadSearch::default()));
                    return Ok(Step::Yield);
                }
                Stop::Send => {}
                Stop::Incomplete if !bytes.is_empty() => {
                    self.state = State::Reading(Some(Unparsed::boxed(bytes, search)));
                    return Ok(Step::Next);
                }
                stop => {
                    self.follow(stop.into(), bytes, turn.context)?;
                    return Ok(Step::Next);
                }
            }
        }
    }

    /// Keeps what the socket did not take; the loop's scratch begins anew.
    fn suspend<H>(&mut self, then: Then, unparsed: &[u8], context: &mut LoopContext<H>) {
        let then = match then {
            // By the time that all has left, the peer may have sent more.
            Then::Close => Then::Linger,
            then => then,
        };
        let outgoing = context.outgoing.split_off();
        self.state = State::unsent(Box::new(Unsent {
            outgoing,
            then,
            unparsed: unparsed.to_vec(),
            acked: None,
        }));
    }

    fn sending<H: BaseHttpRequestHandler>(
        &mut self,
        mut unsent: Box<Unsent>,
        scratch: &mut [u8],
        turn: &mut Turn<'_, H>,
    ) -> io::Result<Step> {
        let outgoing = &mut unsent.outgoing;
        let is_work = outgoing.body.is_work();
        if is_work && turn.context.allowance.is_spent() {
            self.state = State::unsent(unsent);
            return Ok(Step::Busy);
        }
        let (before, began) = (outgoing.sent(), is_work.then(Instant::now));
        let sent = outgoing.send(&mut self.transport, turn.share);
        let left = outgoing.sent() - before;
        if let Some(began) = began {
            turn.context.allowance.charge(began.elapsed());
        }
        if left > 0 {
            turn.progress = true;
            unsent.acked = None;
        }
        let is_partial = matches!(sent, Ok(Sent::Wait));
        turn.context.server.counters.count_write(left, is_partial);
        turn.context.log(outgoing, self.client, sent.is_err());
        match sent? {
            Sent::All => self
                .follow(unsent.then, &unsent.unparsed, turn.context)
                .map(|()| Step::Next),
            sent => {
                let step = match sent {
                    Sent::Wait => self.discard_meanwhile(&mut unsent, scratch, turn)?,
                    sent => sent.into(),
                };
                self.state = State::unsent(unsent);
                Ok(step)
            }
        }
    }

    /// Everything that was made has left.
    #[inline(always)]
    fn follow<H>(
        &mut self,
        then: Then,
        unparsed: &[u8],
        context: &LoopContext<H>,
    ) -> io::Result<()> {
        self.state = match then {
            Then::Parse if unparsed.is_empty() => State::Reading(None),
            Then::Parse => State::Parsing(Unparsed::boxed(unparsed, HeadSearch::default())),
            Then::ReadBody(request) => State::ReadingBody(request),
            Then::Discard(mut unwanted) => {
                unwanted.restart(context.clock.instant);
                State::Lingering(unwanted)
            }
            Then::Await(promised) => {
                if self.peer_left {
                    promised.note_client_left();
                }
                let (promised, unparsed) = (*promised, unparsed.to_vec());
                State::Awaiting(Box::new(Awaiting { promised, unparsed }))
            }
            Then::Close => State::Closed,
            Then::Linger => {
                self.transport.shutdown()?;
                State::Lingering(Lingering::boxed(context.clock.instant, None))
            }
            Then::Reset => {
                self.transport.reset()?;
                State::Closed
            }
        };
        Ok(())
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod tests;
