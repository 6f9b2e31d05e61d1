//! From a request to a file, an index page, a listing or an error, step by step.
//!
//! Invariant: the name is resolved once, when the file is opened. Type, size and content are those of the open file, so they belong
//! together.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use super::SimpleHttpRequestHandler;
use super::asked::Asked;
use super::cache::{CachedReply, Watched};
use super::identity::Identity;
use super::listing::{Form, ListingRequest, View};
use super::look_up::{
    Found, FoundDirectory, FoundFile, LoadedFile, Lookup, NotOpened, Patience, is_missing,
    is_unavailable,
};
use super::lookup_work::LookupWork;
use super::names::guess_type::FileType;
use super::names::mounts::FileSystem;
use super::names::redirect::location;
use super::representation::{Content, MAX_IN_MEMORY, MayWait, Representation, SentFrom};
use super::send_file::{send_file, send_to_end};
use crate::handler::exchange::Exchange;
use crate::http::conditional::Condition;
use crate::http::status::HttpStatus;
use crate::wire::file_threads::Refused;

/// A GET or HEAD on its way to a reply.
pub(super) struct FileRequest<'h, 'x> {
    files: &'h SimpleHttpRequestHandler,
    exchange: &'h mut Exchange<'x>,
}

impl<'h, 'x> FileRequest<'h, 'x> {
    pub(super) fn new(files: &'h SimpleHttpRequestHandler, exchange: &'h mut Exchange<'x>) -> Self {
        Self { files, exchange }
    }

    /// Replies with what the target leads to; `key` is memory for the path and the keys of the request.
    pub(super) fn send_head(&mut self, key: &mut Vec<u8>) -> io::Result<()> {
        // 1. The path that the target means.
        let as_directory = match self.files.locate(self.exchange.target(), key) {
            Ok(as_directory) => as_directory,
            Err(HttpStatus::NOT_FOUND) => return self.files.not_found.send(self.exchange),
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
        let mut sent = self.send_kept(key);
        if sent.is_none() && as_directory && self.files.makes_listings() {
            View::of(self.exchange).push_key(key, self.files.dotfiles);
            sent = self.send_kept(key);
        }
        if let Some(sent) = sent {
            self.exchange.server().count_lookup(true);
            return sent;
        }
        let asked = Asked::new(&**key, path_length, key_length);
        let sent = self.look_up_and_send(&asked);
        // Only a request without a kept reply changes what is kept.
        let mut cache = self.files.cache.borrow_mut();
        cache.tell_size(self.exchange.server());
        sent
    }

    /// Looks up what was `asked` for, and replies with it; a file thread does that if the loop might have to wait.
    fn look_up_and_send(&mut self, asked: &Asked<'_>) -> io::Result<()> {
        // 3. What the path leads to now.
        match self.find(asked, &self.files.index_pages) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.leave_to_thread(asked, self.files.for_thread())
            }
            found => self.reply(asked, found),
        }
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
    fn leave_to_thread(
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

    /// Replies with what was `found`.
    pub(super) fn reply(&mut self, asked: &Asked<'_>, found: io::Result<Found>) -> io::Result<()> {
        let found = match found {
            Ok(found) => found,
            Err(error) if Errno::from_io_error(&error).is_some_and(is_unavailable) => {
                let status = HttpStatus::SERVICE_UNAVAILABLE;
                self.exchange.send_error(status, None, None);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let (access, root) = (&self.files.access, &self.files.root);
        if !matches!(found, Found::NoRoot(_)) {
            access.note_found(self.exchange, root);
        }
        if !matches!(found, Found::NoRoot(_) | Found::Nothing(_)) {
            access.note_reached(self.exchange, root);
        }
        // 4. The reply that belongs to it.
        match found {
            Found::File(file) => self.send_regular_file(asked, file),
            Found::Loaded(file) => {
                let files = self.files;
                let file_type = files.file_type(&file.path, file.link_target.as_deref());
                self.send_loaded(asked, file, &file_type, None)
            }
            Found::Directory(directory) => self.send_directory(asked, directory),
            Found::NoFile => {
                let location = location(self.exchange.path());
                let policy = self.exchange.server().file_policy();
                self.exchange.send_response(HttpStatus::MOVED_PERMANENTLY);
                self.exchange.send_lines(policy);
                self.exchange.send_header("Location", location);
                self.exchange.end_headers();
                Ok(())
            }
            Found::NotServed => self.files.not_found.send(self.exchange),
            Found::Nothing(not_opened) => self.send_nothing(asked, &not_opened),
            Found::NoRoot(error) => self.send_no_root(&error),
        }
    }

    /// Sends the reply that is kept for `key`; `None` where none can be sent. A media type that the owner's closure gives may be
    /// another one for each request, so then nothing is kept.
    #[inline]
    fn send_kept(&mut self, key: &[u8]) -> Option<io::Result<()>> {
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
                // A large file may have been closed since the reply was made.
                let descriptor = file.file().ok()?;
                if let Some(descriptor) = &descriptor {
                    server.keep_open(descriptor, clock.instant);
                }
                Some(send_file(
                    self.exchange,
                    file,
                    descriptor.map(SentFrom::Local),
                ))
            }
            CachedReply::Listing(page) if page.belongs_to(server) => {
                self.exchange.send_prepared(Arc::clone(page));
                Some(Ok(()))
            }
            CachedReply::NotFound => Some(self.files.not_found.send(self.exchange)),
            _ => None,
        });
        sent.flatten()
    }

