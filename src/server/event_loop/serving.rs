//! Who may do how much in a turn: small answers as their events come, then work, then the queue of those who need more, within
//! one budget of bytes for the whole turn.
//!
//! Invariant: taking events costs what small answers cost. A body that is begun then fits as a whole into what is left of
//! three quarters of the budget; the last quarter is for the queue in every turn.

use std::io;
use std::time::Instant;

use mio::net::TcpStream;

use super::{EXPIRIES, EventLoop, Slot};
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::server::connection::Connection;
use crate::server::connection::readable::Readable;
use crate::server::loop_context::LoopContext;
use crate::server::scratch::Scratch;
use crate::server::timers::Timeout;
use crate::wire::next::Next;
use crate::wire::share::{Cold, Share};

/// Requests answered while events are taken, before each connection gets one and waits in the queue for more.
const REQUESTS: usize = 1024;
/// What a request costs beside its bytes, as bytes that could be sent in the same time.
const REQUEST_COST: usize = 8 * 1024;

/// What is left of a turn.
#[derive(Debug)]
pub(super) struct Budget {
    /// What the events may use of its bytes.
    share: Share,
    /// Requests that are answered before everybody gets only one.
    requests: usize,
    /// What work has sent.
    worked: usize,
}

impl Budget {
    pub(super) fn new(config: &ServerConfig, turn: u64) -> Self {
        let share = Share {
            bytes: Self::for_events(config),
            requests: 0,
            whole: true,
            cold: Cold::Read,
            turn,
            progress: false,
        };
        Self {
            share,
            requests: REQUESTS,
            worked: 0,
        }
    }

    /// What the events may use. A reply that has to wait is put aside and taken up again, so most are not to.
    fn for_events(config: &ServerConfig) -> usize {
        config.turn_bytes / 4 * 3
    }

    /// What work and the queue may use.
    pub(super) fn rest(&self, config: &ServerConfig) -> usize {
        let used = Self::for_events(config) - self.share.bytes + self.worked;
        config.turn_bytes.max(1).saturating_sub(used)
    }

