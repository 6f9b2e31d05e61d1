//! Gives each connection its turn: as its event comes, from a queue, or when its deadline has passed.
//!
//! Invariant: requests that were read into the group are answered before anything closes a connection of it or ends the loop, so
//! no request that was read is lost.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Poll, Token};

use super::connections::{Connections, Eviction, Slot, SlotState};
use super::group::Group;
use super::room_search;
use super::schedule::Schedule;
use super::timers::Timeout;
use super::work_queue::WorkQueue;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::client::Client;
use crate::handler::mailbox::{Message, MessageContent};
use crate::handler::work::Allowance;
use crate::server::connection::Connection;
use crate::server::connection::readable::Readable;
use crate::server::listen::listener::Listener;
use crate::server::listen::protocol::Socket;
use crate::server::loop_context::LoopContext;
use crate::server::scratch::Scratch;
use crate::wire::next::Next;
use crate::wire::share::Share;

/// Bytes that one read takes of a connection at most.
pub(crate) const SCRATCH: usize = 128 * 1024;
/// Deadlines that may pass in one turn, so that a crowd of them does not starve other connections. If there are more, the next
/// turn begins without a wait.
const EXPIRIES: usize = 256;
/// What a request from the queue costs beside its bytes, as bytes that could be sent in the same time.
const REQUEST_COST: usize = 8 * 1024;

/// The connections of one loop with all that a turn of one of them needs.
#[derive(Debug)]
pub(super) struct Dispatcher<H> {
    pub(super) poll: Poll,
    pub(super) context: LoopContext<H>,
    pub(super) connections: Connections,
    pub(super) schedule: Schedule,
    group: Group,
    scratch: Scratch,
}

impl<H: BaseHttpRequestHandler> Dispatcher<H> {
    /// Makes the dispatcher of one of `loops` loops.
    pub(super) fn new(poll: Poll, context: LoopContext<H>, loops: usize) -> Self {
        let config = context.server.config();
        Self {
            poll,
            connections: Connections::new(config, loops),
            schedule: Schedule::new(config),
            group: Group::default(),
            scratch: Scratch::new(SCRATCH),
            context,
        }
    }

    /// Makes the budget of a new turn.
    pub(super) fn begin_turn(&mut self) {
        let server = &self.context.server;
        self.schedule
            .begin_turn(server.config(), server.counters.turns);
        self.context.allowance = WorkQueue::time_at_once();
    }

    /// Takes in a connection of `listener`, and returns whether it did. A connection that is known to have brought its first bytes is
    /// read from at once, and registered only if it stays open.
    pub(super) fn take_in(
        &mut self,
        stream: TcpStream,
        address: SocketAddr,
        listener: &Listener,
    ) -> bool {
        self.context.server.counters.accepted += 1;
        let key = self.connections.next_key();
        let config = self.context.server.config();
        let client = Client::new(address, key, listener.protocol.scheme(), config);
        let mut connection = Connection::new(listener.protocol.open(stream), client, config);
        let wanted = connection.has_room(&self.context.addresses)
            && self
                .context
                .hook(address, |handler| handler.verify_request(address))
                == Some(true);
        if !wanted {
            self.context.server.counters.refused += 1;
            return false;
        }
        // Only the first bytes of a request or of a handshake are read before the connection is registered.
        let is_handshaking = connection.is_handshaking();
        let is_deferred = listener.is_deferred && (is_handshaking || connection.is_idle());
        if !is_deferred && register(connection.transport_mut(), &self.poll, key).is_err() {
            return false;
        }
        connection.start_counting(&mut self.context.addresses);
        self.connections.insert(connection, !is_deferred);
        self.context.hook(address, |handler| handler.setup(address));
        if !is_deferred {
            self.connections.set_deadline(key, true, &self.context);
        } else if is_handshaking {
            self.advance(key, Readable::Bytes);
            self.register_late(key);
        } else {
            self.receive(key);
        }
        true
    }

