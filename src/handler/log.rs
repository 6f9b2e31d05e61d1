//! The access log: one line per request, made when the last byte of its reply has left; lines are written once a turn.
//!
//! Invariant: everything that a client controls is escaped, and a turn of the loop never waits for standard error: lines that it
//! does not take are dropped once the buffer is full, and the next line that gets through is preceded by their number.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::clock::Clock;
use super::text::put_json_string;
use crate::config::LogFormat;
use crate::http::decimal::push_decimal;
use crate::http::request::Request;
use crate::http::status::HttpStatus;
use crate::wire::stderr::Stderr;

/// Bytes of lines that wait for standard error. Beyond this, new lines are dropped.
const MAX_WAITING: usize = 256 * 1024;

/// How often, and at what interval, the last lines are written again before the server ends without them.
const LAST_TRIES: u32 = 50;
const LAST_PAUSE: Duration = Duration::from_millis(10);

/// Bytes of a request line or field that are logged at most: a request that is refused for its length must not fill the log.
const MAX_TEXT: usize = 8 * 1024;

/// What the log keeps of a request until its reply has left. Its texts are ranges of the reply's arena.
#[derive(Debug)]
pub(crate) struct LogRecord {
    pub(crate) status: HttpStatus,
    requestline: Range<usize>,
    referer: Option<Range<usize>>,
    agent: Option<Range<usize>>,
    started: Instant,
}

impl LogRecord {
    /// Keeps what a line of `log` needs of `request`, and appends its texts to `arena`.
    pub(crate) fn new(
        request: &Request<'_>,
        status: HttpStatus,
        started: Instant,
        log: &Log,
        arena: &mut Vec<u8>,
    ) -> Self {
        let logs_fields = matches!(log.format, LogFormat::Combined | LogFormat::Json);
        let field = |name| {
            let headers = logs_fields.then_some(request.headers)?;
            headers.get(name)
        };
        let mut note = |text: &[u8]| {
            let text = text.get(..MAX_TEXT).unwrap_or(text);
            let start = arena.len();
            arena.extend_from_slice(text);
            start..arena.len()
        };
        Self {
            status,
            requestline: note(request.requestline),
            referer: field("referer").map(&mut note),
            agent: field("user-agent").map(&mut note),
            started,
        }
    }
}

/// The log of one loop: lines that wait for standard error.
#[derive(Debug)]
pub(crate) struct Log {
    format: LogFormat,
    waiting: Vec<u8>,
    /// Lines that were dropped since the last one that got through.
    lost: u64,
    lost_in_all: u64,
    stderr: Stderr,
}

impl Log {
    pub(crate) fn new(format: LogFormat) -> Self {
        Self {
            format,
            waiting: Vec::new(),
            lost: 0,
            lost_in_all: 0,
            stderr: Stderr::open(),
        }
    }

    /// Discards all lines from now on. They are made nevertheless, so that tests run the same code.
    pub(crate) fn mute(&mut self) {
        self.stderr = Stderr::Discard;
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

    /// Logs a request after its reply: `client` is that of the connection, `named` that of the request where a trusted proxy has
    /// named it, `sent` bytes of the body have left, fewer than all if the connection broke. `write`
    /// appends the line.
    pub(crate) fn request(
        &mut self,
        (client, named): (&Client, Option<&SocketAddr>),
        (record, arena): (&LogRecord, &[u8]),
        sent: u64,
        clock: &Clock,
        write: impl FnOnce(&LogEntry<'_>, &mut Vec<u8>),
    ) {
        let format = self.format;
        let entry = LogEntry {
            client,
            named,
            record,
            arena,
            sent,
            clock,
            format,
        };
        self.line(|line| write(&entry, line));
    }

    /// Logs a message about a client, in http.server's form.
    pub(crate) fn error(&mut self, client: SocketAddr, clock: &Clock, message: &str) {
        self.line(|line| {
            put_client_and_time(line, client, clock);
            escape(line, message.as_bytes());
            line.push(b'\n');
        });
    }

    /// Logs a text of the server itself, line ends included.
    pub(crate) fn text(&mut self, text: impl Display) {
        self.line(|line| {
            // Writing to memory cannot fail, here and below.
            let _ = write!(line, "{text}");
        });
    }

    fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.waiting.len() > MAX_WAITING {
            self.flush();
        }
        if self.waiting.len() > MAX_WAITING {
            self.count_lost(1);
            return;
        }
        self.write_lost_count();
        write(&mut self.waiting);
    }

    /// Writes how many lines were lost since the last one that got through.
    fn write_lost_count(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            let _ = writeln!(
                self.waiting,
                "httpoll: {lost} log lines were lost before this one"
            );
        }
    }

