//! The listing of a small directory, true for all who ask for it in the turn in which it was made.

use std::sync::Arc;
use std::{io, mem};

use super::list_directory::{Format, Listing, ListingOptions, Order};
use crate::handler::exchange::Exchange;
use crate::handler::prepared::Prepared;
use crate::http::status::HttpStatus;
use crate::wire::source::{Fill, Source};

/// What a listing depends on, beside the directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) path: Vec<u8>,
    pub(crate) order: Order,
    pub(crate) format: Format,
    pub(crate) options: ListingOptions,
}

/// The listing that was made last.
#[derive(Debug, Default)]
pub(crate) struct KeptListing(Option<(u64, Wanted, Arc<Prepared>)>);

impl KeptListing {
    /// Replies with the listing: as it was made in this turn, or as `list` makes it now. A long one is streamed, and not kept;
    /// nor is one kept that the handler had begun to reply to in its own way.
    pub(crate) fn send(
        &mut self,
        exchange: &mut Exchange<'_>,
        wanted: Wanted,
        list: impl FnOnce(&Wanted) -> Listing,
    ) -> io::Result<()> {
        let (turn, server) = (exchange.clock().turn, exchange.server());
        let is_untouched = exchange.is_untouched();
        if let Some((made, kept, reply)) = &self.0
            && (*made, kept) == (turn, &wanted)
            && reply.belongs_to(server)
            && is_untouched
        {
            exchange.send_prepared(Arc::clone(reply));
            return Ok(());
        }
        let mut listing = list(&wanted);
        exchange.send_response(HttpStatus::OK);
        exchange.send_header("Content-Type", wanted.format.media_type());
        exchange.send_header("Vary", "Accept");
        exchange.set_default_fields(wanted.format.fields());
        if is_untouched && listing.fill(exchange.page())? == Fill::Done {
            let reply = Arc::new(exchange.take_page());
            exchange.send_prepared(Arc::clone(&reply));
            self.0 = Some((turn, wanted, reply));
        } else {
            let page = mem::take(exchange.page());
            exchange.end_headers();
            exchange.stream(Box::new(Begun { page, listing }));
        }
        Ok(())
    }
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
