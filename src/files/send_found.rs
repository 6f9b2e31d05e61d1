//! From what was found to the reply: a file, a redirect, a listing, or an error.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::Errno;

use super::asked::Asked;
use super::listing::{Form, ListingRequest, View};
use super::look_up::{Found, FoundDirectory, NotOpened, is_missing, is_unavailable};
use super::names::redirect::location;
use super::send_head::FileRequest;
use super::site::step::Step;
use crate::http::status::HttpStatus;

impl FileRequest<'_, '_> {
    /// Replies with what was `found`.
    pub(super) fn reply(&mut self, asked: &Asked<'_>, found: io::Result<Found>) -> io::Result<()> {
        if asked.step.reads_rules() {
            return self.read_rules(asked, found);
        }
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
            Found::NoFile => self.send_beside_directory(asked),
            Found::NotServed => self.send_missing(asked),
            Found::Nothing(not_opened) => self.send_nothing(asked, &not_opened),
            Found::NoRoot(error) => self.send_no_root(asked, &error),
        }
    }

    /// Replies to a request for which the served path leads nowhere. The log gets a line the first time.
    fn send_no_root(&mut self, asked: &Asked<'_>, error: &io::Error) -> io::Result<()> {
        let files = self.files;
        files.access.note_gone(self.exchange, &files.root, error);
        let status = match Errno::from_io_error(error) {
            Some(Errno::ACCESS | Errno::PERM) => HttpStatus::FORBIDDEN,
            Some(errno) if is_missing(errno) => return self.send_missing(asked),
            _ => HttpStatus::SERVICE_UNAVAILABLE,
        };
        self.exchange.send_error(status, None, None);
        Ok(())
    }

    /// Replies with the 404 of this crate.
    pub(super) fn send_plain_not_found(&mut self) -> io::Result<()> {
        self.files.not_found.send(self.exchange, self.files.live)
    }

    /// Replies with the redirect from a directory to the same with a slash.
    pub(super) fn send_slash(&mut self) {
        let location = location(self.exchange.path());
        self.send_redirect(HttpStatus::MOVED_PERMANENTLY, &location);
    }

    pub(super) fn send_redirect(&mut self, status: HttpStatus, location: &str) {
        let policy = self.policy();
        self.exchange.send_response(status);
        self.exchange.send_lines(&policy.fields);
        self.exchange.send_header("Location", location);
        self.exchange.end_headers();
    }

    /// Replies with the listing of a directory without an index page.
    fn send_directory(&mut self, asked: &Asked<'_>, found: FoundDirectory) -> io::Result<()> {
        if self.files.site {
            return self.send_missing(asked);
        }
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

    pub(super) fn send_listing(
        &mut self,
        asked: &Asked<'_>,
        found: FoundDirectory,
    ) -> io::Result<()> {
        let request = ListingRequest {
            files: self.files,
            form: Form::new(asked.path().to_vec(), View::of(self.exchange)),
            asked,
            found,
        };
        request.send(self.exchange)
    }

    /// Keeps the 404 for the path that was `asked` for.
    pub(super) fn keep_missing(&self, asked: &Asked<'_>) {
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
            _ if is_missing(errno) => return self.send_missing(asked),
            // The status of the reply is that of the target, and that is missing.
            Errno::ACCESS | Errno::PERM if matches!(asked.step, Step::NotFoundPage(_)) => {
                return self.send_missing(asked);
            }
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
