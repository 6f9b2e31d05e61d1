//! A client connection, and a strict parser of replies: it panics where a client could misread a reply.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// The longest time that a test waits. It only keeps a broken server from hanging the suite.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

/// One reply; a chunked body is decoded.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) version: String,
    pub(crate) status: u16,
    /// Status line and fields as they arrived.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The status or the method allows no body.
    Bodiless,
    Length,
    Chunked,
    Close,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends a GET and reads its reply.
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.send(get(path)).reply()
    }

    /// Closes the sending side.
    pub(crate) fn half_close(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Reads the next reply, to a method other than HEAD.
    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_to("GET")
    }

    pub(crate) fn reply_to(&mut self, method: &str) -> Reply {
        let mut ended = false;
        loop {
            if let Some((reply, length)) = Reply::parse(&self.received, method, ended) {
                self.received.drain(..length);
                return reply;
            }
            assert!(!ended, "half a reply: {:?}", shown(&self.received));
            ended = self.receive().unwrap() == 0;
        }
    }

    /// Reads until `end` has arrived; returns the bytes up to there.
    pub(crate) fn read_until(&mut self, end: &str) -> String {
        loop {
            if let Some(position) = find(&self.received, end.as_bytes()) {
                let bytes: Vec<_> = self.received.drain(..position + end.len()).collect();
                return String::from_utf8(bytes).unwrap();
            }
            assert_ne!(
                self.receive().unwrap(),
                0,
                "{end:?} not in {:?}",
                shown(&self.received)
            );
        }
    }

    /// Takes what has arrived, up to `most` bytes, and returns how many these are.
    pub(crate) fn read_at_most(&mut self, most: usize) -> usize {
        if self.received.is_empty() {
            assert_ne!(self.receive().unwrap(), 0, "the server has closed");
        }
        let taken = self.received.len().min(most);
        self.received.drain(..taken);
        taken
    }

    /// Reads until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.receive().unwrap() > 0 {}
        std::mem::take(&mut self.received)
    }

    /// Whether no unread bytes have arrived.
    pub(crate) fn has_nothing(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let received = self.receive();
        self.stream.set_nonblocking(false).unwrap();
        let nothing = received.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        nothing && self.received.is_empty()
    }

    pub(crate) fn receive(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 64 * 1024];
        let length = loop {
            match self.stream.read(&mut buffer) {
                // With a timeout, the kernel does not restart the call after a signal.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.received.extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

impl Reply {
    /// Parses the first reply in `bytes`; returns it with its length, or `None` where bytes are missing. `ended` says that no more come.
    pub(crate) fn parse(bytes: &[u8], method: &str, ended: bool) -> Option<(Self, usize)> {
        let head_length = find(bytes, b"\r\n\r\n")? + 4;
        let head = String::from_utf8(bytes[..head_length].to_vec()).unwrap();
        let mut words = head.split(' ');
        let mut reply = Self {
            version: words.next().unwrap().to_owned(),
            status: words.next().unwrap().parse().unwrap(),
            body: Vec::new(),
            framing: Framing::Close,
            head,
        };
        assert!(reply.version.starts_with("HTTP/1."), "{}", reply.head);
        let rest = &bytes[head_length..];
        let length = reply.field("content-length");
        let chunked = reply.field("transfer-encoding").is_some();
        assert!(!(chunked && length.is_some()), "{}", reply.head);
        if method == "HEAD" || matches!(reply.status, 100..=199 | 204 | 304) {
            reply.framing = Framing::Bodiless;
            return Some((reply, head_length));
        }
        if chunked {
            let (body, length) = unchunk(rest)?;
            (reply.framing, reply.body) = (Framing::Chunked, body);
            return Some((reply, head_length + length));
        }
        if let Some(length) = length {
            let length: usize = length.parse().unwrap();
            reply.body = rest.get(..length)?.to_vec();
            reply.framing = Framing::Length;
            return Some((reply, head_length + length));
        }
        assert_eq!(
            reply.field("connection"),
            Some("close"),
            "no framing at all: {}",
            reply.head
        );
        reply.body = rest.to_vec();
        ended.then_some((reply, bytes.len()))
    }

    /// Parses `bytes` as the replies to requests of these methods, and nothing else.
    pub(crate) fn all(mut bytes: &[u8], methods: &[&str]) -> Vec<Self> {
        let mut replies = Vec::new();
        for method in methods {
            let (reply, length) = Self::parse(bytes, method, true)
                .unwrap_or_else(|| panic!("no whole reply: {}", shown(bytes)));
            bytes = &bytes[length..];
            replies.push(reply);
        }
        assert!(bytes.is_empty(), "more than replies: {}", shown(bytes));
        replies
    }

    /// The value of the field `name`, which may not occur twice.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.head.lines().skip(1).filter_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice: {}", self.head);
        value
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// An HTTP/1.1 GET.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A POST with a body of announced length.
pub(crate) fn post(path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    with_body("POST", path, body.as_ref())
}

/// A PUT with a body of announced length.
pub(crate) fn put(path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    with_body("PUT", path, body.as_ref())
}

fn with_body(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Decodes the chunked coding; `None` where its end is missing.
fn unchunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut position) = (Vec::new(), 0);
    loop {
        let line = find(&bytes[position..], b"\r\n")?;
        let digits = std::str::from_utf8(&bytes[position..position + line]).unwrap();
        let size = usize::from_str_radix(digits, 16).unwrap();
        position += line + 2;
        content.extend_from_slice(bytes.get(position..position + size)?);
        position += size;
        assert_eq!(bytes.get(position..position + 2)?, b"\r\n");
        position += 2;
        if size == 0 {
            return Some((content, position));
        }
    }
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned()
}
