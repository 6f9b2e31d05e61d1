//! The listing of a directory as a reply: made at once and kept where it is small, else when its entries are known.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::fstat;

use super::{
    Form, Format, Listing, ListingOptions, Order, Reader, Reading, ReadingError, Run, SLICE,
};
use crate::files::SimpleHttpRequestHandler;
use crate::files::cache::CachedReply;
use crate::files::names::open::Directory;
use crate::files::send_head::Asked;
use crate::handler::exchange::Exchange;
use crate::handler::prepared::Prepared;
use crate::handler::work::Work;
use crate::http::status::HttpStatus;
use crate::wire::source::Fill;

impl SimpleHttpRequestHandler {
    /// Appends to the key of a directory what its listing depends on beside it.
    pub(in crate::files) fn push_listing_key(&self, exchange: &Exchange<'_>, key: &mut Vec<u8>) {
        let (order, format) = form(exchange);
        // No path has a NUL.
        key.extend_from_slice(&[0, order.code(), format.code(), u8::from(self.dotfiles)]);
    }

    /// Answers with the listing of `directory`, which is at `path` below `root`. What was `asked` is `None` where it cannot be
    /// kept.
    pub(in crate::files) fn send_listing(
        &self,
        exchange: &mut Exchange<'_>,
        path: &[u8],
        root: &Directory,
        directory: OwnedFd,
        asked: Option<&Asked<'_>>,
    ) -> io::Result<()> {
        let (order, format) = form(exchange);
        let path = path.to_vec();
        let form = Form {
            path,
            order,
            format,
        };
        let key = self.reading_key(&form, root, &directory)?;
        let (memory, epoch) = (exchange.server().listing_memory(), exchange.clock().epoch());
        let known = self.readings.borrow().known(&key);
        let current = known.reading.upgrade();
        if let Some(reading) = current.filter(|reading| reading.is_later_than(epoch)) {
            exchange.work(Box::new(Waiting { form, reading }));
            return Ok(());
        }
        let mut reader = self.reader(&form, root, directory);
        // Not where the handler has begun to reply in its own way, which is misuse and will be found.
        let may_begin = exchange.is_untouched() && !exchange.allowance().is_spent();
        let reading = if may_begin && known.is_nothing() {
            let mut run = Run::new(order);
            if self.list_at_once(exchange, &form, asked, &mut reader, &mut run)? {
                return Ok(());
            }
            Reading::begun((reader, run), order, memory, epoch)
        } else {
            Reading::new(reader, order, memory, &known)
        };
        let reading = Arc::new(reading);
        self.readings.borrow_mut().insert(&key, &reading);
        exchange.work(Box::new(Waiting { form, reading }));
        Ok(())
    }

    /// Replies if the directory has no more entries than are read in one slice, and there is time for that.
    fn list_at_once(
        &self,
        exchange: &mut Exchange<'_>,
        form: &Form,
        asked: Option<&Asked<'_>>,
        reader: &mut Reader,
        run: &mut Run,
    ) -> io::Result<bool> {
        let began = Instant::now();
        let keep = asked.filter(|asked| self.may_keep_listing(exchange, asked, reader));
        // What is kept is made only once, so it has as much time as a slice takes.
        let until = match keep {
            Some(_) => None,
            None => Some(began + exchange.allowance().left()),
        };
        let fill = reader.read_slice(run, until)?;
        let is_all = fill == Fill::Done && run.len() <= SLICE;
        if is_all {
            let page = form.page_of_run(run);
            let reply = Arc::new(Prepared::page(exchange.server(), HttpStatus::OK, &page));
            exchange.send_prepared(Arc::clone(&reply));
            if let Some(asked) = keep {
                self.keep_listing(exchange, asked, reader, reply);
            }
        }
        exchange.allowance().charge(began.elapsed());
        Ok(is_all)
    }

    /// Says whether the listing is to be kept, if it is small.
    fn may_keep_listing(
        &self,
        exchange: &Exchange<'_>,
        asked: &Asked<'_>,
        reader: &Reader,
    ) -> bool {
        let (clock, config) = (exchange.clock(), exchange.server().config());
        let (key, mut cache) = (self.listing_key(exchange, asked), self.cache.borrow_mut());
        cache.admits(&key, 0, clock, config) && cache.watcher.may_watch(reader.directory())
    }

