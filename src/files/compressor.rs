//! Compressing the content of kept replies, once for each coding.
//!
//! Invariant: the loop never compresses and no request waits. For each loop, one file thread compresses one content at a time, and
//! jobs that came meanwhile are done before the next content. Until a coding is there, clients get what there is.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::SimpleHttpRequestHandler;
use super::cache::CachedReply;
use super::codings::Codings;
use super::encode::encode;
use super::listing::KeptListing;
use super::representation::Representation;
use super::send_head::FileRequest;
use crate::handler::prepared::Prepared;
use crate::handler::server_info::ServerInfo;
use crate::http::accept_encoding::Coding;
use crate::wire::file_threads::{FileThreads, Locality, Pending};
use crate::wire::shared_file::SharedFile;

/// Contents that may wait to be compressed. Each may have an open file.
const MAX_WAITING: usize = 64;

/// A kept reply with a content that can be compressed.
#[derive(Clone, Debug)]
enum Original {
    InMemory(Arc<Representation>),
    InFile(Arc<Representation>, Arc<SharedFile>),
    Listing(Arc<KeptListing>),
}

/// A content that is to be made in a coding.
#[derive(Debug)]
struct Compression {
    /// The key under which the original is kept.
    key: Box<[u8]>,
    original: Original,
    coding: Coding,
}

#[derive(Default)]
struct CompressionQueue {
    waiting: VecDeque<Compression>,
    /// What a thread has made, with the content in its coding; `None` if that is not smaller, or cannot be made.
    done: Vec<(Compression, Option<Vec<u8>>)>,
    /// The job of the thread that compresses. It would be dropped if nothing waited for it.
    job: Option<Pending<()>>,
}

#[derive(Default)]
struct SharedQueue {
    queue: Mutex<CompressionQueue>,
    /// Whether something is done, so that the loop takes the lock only then.
    has_done: AtomicBool,
}

/// The contents of one loop that are compressed, and those that wait to be.
#[derive(Default)]
pub(super) struct Compressor(Arc<SharedQueue>);

impl Original {
    fn give_up(&self, coding: Coding) {
        match self {
            Self::InMemory(file) | Self::InFile(file, _) => {
                if let Some(codings) = &file.codings {
                    codings.give_up(coding);
                }
            }
            Self::Listing(listing) => listing.codings.give_up(coding),
        }
    }

    /// Returns the content in `coding`; it is read if it is in a file.
    fn compressed(&self, coding: Coding) -> Option<Vec<u8>> {
        let read;
        let content = match self {
            Self::InMemory(file) => file.whole.content(),
            Self::Listing(listing) => listing.page.content(),
            Self::InFile(file, shared) => {
                let mut content = vec![0; usize::try_from(file.size).ok()?];
                shared.file.read_exact_at(&mut content, 0).ok()?;
                read = content;
                &read
            }
        };
        let encoded = encode(coding, content).ok()?;
        (encoded.len() < content.len()).then_some(encoded)
    }
}

impl Compressor {
    /// Has one of the `threads` compress `original` after what waits already.
    fn begin(&self, threads: &FileThreads, key: &[u8], original: Original, coding: Coding) {
        let mut queue = self.0.lock();
        if queue.waiting.len() >= MAX_WAITING {
            original.give_up(coding);
            return;
        }
        let key = key.into();
        queue.waiting.push_back(Compression {
            key,
            original,
            coding,
        });
        // A job that has panicked is over, too.
        let is_running = |job: &Pending<()>| job.poll().is_pending();
        if !queue.job.as_ref().is_some_and(is_running) {
            queue.job = submit(threads, &self.0);
        }
        if queue.job.is_none() {
            for task in queue.waiting.drain(..) {
                task.original.give_up(task.coding);
            }
        }
    }

    /// Takes what has been compressed since the last call.
    fn take_done(&self) -> Vec<(Compression, Option<Vec<u8>>)> {
        if !self.0.has_done.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut queue = self.0.lock();
        self.0.has_done.store(false, Ordering::Release);
        mem::take(&mut queue.done)
    }
}

