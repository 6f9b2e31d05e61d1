//! The reply to a request for a listing. If the directory is small, and the loop need not wait for it, the reply is made at once and
//! kept. Otherwise the loop or a file thread reads the directory in slices, and the reply follows.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::Stat;

use super::format::Format;
use super::readme::read_opened;
use super::{Form, KeptListing, Listing, Reader, Reading, ReadingError, Run, SLICE};
use crate::files::SimpleHttpRequestHandler;
use crate::files::asked::Asked;
use crate::files::cache::CachedReply;
use crate::files::encode::can_encode;
use crate::files::live;
use crate::files::look_up::{FoundDirectory, is_unavailable};
use crate::files::recent_keys::ReadByThread;
use crate::files::representation::MayWait;
use crate::handler::exchange::Exchange;
use crate::handler::prepared::Prepared;
use crate::handler::work::Work;
use crate::http::field::FieldLines;
use crate::http::status::HttpStatus;
use crate::wire::file_threads::Submitter;
use crate::wire::source::Fill;

/// A request for the listing of one directory.
pub(in crate::files) struct ListingRequest<'a> {
    pub(in crate::files) files: &'a SimpleHttpRequestHandler,
    pub(in crate::files) form: Form,
    /// The path of the directory, and the key for keeping the listing.
    pub(in crate::files) asked: &'a Asked<'a>,
    pub(in crate::files) found: FoundDirectory,
}

