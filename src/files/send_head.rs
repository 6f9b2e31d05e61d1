//! From a request to a file, an index page, a listing or an error, step by step.
//!
//! Invariant: a file is opened first, then the open file is asked what it is, and then it is sent. So name and content always
//! belong together.

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
use super::names::translate_path::{clean, translate_path};
use super::representation::{Content, Representation, SMALL};
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
    /// The index pages that do not exist and would be sent instead of the reply if they did.
    pub(super) absent: Vec<Vec<u8>>,
}

/// A regular file that was opened to be sent.
struct OpenedFile<'p> {
    path: &'p [u8],
    file: File,
    stat: Stat,
    /// Whether a change of what the path leads to would be noticed.
    may_keep: bool,
}

/// Answers GET and HEAD with what the target leads to; `key` is scratch.
pub(super) fn send_head(
    files: &SimpleHttpRequestHandler,
    exchange: &mut Exchange<'_>,
    key: &mut Vec<u8>,
) -> io::Result<()> {
    // 1. The path that the target means.
    let as_directory = match locate(files, exchange.target(), key) {
        Ok(as_directory) => as_directory,
        Err(HttpStatus::NOT_FOUND) => return files.not_found.send(exchange),
        Err(status) => {
            exchange.send_error(status, Some("Bad request target"), None);
            return Ok(());
        }
    };
    let path_length = key.len();
    if as_directory {
        key.push(b'/');
    }
    let key_length = key.len();
    // 2. The reply that is kept for it and is still true.
    let mut sent = send_kept(files, exchange, key);
    let is_listed = files.list_directories && files.overrides.list_directory.is_none();
    if sent.is_none() && as_directory && is_listed {
        View::of(exchange).push_key(key, files.dotfiles);
        sent = send_kept(files, exchange, key);
    }
    if let Some(sent) = sent {
        exchange.server().count_lookup(true);
        return sent;
    }
    let asked = Asked {
        path: key.get(..path_length).unwrap_or_default(),
        as_directory,
        key: key.get(..key_length).unwrap_or_default(),
        listing_key: key,
        absent: Vec::new(),
    };
    send_found(files, exchange, asked)
}

/// Sends what is at the path that was `asked` for.
fn send_found(
    files: &SimpleHttpRequestHandler,
    exchange: &mut Exchange<'_>,
    asked: Asked<'_>,
) -> io::Result<()> {
    // 3. The open file.
    let Some(root) = open_root(files, exchange) else {
        return Ok(());
    };
    let opened = root.open(asked.path);
    let is_plain = opened.is_plain;
    let file = match opened.found {
        Ok(file) => file,
        Err(errno) => {
            if is_plain && matches!(errno, Errno::NOENT | Errno::NOTDIR) {
                keep_missing(files, exchange, &asked);
            }
            return send_open_error(files, exchange, &root, errno);
        }
    };
    files.access.note_reached(exchange, &files.root);
    // 4. The reply that belongs to it.
    let stat = fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if !asked.as_directory => {
            let opened = OpenedFile {
                path: asked.path,
                file: file.into(),
                stat,
                may_keep: is_plain || files.root.single().is_some(),
            };
            send_regular_file(files, exchange, &asked, opened)
        }
        FileType::Directory if asked.as_directory => {
            send_directory(files, exchange, asked, &root, file, is_plain)
        }
        FileType::Directory => {
            exchange.send_response(HttpStatus::MOVED_PERMANENTLY);
            exchange.send_header("Location", location(exchange.path()));
            exchange.end_headers();
            Ok(())
        }
        // A file that is asked for as a directory; a FIFO, a socket, a device.
        _ => files.not_found.send(exchange),
    }
}

/// Writes the path that `target` means to `path`, and returns whether it means a directory.
///
/// # Errors
/// The status of a target that is not served.
pub(super) fn locate(
    files: &SimpleHttpRequestHandler,
    target: &[u8],
    path: &mut Vec<u8>,
) -> Result<bool, HttpStatus> {
    let mut translated = translate_path(target, path).ok_or(HttpStatus::BAD_REQUEST)?;
    if let Some(translate) = &files.overrides.translate_path {
        *path = translate(str::from_utf8(target).unwrap_or_default())
            .ok_or(HttpStatus::NOT_FOUND)?
            .into_os_string()
            .into_encoded_bytes();
        translated.hidden = clean(path).hidden;
    }
    match files.root.single() {
        // The single file is at `/`, too.
        Some(name) if path.is_empty() || (path == name && !translated.trailing_slash) => {
            path.clear();
            path.extend_from_slice(name);
            Ok(false)
        }
        None if !translated.hidden || files.dotfiles => Ok(translated.trailing_slash),
        _ => Err(HttpStatus::NOT_FOUND),
    }
}

