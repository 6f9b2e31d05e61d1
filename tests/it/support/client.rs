//! A client that sends exactly the given bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::TIMEOUT;
use super::reply::{Head, Reply, decode_chunk};

/// One connection, and the bytes that arrived after the replies that were read.
pub(crate) struct Client<S = TcpStream> {
    pub(super) stream: S,
    unread: Vec<u8>,
}

/// An HTTP/1.1 request without a body.
pub(crate) fn request(method: &str, target: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n")
}

pub(crate) fn get(target: &str) -> String {
    request("GET", target, &[])
}

/// Connects to `address`; no call on the connection waits for longer than [`TIMEOUT`].
pub(super) fn connect_tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).expect("no connection");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(connect_tcp(address))
    }

    /// Closes the sending side; replies can still be read.
    pub(crate) fn half_close(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap();
    }
}

impl<S: Read + Write> Client<S> {
    pub(super) fn over(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    #[cfg(feature = "tls")]
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream
            .write_all(bytes.as_ref())
            .expect("the server took no bytes");
        self
    }

    /// Sends a request and reads its reply.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Reply {
        let request = request.as_ref();
        self.send(request).reply(request.starts_with(b"HEAD "))
    }

    pub(crate) fn get(&mut self, target: &str) -> Reply {
        self.ask(get(target))
    }

    /// Reads one reply to a method other than HEAD.
    pub(crate) fn read_reply(&mut self) -> Reply {
        self.reply(false)
    }

    /// Reads one reply; a reply to HEAD has no body.
    pub(crate) fn reply(&mut self, to_head: bool) -> Reply {
        let head = self.read_head();
        let body = if to_head || !head.allows_body() {
            Vec::new()
        } else if head.is_chunked() {
            self.read_chunks()
        } else if let Some(length) = head.content_length() {
            self.take(usize::try_from(length).unwrap())
        } else {
            assert!(head.closes(), "a body without an end:\n{head:?}");
            self.read_to_end()
        };
        Reply { head, body }
    }

    /// Reads the head of a reply, and not its body.
    pub(crate) fn read_head(&mut self) -> Head {
        let end = self.find(b"\r\n\r\n");
        Head::parse(&self.take(end))
    }

    /// Reads exactly `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            assert!(
                self.fill(),
                "the connection ended after {} of {length} bytes",
                self.unread.len()
            );
        }
        self.unread.drain(..length).collect()
    }

    /// Reads up to the end of a line.
    #[cfg(feature = "tls")]
    pub(crate) fn take_line(&mut self) -> String {
        let end = self.find(b"\n");
        String::from_utf8(self.take(end)).unwrap()
    }

    /// Reads until the server closes its side; a reset is a failure.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill() {}
        self.take_unread()
    }

    /// Takes the bytes that have arrived after the replies that were read.
    pub(super) fn take_unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Counts the bytes until the connection ends by a close or a reset.
    pub(crate) fn count_to_end(&mut self) -> u64 {
        let mut count = self.take_unread().len() as u64;
        let mut room = vec![0; 256 * 1024];
        loop {
            match self.stream.read(&mut room) {
                Ok(0) => return count,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(length) => count += length as u64,
                Err(error) => panic!("after {count} bytes: {error}"),
            }
        }
    }

    /// Asserts that the server closes and sends no more bytes.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        let rest = self.read_to_end();
        assert!(
            rest.is_empty(),
            "bytes before the close: {}",
            rest.escape_ascii()
        );
    }

    /// Asserts that the server answers another request on this connection.
    #[track_caller]
    pub(crate) fn assert_open(&mut self) {
        let reply = self.ask(request("OPTIONS", "*", &[]));
        assert_eq!(reply.status(), 204);
    }

    fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line_end = self.find(b"\r\n");
            let length = decode_chunk(&self.take(line_end));
            let mut chunk = self.take(length + 2);
            assert!(
                chunk.ends_with(b"\r\n"),
                "a chunk without its end, or a trailer"
            );
            if length == 0 {
                return body;
            }
            chunk.truncate(length);
            body.append(&mut chunk);
        }
    }

    /// Reads until `needle` has arrived; returns the position after it.
    fn find(&mut self, needle: &[u8]) -> usize {
        let mut searched = 0;
        loop {
            let found = self.unread[searched..]
                .windows(needle.len())
                .position(|window| window == needle);
            if let Some(position) = found {
                return searched + position + needle.len();
            }
            searched = self.unread.len().saturating_sub(needle.len());
            assert!(
                self.fill(),
                "the connection ended within a head: {}",
                self.unread.escape_ascii()
            );
        }
    }

    /// Reads once; false at the end of the connection.
    fn fill(&mut self) -> bool {
        let mut room = [0; 64 * 1024];
        let length = loop {
            match self.stream.read(&mut room) {
                Ok(length) => break length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}, after {}", self.unread.escape_ascii()),
            }
        };
        self.unread.extend_from_slice(&room[..length]);
        length > 0
    }
}
