//! Work that a reply waits for: the loop does a slice of it turn by turn, or a file thread does it.
//!
//! Invariant: work is charged by the time that it takes of the loop. The loop sets the allowance for each part of its turn, and no slice
//! begins once that is spent.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::exchange::Exchange;
use crate::wire::source::Fill;

/// What must be done before a reply can be made. If the client leaves earlier, the work is dropped.
pub(crate) trait Work: Send {
    /// Does one slice at most, until the time `until`. [`Fill::Done`]: the reply can be made now. [`Fill::NotNow`]: a file thread has
    /// to finish a job first, and wakes the connection then. Each call does at least a little, even if the time is over.
    fn advance(&mut self, until: Instant) -> Fill;

    /// Notes that the client has closed its side. It may still read the reply.
    fn note_client_left(&self) {}

    /// Makes the reply.
    ///
    /// # Errors
    /// The work has failed; the client gets a 500.
    fn reply(self: Box<Self>, exchange: &mut Exchange<'_>) -> io::Result<()>;
}

impl fmt::Debug for dyn Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Work")
    }
}

/// Time that work may take before the loop turns to something else.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: Duration,
    used: Duration,
}

impl Allowance {
    pub(crate) fn new(left: Duration) -> Self {
        let used = Duration::ZERO;
        Self { left, used }
    }

    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// The time that was used, which may be more than there was.
    pub(crate) fn used(&self) -> Duration {
        self.used
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.left.is_zero()
    }

    /// Does `work`, which is told when the time will be over, and charges what it took.
    pub(crate) fn spend<R>(&mut self, work: impl FnOnce(Instant) -> R) -> R {
        let began = Instant::now();
        let result = work(began + self.left);
        self.charge(began.elapsed());
        result
    }

    pub(crate) fn charge(&mut self, took: Duration) {
        self.left = self.left.saturating_sub(took);
        self.used += took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_its_time_off_the_allowance() {
        let mut allowance = Allowance::new(Duration::from_secs(3600));
        let until = allowance.spend(|until| {
            while Instant::now() + Duration::from_secs(3600) <= until {}
            until
        });
        assert!(allowance.left() < Duration::from_secs(3600) && !allowance.is_spent());
        assert!(until > Instant::now());
        let mut allowance = Allowance::new(Duration::from_nanos(1));
        allowance.spend(|until| while Instant::now() <= until {});
        assert!(allowance.is_spent() && allowance.used() > Duration::from_nanos(1));
    }
}
