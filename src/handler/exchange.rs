//! One request and its one response, as a handler sees them: what http.server keeps on `self`.
//!
//! Invariant: nothing is sent before the handler has returned. Misuse (a field after the head, CR or LF in a value, two
//! replies) is remembered and becomes a clean 500.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

use super::client::Scheme;
use super::clock::Clock;
use super::deferred::Deferred;
use super::ending::{Coming, Ending};
use super::error_page::ErrorForm;
use super::mailbox::SourceWaker;
use super::peer::PeerName;
use super::prepared::Prepared;
use super::query;
use super::reply::Reply;
use super::request_context::RequestContext;
use super::server_info::ServerInfo;
use super::stream_writer::StreamWriter;
use super::wfile::Wfile;
use super::work::{Allowance, Work};
use crate::http::accept;
use crate::http::accept_encoding::AcceptedCodings;
use crate::http::conditional::Condition;
use crate::http::field::{DefaultFields, FieldLines, FieldName, FieldValue, ForbiddenBytes};
use crate::http::header_value::HeaderValue;
use crate::http::headers::Headers;
use crate::http::request::{Request, parse_digits};
use crate::http::status::HttpStatus;
use crate::wire::body::Maker;
use crate::wire::source::Source;
use crate::wire::spool::RequestBody;

mod end;
mod file_body;
mod whole_reply;

