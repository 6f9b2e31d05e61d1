//! What comes after the reply and is discarded: the rest of a body that no handler wants, so that the next request is read
//! from its first byte, and all that a peer sends to a connection that closes (RFC 9112 §9.3 and §9.6).
//!
//! Invariant: it ends `linger_time` after the reply has left, and `linger_timeout` after the last byte.

use std::io;
use std::time::{Duration, Instant};

use super::{Connection, State, Step};
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::http::body::BodyDecoder;
use crate::http::head::HeadSearch;
use crate::http::request::RequestError;
use crate::server::answering::{Then, Turn};
use crate::server::state::Unsent;
use crate::wire::transport::Transport;

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

    /// Whether a `linger_timeout` that begins now ends before the deadline.
    fn may_be_renewed(&self, now: Instant, config: &ServerConfig) -> bool {
        config.linger_time.saturating_sub(self.lasted(now)) >= config.linger_timeout
    }
}

impl<T: Transport> Connection<T> {
    /// Discards what still comes, until the next request begins, or the peer closes too or has had its time: a close before that
    /// could reset the connection and take the reply from the peer's hands.
    pub(super) fn lingering<H: BaseHttpRequestHandler>(
        &mut self,
        mut lingering: Box<Lingering>,
        scratch: &mut [u8],
        turn: &mut Turn<'_, H>,
    ) -> io::Result<Step> {
        let now = turn.context.clock.instant;
        if lingering.lasted(now) >= turn.context.server.config().linger_time {
            return Ok(Step::Close);
        } else if turn.share.bytes == 0 {
            self.state = State::Lingering(lingering);
            return Ok(Step::Yield);
        }
        let Some(mut bytes) = self.read(scratch, turn)? else {
            self.state = State::Lingering(lingering);
            return Ok(Step::Wait);
        };
        if bytes.is_empty() {
            return Ok(Step::Close);
        }
        turn.share.bytes = turn.share.bytes.saturating_sub(bytes.len());
        let config = turn.context.server.config();
        turn.progress = lingering.may_be_renewed(now, config);
        match lingering.discard(&mut bytes, config) {
            Discarded::Some => self.state = State::Lingering(lingering),
            Discarded::All => return self.serve(bytes, HeadSearch::default(), None, turn),
            // No next request will be found. The peer may still have to read the reply.
            Discarded::TooMuch | Discarded::Malformed(_) => {
                self.transport.shutdown()?;
                lingering.body = None;
                self.state = State::Lingering(lingering);
            }
        }
        Ok(Step::Next)
    }

    /// Discards an unwanted body while the socket takes no more of the reply: the peer may read nothing before it has sent
    /// everything.
    pub(super) fn discard_meanwhile<H: BaseHttpRequestHandler>(
        &mut self,
        unsent: &mut Unsent,
        scratch: &mut [u8],
        turn: &mut Turn<'_, H>,
    ) -> io::Result<Step> {
        while let Then::Discard(unwanted) = &mut unsent.then {
            if turn.share.bytes == 0 {
                return Ok(Step::Yield);
            }
            let Some(mut bytes) = self.read(scratch, turn)? else {
                break;
            };
            turn.share.bytes = turn.share.bytes.saturating_sub(bytes.len());
            let is_end = bytes.is_empty();
            match unwanted.discard(&mut bytes, turn.context.server.config()) {
                Discarded::Some if !is_end => {}
                Discarded::All => {
                    unsent.unparsed = bytes.to_vec();
                    unsent.then = Then::Parse;
                }
                _ => unsent.then = Then::Linger,
            }
        }
        Ok(Step::Wait)
    }
}