    /// Registers a connection at the poll that is not registered yet and still open.
    fn register_late(&mut self, key: usize) {
        let Some(slot) = self.connections.get_open(key) else {
            return;
        };
        if !mem::replace(&mut slot.is_registered, true)
            && register(slot.connection.transport_mut(), &self.poll, key).is_err()
        {
            self.close(key);
        }
    }

    /// Reads from a connection that has bytes: into the group where it is idle, else in a turn of its own.
    pub(super) fn receive(&mut self, key: usize) {
        let Some(slot) = self.connections.get_mut(key) else {
            return;
        };
        if slot.state == SlotState::Queued || !slot.connection.is_idle() {
            return self.advance(key, Readable::Bytes);
        }
        let is_registered = slot.is_registered;
        match slot.connection.receive(self.group.room()) {
            Ok(Some(length)) => {
                self.group.push(key, length, is_registered);
                if self.group.is_full() {
                    self.answer_group();
                }
            }
            // The kernel held the connection back until its first bytes, but gave up before any came.
            Ok(None) if !is_registered => {
                self.connections.set_deadline(key, true, &self.context);
                self.register_late(key);
            }
            Ok(None) => self.settle(key, Next::Wait, false),
            Err(error) => self.answer(key, Err(error)),
        }
    }

    /// Answers the requests of the group.
    pub(super) fn answer_group(&mut self) {
        if self.group.is_empty() {
            return;
        }
        self.context.clock.begin_epoch();
        let mut group = mem::take(&mut self.group);
        group.drain(|key, bytes, is_registered| {
            self.answer(key, Ok(bytes));
            if !is_registered {
                self.register_late(key);
            }
        });
        self.group = group;
    }

    /// Gives connections what other threads have sent to them.
    pub(super) fn take_messages(&mut self) {
        self.answer_group();
        for Message { key, content } in self.context.mailbox.take() {
            match (content, self.connections.get_mut(key)) {
                (MessageContent::Wake(waker), _) => waker.is_read(),
                (MessageContent::Answer(serial, answer), Some(slot)) => {
                    slot.connection.deliver(serial, answer);
                }
                (MessageContent::Answer(..), None) => {}
            }
            self.advance(key, Readable::No);
        }
    }

    /// Gives a connection a turn because of an event. If it has more to send than the events have left, it is queued instead; if
    /// it is queued already, it only notes what the event said.
    pub(super) fn advance(&mut self, key: usize, readable: Readable) {
        let Some(slot) = self.connections.get_mut(key) else {
            return;
        };
        let left = slot.connection.left();
        if slot.state == SlotState::Queued {
            slot.connection.hear(readable);
        } else if left > self.schedule.budget.left_for_events() {
            slot.connection.hear(readable);
            slot.connection.await_turn(&self.context);
            slot.state = SlotState::Queued;
            self.schedule.queue.push(key, left);
        } else {
            self.take_turn(key, |connection, share, scratch, context| {
                connection.advance(readable, share, scratch, context)
            });
        }
    }

    /// Answers a connection with the bytes that the group has read from it.
    fn answer(&mut self, key: usize, received: io::Result<&[u8]>) {
        self.take_turn(key, |connection, share, scratch, context| {
            connection.answer(received, share, scratch, context)
        });
    }

    /// Lets a connection `act` with its share for an event.
    // Inlined into both callers; `answer` runs for every request.
    #[inline(always)]
    fn take_turn(
        &mut self,
        key: usize,
        act: impl FnOnce(&mut Connection<Socket>, &mut Share, &mut Scratch, &mut LoopContext<H>) -> Next,
    ) {
        let Some(slot) = self.connections.get_open(key) else {
            return;
        };
        let share = self.schedule.event_share();
        let allowed = share.requests;
        let (scratch, context) = (&mut self.scratch, &mut self.context);
        let next = act(&mut slot.connection, share, scratch, context);
        let progress = share.progress;
        self.schedule.budget.charge_requests(allowed);
        // Fast path: after most events a request was answered, and the connection waits for the next one.
        if next == Next::Wait
            && progress
            && slot.connection.is_idle()
            && slot.keeps_nothing()
            && !context.is_closing
        {
            let now = context.clock.instant;
            return self.connections.await_request(key, now);
        }
        self.settle(key, next, progress);
    }

