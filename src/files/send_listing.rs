//! The listing of a directory as a reply: kept where it is small, else streamed.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::{io, mem};

use super::SimpleHttpRequestHandler;
use super::cache::Reply;
use super::list_directory::{Format, Listing, ListingOptions, Order};
use super::open::Directory;
use super::send_head::Asked;
use crate::handler::exchange::Exchange;
use crate::http::status::HttpStatus;
use crate::wire::source::{Fill, Source};

impl SimpleHttpRequestHandler {
    /// Appends to the key of a directory what its listing depends on beside it.
    pub(super) fn push_listing_key(&self, exchange: &Exchange<'_>, key: &mut Vec<u8>) {
        let (order, format) = form(exchange);
        // No path has a NUL.
        key.extend_from_slice(&[0, order.code(), format.code(), u8::from(self.dotfiles)]);
    }

    /// Answers with the listing of `directory`, which is at `path` below `root`. What was `asked` is `None` where it cannot be
    /// kept.
    pub(super) fn send_listing(
        &self,
        exchange: &mut Exchange<'_>,
        path: &[u8],
        root: &Directory,
        directory: OwnedFd,
        asked: Option<&Asked<'_>>,
    ) -> io::Result<()> {
        let (order, format) = form(exchange);
        let (clock, server) = (exchange.clock(), exchange.server());
        let config = server.config();
        let mut key = Vec::new();
        let mut watched = None;
        // Not where the handler has begun to reply in its own way.
        let is_untouched = exchange.is_untouched();
        if let Some(asked) = asked.filter(|_| is_untouched) {
            key.extend_from_slice(asked.key);
            self.push_listing_key(exchange, &mut key);
            let mut cache = self.cache.borrow_mut();
            if cache.admits(&key, 0, clock, config) {
                watched = cache.watcher.watch_directory(
                    &self.root,
                    path,
                    &asked.absent,
                    &directory,
                    clock,
                );
            }
        }
        let root = root.clone();
        let follow = move |path: &[u8]| root.stat(path);
        let options = ListingOptions {
            dotfiles: self.dotfiles,
        };
        let names = directory.try_clone()?;
        let mut listing = Listing::new(directory, path, order, format, options, follow);
        exchange.send_response(HttpStatus::OK);
        exchange.send_header("Content-Type", format.media_type());
        exchange.send_header("Vary", "Accept");
        exchange.set_default_fields(format.fields());
        if !is_untouched || listing.fill(exchange.page())? != Fill::Done {
            let page = mem::take(exchange.page());
            exchange.end_headers();
            exchange.stream(Box::new(Begun { page, listing }));
            return Ok(());
        }
        let page = Arc::new(exchange.take_page());
        exchange.send_prepared(Arc::clone(&page));
        if let (Some(mut watched), Some(listed)) = (watched, listing.listed()) {
            let mut cache = self.cache.borrow_mut();
            if cache
                .watcher
                .watch_listed(&mut watched, names.as_fd(), listed)
            {
                cache.put(&key, watched, Reply::Listing(page), clock, config);
            }
        }
        Ok(())
    }
}

/// In which order the listing is asked for, and in which format.
fn form(exchange: &Exchange<'_>) -> (Order, Format) {
    let query = exchange
        .path()
        .split_once('?')
        .map_or("", |(_, query)| query);
    let format = Format::negotiate(query, exchange.headers());
    (Order::from_query(query), format)
}

/// A listing of which a part was made already.
struct Begun {
    page: Vec<u8>,
    listing: Listing,
}

impl Source for Begun {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        if self.page.is_empty() {
            return self.listing.fill(out);
        }
        out.append(&mut self.page);
        Ok(Fill::More)
    }
}
