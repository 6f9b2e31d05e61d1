//! The figures of each loop, which the loop gives when it is asked for them, so that counting needs neither locks nor atomics.
//!
//! Invariant: a loop that hangs keeps the figures that it gave last, so no sum ever falls.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::handler::counters::Counters;

/// How many open connections are in each state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionStates {
    /// Between two requests.
    pub(crate) idle: u64,
    /// A request is arriving.
    pub(crate) reading: u64,
    /// The handler, and not the peer, has to act.
    pub(crate) waiting: u64,
    /// A reply is on its way.
    pub(crate) sending: u64,
    /// The rest of what the peer sends is discarded.
    pub(crate) lingering: u64,
}

/// What one loop has counted until it was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) counters: Counters,
    pub(crate) states: ConnectionStates,
    pub(crate) given: Instant,
}

/// The last figures of one loop, and whether it is asked for new ones.
#[derive(Debug)]
pub(crate) struct PublishedFigures(Mutex<Published>);

#[derive(Debug)]
struct Published {
    is_asked: bool,
    has_ended: bool,
    last: Figures,
}

impl Default for PublishedFigures {
    fn default() -> Self {
        let last = Figures {
            counters: Counters::default(),
            states: ConnectionStates::default(),
            given: Instant::now(),
        };
        Self(Mutex::new(Published {
            is_asked: false,
            has_ended: false,
            last,
        }))
    }
}

impl PublishedFigures {
    pub(crate) fn ask(&self) {
        self.lock().is_asked = true;
    }

    /// Keeps the figures if they were asked for, and returns whether they were.
    pub(crate) fn give(&self, figures: impl FnOnce() -> Figures) -> bool {
        let mut published = self.lock();
        let is_asked = published.is_asked;
        if is_asked {
            published.is_asked = false;
            published.last = figures();
        }
        is_asked
    }

    /// Whether there is nothing to wait for: the loop has given what it was asked for, or has ended.
    pub(crate) fn are_given(&self) -> bool {
        let published = self.lock();
        !published.is_asked || published.has_ended
    }

    pub(crate) fn last(&self) -> Figures {
        self.lock().last
    }

    /// Notes that the loop has ended, and with it all of its connections.
    pub(crate) fn end(&self) {
        let mut published = self.lock();
        published.has_ended = true;
        published.last.states = ConnectionStates::default();
    }

    pub(crate) fn have_ended(&self) -> bool {
        self.lock().has_ended
    }

    /// Takes the lock even if it is poisoned, because a panic cannot leave the figures half changed.
    fn lock(&self) -> MutexGuard<'_, Published> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
