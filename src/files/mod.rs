//! The static handler: GET and HEAD for the files of one directory. Its settings and public methods are here; `methods.rs` has the
//! HTTP methods, and `send_head.rs` the steps of a request.

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
mod codings;
mod compressor;
mod encode;
mod identity;
mod listing;
mod live;
mod load;
mod look_up;
mod lookup_work;
mod methods;
mod names;
mod not_found;
mod overrides;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod recent_keys;
mod representation;
mod send_file;
mod send_found;
mod send_head;
mod send_loaded;
mod site;

use crate::handler::HandlerResult;
use crate::handler::exchange::Exchange;
use crate::http::status::HttpStatus;
use access::Access;
use asked::Asked;
use cache::Cache;
use codings::StaleSiblings;
use compressor::Compressor;
use listing::{Readings, View};
use live::Live;
use load::Reads;
use look_up::{Lookup, Patience};
use names::guess_type::{FileType, OCTET_STREAM, guess_type};
use names::root::{Root, Symlinks};
use names::translate_path::{clean, translate_path};
use not_found::NotFound;
use overrides::Overrides;
use recent_keys::ReadByThread;
use send_head::FileRequest;
use site::SiteRules;

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
    /// The media type of files with an unknown suffix, or none. To be set before the first request, because replies are kept.
    pub default_content_type: String,
    /// Whether a file with an unknown suffix, or none, is sent as `text/plain` if its first bytes are UTF-8 text, as long as
    /// `default_content_type` is `application/octet-stream`. To be set before the first request, because replies are kept.
    pub detect_text: bool,
    /// Whether a directory without an index page is listed; if not, it is answered with 403.
    pub list_directories: bool,
    /// Whether names that begin with a dot are served and listed.
    pub dotfiles: bool,
    /// Whether the directory is served as hosts of static sites do: `about.html` also for `/about`, the nearest `404.html` for what
    /// is not found, and the rules of the files `_redirects` and `_headers` in it, each up to 1 MiB and 2,000 rules. Directories are
    /// not listed. It has no effect on a single file. To be set before the first request, because replies are kept.
    pub site: bool,
    /// Whether `/index.html` is sent for every page that is not found: for a path that ends with a name without a suffix, to a client
    /// that accepts HTML. The application in that file then finds out from the path which page is meant.
    pub spa: bool,
    /// Whether a file is sent in a coding that the client accepts (`br`, `zstd` or `gzip`): as the file beside it with the suffix
    /// `.br`, `.zst` or `.gz`, unless that is older, or compressed by a [file thread](crate::ServerConfig::file_threads) with zstd or
    /// gzip. Only text from 1 KiB to 1 MiB is compressed, and only with the feature `compress`. To be set before the first request,
    /// because replies are kept.
    pub compress: bool,
    /// Whether pages reload in the browser when a file of theirs changes: HTML of up to 1 MiB is sent with a line that loads a
    /// script. To be set before the server is made, because the loop then asks for the [event
    /// source](crate::BaseHttpRequestHandler::event_source).
    pub live: bool,
    pages: Live,
    overrides: Overrides,
    rules: SiteRules,
    compressor: Compressor,
    stale_siblings: StaleSiblings,
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
            default_content_type: OCTET_STREAM.to_owned(),
            detect_text: true,
            list_directories: true,
            dotfiles: false,
            site: false,
            spa: false,
            compress: false,
            live: false,
            pages: Live::default(),
            overrides: Overrides::default(),
            rules: SiteRules::default(),
            compressor: Compressor::default(),
            stale_siblings: StaleSiblings::default(),
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
        // One test for all of them, because most servers have none.
        if self.live | self.compress | self.site | self.spa && self.send_with_extras(exchange)? {
            return Ok(());
        }
        // Taken out, because the request borrows the whole handler.
        let mut scratch = mem::take(&mut self.scratch);
        let answered = FileRequest::new(self, exchange).send_head(&mut scratch);
        self.scratch = scratch;
        Ok(answered?)
    }

    /// Does what only `live`, `compress`, `site` and `spa` need before a reply. Returns whether the reply is made.
    #[cold]
    fn send_with_extras(&mut self, exchange: &mut Exchange<'_>) -> io::Result<bool> {
        if self.live && self.pages.send(exchange) {
            return Ok(true);
        }
        if self.compress {
            self.take_compressed(exchange.server());
        }
        let mut path = mem::take(&mut self.scratch);
        let is_bad = self.locate(exchange.target(), &mut path) == Err(HttpStatus::BAD_REQUEST);
        let has_steps = self.has_steps() && !is_bad;
        let sent = has_steps.then(|| FileRequest::new(self, exchange).send_of_site(&mut path));
        self.scratch = path;
        sent.transpose().map(|sent| sent.is_some())
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
        let is_directory = self.locate_inline(target, path)?;
        if self.site && site::has_rules(path) {
            return Err(HttpStatus::NOT_FOUND);
        }
        Ok(is_directory)
    }

    /// As [`locate`](Self::locate) without a site, inlined into its hot caller.
    #[inline(always)]
    fn locate_inline(&self, target: &[u8], path: &mut Vec<u8>) -> Result<bool, HttpStatus> {
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

    /// Returns what is read of a file. Live pages are read as a whole, because a line is added to them.
    fn reads(&self) -> Reads {
        if self.live {
            Reads::LIVE
        } else {
            Reads::CONTENT
        }
    }

    /// Returns whether there is more to look for than what the target names.
    fn has_steps(&self) -> bool {
        (self.site || self.spa) && self.root.single().is_none()
    }

    /// Returns the rules of the site, if it has some.
    fn site_rules(&self) -> Option<&SiteRules> {
        (self.site && self.root.single().is_none()).then_some(&self.rules)
    }

    /// Returns the media type of a file called `path`, without a charset. The content of the file, which is not looked at here, may
    /// [make it text](Self::detect_text).
    pub fn guess_type(&self, path: &Path) -> Cow<'_, str> {
        self.type_of_name(path).media_type
    }

    fn type_of_name(&self, path: &Path) -> FileType<'_> {
        let guess = self.overrides.guess_type.as_ref();
        if let Some(media_type) = guess.and_then(|guess| guess(path)) {
            return FileType::given(media_type);
        }
        let default = &self.default_content_type;
        let default = (!self.detect_text || default != OCTET_STREAM).then_some(&**default);
        guess_type(&path.to_string_lossy(), &self.extensions_map, default)
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
            with_siblings: self.compress && !asked.step.reads_rules(),
            reads: if asked.step.reads_rules() {
                Reads::RULES
            } else {
                Reads {
                    beginning: true,
                    ..self.reads()
                }
            },
            patience,
        }
    }

    /// Returns the type of the file at `path`; a single file that is a symbolic link may have it from the name of its target.
    fn file_type(&self, path: &[u8], link_target: Option<&Path>) -> FileType<'_> {
        let path = Path::new(OsStr::from_bytes(path));
        self.type_of_name(link_target.unwrap_or(path))
    }

    /// Returns a copy for a request that waits for a file thread. It keeps no replies.
    fn for_thread(&self) -> Self {
        Self {
            root: self.root.clone(),
            access: self.access.clone(),
            index_pages: self.index_pages.clone(),
            extensions_map: self.extensions_map.clone(),
            default_content_type: self.default_content_type.clone(),
            detect_text: self.detect_text,
            list_directories: self.list_directories,
            dotfiles: self.dotfiles,
            site: self.site,
            spa: self.spa,
            compress: self.compress,
            live: self.live,
            pages: Live::default(),
            overrides: self.overrides.clone(),
            rules: self.rules.share(),
            compressor: Compressor::default(),
            stale_siblings: self.stale_siblings.clone(),
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
            site: false,
            spa: false,
            overrides: Overrides::default(),
            ..self
        }
    }
}
