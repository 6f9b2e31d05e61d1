//! The static handler: GET and HEAD on the files of one directory; `send_head.rs` has the steps.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod cache;
mod checks;
mod guess_type;
mod kept_file;
mod kept_listing;
mod list_directory;
mod open;
mod overrides;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod resource;
mod send_file;
mod send_head;
mod translate_path;

use crate::handler::exchange::Exchange;
use crate::handler::{BaseHttpRequestHandler, unsupported};
use crate::http::status::HttpStatus;
use cache::Cache;
use checks::Mounts;
use open::{Root, Symlinks};
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
    /// The one file that is served, in place of the whole directory.
    single_file: Option<SingleFile>,
    /// Names that stand for their directory, the first that is a file.
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
    /// Scratch: the path of the request that is being answered.
    path: Vec<u8>,
}

/// A file that is served alone: under the name that was given, which may be a symbolic link's, by its real one.
#[derive(Clone, Debug)]
struct SingleFile {
    given_name: Vec<u8>,
    name: Vec<u8>,
}

impl SimpleHttpRequestHandler {
    /// Serves `directory`, or the single file of that name: at `/` and at its name.
    ///
    /// Symbolic links are followed as long as they stay inside.
    ///
    /// # Errors
    /// What is there cannot be opened, or is neither a directory nor a regular file.
    pub fn new(directory: impl AsRef<Path>) -> io::Result<Self> {
        Self::open(directory.as_ref(), Symlinks::Inside)
    }

    /// Serves `directory` as [`new`](Self::new) does, but follows all symbolic links, wherever they lead.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn following_symlinks(directory: impl AsRef<Path>) -> io::Result<Self> {
        Self::open(directory.as_ref(), Symlinks::All)
    }

    fn open(path: &Path, symlinks: Symlinks) -> io::Result<Self> {
        let given_name = path
            .file_name()
            .map(|name| name.as_encoded_bytes().to_vec());
        let path = path.canonicalize()?;
        let metadata = fs::metadata(&path)?;
        let (directory, single_file) = match (path.parent(), path.file_name()) {
            _ if metadata.is_dir() => (path.as_path(), None),
            (Some(parent), Some(name)) if metadata.is_file() => {
                let name = name.as_encoded_bytes().to_vec();
                let given_name = given_name.unwrap_or_else(|| name.clone());
                (parent, Some(SingleFile { given_name, name }))
            }
            _ => {
                let message = "neither a directory nor a regular file";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        };
        if single_file.is_some() {
            fs::File::open(&path)?;
        } else {
            fs::read_dir(directory)?;
        }
        Ok(Self {
            root: Root::open(directory, symlinks)?,
            single_file,
            index_pages: vec!["index.html".to_owned(), "index.htm".to_owned()],
            extensions_map: HashMap::new(),
            default_content_type: "application/octet-stream".to_owned(),
            list_directories: true,
            dotfiles: false,
            overrides: Overrides::default(),
            cache: RefCell::new(Cache::new(Arc::new(Mounts::open()))),
            path: Vec::new(),
        })
    }

    /// Returns the directory that is served, opened, for a [`Confinement`](crate::Confinement): of a single file, the one that it
    /// is in.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn directory(&self) -> io::Result<OwnedFd> {
        self.root.directory()
    }

    /// Puts `translate_path` in place of the usual mapping from target to path below the directory. Segments `.` and `..` of
    /// its result lead no further than the directory; `None` is a 404.
    pub fn set_translate_path(
        &mut self,
        translate_path: impl Fn(&str) -> Option<PathBuf> + Send + Sync + 'static,
    ) {
        self.overrides.translate_path = Some(Arc::new(translate_path));
    }

    /// Asks `guess_type` for the media type of a path first; where it says `None`, the usual one is used.
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
}

impl BaseHttpRequestHandler for SimpleHttpRequestHandler {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        false
    }

    fn setup(&mut self, _client_address: SocketAddr) {
        self.cache.get_mut().enter();
    }

    fn finish(&mut self, _client_address: SocketAddr) {
        self.cache.get_mut().leave();
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
