//! A listing in the form that one client wants: a [`Page`] if it is short, else a [`Listing`] that is sent piece by piece and
//! shares its entries with other replies.

use std::io;
use std::sync::Arc;

use super::entries::{Counts, Entry, Run};
use super::format::Format;
use super::order::Order;
use super::readme::Readme;
use super::stored::Entries;
use super::text::Dates;
use super::{html, json};
use crate::handler::exchange::Exchange;
use crate::handler::listing_memory::{Full, Lease, ListingMemory};
use crate::handler::page::{self, Page};
use crate::wire::source::{Fill, Source};

/// Room for one piece, in bytes. It stays in memory while the client does not read.
const ROOM: usize = 8 * 1024;
/// A piece ends with the row, or the part of a README, that reaches this length. No row is longer than the rest of the room: a name
/// has at most 255 bytes, and each is written as at most six.
const PIECE: usize = ROOM - 3 * 1024;

/// The order and the format that one client wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) order: Order,
    pub(crate) format: Format,
}

impl View {
    /// Reads the query and Accept of the request.
    pub(crate) fn of(exchange: &Exchange<'_>) -> Self {
        let query = exchange.path().split_once('?');
        let query = query.map_or("", |(_, query)| query);
        Self {
            order: Order::from_query(query),
            format: Format::negotiate(query, exchange.headers()),
        }
    }

    /// Appends to the key of a directory what its listing depends on. No path has a NUL, so the key is unique.
    pub(crate) fn push_key(self, key: &mut Vec<u8>, dotfiles: bool) {
        let (order, format) = (self.order.code(), self.format.code());
        key.extend_from_slice(&[0, order, format, u8::from(dotfiles)]);
    }
}

/// Writes the listing of one directory as one client wants it: all at once, or row by row.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    /// The path from the root to the directory, decoded, without slashes at its ends.
    pub(crate) path: Vec<u8>,
    pub(crate) view: View,
}

impl Form {
    pub(crate) fn new(path: Vec<u8>, view: View) -> Self {
        Self { path, view }
    }

    /// Returns the listing of the entries in `run`, which are all there are, and of the README.
    pub(crate) fn page_of_run(&self, run: &mut Run, readme: Option<&Readme>) -> Page {
        run.sort();
        let (mut out, mut dates) = (self.room_for(run.len(), readme), Dates::new());
        self.begin(&mut out, run.counts());
        for (number, entry) in run.iter().enumerate() {
            self.row(&mut out, &entry, &mut dates, number + 1 == run.len());
        }
        self.end(&mut out, readme);
        self.page(out)
    }

    /// Returns the listing of `entries` and of the README.
    pub(crate) fn page_of(&self, entries: &Entries, readme: Option<&Readme>) -> Page {
        let mut out = self.room_for(entries.len(), readme);
        self.begin(&mut out, entries.counts());
        self.write_rows(&mut out, entries, 0, usize::MAX);
        self.end(&mut out, readme);
        self.page(out)
    }

    fn page(&self, content: Vec<u8>) -> Page {
        Page {
            fields: self.view.format.fields(),
            defaults: self.view.format.defaults(),
            content,
        }
    }

    /// Returns a buffer for a page with this number of `rows` of usual length, and the README.
    fn room_for(&self, rows: usize, readme: Option<&Readme>) -> Vec<u8> {
        let (frame, row) = match self.view.format {
            Format::Html => (6144 + readme.map_or(0, Readme::len), 200),
            Format::Json => (16, 100),
        };
        Vec::with_capacity(frame + row * rows)
    }

    /// Writes rows, beginning with number `from`, until `out` has `full` bytes. Returns the number of the next row.
    fn write_rows(&self, out: &mut Vec<u8>, entries: &Entries, from: usize, full: usize) -> usize {
        let (mut dates, mut number) = (Dates::new(), from);
        entries.show(from, |entry| {
            number += 1;
            self.row(out, &entry, &mut dates, number == entries.len());
            out.len() < full
        })
    }

    fn begin(&self, out: &mut Vec<u8>, counts: Counts) {
        match self.view.format {
            Format::Html => html::begin(out, &self.path, self.view.order, counts),
            Format::Json => json::begin(out),
        }
    }

    fn row(&self, out: &mut Vec<u8>, entry: &Entry<'_>, dates: &mut Dates, is_last: bool) {
        match self.view.format {
            Format::Html => html::row(out, entry, dates),
            Format::Json => json::row(out, entry, is_last),
        }
    }

    /// Writes everything after the rows.
    fn end(&self, out: &mut Vec<u8>, readme: Option<&Readme>) {
        self.end_rows(out);
        self.write_readme(out, readme, 0, usize::MAX);
        self.end_page(out);
    }

    fn end_rows(&self, out: &mut Vec<u8>) {
        match self.view.format {
            Format::Html => html::end_rows(out),
            Format::Json => json::end(out),
        }
    }

    /// Writes the part of the README that begins with byte `from`, until `out` has `full` bytes. Returns where the next part begins.
    fn write_readme(
        &self,
        out: &mut Vec<u8>,
        readme: Option<&Readme>,
        from: usize,
        full: usize,
    ) -> Option<usize> {
        match self.view.format {
            Format::Html => readme?.write(out, from, full),
            Format::Json => None,
        }
    }

    fn end_page(&self, out: &mut Vec<u8>) {
        match self.view.format {
            Format::Html => page::end(out),
            Format::Json => {}
        }
    }
}

/// The body of a long listing.
#[derive(Debug)]
pub(crate) struct Listing {
    form: Form,
    entries: Arc<Entries>,
    readme: Option<Arc<Readme>>,
    next: NextPart,
    /// Counts the memory of the piece that the client has not read yet, and that of the README.
    _lease: Lease,
}

/// The part of a long listing that is written next.
#[derive(Clone, Copy, Debug)]
enum NextPart {
    Heading,
    Row(usize),
    /// The README, beginning with this byte.
    Readme(usize),
}

impl Listing {
    /// Prepares to send `entries` and the README.
    ///
    /// # Errors
    /// No memory is left.
    pub(crate) fn new(
        form: Form,
        entries: Arc<Entries>,
        readme: Option<Arc<Readme>>,
        memory: &Arc<ListingMemory>,
    ) -> Result<Self, Full> {
        let mut lease = Lease::new(memory);
        lease.resize(ROOM + readme.as_ref().map_or(0, |readme| readme.len()))?;
        Ok(Self {
            form,
            entries,
            readme,
            next: NextPart::Heading,
            _lease: lease,
        })
    }
}

impl Source for Listing {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        // The lease counts exactly this much.
        out.reserve_exact(ROOM - out.len().min(ROOM));
        let full = out.len() + PIECE;
        let (form, readme) = (&self.form, self.readme.as_deref());
        if let NextPart::Heading = self.next {
            form.begin(out, self.entries.counts());
            self.next = NextPart::Row(0);
            if out.len() >= full {
                return Ok(Fill::More);
            }
        }
        if let NextPart::Row(row) = self.next {
            let next = form.write_rows(out, &self.entries, row, full);
            self.next = NextPart::Row(next);
            if next < self.entries.len() {
                return Ok(Fill::More);
            }
            form.end_rows(out);
            self.next = NextPart::Readme(0);
        }
        if let NextPart::Readme(from) = self.next
            && let Some(next) = form.write_readme(out, readme, from, full)
        {
            self.next = NextPart::Readme(next);
            return Ok(Fill::More);
        }
        form.end_page(out);
        Ok(Fill::Done)
    }
}