    /// Writes the last lines before the end of the loop. A slow reader has half a second to take them.
    pub(crate) fn finish(&mut self) {
        self.write_lost_count();
        for _ in 0..LAST_TRIES {
            self.flush();
            if !self.is_waiting() {
                return;
            }
            thread::sleep(LAST_PAUSE);
        }
    }

    fn count_lost(&mut self, lines: u64) {
        self.lost += lines;
        self.lost_in_all += lines;
    }

    pub(crate) fn lost_in_all(&self) -> u64 {
        self.lost_in_all
    }

    /// Returns whether standard error has not taken all lines yet.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes as many lines as standard error takes now. If it fails, all lines are lost, and counted.
    pub(crate) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.stderr.write(&self.waiting) {
            Ok(length) if length == self.waiting.len() => self.waiting.clear(),
            Ok(length) => drop(self.waiting.drain(..length)),
            Err(_) => {
                let ends = self.waiting.iter().filter(|byte| **byte == b'\n');
                self.count_lost(ends.count() as u64);
                self.waiting.clear();
            }
        }
    }
}

/// A request after its reply has left, as the access log describes it.
#[derive(Debug)]
pub struct LogEntry<'a> {
    client: &'a Client,
    /// The client that a trusted proxy has named.
    named: Option<&'a SocketAddr>,
    record: &'a LogRecord,
    arena: &'a [u8],
    sent: u64,
    clock: &'a Clock,
    format: LogFormat,
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
            LogFormat::Json => {
                // Writing to memory cannot fail.
                let _ = self.json(line);
            }
        }
    }

    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.arena.get(range.clone()).unwrap_or_default()
    }

    /// Appends the common format, or the combined format, which has two fields more.
    fn common(&self, line: &mut Vec<u8>) {
        put_client_and_time(line, self.client_address(), self.clock);
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

    fn json(&self, line: &mut Vec<u8>) -> io::Result<()> {
        let client = self.client_address().ip();
        write!(
            line,
            r#"{{"time":{},"client":"{client}","request":"#,
            self.clock.unix
        )?;
        put_json_string(line, self.requestline());
        let status = self.record.status.code();
        write!(line, r#","status":{status},"bytes":{}"#, self.sent)?;
        for (name, field) in [
            ("referer", &self.record.referer),
            ("agent", &self.record.agent),
        ] {
            write!(line, r#","{name}":"#)?;
            match field {
                Some(range) => {
                    put_json_string(line, self.text(range));
                }
                None => line.extend_from_slice(b"null"),
            }
        }
        writeln!(
            line,
            r#","duration_us":{}}}"#,
            self.duration().as_micros() as u64
        )
    }
}

/// Appends the address of the client and the time, the beginning of every line in http.server's form.
fn put_client_and_time(line: &mut Vec<u8>, client: SocketAddr, clock: &Clock) {
    match client.ip() {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            push_decimal(line, first.into());
            for octet in rest {
                line.push(b'.');
                push_decimal(line, octet.into());
            }
        }
        IpAddr::V6(address) => {
            let _ = write!(line, "{address}");
        }
    }
    line.extend_from_slice(b" - - [");
    line.extend_from_slice(&clock.log_date);
    line.extend_from_slice(b"] ");
}

/// Appends `text`, safe for logs and terminals: quotes, backslashes, control characters and bytes that are not ASCII are escaped.
fn escape(line: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(plain) = rest.iter().position(|byte| !PLAIN[usize::from(*byte)]) {
        let (before, special) = rest.split_at(plain);
        line.extend_from_slice(before);
        if let [byte, behind @ ..] = special {
            match byte {
                b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
                _ => line.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte & 15)]),
            }
            rest = behind;
        }
    }
    line.extend_from_slice(rest);
}

/// The bytes that need no escape.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte <= 0x7e {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

fn hex(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> String {
        let mut line = Vec::new();
        escape(&mut line, text);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn quotes_controls_and_bytes_beyond_ascii_are_escaped() {
        let table: [(&[u8], &str); 4] = [
            (b"GET / HTTP/1.1", "GET / HTTP/1.1"),
            (b"\"\\", r#"\"\\"#),
            (b"\x1b[2J\r\n\x7f\0", r"\x1b[2J\x0d\x0a\x7f\x00"),
            ("é".as_bytes(), r"\xc3\xa9"),
        ];
        for (raw, expected) in table {
            assert_eq!(escaped(raw), expected);
        }
    }
}
