//! From a request to a file, an index page, a listing or an error, step by step.
//!
//! Invariant: a file is opened first, then asked what it is, then served: name and content cannot fall apart.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Stat, fstat};
use rustix::io::Errno;

use super::cache::CachedReply;
use super::identity::Identity;
use super::names::guess_type;
use super::names::open::Directory;
use super::names::redirect::location;
use super::names::translate_path::{clean, translate_path};
use super::representation::{Content, Representation, SMALL};
use super::{SimpleHttpRequestHandler, send_file};
use crate::handler::error_page::error_page;
use crate::handler::exchange::Exchange;
use crate::handler::prepared::Prepared;
use crate::http::conditional::Condition;
use crate::http::status::HttpStatus;
use crate::wire::file_range::SharedFile;

/// What a request asks for.
pub(super) struct Asked<'p> {
    /// What it is kept by: the path, with a slash behind it where a directory is meant.
    pub(super) key: &'p [u8],
    /// Below the served directory.
    pub(super) path: &'p [u8],
    /// Index pages that are not there, and go before the one that is sent, or before the listing.
    pub(super) absent: Vec<Vec<u8>>,
}

impl SimpleHttpRequestHandler {
    /// Answers GET and HEAD: the file, the index page or the listing that the target means, or an error page. The reply is
    /// complete then, and takes no more fields.
    ///
    /// # Errors
    /// The disk fails: a 500.
    pub fn send_head(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        // The path is scratch that must not be borrowed from the handler while it answers.
        let mut path = std::mem::take(&mut self.path);
        let answered = self.send_target(exchange, &mut path);
        self.path = path;
        answered
    }

    /// Returns the path below the directory that `target` means, whether or not there is anything; `None` where it is not to
    /// be served: a NUL in it, or a name that is hidden.
    pub fn translate_path(&self, target: &str) -> Option<PathBuf> {
        let mut path = Vec::new();
        self.locate(target.as_bytes(), &mut path).ok()?;
        Some(PathBuf::from(OsStr::from_bytes(&path)))
    }

