//! Which connection makes room for another one.
//!
//! Invariant: no connection is closed whose request has arrived and is not answered, for what a connection has sent is read
//! before it goes; and none whose client takes its reply.

use std::time::Duration;

use super::EventLoop;
use crate::handler::BaseHttpRequestHandler;
use crate::server::connection::readable::Readable;
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
pub(super) const CANDIDATES: usize = 64;
/// Time for which a search in vain is not repeated.
const REST: Duration = Duration::from_millis(10);

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Finds the connection that makes room. Requests that have been read are answered before.
    pub(super) fn find_room(&mut self) -> Option<usize> {
        if self.is_searched() {
            return None;
        }
        self.answer_group();
        let found = ORDER
            .into_iter()
            .find_map(|kind| self.find_dispensable(kind));
        self.note_search(found.is_some());
        found
    }

    /// Whether no connection could make room a moment ago.
    pub(super) fn is_searched(&self) -> bool {
        self.searched
            .is_some_and(|then| self.context.clock.instant.saturating_duration_since(then) < REST)
    }

    pub(super) fn note_search(&mut self, has_found: bool) {
        self.searched = (!has_found).then_some(self.context.clock.instant);
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

    pub(super) fn is_dispensable(&self, key: usize, kind: Timeout) -> bool {
        let now = self.context.clock.instant;
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