    /// Replies to a request for which the served path leads nowhere. The log gets a line the first time.
    fn send_no_root(&mut self, error: &io::Error) -> io::Result<()> {
        let files = self.files;
        files.access.note_gone(self.exchange, &files.root, error);
        let status = match Errno::from_io_error(error) {
            Some(Errno::ACCESS | Errno::PERM) => HttpStatus::FORBIDDEN,
            Some(errno) if is_missing(errno) => return files.not_found.send(self.exchange),
            _ => HttpStatus::SERVICE_UNAVAILABLE,
        };
        self.exchange.send_error(status, None, None);
        Ok(())
    }

    /// Replies with a regular file that was opened here, and keeps the reply if changes of the file are reported.
    fn send_regular_file(&mut self, asked: &Asked<'_>, mut found: FoundFile) -> io::Result<()> {
        let watched = self.watch_file(asked, &found);
        // The stat that was made after the file was watched is the newer one.
        if let Some(watched) = &watched {
            found.stat = watched.stat;
        }
        let (files, threads) = (self.files, self.exchange.server().file_threads());
        let file_system = files.cache.borrow().watcher.file_system(&found.file);
        let file_type = files.file_type(&found.path, found.link_target.as_deref());
        let may_wait = self.may_wait(asked, file_system, file_type.may_be_text);
        let loaded = found.load(may_wait, file_system, threads, file_type.may_be_text)?;
        if threads.is_some() && matches!(loaded.content, Content::Cold(_)) {
            return self.leave_to_thread(asked, self.files.for_thread());
        }
        self.send_loaded(asked, loaded, &file_type, watched)
    }

    /// Returns for what the loop may wait when it reads a small file. With file threads it reads only what is in memory. A file system
    /// in memory cannot tell that, and need not; of others that cannot tell, it reads what a thread has read lately.
    fn may_wait(&self, asked: &Asked<'_>, file_system: FileSystem, asks_for_text: bool) -> MayWait {
        if self.exchange.server().file_threads().is_none() {
            // Without a condition a file may be sent while it is read from the disk; its entity tag is only known after that, and so
            // is a type that depends on its content.
            return MayWait {
                for_disk: asks_for_text || self.exchange.condition() != Condition::None,
                if_unknown: true,
            };
        }
        let now = self.exchange.clock().instant;
        MayWait {
            for_disk: false,
            if_unknown: file_system == FileSystem::Memory
                || self.files.read_by_thread.is_recent(asked.key(), now),
        }
    }

