//! One connection, as the loop sees it: what the loop may do with it, and what it may know of it (RFC 9112 §9).
//!
//! Invariant: a call ends only if the connection waits (the kernel said WouldBlock, or another thread, the loop or the disk has to
//! act first), if its share of this turn is spent, or if it closes.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::event_loop::timers::Timeout;
use super::loop_context::LoopContext;
use super::scratch::Scratch;
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::client::Client;
use crate::handler::mailbox::Answer;
use crate::http::request::{RequestError, request_line};
use crate::wire::delivery::Delivery;
use crate::wire::next::Next;
use crate::wire::share::{SMALL, Share};
use crate::wire::transport::Transport;

mod answering;
mod arriving;
mod counting;
mod handshaking;
mod lingering;
pub(crate) mod outgoing;
mod promised;
mod proxy_header;
pub(crate) mod readable;
pub(crate) mod state;
mod then;
mod turn;
mod unparsed;
mod waiting;

use answering::Answering;
use promised::PromisedReply;
use readable::Readable;
use state::{Kept, Purpose, State, Unsent};
use then::Then;
use turn::Turn;
use unparsed::{Received, Unparsed};
use waiting::Waiting;

/// Time for which a connection that has just begun to wait keeps its place, because its next bytes may be on their way.
const ROUND_TRIP: Duration = Duration::from_millis(100);
/// Time after which a reply counts as stalled if nothing of it has left: the round trip of most connections is shorter.
const STALLED: Duration = Duration::from_millis(250);
/// Bytes of a record of TLS, with room for how memory grows.
const RECORD: usize = 32 * 1024;
/// Time after which a request for a file of a slow file system may have to make room.
const SLOW_FILE: Duration = Duration::from_secs(1);

/// One client, generic over its transport so that tests can script every split and every short write.
#[derive(Debug)]
pub(crate) struct Connection<T> {
    transport: T,
    client: Client,
    state: State,
    /// What the last events have told of bytes to read. It is kept until it is acted on, because the poll reports each edge once.
    readable: Readable,
    /// Whether the peer has closed its side. It is kept because the poll reports it once, and a reply that is promised later has to
    /// be told.
    peer_left: bool,
    /// Whether the peer has sent nothing yet.
    is_new: bool,
}

impl<T: Transport> Connection<T> {
    pub(crate) fn new(transport: T, client: Client, config: &ServerConfig) -> Self {
        let begins_with_header = config.proxy_protocol && client.proxied().is_some();
        let state = if begins_with_header {
            State::ReadingProxyHeader(Unparsed::boxed(&Received::new(&[])))
        } else if transport.needs_handshake() {
            State::Handshaking
        } else {
            State::Reading(None)
        };
        Self {
            transport,
            client,
            state,
            readable: Readable::No,
            peer_left: false,
            is_new: true,
        }
    }

    /// Goes as far as the socket and the share allow.
    pub(crate) fn advance<H: BaseHttpRequestHandler>(
        &mut self,
        readable: Readable,
        share: &mut Share,
        scratch: &mut Scratch,
        context: &mut LoopContext<H>,
    ) -> Next {
        self.hear(readable);
        let ended = Turn::new(self, share, context).run(scratch);
        self.end_turn(ended, context)
    }

    /// Reads the first bytes of a request into `room` without answering it: the loop reads from several idle connections, so
    /// that one check of the file system serves them all. `None` where the socket has nothing now, 0 where the peer has
    /// closed its side.
    ///
    /// # Errors
    /// The peer or the network is gone.
    // Inlined into its only caller, which runs for every request.
    #[inline(always)]
    pub(crate) fn receive(&mut self, room: &mut [u8]) -> io::Result<Option<usize>> {
        self.hear(Readable::Bytes);
        self.readable.receive(&mut self.transport, room)
    }

