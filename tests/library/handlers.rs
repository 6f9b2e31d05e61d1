//! Handlers that consist of one closure, and their replies by a `MemoryServer`.

use std::io::{self, Write as _};

use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, HttpStatus, MemoryServer};

use crate::client::Reply;

/// Answers each request with its closure, and records the arguments of `handle_error`.
#[derive(Debug)]
pub(crate) struct Answering<F> {
    answer: F,
    pub(crate) failures: Vec<String>,
}

pub(crate) fn answering<F>(answer: F) -> Answering<F>
where
    F: FnMut(&mut Exchange<'_>) -> io::Result<()>,
{
    Answering {
        answer,
        failures: Vec::new(),
    }
}

impl<F> BaseHttpRequestHandler for Answering<F>
where
    F: FnMut(&mut Exchange<'_>) -> io::Result<()>,
{
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        true
    }

    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        Ok((self.answer)(exchange)?)
    }

    fn handle_error(&mut self, _exchange: &mut Exchange<'_>, failure: &str) {
        self.failures.push(failure.to_owned());
    }
}

/// Sends 200 with `text` as the body.
pub(crate) fn send_text(exchange: &mut Exchange<'_>, text: &str) -> io::Result<()> {
    exchange.send_response(HttpStatus::OK);
    exchange.send_header("Content-Type", "text/plain");
    exchange.end_headers();
    exchange.wfile().write_all(text.as_bytes())
}

/// The reply to `request`, which is one request.
pub(crate) fn reply<F>(request: &str, answer: F) -> Reply
where
    F: FnMut(&mut Exchange<'_>) -> io::Result<()>,
{
    let method = request.split(' ').next().unwrap();
    let bytes = MemoryServer::new(answering(answer)).respond(request.as_bytes());
    Reply::all(&bytes, &[method]).pop().unwrap()
}

/// A request without a body to `/path`.
pub(crate) fn request(method: &str) -> String {
    format!("{method} /path HTTP/1.1\r\nHost: test\r\n\r\n")
}
