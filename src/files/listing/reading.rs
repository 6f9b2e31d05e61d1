//! One reading of a directory for all requests that ask for it in the same order at about the same time.
//!
//! A reply must not be older than its request, so a request may share a reading only if the reading had not begun when the request
//! was read. While one reading is under way, all new requests wait for the next one, which begins when the first is done. What
//! the next reading finds is compared with the entries that are still being sent; if they are the same, all replies share
//! them. This needs no report of changes, so it works on any file system, for links and for files with several names.
//!
//! Invariant: for one directory and order, one reading is under way at a time. Every request that waits for it advances it, so it
//! depends on no single request, and ends when the last waiting connection is closed.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Wake, Waker};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::entries::Run;
use super::order::Order;
use super::reader::{Reader, SLICE};
use super::readme::Readme;
use super::stored::{Entries, Fingerprint, Gathered, Merge};
use crate::handler::listing_memory::{Full, Lease, ListingMemory};
use crate::wire::file_threads::{Pending, Refused, Submitter};
use crate::wire::source::Fill;

/// Time after which a thread that reads a directory turns to the next job.
const SLICE_OF_THREAD: Duration = Duration::from_millis(5);

/// Why there are no entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadingError {
    /// No memory is left for the listings of this loop.
    Full,
    /// The directory cannot be read.
    Unreadable(Errno),
    /// The file threads take no more jobs.
    Refused,
}

/// One reading of a directory, in one order.
#[derive(Debug)]
pub(crate) struct Reading {
    order: Order,
    memory: Arc<ListingMemory>,
    /// The epoch in which it began, if it began when it was made: all requests of that epoch had been read before.
    begun_in: Option<u64>,
    stage: Mutex<ReadingStage>,
    /// How many slices of the directory were read.
    slices: AtomicU64,
    /// Wakes all connections that wait for a run that a file thread reads.
    wakers: Arc<Wakers>,
    /// Whether all entries were found to be such that the listing could be kept.
    may_be_kept: AtomicBool,
    readme: Mutex<Option<Arc<Readme>>>,
    found: SharedEntries,
}

/// The entries that the last reading of a directory has found, while a reply is being sent from them.
type SharedEntries = Arc<Mutex<Weak<Entries>>>;

#[derive(Debug)]
enum ReadingStage {
    /// Nothing is read yet: the reading before this one has to be done first.
    Opened(Box<RunReader>, Weak<Reading>),
    /// Entries are read and compared with those of the reading before.
    Comparing(NextRun, Arc<Entries>, Fingerprint),
    /// Entries are read.
    Gathering(NextRun, Gathered),
    /// All entries are read, and put in order.
    Merging(Merge),
    Done(Result<Arc<Entries>, ReadingError>),
}

/// The run that is read next.
#[derive(Debug)]
enum NextRun {
    ToRead(Box<RunReader>),
    /// A file thread reads it.
    InThread(Pending<RunByThread>),
}

type RunByThread = (Box<RunReader>, Result<Fill, Errno>);

/// Reads the directory run by run.
#[derive(Debug)]
struct RunReader {
    reader: Reader,
    /// Entries that were read and are not gathered yet.
    run: Run,
    lease: Lease,
}

impl Reading {
    /// Prepares to read the directory of `reader`, after the reading that is `known`.
    pub(crate) fn new(
        reader: Reader,
        order: Order,
        memory: &Arc<ListingMemory>,
        known: &Known,
    ) -> Self {
        let run_reader = RunReader::new(reader, Run::new(order), memory);
        Self {
            order,
            memory: Arc::clone(memory),
            begun_in: None,
            stage: Mutex::new(ReadingStage::Opened(
                run_reader,
                Weak::clone(&known.reading),
            )),
            slices: AtomicU64::new(0),
            wakers: Arc::default(),
            may_be_kept: AtomicBool::new(false),
            readme: Mutex::default(),
            found: Arc::clone(&known.found),
        }
    }

    /// Continues a reading that was begun in this `epoch`, when no other one was known.
    pub(crate) fn begun(
        (reader, run): (Reader, Run),
        order: Order,
        memory: &Arc<ListingMemory>,
        epoch: u64,
    ) -> Self {
        let run_reader = RunReader::new(reader, run, memory);
        Self {
            order,
            memory: Arc::clone(memory),
            begun_in: Some(epoch),
            stage: Mutex::new(ReadingStage::Gathering(
                NextRun::ToRead(run_reader),
                Gathered::new(memory, order),
            )),
            slices: AtomicU64::new(0),
            wakers: Arc::default(),
            may_be_kept: AtomicBool::new(false),
            readme: Mutex::default(),
            found: SharedEntries::default(),
        }
    }

    /// Returns whether the reading began, or will begin, after the requests of this `epoch` were read, so that they may share it.
    pub(crate) fn is_later_than(&self, epoch: u64) -> bool {
        self.begun_in == Some(epoch) || matches!(*self.stage(), ReadingStage::Opened(..))
    }

