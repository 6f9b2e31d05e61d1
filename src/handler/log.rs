//! The access log: one line a request, written when its last byte has left, gathered and written once a turn.
//!
//! Invariant: everything a client controls is escaped, and no line is ever waited for: what standard error does not take is
//! dropped once the buffer is full, counted, and named in the next line that gets through.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::text::put_json_string;
use crate::config::LogFormat;
use crate::http::decimal::push_decimal;
use crate::http::request::Request;
use crate::http::status::HttpStatus;
use crate::wire::stderr::Stderr;

/// Lines that wait for standard error beyond this many bytes are dropped.
const MAX_WAITING: usize = 256 * 1024;

/// How often, and how far apart, the last lines are tried before the server ends without them.
const LAST_TRIES: u32 = 50;
const LAST_PAUSE: Duration = Duration::from_millis(10);

/// More of a request line or a field than this is not noted: what is refused for its length would fill the log.
const MAX_TEXT: usize = 8 * 1024;

/// What is known of a request before its reply has left; its texts stand in the arena of the reply.
#[derive(Debug)]
pub(crate) struct LogRecord {
    pub(crate) status: HttpStatus,
    requestline: Range<usize>,
    referer: Option<Range<usize>>,
    agent: Option<Range<usize>>,
    started: Instant,
}

impl LogRecord {
    /// Notes what `log` will want to say of `request`, its texts in `arena`.
    pub(crate) fn new(
        request: &Request<'_>,
        status: HttpStatus,
        started: Instant,
        log: &Log,
        arena: &mut Vec<u8>,
    ) -> Self {
        let is_wanted = matches!(log.format, LogFormat::Combined | LogFormat::Json);
        let field = |name| {
            let headers = is_wanted.then_some(request.headers)?;
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

/// The lines of one loop on their way to standard error.
#[derive(Debug)]
pub(crate) struct Log {
    format: LogFormat,
    waiting: Vec<u8>,
    /// Since the last line that got through.
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

    /// Forgets all lines from now on; they are still made.
    pub(crate) fn mute(&mut self) {
        self.stderr = Stderr::nowhere();
    }

    /// Whether requests are logged at all.
    pub(crate) fn is_on(&self) -> bool {
        self.format != LogFormat::None
    }

    /// When a request began: read for the one format that says how long it took, else the time of the turn.
    pub(crate) fn start(&self, clock: &Clock) -> Instant {
        if self.format == LogFormat::Json {
            Instant::now()
        } else {
            clock.instant
        }
    }

    /// Logs a request whose reply has left, or broke off, after `sent` bytes of its body; `write` appends the line.
    pub(crate) fn request(
        &mut self,
        client_address: SocketAddr,
        (record, arena): (&LogRecord, &[u8]),
        sent: u64,
        clock: &Clock,
        write: impl FnOnce(&LogEntry<'_>, &mut Vec<u8>),
    ) {
        let format = self.format;
        let entry = LogEntry {
            client_address,
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
            origin(line, client, clock);
            escape(line, message.as_bytes());
            line.push(b'\n');
        });
    }

    /// Writes lines of the server's own.
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
            self.lose(1);
            return;
        }
        self.write_lost_count();
        write(&mut self.waiting);
    }

    /// Says how many lines were lost since the last that got through.
    fn write_lost_count(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            let _ = writeln!(
                self.waiting,
                "httpoll: {lost} log lines were lost before this one"
            );
        }
    }

    /// Writes what there is to say at the end; a reader that is only slow has a moment.
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

    fn lose(&mut self, lines: u64) {
        self.lost += lines;
        self.lost_in_all += lines;
    }

    pub(crate) fn lost_in_all(&self) -> u64 {
        self.lost_in_all
    }

    /// Whether lines wait that standard error did not take.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Writes what standard error takes now; without it the lines are lost, but counted.
    pub(crate) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.stderr.write(&self.waiting) {
            Ok(length) if length == self.waiting.len() => self.waiting.clear(),
            Ok(length) => drop(self.waiting.drain(..length)),
            Err(_) => {
                let ends = self.waiting.iter().filter(|byte| **byte == b'\n');
                self.lose(ends.count() as u64);
                self.waiting.clear();
            }
        }
    }
}

/// One request that was answered, for the access log.
#[derive(Debug)]
pub struct LogEntry<'a> {
    client_address: SocketAddr,
    record: &'a LogRecord,
    arena: &'a [u8],
    sent: u64,
    clock: &'a Clock,
    format: LogFormat,
}

impl LogEntry<'_> {
    /// Returns the address of the peer.
    pub fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// Returns the request line as it came: a client may have put anything into it.
    pub fn requestline(&self) -> &[u8] {
        self.text(&self.record.requestline)
    }

    /// Returns the status of the reply.
    pub fn status(&self) -> HttpStatus {
        self.record.status
    }

    /// Returns the number of bytes of the body that have left.
    pub fn bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Returns the time since the request was complete; to the microsecond where the format is JSON, else to the turn.
    pub fn duration(&self) -> Duration {
        match self.format {
            LogFormat::Json => self.record.started.elapsed(),
            _ => self
                .clock
                .instant
                .saturating_duration_since(self.record.started),
        }
    }

    /// Appends the line that the server's [`LogFormat`] asks for, its end included; what the client controls is escaped.
    pub fn write(&self, line: &mut Vec<u8>) {
        match self.format {
            LogFormat::None => {}
            LogFormat::Common => self.common(line),
            LogFormat::Combined => self.combined(line),
            LogFormat::Json => {
                // Writing to memory cannot fail.
                let _ = self.json(line);
            }
        }
    }

    fn text(&self, range: &Range<usize>) -> &[u8] {
        self.arena.get(range.clone()).unwrap_or_default()
    }

    fn common(&self, line: &mut Vec<u8>) {
        self.common_fields(line);
        line.push(b'\n');
    }

    fn combined(&self, line: &mut Vec<u8>) {
        self.common_fields(line);
        for field in [&self.record.referer, &self.record.agent] {
            line.extend_from_slice(b" \"");
            escape(line, field.as_ref().map_or(b"-", |range| self.text(range)));
            line.push(b'"');
        }
        line.push(b'\n');
    }

    fn common_fields(&self, line: &mut Vec<u8>) {
        origin(line, self.client_address, self.clock);
        line.push(b'"');
        escape(line, self.requestline());
        line.extend_from_slice(b"\" ");
        push_decimal(line, self.record.status.code().into());
        line.push(b' ');
        push_decimal(line, self.sent);
    }

    fn json(&self, line: &mut Vec<u8>) -> io::Result<()> {
        let client = self.client_address.ip();
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

/// Appends who it was and when: the beginning of every line.
fn origin(line: &mut Vec<u8>, client: SocketAddr, clock: &Clock) {
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

/// Appends `text` with quotes, backslashes, controls and all that is not ASCII escaped: safe for logs and terminals.
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

/// The bytes that stand for themselves in a line.
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
    fn what_a_client_controls_cannot_leave_its_quotes_or_reach_a_terminal() {
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
