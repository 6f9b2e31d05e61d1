//! Threads for calls that may wait for a disk or a file server: to look up, open, read, list and close files.
//!
//! The loop hands a job over and goes on; the waker of the job gives its connection a turn when the result is there. Each connection
//! waits for at most one job at a time, so serving the jobs in their order is fair.
//!
//! Invariants:
//! - The number of threads never changes. A thread that hangs in the kernel counts as lost until its call returns.
//! - A job that nothing waits for any more is dropped without being run.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use super::wake_on_drop::WakeOnDrop;

/// Time for which what a thread has read is expected to stay in memory, where the file system cannot tell.
pub(crate) const STAYS_IN_MEMORY: Duration = Duration::from_secs(10);
/// Jobs that wait at most; further ones are refused.
const MAX_QUEUED: usize = 4096;
/// Values that may wait to be dropped. Each may have an open file.
const MAX_TO_DROP: usize = 16;
/// Room for the stack of a thread: no job recurses, and the largest local variable has 4 KiB.
const STACK: usize = 128 * 1024;

mod pending;

pub(crate) use pending::Pending;
use pending::Ticket;

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
}

#[derive(Default)]
struct Threads {
    /// What each thread works on.
    busy: Vec<Option<Busy>>,
    /// How many of the threads have started.
    started: usize,
    queue: VecDeque<Job>,
    /// Values with files that close when they are dropped. One thread at a time drops them, so that a file server that hangs costs one
    /// thread for them. If there are many, jobs that open files help.
    to_drop: VecDeque<Box<dyn Any + Send>>,
    is_dropping: bool,
    has_ended: bool,
    done: u64,
    refused: u64,
    longest_wait: Duration,
}

#[derive(Clone, Copy)]
struct Busy {
    /// When the connection asked for the job; `None` for a value that is dropped.
    asked: Option<Instant>,
    began: Instant,
}

/// Why a job has no result: the queue is full, all threads are lost, or the job was dropped or panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// The file threads, as one connection uses them.
#[derive(Clone, Debug)]
pub(crate) struct Submitter {
    pub(crate) threads: FileThreads,
    pub(crate) waker: Waker,
}

/// A value with files that may wait for a file server when they close: it is dropped by a thread.
#[derive(Debug)]
pub(crate) struct DroppedByThread<T: Send + 'static> {
    value: Option<T>,
    threads: FileThreads,
}

struct Job {
    // The fields are dropped in this order: the result must be there, or known to be missing, when the waker is called.
    run: Box<dyn FnOnce() + Send>,
    _wakes: WakeOnDrop,
    ticket: Weak<Ticket>,
    asked: Instant,
}

/// What a thread does next.
enum Task {
    Run(Job),
    Drop(Box<dyn Any + Send>),
}

/// What the threads are doing, and what they have done since the server started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FileThreadFigures {
    pub(crate) idle: u64,
    pub(crate) busy: u64,
    pub(crate) lost: u64,
    /// Jobs that wait for a thread.
    pub(crate) queued: u64,
    pub(crate) done: u64,
    pub(crate) refused: u64,
    /// The longest time from a job's request to its result, those included that have no result yet.
    pub(crate) longest_wait: Duration,
}

