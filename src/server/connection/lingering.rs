//! Bytes that are discarded after the reply: the rest of a body that the handler does not want, so that the next request is
//! read from its first byte, and everything that the peer sends to a connection that closes (RFC 9112 §9.3 and §9.6).
//!
//! Invariant: discarding ends `linger_time` after the reply has left, and `linger_timeout` after the last byte.

use std::time::{Duration, Instant};

use crate::config::ServerConfig;
use crate::http::body::BodyDecoder;
use crate::http::request::RequestError;

/// What is discarded, and since when.
#[derive(Debug)]
pub(crate) struct Lingering {
    began: Instant,
    /// The body after which the next request begins; `None` where our side is shut.
    body: Option<BodyDecoder>,
    pub(crate) discarded: u64,
}

/// What became of bytes that were to be discarded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Discarded {
    /// The body has ended: what is left of them is the next request.
    All,
    /// All of them are discarded, and more are to be.
    Some,
    /// The body is longer than the server is willing to read.
    TooMuch,
    Malformed(RequestError),
}

impl Lingering {
    pub(crate) fn boxed(now: Instant, body: Option<BodyDecoder>) -> Box<Self> {
        Box::new(Self {
            began: now,
            body,
            discarded: 0,
        })
    }

    /// The reply has left, so the time for discarding begins.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.began = now;
    }

    pub(crate) fn lasted(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Takes what is to be discarded off the front of `bytes`.
    pub(crate) fn discard(&mut self, bytes: &mut &[u8], config: &ServerConfig) -> Discarded {
        let Some(decoder) = &mut self.body else {
            self.discarded += bytes.len() as u64;
            *bytes = &[];
            return Discarded::Some;
        };
        let decoded = decoder.decode(bytes, |content| self.discarded += content.len() as u64);
        match decoded {
            _ if self.discarded > config.max_discard => Discarded::TooMuch,
            Err(error) => Discarded::Malformed(error),
            Ok(true) => Discarded::All,
            Ok(false) => Discarded::Some,
        }
    }

    /// Whether a body is discarded, and a request may follow.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_in_body(&self) -> bool {
        self.body.is_some()
    }

    /// No next request will be found: everything is discarded until the peer closes.
    pub(super) fn discard_all(&mut self) {
        self.body = None;
    }

    /// Whether a `linger_timeout` that begins now ends before the deadline.
    pub(super) fn may_be_renewed(&self, now: Instant, config: &ServerConfig) -> bool {
        config.linger_time.saturating_sub(self.lasted(now)) >= config.linger_timeout
    }
}