    /// Returns the media type that a file called `path` is sent with, without its charset.
    pub fn guess_type(&self, path: &Path) -> Cow<'_, str> {
        if let Some(media_type) = self
            .overrides
            .guess_type
            .as_ref()
            .and_then(|guess| guess(path))
        {
            return Cow::Owned(media_type);
        }
        let name = path.to_string_lossy();
        Cow::Borrowed(guess_type::guess_type(
            &name,
            &self.extensions_map,
            &self.default_content_type,
        ))
    }

    /// Answers with the listing of the directory at `path` below the served one, as a page or as JSON.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn list_directory(&self, exchange: &mut Exchange<'_>, path: &Path) -> io::Result<()> {
        let mut path = path.as_os_str().as_bytes().to_vec();
        clean(&mut path);
        let root = self.root.open()?;
        let directory = root.open(&path).found?;
        self.send_listing(exchange, &path, &root, directory, None)
    }

    fn send_target(&self, exchange: &mut Exchange<'_>, path: &mut Vec<u8>) -> io::Result<()> {
        // 1. What is meant.
        let as_directory = match self.locate(exchange.target(), path) {
            Ok(as_directory) => as_directory,
            Err(HttpStatus::NOT_FOUND) => return self.send_not_found(exchange),
            Err(status) => {
                exchange.send_error(status, Some("Bad request target"), None);
                return Ok(());
            }
        };
        // 2. What is kept of it, and still true.
        let length = path.len();
        if as_directory {
            path.push(b'/');
        }
        let mut sent = self.send_kept(exchange, path);
        let is_listed = self.list_directories && self.overrides.list_directory.is_none();
        if sent.is_none() && as_directory && is_listed {
            self.push_listing_key(exchange, path);
            sent = self.send_kept(exchange, path);
            path.truncate(length + 1);
        }
        if let Some(sent) = sent {
            exchange.server().count_lookup(true);
            return sent;
        }
        let (key, path) = (path.as_slice(), path.get(..length).unwrap_or_default());
        let mut asked = Asked {
            key,
            path,
            absent: Vec::new(),
        };
        // 3. What is there: opened first, then asked.
        let Some(root) = self.open_root(exchange) else {
            return Ok(());
        };
        let opened = root.open(path);
        let is_plain = opened.is_plain;
        let file = match opened.found {
            Ok(file) => file,
            Err(errno) => {
                if is_plain && matches!(errno, Errno::NOENT | Errno::NOTDIR) {
                    self.keep_missing(exchange, &asked);
                }
                return self.send_open_error(exchange, &root, errno);
            }
        };
        self.access.note_reached(exchange, &self.root);
        // 4. What belongs to it.
        let stat = fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if !as_directory => {
                let may_keep = is_plain || self.root.single().is_some();
                self.send_file(exchange, &asked, path, file.into(), &stat, may_keep)
            }
            FileType::Directory if as_directory => {
                self.send_directory(exchange, &mut asked, &root, file, is_plain)
            }
            FileType::Directory => {
                exchange.send_response(HttpStatus::MOVED_PERMANENTLY);
                exchange.send_header("Location", location(exchange.path()));
                exchange.end_headers();
                Ok(())
            }
            // A file that is asked for as a directory; a FIFO, a socket, a device.
            _ => self.send_not_found(exchange),
        }
    }

    /// Finds the path that `target` means, and says whether it means a directory; or the status of what is not served.
    fn locate(&self, target: &[u8], path: &mut Vec<u8>) -> Result<bool, HttpStatus> {
        let mut translated = translate_path(target, path).ok_or(HttpStatus::BAD_REQUEST)?;
        if let Some(translate) = &self.overrides.translate_path {
            *path = translate(str::from_utf8(target).unwrap_or_default())
                .ok_or(HttpStatus::NOT_FOUND)?
                .into_os_string()
                .into_encoded_bytes();
            translated.hidden = clean(path).hidden;
        }
        match self.root.single() {
            // The single file stands for `/`, too.
            Some(name) if path.is_empty() || (path == name && !translated.trailing_slash) => {
                path.clear();
                path.extend_from_slice(name);
                Ok(false)
            }
            None if !translated.hidden || self.dotfiles => Ok(translated.trailing_slash),
            _ => Err(HttpStatus::NOT_FOUND),
        }
    }

    /// Sends the reply that is kept for `key`; `None` where none can be sent. What is replaced by the owner may change from request
    /// to request.
    #[inline]
    fn send_kept(&self, exchange: &mut Exchange<'_>, key: &[u8]) -> Option<io::Result<()>> {
        if self.overrides.guess_type.is_some() {
            return None;
        }
        let (clock, server) = (exchange.clock(), exchange.server());
        let mut cache = self.cache.borrow_mut();
        let sent = cache.find(key, clock, &self.root, |reply| match reply {
            // The clock may have been set back, and Last-Modified is never in the future (RFC 9110 §8.8.2.1).
            CachedReply::File(file)
                if file.whole.belongs_to(server) && file.last_modified() <= clock.unix =>
            {
                // A large one may have been closed meanwhile.
                let descriptor = file.file().ok()?;
                if let Some(descriptor) = &descriptor {
                    server.keep_open(descriptor, clock.instant);
                }
                Some(send_file::send_file(exchange, file, descriptor))
            }
            CachedReply::Listing(page) if page.belongs_to(server) => {
                exchange.send_prepared(Arc::clone(page));
                Some(Ok(()))
            }
            CachedReply::NotFound => Some(self.send_not_found(exchange)),
            _ => None,
        });
        sent.flatten()
    }

    /// Opens the served directory. Where its name leads nowhere, that is the answer, and the log is told once.
    fn open_root(&self, exchange: &mut Exchange<'_>) -> Option<Directory> {
        match self.root.open() {
            Ok(root) => {
                self.access.note_found(exchange, &self.root);
                Some(root)
            }
            Err(error) => {
                let errno = Errno::from_io_error(&error);
                self.access.note_gone(exchange, &self.root, &error);
                match errno {
                    Some(Errno::ACCESS | Errno::PERM) => {
                        exchange.send_error(HttpStatus::FORBIDDEN, None, None);
                    }
                    Some(errno) if is_missing(errno) => {
                        let _ = self.send_not_found(exchange);
                    }
                    _ => exchange.send_error(HttpStatus::SERVICE_UNAVAILABLE, None, None),
                }
                None
            }
        }
    }

    /// Answers with the regular file at `path`, and keeps the reply for what was `asked`.
    fn send_file(
        &self,
        exchange: &mut Exchange<'_>,
        asked: &Asked<'_>,
        path: &[u8],
        file: std::fs::File,
        stat: &Stat,
        may_keep: bool,
    ) -> io::Result<()> {
        let (clock, server) = (exchange.clock(), exchange.server());
        let config = server.config();
        let content_type = guess_type::content_type(&self.media_type(path))?;
        server.count_lookup(false);
        let mut cache = self.cache.borrow_mut();
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let in_memory = if size > SMALL { 0 } else { size };
        let may_keep = may_keep && self.overrides.guess_type.is_none();
        let watched = if may_keep && cache.admits(asked.key, in_memory, clock, config) {
            cache
                .watcher
                .watch_file(&self.root, path, &asked.absent, &file, clock)
        } else {
            None
        };
        // What was asked after it was watched is newer.
        let stat = watched.as_ref().map_or(stat, |watched| &watched.stat);
        let identity = Identity::from(stat);
        let shared = Arc::new(SharedFile::from(file));
        // Without a condition a file may be sent while it comes from the disk; its entity tag is not known before.
        let patient = exchange.condition() != Condition::None;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let content = Content::read(&shared, size, patient)?;
        let Some(representation) =
            Representation::new(server, clock, &identity, &content_type, &content, &shared)
        else {
            drop(cache);
            send_file::send_to_end(exchange, shared, &content_type);
            return Ok(());
        };
        let representation = Arc::new(representation);
        if let Some(watched) = watched
            && !matches!(content, Content::Cold(_))
        {
            cache.put(
                asked.key,
                watched,
                CachedReply::File(Arc::clone(&representation)),
                clock,
                config,
            );
            if matches!(content, Content::InFile(_)) {
                server.keep_open(&shared, clock.instant);
            }
        }
        drop(cache);
        let in_memory = matches!(content, Content::InMemory(_));
        send_file::send_file(exchange, &representation, (!in_memory).then_some(shared))
    }

    /// The media type of the file at `path`; a single file that is a symbolic link may have it from the name behind that.
    fn media_type(&self, path: &[u8]) -> Cow<'_, str> {
        match self.root.link_target() {
            Some(target) => Cow::Owned(self.guess_type(&target).into_owned()),
            None => self.guess_type(Path::new(OsStr::from_bytes(path))),
        }
    }

    fn send_directory(
        &self,
        exchange: &mut Exchange<'_>,
        asked: &mut Asked<'_>,
        root: &Directory,
        directory: std::os::fd::OwnedFd,
        mut is_plain: bool,
    ) -> io::Result<()> {
        for page in &self.index_pages {
            let mut path = asked.path.to_vec();
            push_segment(&mut path, page);
            let opened = root.open(&path);
            // A link that leads nowhere may lead somewhere when its target is made.
            is_plain &= opened.is_plain;
            match opened.found {
                Ok(file) => {
                    let stat = fstat(&file)?;
                    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                        return self.send_file(
                            exchange,
                            asked,
                            &path,
                            file.into(),
                            &stat,
                            is_plain,
                        );
                    }
                }
                Err(errno) if is_missing(errno) => {}
                Err(errno) => return self.send_open_error(exchange, root, errno),
            }
            asked.absent.push(path);
        }
        if !self.list_directories {
            exchange.send_error(
                HttpStatus::FORBIDDEN,
                Some("No permission to list directory"),
                None,
            );
            return Ok(());
        }
        match &self.overrides.list_directory {
            Some(list) => list(exchange, Path::new(OsStr::from_bytes(asked.path))),
            None => {
                let path = asked.path;
                self.send_listing(exchange, path, root, directory, is_plain.then_some(asked))
            }
        }
    }

    fn keep_missing(&self, exchange: &Exchange<'_>, asked: &Asked<'_>) {
        if self.root.single().is_none() {
            let (clock, config) = (exchange.clock(), exchange.server().config());
            let mut cache = self.cache.borrow_mut();
            cache.put_missing(&self.root, asked.key, asked.path, clock, config);
        }
    }

    fn send_open_error(
        &self,
        exchange: &mut Exchange<'_>,
        root: &Directory,
        errno: Errno,
    ) -> io::Result<()> {
        let status = match errno {
            _ if is_missing(errno) => return self.send_not_found(exchange),
            Errno::ACCESS if root.is_out_of_reach(self.root.single()) => {
                self.access.send_out_of_reach(exchange, &self.root);
                return Ok(());
            }
            Errno::ACCESS | Errno::PERM => HttpStatus::FORBIDDEN,
            // Nothing is left to open it with, or its file system is not there now.
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
            | Errno::AGAIN
            | Errno::NOTCONN
            | Errno::STALE
            | Errno::TIMEDOUT => HttpStatus::SERVICE_UNAVAILABLE,
            _ => return Err(errno.into()),
        };
        exchange.send_error(status, None, None);
        Ok(())
    }

    /// Replies with the 404, which is made once in each form. The head is closed then.
    fn send_not_found(&self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let (server, is_html) = (exchange.server(), exchange.accepts_html());
        let (status, message) = (HttpStatus::NOT_FOUND, Some("File not found"));
        let mut kept = self.not_found.borrow_mut();
        let reply = match &mut kept[usize::from(is_html)] {
            Some(reply) if reply.belongs_to(server) => reply,
            reply => {
                let page = error_page(server, is_html, status, message, None)?;
                reply.insert(Arc::new(Prepared::page(server, status, &page)))
            }
        };
        exchange.discard();
        exchange.send_prepared(Arc::clone(reply));
        Ok(())
    }
}

fn push_segment(path: &mut Vec<u8>, segment: &str) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(segment.as_bytes());
}

/// Whether nothing that could be served has this name, and not by a fault of ours.
fn is_missing(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::LOOP
            | Errno::XDEV
            | Errno::NAMETOOLONG
            | Errno::NXIO
            | Errno::NODEV
            | Errno::INVAL
            | Errno::ILSEQ
    )
}