    /// Goes on with the bytes that [`receive`](Self::receive) has read, as far as the socket and the share allow.
    pub(crate) fn answer<H: BaseHttpRequestHandler>(
        &mut self,
        received: io::Result<&[u8]>,
        share: &mut Share,
        scratch: &mut Scratch,
        context: &mut LoopContext<H>,
    ) -> Next {
        let ended = Turn::new(self, share, context).answer(received, scratch);
        self.end_turn(ended, context)
    }

    /// Ends a call of the loop. Between two requests, the connection of a proxy counts for no client.
    // Inlined into both callers, which run for every request.
    #[inline(always)]
    fn end_turn<H: BaseHttpRequestHandler>(
        &mut self,
        ended: io::Result<Next>,
        context: &mut LoopContext<H>,
    ) -> Next {
        if self.client.proxied().is_some() {
            self.stop_counting_client(&mut context.addresses);
        }
        ended.unwrap_or_else(|error| self.disconnect(&error, context))
    }

    /// Counts that the connection has failed. The log gets a message only if the peer does not keep to TLS, not if it is gone.
    #[cold]
    fn disconnect<H: BaseHttpRequestHandler>(
        &mut self,
        error: &io::Error,
        context: &mut LoopContext<H>,
    ) -> Next {
        context.server.counters.disconnects += 1;
        if self.transport.has_failed() {
            let message = format!("TLS failed: {error}");
            context
                .log
                .error(self.client.source(), &context.clock, &message);
        }
        self.abandon(context);
        Next::Close
    }

    /// Notes what an event has told, until the connection acts on it.
    pub(crate) fn hear(&mut self, readable: Readable) {
        self.readable = self.readable.max(readable);
    }

    /// Acts on the deadline of what the connection was waiting for, which has passed.
    pub(crate) fn expire<H: BaseHttpRequestHandler>(
        &mut self,
        share: &mut Share,
        scratch: &mut Scratch,
        context: &mut LoopContext<H>,
    ) -> Next {
        share.progress = true;
        if self.awaits() == Some(Timeout::Send) {
            if self.is_delivered(context) {
                return Next::Wait;
            }
            self.discard_unsent();
        }
        if let State::ReadingBody(unfinished) = &mut self.state
            && unfinished
                .body
                .keeps_pace(context.clock.instant, context.server.config())
        {
            return Next::Wait;
        }
        if let State::Awaiting(awaiting) = &mut self.state {
            awaiting.promised.give_up_file();
            return self.advance(Readable::No, share, scratch, context);
        }
        let head = self.take_head();
        if request_line(&head).is_empty() {
            self.abandon(context);
            return Next::Close;
        }
        let mut answering = Answering {
            context,
            client: &mut self.client,
            share,
            may_have_sent_more: true,
        };
        let then = answering.refuse(RequestError::Timeout, &head);
        self.suspend(then, &Received::new(&[]), context);
        self.advance(Readable::No, share, scratch, context)
    }

    /// Takes out what has arrived of a request that is incomplete; nothing in other states.
    fn take_head(&mut self) -> Vec<u8> {
        match &mut self.state {
            State::Reading(Some(unparsed)) => mem::take(&mut unparsed.bytes),
            State::ReadingBody(unfinished) => unfinished.request.requestline().to_vec(),
            _ => Vec::new(),
        }
    }

    /// Moves what the socket has not taken from the loop's buffer to the connection, so that the buffer is free for the next one.
    fn suspend<H>(&mut self, then: Then, received: &Received<'_>, context: &mut LoopContext<H>) {
        let then = match then {
            // By the time that all has left, the peer may have sent more.
            Then::Close => Then::Linger,
            then => then,
        };
        self.state = State::unsent(Box::new(Unsent {
            outgoing: context.outgoing.split_off(context.clock.instant),
            then,
            unparsed: Unparsed::of(received),
            acked: None,
            waiting: None,
        }));
    }

