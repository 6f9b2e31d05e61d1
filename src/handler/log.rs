//! The access log: one line per request, made when the last byte of its reply has left; lines are written once a turn, to standard
//! error or to a file. What the server itself has to say always goes to standard error.
//!
//! Invariant: everything that a client controls is escaped, and a turn of the loop never waits for standard error: lines that it
//! does not take are dropped once the buffer is full, and the next line that gets through is preceded by their number.

use std::fmt::Display;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Client;
use super::clock::Clock;
use super::peer::UNIX;
use super::text::put_json_string;
use crate::config::LogFormat;
use crate::http::date::rfc3339;
use crate::http::decimal::push_decimal;
use crate::http::status::HttpStatus;
use crate::wire::log_file::LogFile;
use crate::wire::stderr::Stderr;

mod details;
mod escape;
mod file;
mod output;
mod record;

pub(crate) use details::LogDetails;
use escape::{escape, escape_word};
use file::RequestFile;
use output::{Output, Sink};
pub(crate) use record::LogRecord;

/// The log of one loop.
#[derive(Debug)]
pub(crate) struct Log {
    format: LogFormat,
    /// The number of the loop, from 0.
    pub(crate) loop_index: usize,
    stderr: Output,
    /// Where the lines of requests go if not to standard error.
    file: Option<RequestFile>,
}

impl Log {
    pub(crate) fn new(format: LogFormat) -> Self {
        Self {
            format,
            loop_index: 0,
            stderr: Output::new(Sink::Stderr(Stderr::open())),
            file: None,
        }
    }

    /// Discards all lines from now on. They are made nevertheless, so that tests run the same code.
    pub(crate) fn mute(&mut self) {
        self.stderr.switch(Sink::Stderr(Stderr::Discard));
    }

    /// Writes the lines of requests to `log_file` from now on.
    pub(crate) fn write_to(&mut self, log_file: Arc<LogFile>) {
        self.flush();
        self.file = Some(RequestFile::new(log_file));
    }

    /// Returns whether requests are logged.
    pub(crate) fn is_on(&self) -> bool {
        self.format != LogFormat::None
    }

    /// Returns the time at which a request begins. Only JSON lines have a duration; for other formats the clock is not read
    /// again, and it is the time of the turn.
    pub(crate) fn start(&self, clock: &Clock) -> Instant {
        if self.format == LogFormat::Json {
            Instant::now()
        } else {
            clock.instant
        }
    }

    /// Returns whether lines have what [`LogDetails`] keeps.
    pub(crate) fn has_details(&self) -> bool {
        self.format == LogFormat::Json
    }

    /// Logs a request after its reply: `client` is that of the connection, `named` that of the request where a trusted proxy has
    /// named it, `sent` bytes of the body have left, fewer than all if the connection broke. `write`
    /// appends the line.
    pub(crate) fn request(
        &mut self,
        (client, named): (&Client, Option<&SocketAddr>),
        (record, details, arena): (&LogRecord, Option<&LogDetails>, &[u8]),
        sent: u64,
        clock: &Clock,
        write: impl FnOnce(&LogEntry<'_>, &mut Vec<u8>),
    ) {
        let entry = LogEntry {
            client,
            named,
            record,
            details,
            arena,
            sent,
            clock,
            format: self.format,
            loop_index: self.loop_index,
        };
        let output = match &mut self.file {
            None => &mut self.stderr,
            Some(file) => &mut file.output,
        };
        output.line(|line| write(&entry, line));
    }

    /// Logs a message about a client, in http.server's form.
    pub(crate) fn error(&mut self, client: SocketAddr, clock: &Clock, message: &str) {
        self.stderr.line(|line| {
            put_client_and_time(line, client, None, clock);
            escape(line, message.as_bytes());
            line.push(b'\n');
        });
    }

    /// Logs a text of the server itself, line ends included.
    pub(crate) fn text(&mut self, text: impl Display) {
        self.stderr.text(text);
    }

    /// Opens the log file again, if reload number `reload` is new. What waits goes to the old file. If the file cannot be opened, the
    /// old one stays in use, and standard error says so.
    pub(crate) fn reopen(&mut self, reload: u64) {
        if let Some(file) = &mut self.file {
            file.reopen(reload, &mut self.stderr);
        }
    }

    /// Writes the last lines before the end of the loop. A slow reader has half a second to take them.
    pub(crate) fn finish(&mut self) {
        if let Some(file) = &mut self.file {
            file.finish(&mut self.stderr);
        }
        self.stderr.finish();
    }

    pub(crate) fn lost_in_all(&self) -> u64 {
        let in_file = self.file.as_ref().map_or(0, RequestFile::lost_in_all);
        self.stderr.lost_in_all + in_file
    }

    /// Returns whether some lines have not been taken yet.
    pub(crate) fn is_waiting(&self) -> bool {
        self.stderr.is_waiting() || self.file.as_ref().is_some_and(RequestFile::is_waiting)
    }

    /// Writes as many lines as are taken now.
    pub(crate) fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            file.flush(&mut self.stderr);
        }
        self.stderr.flush();
    }
}