    /// Gives each connection that works a slice, as long as there is time. After that, only accepting connections does work in this turn.
    pub(super) fn serve_work(&mut self) {
        self.context.allowance = WorkQueue::time_for_slices(self.context.allowance.used());
        // Downloads have the other half of what the events have left.
        let mut bytes = (self.schedule.budget.rest() / 2).max(1);
        for _ in 0..self.schedule.work.len() {
            // The rest is first in the next turn.
            if self.context.allowance.is_spent() || bytes == 0 {
                break;
            }
            let Some(key) = self.schedule.work.pop() else {
                break;
            };
            if let Some(share) = self.take_queued_turn(key, bytes) {
                self.schedule.budget.charge_work(bytes - share.bytes);
                bytes = share.bytes;
            }
        }
        self.context.allowance = Allowance::new(Duration::ZERO);
    }

    /// Gives the connections in the queue their turns, as long as the budget lasts; the rest waits for the next turn.
    pub(super) fn serve_queue(&mut self) {
        for key in self.schedule.disk.due(self.context.clock.instant) {
            if let Some(slot) = self.connections.get_mut(key) {
                slot.connection.await_turn(&self.context);
                self.schedule.queue.push(key, slot.connection.left());
            }
        }
        self.schedule.queue.begin();
        let mut left = self.schedule.budget.rest();
        while left > 0
            && let Some(key) = self.schedule.queue.pop()
        {
            if let Some(share) = self.take_queued_turn(key, left) {
                let requests = self.schedule.budget.answered(&share).max(1);
                let cost = left - share.bytes + requests * REQUEST_COST;
                left = left.saturating_sub(cost);
                self.schedule.queue.charge(cost);
            }
        }
    }

    /// Gives a connection from a queue its turn, with at most `bytes` to send, and returns what is left of its share. `None`
    /// where the connection was closed since.
    fn take_queued_turn(&mut self, key: usize, bytes: usize) -> Option<Share> {
        let slot = self.connections.take_queued(key)?;
        let mut share = self.schedule.queue_share(bytes);
        let (scratch, context) = (&mut self.scratch, &mut self.context);
        let next = slot
            .connection
            .advance(Readable::No, &mut share, scratch, context);
        self.settle(key, next, share.progress);
        Some(share)
    }

    /// Lets each connection act that has a deadline before `now`.
    pub(super) fn expire(&mut self, now: Instant) {
        for _ in 0..EXPIRIES {
            let Some((key, _)) = self.connections.timers.expired(now) else {
                break;
            };
            let slot = self.connections.get_mut(key);
            // A queued connection waits for the loop, not for its peer.
            let Some(slot) = slot.filter(|slot| slot.state == SlotState::Waiting) else {
                continue;
            };
            let share = self.schedule.budget.expiry_share();
            let (scratch, context) = (&mut self.scratch, &mut self.context);
            let next = slot.connection.expire(share, scratch, context);
            let progress = share.progress;
            self.settle(key, next, progress);
        }
    }

    /// Schedules what a connection does next, after its turn.
    fn settle(&mut self, key: usize, next: Next, progress: bool) {
        let Some(slot) = self.connections.get_mut(key) else {
            return;
        };
        let schedule = &mut self.schedule;
        let progress = match next {
            Next::Close => return self.close(key),
            Next::Wait => progress,
            Next::Continue | Next::Yield => {
                slot.state = SlotState::Queued;
                schedule.queue.push(key, slot.connection.left());
                true
            }
            Next::Work => {
                slot.state = SlotState::Queued;
                schedule.work.push(key);
                true
            }
            Next::WaitForDisk => {
                slot.state = SlotState::Queued;
                schedule.disk.push(key, self.context.clock.instant);
                true
            }
        };
        self.connections.set_deadline(key, progress, &self.context);
        self.connections.note_kept(key, &mut self.context);
    }

