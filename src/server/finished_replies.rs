//! The replies that have left in a turn of the loop, until its end says how long their requests took.
//!
//! Invariant: a request that is answered in the turn in which it was read costs one addition, and no look at the clock.

use std::mem;
use std::time::{Duration, Instant};

use super::connection::outgoing::Outgoing;
use crate::handler::durations::Durations;

/// The replies that have left in this turn, or whose connection broke.
#[derive(Debug, Default)]
pub(crate) struct FinishedReplies {
    /// How many belong to requests of this turn.
    of_this_turn: u64,
    /// When the requests of the others began, and how many began together.
    of_earlier_turns: Vec<(Instant, u32)>,
}

impl FinishedReplies {
    /// Takes the replies of `outgoing`, which has left or is given up.
    #[inline]
    pub(crate) fn take(&mut self, outgoing: &mut Outgoing) {
        let replies = mem::take(&mut outgoing.unfinished);
        match outgoing.began {
            None => self.of_this_turn += u64::from(replies),
            Some(began) if replies > 0 => self.of_earlier_turns.push((began, replies)),
            Some(_) => {}
        }
    }

    /// Counts the replies of the turn that `lasted` so long and `ended` then.
    #[inline]
    pub(crate) fn count(&mut self, durations: &mut Durations, lasted: Duration, ended: Instant) {
        let of_this_turn = mem::take(&mut self.of_this_turn);
        if of_this_turn > 0 {
            durations.record(lasted, of_this_turn);
        }
        if !self.of_earlier_turns.is_empty() {
            self.count_earlier(durations, ended);
        }
    }

    fn count_earlier(&mut self, durations: &mut Durations, ended: Instant) {
        for (began, replies) in self.of_earlier_turns.drain(..) {
            durations.record(ended.saturating_duration_since(began), replies.into());
        }
    }
}
