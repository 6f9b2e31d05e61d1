//! A request that waits for a file thread: the thread looks up what the target means, and the loop makes the reply.
//!
//! Invariant: a copy of the handler makes the reply, and keeps nothing. What a thread has found is sent once. The next request for a
//! local file finds it in memory; then the handler itself makes the reply, and keeps it.

use std::io;
use std::task::Poll;
use std::time::Instant;

use super::SimpleHttpRequestHandler;
use super::asked::Asked;
use super::look_up::{Found, Patience};
use super::send_head::FileRequest;
use crate::handler::exchange::Exchange;
use crate::handler::work::Work;
use crate::wire::file_threads::{Pending, Refused, Submitter};
use crate::wire::source::Fill;

/// A request that waits for a file thread.
pub(super) struct LookupWork {
    pending: Pending<FoundByThread>,
    /// `None` as long as there is no result, and if there will be none.
    found: Option<FoundByThread>,
}

/// What a thread has found, with all that the reply needs.
struct FoundByThread {
    copy: Box<SimpleHttpRequestHandler>,
    asked: Asked<'static>,
    found: io::Result<Found>,
}

impl LookupWork {
    /// Hands the look-up over to a thread, with a `copy` of the handler.
    ///
    /// # Errors
    /// The threads take no more jobs.
    pub(super) fn begin(
        copy: SimpleHttpRequestHandler,
        asked: &Asked<'_>,
        submitter: &Submitter,
    ) -> Result<Self, Refused> {
        let (copy, asked) = (Box::new(copy), asked.to_owned());
        let threads = submitter.threads.clone();
        let look_up = move || {
            let lookup = copy.lookup(&asked, Patience::Yes);
            let found = lookup.find_and_load(&threads);
            FoundByThread { copy, asked, found }
        };
        Ok(Self {
            pending: submitter.submit(look_up)?,
            found: None,
        })
    }
}

impl Work for LookupWork {
    fn advance(&mut self, _until: Instant) -> Fill {
        match self.pending.poll() {
            Poll::Pending => return Fill::NotNow,
            Poll::Ready(found) => self.found = found.ok(),
        }
        Fill::Done
    }

    fn reply(self: Box<Self>, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let Some(FoundByThread { copy, asked, found }) = self.found else {
            exchange.send_file_unavailable();
            return Ok(());
        };
        let now = exchange.clock().instant;
        copy.read_by_thread.note(asked.key(), now);
        FileRequest::new(&copy, exchange).reply(&asked, found)
    }

    fn note_client_left(&self) {
        self.pending.note_client_left();
    }
}