/// One request and its response.
///
/// Names are http.server's: `send_response`, `send_header`, `end_headers`, then the body by [`wfile`](Self::wfile),
/// [`copyfile`](Self::copyfile) or [`stream`](Self::stream); or [`send_error`](Self::send_error) for all at once. The server adds
/// the framing (`Content-Length`, `Transfer-Encoding`, `Connection`) and leaves out the body where HTTP allows none.
#[derive(Debug)]
pub struct Exchange<'a> {
    request: &'a Request<'a>,
    body: &'a mut RequestBody,
    context: RequestContext<'a>,
    close: bool,
    reply: Reply<'a>,
    /// What the handler left in place of a reply.
    ending: Option<Ending>,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(
        request: &'a Request<'a>,
        body: &'a mut RequestBody,
        context: RequestContext<'a>,
        reply: Reply<'a>,
    ) -> Self {
        let close = !request.meaning.keep_alive;
        Self {
            request,
            body,
            context,
            close,
            reply,
            ending: None,
        }
    }

    /// Returns the address of the client; an IPv4 client of a socket for both families is shown as IPv4.
    ///
    /// The client is the peer, unless that is one of the [`trusted_proxies`](crate::ServerConfig::trusted_proxies) and names
    /// another one. The port is 0 where the proxy names none. The peer of a UNIX socket is `0.0.0.0:0`.
    pub fn client_address(&self) -> SocketAddr {
        let config = self.context.server.config();
        self.context.client.address(self.request.headers, config)
    }

    /// Returns the address of the peer: the client, or the proxy that the request came through.
    pub fn peer_address(&self) -> SocketAddr {
        self.context.client.peer()
    }

    /// Whether the connection is encrypted by this server. A proxy in front that decrypts is not asked.
    pub fn is_tls(&self) -> bool {
        self.context.client.scheme == Scheme::Https
    }

    /// Returns the server that the client has asked for in the handshake of TLS (SNI, RFC 6066 §3). `None` without TLS, or if the client
    /// named none. The client may still ask for another host in its request.
    #[doc(alias = "sni_callback")]
    pub fn server_name(&self) -> Option<&str> {
        self.context.client.server_name()
    }

    /// Returns the IP address of the [client](Self::client_address) as text; `unix` for the peer of a UNIX socket.
    pub fn address_string(&self) -> String {
        PeerName(self.client_address()).to_string()
    }

    /// Returns the server's configuration and addresses.
    pub fn server(&self) -> &'a ServerInfo {
        self.context.server
    }

    /// Returns the request line as it came, without its end.
    #[doc(alias = "raw_requestline")]
    pub fn requestline(&self) -> &'a [u8] {
        self.request.requestline
    }

    /// Returns the method as the client spelled it.
    pub fn command(&self) -> &'a str {
        self.request.command
    }

    /// Returns the target with its query, percent-encoded as it came. Several leading slashes are reduced to one, and an
    /// absolute target to its path.
    pub fn path(&self) -> &'a str {
        self.request.path_text()
    }

    /// Returns the [path](Self::path) without its query, percent-encoded as it came.
    ///
    /// Several spellings mean one file: a guard of files asks
    /// [`is_below`](crate::SimpleHttpRequestHandler::is_below) instead of comparing this text.
    pub fn path_only(&self) -> &'a str {
        query::split_target(self.path()).0
    }

    /// Returns the pairs of name and value in the query of the [path](Self::path), in order, as a form has them: decoded, `+` for
    /// a space. A name without `=` has an empty value; bytes that are not UTF-8 become U+FFFD.
    ///
    /// ```
    /// # use httpoll::{Exchange, HandlerResult, MemoryServer, BaseHttpRequestHandler};
    /// # struct Handler;
    /// # impl BaseHttpRequestHandler for Handler {
    /// fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
    ///     let page = exchange.query().find(|(name, _)| name == "page");
    ///     let page = page.map_or("1".into(), |(_, value)| value);
    ///     exchange.send_text(200, format!("page {page} of {}", exchange.path_only()));
    ///     Ok(())
    /// }
    /// # }
    /// # let reply = MemoryServer::new(Handler).respond(b"GET /a?x&page=%32 HTTP/1.0\r\n\r\n");
    /// # assert!(reply.ends_with(b"page 2 of /a"));
    /// ```
    #[doc(alias = "parse_qsl")]
    pub fn query(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        query::pairs(query::split_target(self.path()).1)
    }

    /// Returns the [path](Self::path) as bytes, without checking again that they are UTF-8.
    pub(crate) fn target(&self) -> &'a [u8] {
        &self.request.path
    }

    /// Returns `HTTP/0.9`, `HTTP/1.0` or `HTTP/1.1`.
    pub fn request_version(&self) -> &'static str {
        self.request.meaning.version.name()
    }

    /// Returns the header fields of the request.
    pub fn headers(&self) -> Headers<'a> {
        self.request.headers
    }

    /// Returns the user that sent the request, as a guard has [set](Self::set_user) it; `None` if no guard has.
    #[doc(alias = "REMOTE_USER")]
    pub fn user(&self) -> Option<&str> {
        self.context.user.as_deref()
    }

    /// Notes which user sends the request, for the log and for handlers behind this one. For a guard that has checked the user. The
    /// log has at most the first 8 KiB of the name.
    pub fn set_user(&mut self, user: &str) {
        *self.context.user = Some(user.into());
    }

    /// Tells whether the connection will close after this reply.
    pub fn close_connection(&self) -> bool {
        self.close
    }

    /// Closes the connection after this reply if `close` is `true`; `false` cannot keep a connection open that the peer asked
    /// to close.
    pub fn set_close_connection(&mut self, close: bool) {
        self.close = close || !self.request.meaning.keep_alive;
    }

    /// Begins the reply with a status line, `Server` and `Date`. The status is an [`HttpStatus`], or a number of three digits;
    /// any other number is misuse: the client gets a 500.
    pub fn send_response(&mut self, status: impl TryInto<HttpStatus>) {
        if let Some(status) = self.checked(status) {
            self.reply.status_line(status, self.context.server);
            self.reply
                .server_and_date(self.context.server, self.context.clock);
        }
    }

    /// Begins the reply with the status line alone.
    pub fn send_response_only(&mut self, status: impl TryInto<HttpStatus>) {
        if let Some(status) = self.checked(status) {
            self.reply.status_line(status, self.context.server);
        }
    }

    /// Returns the status of the reply that was begun; `None` before [`send_response`](Self::send_response), and after
    /// [`defer`](Self::defer).
    pub fn status(&self) -> Option<HttpStatus> {
        self.reply.status()
    }

    /// Returns `status` as one; a number without three digits is noted as misuse.
    fn checked(&mut self, status: impl TryInto<HttpStatus>) -> Option<HttpStatus> {
        let status = status.try_into().ok();
        if status.is_none() {
            self.reply.refuse("a status without three digits");
        }
        status
    }

    /// Adds a header field to the open head.
    ///
    /// The server decides about its own fields: `Connection` is only searched for `close`, which closes the connection after
    /// the reply; `Content-Length` must be the length of the body. A name that is no token, a control byte other than the tab
    /// in a value (CR, LF and NUL among them), a field outside of the head, and `Transfer-Encoding` are misuse: the client
    /// gets a 500. Bytes beyond ASCII are sent as they are, numbers in decimal.
    pub fn send_header(&mut self, name: &str, value: impl HeaderValue) {
        match (FieldName::new(name), FieldValue::new(&value.to_bytes())) {
            (Ok(name), Ok(value)) => self.send_field(name, value),
            _ => self.reply.refuse(ForbiddenBytes::MESSAGE),
        }
    }

    fn send_field(&mut self, field: FieldName<'_>, value: FieldValue<'_>) {
        let (name, bytes) = (field.as_str(), value.as_bytes());
        if !self.reply.is_open() {
            // That is misuse, which `is_open` has noted.
        } else if name.eq_ignore_ascii_case("content-length") {
            match parse_digits(bytes) {
                Some(length) => self.reply.announce(length),
                None => self.reply.refuse("a Content-Length that is no number"),
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.reply.refuse("a Transfer-Encoding of its own");
        } else if name.eq_ignore_ascii_case("connection") {
            self.close |= bytes
                .split(|byte| *byte == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"close"));
        } else {
            self.reply.field(field, value);
        }
    }

    /// Adds fields that were made before; none of them is one that the server decides about.
    pub(crate) fn send_lines(&mut self, lines: &FieldLines) {
        self.reply.lines(lines);
    }

    /// Adds these fields when the head ends, except those that the handler or the configuration has given.
    pub(crate) fn set_default_fields(&mut self, fields: &'static DefaultFields) {
        self.reply.set_defaults(fields);
    }

    /// Ends the head; the server adds the fields for the framing. A head that is left open ends when the handler returns.
    #[doc(alias = "flush_headers")]
    pub fn end_headers(&mut self) {
        self.reply.end_headers();
    }

    /// Returns the request body to read from. All of it has arrived, whatever its framing.
    ///
    /// For a handler that did not [ask](super::BaseHttpRequestHandler::reads_body) for the body, reading it is an error.
    pub fn rfile(&mut self) -> impl io::Read {
        &mut *self.body
    }

    /// Takes the request body out of the exchange, to read it while the reply is written, or in the thread that makes a
    /// [promised](Self::defer) reply. What [`rfile`](Self::rfile) reads is empty from then on.
    pub fn take_body(&mut self) -> RequestBody {
        self.body.take()
    }

    /// Returns the number of bytes of the whole request body, also after it was read or taken; 0 for a body that the handler did
    /// not ask for.
    pub fn body_length(&self) -> u64 {
        self.body.length()
    }

    /// Returns the body to write to, after [`end_headers`](Self::end_headers). It is in memory: a write never blocks and is
    /// never short.
    pub fn wfile(&mut self) -> impl io::Write {
        Wfile(&mut self.reply)
    }

    /// Sends what `source` produces as the body, pulled as fast as the peer reads.
    pub fn stream(&mut self, source: Box<dyn Source>) {
        self.reply.source(source, Maker::Handler);
    }

    /// Returns a writer for another thread, and sends what is written to it as the body, as fast as the peer reads. The body ends
    /// when the writer is dropped.
    ///
    /// It holds up to `pieces` writes of up to 16 KiB that are not sent yet; then a write waits for the peer. It wakes its stream
    /// by itself, so a thread that writes needs neither a [`Source`] nor a [waker](Self::waker).
    ///
    /// ```
    /// # use httpoll::{Exchange, HandlerResult, BaseHttpRequestHandler};
    /// # struct Handler;
    /// # impl BaseHttpRequestHandler for Handler {
    /// fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
    ///     let mut log = std::fs::File::open("/var/log/syslog")?;
    ///     exchange.send_response(200);
    ///     exchange.end_headers();
    ///     let mut body = exchange.stream_writer(16);
    ///     std::thread::spawn(move || std::io::copy(&mut log, &mut body));
    ///     Ok(())
    /// }
    /// # }
    /// ```
    pub fn stream_writer(&mut self, pieces: usize) -> StreamWriter {
        let (writer, source) = StreamWriter::new(pieces, self.waker());
        self.stream(Box::new(source));
        writer
    }

    /// Sends what `source` produces. The time that this takes is charged as that of [`Work`] is.
    pub(crate) fn stream_as_work(&mut self, source: Box<dyn Source>) {
        self.reply.source(source, Maker::Work);
    }

    /// Has the loop do `work`, which then makes the reply. The handler returns without having begun one.
    pub(crate) fn work(&mut self, work: Box<dyn Work>) {
        self.leave(Coming::Work(work));
    }

    /// The time that is left for work before the handler returns.
    pub(crate) fn allowance(&mut self) -> &mut Allowance {
        self.context.allowance
    }

    /// Replies with a head and a body that were prepared before.
    pub(crate) fn send_prepared(&mut self, prepared: Arc<Prepared>) {
        self.reply.prepared(prepared, None);
    }

    /// Whether the client accepts HTML. Most clients that are not browsers accept anything.
    pub(crate) fn accepts_html(&self) -> bool {
        let accept = || self.request.headers.get_all("accept");
        self.request.meaning.accepts_anything || accept::quality(accept(), "text/html") > 0
    }

    /// The form of an error page for this request.
    pub(crate) fn error_form(&self) -> ErrorForm {
        ErrorForm::new(self.accepts_html(), self.target())
    }

    /// The content codings that the client accepts, best first.
    pub(crate) fn accepted_codings(&self) -> AcceptedCodings {
        self.request.meaning.accepted_codings
    }

    /// What the head says about conditions and ranges.
    pub(crate) fn condition(&self) -> Condition {
        self.request.meaning.condition
    }

    /// Promises the reply for later. Any thread can give it through the value that is returned.
    ///
    /// The handler must then return without having begun a reply. The request stays as it is, body included.
    pub fn defer(&mut self) -> Deferred {
        let (deferred, promise) = Deferred::new(self.context.mailbox, self.context.client.key());
        self.leave(Coming::Promised(promise));
        deferred
    }

    /// Resets the connection instead of replying.
    pub fn abort(&mut self) {
        self.ending = Some(Ending::Aborted);
    }

    /// Notes that the reply comes later, from `coming`.
    fn leave(&mut self, coming: Coming) {
        let close = false;
        self.ending = Some(Ending::Later { coming, close });
    }

    /// Returns a waker for the [stream](Self::stream) of this reply, for when the stream said
    /// [`Fill::NotNow`](crate::Fill::NotNow). Any thread may call it, any number of times.
    pub fn waker(&self) -> Waker {
        let mailbox = Arc::clone(self.context.mailbox);
        Arc::new(SourceWaker::new(mailbox, self.context.client.key())).into()
    }

    /// Writes a line to the server's log, in http.server's form.
    #[doc(alias = "log_error")]
    pub fn log_message(&mut self, message: &str) {
        let client = self.client_address();
        self.context.log.error(client, self.context.clock, message);
    }

    /// Writes a line of the server itself to its log.
    #[cfg(feature = "auth")]
    pub(crate) fn report(&mut self, text: &str) {
        self.context.log.text(format_args!("httpoll: {text}\n"));
    }

    /// Returns the current time as an IMF-fixdate (RFC 9110 §5.6.7).
    pub fn date_time_string(&self) -> &'a str {
        str::from_utf8(self.context.clock.imf_fixdate.as_bytes()).unwrap_or_default()
    }

    /// Returns the current time as the access log writes it.
    pub fn log_date_time_string(&self) -> &'a str {
        str::from_utf8(&self.context.clock.log_date).unwrap_or_default()
    }

    pub(crate) fn clock(&self) -> &'a Clock {
        self.context.clock
    }

    /// Whether the request is for a host that this server does not answer for.
    pub(crate) fn is_misdirected(&self) -> bool {
        let port = self.context.client.scheme.default_port();
        self.context.server.is_misdirected(self.request, port)
    }

    /// Whether the handler has neither begun a reply nor misused the exchange.
    pub(crate) fn is_untouched(&self) -> bool {
        self.reply.is_untouched()
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.reply.is_begun()
    }

    /// Forgets the reply that was begun.
    pub(crate) fn discard(&mut self) {
        self.reply.reset();
    }
}