    /// Takes off what work has sent.
    pub(super) fn charge_work(&mut self, bytes: usize) {
        self.worked += bytes;
    }
}

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Gives a connection what its event is worth; one that is queued has its turn anyway, and only once.
    pub(super) fn advance(&mut self, key: usize, readable: Readable) {
        let Some(slot) = self.connections.get_mut(key) else {
            return;
        };
        let left = slot.connection.left();
        if slot.queued || left > self.budget.share.bytes as u64 {
            slot.connection.hear(readable);
            if !slot.queued {
                slot.queued = true;
                self.queue.push(key, left);
            }
            return;
        }
        self.take_turn(key, |connection, share, scratch, context| {
            connection.advance(readable, share, scratch, context)
        });
    }

    /// Answers a connection with the bytes that the group has read from it.
    pub(super) fn answer(&mut self, key: usize, received: io::Result<&[u8]>) {
        self.take_turn(key, |connection, share, scratch, context| {
            connection.answer(received, share, scratch, context)
        });
    }

    #[inline(always)]
    fn take_turn(
        &mut self,
        key: usize,
        act: impl FnOnce(
            &mut Connection<TcpStream>,
            &mut Share,
            &mut Scratch,
            &mut LoopContext<H>,
        ) -> Next,
    ) {
        let Some(slot) = self.connections.get_mut(key).filter(|slot| !slot.closing) else {
            return;
        };
        let Budget {
            share, requests, ..
        } = &mut self.budget;
        let allowed = self.turn_requests.min(*requests).max(1);
        share.requests = allowed;
        share.cold = self.disk.allows();
        let next = act(
            &mut slot.connection,
            share,
            &mut self.scratch,
            &mut self.context,
        );
        *requests = requests.saturating_sub(allowed - share.requests);
        // What nearly all events come to: a request was answered, and the next one is waited for.
        let progress = share.progress;
        if next == Next::Wait
            && progress
            && slot.connection.is_idle()
            && slot.kept == 0
            && !self.context.draining
        {
            let now = self.context.clock.instant;
            self.timers.arm(key, Timeout::KeepAlive, now);
            return;
        }
        self.settle(key, next, progress);
    }

    /// Gives those who wait in the queue their turn, as long as the budget lasts; the rest waits for the next turn.
    pub(super) fn serve_queue(&mut self) {
        for key in self.disk.due(self.context.clock.instant) {
            if let Some(slot) = self.connections.get(key) {
                self.queue.push(key, slot.connection.left());
            }
        }
        self.queue.begin();
        let mut left = self.budget.rest(self.context.server.config());
        while left > 0
            && let Some(key) = self.queue.pop()
        {
            let Some(slot) = self.connections.get_mut(key).filter(|slot| slot.queued) else {
                // It was closed meanwhile; the slot may have another owner.
                continue;
            };
            slot.queued = false;
            let mut share = Share {
                bytes: left,
                requests: self.turn_requests,
                whole: false,
                cold: self.disk.allows(),
                turn: self.context.server.counters.turns,
                progress: false,
            };
            let next = slot.connection.advance(
                Readable::No,
                &mut share,
                &mut self.scratch,
                &mut self.context,
            );
            let requests = (self.turn_requests - share.requests).max(1);
            let cost = left - share.bytes + requests * REQUEST_COST;
            left = left.saturating_sub(cost);
            self.queue.charge(cost);
            self.settle(key, next, share.progress);
        }
    }

    /// Notes what a connection is waiting for now.
    pub(super) fn settle(&mut self, key: usize, next: Next, progress: bool) {
        let Some(Slot {
            connection, queued, ..
        }) = self.connections.get_mut(key)
        else {
            return;
        };
        let kind = connection.awaits();
        let progress = match next {
            Next::Close => return self.close(key),
            Next::Wait if self.context.draining && connection.is_idle() => {
                return self.close(key);
            }
            Next::Wait => progress,
            Next::Continue | Next::Yield => {
                *queued = true;
                self.queue.push(key, connection.left());
                true
            }
            Next::Work => {
                *queued = true;
                self.work.push(key);
                true
            }
            Next::WaitForDisk => {
                *queued = true;
                self.disk.push(key, self.context.clock.instant);
                true
            }
        };
        let (kind, progress) = match kind {
            // A stream that never ends must not hold up the end of the server.
            _ if self.context.draining && connection.is_endless() => (Some(Timeout::Linger), false),
            // Nor must a request that does not get complete.
            Some(Timeout::Head) if self.context.draining => (Some(Timeout::Linger), false),
            // Nobody may be there to read what comes next.
            None if connection.is_silent() && connection.has_left() => (Some(Timeout::Send), false),
            // What has come of a body is counted when its time is over.
            Some(Timeout::Body) => (kind, false),
            kind => (kind, progress),
        };
        match kind {
            Some(kind) if progress || self.timers.kind(key) != Some(kind) => {
                self.timers.arm(key, kind, self.context.clock.instant);
            }
            Some(_) => {}
            None => self.timers.disarm(key),
        }
        self.note_kept(key);
    }

    /// Ends what has waited for too long.
    pub(super) fn expire(&mut self, now: Instant) {
        for _ in 0..EXPIRIES {
            let Some((key, _)) = self.timers.expired(now) else {
                break;
            };
            // Whoever is queued waits for us, not for the peer.
            let Some(slot) = self.connections.get_mut(key).filter(|slot| !slot.queued) else {
                continue;
            };
            let share = &mut self.budget.share;
            share.requests = 1;
            let next = slot
                .connection
                .expire(share, &mut self.scratch, &mut self.context);
            let progress = share.progress;
            self.settle(key, next, progress);
        }
    }
}