    /// Keeps a listing that was made of what `reader` has read. The directory is watched only now that it is known to be small: the
    /// kernel goes through all the names that it knows in it, which takes it 20 ms for a hundred thousand. So the names are
    /// read again after that, and each file is looked at again.
    fn keep_listing(
        &self,
        exchange: &Exchange<'_>,
        asked: &Asked<'_>,
        reader: &mut Reader,
        reply: Arc<Prepared>,
    ) -> Option<()> {
        let (clock, config) = (exchange.clock(), exchange.server().config());
        let (key, mut cache) = (self.listing_key(exchange, asked), self.cache.borrow_mut());
        let (root, absent, watcher) = (&self.root, &asked.absent, &mut cache.watcher);
        let directory = reader.directory();
        let mut watched = watcher.watch_directory(root, asked.path, absent, directory, clock)?;
        let is_same = reader.finds_the_same_names()
            && watcher.watch_listed(&mut watched, reader.directory(), reader.listed()?);
        is_same.then(|| cache.put(&key, watched, CachedReply::Listing(reply), clock, config))
    }

    fn listing_key(&self, exchange: &Exchange<'_>, asked: &Asked<'_>) -> Vec<u8> {
        let mut key = asked.key.to_vec();
        self.push_listing_key(exchange, &mut key);
        key
    }

    fn reader(&self, form: &Form, root: &Directory, directory: OwnedFd) -> Reader {
        let root = root.clone();
        let follow = move |path: &[u8]| root.stat(path);
        let options = ListingOptions {
            dotfiles: self.dotfiles,
        };
        Reader::new(directory, &form.path, options, follow)
    }

    /// What is the same for all who may share a reading: the directory that was opened, whatever its name leads to by then, that
    /// in which its links are followed, and what is shown in which order.
    fn reading_key(
        &self,
        form: &Form,
        root: &Directory,
        directory: &OwnedFd,
    ) -> io::Result<Vec<u8>> {
        let mut key = vec![form.order.code(), u8::from(self.dotfiles)];
        for stat in [fstat(directory)?, fstat(root)?] {
            key.extend_from_slice(&stat.st_dev.to_ne_bytes());
            key.extend_from_slice(&stat.st_ino.to_ne_bytes());
        }
        key.extend_from_slice(&form.path);
        Ok(key)
    }
}

/// In which order the listing is asked for, and in which format.
fn form(exchange: &Exchange<'_>) -> (Order, Format) {
    let query = exchange
        .path()
        .split_once('?')
        .map_or("", |(_, query)| query);
    let format = Format::negotiate(query, exchange.headers());
    (Order::from_query(query), format)
}

/// A listing whose entries are not known yet.
struct Waiting {
    form: Form,
    reading: Arc<Reading>,
}

impl Work for Waiting {
    fn advance(&mut self, until: Instant) -> bool {
        self.reading.advance(until)
    }

    fn reply(self: Box<Self>, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let Self { form, reading } = *self;
        let format = form.format;
        let entries = match reading.entries() {
            Ok(entries) => entries,
            Err(ReadingError::Full) => return send_too_many(exchange),
            Err(ReadingError::Unreadable(errno)) => return Err(errno.into()),
        };
        if entries.len() <= SLICE {
            let page = form.page_of(&entries);
            let reply = Prepared::page(exchange.server(), HttpStatus::OK, &page);
            exchange.send_prepared(Arc::new(reply));
            return Ok(());
        }
        let memory = exchange.server().listing_memory();
        let Ok(listing) = Listing::new(form, entries, memory) else {
            return send_too_many(exchange);
        };
        exchange.send_response(HttpStatus::OK);
        exchange.send_lines(&format.fields());
        exchange.set_default_fields(format.defaults());
        exchange.end_headers();
        exchange.stream_as_work(Box::new(listing));
        Ok(())
    }
}

/// Refuses a listing for which there is no memory now.
fn send_too_many(exchange: &mut Exchange<'_>) -> io::Result<()> {
    let explain = "There is no memory for this listing beside those that others are sent.";
    exchange.send_error(HttpStatus::SERVICE_UNAVAILABLE, None, Some(explain));
    exchange.send_header("Retry-After", "1");
    Ok(())
}
