//! From a request to a file, an index page, a listing or an error, step by step.
//!
//! Invariant: a file is opened first, then asked what it is, then served: name and content cannot fall apart.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{CONTROLS, utf8_percent_encode};
use rustix::io::Errno;

use super::SimpleHttpRequestHandler;
use super::kept_file::KeptFile;
use super::kept_listing::Wanted;
use super::list_directory::{Format, Listing, ListingOptions, Order, percent_encode};
use super::resource::{Kind, Resource};
use super::translate_path::{clean, translate_path};
use super::{guess_type, send_file};
use crate::handler::exchange::Exchange;
use crate::http::conditional::Condition;
use crate::http::status::HttpStatus;

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
        self.send_listing(exchange, &path, self.resource(&path)?)
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
        // 2. What is known already, and still true.
        let turn = exchange.clock().turn;
        if self.cache.borrow().is_missing(path, turn) {
            return self.send_not_found(exchange);
        }
        if let Some(kept) = self.kept(exchange, path, as_directory) {
            exchange.server().count_lookup(true);
            send_file::send_kept(exchange, &kept);
            return Ok(());
        }
        // 3. What is there: opened first, then asked.
        let resource = match self.resource(path) {
            Ok(resource) => resource,
            Err(error) => {
                if is_missing(&error) {
                    self.cache.borrow_mut().note_missing(path, turn);
                }
                return self.send_open_error(exchange, &error);
            }
        };
        // 4. What belongs to it.
        match resource.kind {
            Kind::File if as_directory => self.send_not_found(exchange),
            Kind::File => self.send_file(exchange, path, resource),
            Kind::Directory if !as_directory => {
                // What the client asked for, not what it was translated to.
                translate_path(exchange.target(), path);
                send_redirect(exchange, path)
            }
            Kind::Directory => self.send_directory(exchange, path, resource),
            Kind::Other => self.send_not_found(exchange),
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
        match &self.single_file {
            // The single file stands for `/`, too.
            Some(file)
                if path.is_empty() || (*path == file.given_name && !translated.trailing_slash) =>
            {
                path.clone_from(&file.name);
                Ok(false)
            }
            None if !translated.hidden || self.dotfiles => Ok(translated.trailing_slash),
            _ => Err(HttpStatus::NOT_FOUND),
        }
    }

    /// Finds the reply that was kept for `path`, or for the first index page of that directory. Ranges are cut from the file
    /// itself, and what is replaced by the owner may change from request to request.
    fn kept(
        &self,
        exchange: &Exchange<'_>,
        path: &mut Vec<u8>,
        as_directory: bool,
    ) -> Option<Arc<KeptFile>> {
        let has_range =
            exchange.condition() == Condition::Other && exchange.headers().get("range").is_some();
        if has_range || self.overrides.guess_type.is_some() {
            return None;
        }
        let length = path.len();
        if as_directory {
            push_segment(path, self.index_pages.first()?);
        }
        let kept =
            self.cache
                .borrow_mut()
                .get(path, exchange.clock(), &self.root, exchange.server());
        path.truncate(length);
        // The clock may have been set back, and Last-Modified is never in the future (RFC 9110 §8.8.2.1).
        let now = exchange.clock().unix;
        kept.filter(|kept| {
            kept.whole.belongs_to(exchange.server()) && kept.validators().last_modified <= now
        })
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
        let media_type = self.guess_type(Path::new(OsStr::from_bytes(path)));
        let (clock, config) = (exchange.clock(), exchange.server().config());
        exchange.server().count_lookup(false);
        send_file::send_file(exchange, resource, &media_type, |identity, file| {
            self.cache
                .borrow_mut()
                .put(path, identity, file, clock, config);
        })
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
            push_segment(path, page);
            match self.resource(path) {
                Ok(resource) if resource.kind == Kind::File => {
                    return self.send_file(exchange, path, resource);
                }
                Ok(_) => {}
                Err(error) if is_missing(&error) => {}
                Err(error) => return self.send_open_error(exchange, &error),
            }
        }
        path.truncate(length);
        if !self.list_directories {
            exchange.send_error(
                HttpStatus::FORBIDDEN,
                Some("No permission to list directory"),
                None,
            );
            return Ok(());
        }
        match &self.overrides.list_directory {
            Some(list) => list(exchange, Path::new(OsStr::from_bytes(path))),
            None => self.send_listing(exchange, path, directory),
        }
    }

    fn send_listing(
        &self,
        exchange: &mut Exchange<'_>,
        path: &[u8],
        directory: Resource,
    ) -> io::Result<()> {
        let query = exchange
            .path()
            .split_once('?')
            .map_or("", |(_, query)| query);
        let wanted = Wanted {
            path: path.to_vec(),
            order: Order::from_query(query),
            format: Format::negotiate(query, exchange.headers()),
            options: ListingOptions {
                dotfiles: self.dotfiles,
            },
        };
        let kept = &mut self.cache.borrow_mut().listing;
        kept.send(exchange, wanted, |wanted| {
            let root = self.root.clone();
            let follow = move |path: &[u8]| root.stat(path);
            Listing::new(
                directory.file.into(),
                &wanted.path,
                wanted.order,
                wanted.format,
                wanted.options,
                follow,
            )
        })
    }

    fn send_open_error(&self, exchange: &mut Exchange<'_>, error: &io::Error) -> io::Result<()> {
        if is_missing(error) {
            return self.send_not_found(exchange);
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

    fn send_not_found(&self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let page = &mut self.cache.borrow_mut().not_found;
        page.send(exchange, HttpStatus::NOT_FOUND, "File not found");
        Ok(())
    }
}

fn push_segment(path: &mut Vec<u8>, segment: &str) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(segment.as_bytes());
}

/// Sends the client to the name with a slash, so that relative links in the page mean what they say. The path is made
/// anew from its segments: `//host` and `/\host` cannot become a Location that leads elsewhere.
fn send_redirect(exchange: &mut Exchange<'_>, path: &[u8]) -> io::Result<()> {
    let mut location = "/".to_owned();
    for segment in path
        .split(|byte| *byte == b'/')
        .filter(|segment| !segment.is_empty())
    {
        location.extend(percent_encode(segment));
        location.push('/');
    }
    if let Some((_, query)) = exchange.path().split_once('?') {
        location.push('?');
        let query = query.split_once('#').map_or(query, |(query, _)| query);
        // What is encoded stays so; what is not ASCII might act on a terminal.
        location.extend(utf8_percent_encode(query, CONTROLS));
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
