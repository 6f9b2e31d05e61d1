//! The connections of one loop: their slots, their deadlines, the memory that they keep, and how they are closed.
//!
//! Invariants:
//! - A slot is freed only after all events of its batch were seen, so a token never means another connection than the one that
//!   its event was for.
//! - What connections keep of requests stays within its limit: the oldest are closed. Beyond the limit for replies, the loop
//!   closes connections with peers that do not read; beyond twice that limit, those that have waited longest.

use std::time::Instant;

use slab::Slab;

use super::kept_memory::KeptMemory;
use super::room_search::{CANDIDATES, RoomSearch};
use super::timers::{Timeout, Timers};
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::server::admin::figures::ConnectionStates;
use crate::server::connection::Connection;
use crate::server::connection::state::{Kept, Purpose};
use crate::server::lifecycle::drain::GRACE;
use crate::server::listen::protocol::Socket;
use crate::server::loop_context::LoopContext;

/// One connection with what the loop knows of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) connection: Connection<Socket>,
    pub(super) state: SlotState,
    /// Whether the socket is registered at the poll. A connection that is accepted together with its first bytes is registered only
    /// if it stays open after they are served.
    pub(super) is_registered: bool,
    /// What the connection kept after its last turn. The two are stored apart to keep the slot small.
    kept: u32,
    kept_for: Purpose,
}

/// What the loop does next with a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotState {
    /// It waits for an event of the socket, or for the deadline.
    Waiting,
    /// It gives the connection a turn without an event: the [`Schedule`](super::schedule::Schedule) has it.
    Queued,
    /// It frees the slot at the end of the turn: the connection is closed.
    Closed,
}

impl Slot {
    fn new(connection: Connection<Socket>, is_registered: bool) -> Self {
        Self {
            connection,
            state: SlotState::Waiting,
            is_registered,
            kept: 0,
            kept_for: Purpose::default(),
        }
    }

    /// Whether the connection kept nothing in memory after its last turn.
    pub(super) fn keeps_nothing(&self) -> bool {
        self.kept == 0
    }

    fn keeps_for(&self, purpose: Purpose) -> bool {
        self.kept_for == purpose && self.kept > 0
    }

    /// Notes what the connection keeps now, and returns what it kept before.
    fn replace_kept(&mut self, now: Kept) -> Kept {
        let before = Kept {
            purpose: self.kept_for,
            bytes: self.kept,
        };
        self.kept = now.bytes;
        self.kept_for = now.purpose;
        before
    }
}

/// Why a connection is closed that could go on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Eviction {
    /// Another one takes its place at the limit on connections.
    Connections,
    /// Another one takes its descriptor, because none is left.
    Descriptors,
    /// All connections together keep too much.
    Memory(Purpose),
}

/// All connections of one loop, by key.
#[derive(Debug)]
pub(super) struct Connections {
    slots: Slab<Slot>,
    /// Keys of closed connections; their slots are freed at the end of the turn.
    closed: Vec<usize>,
    pub(super) timers: Timers,
    memory: KeptMemory,
    pub(super) room_search: RoomSearch,
}

impl Connections {
    /// Makes room for the connections of one of `loops` loops.
    pub(super) fn new(config: &ServerConfig, loops: usize) -> Self {
        Self {
            slots: Slab::new(),
            closed: Vec::new(),
            timers: Timers::new(config),
            memory: KeptMemory::new(config, loops),
            room_search: RoomSearch::default(),
        }
    }

    /// Returns how many connections hold a descriptor, those included that are closed and not freed.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Returns how many connections are open.
    pub(super) fn open(&self) -> usize {
        self.slots.len() - self.closed.len()
    }

    pub(super) fn get(&self, key: usize) -> Option<&Slot> {
        self.slots.get(key)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: usize) -> Option<&mut Slot> {
        self.slots.get_mut(key)
    }