    /// Does at most one slice of work, until the time `until`; the directory is read by a file thread if there is a `submitter`.
    /// [`Fill::NotNow`]: the thread is not done, and wakes the connection of the submitter then.
    pub(crate) fn advance(&self, until: Instant, submitter: Option<&Submitter>) -> Fill {
        let mut stage = self.stage();
        // This stage remains if there is a panic.
        let failed = ReadingStage::Done(Err(ReadingError::Unreadable(Errno::IO)));
        *stage = self
            .next(mem::replace(&mut *stage, failed), until, submitter)
            .unwrap_or_else(|failure| ReadingStage::Done(Err(failure)));
        stage.progress()
    }

    /// Returns how many slices were read, by this reading or the one that it waits for.
    pub(crate) fn slices(&self) -> u64 {
        match &*self.stage() {
            ReadingStage::Opened(_, before) => {
                before.upgrade().map_or(0, |earlier| earlier.slices())
            }
            _ => self.slices.load(Ordering::Relaxed),
        }
    }

    /// Returns the entries that were found.
    pub(crate) fn entries(&self) -> Result<Arc<Entries>, ReadingError> {
        match &*self.stage() {
            ReadingStage::Done(entries) => entries.clone(),
            _ => Err(ReadingError::Unreadable(Errno::AGAIN)),
        }
    }

    /// Returns whether the listing could be kept: there are few entries, and no link or other file system among them.
    pub(crate) fn may_be_kept(&self) -> bool {
        self.may_be_kept.load(Ordering::Relaxed)
    }

    /// Returns the README that was found.
    pub(crate) fn readme(&self) -> Option<Arc<Readme>> {
        lock(&self.readme).clone()
    }

    fn next(
        &self,
        stage: ReadingStage,
        until: Instant,
        submitter: Option<&Submitter>,
    ) -> Result<ReadingStage, ReadingError> {
        match stage {
            ReadingStage::Opened(run_reader, before) => match before.upgrade() {
                Some(earlier) if earlier.advance(until, submitter) != Fill::Done => {
                    Ok(ReadingStage::Opened(run_reader, before))
                }
                _ => {
                    let known = lock(&self.found).upgrade();
                    self.next(self.begin(run_reader, known), until, submitter)
                }
            },
            ReadingStage::Comparing(next_run, known, found) => {
                match self.read(next_run, until, submitter)? {
                    Ok((run_reader, fill)) => self.compare(run_reader, fill, known, found),
                    Err(next_run) => Ok(ReadingStage::Comparing(next_run, known, found)),
                }
            }
            ReadingStage::Gathering(next_run, gathered) => {
                match self.read(next_run, until, submitter)? {
                    Ok((run_reader, fill)) => gather(run_reader, fill, gathered),
                    Err(next_run) => Ok(ReadingStage::Gathering(next_run, gathered)),
                }
            }
            ReadingStage::Merging(mut merge) => {
                if !merge.advance()? {
                    return Ok(ReadingStage::Merging(merge));
                }
                let entries = Arc::new(merge.finish());
                *lock(&self.found) = Arc::downgrade(&entries);
                Ok(ReadingStage::Done(Ok(entries)))
            }
            done @ ReadingStage::Done(_) => Ok(done),
        }
    }

    /// Reads the next run, or hands it over to a file thread. The inner error is the run that is not there yet.
    fn read(
        &self,
        next_run: NextRun,
        until: Instant,
        submitter: Option<&Submitter>,
    ) -> Result<Result<(Box<RunReader>, Fill), NextRun>, ReadingError> {
        if let Some(submitter) = submitter {
            // Before the thread is asked, so that no wake is missed.
            self.wakers.add(&submitter.waker);
        }
        let (mut run_reader, fill) = match (next_run, submitter) {
            (NextRun::InThread(pending), _) => match pending.poll() {
                Poll::Pending => return Ok(Err(NextRun::InThread(pending))),
                Poll::Ready(read) => read.map_err(|Refused| ReadingError::Refused)?,
            },
            (NextRun::ToRead(mut run_reader), Some(submitter)) if !run_reader.is_full() => {
                let read = move || {
                    let fill = run_reader.read(Instant::now() + SLICE_OF_THREAD);
                    (run_reader, fill)
                };
                let waker = Waker::from(Arc::clone(&self.wakers));
                let submitted = submitter.threads.submit(waker, submitter.locality, read);
                let pending = submitted.map_err(|Refused| ReadingError::Refused)?;
                return Ok(Err(NextRun::InThread(pending)));
            }
            (NextRun::ToRead(mut run_reader), _) => {
                let fill = run_reader.read(until);
                (run_reader, fill)
            }
        };
        self.slices.fetch_add(1, Ordering::Relaxed);
        run_reader.account()?;
        let fill = fill?;
        if fill == Fill::Done {
            let may_be_kept = run_reader.reader.listed().is_some();
            self.may_be_kept.store(may_be_kept, Ordering::Relaxed);
            *lock(&self.readme) = run_reader.reader.take_readme().map(Arc::new);
        }
        Ok(Ok((run_reader, fill)))
    }

