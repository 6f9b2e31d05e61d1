//! The static handler: GET and HEAD on the files of one directory, step by step in [`SimpleHttpRequestHandler::send_head`].
//!
//! Invariant: a file is opened first, then asked what it is, then served: name and content cannot fall apart.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;

mod guess_type;
mod list_directory;
mod open;
mod resource;
mod send;
mod translate_path;

use crate::handler::BaseHttpRequestHandler;
use crate::handler::exchange::Exchange;
use crate::http::status::HttpStatus;
use list_directory::{Listing, ListingOptions, Order};
use open::{Root, Symlinks};
use resource::{Kind, Resource};
use translate_path::{Translated, translate_path};

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
    /// The name of the one file that is served, in place of the whole directory.
    single_file: Option<Vec<u8>>,
    /// Names that stand for their directory, the first that is a file.
    pub index_pages: Vec<String>,
    /// Media types by suffix, dot included; they go before the well-known ones.
    pub extensions_map: HashMap<String, String>,
    /// The media type of files whose suffix nobody knows.
    pub default_content_type: String,
    /// Whether a directory without an index page is listed; else it is answered with 403.
    pub list_directories: bool,
    /// Whether names that begin with a dot are served and listed.
    pub dotfiles: bool,
    /// Scratch: the path of the request that is being answered.
    path: Vec<u8>,
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
        let path = path.canonicalize()?;
        let metadata = fs::metadata(&path)?;
        let (directory, single_file) = match (path.parent(), path.file_name()) {
            _ if metadata.is_dir() => (path.as_path(), None),
            (Some(parent), Some(name)) if metadata.is_file() => {
                (parent, Some(name.as_encoded_bytes().to_vec()))
            }
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "neither a directory nor a regular file",
                ));
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
            path: Vec::new(),
        })
    }

    /// Answers GET and HEAD: the file, the index page or the listing that the target means, or an error page.
    ///
    /// # Errors
    /// The directory cannot be read: a 500.
    pub fn send_head(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        // The path is scratch that must not be borrowed from the handler while it answers.
        let mut path = std::mem::take(&mut self.path);
        let answered = self.send_path(exchange, &mut path);
        self.path = path;
        answered
    }

    fn send_path(&self, exchange: &mut Exchange<'_>, path: &mut Vec<u8>) -> io::Result<()> {
        // 1. What is meant.
        let Some(translated) = translate_path(exchange.path(), path) else {
            exchange.send_error(HttpStatus::BAD_REQUEST, Some("Bad request target"), None);
            return Ok(());
        };
        let Some(as_directory) = self.locate(&translated, path) else {
            return not_found(exchange);
        };
        // 2. What is there: opened first, then asked.
        let resource = match self.resource(path) {
            Ok(resource) => resource,
            Err(error) => return send_open_error(exchange, &error),
        };
        // 3. What belongs to it.
        match resource.kind {
            Kind::File if as_directory => not_found(exchange),
            Kind::File => self.send_file(exchange, path, resource),
            Kind::Directory if !as_directory => redirect(exchange, path),
            Kind::Directory => self.send_directory(exchange, path, resource),
            Kind::Other => not_found(exchange),
        }
    }

    /// Says whether `path` means a directory; `None` where it is not to be served. The single file stands for `/`, too.
    fn locate(&self, translated: &Translated, path: &mut Vec<u8>) -> Option<bool> {
        match &self.single_file {
            Some(name) if path.is_empty() => {
                path.extend_from_slice(name);
                Some(false)
            }
            Some(name) => (path == name && !translated.trailing_slash).then_some(false),
            None if translated.hidden && !self.dotfiles => None,
            None => Some(translated.trailing_slash),
        }
    }

    fn resource(&self, path: &[u8]) -> io::Result<Resource> {
        Resource::new(self.root.file(path)?)
    }

    fn send_file(
        &self,
        exchange: &mut Exchange<'_>,
        path: &[u8],
        resource: Resource,
    ) -> io::Result<()> {
        let path = String::from_utf8_lossy(path);
        let media_type =
            guess_type::guess_type(&path, &self.extensions_map, &self.default_content_type);
        send::send_file(exchange, resource, media_type)
    }

    fn send_directory(
        &self,
        exchange: &mut Exchange<'_>,
        path: &mut Vec<u8>,
        directory: Resource,
    ) -> io::Result<()> {
        let length = path.len();
        for page in &self.index_pages {
            path.truncate(length);
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(page.as_bytes());
            match self.resource(path) {
                Ok(resource) if resource.kind == Kind::File => {
                    return self.send_file(exchange, path, resource);
                }
                Ok(_) => {}
                Err(error) if is_missing(&error) => {}
                Err(error) => return send_open_error(exchange, &error),
            }
        }
        path.truncate(length);
        if self.list_directories {
            self.list_directory(exchange, path, directory)
        } else {
            exchange.send_error(
                HttpStatus::FORBIDDEN,
                Some("No permission to list directory"),
                None,
            );
            Ok(())
        }
    }

    fn list_directory(
        &self,
        exchange: &mut Exchange<'_>,
        path: &[u8],
        directory: Resource,
    ) -> io::Result<()> {
        let query = exchange
            .path()
            .split_once('?')
            .map_or("", |(_, query)| query);
        let format = list_directory::Format::negotiate(query, exchange.headers());
        let root = self.root.clone();
        let options = ListingOptions {
            dotfiles: self.dotfiles,
        };
        let follow = move |path: &[u8]| root.stat(path);
        let order = Order::from_query(query);
        let listing = Listing::new(directory.file.into(), path, order, format, options, follow)?;
        exchange.send_response(HttpStatus::OK);
        exchange.send_header("Content-Type", format.media_type());
        exchange.send_header("Vary", "Accept");
        exchange.end_headers();
        exchange.stream(Box::new(listing));
        Ok(())
    }
}