    fn close(&mut self, key: usize) {
        self.connections.close(key, &mut self.context);
    }

    /// Closes a connection to make room for another one.
    pub(super) fn evict(&mut self, key: usize, reason: Eviction) {
        self.connections.evict(key, reason, &mut self.context);
    }

    /// Closes every connection.
    pub(super) fn close_all(&mut self) {
        self.connections.close_all(&mut self.context);
    }

    /// Frees the slots of closed connections.
    pub(super) fn free_closed(&mut self) {
        self.connections.free_closed(&mut self.context);
    }

    /// Notes that the peer has closed its side, or both (`is_gone`).
    pub(super) fn peer_left(&mut self, key: usize, is_gone: bool) {
        self.connections.peer_left(key, is_gone, &mut self.context);
    }

    /// Finds the connection that makes room for another one, once the requests that have been read are answered.
    pub(super) fn find_room(&mut self) -> Option<usize> {
        let now = self.context.clock.instant;
        if self.connections.room_search.has_failed(now) {
            return None;
        }
        self.answer_group();
        let found = room_search::ORDER
            .into_iter()
            .find_map(|kind| self.find_dispensable(kind));
        self.connections.room_search.note(found.is_some(), now);
        found
    }

    fn find_dispensable(&mut self, kind: Timeout) -> Option<usize> {
        let now = self.context.clock.instant;
        self.connections.candidates(kind).into_iter().find(|key| {
            if kind == Timeout::File {
                return self.give_up_file(*key);
            }
            if kind != Timeout::Send && self.connections.is_dispensable(*key, kind, now) {
                // The rest of its request may have arrived.
                self.advance(*key, Readable::Bytes);
            }
            self.connections.is_dispensable(*key, kind, now)
        })
    }

    /// Gives up waiting for a file that has kept a connection waiting for long: the client gets a 503. Returns whether it has.
    fn give_up_file(&mut self, key: usize) -> bool {
        let now = self.context.clock.instant;
        if !self.connections.is_dispensable(key, Timeout::File, now) {
            return false;
        }
        self.take_turn(key, |connection, share, scratch, context| {
            connection.expire(share, scratch, context)
        });
        true
    }

    /// Whether a request may be on its way on a connection without one.
    pub(super) fn expects_requests(&self) -> bool {
        let now = self.context.clock.instant;
        let mut idle = self.connections.timers.in_order(Timeout::KeepAlive);
        idle.any(|key| self.connections.expects_request(key, now))
    }

    /// Closes the connections on which no request is expected, and lets the others finish: a request that has arrived already
    /// gets its reply.
    pub(super) fn close_idle(&mut self) {
        let now = self.context.clock.instant;
        for key in self.connections.keys() {
            let expects_request = self.connections.expects_request(key, now);
            let may_end = self.connections.get(key).is_some_and(|slot| {
                slot.connection.is_idle()
                    || slot.connection.is_endless()
                    || slot.connection.awaits() == Some(Timeout::Head)
            });
            if may_end {
                self.advance(key, Readable::ToEnd);
            }
            let is_idle = |slot: &mut Slot| slot.connection.is_idle();
            if !expects_request && self.connections.get_open(key).is_some_and(is_idle) {
                self.close(key);
            }
        }
    }
}

/// Registers `socket` at the poll; what has arrived already is an event.
///
/// # Errors
/// The peer is gone, or the kernel has no room for one more socket.
fn register(socket: &mut Socket, poll: &Poll, key: usize) -> io::Result<()> {
    let interest = Interest::READABLE | Interest::WRITABLE;
    poll.registry().register(socket, Token(key), interest)
}