    /// Returns the slot of an open connection.
    #[inline]
    pub(super) fn get_open(&mut self, key: usize) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key);
        slot.filter(|slot| slot.state != SlotState::Closed)
    }

    /// Returns the slot of a connection that has been in a queue and has its turn now. `None` where the connection was closed
    /// since; its key may even be that of another connection.
    pub(super) fn take_queued(&mut self, key: usize) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key);
        let slot = slot.filter(|slot| slot.state == SlotState::Queued)?;
        slot.state = SlotState::Waiting;
        Some(slot)
    }

    pub(super) fn keys(&self) -> Vec<usize> {
        self.slots.iter().map(|(key, _)| key).collect()
    }

    /// Whether a reply is on its way.
    pub(super) fn is_sending(&self) -> bool {
        self.slots
            .iter()
            .any(|(_, slot)| slot.connection.awaits() == Some(Timeout::Send))
    }

    /// Counts the open connections by what they do; there are few enough to look at each.
    pub(super) fn states(&self) -> ConnectionStates {
        let mut states = ConnectionStates::default();
        let slots = self.slots.iter().map(|(_, slot)| slot);
        for slot in slots.filter(|slot| slot.state != SlotState::Closed) {
            *match slot.connection.awaits() {
                Some(Timeout::KeepAlive | Timeout::LastRequest) => &mut states.idle,
                Some(Timeout::Head | Timeout::Body) => &mut states.reading,
                None | Some(Timeout::File) => &mut states.waiting,
                Some(Timeout::Send) => &mut states.sending,
                Some(Timeout::Linger) => &mut states.lingering,
            } += 1;
        }
        states
    }

    /// Returns the key of the connection that is inserted next.
    pub(super) fn next_key(&self) -> usize {
        self.slots.vacant_key()
    }

    /// Takes in a connection that was made with [`next_key`](Self::next_key).
    pub(super) fn insert(&mut self, connection: Connection<Socket>, is_registered: bool) {
        self.slots.insert(Slot::new(connection, is_registered));
    }

    /// Gives a connection that has sent nothing the time to do so.
    #[inline]
    pub(super) fn await_request(&mut self, key: usize, now: Instant) {
        self.timers.arm(key, Timeout::KeepAlive, now);
    }

    /// Whether a request may be on its way on a connection without one: it has had none, or its last reply has just left.
    pub(super) fn expects_request(&self, key: usize, now: Instant) -> bool {
        self.slots
            .get(key)
            .is_some_and(|slot| slot.connection.is_new() || self.timers.waited(key, now) < GRACE)
    }

    /// Sets the deadline of what a connection waits for now; one that it has already starts again only after `progress`.
    pub(super) fn set_deadline<H>(&mut self, key: usize, progress: bool, context: &LoopContext<H>) {
        let Some(slot) = self.slots.get(key) else {
            return;
        };
        match deadline(&slot.connection, progress, context.is_closing) {
            Some((kind, progress)) if progress || self.timers.kind(key) != Some(kind) => {
                self.timers.arm(key, kind, context.clock.instant);
            }
            Some(_) => {}
            None => self.timers.disarm(key),
        }
    }

    /// Notes that the peer has closed its side, or both (`is_gone`). It still gets its reply, but the promise of one is told, and
    /// a silent stream has only as long as a send may take.
    pub(super) fn peer_left<H: BaseHttpRequestHandler>(
        &mut self,
        key: usize,
        is_gone: bool,
        context: &mut LoopContext<H>,
    ) {
        let Some(Slot { connection, .. }) = self.slots.get_mut(key) else {
            return;
        };
        connection.peer_left();
        let is_silent = connection.is_silent();
        if is_gone && (is_silent || connection.is_awaiting()) {
            self.close(key, context);
        } else if is_silent {
            self.timers.arm(key, Timeout::Send, context.clock.instant);
        }
    }

    pub(super) fn close<H: BaseHttpRequestHandler>(
        &mut self,
        key: usize,
        context: &mut LoopContext<H>,
    ) {
        let Some(slot) = self.get_open(key) else {
            return;
        };
        slot.state = SlotState::Closed;
        slot.connection.abandon(context);
        slot.connection.stop_counting(&mut context.addresses);
        let kept = slot.replace_kept(Kept::default());
        self.memory.replace(kept, Kept::default());
        self.timers.disarm(key);
        self.closed.push(key);
    }

    /// Closes a connection to make room for another one, or to get its memory back.
    pub(super) fn evict<H: BaseHttpRequestHandler>(
        &mut self,
        key: usize,
        reason: Eviction,
        context: &mut LoopContext<H>,
    ) {
        if let Some(slot) = self.get_open(key) {
            slot.connection.discard_unsent();
            let counters = &mut context.server.counters;
            *match reason {
                Eviction::Connections => &mut counters.evicted_for_connections,
                Eviction::Descriptors => &mut counters.evicted_for_descriptors,
                Eviction::Memory(Purpose::Requests) => &mut counters.evicted_for_request_memory,
                Eviction::Memory(Purpose::Replies) => &mut counters.evicted_for_reply_memory,
            } += 1;
        }
        self.close(key, context);
    }

    pub(super) fn close_all<H: BaseHttpRequestHandler>(&mut self, context: &mut LoopContext<H>) {
        for key in self.keys() {
            self.close(key, context);
        }
    }

    /// Frees the slots of closed connections, once all events of the turn were seen.
    pub(super) fn free_closed<H: BaseHttpRequestHandler>(&mut self, context: &mut LoopContext<H>) {
        for key in self.closed.drain(..) {
            if let Some(slot) = self.slots.try_remove(key) {
                let address = slot.connection.peer();
                context.hook(address, |handler| handler.finish(address));
            }
        }
    }

    /// Notes what a connection keeps after its turn. Where all connections keep too much, some are closed.
    pub(super) fn note_kept<H: BaseHttpRequestHandler>(
        &mut self,
        key: usize,
        context: &mut LoopContext<H>,
    ) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        let kept = slot.connection.kept();
        let before = slot.replace_kept(kept);
        self.memory.replace(before, kept);
        while self.memory.is_too_much(kept.purpose)
            && let Some(key) = self.find_keeper(kept.purpose, context.clock.instant)
        {
            self.evict(key, Eviction::Memory(kept.purpose), context);
        }
    }

    /// Finds the connection that is closed to get its memory back.
    fn find_keeper(&mut self, purpose: Purpose, now: Instant) -> Option<usize> {
        let keeps = |key: &usize| {
            let slot = self.slots.get(*key);
            slot.is_some_and(|slot| slot.keeps_for(purpose))
        };
        let keepers = |kind| self.timers.in_order(kind).filter(keeps);
        let waits = |key: &usize| {
            let slot = self.slots.get(*key);
            slot.is_some_and(|slot| slot.state != SlotState::Queued)
        };
        match purpose {
            Purpose::Requests => keepers(Timeout::Head)
                .chain(keepers(Timeout::Body))
                .chain(keepers(Timeout::Linger))
                .find(waits),
            Purpose::Replies if self.memory.is_far_too_much(purpose) => {
                keepers(Timeout::Send).find(waits)
            }
            Purpose::Replies if self.room_search.has_failed(now) => None,
            Purpose::Replies => {
                let is_unread = |key: &usize| self.is_dispensable(*key, Timeout::Send, now);
                let found = keepers(Timeout::Send).take(CANDIDATES).find(is_unread);
                self.room_search.note(found.is_some(), now);
                found
            }
        }
    }

    /// Returns the connections that have waited longest with a deadline of `kind`.
    pub(super) fn candidates(&self, kind: Timeout) -> Vec<usize> {
        self.timers.in_order(kind).take(CANDIDATES).collect()
    }

    /// Whether a connection waits with a deadline of `kind`, and may be closed to make room.
    pub(super) fn is_dispensable(&self, key: usize, kind: Timeout, now: Instant) -> bool {
        let waited = self.timers.waited(key, now);
        self.timers.kind(key) == Some(kind)
            && self.slots.get(key).is_some_and(|slot| {
                slot.state == SlotState::Waiting && slot.connection.is_dispensable(waited, now)
            })
    }
}

