//! What to answer: the public handler API, and the exchange behind it.
//!
//! Invariant: nothing here polls, knows the table of connections, or finds a file by its name. What `files` and `server` share is
//! here too (open files, listing memory), because these two layers do not import each other.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod cors;
pub(crate) mod counters;
pub(crate) mod deferred;
pub(crate) mod durations;
pub(crate) mod ending;
pub(crate) mod error_page;
pub(crate) mod error_pages;
pub(crate) mod exchange;
pub(crate) mod handler_error;
pub(crate) mod idle_files;
pub(crate) mod lines;
pub(crate) mod listing_memory;
pub(crate) mod log;
pub(crate) mod mailbox;
pub(crate) mod page;
pub(crate) mod peer;
pub(crate) mod prepared;
pub(crate) mod query;
pub(crate) mod ready_checks;
pub(crate) mod reply;
pub(crate) mod request_context;
pub(crate) mod request_counts;
pub(crate) mod server_info;
pub(crate) mod stream_writer;
pub(crate) mod text;
pub(crate) mod waits;
pub(crate) mod wfile;
pub(crate) mod work;

use crate::http::status::HttpStatus;
use exchange::Exchange;
use handler_error::HandlerError;
use log::LogEntry;

/// What a method of a handler returns. Any error may be in it, so `?` works on those of parsing, of files and of other crates; it
/// becomes a 500, and its text a line in the log. [`HandlerError::new`] makes it a 400 or another status.
///
/// ```
/// use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, MemoryServer};
///
/// struct Double;
///
/// impl BaseHttpRequestHandler for Double {
///     fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
///         let text = exchange.path_only().strip_prefix("/double/").ok_or("not a number to double")?;
///         let number: u32 = text.parse()?;
///         exchange.send_text(200, (2 * number).to_string());
///         Ok(())
///     }
/// }
///
/// let mut server = MemoryServer::new(Double);
/// assert!(server.respond(b"GET /double/21 HTTP/1.0\r\n\r\n").ends_with(b"42"));
/// assert!(server.respond(b"GET /double/x HTTP/1.0\r\n\r\n").starts_with(b"HTTP/1.1 500 "));
/// ```
pub type HandlerResult<T = ()> = Result<T, HandlerError>;

