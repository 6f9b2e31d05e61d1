//! The static handler: GET and HEAD for the files of one directory. Its public methods are here; `send_head.rs` has the steps of
//! a request.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod access;
mod asked;
mod cache;
mod identity;
mod listing;
mod look_up;
mod lookup_work;
mod names;
mod not_found;
mod overrides;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod recent_keys;
mod representation;
mod send_file;
mod send_head;

use crate::handler::exchange::Exchange;
use crate::handler::ready_checks;
use crate::handler::{BaseHttpRequestHandler, HandlerResult, unsupported};
use crate::http::method::is_registered;
use crate::http::status::HttpStatus;
use access::Access;
use asked::Asked;
use cache::Cache;
use listing::{Readings, View};
use look_up::{Lookup, Patience};
use names::guess_type::guess_type;
use names::root::{Root, Symlinks};
use names::translate_path::{clean, translate_path};
use not_found::NotFound;
use overrides::Overrides;
use recent_keys::ReadByThread;
use send_head::FileRequest;

const ALLOW: &str = "GET, HEAD, OPTIONS";

/// Serves the files of a directory, as http.server's handler of this name does.
///
/// With [`ServerConfig::file_threads`](crate::ServerConfig::file_threads), threads look up and read what would make the loop wait for
/// a disk or a file server. Without them, the loop does that itself, and all its clients wait meanwhile.
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
    /// Names of index pages: the first that is a file is sent for its directory. To be set before the first request, because
    /// replies are kept.
    pub index_pages: Vec<String>,
    /// Media types by suffix, dot included; they take precedence over the registered ones. To be set before the first request,
    /// because replies are kept.
    pub extensions_map: HashMap<String, String>,
    /// The media type of files with an unknown suffix. To be set before the first request, because replies are kept.
    pub default_content_type: String,
    /// Whether a directory without an index page is listed; if not, it is answered with 403.
    pub list_directories: bool,
    /// Whether names that begin with a dot are served and listed.
    pub dotfiles: bool,
    overrides: Overrides,
    cache: RefCell<Cache>,
    /// Listings that are being made or sent.
    readings: Readings,
    read_by_thread: ReadByThread,
    not_found: NotFound,
    /// Memory for the key of the request that is being answered.
    scratch: Vec<u8>,
}

