//! Threads for calls that may wait for a disk or a file server: to look up, open, read, list and close files.
//!
//! The loop hands a job over and goes on; the waker of the job gives its connection a turn when the result is there. Each connection
//! waits for at most one job at a time, so serving the jobs in their order is fair.
//!
//! Invariants:
//! - The number of threads does not grow with the jobs. A thread that hangs in the kernel counts as lost until its call returns.
//! - File servers never keep a local file waiting: when all threads work for them, or are lost, one more thread is started, which only
//!   does jobs for local files.
//! - A job that nothing waits for any more is dropped without being run.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use super::wake_on_drop::WakeOnDrop;

mod pending;
mod queue;
mod submitter;

pub(crate) use pending::Pending;
pub(crate) use queue::{FileThreadFigures, Locality};
use queue::{Job, MAX_QUEUED, Threads};
pub(crate) use submitter::{DroppedByThread, Submitter};

/// Time for which what a thread has read is expected to stay in memory, where the file system cannot tell.
pub(crate) const STAYS_IN_MEMORY: Duration = Duration::from_secs(10);
/// Values that may wait to be dropped. Each may have an open file.
const MAX_TO_DROP: usize = 16;
/// Bytes of the stack of a thread. No job recurses, but compression has large local variables where the compiler does not optimize.
/// The kernel gives memory only to what is used.
const STACK: usize = 1024 * 1024;

/// The threads of one server, shared by its loops. They end when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct FileThreads(Arc<Owner>);

/// Ends the threads when it is dropped.
struct Owner(Arc<Shared>);

struct Shared {
    /// Time after which a thread that works on one job counts as lost.
    timeout: Duration,
    state: Mutex<Threads>,
    has_job: Condvar,
    /// Wakes the spare thread.
    has_local_job: Condvar,
}

/// Why a job has no result: the queue is full, all threads are lost, or the job was dropped or panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

impl FileThreads {
    /// Prepares `count` threads, which [`start`](Self::start) starts; `None` for no thread.
    pub(crate) fn new(count: usize, timeout: Duration) -> Option<Self> {
        let shared = Shared {
            timeout,
            state: Mutex::new(Threads::new(count)),
            has_job: Condvar::new(),
            has_local_job: Condvar::new(),
        };
        (count > 0).then(|| Self(Arc::new(Owner(Arc::new(shared)))))
    }

    /// Starts the threads that have not started yet. To be called once the process is confined, because a thread has the rights of
    /// the thread that starts it.
    ///
    /// # Errors
    /// The system has no room for one more thread.
    pub(crate) fn start(&self) -> io::Result<()> {
        let shared = &self.0.0;
        let mut threads = shared.lock();
        while threads.started < threads.busy.len() {
            shared.start_thread(threads.started).map_err(|error| {
                let message = format!("cannot start a thread for files: {error}");
                io::Error::new(error.kind(), message)
            })?;
            threads.started += 1;
        }
        Ok(())
    }

    /// Hands `job` over; `waker` is called when the result is there, or will never be.
    ///
    /// # Errors
    /// The queue is full, or all threads that may do the job are lost.
    pub(crate) fn submit<R: Send + 'static>(
        &self,
        waker: Waker,
        locality: Locality,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Pending<R>, Refused> {
        let (pending, completion) = Pending::new();
        let run = move || {
            if let Ok(result) = catch_unwind(AssertUnwindSafe(job)) {
                completion.complete(result);
            }
        };
        let job = Job {
            run: Box::new(run),
            _wakes: WakeOnDrop(waker),
            ticket: pending.ticket(),
            asked: Instant::now(),
            locality,
        };
        self.0.0.push(job)?;
        Ok(pending)
    }

    /// Has a thread drop `value`, because that may close a file, which may wait for a file server.
    fn drop_later(&self, value: Box<dyn Any + Send>) {
        self.0.0.lock().to_drop.push_back(value);
        self.0.0.has_job.notify_one();
    }

    /// Drops values until no more than [`MAX_TO_DROP`] wait. To be called by the thread of a job that has opened a file: otherwise more
    /// files could be opened than are closed, up to the limit on descriptors.
    pub(crate) fn help_to_drop(&self) {
        loop {
            let value = self.0.0.lock().take_beyond(MAX_TO_DROP);
            // The lock is free by now: a value may own another one that is handed over when it is dropped.
            if value.is_none() {
                return;
            }
        }
    }

    /// Returns the time after which a request gives up waiting for a job.
    pub(crate) fn timeout(&self) -> Duration {
        self.0.0.timeout
    }

    pub(crate) fn figures(&self) -> FileThreadFigures {
        self.0.0.lock().figures(self.0.0.timeout, Instant::now())
    }
}

impl fmt::Debug for FileThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileThreads").field(&self.figures()).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.has_job.notify_all();
        self.0.has_local_job.notify_all();
    }
}

/// Takes a lock even if it is poisoned: jobs run outside of it, so a panic cannot leave the state half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Threads> {
        lock(&self.state)
    }

    fn start_thread(self: &Arc<Self>, index: usize) -> io::Result<()> {
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name(format!("httpoll-file-{index}"));
        let thread = thread.stack_size(STACK);
        thread.spawn(move || shared.work(index)).map(drop)
    }

    fn push(self: &Arc<Self>, job: Job) -> Result<(), Refused> {
        let mut threads = self.lock();
        threads.make_room();
        let is_full = threads.queue.len() >= MAX_QUEUED;
        if is_full || threads.are_lost(job.locality, self.timeout, job.asked) {
            threads.refused += 1;
            drop(threads);
            return Err(Refused);
        }
        threads.queue.push_back(job);
        self.call_spare(&mut threads);
        drop(threads);
        self.has_job.notify_one();
        Ok(())
    }

    /// Has the spare thread take the next job for a local file if all others work for file servers, or are lost.
    fn call_spare(self: &Arc<Self>, threads: &mut Threads) {
        if !threads.keep_a_local_job_waiting(self.timeout, Instant::now()) {
            return;
        }
        match threads.spare {
            Some(_) => self.has_local_job.notify_one(),
            // If it cannot start, the job waits for one of the others.
            None if self.start_thread(threads.busy.len()).is_ok() => threads.spare = Some(None),
            None => {}
        }
    }

    /// Does one task after the other in thread number `index`, until the last [`FileThreads`] is dropped.
    fn work(self: &Arc<Self>, index: usize) {
        let mut threads = self.lock();
        let wake = if index < threads.busy.len() {
            &self.has_job
        } else {
            &self.has_local_job
        };
        loop {
            if let Some(task) = threads.take(index) {
                self.call_spare(&mut threads);
                drop(threads);
                task.perform();
                threads = self.lock();
                threads.finish(index);
            } else if threads.has_ended {
                return;
            } else {
                threads = wake.wait(threads).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

#[cfg(test)]
mod tests;