    fn compare(
        &self,
        mut run_reader: Box<RunReader>,
        fill: Fill,
        known: Arc<Entries>,
        mut found: Fingerprint,
    ) -> Result<ReadingStage, ReadingError> {
        run_reader.run.iter().for_each(|entry| found.add(&entry));
        run_reader.run.clear();
        if fill != Fill::Done {
            let next_run = NextRun::ToRead(run_reader);
            Ok(ReadingStage::Comparing(next_run, known, found))
        } else if found.is_same(known.fingerprint()) {
            Ok(ReadingStage::Done(Ok(known)))
        } else {
            run_reader.reader.rewind()?;
            Ok(self.begin(run_reader, None))
        }
    }

    fn begin(&self, run_reader: Box<RunReader>, known: Option<Arc<Entries>>) -> ReadingStage {
        let next_run = NextRun::ToRead(run_reader);
        match known {
            Some(known) => {
                let found = known.fingerprint().anew();
                ReadingStage::Comparing(next_run, known, found)
            }
            None => ReadingStage::Gathering(next_run, Gathered::new(&self.memory, self.order)),
        }
    }

    fn stage(&self) -> MutexGuard<'_, ReadingStage> {
        lock(&self.stage)
    }
}

/// Locks a mutex of one loop. Only [`Wakers`] are locked by file threads, too, and for a moment. After a panic the value is complete, so
/// poison is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gather(
    mut run_reader: Box<RunReader>,
    fill: Fill,
    mut gathered: Gathered,
) -> Result<ReadingStage, ReadingError> {
    if fill == Fill::Done || run_reader.run.len() > SLICE {
        gathered.push(&mut run_reader.run)?;
    }
    Ok(if fill == Fill::Done {
        ReadingStage::Merging(gathered.merge())
    } else {
        ReadingStage::Gathering(NextRun::ToRead(run_reader), gathered)
    })
}

impl RunReader {
    fn new(reader: Reader, run: Run, memory: &Arc<ListingMemory>) -> Box<Self> {
        let lease = Lease::new(memory);
        Box::new(Self { reader, run, lease })
    }

    /// Whether the run was read already, when the request arrived.
    fn is_full(&self) -> bool {
        self.run.len() > SLICE
    }

    fn read(&mut self, until: Instant) -> Result<Fill, Errno> {
        if self.is_full() {
            return Ok(Fill::More);
        }
        self.reader.read_slice(&mut self.run, Some(until))
    }

    /// Counts the memory that it takes now.
    fn account(&mut self) -> Result<(), Full> {
        self.lease.resize(self.reader.bytes() + self.run.bytes())
    }
}

impl ReadingStage {
    fn progress(&self) -> Fill {
        match self {
            Self::Done(_) => Fill::Done,
            Self::Comparing(NextRun::InThread(_), ..)
            | Self::Gathering(NextRun::InThread(_), _) => Fill::NotNow,
            Self::Opened(_, before) => match before.upgrade() {
                Some(earlier) if earlier.stage().progress() == Fill::NotNow => Fill::NotNow,
                _ => Fill::More,
            },
            _ => Fill::More,
        }
    }
}

/// Wakes all connections that wait for the same run.
#[derive(Debug, Default)]
struct Wakers(Mutex<Vec<Waker>>);

impl Wakers {
    fn add(&self, waker: &Waker) {
        let mut wakers = lock(&self.0);
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        let wakers = mem::take(&mut *lock(&self.0));
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl From<Full> for ReadingError {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl From<Errno> for ReadingError {
    fn from(errno: Errno) -> Self {
        Self::Unreadable(errno)
    }
}

/// What is known of one directory in one order: a reading, and the entries that an earlier one found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The last reading, while a request waits for it.
    pub(crate) reading: Weak<Reading>,
    found: SharedEntries,
}

impl Known {
    /// Returns whether no reading and no entries are known.
    pub(crate) fn is_nothing(&self) -> bool {
        self.reading.strong_count() == 0 && lock(&self.found).strong_count() == 0
    }
}

/// The readings that requests wait for, and the entries that are being sent, by the key that a request makes.
#[derive(Debug, Default)]
pub(crate) struct Readings(Arc<Mutex<HashMap<Box<[u8]>, Known>>>);

impl Readings {
    /// Returns the same readings, for a copy of the handler.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    pub(crate) fn known(&self, key: &[u8]) -> Known {
        lock(&self.0).get(key).cloned().unwrap_or_default()
    }

    pub(crate) fn insert(&self, key: &[u8], reading: &Arc<Reading>) {
        let mut by_key = lock(&self.0);
        if by_key.len() == by_key.capacity() {
            by_key.retain(|_, known| !known.is_nothing());
        }
        let known = Known {
            reading: Arc::downgrade(reading),
            found: Arc::clone(&reading.found),
        };
        by_key.insert(key.into(), known);
    }
}

/// A clone is empty: loops share no memory.
impl Clone for Readings {
    fn clone(&self) -> Self {
        Self::default()
    }
}