/// Sends the reply that is kept for `key`; `None` where none can be sent. A media type that the owner's closure gives may be
/// another one for each request, so then nothing is kept.
#[inline]
fn send_kept(
    files: &SimpleHttpRequestHandler,
    exchange: &mut Exchange<'_>,
    key: &[u8],
) -> Option<io::Result<()>> {
    if files.overrides.guess_type.is_some() {
        return None;
    }
    let (clock, server) = (exchange.clock(), exchange.server());
    let mut cache = files.cache.borrow_mut();
    let sent = cache.find(key, clock, &files.root, |reply| match reply {
        // The clock may have been set back, and Last-Modified is never in the future (RFC 9110 §8.8.2.1).
        CachedReply::File(file)
            if file.whole.belongs_to(server) && file.last_modified() <= clock.unix =>
        {
            // A large file may have been closed since the reply was made.
            let descriptor = file.file().ok()?;
            if let Some(descriptor) = &descriptor {
                server.keep_open(descriptor, clock.instant);
            }
            Some(send_file(exchange, file, descriptor))
        }
        CachedReply::Listing(page) if page.belongs_to(server) => {
            exchange.send_prepared(Arc::clone(page));
            Some(Ok(()))
        }
        CachedReply::NotFound => Some(files.not_found.send(exchange)),
        _ => None,
    });
    sent.flatten()
}

/// Opens the served directory. Where its name leads nowhere, the reply says so, and the log once.
fn open_root(files: &SimpleHttpRequestHandler, exchange: &mut Exchange<'_>) -> Option<Directory> {
    let error = match files.root.open() {
        Ok(root) => {
            files.access.note_found(exchange, &files.root);
            return Some(root);
        }
        Err(error) => error,
    };
    files.access.note_gone(exchange, &files.root, &error);
    match Errno::from_io_error(&error) {
        Some(Errno::ACCESS | Errno::PERM) => {
            exchange.send_error(HttpStatus::FORBIDDEN, None, None);
        }
        Some(errno) if is_missing(errno) => {
            let _ = files.not_found.send(exchange);
        }
        _ => exchange.send_error(HttpStatus::SERVICE_UNAVAILABLE, None, None),
    }
    None
}

/// Replies with a regular file, and keeps the reply under the key that was `asked` for.
fn send_regular_file(
    files: &SimpleHttpRequestHandler,
    exchange: &mut Exchange<'_>,
    asked: &Asked<'_>,
    opened: OpenedFile<'_>,
) -> io::Result<()> {
    let (clock, server) = (exchange.clock(), exchange.server());
    let content_type = content_type(&media_type(files, opened.path))?;
    server.count_lookup(false);
    let watched = watch_file(files, exchange, asked, &opened);
    // The stat that was made after the file was watched is the newer one.
    let stat = watched
        .as_ref()
        .map_or(&opened.stat, |watched| &watched.stat);
    let (identity, size) = (Identity::from(stat), size(stat));
    let shared = Arc::new(SharedFile::from(opened.file));
    // Without a condition a file may be sent while it is read from the disk; its entity tag is only known after that.
    let patient = exchange.condition() != Condition::None;
    let content = Content::read(&shared, size, patient)?;
    let made = Representation::new(server, clock, &identity, &content_type, &content, &shared);
    let Some(representation) = made.map(Arc::new) else {
        send_to_end(exchange, shared, &content_type);
        return Ok(());
    };
    if let Some(watched) = watched
        && !matches!(content, Content::Cold(_))
    {
        let (reply, config) = (
            CachedReply::File(Arc::clone(&representation)),
            server.config(),
        );
        let mut cache = files.cache.borrow_mut();
        cache.put(asked.key, watched, reply, clock, config);
        if matches!(content, Content::InFile(_)) {
            server.keep_open(&shared, clock.instant);
        }
    }
    let in_memory = matches!(content, Content::InMemory(_));
    send_file(exchange, &representation, (!in_memory).then_some(shared))
}