impl SimpleHttpRequestHandler {
    /// Serves what `path` leads to, a directory or a single file. A single file is served at `/` and at its name.
    ///
    /// The path is followed anew for each request: if the directory is deleted and made again, or a symbolic link is pointed
    /// elsewhere, the new one is served. A relative path begins at the current directory of this moment. Symbolic links below
    /// the directory are followed as long as they stay inside it.
    ///
    /// # Errors
    /// The path leads nowhere, to something that cannot be opened, or to neither a directory nor a regular file.
    pub fn new(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::serving(Root::named(path.as_ref(), Symlinks::Inside)?))
    }

    /// Serves `path` as [`new`](Self::new) does, but follows all symbolic links, also those that lead outside.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn following_symlinks(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::serving(Root::named(path.as_ref(), Symlinks::All)?))
    }

    /// Serves the open `directory`, even if it is renamed or deleted. It stays open as long as the handler lives.
    pub fn pinned(directory: impl Into<OwnedFd>) -> Self {
        Self::serving(Root::pinned(directory.into()))
    }

    fn serving(root: Root) -> Self {
        Self {
            access: Access::default(),
            index_pages: vec!["index.html".to_owned(), "index.htm".to_owned()],
            extensions_map: HashMap::new(),
            default_content_type: "application/octet-stream".to_owned(),
            list_directories: true,
            dotfiles: false,
            overrides: Overrides::default(),
            cache: RefCell::new(Cache::new()),
            root,
            readings: Readings::default(),
            read_by_thread: ReadByThread::default(),
            not_found: NotFound::default(),
            scratch: Vec::new(),
        }
    }

    /// Opens and returns the directory that the served path leads to now; for a single file, the directory that the file is in.
    ///
    /// # Errors
    /// The path leads nowhere, or no descriptor is left.
    pub fn directory(&self) -> io::Result<OwnedFd> {
        self.root.open()?.into_fd()
    }

    /// Returns the served path, made absolute; `None` for a [pinned](Self::pinned) directory.
    pub fn path(&self) -> Option<PathBuf> {
        self.root.path()
    }

    /// Replaces the mapping from the target of a request to a path below the directory. Segments `.` and `..` in the result
    /// of `translate_path` do not lead out of the directory; `None` is a 404.
    pub fn set_translate_path(
        &mut self,
        translate_path: impl Fn(&str) -> Option<PathBuf> + Send + Sync + 'static,
    ) {
        self.overrides.translate_path = Some(Arc::new(translate_path));
    }

    /// Asks `guess_type` for the media type of a path first; for `None` the usual one is used. A media type that is empty or has
    /// control bytes is a 500, also if it comes from another source.
    pub fn set_guess_type(
        &mut self,
        guess_type: impl Fn(&Path) -> Option<String> + Send + Sync + 'static,
    ) {
        self.overrides.guess_type = Some(Arc::new(guess_type));
    }

    /// Has `list_directory` reply for directories without an index page; it is given the path below the served directory.
    pub fn set_list_directory(
        &mut self,
        list_directory: impl Fn(&mut Exchange<'_>, &Path) -> io::Result<()> + Send + Sync + 'static,
    ) {
        self.overrides.list_directory = Some(Arc::new(list_directory));
    }

    /// Replies to GET and HEAD with the file, the index page or the listing that the target means, or with an error page. After
    /// that the reply is complete and takes no more fields.
    ///
    /// # Errors
    /// The disk fails: a 500.
    pub fn send_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        // Taken out, because the request borrows the whole handler.
        let mut scratch = mem::take(&mut self.scratch);
        let answered = FileRequest::new(self, exchange).send_head(&mut scratch);
        self.scratch = scratch;
        Ok(answered?)
    }

    /// Returns the path below the directory that `target` means, whether or not anything is there; `None` if it is not served:
    /// it has a NUL, or a name in it is hidden.
    pub fn translate_path(&self, target: &str) -> Option<PathBuf> {
        let mut path = Vec::new();
        self.locate(target.as_bytes(), &mut path).ok()?;
        Some(PathBuf::from(OsString::from_vec(path)))
    }

    /// Returns whether the file or listing for `target` is `directory`, a path below the served directory, or is in it. It is
    /// `false` for a target that is not served. `directory` may also be a file; an index page is also what `target` means if it
    /// names the directory of that page.
    ///
    /// This is the question of a guard before the files. The text of a target cannot answer it: `/%70rivate/x`, `/./private/x`
    /// and `//private/x` all mean `/private/x`. The names on the way count, not what they lead to: a symbolic link from elsewhere
    /// into `directory` is not below it, and a listing of its parent shows its name. On a file system that ignores case, a name
    /// has further spellings, which this does not know.
    ///
    /// ```
    /// # use httpoll::SimpleHttpRequestHandler;
    /// let files = SimpleHttpRequestHandler::new(".")?;
    /// assert!(files.is_below("/a/..//%70rivate?x", "/private"));
    /// assert!(!files.is_below("/privateer", "/private"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_below(&self, target: &str, directory: impl AsRef<Path>) -> bool {
        let mut below = directory.as_ref().as_os_str().as_bytes().to_vec();
        clean(&mut below);
        let below = OsString::from_vec(below);
        let mut path = Vec::new();
        let Ok(is_directory) = self.locate(target.as_bytes(), &mut path) else {
            return false;
        };
        let path = PathBuf::from(OsString::from_vec(path));
        let has_page = |page: &String| path.join(page).starts_with(&below);
        path.starts_with(&below) || is_directory && self.index_pages.iter().any(has_page)
    }

    /// Writes the path that `target` means to `path`, and returns whether it means a directory.
    ///
    /// # Errors
    /// The status of a target that is not served.
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
            // The single file is at `/`, too.
            Some(name) if path.is_empty() || (path == name && !translated.trailing_slash) => {
                path.clear();
                path.extend_from_slice(name);
                Ok(false)
            }
            None if !translated.hidden || self.dotfiles => Ok(translated.trailing_slash),
            _ => Err(HttpStatus::NOT_FOUND),
        }
    }

    /// Returns whether a directory without an index page is listed by this handler, and not by a closure of the owner.
    fn makes_listings(&self) -> bool {
        self.list_directories && self.overrides.list_directory.is_none()
    }

    /// Returns the media type of a file called `path`, without a charset.
    pub fn guess_type(&self, path: &Path) -> Cow<'_, str> {
        let guess = self.overrides.guess_type.as_ref();
        if let Some(media_type) = guess.and_then(|guess| guess(path)) {
            return Cow::Owned(media_type);
        }
        let (map, default) = (&self.extensions_map, &self.default_content_type);
        Cow::Borrowed(guess_type(&path.to_string_lossy(), map, default))
    }

    /// Replies with the listing of the directory at `path` below the served one, as a page or as JSON.
    ///
    /// # Errors
    /// The directory cannot be read. If a [file thread](crate::ServerConfig::file_threads) has to look it up, the client gets the error
    /// page, and this returns `Ok`.
    pub fn list_directory(&self, exchange: &mut Exchange<'_>, path: &Path) -> io::Result<()> {
        let mut bytes = path.as_os_str().as_bytes().to_vec();
        clean(&mut bytes);
        let path_length = bytes.len();
        bytes.push(b'/');
        let key_length = bytes.len();
        View::of(exchange).push_key(&mut bytes, self.dotfiles);
        let asked = Asked::new(bytes, path_length, key_length);
        FileRequest::new(self, exchange).list(&asked)
    }

    fn lookup<'a>(&'a self, asked: &'a Asked<'_>, patience: Patience<'a>) -> Lookup<'a> {
        Lookup {
            root: &self.root,
            path: asked.path(),
            as_directory: asked.as_directory(),
            index_pages: &self.index_pages,
            patience,
        }
    }

    /// Returns the media type of the file at `path`; a single file that is a symbolic link may have it from the name of its target.
    fn media_type(&self, path: &[u8], link_target: Option<&Path>) -> Cow<'_, str> {
        let path = Path::new(OsStr::from_bytes(path));
        self.guess_type(link_target.unwrap_or(path))
    }

    /// Returns a copy for a request that waits for a file thread. It keeps no replies.
    fn for_thread(&self) -> Self {
        Self {
            root: self.root.clone(),
            access: self.access.clone(),
            index_pages: self.index_pages.clone(),
            extensions_map: self.extensions_map.clone(),
            default_content_type: self.default_content_type.clone(),
            list_directories: self.list_directories,
            dotfiles: self.dotfiles,
            overrides: self.overrides.clone(),
            cache: RefCell::new(Cache::that_keeps_nothing()),
            readings: self.readings.share(),
            read_by_thread: self.read_by_thread.share(),
            not_found: self.not_found.clone(),
            scratch: Vec::new(),
        }
    }

    /// Turns this copy into one that replies with the listing of a directory even if the directory has an index page.
    fn that_only_lists(self) -> Self {
        Self {
            index_pages: Vec::new(),
            list_directories: true,
            overrides: Overrides::default(),
            ..self
        }
    }
}

impl BaseHttpRequestHandler for SimpleHttpRequestHandler {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        false
    }

    fn may_change_files(&self) -> bool {
        // A closure of the owner may do anything.
        self.overrides.are_set()
    }

    /// Opens what is served, as a request does: it must be there, and must not be deleted.
    fn check_ready(&mut self) -> Result<(), Cow<'static, str>> {
        let root = self.root.clone();
        let hangs = format!("cannot serve {root}: its file system does not answer");
        let check = move || {
            let opened = root.check();
            opened.map_err(|error| format!("cannot serve {root}: {error}").into())
        };
        ready_checks::check(check, hangs)
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.send_head(exchange)
    }

    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.send_head(exchange)
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_put(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_delete(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_patch(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_trace(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_options(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_options(ALLOW);
        Ok(())
    }

    fn do_other(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if is_registered(exchange.command()) {
            not_allowed(exchange)
        } else {
            unsupported(exchange)
        }
    }
}

fn not_allowed(exchange: &mut Exchange<'_>) -> HandlerResult {
    exchange.send_error(HttpStatus::METHOD_NOT_ALLOWED, None, None);
    exchange.send_header("Allow", ALLOW);
    Ok(())
}
