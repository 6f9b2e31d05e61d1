//! The end of an exchange, when its handler has returned.
//!
//! Invariant: an error, a panic or a misuse becomes a complete 500; nothing of the reply that was begun is sent.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::Exchange;
use crate::handler::ending::Ending;
use crate::handler::request_context::RequestContext;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::http::status::HttpStatus;

impl Exchange<'_> {
    /// Ends the exchange when `handler` has `responded`: frames the reply, unless none was left; `close` makes it the last
    /// one. A failure, panic or misuse of the handler becomes a clean 500.
    pub(crate) fn end<H: BaseHttpRequestHandler>(
        &mut self,
        handler: &mut H,
        responded: thread::Result<HandlerResult>,
        close: bool,
    ) -> Ending {
        let failure = match responded {
            Ok(Ok(())) => match self.take_ending(close) {
                Ok(ending) => return ending,
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_text(&*panic),
        };
        self.fail(handler, &failure, close)
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

    /// Replies with a 500, after the handler was told of the failure.
    fn fail<H: BaseHttpRequestHandler>(
        &mut self,
        handler: &mut H,
        failure: &str,
        close: bool,
    ) -> Ending {
        // If the hook panics too, the client still gets its 500.
        let _ = catch_unwind(AssertUnwindSafe(|| handler.handle_error(self, failure)));
        self.send_error(HttpStatus::INTERNAL_SERVER_ERROR, None, None);
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
