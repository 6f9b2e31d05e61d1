//! The stages in which a loop ends, as a function of the time: what is due now, and when the next thing is.
//!
//! Invariant: the phases follow each other in the order of [`Phase`], and none comes twice.

use std::time::{Duration, Instant};

/// Time in which a request still comes that was on its way when the loop stopped listening: the longest round trip that is usual.
pub(crate) const GRACE: Duration = Duration::from_millis(300);
/// Stands for any longer time, because the clock could not add every one.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How far a loop is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// The loop serves as before, but each reply is the last one of its connection, so that clients leave.
    Delaying {
        until: Instant,
    },
    /// No client can begin to connect. Those that have begun are accepted.
    TurningAway {
        until: Instant,
        deadline: Instant,
    },
    /// The listening sockets are closed, and the connections end.
    Finishing {
        deadline: Instant,
    },
    /// Every connection is closed.
    Over,
}

/// What the loop does next to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It lets no client begin to connect, and closes idle connections.
    TurnAway,
    /// It closes the listening sockets.
    CloseListeners,
    /// It closes the connections that are left.
    CloseConnections,
}

/// The clients that the loop has not accepted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    None,
    /// Some may be connecting.
    Connecting,
    /// Some are connected and wait in the queue of a listening socket.
    Waiting,
}

impl Phase {
    /// Begins the end after `delay`; a later call can only shorten the delay.
    pub(crate) fn begin(&mut self, now: Instant, delay: Duration) {
        let from_now = now + delay.min(LONGEST);
        match self {
            Self::Serving => *self = Self::Delaying { until: from_now },
            Self::Delaying { until } => *until = from_now.min(*until),
            _ => {}
        }
    }

    /// Returns the step that is due `now`, which begins the next phase. `timeout` is the time from the first step to the last.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        timeout: Duration,
        arrivals: Arrivals,
    ) -> Option<Step> {
        let (next, step) = match *self {
            Self::Delaying { until } if until <= now => {
                let turning_away = Self::TurningAway {
                    until: now + GRACE,
                    deadline: now + timeout.min(LONGEST),
                };
                (turning_away, Step::TurnAway)
            }
            Self::TurningAway { until, deadline }
                if deadline <= now
                    || arrivals == Arrivals::None
                    || arrivals == Arrivals::Connecting && until <= now =>
            {
                (Self::Finishing { deadline }, Step::CloseListeners)
            }
            Self::Finishing { deadline } if deadline <= now => (Self::Over, Step::CloseConnections),
            _ => return None,
        };
        *self = next;
        Some(step)
    }

    /// Returns when the next step is due, as far as the time decides it.
    pub(crate) fn next_deadline(&self, arrivals: Arrivals) -> Option<Instant> {
        match *self {
            Self::Serving | Self::Over => None,
            Self::TurningAway { until, deadline } if arrivals != Arrivals::Waiting => {
                Some(until.min(deadline))
            }
            Self::Delaying { until: deadline }
            | Self::TurningAway { deadline, .. }
            | Self::Finishing { deadline } => Some(deadline),
        }
    }

    /// Whether the loop has ended once no connection is left.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Finishing { .. } | Self::Over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Asks after each of these times, in milliseconds from the beginning, with these arrivals.
    fn assert_steps(delay: u64, asked: &[(u64, Arrivals, Option<Step>)]) {
        let began = Instant::now();
        let mut phase = Phase::Serving;
        assert_eq!(phase.next(began, TIMEOUT, Arrivals::None), None);
        phase.begin(began, ms(delay));
        for (after, arrivals, step) in asked {
            let next = phase.next(began + ms(*after), TIMEOUT, *arrivals);
            assert_eq!(next, *step, "{after} ms after the beginning");
        }
    }

    #[test]
    fn each_step_comes_when_it_is_due() {
        use Arrivals::{Connecting, None as Gone, Waiting};
        let turn_away = Some(Step::TurnAway);
        let close_listeners = Some(Step::CloseListeners);
        let close_connections = Some(Step::CloseConnections);
        // Without a delay and without arrivals the sockets close at once.
        assert_steps(
            0,
            &[
                (0, Gone, turn_away),
                (0, Gone, close_listeners),
                (4999, Gone, None),
                (5000, Gone, close_connections),
                (9999, Gone, None),
            ],
        );
        // A client that may be connecting is waited for.
        assert_steps(
            2000,
            &[
                (1999, Gone, None),
                (2000, Connecting, turn_away),
                (2299, Connecting, None),
                (2300, Connecting, close_listeners),
                (6999, Gone, None),
                (7000, Gone, close_connections),
            ],
        );
        // A client in the queue is waited for until the timeout.
        assert_steps(
            0,
            &[
                (0, Waiting, turn_away),
                (4999, Waiting, None),
                (5000, Waiting, close_listeners),
                (5000, Gone, close_connections),
            ],
        );
        // The queue becomes empty at last.
        assert_steps(
            0,
            &[
                (0, Waiting, turn_away),
                (1000, Waiting, None),
                (1001, Gone, close_listeners),
            ],
        );
    }

    #[test]
    fn the_next_deadline_is_that_of_the_phase() {
        let now = Instant::now();
        let mut phase = Phase::Serving;
        assert_eq!(phase.next_deadline(Arrivals::None), None);
        phase.begin(now, ms(100));
        let then = now + ms(100);
        assert_eq!(phase.next_deadline(Arrivals::Waiting), Some(then));
        phase.next(then, TIMEOUT, Arrivals::Connecting);
        assert_eq!(
            phase.next_deadline(Arrivals::Connecting),
            Some(then + GRACE)
        );
        // Only room for the clients in the queue ends this phase before the timeout.
        assert_eq!(phase.next_deadline(Arrivals::Waiting), Some(then + TIMEOUT));
        phase.next(then, TIMEOUT, Arrivals::None);
        assert!(phase.is_last());
        assert_eq!(phase.next_deadline(Arrivals::None), Some(then + TIMEOUT));
        phase.next(then + TIMEOUT, TIMEOUT, Arrivals::None);
        assert_eq!(phase, Phase::Over);
        assert_eq!(phase.next_deadline(Arrivals::None), None);
    }

    #[test]
    fn a_second_request_can_only_shorten_the_delay() {
        let now = Instant::now();
        let mut phase = Phase::Serving;
        phase.begin(now, Duration::MAX);
        phase.begin(now, ms(50));
        phase.begin(now, ms(70));
        assert_eq!(
            phase,
            Phase::Delaying {
                until: now + ms(50)
            }
        );
        phase.next(now + ms(50), Duration::MAX, Arrivals::None);
        let before = phase;
        phase.begin(now + ms(60), ms(0));
        assert_eq!(phase, before);
    }
}