/// Returns the deadline that a connection has, and whether it starts again; `progress` says whether anything has moved.
fn deadline(
    connection: &Connection<Socket>,
    progress: bool,
    is_closing: bool,
) -> Option<(Timeout, bool)> {
    match connection.awaits() {
        // A stream that never ends must not hold up the end of the server.
        _ if is_closing && connection.is_endless() => Some((Timeout::Linger, false)),
        // Nor must a request that stays incomplete.
        Some(Timeout::Head) if is_closing => Some((Timeout::Linger, false)),
        // A reply that allowed another request has just left.
        Some(Timeout::KeepAlive) if is_closing => Some((Timeout::LastRequest, false)),
        // The peer has closed its side and may not read what comes next.
        None if connection.is_silent() && connection.has_left() => Some((Timeout::Send, false)),
        // A handshake has one deadline, however many parts it comes in.
        Some(Timeout::Head) if connection.is_handshaking() => Some((Timeout::Head, false)),
        // What has arrived of a body is counted when its time is over.
        Some(Timeout::Body) => Some((Timeout::Body, false)),
        kind => kind.map(|kind| (kind, progress)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_idle_connection_costs_no_more_than_its_slot() {
        // mio keeps 8 more bytes in each socket of a build for debugging.
        let debug = if cfg!(debug_assertions) { 8 } else { 0 };
        // The pointer to the state of TLS, where that is compiled in.
        let tls = if cfg!(feature = "tls") { 8 } else { 0 };
        assert!(size_of::<Slot>() <= 72 + debug + tls);
    }
}
