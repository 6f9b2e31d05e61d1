//! The end of an exchange, when its handler has returned.
//!
//! Invariant: an error, a panic or a misuse becomes a complete error page, a 500 unless the error says otherwise; nothing of the
//! reply that was begun is sent.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::Exchange;
use crate::handler::ending::Ending;
use crate::handler::handler_error::HandlerError;
use crate::handler::request_context::RequestContext;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};

impl Exchange<'_> {
    /// Ends the exchange when `handler` has `responded`: frames the reply, unless none was left; `close` makes it the last
    /// one. A failure, panic or misuse of the handler becomes a clean error page.
    pub(crate) fn end<H: BaseHttpRequestHandler>(
        &mut self,
        handler: &mut H,
        responded: thread::Result<HandlerResult>,
        close: bool,
    ) -> Ending {
        let error = match responded {
            Ok(Ok(())) => match self.take_ending(close) {
                Ok(ending) => return ending,
                Err(error) => error.into(),
            },
            Ok(Err(error)) => error,
            Err(panic) => panic_text(&*panic).into(),
        };
        self.fail(handler, &error, close)
    }

    /// Takes what the handler left. A reply that was begun beside one that comes later is misuse.
    #[inline]
    fn take_ending(&mut self, close: bool) -> io::Result<Ending> {
        match self.ending.take() {
            Some(Ending::Later { .. }) if self.reply.is_begun() => {
                return Err(io::Error::other("a reply beside a promised one"));
            }
            Some(Ending::Later { coming, .. }) if self.reply.is_untouched() => {
                let close = close || self.close;
                return Ok(Ending::Later { coming, close });
            }
            Some(Ending::Aborted) => {
                self.reply.reset();
                return Ok(Ending::Aborted);
            }
            _ => {}
        }
        match self.reply.misuse() {
            Some(misuse) => Err(io::Error::other(misuse)),
            None => self.frame(close),
        }
    }

    fn frame(&mut self, close: bool) -> io::Result<Ending> {
        let RequestContext { server, clock, .. } = self.context;
        self.reply
            .finish(self.request, server, clock, close || self.close)
            .map(Ending::Reply)
    }

    /// Replies with the page of `error`. Of a failure that is not the client's, the handler is told first.
    fn fail<H: BaseHttpRequestHandler>(
        &mut self,
        handler: &mut H,
        error: &HandlerError,
        close: bool,
    ) -> Ending {
        let (status, text) = (error.status(), error.to_string());
        let is_of_client = status.code() < 500;
        if !is_of_client {
            // If the hook panics too, the client still gets its error page.
            let _ = catch_unwind(AssertUnwindSafe(|| handler.handle_error(self, &text)));
        }
        self.send_error(status, None, is_of_client.then_some(&*text));
        // Framing cannot fail here, because the page stands in memory.
        self.frame(close).unwrap_or(Ending::Aborted)
    }
}

/// Returns what the log says of a panic: its message, which `panic!` gives as a string.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    match message {
        Some(message) => format!("the handler panicked: {message}"),
        None => "the handler panicked".to_owned(),
    }
}
