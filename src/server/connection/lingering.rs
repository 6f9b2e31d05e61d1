//! What comes after the reply and is discarded: the rest of a body that no handler wants, so that the next request is read
//! from its first byte, and all that a peer sends to a connection that closes (RFC 9112 §9.3 and §9.6).
//!
//! Invariant: it ends `linger_time` after the reply has left, and `linger_timeout` after the last byte.

use std::time::{Duration, Instant};

use crate::config::ServerConfig;
use crate::http::body::BodyDecoder;
use crate::http::request::RequestError;

#[derive(Debug)]
pub(crate) struct Lingering {
    began: Instant,
    /// The body behind which the next request begins; `None` where our side is shut.
    body: Option<BodyDecoder>,
    pub(crate) discarded: u64,
}

/// How far some bytes go that are discarded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Discarded {
    /// To the end of the body: what is left of them is the next request.
    All,
    /// More is to be discarded.
    Some,
    /// Beyond what is read of an unwanted body.
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

    /// The reply has left: its time begins.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.began = now;
    }

    pub(crate) fn lasted(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Takes off the front of `bytes` what is to be discarded.
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
