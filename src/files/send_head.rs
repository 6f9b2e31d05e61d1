//! From a request to a file, an index page, a listing or an error, step by step.
//!
//! Invariant: the name is resolved once, when the file is opened. Type, size and content are those of the open file, so they belong
//! together.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, Stat, fstat};
use rustix::io::Errno;

use super::SimpleHttpRequestHandler;
use super::cache::{CachedReply, Watched};
use super::identity::Identity;
use super::listing::{Form, ListingRequest, View};
use super::names::guess_type::content_type;
use super::names::open::Directory;
use super::names::redirect::location;
use super::representation::{Content, MAX_IN_MEMORY, Representation};
use super::send_file::{send_file, send_to_end};
use crate::handler::exchange::Exchange;
use crate::http::conditional::Condition;
use crate::http::status::HttpStatus;
use crate::wire::file_range::SharedFile;

/// What a request asks for, and the keys under which its reply is kept.
pub(super) struct Asked<'p> {
    /// The path below the served directory.
    pub(super) path: &'p [u8],
    /// Whether the target means a directory.
    as_directory: bool,
    /// The key of a file or an index page: the path, followed by a slash if the target means a directory.
    key: &'p [u8],
    /// The key of a listing: that of the directory, followed by the form of the listing.
    pub(super) listing_key: &'p [u8],
    /// Whether no symbolic link was found on the way: only then changes are noticed and the reply can be kept.
    is_plain: bool,
    /// The index pages that do not exist and would be sent instead of the reply if they did.
    pub(super) absent: Vec<Vec<u8>>,
}