impl BaseHttpRequestHandler for SimpleHttpRequestHandler {
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
            command => {
                let message = format!("Unsupported method ('{command}')");
                exchange.send_error(HttpStatus::NOT_IMPLEMENTED, Some(&message), None);
                Ok(())
            }
        }
    }
}

fn not_allowed(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.send_error(HttpStatus::METHOD_NOT_ALLOWED, None, None);
    exchange.send_header("Allow", ALLOW);
    Ok(())
}

fn not_found(exchange: &mut Exchange<'_>) -> io::Result<()> {
    exchange.send_error(HttpStatus::NOT_FOUND, Some("File not found"), None);
    Ok(())
}

/// Sends the client to the name with a slash, so that relative links in the page mean what they say. The path is made
/// anew from its segments: `//host` and `/\host` cannot become a Location that leads elsewhere.
fn redirect(exchange: &mut Exchange<'_>, path: &[u8]) -> io::Result<()> {
    let mut location = "/".to_owned();
    for segment in path
        .split(|byte| *byte == b'/')
        .filter(|segment| !segment.is_empty())
    {
        location.extend(list_directory::percent_encode(segment));
        location.push('/');
    }
    if let Some((_, query)) = exchange.path().split_once('?') {
        location.push('?');
        location.push_str(query.split_once('#').map_or(query, |(query, _)| query));
    }
    exchange.send_response(HttpStatus::MOVED_PERMANENTLY);
    exchange.send_header("Location", location);
    exchange.end_headers();
    Ok(())
}

/// Whether nothing that could be served has this name, and not by a fault of ours.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
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
    )
}

fn send_open_error(exchange: &mut Exchange<'_>, error: &io::Error) -> io::Result<()> {
    if is_missing(error) {
        return not_found(exchange);
    }
    let status = match Errno::from_io_error(error) {
        Some(Errno::ACCESS | Errno::PERM) => HttpStatus::FORBIDDEN,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN) => {
            HttpStatus::SERVICE_UNAVAILABLE
        }
        _ => return Err(io::Error::new(error.kind(), error.to_string())),
    };
    exchange.send_error(status, None, None);
    Ok(())
}