/// Answers requests one at a time, on the thread of its loop, so plain fields need no lock.
///
/// Override the method for each HTTP method that is served; the others answer 501, as http.server does. Only HEAD is answered as
/// GET is, without the body. If a method returns an error or panics, the client gets a 500.
#[doc(alias = "BaseHTTPRequestHandler")]
pub trait BaseHttpRequestHandler {
    /// Answers GET.
    #[doc(alias = "do_GET")]
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        unsupported(exchange)
    }

    /// Answers HEAD. The default calls [`do_get`](Self::do_get), and the server leaves the body out (RFC 9110 §9.3.2).
    ///
    /// Override it where the body of GET is costly to make.
    #[doc(alias = "do_HEAD")]
    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.do_get(exchange)
    }

    /// Answers POST.
    #[doc(alias = "do_POST")]
    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        unsupported(exchange)
    }

    /// Answers PUT.
    #[doc(alias = "do_PUT")]
    fn do_put(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        unsupported(exchange)
    }

    /// Answers DELETE.
    #[doc(alias = "do_DELETE")]
    fn do_delete(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        unsupported(exchange)
    }

    /// Answers PATCH.
    #[doc(alias = "do_PATCH")]
    fn do_patch(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        unsupported(exchange)
    }

    /// Answers OPTIONS.
    #[doc(alias = "do_OPTIONS")]
    fn do_options(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        unsupported(exchange)
    }

    /// Answers TRACE.
    #[doc(alias = "do_TRACE")]
    fn do_trace(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        unsupported(exchange)
    }

    /// Answers every other method; [`Exchange::command`] tells which.
    #[doc(alias = "do_SPAM")]
    fn do_other(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        unsupported(exchange)
    }

    /// Calls the method for the HTTP method of the request; HTTP methods are case-sensitive (RFC 9110 §9.1).
    #[inline(always)]
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
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

    /// Returns whether the body of a request is read for [`Exchange::rfile`] before the request is answered. The default is
    /// `false`, so that clients cannot make the server store bodies that no method reads.
    ///
    /// `true` reads bodies of up to [`max_body`](crate::ServerConfig::max_body) bytes. `false` answers at once, and discards the
    /// body when the reply has left, which costs neither memory nor disk; an attempt to read it from `rfile` is then an error.
    /// `path` is the target with its query, as [`Exchange::path`] is. A handler that passes requests on to another handler should
    /// ask that one here too.
    ///
    /// ```
    /// use std::io;
    ///
    /// use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, MemoryServer};
    ///
    /// struct Shout;
    ///
    /// impl BaseHttpRequestHandler for Shout {
    ///     fn reads_body(&self, command: &str, _path: &str) -> bool {
    ///         command == "POST"
    ///     }
    ///
    ///     fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
    ///         let text = io::read_to_string(exchange.rfile())?;
    ///         exchange.send_text(200, text.to_uppercase());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let request = b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nhey";
    /// assert!(MemoryServer::new(Shout).respond(request).ends_with(b"HEY"));
    /// ```
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        false
    }

    /// Returns whether answering requests may change files that a
    /// [`SimpleHttpRequestHandler`](crate::SimpleHttpRequestHandler) serves.
    ///
    /// `true` is always correct: each request then sees what the ones before it have changed. A handler that changes no files
    /// may return `false`; requests that arrive together then share one look at the file system.
    fn may_change_files(&self) -> bool {
        true
    }

    /// Returns whether a client may send its body that has asked first, by `Expect: 100-continue`.
    ///
    /// `true` sends `100 Continue`, and right after it the reply if the body is not [wanted](Self::reads_body). For `false` the
    /// method should make the final reply, such as 413; without one the client gets a 417. The connection closes after it. The
    /// method is not called if the body has begun to arrive already.
    fn handle_expect_100(&mut self, _exchange: &mut Exchange<'_>) -> HandlerResult<bool> {
        Ok(true)
    }

    /// Appends the access log line of a reply that has left, or broke off, to `line`. The method is not called if the server's
    /// [`LogFormat`](crate::LogFormat) is `None`.
    fn log_request(&mut self, entry: &LogEntry<'_>, line: &mut Vec<u8>) {
        entry.write(line);
    }

    /// Reports a request that the handler failed to answer; `failure` is the error, the panic or the misuse in words. The
    /// client gets a 500, or the [status](HandlerError::new) of the error. The default writes a line to the log.
    fn handle_error(&mut self, exchange: &mut Exchange<'_>, failure: &str) {
        let request = String::from_utf8_lossy(exchange.requestline());
        exchange.log_message(&format!("{request}: {failure}"));
    }

    /// Returns whether a connection is accepted; otherwise it is closed without a reply. The address is that of the peer, also
    /// where this is a [trusted proxy](crate::ServerConfig::trusted_proxies).
    fn verify_request(&mut self, _client_address: SocketAddr) -> bool {
        true
    }

    /// Is called when a connection begins, with the address of the peer.
    fn setup(&mut self, _client_address: SocketAddr) {}

    /// Is called when a connection has ended, with the address of the peer.
    fn finish(&mut self, _client_address: SocketAddr) {}

    /// Is called in every turn of the loop, after its events.
    fn service_actions(&mut self) {}

    /// Returns a descriptor that the loop watches, if there is one: when it becomes readable, the loop has a turn, and calls
    /// [`service_actions`](Self::service_actions). The server calls this once for each handler, before the first request, and the
    /// descriptor must stay open as long as the handler lives. The poll is edge-triggered, so `service_actions` has to read until
    /// nothing is left.
    ///
    /// A handler that passes requests on to a [`SimpleHttpRequestHandler`](crate::SimpleHttpRequestHandler) passes both calls on to
    /// it, too, for its [`live`](crate::SimpleHttpRequestHandler::live) pages.
    fn event_source(&mut self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Is called when [`HttpServer::handle_request`](crate::HttpServer::handle_request) has waited and no
    /// request has come.
    fn handle_timeout(&mut self) {}

    /// Checks whether requests can be answered now, for `/readyz` of the [administration](crate::HttpServer::serve_admin). Any reason
    /// why not is sent with the 503. The default is always ready.
    ///
    /// It is called on the thread of the loop for each such request, so it must be quick. A handler that passes requests on to another
    /// handler should ask that one here too. [`SimpleHttpRequestHandler`](crate::SimpleHttpRequestHandler) leaves its check to
    /// [file threads](crate::ServerConfig::file_threads), if there are any, and returns `Ok`: what they find is added to the answer.
    ///
    /// # Errors
    /// The reason, as one line of text.
    fn check_ready(&mut self) -> Result<(), Cow<'static, str>> {
        Ok(())
    }

    /// Returns the value of the `Server` field. It is called once, when the server starts.
    #[doc(alias = "server_version")]
    #[doc(alias = "sys_version")]
    fn version_string(&self) -> String {
        concat!("httpoll/", env!("CARGO_PKG_VERSION")).to_owned()
    }

    /// Returns the format of the error page of `status`, in which `%(code)d`, `%(message)s` and `%(explain)s` are filled in,
    /// HTML-escaped; `None` stands for the page of this crate. It is called when the server starts, once for each status from 400
    /// to 599.
    ///
    /// ```
    /// # use httpoll::{BaseHttpRequestHandler, HttpStatus};
    /// # struct Site;
    /// # impl BaseHttpRequestHandler for Site {
    /// fn error_message_format(&self, status: HttpStatus) -> Option<String> {
    ///     match status {
    ///         HttpStatus::NOT_FOUND => Some("<h1>Nothing here</h1>".to_owned()),
    ///         _ => None,
    ///     }
    /// }
    /// # }
    /// ```
    fn error_message_format(&self, _status: HttpStatus) -> Option<String> {
        None
    }

    /// Returns the media type of [`error_message_format`](Self::error_message_format).
    fn error_content_type(&self) -> String {
        "text/html; charset=utf-8".to_owned()
    }
}

/// Answers a method that the handler does not know, as http.server does.
pub(crate) fn unsupported(exchange: &mut Exchange<'_>) -> HandlerResult {
    let message = format!("Unsupported method ('{}')", exchange.command());
    exchange.send_error(HttpStatus::NOT_IMPLEMENTED, Some(&message), None);
    Ok(())
}