/// A regular file that was opened to be sent.
struct OpenedFile<'p> {
    path: &'p [u8],
    file: File,
    stat: Stat,
}

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
        let asked = Asked {
            path: key.get(..path_length).unwrap_or_default(),
            as_directory,
            key: key.get(..key_length).unwrap_or_default(),
            listing_key: key,
            is_plain: false,
            absent: Vec::new(),
        };
        let sent = self.open_and_send(asked);
        // Only a request without a kept reply changes what is kept.
        let mut cache = self.files.cache.borrow_mut();
        cache.tell_size(self.exchange.server());
        sent
    }

    /// Opens what is at the path that was `asked` for, and replies with it.
    fn open_and_send(&mut self, mut asked: Asked<'_>) -> io::Result<()> {
        // 3. The open file.
        let Some(root) = self.open_root() else {
            return Ok(());
        };
        let (files, opened) = (self.files, root.open(asked.path));
        asked.is_plain = opened.is_plain;
        let file = match opened.found {
            Ok(file) => file,
            Err(errno) => {
                if asked.is_plain && matches!(errno, Errno::NOENT | Errno::NOTDIR) {
                    self.keep_missing(&asked);
                }
                return self.send_open_error(&root, errno);
            }
        };
        files.access.note_reached(self.exchange, &files.root);
        // 4. The reply that belongs to it.
        let stat = fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if !asked.as_directory => {
                let (path, file) = (asked.path, file.into());
                self.send_regular_file(&asked, OpenedFile { path, file, stat })
            }
            FileType::Directory if asked.as_directory => self.send_directory(asked, &root, file),
            FileType::Directory => {
                let location = location(self.exchange.path());
                self.exchange.send_response(HttpStatus::MOVED_PERMANENTLY);
                self.exchange.send_header("Location", location);
                self.exchange.end_headers();
                Ok(())
            }
            // A file that is asked for as a directory; a FIFO, a socket, a device.
            _ => files.not_found.send(self.exchange),
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
                Some(send_file(self.exchange, file, descriptor))
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

    /// Opens the served directory. If that fails, this replies with the error, and the log gets a line the first time.
    fn open_root(&mut self) -> Option<Directory> {
        let files = self.files;
        let error = match files.root.open() {
            Ok(root) => {
                files.access.note_found(self.exchange, &files.root);
                return Some(root);
            }
            Err(error) => error,
        };
        files.access.note_gone(self.exchange, &files.root, &error);
        let status = match Errno::from_io_error(&error) {
            Some(Errno::ACCESS | Errno::PERM) => HttpStatus::FORBIDDEN,
            Some(errno) if is_missing(errno) => {
                let _ = files.not_found.send(self.exchange);
                return None;
            }
            _ => HttpStatus::SERVICE_UNAVAILABLE,
        };
        self.exchange.send_error(status, None, None);
        None
    }

    /// Replies with a regular file, and keeps the reply under the key that was `asked` for.
    fn send_regular_file(&mut self, asked: &Asked<'_>, opened: OpenedFile<'_>) -> io::Result<()> {
        let (clock, server) = (self.exchange.clock(), self.exchange.server());
        let content_type = content_type(&self.media_type(opened.path))?;
        server.count_lookup(false);
        let watched = self.watch_file(asked, &opened);
        // The stat that was made after the file was watched is the newer one.
        let stat = watched
            .as_ref()
            .map_or(&opened.stat, |watched| &watched.stat);
        let (identity, size) = (Identity::from(stat), size(stat));
        let shared = Arc::new(SharedFile::from(opened.file));
        // Without a condition a file may be sent while it is read from the disk; its entity tag is only known after that.
        let patient = self.exchange.condition() != Condition::None;
        let content = Content::read(&shared, size, patient)?;
        let made = Representation::new(server, clock, &identity, &content_type, &content, &shared);
        let Some(representation) = made.map(Arc::new) else {
            send_to_end(self.exchange, shared, &content_type);
            return Ok(());
        };
        if let Some(watched) = watched
            && !matches!(content, Content::Cold(_))
        {
            let reply = CachedReply::File(Arc::clone(&representation));
            let mut cache = self.files.cache.borrow_mut();
            cache.put(asked.key, watched, reply, clock, server.config());
            if matches!(content, Content::InFile(_)) {
                server.keep_open(&shared, clock.instant);
            }
        }
        let file = (!matches!(content, Content::InMemory(_))).then_some(shared);
        send_file(self.exchange, &representation, file)
    }

    /// Watches a file if its reply is to be kept; `None` if it is not.
    fn watch_file(&self, asked: &Asked<'_>, opened: &OpenedFile<'_>) -> Option<Watched> {
        let may_keep = asked.is_plain || self.files.root.single().is_some();
        if !may_keep || self.files.overrides.guess_type.is_some() {
            return None;
        }
        let (clock, config) = (self.exchange.clock(), self.exchange.server().config());
        let size = size(&opened.stat);
        let in_memory = if size > MAX_IN_MEMORY { 0 } else { size };
        let mut cache = self.files.cache.borrow_mut();
        if !cache.admits(asked.key, in_memory, clock, config) {
            return None;
        }
        let (root, absent) = (&self.files.root, &asked.absent);
        cache
            .watcher
            .watch_file(root, opened.path, absent, &opened.file, clock)
    }

    /// Returns the media type of the file at `path`; a single file that is a symbolic link may have it from the name of its target.
    fn media_type(&self, path: &[u8]) -> Cow<'h, str> {
        match self.files.root.link_target() {
            Some(target) => Cow::Owned(self.files.guess_type(&target).into_owned()),
            None => self.files.guess_type(Path::new(OsStr::from_bytes(path))),
        }
    }

    /// Replies with the first index page of a directory that is a regular file. Returns whether it has replied.
    fn send_index_page(&mut self, asked: &mut Asked<'_>, root: &Directory) -> io::Result<bool> {
        for page in &self.files.index_pages {
            let mut path = asked.path.to_vec();
            push_segment(&mut path, page);
            let opened = root.open(&path);
            // A link that leads nowhere may lead somewhere when its target is made.
            asked.is_plain &= opened.is_plain;
            match opened.found {
                Ok(file) => {
                    let stat = fstat(&file)?;
                    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                        let (path, file) = (path.as_slice(), file.into());
                        self.send_regular_file(asked, OpenedFile { path, file, stat })?;
                        return Ok(true);
                    }
                }
                Err(errno) if is_missing(errno) => {}
                Err(errno) => {
                    self.send_open_error(root, errno)?;
                    return Ok(true);
                }
            }
            asked.absent.push(path);
        }
        Ok(false)
    }

    /// Replies with the index page of a directory, or with its listing.
    fn send_directory(
        &mut self,
        mut asked: Asked<'_>,
        root: &Directory,
        directory: OwnedFd,
    ) -> io::Result<()> {
        if self.send_index_page(&mut asked, root)? {
            return Ok(());
        }
        if !self.files.list_directories {
            let message = "No permission to list directory";
            self.exchange
                .send_error(HttpStatus::FORBIDDEN, Some(message), None);
            return Ok(());
        }
        if let Some(list) = &self.files.overrides.list_directory {
            return list(self.exchange, Path::new(OsStr::from_bytes(asked.path)));
        }
        let request = ListingRequest {
            files: self.files,
            root,
            form: Form::new(asked.path.to_vec(), View::of(self.exchange)),
            asked: asked.is_plain.then_some(&asked),
        };
        request.send(self.exchange, directory)
    }

    /// Keeps the 404 for the path that was `asked` for.
    fn keep_missing(&self, asked: &Asked<'_>) {
        if self.files.root.single().is_none() {
            let (clock, config) = (self.exchange.clock(), self.exchange.server().config());
            let mut cache = self.files.cache.borrow_mut();
            cache.put_missing(&self.files.root, asked.key, asked.path, clock, config);
        }
    }

    /// Replies with the error that `errno` means when a file is opened.
    ///
    /// # Errors
    /// An `errno` that is a fault of this machine: a 500.
    fn send_open_error(&mut self, root: &Directory, errno: Errno) -> io::Result<()> {
        let status = match errno {
            _ if is_missing(errno) => return self.files.not_found.send(self.exchange),
            Errno::ACCESS if root.is_out_of_reach(self.files.root.single()) => {
                self.files
                    .access
                    .send_out_of_reach(self.exchange, &self.files.root);
                return Ok(());
            }
            Errno::ACCESS | Errno::PERM => HttpStatus::FORBIDDEN,
            // No descriptor or memory is left, or the file system is not there now.
            Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
            | Errno::AGAIN
            | Errno::NOTCONN
            | Errno::STALE
            | Errno::TIMEDOUT => HttpStatus::SERVICE_UNAVAILABLE,
            _ => return Err(errno.into()),
        };
        self.exchange.send_error(status, None, None);
        Ok(())
    }
}

fn push_segment(path: &mut Vec<u8>, segment: &str) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(segment.as_bytes());
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Returns whether `errno` means that no file that can be served has this name.
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
