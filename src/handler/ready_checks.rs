//! Checks of `/readyz` that may wait for a file system: file threads make them, so that the loop does not wait.
//!
//! A handler that passes requests on to others calls their `check_ready`, which has no parameter for this. So the checks that are
//! handed over during one call are collected in a variable of the thread.
//!
//! Invariant: that variable is set only while the loop asks its handler. At any other time a check is made at once.

use std::borrow::Cow;
use std::cell::RefCell;
use std::mem;
use std::task::Poll;

use crate::wire::file_threads::{Pending, Refused, Submitter};

thread_local! {
    static COLLECTED: RefCell<Option<Collected>> = const { RefCell::new(None) };
}

/// Whether requests can be answered; the reason why not is one line of text.
pub(crate) type Readiness = Result<(), Cow<'static, str>>;

/// The checks that are under way, and what the other ones have found.
#[derive(Debug)]
pub(crate) struct ReadyChecks {
    found: Readiness,
    pending: Vec<PendingCheck>,
}

#[derive(Debug)]
struct PendingCheck {
    result: Pending<Readiness>,
    /// What is said as long as there is no result.
    reason: String,
}

struct Collected {
    submitter: Submitter,
    pending: Vec<PendingCheck>,
}

impl ReadyChecks {
    /// Asks a handler by `check_ready`, and hands checks that may wait over to file threads, if there are any.
    pub(crate) fn begin(
        submitter: Option<Submitter>,
        check_ready: impl FnOnce() -> Readiness,
    ) -> Self {
        let pending = Vec::new();
        COLLECTED.set(submitter.map(|submitter| Collected { submitter, pending }));
        let found = check_ready();
        let collected = COLLECTED.take();
        Self {
            found,
            pending: collected.map_or_else(Vec::new, |collected| collected.pending),
        }
    }

    /// Returns whether requests can be answered; `None` as long as a check is under way.
    pub(crate) fn result(&mut self) -> Option<Readiness> {
        while let Some(last) = self.pending.last() {
            let Poll::Ready(result) = last.result.poll() else {
                return None;
            };
            let result = result.unwrap_or_else(|Refused| Err(last.reason.clone().into()));
            self.found = mem::replace(&mut self.found, Ok(())).and(result);
            self.pending.pop();
        }
        Some(self.found.clone())
    }

    /// Returns what is known while a check is under way: the requests that it is for cannot be answered.
    pub(crate) fn so_far(&self) -> Readiness {
        let last = self.pending.last();
        let waits = last.map_or(Ok(()), |last| Err(last.reason.clone().into()));
        self.found.clone().and(waits)
    }
}

/// Makes `check`, which may wait for a file system. If the loop asks and there are file threads, one of them makes it: then it counts
/// as passed for now, and its result is added to the answer. `reason` says that the file system does not answer.
pub(crate) fn check(
    check: impl FnOnce() -> Readiness + Send + 'static,
    reason: String,
) -> Readiness {
    // Taken out, so that a check that is made here may use the variable itself.
    let Some(mut collected) = COLLECTED.take() else {
        return check();
    };
    let handed_over = match collected.submitter.submit(check) {
        Ok(result) => {
            collected.pending.push(PendingCheck { result, reason });
            Ok(())
        }
        Err(Refused) => Err(reason.into()),
    };
    COLLECTED.set(Some(collected));
    handed_over
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::task::Waker;
    use std::thread::yield_now;
    use std::time::Duration;

    use super::*;
    use crate::wire::file_threads::FileThreads;

    fn reason() -> String {
        "it hangs".to_owned()
    }

    fn submitter() -> Submitter {
        let threads = FileThreads::new(2, Duration::from_secs(60)).unwrap();
        threads.start().unwrap();
        Submitter::new(&threads, Waker::noop().clone())
    }

    fn result(mut checks: ReadyChecks) -> Readiness {
        loop {
            match checks.result() {
                Some(result) => return result,
                None => yield_now(),
            }
        }
    }

    #[test]
    fn a_check_that_no_loop_asks_for_is_made_at_once() {
        assert_eq!(check(|| Err("gone".into()), reason()), Err("gone".into()));
        let checks = ReadyChecks::begin(None, || check(|| Err("gone".into()), reason()));
        assert_eq!(checks.so_far(), Err("gone".into()));
        assert_eq!(result(checks), Err("gone".into()));
    }

    #[test]
    fn the_handler_does_not_wait_for_a_check_that_hangs() {
        let (sender, receiver) = channel();
        let mut checks = ReadyChecks::begin(Some(submitter()), || {
            check(|| Ok(()), "unused".to_owned())?;
            let hangs = move || receiver.recv_timeout(Duration::from_secs(20)).unwrap();
            check(hangs, reason())
        });
        assert_eq!(checks.result(), None);
        assert_eq!(checks.so_far(), Err("it hangs".into()));
        sender.send(Ok(())).unwrap();
        assert_eq!(result(checks), Ok(()));
    }

    #[test]
    fn the_answer_has_the_first_reason_of_all_checks() {
        let one = |text: &'static str| check(move || Err(text.into()), reason());
        let checks = ReadyChecks::begin(Some(submitter()), || one("gone"));
        assert_eq!(result(checks), Err("gone".into()));
        let checks = ReadyChecks::begin(Some(submitter()), || {
            one("gone")?;
            Err("no database".into())
        });
        assert_eq!(result(checks), Err("no database".into()));
        let checks =
            ReadyChecks::begin(Some(submitter()), || check(|| panic!("expected"), reason()));
        assert_eq!(result(checks), Err("it hangs".into()));
    }
}