impl ListingRequest<'_> {
    /// Replies with the listing, or leaves the work that is needed first to the loop and a file thread.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(in crate::files) fn send(self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let key = self.reading_key();
        let (memory, epoch) = (exchange.server().listing_memory(), exchange.clock().epoch());
        let known = self.files.readings.known(&key);
        let current = known.reading.upgrade();
        if let Some(reading) = current.filter(|reading| reading.is_later_than(epoch)) {
            self.wait_for(exchange, reading);
            return Ok(());
        }
        let (mut reader, order) = (self.reader(), self.form.view.order);
        let mut run = Run::new(order);
        // A handler that has begun a reply of its own misuses the exchange: the exchange finds that out when the handler returns.
        let may_begin = exchange.is_untouched() && !exchange.allowance().is_spent();
        let reading = if !may_begin || !known.is_nothing() {
            Reading::new(reader, order, memory, &known)
        } else if exchange.submitter().is_none() {
            if self.send_at_once(exchange, &mut reader, &mut run)? {
                return Ok(());
            }
            Reading::begun((reader, run), order, memory, epoch)
        } else {
            if self.send_from_memory(exchange, run)? {
                return Ok(());
            }
            Reading::new(reader, order, memory, &known)
        };
        let reading = Arc::new(reading);
        self.files.readings.insert(&key, &reading);
        self.wait_for(exchange, reading);
        Ok(())
    }

    /// Replies at once if a thread has just read the directory, on a local disk, and found that the listing could be kept. Returns
    /// whether it has replied.
    fn send_from_memory(&self, exchange: &mut Exchange<'_>, mut run: Run) -> io::Result<bool> {
        let (key, now) = (self.asked.listing_key(), exchange.clock().instant);
        let (is_local, mounts) = {
            let cache = self.files.cache.borrow();
            let is_local = cache.watcher.is_local(&self.found.directory);
            (is_local, cache.watcher.mounts.clone())
        };
        if !is_local || !self.files.read_by_thread.is_recent(key, now) {
            return Ok(false);
        }
        // A link that was made since is not followed, because it may lead to another file system.
        let reader = self.reader_following(|_| Err(io::ErrorKind::WouldBlock.into()));
        let root = self.found.root.clone();
        // A thread has read the README, too, so it is in memory where the file system cannot tell.
        let may_wait = MayWait {
            for_disk: false,
            if_unknown: true,
        };
        let mut reader = reader.with_readme(move |path| {
            let opened = root.open_now(path, &mounts);
            read_opened(opened.ok_or(io::ErrorKind::WouldBlock)?, may_wait)
        });
        let has_replied = self.send_at_once(exchange, &mut reader, &mut run)?;
        if !has_replied {
            reader.rewind()?;
        }
        Ok(has_replied)
    }

    fn wait_for(self, exchange: &mut Exchange<'_>, reading: Arc<Reading>) {
        let note = (
            self.files.read_by_thread.share(),
            self.asked.listing_key().to_vec(),
        );
        let work = ListingWork {
            policy: self.files.listing_policy(exchange.server()),
            is_live: self.files.live,
            form: self.form,
            slices: reading.slices(),
            reading,
            submitter: exchange
                .submitter()
                .map(|submitter| submitter.with(self.found.locality)),
            note,
        };
        exchange.work(Box::new(work));
    }

    /// Reads one slice of entries into `run`, and replies if that is all of them. Returns whether it has replied.
    fn send_at_once(
        &self,
        exchange: &mut Exchange<'_>,
        reader: &mut Reader,
        run: &mut Run,
    ) -> io::Result<bool> {
        let began = Instant::now();
        let keep = self.found.is_plain && self.may_keep(exchange, reader);
        // A listing that is kept is made only once, so it may take as long as a slice takes.
        let until = (!keep).then(|| began + exchange.allowance().left());
        let fill = reader.read_slice(run, until)?;
        let may_send = exchange.submitter().is_none() || reader.listed().is_some();
        let is_all = fill == Fill::Done && run.len() <= SLICE && may_send;
        if is_all {
            let server = exchange.server();
            let mut page = self.form.page_of_run(run, reader.readme());
            if self.files.live && self.form.view.format == Format::Html {
                live::add_to(&mut page, server);
            }
            let policy = self.files.listing_policy(server);
            let reply = Arc::new(Prepared::page(server, HttpStatus::OK, &policy, &page));
            exchange.send_prepared(Arc::clone(&reply));
            if keep {
                let may_make = self.files.compresses(server, page.content.len() as u64);
                let may_make = |coding| may_make && can_encode(coding);
                let listing = KeptListing::new(reply, page, policy, may_make);
                self.keep(exchange, reader, listing);
            }
        }
        exchange.allowance().charge(began.elapsed());
        Ok(is_all)
    }

    /// Returns whether the listing is to be kept if it is small.
    fn may_keep(&self, exchange: &Exchange<'_>, reader: &Reader) -> bool {
        let (clock, config) = (exchange.clock(), exchange.server().config());
        let mut cache = self.files.cache.borrow_mut();
        cache.admits(self.asked.listing_key(), 0, clock, config)
            && cache.watcher.is_local(reader.directory())
    }

    /// Keeps a listing of the entries that `reader` has read.
    ///
    /// The directory is watched only now that it is known to be small: the kernel goes through all the names that it knows in the
    /// directory, which takes 20 ms for a hundred thousand. So after that the names and the README are read again, and each file is
    /// looked at again.
    fn keep(
        &self,
        exchange: &Exchange<'_>,
        reader: &mut Reader,
        listing: KeptListing,
    ) -> Option<()> {
        let (clock, config) = (exchange.clock(), exchange.server().config());
        let mut cache = self.files.cache.borrow_mut();
        let (root, absent, watcher) = (&self.files.root, &self.found.absent, &mut cache.watcher);
        let directory = reader.directory();
        let mut watched =
            watcher.watch_directory(root, self.asked.path(), absent, directory, clock)?;
        let is_same = reader.finds_the_same_names()
            && watcher.watch_listed(&mut watched, reader.directory(), reader.listed()?)
            && reader.finds_the_same_readme();
        let reply = CachedReply::Listing(Arc::new(listing));
        is_same.then(|| cache.put(self.asked.listing_key(), watched, reply, clock, config))
    }

    fn reader(&self) -> Reader {
        let root = self.found.root.clone();
        let reader = self.reader_following(move |path| root.stat(path));
        let root = self.found.root.clone();
        reader.with_readme(move |path| read_opened(root.open(path), MayWait::ALWAYS))
    }

    fn reader_following(
        &self,
        follow: impl Fn(&[u8]) -> io::Result<Stat> + Send + 'static,
    ) -> Reader {
        let directory = Arc::clone(&self.found.directory);
        Reader::new(directory, &self.form.path, self.files.dotfiles, follow)
            .with(self.found.locality)
    }

    /// Returns a key that is the same for all requests that may share a reading. It names the open directory by its inode, because
    /// its path may lead elsewhere later; then the root below which links are followed, and what is shown in which order.
    fn reading_key(&self) -> Vec<u8> {
        let mut key = vec![self.form.view.order.code(), u8::from(self.files.dotfiles)];
        for (device, inode) in self.found.ids {
            key.extend_from_slice(&device.to_ne_bytes());
            key.extend_from_slice(&inode.to_ne_bytes());
        }
        key.extend_from_slice(&self.form.path);
        key
    }
}

