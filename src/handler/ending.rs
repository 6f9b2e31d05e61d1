//! How an exchange ends: with a reply that is framed, with one that comes later, or with none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::HandlerResult;
use super::deferred::Promise;
use super::exchange::Exchange;
use super::mailbox::Answer;
use super::work::{Allowance, Work};
use crate::http::status::HttpStatus;
use crate::wire::source::Fill;

/// What the handler left when it returned.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The reply is framed, and stands in the outgoing bytes.
    Reply(Framed),
    /// The reply comes later; `close` says whether it is the last one of its connection.
    Later { coming: Coming, close: bool },
    /// There is no reply: the connection is to be reset.
    Aborted,
}

/// A reply that is ready to leave.
#[derive(Debug)]
pub(crate) struct Framed {
    pub(crate) status: HttpStatus,
    /// Bytes of the reply in memory that are not content: head and chunk framing.
    pub(crate) overhead: u64,
    pub(crate) keep_alive: bool,
}

/// Where a reply that comes later comes from.
#[derive(Debug)]
pub(crate) enum Coming {
    /// Another thread gives it.
    Promised(Promise),
    /// It can be made now: another thread has given it. `None` where the promise was dropped, or where the work panicked.
    Given(Option<Answer>),
    /// The loop does this work first, a slice at a time.
    Work(Box<dyn Work>),
}

impl Coming {
    pub(crate) fn is_work(&self) -> bool {
        matches!(self, Self::Work(_))
    }

    /// Does a slice of the work, if that is what the reply waits for and there is time. [`Fill::Done`]: the reply can be made.
    /// [`Fill::More`]: the work needs another slice. [`Fill::NotNow`]: another thread has to act first.
    pub(crate) fn advance(&mut self, allowance: &mut Allowance) -> Fill {
        let work = match self {
            Self::Promised(_) => return Fill::NotNow,
            Self::Given(_) => return Fill::Done,
            Self::Work(work) => work,
        };
        if allowance.is_spent() {
            return Fill::More;
        }
        let slice = |until| catch_unwind(AssertUnwindSafe(|| work.advance(until)));
        allowance.spend(slice).unwrap_or_else(|_| {
            *self = Self::Given(None);
            Fill::Done
        })
    }

    /// Tells the thread or the work that makes the reply that the client has closed its side.
    pub(crate) fn note_client_left(&self) {
        match self {
            Self::Promised(promise) => promise.client_left.store(true, Ordering::Relaxed),
            Self::Work(work) => work.note_client_left(),
            Self::Given(_) => {}
        }
    }

    /// Makes the reply. Returns whether it is made; if not, the handler has to make it.
    ///
    /// # Errors
    /// The promise was dropped, or what makes the reply has failed: a 500.
    pub(crate) fn reply(self, exchange: &mut Exchange<'_>) -> HandlerResult<bool> {
        match self {
            Self::Given(Some(Answer::Reply(make))) => make(exchange).map(|()| true),
            Self::Given(Some(Answer::AskHandler)) => Ok(false),
            Self::Work(work) => Ok(work.reply(exchange).map(|()| true)?),
            Self::Given(None) | Self::Promised(_) => Err("the promised reply was dropped".into()),
        }
    }
}