impl FileRequest<'_, '_> {
    /// Returns the best representation of a kept file that the client accepts. A better one that is missing is compressed for later
    /// requests.
    #[inline(never)]
    pub(super) fn choose<'r>(
        &self,
        codings: &'r Codings<Representation>,
        key: &[u8],
        file: &'r Arc<Representation>,
    ) -> &'r Arc<Representation> {
        let accepted = self.exchange.accepted_codings();
        let chosen = codings.choose(accepted, |coding| {
            let original = match file.file() {
                Ok(None) => Some(Original::InMemory(Arc::clone(file))),
                Ok(Some(shared)) => Some(Original::InFile(Arc::clone(file), shared)),
                // The file was closed. It is compressed when it is open again.
                Err(()) => None,
            };
            if let Some(original) = original {
                self.compress(codings.begin(coding), key, original, coding);
            }
        });
        chosen.unwrap_or(file)
    }

    /// Returns the best reply with a kept listing that the client accepts, as [`choose`](Self::choose) does.
    #[inline(never)]
    pub(super) fn choose_listing<'r>(
        &self,
        listing: &'r Arc<KeptListing>,
        key: &[u8],
    ) -> &'r Arc<Prepared> {
        let accepted = self.exchange.accepted_codings();
        let chosen = listing.codings.choose(accepted, |coding| {
            let original = Original::Listing(Arc::clone(listing));
            self.compress(listing.codings.begin(coding), key, original, coding);
        });
        chosen.unwrap_or(&listing.page)
    }

    fn compress(&self, is_new: bool, key: &[u8], original: Original, coding: Coding) {
        match self.exchange.server().file_threads() {
            Some(threads) if is_new => {
                let compressor = &self.files.compressor;
                compressor.begin(threads, key, original, coding);
            }
            _ => {}
        }
    }
}

impl SimpleHttpRequestHandler {
    /// Adds what has been compressed to the replies that are kept.
    #[inline(never)]
    pub(super) fn take_compressed(&self, server: &ServerInfo) {
        for (compression, content) in self.compressor.take_done() {
            let Compression {
                key,
                original,
                coding,
            } = compression;
            let mut cache = self.cache.borrow_mut();
            cache.add_coding(&key, server.config(), |kept| match (kept, &original) {
                (CachedReply::File(kept), Original::InMemory(file) | Original::InFile(file, _))
                    if Arc::ptr_eq(kept, file) =>
                {
                    let made = content.map(|content| file.in_coding(server, coding, &content));
                    if let Some(codings) = &file.codings {
                        codings.set(coding, made.map(Arc::new));
                    }
                }
                (CachedReply::Listing(kept), Original::Listing(listing))
                    if Arc::ptr_eq(kept, listing) =>
                {
                    let made = content.map(|content| listing.in_coding(server, coding, content));
                    listing.codings.set(coding, made.map(Arc::new));
                }
                // The reply was dropped or made anew meanwhile.
                _ => {}
            });
        }
    }
}

impl SharedQueue {
    fn lock(&self) -> MutexGuard<'_, CompressionQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a thread compress the first content that waits; `None` if the threads take no job.
fn submit(threads: &FileThreads, shared: &Arc<SharedQueue>) -> Option<Pending<()>> {
    let (own, shared) = (threads.clone(), Arc::clone(shared));
    let job = move || compress_next(&own, &shared);
    let waker = Waker::noop().clone();
    threads.submit(waker, Locality::Local, job).ok()
}

/// Compresses the first content that waits. Other jobs come before the next one.
fn compress_next(threads: &FileThreads, shared: &Arc<SharedQueue>) {
    let task = shared.lock().waiting.pop_front();
    let done = task.map(|task| {
        let content = task.original.compressed(task.coding);
        (task, content)
    });
    let mut queue = shared.lock();
    queue.done.extend(done);
    shared.has_done.store(true, Ordering::Release);
    queue.job = None;
    if !queue.waiting.is_empty() {
        queue.job = submit(threads, shared);
    }
}

/// A clone is empty: loops share no memory.
impl Clone for Compressor {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}
