//! Which thread does what next: the jobs that wait, and what each thread works on.
//!
//! Invariant: nothing here is dropped that may close a file, because the lock is held.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::pending::Ticket;
use crate::wire::wake_on_drop::WakeOnDrop;

/// Jobs that wait at most; further ones are refused.
pub(super) const MAX_QUEUED: usize = 4096;

#[derive(Default)]
pub(super) struct Threads {
    /// What each thread works on.
    pub(super) busy: Vec<Option<Busy>>,
    /// How many of these threads have started.
    pub(super) started: usize,
    /// The thread for local files alone: `None` as long as it was not needed, then what it works on.
    pub(super) spare: Option<Option<Busy>>,
    pub(super) queue: VecDeque<Job>,
    /// Values with files that close when they are dropped. One thread at a time drops them, so that a file server that hangs costs one
    /// thread for them. If there are many, jobs that open files help.
    pub(super) to_drop: VecDeque<Box<dyn Any + Send>>,
    is_dropping: bool,
    pub(super) has_ended: bool,
    done: u64,
    pub(super) refused: u64,
    longest_wait: Duration,
}

#[derive(Clone, Copy)]
pub(super) struct Busy {
    /// When the connection asked for the job; `None` for a value that is dropped.
    pub(super) asked: Option<Instant>,
    began: Instant,
    pub(super) locality: Locality,
}

/// Where the file of a job is, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locality {
    /// On a disk of this machine, or in memory.
    Local,
    /// On a file server, or with another program that may take any time to answer.
    Remote,
}

pub(super) struct Job {
    // The fields are dropped in this order: the result must be there, or known to be missing, when the waker is called.
    pub(super) run: Box<dyn FnOnce() + Send>,
    pub(super) _wakes: WakeOnDrop,
    pub(super) ticket: Weak<Ticket>,
    pub(super) asked: Instant,
    pub(super) locality: Locality,
}

/// What a thread does next.
pub(super) enum Task {
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

impl Threads {
    /// Has `count` threads, of which none has started.
    pub(super) fn new(count: usize) -> Self {
        Self {
            busy: vec![None; count],
            ..Self::default()
        }
    }

    /// Takes out a job that nothing waits for, or whose client has closed its side, if the queue is full.
    pub(super) fn make_room(&mut self) {
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
    pub(super) fn take_beyond(&mut self, most: usize) -> Option<Box<dyn Any + Send>> {
        if self.to_drop.len() > most {
            self.to_drop.pop_front()
        } else {
            None
        }
    }

    /// Whether a job for a local file waits because all threads work for file servers, or are lost to a disk that hangs.
    pub(super) fn keep_a_local_job_waiting(&self, timeout: Duration, now: Instant) -> bool {
        let is_kept = |busy: &Busy| busy.locality == Locality::Remote || busy.is_lost(timeout, now);
        let is_local = |job: &Job| job.locality == Locality::Local;
        let mut threads = self.busy.iter();
        threads.all(|busy| busy.as_ref().is_some_and(is_kept)) && self.queue.iter().any(is_local)
    }

    /// Returns what thread number `index` works on; the spare thread has the number after the last.
    fn busy_mut(&mut self, index: usize) -> Option<&mut Option<Busy>> {
        let spare = self.spare.as_mut();
        self.busy.get_mut(index).or(spare)
    }

    /// Takes the next task for thread number `index`.
    pub(super) fn take(&mut self, index: usize) -> Option<Task> {
        let began = Instant::now();
        let task = if index < self.busy.len() {
            self.next_task()?
        } else {
            self.next_local_task()?
        };
        let (asked, locality) = match &task {
            Task::Run(job) => (Some(job.asked), job.locality),
            Task::Drop(_) => (None, Locality::Remote),
        };
        self.is_dropping |= asked.is_none();
        if let Some(busy) = self.busy_mut(index) {
            *busy = Some(Busy {
                asked,
                began,
                locality,
            });
        }
        Some(task)
    }

    /// Takes out a value to drop if nothing is being dropped, or else the next job.
    fn next_task(&mut self) -> Option<Task> {
        // The search for a job may find values to drop.
        let job = if self.may_drop() {
            None
        } else {
            self.next_job(|_| true)
        };
        match job {
            Some(job) => Some(Task::Run(job)),
            None if self.may_drop() => self.to_drop.pop_front().map(Task::Drop),
            None => None,
        }
    }

    fn may_drop(&self) -> bool {
        !self.is_dropping && !self.to_drop.is_empty()
    }

    /// Takes out the next job for a local file, unless one of the other threads will do that.
    fn next_local_task(&mut self) -> Option<Task> {
        if self.busy.iter().any(Option::is_none) {
            return None;
        }
        let job = self.next_job(|job| job.locality == Locality::Local);
        job.map(Task::Run)
    }

    /// Takes out the next job that is `allowed`. Those of clients that have closed their side wait behind the others.
    fn next_job(&mut self, allowed: impl Fn(&Job) -> bool) -> Option<Job> {
        loop {
            let mut jobs = self.queue.iter();
            let first = jobs.position(|job| allowed(job) && !job.client_left());
            let index = first.or_else(|| self.queue.iter().position(&allowed))?;
            let job = self.queue.remove(index)?;
            if !job.is_abandoned() {
                return Some(job);
            }
            // It may own a file.
            self.to_drop.push_back(Box::new(job));
        }
    }

    /// Notes that thread number `index` has done its task.
    pub(super) fn finish(&mut self, index: usize) {
        let Some(busy) = self.busy_mut(index).and_then(Option::take) else {
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

    /// Whether all threads that may do a job have worked on one task for longer than `timeout`.
    pub(super) fn are_lost(&self, locality: Locality, timeout: Duration, now: Instant) -> bool {
        let is_lost = |busy: &Option<Busy>| busy.is_some_and(|busy| busy.is_lost(timeout, now));
        let is_spare_lost = || self.spare.as_ref().is_some_and(is_lost);
        self.busy.iter().all(is_lost) && (locality == Locality::Remote || is_spare_lost())
    }

    pub(super) fn figures(&self, timeout: Duration, now: Instant) -> FileThreadFigures {
        let working = self.busy.iter().chain(&self.spare).flatten();
        let lost = working.clone().filter(|busy| busy.is_lost(timeout, now));
        let (busy, lost) = (working.clone().count() as u64, lost.count() as u64);
        let all = self.busy.len() + usize::from(self.spare.is_some());
        let queued = self.queue.iter().filter(|job| !job.is_abandoned());
        let asked = working.filter_map(|busy| busy.asked);
        let oldest = asked.chain(queued.clone().map(|job| job.asked)).min();
        let waiting = oldest.map_or(Duration::ZERO, |asked| now.saturating_duration_since(asked));
        FileThreadFigures {
            idle: all as u64 - busy,
            busy: busy - lost,
            lost,
            queued: queued.count() as u64,
            done: self.done,
            refused: self.refused,
            longest_wait: self.longest_wait.max(waiting),
        }
    }
}

impl Busy {
    fn is_lost(&self, timeout: Duration, now: Instant) -> bool {
        now.saturating_duration_since(self.began) > timeout
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
    pub(super) fn perform(self) {
        match self {
            Self::Run(job) => (job.run)(),
            Self::Drop(value) => drop(value),
        }
    }
}