    /// Replies with a file, and keeps the reply under the key that was `asked` for if the file is `watched`.
    fn send_loaded(
        &mut self,
        asked: &Asked<'_>,
        loaded: LoadedFile,
        file_type: &FileType<'_>,
        watched: Option<Watched>,
    ) -> io::Result<()> {
        let (clock, server) = (self.exchange.clock(), self.exchange.server());
        let LoadedFile {
            stat,
            content,
            is_text,
            sent_from,
            ..
        } = loaded;
        let content_type = file_type.fields(is_text)?;
        server.count_lookup(false);
        let made = Representation::new(
            server,
            clock,
            &Identity::from(&stat),
            server.file_policy(),
            &content_type,
            &content,
            sent_from.as_ref(),
        );
        let Some(representation) = made.map(Arc::new) else {
            // A file of unknown length is never in memory.
            if let Some(sent_from) = sent_from {
                send_to_end(self.exchange, sent_from, &content_type);
            }
            return Ok(());
        };
        if let Some(watched) = watched
            && !matches!(content, Content::Cold(_))
        {
            self.keep(asked, watched, &representation);
            if let Some(SentFrom::Local(shared)) = &sent_from {
                server.keep_open(shared, clock.instant);
            }
        }
        send_file(self.exchange, &representation, sent_from)
    }

    /// Keeps the reply with a file that is `watched`, under the key that was `asked` for.
    fn keep(&self, asked: &Asked<'_>, watched: Watched, representation: &Arc<Representation>) {
        let (clock, server) = (self.exchange.clock(), self.exchange.server());
        let reply = CachedReply::File(Arc::clone(representation));
        let mut cache = self.files.cache.borrow_mut();
        cache.put(asked.key(), watched, reply, clock, server.config());
    }

    /// Watches a file if its reply is to be kept; `None` if it is not.
    fn watch_file(&self, asked: &Asked<'_>, found: &FoundFile) -> Option<Watched> {
        let may_keep = found.is_plain || self.files.root.single().is_some();
        if !may_keep || self.files.overrides.guess_type.is_some() {
            return None;
        }
        let (clock, config) = (self.exchange.clock(), self.exchange.server().config());
        let size = found.size();
        let in_memory = if size > MAX_IN_MEMORY { 0 } else { size };
        let mut cache = self.files.cache.borrow_mut();
        if !cache.admits(asked.key(), in_memory, clock, config) {
            return None;
        }
        let (root, absent) = (&self.files.root, &found.absent);
        cache
            .watcher
            .watch_file(root, &found.path, absent, &found.file, clock)
    }

    /// Replies with the listing of a directory without an index page.
    fn send_directory(&mut self, asked: &Asked<'_>, found: FoundDirectory) -> io::Result<()> {
        if !self.files.list_directories {
            let message = "No permission to list directory";
            self.exchange
                .send_error(HttpStatus::FORBIDDEN, Some(message), None);
            return Ok(());
        }
        if let Some(list) = &self.files.overrides.list_directory {
            return list(self.exchange, Path::new(OsStr::from_bytes(asked.path())));
        }
        self.send_listing(asked, found)
    }

    fn send_listing(&mut self, asked: &Asked<'_>, found: FoundDirectory) -> io::Result<()> {
        let request = ListingRequest {
            files: self.files,
            form: Form::new(asked.path().to_vec(), View::of(self.exchange)),
            asked,
            found,
        };
        request.send(self.exchange)
    }

    /// Keeps the 404 for the path that was `asked` for.
    fn keep_missing(&self, asked: &Asked<'_>) {
        if self.files.root.single().is_none() {
            let (clock, config) = (self.exchange.clock(), self.exchange.server().config());
            let mut cache = self.files.cache.borrow_mut();
            cache.put_missing(&self.files.root, asked.key(), asked.path(), clock, config);
        }
    }

    /// Replies to a request for a path that leads to nothing that can be opened.
    ///
    /// # Errors
    /// A fault of this machine: a 500.
    fn send_nothing(&mut self, asked: &Asked<'_>, not_opened: &NotOpened) -> io::Result<()> {
        let errno = not_opened.errno;
        if not_opened.is_plain && matches!(errno, Errno::NOENT | Errno::NOTDIR) {
            self.keep_missing(asked);
        }
        let status = match errno {
            _ if is_missing(errno) => return self.files.not_found.send(self.exchange),
            _ if not_opened.is_out_of_reach => {
                self.files
                    .access
                    .send_out_of_reach(self.exchange, &self.files.root);
                return Ok(());
            }
            Errno::ACCESS | Errno::PERM => HttpStatus::FORBIDDEN,
            _ if is_unavailable(errno) => HttpStatus::SERVICE_UNAVAILABLE,
            _ => return Err(errno.into()),
        };
        self.exchange.send_error(status, None, None);
        Ok(())
    }
}