/// A request after its reply has left, as the access log describes it.
#[derive(Debug)]
pub struct LogEntry<'a> {
    client: &'a Client,
    /// The client that a trusted proxy has named.
    named: Option<&'a SocketAddr>,
    record: &'a LogRecord,
    details: Option<&'a LogDetails>,
    arena: &'a [u8],
    sent: u64,
    clock: &'a Clock,
    format: LogFormat,
    loop_index: usize,
}

impl LogEntry<'_> {
    /// Returns the address of the client, as [`Exchange::client_address`](crate::Exchange::client_address) does.
    pub fn client_address(&self) -> SocketAddr {
        match self.named {
            Some(named) => *named,
            None => self.client.source(),
        }
    }

    /// Returns the address of the peer: the client, or the proxy that the request came through.
    pub fn peer_address(&self) -> SocketAddr {
        self.client.peer()
    }

    /// Returns the request line as it arrived, unescaped. It may have any bytes.
    pub fn requestline(&self) -> &[u8] {
        self.text(&self.record.requestline)
    }

    /// Returns the user that sent the request, unescaped, as [`Exchange::user`](crate::Exchange::user) does; `None` if there is none.
    pub fn user(&self) -> Option<&[u8]> {
        let user = self.record.user.as_ref();
        user.map(|range| self.text(range))
    }

    /// Returns the method, as [`Exchange::command`](crate::Exchange::command) does.
    ///
    /// It is `None`, as are `path`, `request_version`, `host`, `request_id` and `trace_id`, if the request was refused before the handler
    /// was asked, and with every format but [`LogFormat::Json`], because only that keeps them.
    pub fn method(&self) -> Option<&[u8]> {
        self.detail(|details| &details.method)
    }

    /// Returns the path with its query, as [`Exchange::path`](crate::Exchange::path) does. It may be `None`, as [`method`](Self::method)
    /// says.
    pub fn path(&self) -> Option<&[u8]> {
        self.detail(|details| &details.path)
    }

    /// Returns `HTTP/0.9`, `HTTP/1.0` or `HTTP/1.1`. It may be `None`, as [`method`](Self::method) says.
    pub fn request_version(&self) -> Option<&'static str> {
        self.details?.version
    }

    /// Returns the host that the request is for, with its port, unescaped: from an absolute target, otherwise from the `Host` field. It
    /// may be `None`, as [`method`](Self::method) says.
    pub fn host(&self) -> Option<&[u8]> {
        self.detail(|details| &details.host)
    }

    /// Returns the value of `X-Request-Id` if there is exactly one, of 1 to 128 letters, digits and characters of `-_.~:+/=@`. It
    /// may be `None`, as [`method`](Self::method) says.
    pub fn request_id(&self) -> Option<&[u8]> {
        self.detail(|details| &details.request_id)
    }

    /// Returns the trace-id of a valid `traceparent` (W3C Trace Context): 32 hexadecimal digits in lower case, not all 0. It may be
    /// `None`, as [`method`](Self::method) says.
    pub fn trace_id(&self) -> Option<&[u8]> {
        self.detail(|details| &details.trace_id)
    }

    /// Returns what the reply waited for longest, from its request to its last byte: `client` (the socket was full, and the client's
    /// window, too), `net` (the socket was full, and the client's window was not), `disk` (bytes of a file that were not in memory) or
    /// `loop` (other connections had their turn first). `None` if it did not wait for any of these from one turn of the loop to another,
    /// and with every format but [`LogFormat::Json`]. Time that the handler takes, or a deferred reply, is none of these.
    pub fn limited(&self) -> Option<&'static str> {
        self.details?.waits.longest()
    }

    /// Returns the number of the loop that has served the request. The first is 0; loop N of
    /// [`ThreadingHttpServer`](crate::ThreadingHttpServer) is the thread `httpoll-N`.
    pub fn loop_index(&self) -> usize {
        self.loop_index
    }

    /// Returns the status of the reply.
    pub fn status(&self) -> HttpStatus {
        self.record.status
    }

    /// Returns the number of bytes of the reply's body that have left.
    pub fn bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Returns the time since the request was complete: exact with [`LogFormat::Json`]; with other formats, the time between the
    /// turns of the loop.
    pub fn duration(&self) -> Duration {
        match self.format {
            LogFormat::Json => self.record.started.elapsed(),
            _ => self
                .clock
                .instant
                .saturating_duration_since(self.record.started),
        }
    }

    /// Appends the line in the server's [`LogFormat`], line end included. What the client controls is escaped.
    pub fn write(&self, line: &mut Vec<u8>) {
        match self.format {
            LogFormat::None => {}
            LogFormat::Common | LogFormat::Combined => self.common(line),
            LogFormat::Json => self.json(line),
        }
    }

    fn detail(&self, detail: impl Fn(&LogDetails) -> &Option<Range<usize>>) -> Option<&[u8]> {
        let range = detail(self.details?).as_ref()?;
        Some(self.text(range))
    }

    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.arena.get(range.clone()).unwrap_or_default()
    }

    /// Appends the common format, or the combined format, which has two fields more.
    fn common(&self, line: &mut Vec<u8>) {
        put_client_and_time(line, self.client_address(), self.user(), self.clock);
        line.push(b'"');
        escape(line, self.requestline());
        line.extend_from_slice(b"\" ");
        push_decimal(line, self.record.status.code().into());
        line.push(b' ');
        push_decimal(line, self.sent);
        if self.format == LogFormat::Combined {
            for field in [&self.record.referer, &self.record.agent] {
                line.extend_from_slice(b" \"");
                escape(line, field.as_ref().map_or(b"-", |range| self.text(range)));
                line.push(b'"');
            }
        }
        line.push(b'\n');
    }

    fn json(&self, line: &mut Vec<u8>) {
        let field = |range: &Option<Range<usize>>| range.as_ref().map(|range| self.text(range));
        let microseconds = self.duration().as_micros() as u64;
        let milliseconds = self.clock.since_1970.subsec_millis();
        let ts = rfc3339(self.clock.imf_fixdate.as_bytes(), milliseconds);
        line.extend_from_slice(b"{\"time\":");
        push_decimal(line, self.clock.unix);
        put_address_member(line, ",\"client\":\"", self.client_address());
        put_member(line, ",\"request\":", Some(self.requestline()));
        put_number(line, ",\"status\":", self.record.status.code().into());
        put_number(line, ",\"bytes\":", self.sent);
        put_member(line, ",\"referer\":", field(&self.record.referer));
        put_member(line, ",\"agent\":", field(&self.record.agent));
        put_number(line, ",\"duration_us\":", microseconds);
        put_member(line, ",\"ts\":", Some(&ts));
        put_member(line, ",\"method\":", self.method());
        put_member(line, ",\"path\":", self.path());
        put_member(
            line,
            ",\"proto\":",
            self.request_version().map(str::as_bytes),
        );
        put_member(line, ",\"host\":", self.host());
        put_address_member(line, ",\"peer\":\"", self.peer_address());
        put_number(line, ",\"loop\":", self.loop_index as u64);
        put_member(line, ",\"request_id\":", self.request_id());
        put_member(line, ",\"trace_id\":", self.trace_id());
        put_member(line, ",\"limited\":", self.limited().map(str::as_bytes));
        if let Some(user) = self.user() {
            put_member(line, ",\"user\":", Some(user));
        }
        line.extend_from_slice(b"}\n");
    }
}