/// A listing that waits for its entries.
struct ListingWork {
    form: Form,
    policy: Arc<FieldLines>,
    is_live: bool,
    reading: Arc<Reading>,
    /// How many slices were read when this request last had its turn.
    slices: u64,
    submitter: Option<Submitter>,
    /// Where to note that the directory was read, and under which key.
    note: (ReadByThread, Vec<u8>),
}

impl Work for ListingWork {
    fn advance(&mut self, until: Instant) -> Fill {
        let fill = self.reading.advance(until, self.submitter.as_ref());
        let slices = self.reading.slices();
        let before = mem::replace(&mut self.slices, slices);
        match fill {
            // Another request had the turn in which a slice came; this one has come further, too, so its deadline starts again.
            Fill::NotNow if slices != before => Fill::More,
            fill => fill,
        }
    }

    fn reply(self: Box<Self>, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let Self {
            form,
            policy,
            is_live,
            reading,
            note: (read_by_thread, key),
            ..
        } = *self;
        if reading.may_be_kept() {
            read_by_thread.note(&key, exchange.clock().instant);
        }
        let format = form.view.format;
        let entries = match reading.entries() {
            Ok(entries) => entries,
            Err(ReadingError::Full) => return send_too_many(exchange),
            Err(ReadingError::Unreadable(errno)) if is_unavailable(errno) => {
                exchange.send_error(HttpStatus::SERVICE_UNAVAILABLE, None, None);
                return Ok(());
            }
            Err(ReadingError::Unreadable(errno)) => return Err(errno.into()),
            Err(ReadingError::Refused) => {
                exchange.send_file_unavailable();
                return Ok(());
            }
        };
        let server = exchange.server();
        if entries.len() <= SLICE {
            let mut page = form.page_of(&entries, reading.readme().as_deref());
            if is_live && format == Format::Html {
                live::add_to(&mut page, server);
            }
            let reply = Prepared::page(server, HttpStatus::OK, &policy, &page);
            exchange.send_prepared(Arc::new(reply));
            return Ok(());
        }
        let memory = server.listing_memory();
        let Ok(listing) = Listing::new(form, entries, reading.readme(), memory) else {
            return send_too_many(exchange);
        };
        exchange.send_response(HttpStatus::OK);
        exchange.send_lines(&format.fields());
        exchange.send_lines(&policy);
        exchange.set_default_fields(format.defaults());
        exchange.end_headers();
        exchange.stream_as_work(Box::new(listing));
        Ok(())
    }
}

/// Refuses a listing for which no memory is left.
fn send_too_many(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.server().count_refused_listing();
    let explain =
        "The memory for listings is used up by those that are being sent. Try again later.";
    exchange.send_error(HttpStatus::SERVICE_UNAVAILABLE, None, Some(explain));
    exchange.send_header("Retry-After", "1");
    Ok(())
}