    /// Notes for the log what the replies wait for from now on, where the connection has `next` to do.
    // Not inlined: nearly every reply leaves at once.
    #[inline(never)]
    fn begin_wait<H>(&mut self, next: Next, context: &LoopContext<H>) {
        if !context.log.has_details() {
            return;
        }
        if let State::WritingHeaders(unsent) | State::Streaming(unsent) = &mut self.state {
            let is_blocked = unsent.outgoing.is_blocked(&Ok(next));
            let awaits_file = next == Next::Wait && unsent.outgoing.body.awaits_file();
            let next = if awaits_file { Next::WaitForDisk } else { next };
            let now = context.clock.instant;
            unsent.waiting = Waiting::begin(next, is_blocked, &self.transport, now);
        }
    }

    /// Notes for the log that the replies wait for the connection's turn from now on, and for nothing else.
    #[inline(never)]
    pub(crate) fn await_turn<H>(&mut self, context: &LoopContext<H>) {
        if let State::WritingHeaders(unsent) | State::Streaming(unsent) = &mut self.state {
            unsent.end_wait(&self.transport, context.clock.instant);
        }
        self.begin_wait(Next::Yield, context);
    }

    /// Makes the close that follows throw away what the kernel holds of a reply. Otherwise megabytes stay there for minutes.
    pub(crate) fn discard_unsent(&mut self) {
        if self.awaits() == Some(Timeout::Send) {
            let _ = self.transport.reset();
        }
    }

    /// Whether the peer reads what the kernel has for it. A stream that never ends is not waited for when the server ends.
    fn is_delivered<H>(&mut self, context: &LoopContext<H>) -> bool {
        let given_up = context.is_closing && self.is_endless();
        match (&mut self.state, self.transport.delivery()) {
            (State::WritingHeaders(unsent) | State::Streaming(unsent), Some(delivery)) => {
                !given_up && unsent.is_delivered(delivery, context.server.config())
            }
            _ => false,
        }
    }

    /// Ends the connection; replies that had begun to leave are logged with what has left of them.
    pub(crate) fn abandon<H: BaseHttpRequestHandler>(&mut self, context: &mut LoopContext<H>) {
        match self.state {
            State::Reading(_) => self.transport.finish(),
            State::Handshaking => context.server.counters.tls_handshakes_failed += 1,
            _ => {}
        }
        context.log_outgoing(&self.client, true);
        context.finished.take(&mut context.outgoing);
        context.outgoing.clear();
        if let State::WritingHeaders(mut unsent) | State::Streaming(mut unsent) =
            mem::take(&mut self.state)
        {
            unsent.end_wait(&self.transport, context.clock.instant);
            context.log(&mut unsent.outgoing, &self.client, true);
            context.finished.take(&mut unsent.outgoing);
        }
    }

    /// Takes the reply that was promised under the number `serial`; `None` where the promise was dropped.
    pub(crate) fn deliver(&mut self, serial: u64, answer: Option<Answer>) {
        if let Some(promised) = self.promised() {
            promised.deliver(serial, answer);
        }
    }

    /// Notes that the peer has closed its side, and tells the thread that makes its reply.
    pub(crate) fn peer_left(&mut self) {
        self.peer_left = true;
        if let Some(promised) = self.promised() {
            promised.note_client_left();
        }
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

    pub(crate) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    pub(crate) fn into_transport(self) -> T {
        self.transport
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.client.peer()
    }

    /// What the connection is waiting for, and so which deadline it has; `None` while only the handler has to act.
    pub(crate) fn awaits(&self) -> Option<Timeout> {
        match &self.state {
            State::Reading(None) if self.is_idle() => Some(Timeout::KeepAlive),
            State::ReadingProxyHeader(_)
            | State::Handshaking
            | State::Reading(_)
            | State::Parsing(_) => Some(Timeout::Head),
            State::ReadingBody(_) => Some(Timeout::Body),
            State::Streaming(unsent) if unsent.outgoing.body.awaits_file() => Some(Timeout::File),
            State::Streaming(unsent) if unsent.outgoing.body.is_idle() => None,
            State::WritingHeaders(_) | State::Streaming(_) => Some(Timeout::Send),
            State::Lingering(_) => Some(Timeout::Linger),
            State::Awaiting(awaiting) if awaiting.promised.coming.is_work() => Some(Timeout::File),
            State::Awaiting(_) | State::Closed => None,
        }
    }

    pub(crate) fn has_left(&self) -> bool {
        self.peer_left
    }

    /// Whether a stream depends on events, which may go on for ever.
    pub(crate) fn is_endless(&self) -> bool {
        matches!(&self.state, State::Streaming(unsent) if unsent.outgoing.body.is_endless())
    }

    /// Whether a stream of a handler has nothing to send until it is woken.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(&self.state, State::Streaming(unsent) if unsent.outgoing.body.is_idle())
            && self.awaits().is_none()
    }

