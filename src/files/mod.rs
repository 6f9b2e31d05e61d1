//! The static handler: GET and HEAD on the files of one directory; `send_head.rs` has the steps.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod access;
mod cache;
mod identity;
mod listing;
mod names;
mod not_found;
mod overrides;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod representation;
mod send_file;
mod send_head;

use crate::handler::exchange::Exchange;
use crate::handler::{BaseHttpRequestHandler, unsupported};
use crate::http::status::HttpStatus;
use access::Access;
use cache::Cache;
use listing::{Form, ListingRequest, Readings, View};
use names::guess_type::guess_type;
use names::root::{Root, Symlinks};
use names::translate_path::clean;
use not_found::NotFound;
use overrides::Overrides;

const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Serves the files of a directory, as http.server's handler of this name does.
///
/// ```no_run
/// use httpoll::{HttpServer, SimpleHttpRequestHandler};
///
/// let handler = SimpleHttpRequestHandler::new("public")?;
/// HttpServer::bind("127.0.0.1:8000", handler)?.serve_forever()
/// # ; Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "SimpleHTTPRequestHandler")]
pub struct SimpleHttpRequestHandler {
    root: Root,
    access: Access,
    /// Names that stand for their directory, the first that is a file; to be set before the first request, as replies are kept.
    pub index_pages: Vec<String>,
    /// Media types by suffix, dot included; they go before the well-known ones. To be set before the first request: replies
    /// with files are kept.
    pub extensions_map: HashMap<String, String>,
    /// The media type of files whose suffix nobody knows; to be set before the first request, too.
    pub default_content_type: String,
    /// Whether a directory without an index page is listed; else it is answered with 403.
    pub list_directories: bool,
    /// Whether names that begin with a dot are served and listed.
    pub dotfiles: bool,
    overrides: Overrides,
    cache: RefCell<Cache>,
    /// Listings that are being made or sent.
    readings: RefCell<Readings>,
    not_found: NotFound,
    /// Memory for the key of the request that is being answered.
    scratch: Vec<u8>,
}