/// Watches a file if its reply is to be kept; `None` if it is not.
fn watch_file(
    files: &SimpleHttpRequestHandler,
    exchange: &Exchange<'_>,
    asked: &Asked<'_>,
    opened: &OpenedFile<'_>,
) -> Option<Watched> {
    if !opened.may_keep || files.overrides.guess_type.is_some() {
        return None;
    }
    let (clock, config) = (exchange.clock(), exchange.server().config());
    let size = size(&opened.stat);
    let in_memory = if size > SMALL { 0 } else { size };
    let mut cache = files.cache.borrow_mut();
    if !cache.admits(asked.key, in_memory, clock, config) {
        return None;
    }
    let (root, absent) = (&files.root, &asked.absent);
    cache
        .watcher
        .watch_file(root, opened.path, absent, &opened.file, clock)
}

/// Returns the media type of the file at `path`; a single file that is a symbolic link may have it from the name of its target.
fn media_type<'h>(files: &'h SimpleHttpRequestHandler, path: &[u8]) -> Cow<'h, str> {
    match files.root.link_target() {
        Some(target) => Cow::Owned(files.guess_type(&target).into_owned()),
        None => files.guess_type(Path::new(OsStr::from_bytes(path))),
    }
}

/// Replies with the index page of a directory, or with its listing.
fn send_directory(
    files: &SimpleHttpRequestHandler,
    exchange: &mut Exchange<'_>,
    mut asked: Asked<'_>,
    root: &Directory,
    directory: OwnedFd,
    mut is_plain: bool,
) -> io::Result<()> {
    for page in &files.index_pages {
        let mut path = asked.path.to_vec();
        push_segment(&mut path, page);
        let opened = root.open(&path);
        // A link that leads nowhere may lead somewhere when its target is made.
        is_plain &= opened.is_plain;
        match opened.found {
            Ok(file) => {
                let stat = fstat(&file)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                    let opened = OpenedFile {
                        path: &path,
                        file: file.into(),
                        stat,
                        may_keep: is_plain,
                    };
                    return send_regular_file(files, exchange, &asked, opened);
                }
            }
            Err(errno) if is_missing(errno) => {}
            Err(errno) => return send_open_error(files, exchange, root, errno),
        }
        asked.absent.push(path);
    }
    if !files.list_directories {
        let message = "No permission to list directory";
        exchange.send_error(HttpStatus::FORBIDDEN, Some(message), None);
        return Ok(());
    }
    if let Some(list) = &files.overrides.list_directory {
        return list(exchange, Path::new(OsStr::from_bytes(asked.path)));
    }
    let request = ListingRequest {
        files,
        root,
        form: Form::new(asked.path.to_vec(), View::of(exchange)),
        asked: is_plain.then_some(&asked),
    };
    request.send(exchange, directory)
}

/// Keeps that nothing is at the path that was `asked` for.
fn keep_missing(files: &SimpleHttpRequestHandler, exchange: &Exchange<'_>, asked: &Asked<'_>) {
    if files.root.single().is_none() {
        let (clock, config) = (exchange.clock(), exchange.server().config());
        let mut cache = files.cache.borrow_mut();
        cache.put_missing(&files.root, asked.key, asked.path, clock, config);
    }
}

/// Replies with the error that `errno` means when a file is opened.
///
/// # Errors
/// An `errno` that is a fault of this machine: a 500.
fn send_open_error(
    files: &SimpleHttpRequestHandler,
    exchange: &mut Exchange<'_>,
    root: &Directory,
    errno: Errno,
) -> io::Result<()> {
    let status = match errno {
        _ if is_missing(errno) => return files.not_found.send(exchange),
        Errno::ACCESS if root.is_out_of_reach(files.root.single()) => {
            files.access.send_out_of_reach(exchange, &files.root);
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
    exchange.send_error(status, None, None);
    Ok(())
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

/// Returns whether `errno` means that nothing with this name can be served, and no fault of this machine.
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