    /// Whether the connection waits for a promised reply, or for a file.
    pub(crate) fn is_awaiting(&self) -> bool {
        matches!(self.state, State::Awaiting(_)) || self.awaits() == Some(Timeout::File)
    }

    /// Whether the connection may be closed so that another one has room, after it has `waited` for what it waits for now: no
    /// reply is on its way to a client that reads it.
    pub(crate) fn is_dispensable(&self, waited: Duration, now: Instant) -> bool {
        match &self.state {
            State::ReadingProxyHeader(_) | State::Handshaking | State::Reading(_) => {
                waited >= ROUND_TRIP
            }
            State::Lingering(lingering) => lingering.lasted(now) >= ROUND_TRIP,
            State::ReadingBody(unfinished) => unfinished.body.trickles(now),
            State::Streaming(_) | State::Awaiting(_) if self.awaits() == Some(Timeout::File) => {
                waited >= SLOW_FILE
            }
            State::WritingHeaders(_) | State::Streaming(_) => {
                let is_stalled = |delivery: Delivery| delivery.stalled >= STALLED;
                waited >= STALLED && self.transport.delivery().is_none_or(is_stalled)
            }
            State::Parsing(_) | State::Awaiting(_) | State::Closed => false,
        }
    }

    /// What the connection keeps in memory until its next event, spooled bodies aside.
    pub(crate) fn kept(&self) -> Kept {
        let stream = self.transport.memory();
        // A client that is slow within a body is not closed because of the record that has arrived or left in part.
        let beyond_a_record = stream.saturating_sub(RECORD);
        let (purpose, bytes) = match &self.state {
            State::ReadingProxyHeader(unparsed) | State::Reading(Some(unparsed)) => {
                (Purpose::Requests, unparsed.bytes.capacity() + stream)
            }
            State::Handshaking | State::Reading(None) => (Purpose::Requests, stream),
            State::Lingering(_) => (Purpose::Requests, beyond_a_record),
            State::ReadingBody(unfinished) => (
                Purpose::Requests,
                unfinished.request.memory() + beyond_a_record,
            ),
            // The handler decides how much more than this it writes into memory at a time.
            State::WritingHeaders(unsent) | State::Streaming(unsent) => (
                Purpose::Replies,
                unsent.outgoing.memory().min(SMALL)
                    + unsent.unparsed.bytes.capacity()
                    + beyond_a_record,
            ),
            // Closing these would not be fair: the client waits for a promised reply, or for its turn.
            _ => return Kept::default(),
        };
        let bytes = bytes.try_into().unwrap_or(u32::MAX);
        Kept { purpose, bytes }
    }

    /// Whether the handshake of TLS is not complete.
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Handshaking)
    }

    /// Whether the connection is between two requests, and nothing of the next one has arrived.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Reading(None)) && self.transport.memory() == 0
    }

    /// Whether the peer has sent nothing yet.
    pub(crate) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Bytes to go until the connection is done with its state, as far as the server can tell.
    pub(crate) fn left(&self) -> u64 {
        match &self.state {
            State::Parsing(unparsed) => unparsed.bytes.len() as u64,
            // The rest of the body is expected to be as long as what has come.
            State::ReadingBody(unfinished) => unfinished.body.length,
            State::Lingering(lingering) => lingering.discarded,
            State::WritingHeaders(unsent) | State::Streaming(unsent) => unsent.outgoing.left(),
            _ => 0,
        }
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod tests;