impl SimpleHttpRequestHandler {
    /// Serves what `path` leads to, a directory or a single file; the file at `/` and at its name.
    ///
    /// The name is followed at each request: a directory that is deleted and made again, or a symbolic link that is pointed
    /// elsewhere, is served as it is then. A relative path begins at the present current directory. Symbolic links below the
    /// directory are followed as long as they stay inside.
    ///
    /// # Errors
    /// What is there cannot be opened, or is neither a directory nor a regular file.
    pub fn new(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::serving(Root::named(path.as_ref(), Symlinks::Inside)?))
    }

    /// Serves `path` as [`new`](Self::new) does, but follows all symbolic links, wherever they lead.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn following_symlinks(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::serving(Root::named(path.as_ref(), Symlinks::All)?))
    }

    /// Serves this very `directory`, whatever becomes of its name. It stays open as long as the handler lives.
    pub fn pinned(directory: impl Into<OwnedFd>) -> Self {
        Self::serving(Root::pinned(directory.into()))
    }

    fn serving(root: Root) -> Self {
        Self {
            root,
            access: Access::default(),
            index_pages: vec!["index.html".to_owned(), "index.htm".to_owned()],
            extensions_map: HashMap::new(),
            default_content_type: "application/octet-stream".to_owned(),
            list_directories: true,
            dotfiles: false,
            overrides: Overrides::default(),
            cache: RefCell::new(Cache::new()),
            readings: RefCell::default(),
            not_found: NotFound::default(),
            scratch: Vec::new(),
        }
    }

    /// Returns the directory that is served, opened, as its name leads to it now: of a single file, the one that it is in.
    ///
    /// # Errors
    /// The name leads nowhere, or there is no descriptor left.
    pub fn directory(&self) -> io::Result<OwnedFd> {
        self.root.open()?.into_fd()
    }

    /// Returns the path that is followed, made absolute; `None` for a [pinned](Self::pinned) directory.
    pub fn path(&self) -> Option<PathBuf> {
        self.root.path()
    }

    /// Puts `translate_path` in place of the usual mapping from target to path below the directory. Segments `.` and `..` of
    /// its result lead no further than the directory; `None` is a 404.
    pub fn set_translate_path(
        &mut self,
        translate_path: impl Fn(&str) -> Option<PathBuf> + Send + Sync + 'static,
    ) {
        self.overrides.translate_path = Some(Arc::new(translate_path));
    }

    /// Asks `guess_type` for the media type of a path first; where it says `None`, the usual one is used. One that is empty or has
    /// control bytes is a 500, wherever it comes from.
    pub fn set_guess_type(
        &mut self,
        guess_type: impl Fn(&Path) -> Option<String> + Send + Sync + 'static,
    ) {
        self.overrides.guess_type = Some(Arc::new(guess_type));
    }

    /// Has `list_directory` answer for directories without an index page; it is given the path below the directory.
    pub fn set_list_directory(
        &mut self,
        list_directory: impl Fn(&mut Exchange<'_>, &Path) -> io::Result<()> + Send + Sync + 'static,
    ) {
        self.overrides.list_directory = Some(Arc::new(list_directory));
    }

    /// Answers GET and HEAD: the file, the index page or the listing that the target means, or an error page. The reply is
    /// complete then, and takes no more fields.
    ///
    /// # Errors
    /// The disk fails: a 500.
    pub fn send_head(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        // The scratch must not be borrowed from the handler while the handler answers.
        let mut scratch = mem::take(&mut self.scratch);
        let answered = send_head::send_head(self, exchange, &mut scratch);
        self.scratch = scratch;
        answered
    }

    /// Returns the path below the directory that `target` means, whether or not there is anything; `None` where it is not to
    /// be served: a NUL in it, or a name that is hidden.
    pub fn translate_path(&self, target: &str) -> Option<PathBuf> {
        let mut path = Vec::new();
        send_head::locate(self, target.as_bytes(), &mut path).ok()?;
        Some(PathBuf::from(OsString::from_vec(path)))
    }

    /// Returns the media type that a file called `path` is sent with, without its charset.
    pub fn guess_type(&self, path: &Path) -> Cow<'_, str> {
        let guess = self.overrides.guess_type.as_ref();
        if let Some(media_type) = guess.and_then(|guess| guess(path)) {
            return Cow::Owned(media_type);
        }
        let (map, default) = (&self.extensions_map, &self.default_content_type);
        Cow::Borrowed(guess_type(&path.to_string_lossy(), map, default))
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
        let request = ListingRequest {
            files: self,
            root: &root,
            form: Form::new(path, View::of(exchange)),
            asked: None,
        };
        request.send(exchange, directory)
    }
}

impl BaseHttpRequestHandler for SimpleHttpRequestHandler {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        false
    }

    fn may_change_files(&self) -> bool {
        // What its owner put in place of its parts may do anything.
        self.overrides.are_set()
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        self.send_head(exchange)
    }

    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        self.send_head(exchange)
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        not_allowed(exchange)
    }

    fn do_put(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        not_allowed(exchange)
    }

    fn do_delete(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        not_allowed(exchange)
    }

    fn do_patch(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        not_allowed(exchange)
    }

    fn do_trace(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        not_allowed(exchange)
    }

    fn do_options(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        exchange.send_response(HttpStatus::NO_CONTENT);
        exchange.send_header("Allow", ALLOW);
        exchange.end_headers();
        Ok(())
    }

    fn do_other(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        match exchange.command() {
            "CONNECT" => not_allowed(exchange),
            _ => unsupported(exchange),
        }
    }
}

fn not_allowed(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.send_error(HttpStatus::METHOD_NOT_ALLOWED, None, None);
    exchange.send_header("Allow", ALLOW);
    Ok(())
}
