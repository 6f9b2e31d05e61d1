//! The result of a job that a file thread does, as the connection waits for it.
//!
//! Invariant: a job leaves a result, or the note that there will be none, before its connection is woken.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::Poll;

use super::{Refused, lock};

/// The result of a job that has been handed over. Dropping it says that nothing waits for the job any more.
#[derive(Debug)]
pub(crate) struct Pending<R> {
    outcome: Arc<Mutex<Outcome<R>>>,
    ticket: Arc<Ticket>,
}

/// What becomes of a job.
#[derive(Debug)]
enum Outcome<R> {
    Waiting,
    Done(R),
    /// The job was dropped or panicked, or its result was taken.
    None,
}

/// Where a job leaves its result. Dropping it says that there will be none.
pub(super) struct Completion<R>(Arc<Mutex<Outcome<R>>>);

/// What a job knows of the connection that waits for it.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    pub(super) client_left: AtomicBool,
}

impl<R> Pending<R> {
    /// Returns a result that is still to come, and where the job leaves it.
    pub(super) fn new() -> (Self, Completion<R>) {
        let outcome = Arc::new(Mutex::new(Outcome::Waiting));
        let completion = Completion(Arc::clone(&outcome));
        let ticket = Arc::default();
        (Self { outcome, ticket }, completion)
    }

    /// Returns what the job knows of the connection.
    pub(super) fn ticket(&self) -> Weak<Ticket> {
        Arc::downgrade(&self.ticket)
    }

    /// Returns the result if it is there; an error if there will be none.
    pub(crate) fn poll(&self) -> Poll<Result<R, Refused>> {
        let mut outcome = lock(&self.outcome);
        match mem::replace(&mut *outcome, Outcome::None) {
            Outcome::Done(result) => Poll::Ready(Ok(result)),
            Outcome::None => Poll::Ready(Err(Refused)),
            Outcome::Waiting => {
                *outcome = Outcome::Waiting;
                Poll::Pending
            }
        }
    }

    /// Notes that the client has closed its side: other jobs go first, and may take the place of this one.
    pub(crate) fn note_client_left(&self) {
        self.ticket.client_left.store(true, Ordering::Relaxed);
    }
}

impl<R> Completion<R> {
    /// Leaves the result of the job. A result that nothing waits for any more is dropped here, by the thread.
    pub(super) fn complete(self, result: R) {
        *lock(&self.0) = Outcome::Done(result);
    }
}

impl<R> Drop for Completion<R> {
    fn drop(&mut self) {
        let mut outcome = lock(&self.0);
        if matches!(*outcome, Outcome::Waiting) {
            *outcome = Outcome::None;
        }
    }
}