impl FileThreads {
    /// Prepares `count` threads, which [`start`](Self::start) starts; `None` for no thread.
    pub(crate) fn new(count: usize, timeout: Duration) -> Option<Self> {
        let threads = Threads {
            busy: vec![None; count],
            ..Threads::default()
        };
        let shared = Shared {
            timeout,
            state: Mutex::new(threads),
            has_job: Condvar::new(),
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
            let (index, shared) = (threads.started, Arc::clone(shared));
            thread::Builder::new()
                .name(format!("httpoll-file-{index}"))
                .stack_size(STACK)
                .spawn(move || shared.work(index))
                .map_err(|error| {
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
    /// The queue is full, or all threads are lost.
    pub(crate) fn submit<R: Send + 'static>(
        &self,
        waker: Waker,
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

    fn push(&self, job: Job) -> Result<(), Refused> {
        let mut threads = self.lock();
        threads.make_room();
        let is_full = threads.queue.len() >= MAX_QUEUED;
        if is_full || threads.lost(self.timeout, job.asked) == threads.busy.len() {
            threads.refused += 1;
            drop(threads);
            return Err(Refused);
        }
        threads.queue.push_back(job);
        drop(threads);
        self.has_job.notify_one();
        Ok(())
    }

    /// Does one task after the other in thread number `index`, until the last [`FileThreads`] is dropped.
    fn work(&self, index: usize) {
        let mut threads = self.lock();
        loop {
            if let Some(task) = threads.take(index) {
                drop(threads);
                task.perform();
                threads = self.lock();
                threads.finish(index);
            } else if threads.has_ended {
                return;
            } else {
                let waited = self.has_job.wait(threads);
                threads = waited.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Threads {
    /// If the queue is full, takes out a job that nothing waits for, or one of a client that has closed its side.
    fn make_room(&mut self) {
        if self.queue.len() < MAX_QUEUED {
            return;
        }
        let mut jobs = self.queue.iter();
        let index = jobs.position(|job| job.is_abandoned() || job.client_left());
        if let Some(job) = index.and_then(|index| self.queue.remove(index)) {
            // It may own a file.
            self.to_drop.push_back(Box::new(job));
        }
    }

    /// Takes out a value to drop if more than this many wait.
    fn take_beyond(&mut self, most: usize) -> Option<Box<dyn Any + Send>> {
        if self.to_drop.len() > most {
            self.to_drop.pop_front()
        } else {
            None
        }
    }

    /// Takes the next task for thread number `index`.
    fn take(&mut self, index: usize) -> Option<Task> {
        let began = Instant::now();
        let task = self.next_task()?;
        let asked = match &task {
            Task::Run(job) => Some(job.asked),
            Task::Drop(_) => None,
        };
        self.is_dropping |= asked.is_none();
        if let Some(busy) = self.busy.get_mut(index) {
            *busy = Some(Busy { asked, began });
        }
        Some(task)
    }

    /// Takes out the next task. Jobs of clients that have closed their side wait behind the others.
    fn next_task(&mut self) -> Option<Task> {
        loop {
            if !self.is_dropping
                && let Some(value) = self.to_drop.pop_front()
            {
                return Some(Task::Drop(value));
            }
            let first = self.queue.iter().position(|job| !job.client_left());
            let job = self.queue.remove(first.unwrap_or(0))?;
            if !job.is_abandoned() {
                return Some(Task::Run(job));
            }
            // It may own a file.
            self.to_drop.push_back(Box::new(job));
        }
    }

    /// Notes that thread number `index` has done its task.
    fn finish(&mut self, index: usize) {
        let Some(busy) = self.busy.get_mut(index).and_then(Option::take) else {
            return;
        };
        match busy.asked {
            None => self.is_dropping = false,
            Some(asked) => {
                self.done += 1;
                self.longest_wait = self.longest_wait.max(asked.elapsed());
            }
        }
    }

    /// Returns how many threads have worked on one task for longer than `timeout`.
    fn lost(&self, timeout: Duration, now: Instant) -> usize {
        let is_lost = |busy: &&Busy| now.saturating_duration_since(busy.began) > timeout;
        self.busy.iter().flatten().filter(is_lost).count()
    }

    fn figures(&self, timeout: Duration, now: Instant) -> FileThreadFigures {
        let lost = self.lost(timeout, now) as u64;
        let working = self.busy.iter().flatten();
        let busy = working.clone().count() as u64;
        let queued = self.queue.iter().filter(|job| !job.is_abandoned());
        let asked = working.filter_map(|busy| busy.asked);
        let oldest = asked.chain(queued.clone().map(|job| job.asked)).min();
        let waiting = oldest.map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked));
        FileThreadFigures {
            idle: self.busy.len() as u64 - busy,
            busy: busy - lost,
            lost,
            queued: queued.count() as u64,
            done: self.done,
            refused: self.refused,
            longest_wait: self.longest_wait.max(waiting),
        }
    }
}

impl Job {
    /// Whether nothing waits for the result any more.
    fn is_abandoned(&self) -> bool {
        self.ticket.strong_count() == 0
    }

    /// Whether the client has closed its side. It may still read the reply.
    fn client_left(&self) -> bool {
        let ticket = self.ticket.upgrade();
        ticket.is_some_and(|ticket| ticket.client_left.load(Ordering::Relaxed))
    }
}

impl Task {
    fn perform(self) {
        match self {
            Self::Run(job) => (job.run)(),
            Self::Drop(value) => drop(value),
        }
    }
}

impl Submitter {
    pub(crate) fn new(threads: &FileThreads, waker: Waker) -> Self {
        let threads = threads.clone();
        Self { threads, waker }
    }

    /// Hands `job` over, as [`FileThreads::submit`] does; the connection has a turn when the result is there.
    ///
    /// # Errors
    /// As for [`FileThreads::submit`].
    pub(crate) fn submit<R: Send + 'static>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Pending<R>, Refused> {
        self.threads.submit(self.waker.clone(), job)
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

#[cfg(test)]
mod tests;