/// Appends a member of a JSON object: its name with what is before and behind it, and a string or null.
fn put_member(line: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    line.extend_from_slice(name.as_bytes());
    match value {
        Some(value) => drop(put_json_string(line, value)),
        None => line.extend_from_slice(b"null"),
    }
}

fn put_number(line: &mut Vec<u8>, name: &str, value: u64) {
    line.extend_from_slice(name.as_bytes());
    push_decimal(line, value);
}

fn put_address_member(line: &mut Vec<u8>, name: &str, address: SocketAddr) {
    line.extend_from_slice(name.as_bytes());
    put_address(line, address);
    line.push(b'"');
}

/// Appends the address of the client, the user and the time, the beginning of every line in http.server's form.
fn put_client_and_time(line: &mut Vec<u8>, client: SocketAddr, user: Option<&[u8]>, clock: &Clock) {
    put_address(line, client);
    match user {
        None => line.extend_from_slice(b" - - ["),
        Some(user) => {
            line.extend_from_slice(b" - ");
            escape_word(line, user);
            line.extend_from_slice(b" [");
        }
    }
    line.extend_from_slice(&clock.log_date);
    line.extend_from_slice(b"] ");
}

/// Appends the IP address of a client.
#[inline]
fn put_address(line: &mut Vec<u8>, client: SocketAddr) {
    match client.ip() {
        IpAddr::V4(address) if address.is_unspecified() => {
            line.extend_from_slice(UNIX.as_bytes());
        }
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            push_decimal(line, first.into());
            for octet in rest {
                line.push(b'.');
                push_decimal(line, octet.into());
            }
        }
        IpAddr::V6(address) => {
            // Writing to memory cannot fail.
            let _ = write!(line, "{address}");
        }
    }
}
