//! A request that waits for a file thread: the thread looks up what the target means, and the loop makes the reply.
//!
//! Invariant: a copy of the handler makes the reply, and keeps nothing. What a thread found is sent once; the next request finds it in
//! memory, and then the reply is made and kept by the handler itself.

use std::io;
use std::task::Poll;
use std::time::Instant;

use super::SimpleHttpRequestHandler;
use super::look_up::{Found, Patience};
use super::send_head::{Asked, FileRequest};
use crate::handler::exchange::Exchange;
use crate::handler::work::Work;
use crate::wire::file_threads::{Pending, Refused, Submitter};
use crate::wire::source::Fill;

/// A request that waits for a file thread.
pub(super) struct LookupWork {
    /// What the target means, with the keys of the reply.
    bytes: Vec<u8>,
    path_length: usize,
    key_length: usize,
    pending: Pending<FoundByThread>,
    found: Option<FoundByThread>,
}

/// What a thread has found, with the copy of the handler that makes the reply.
type FoundByThread = (Box<SimpleHttpRequestHandler>, io::Result<Option<Found>>);

impl LookupWork {
    /// Hands the look-up over to a thread, with a `copy` of the handler.
    ///
    /// # Errors
    /// The threads take no more jobs.
    pub(super) fn begin(
        copy: SimpleHttpRequestHandler,
        asked: Asked<'_>,
        submitter: &Submitter,
    ) -> Result<Self, Refused> {
        let Asked {
            bytes,
            path_length,
            key_length,
        } = asked;
        let (copy, owned) = (Box::new(copy), bytes.to_vec());
        let threads = submitter.threads.clone();
        let look_up = move || {
            let asked = Asked {
                bytes: &owned,
                path_length,
                key_length,
            };
            let lookup = copy.lookup(asked, Patience::Yes);
            let found = lookup.find_and_load(&threads);
            (copy, found)
        };
        Ok(Self {
            bytes: bytes.to_vec(),
            path_length,
            key_length,
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
        let Some((files, found)) = self.found else {
            exchange.send_file_unavailable();
            return Ok(());
        };
        let asked = Asked {
            bytes: &self.bytes,
            path_length: self.path_length,
            key_length: self.key_length,
        };
        files
            .read_by_thread
            .note(asked.key(), exchange.clock().instant);
        match found? {
            Some(found) => FileRequest::new(&files, exchange).reply(asked, found),
            None => Ok(()),
        }
    }

    fn note_client_left(&self) {
        self.pending.note_client_left();
    }
}
