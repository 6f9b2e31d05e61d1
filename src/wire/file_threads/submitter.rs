//! How a connection uses the file threads: it submits jobs, and leaves values to them that may wait when they are dropped.

use std::task::Waker;

use super::{FileThreads, Locality, Pending, Refused};

/// The file threads, as one connection uses them.
#[derive(Clone, Debug)]
pub(crate) struct Submitter {
    pub(crate) threads: FileThreads,
    pub(crate) waker: Waker,
    pub(crate) locality: Locality,
}

/// A value with files that may wait for a file server when they close: it is dropped by a thread.
#[derive(Debug)]
pub(crate) struct DroppedByThread<T: Send + 'static> {
    value: Option<T>,
    threads: FileThreads,
}

impl Submitter {
    /// Submits jobs for files that may be anywhere.
    pub(crate) fn new(threads: &FileThreads, waker: Waker) -> Self {
        Self {
            threads: threads.clone(),
            waker,
            locality: Locality::Remote,
        }
    }

    /// Submits jobs for files of this locality.
    #[must_use]
    pub(crate) fn with(self, locality: Locality) -> Self {
        Self { locality, ..self }
    }

    /// Hands `job` over, as [`FileThreads::submit`] does; the connection has a turn when the result is there.
    ///
    /// # Errors
    /// As for [`FileThreads::submit`].
    pub(crate) fn submit<R: Send + 'static>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Pending<R>, Refused> {
        self.threads.submit(self.waker.clone(), self.locality, job)
    }
}

impl<T: Send + 'static> DroppedByThread<T> {
    pub(crate) fn new(value: T, threads: &FileThreads) -> Self {
        let threads = threads.clone();
        Self {
            value: Some(value),
            threads,
        }
    }

    /// Returns the value, which is there until it is dropped.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<T: Send + 'static> Drop for DroppedByThread<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.threads.drop_later(Box::new(value));
        }
    }
}
