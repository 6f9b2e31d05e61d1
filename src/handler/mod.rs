//! What to answer: the public handler API. No poll, no slab, no file system.

use std::io;

pub(crate) mod clock;
pub(crate) mod error_page;
pub(crate) mod exchange;
pub(crate) mod log;
pub(crate) mod page;
pub(crate) mod reply;
pub(crate) mod server_info;

use crate::http::status::HttpStatus;
use exchange::Exchange;

/// Answers requests, one at a time, from the one thread of its loop: plain fields need no lock.
///
/// Override the method of each HTTP method that is served; the others answer 501, as http.server does. An error that a
/// method returns, and a panic, become a 500.
#[doc(alias = "BaseHTTPRequestHandler")]
pub trait BaseHttpRequestHandler {
    /// Answers GET.
    #[doc(alias = "do_GET")]
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        unsupported(exchange)
    }

    /// Answers HEAD. The server leaves the body out, so this may do what [`do_get`](Self::do_get) does.
    #[doc(alias = "do_HEAD")]
    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        unsupported(exchange)
    }

    /// Answers POST.
    #[doc(alias = "do_POST")]
    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        unsupported(exchange)
    }

    /// Answers PUT.
    #[doc(alias = "do_PUT")]
    fn do_put(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        unsupported(exchange)
    }

    /// Answers DELETE.
    #[doc(alias = "do_DELETE")]
    fn do_delete(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        unsupported(exchange)
    }

    /// Answers PATCH.
    #[doc(alias = "do_PATCH")]
    fn do_patch(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        unsupported(exchange)
    }

    /// Answers OPTIONS.
    #[doc(alias = "do_OPTIONS")]
    fn do_options(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        unsupported(exchange)
    }

    /// Answers TRACE.
    #[doc(alias = "do_TRACE")]
    fn do_trace(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        unsupported(exchange)
    }

    /// Answers every other method; [`Exchange::command`] tells which.
    #[doc(alias = "do_SPAM")]
    fn do_other(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        unsupported(exchange)
    }

    /// Calls the method that belongs to the request's; methods are case-sensitive (RFC 9110 §9.1).
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        match exchange.command() {
            "GET" => self.do_get(exchange),
            "HEAD" => self.do_head(exchange),
            "POST" => self.do_post(exchange),
            "PUT" => self.do_put(exchange),
            "DELETE" => self.do_delete(exchange),
            "PATCH" => self.do_patch(exchange),
            "OPTIONS" => self.do_options(exchange),
            "TRACE" => self.do_trace(exchange),
            _ => self.do_other(exchange),
        }
    }

    /// Returns what the `Server` field says; asked once, when the server starts.
    #[doc(alias = "server_version")]
    #[doc(alias = "sys_version")]
    fn version_string(&self) -> String {
        concat!("httpoll/", env!("CARGO_PKG_VERSION")).to_owned()
    }
}

/// http.server's answer to a method that a handler does not know.
fn unsupported(exchange: &mut Exchange<'_>) -> io::Result<()> {
    let message = format!("Unsupported method ('{}')", exchange.command());
    exchange.send_error(HttpStatus::NOT_IMPLEMENTED, Some(&message), None);
    Ok(())
}
