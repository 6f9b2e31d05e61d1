//! A request body that is arriving, and the request that waits for it (RFC 9112 §6).

use std::time::{Duration, Instant};

use crate::config::ServerConfig;
use crate::http::body::BodyDecoder;
use crate::http::request::RequestError;
use crate::http::request::owned::OwnedRequest;
use crate::server::event_loop::timers::is_progress;
use crate::wire::spool::{RequestBody, Spool};

/// Bytes of a request body in a second that are more than a trickle.
const TRICKLE: u64 = 16 * 1024;
/// Time after which the pace of a body can be told.
const PACE_KNOWN: Duration = Duration::from_millis(250);

/// A request that waits for the rest of its body.
#[derive(Debug)]
pub(crate) struct UnfinishedRequest {
    pub(crate) request: OwnedRequest,
    pub(crate) body: ArrivingBody,
}

/// As much of a body as has come.
#[derive(Debug)]
pub(crate) struct ArrivingBody {
    decoder: BodyDecoder,
    spool: Box<Spool>,
    pub(crate) length: u64,
    /// When the pace was last looked at, and how much had come by then.
    checked: (Instant, u64),
}

impl ArrivingBody {
    pub(crate) fn new(decoder: BodyDecoder, spool: Box<Spool>, now: Instant) -> Self {
        Self {
            decoder,
            spool,
            length: 0,
            checked: (now, 0),
        }
    }

    /// Takes what has come off the front of `bytes`, up to `limit` bytes of content in all; says whether the body is complete.
    pub(crate) fn take(&mut self, bytes: &mut &[u8], limit: u64) -> Result<bool, RequestError> {
        let Self {
            decoder,
            spool,
            length,
            ..
        } = self;
        let mut stored = Ok(());
        let decoded = decoder.decode(bytes, |content| {
            *length += content.len() as u64;
            if *length <= limit && stored.is_ok() {
                stored = spool.push(content);
            }
        });
        // The first fault in the body decides, so that the refusal does not depend on how much has come.
        stored?;
        if *length > limit {
            return Err(RequestError::BodyTooLarge);
        }
        decoded
    }

    /// Ends a complete body: from now on it is read.
    pub(crate) fn finish(self) -> Result<RequestBody, RequestError> {
        self.spool.finish()
    }

    /// Whether so little has come lately that another connection may have the place of this one.
    pub(crate) fn trickles(&self, now: Instant) -> bool {
        let (then, had) = self.checked;
        let elapsed = now.saturating_duration_since(then);
        elapsed >= PACE_KNOWN && !is_progress(self.length - had, TRICKLE, elapsed)
    }

    /// Whether as much as required has come since the last check.
    pub(crate) fn keeps_pace(&mut self, now: Instant, config: &ServerConfig) -> bool {
        let (then, had) = self.checked;
        let elapsed = now.saturating_duration_since(then);
        if elapsed < config.body_timeout {
            // The deadline that has passed was that of an earlier body.
            return true;
        }
        self.checked = (now, self.length);
        is_progress(self.length - had, config.min_body_rate, elapsed)
    }
}
