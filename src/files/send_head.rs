//! From a request to a file, an index page, a listing or an error, step by step.
//!
//! Invariant: the name is resolved once, when the file is opened. Type, size and content are those of the open file, so they belong
//! together.

use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::SimpleHttpRequestHandler;
use super::asked::Asked;
use super::cache::CachedReply;
use super::listing::View;
use super::look_up::{Found, Lookup, Patience};
use super::lookup_work::LookupWork;
use super::representation::SentFrom;
use super::send_file::send_file;
use crate::handler::exchange::Exchange;
use crate::http::status::HttpStatus;
use crate::wire::file_threads::Refused;

/// A GET or HEAD on its way to a reply.
pub(super) struct FileRequest<'h, 'x> {
    pub(super) files: &'h SimpleHttpRequestHandler,
    pub(super) exchange: &'h mut Exchange<'x>,
    /// Whether the entry that is kept for a step says that nothing is at its path.
    pub(super) is_nothing: bool,
}

impl<'h, 'x> FileRequest<'h, 'x> {
    pub(super) fn new(files: &'h SimpleHttpRequestHandler, exchange: &'h mut Exchange<'x>) -> Self {
        let is_nothing = false;
        Self {
            files,
            exchange,
            is_nothing,
        }
    }

    /// Replies with what the target leads to; `key` is memory for the path and the keys of the request.
    pub(super) fn send_head(&mut self, key: &mut Vec<u8>) -> io::Result<()> {
        // 1. The path that the target means.
        let as_directory = match self.files.locate_inline(self.exchange.target(), key) {
            Ok(as_directory) => as_directory,
            Err(HttpStatus::NOT_FOUND) => return self.send_plain_not_found(),
            Err(status) => {
                self.exchange
                    .send_error(status, Some("Bad request target"), None);
                return Ok(());
            }
        };
        let path_length = key.len();
        if as_directory {
            key.push(b'/');
        }
        let key_length = key.len();
        // 2. The reply that is kept for it, if nothing has changed.
        let mut sent = self.send_kept(key, Self::send_plain_not_found);
        if sent.is_none() && as_directory && self.files.makes_listings() {
            View::of(self.exchange).push_key(key, self.files.dotfiles);
            sent = self.send_kept(key, Self::send_plain_not_found);
        }
        if let Some(sent) = sent {
            self.exchange.server().count_lookup(true);
            return sent;
        }
        self.look_up_and_send(&Asked::new(&**key, path_length, key_length))
    }

    /// Looks up what was `asked` for, and replies with it; a file thread does that if the loop might have to wait.
    pub(super) fn look_up_and_send(&mut self, asked: &Asked<'_>) -> io::Result<()> {
        // 3. What the path leads to now.
        let sent = match self.find(asked, &self.files.index_pages) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.leave_to_thread(asked, self.files.for_thread())
            }
            found => self.reply(asked, found),
        };
        // Only a request without a kept reply changes what is kept.
        let mut cache = self.files.cache.borrow_mut();
        cache.tell_size(self.exchange.server());
        sent
    }

    /// Replies with the listing of the directory that was `asked` for, without looking for an index page.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(super) fn list(&mut self, asked: &Asked<'_>) -> io::Result<()> {
        match self.find(asked, &[]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.leave_to_thread(asked, self.files.for_thread().that_only_lists())
            }
            Ok(Found::Directory(mut found)) => {
                found.is_plain = false;
                self.send_listing(asked, found)
            }
            Ok(Found::NoRoot(error)) => Err(error),
            Ok(Found::Nothing(not_opened)) => Err(not_opened.errno.into()),
            found => found.and(Err(Errno::NOTDIR.into())),
        }
    }

    /// Finds what was `asked` for. Without file threads it may wait for a file system.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if it might have to wait, and there are file threads. An open file cannot be examined: a 500.
    fn find(&self, asked: &Asked<'_>, index_pages: &[String]) -> io::Result<Found> {
        let may_wait = self.exchange.server().file_threads().is_none();
        let mounts = {
            let mut cache = self.files.cache.borrow_mut();
            cache.watcher.may_wait = may_wait;
            if cache.watcher.check(self.exchange.clock()) {
                self.files.read_by_thread.clear();
            }
            cache.watcher.mounts.clone()
        };
        let patience = if may_wait {
            Patience::Yes
        } else {
            Patience::No(&mounts)
        };
        let lookup = Lookup {
            index_pages,
            ..self.files.lookup(asked, patience)
        };
        lookup.find()
    }

    /// Has a file thread look up what was `asked` for; the reply follows, made by a `copy` of the handler.
    pub(super) fn leave_to_thread(
        &mut self,
        asked: &Asked<'_>,
        copy: SimpleHttpRequestHandler,
    ) -> io::Result<()> {
        let submitter = self.exchange.submitter().ok_or(Errno::AGAIN)?;
        let locality = {
            let cache = self.files.cache.borrow();
            self.files
                .root
                .locality(asked.path(), &cache.watcher.mounts)
        };
        let submitter = submitter.with(locality);
        match LookupWork::begin(copy, asked, &submitter) {
            Ok(work) => self.exchange.work(Box::new(work)),
            Err(Refused) => self.exchange.send_file_unavailable(),
        }
        Ok(())
    }

    /// Sends the reply that is kept for `key`; `None` where none can be sent. If it is kept that nothing is there, `send_nothing`
    /// replies. A media type that the owner's closure gives may be another one for each request, so then nothing is kept.
    // A plain function pointer, because the code is then there once, and the compiler inlines what it calls.
    pub(super) fn send_kept(
        &mut self,
        key: &[u8],
        send_nothing: fn(&mut Self) -> io::Result<()>,
    ) -> Option<io::Result<()>> {
        if self.files.overrides.guess_type.is_some() {
            return None;
        }
        let (clock, server) = (self.exchange.clock(), self.exchange.server());
        let mut cache = self.files.cache.borrow_mut();
        let sent = cache.find(key, clock, &self.files.root, |reply| match reply {
            // The clock may have been set back, and Last-Modified is never in the future (RFC 9110 §8.8.2.1).
            CachedReply::File(file)
                if file.whole.belongs_to(server) && file.last_modified() <= clock.unix =>
            {
                let file = match &file.codings {
                    Some(codings) => self.choose(codings, key, file),
                    None => file,
                };
                // A large file may have been closed since the reply was made.
                let descriptor = file.file().ok()?;
                if let Some(descriptor) = &descriptor {
                    server.keep_open(descriptor, clock.instant);
                }
                let sent_from = descriptor.map(SentFrom::Local);
                Some(send_file(self.exchange, file, sent_from))
            }
            CachedReply::Listing(listing) if listing.page.belongs_to(server) => {
                let page = self.choose_listing(listing, key);
                self.exchange.send_prepared(Arc::clone(page));
                Some(Ok(()))
            }
            CachedReply::Rules | CachedReply::Nothing => Some(send_nothing(self)),
            _ => None,
        });
        sent.flatten()
    }
}
