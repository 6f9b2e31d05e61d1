//! Which connection makes room for another one.
//!
//! Invariant: no connection is closed whose request has arrived and is not answered, and no reply that is on its way. What a
//! connection has sent is read before it goes.

use super::EventLoop;
use crate::handler::BaseHttpRequestHandler;
use crate::server::answering::Readable;
use crate::server::timers::Timeout;

/// Connections go in this order, and of one kind the one first that has waited longest: without a request, with half a head, with
/// a body that no handler wants (its reply has left), with a body that trickles, with a reply that its client does not read.
const ORDER: [Timeout; 5] = [
    Timeout::KeepAlive,
    Timeout::Head,
    Timeout::Linger,
    Timeout::Body,
    Timeout::Send,
];
/// So many connections of each kind are looked at, so that a search in vain costs little.
const CANDIDATES: usize = 16;

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Finds the connection that makes room. Requests that have been read are answered before.
    pub(super) fn find_room(&mut self) -> Option<usize> {
        let now = self.desk.clock.instant;
        if self.no_room == Some(now) {
            return None;
        }
        self.answer_group();
        let found = ORDER
            .into_iter()
            .find_map(|kind| self.find_dispensable(kind));
        // A search in vain is not repeated in the same turn.
        self.no_room = found.is_none().then_some(now);
        found
    }

    fn find_dispensable(&mut self, kind: Timeout) -> Option<usize> {
        let candidates: Vec<_> = self.timers.in_order(kind).take(CANDIDATES).collect();
        candidates.into_iter().find(|key| {
            if kind != Timeout::Send && self.is_dispensable(*key, kind) {
                // The rest of its request may have arrived.
                self.advance(*key, Readable::Bytes);
            }
            self.is_dispensable(*key, kind)
        })
    }

    fn is_dispensable(&self, key: usize, kind: Timeout) -> bool {
        let now = self.desk.clock.instant;
        self.timers.kind(key) == Some(kind)
            && self.connections.get(key).is_some_and(|slot| {
                // Whoever is queued waits for us.
                !slot.queued
                    && !slot.closing
                    && slot
                        .connection
                        .is_dispensable(self.timers.waited(key, now), now)
            })
    }

    /// Closes a connection for the sake of another.
    pub(super) fn evict(&mut self, key: usize) {
        if let Some(slot) = self.connections.get_mut(key) {
            slot.connection.discard_unsent();
        }
        self.close(key);
    }
}
