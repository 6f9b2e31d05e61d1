//! A handler with a path for each thing that a handler can do, and the replies that must leave.

use std::fs::File;
use std::io::{self, Write as _};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::handler::exchange::Exchange;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::http::status::HttpStatus;
use crate::wire::source::{Fill, Source};

pub(super) const FILE_SIZE: usize = 100 * 1024;
/// The smallest file that does not leave with its head.
pub(super) const MEDIUM_SIZE: usize = 32 * 1024 + 1;
pub(super) const INLINE_SIZE: usize = 20 * 1024;

const SMALL_GET: &str = "GET /small HTTP/1.1\r\nHost: h\r\n\r\n";

#[derive(Debug)]
pub(super) struct Handler {
    pub(super) file: File,
}

impl Handler {
    pub(super) fn new() -> Self {
        let mut file = File::from(memfd_create("file", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(&content(FILE_SIZE)).unwrap();
        Self { file }
    }

    fn copy(&self, exchange: &mut Exchange<'_>, length: usize) -> io::Result<()> {
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        exchange.copyfile(self.file.try_clone()?, 0..length as u64);
        Ok(())
    }
}

impl BaseHttpRequestHandler for Handler {
    fn version_string(&self) -> String {
        "test".to_owned()
    }

    fn reads_body(&self, _command: &str, path: &str) -> bool {
        !path.starts_with("/unwanted")
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let status = match exchange.path() {
            "/file" | "/unwanted-file" => return Ok(self.copy(exchange, FILE_SIZE)?),
            "/medium" => return Ok(self.copy(exchange, MEDIUM_SIZE)?),
            "/inline" => return Ok(self.copy(exchange, INLINE_SIZE)?),
            "/none" => HttpStatus::NO_CONTENT,
            "/unchanged" => HttpStatus::NOT_MODIFIED,
            _ => HttpStatus::OK,
        };
        exchange.send_response(status);
        exchange.send_header("X", "y");
        exchange.end_headers();
        match exchange.path() {
            "/stream" => exchange.stream(Box::new(TestSource::new(3, TestAction::Pause))),
            "/flood" => exchange.stream(Box::new(TestSource::new(50, TestAction::End))),
            "/broken" => exchange.stream(Box::new(TestSource::new(3, TestAction::Fail))),
            "/error" => {
                exchange.wfile().write_all(b"partial")?;
                return Err("no such luck".into());
            }
            "/panic" => {
                exchange.wfile().write_all(b"partial")?;
                panic!("a handler that panics");
            }
            "/misuse" => exchange.send_header("A", "b\r\nC: d"),
            "/last" => {
                exchange.set_close_connection(true);
                exchange.wfile().write_all(b"last\n")?;
            }
            _ => exchange.wfile().write_all(b"hello\n")?,
        }
        Ok(())
    }

    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.do_get(exchange)
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.do_get(exchange)
    }
}

/// What a source does besides making its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TestAction {
    End,
    /// It has nothing every other time.
    Pause,
    /// It fails after the last piece.
    Fail,
}

/// A source of `left` pieces.
#[derive(Debug)]
struct TestSource {
    left: usize,
    then: TestAction,
    paused: bool,
}

impl TestSource {
    fn new(left: usize, then: TestAction) -> Self {
        Self {
            left,
            then,
            paused: true,
        }
    }
}

impl Source for TestSource {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        self.paused = !self.paused;
        if self.paused && self.then == TestAction::Pause {
            return Ok(Fill::More);
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None if self.then == TestAction::Fail => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it dried up"));
            }
            None => return Ok(Fill::Done),
        }
        out.extend_from_slice(b"a piece of it");
        Ok(Fill::More)
    }
}

pub(super) fn content(length: usize) -> Vec<u8> {
    let mut content = b"abcdefghijklmnopqrs".repeat(length / 19 + 1);
    content.truncate(length);
    content
}

pub(super) fn get(path: &str) -> Vec<u8> {
    SMALL_GET.replace("/small", path).into_bytes()
}

/// A reply with `fields` after the fields that all replies have.
pub(super) fn reply(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: test\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n{fields}\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(super) fn small() -> Vec<u8> {
    reply("200 OK", "X: y\r\nContent-Length: 6\r\n", b"hello\n")
}

pub(super) fn file_of(length: usize) -> Vec<u8> {
    let field = format!("Content-Length: {length}\r\n");
    reply("200 OK", &field, &content(length))
}

pub(super) fn stream() -> Vec<u8> {
    let piece = "0000000d\r\na piece of it\r\n";
    let body = format!("{piece}{piece}{piece}0\r\n\r\n");
    reply(
        "200 OK",
        "X: y\r\nTransfer-Encoding: chunked\r\n",
        body.as_bytes(),
    )
}

/// The statuses of the replies in `output`.
pub(super) fn statuses(output: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(output);
    let code = |rest: &str| rest.get(..3).and_then(|code| code.parse().ok());
    text.split("HTTP/1.1 ").skip(1).filter_map(code).collect()
}
