//! A request that outlives the bytes it arrived in: its body is still arriving, or its reply comes later.
//!
//! Invariant: it shows the request that it was made of, without parsing the head again.

use std::borrow::Cow;

use super::Request;
use crate::http::framing::Meaning;
use crate::http::headers::{FieldSpan, Headers};

/// A copy of a request.
#[derive(Debug)]
pub(crate) struct OwnedRequest {
    /// The request line without its end, followed by the bytes that the fields stand in.
    bytes: Vec<u8>,
    requestline_length: usize,
    command_length: usize,
    path: Vec<u8>,
    fields: Vec<FieldSpan>,
    meaning: Meaning,
}

impl OwnedRequest {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        Self {
            bytes: [request.requestline, request.headers.block()].concat(),
            requestline_length: request.requestline.len(),
            command_length: request.command.len(),
            path: request.path.to_vec(),
            fields: request.headers.spans().to_vec(),
            meaning: *request.meaning,
        }
    }

    /// Returns the request, borrowed from this copy.
    pub(crate) fn as_request(&self) -> Request<'_> {
        let (requestline, block) = self.bytes.split_at(self.requestline_length);
        let command = requestline.get(..self.command_length).unwrap_or_default();
        Request {
            requestline,
            command: str::from_utf8(command).unwrap_or_default(),
            path: Cow::Borrowed(&self.path),
            headers: Headers::new(block, &self.fields),
            meaning: &self.meaning,
        }
    }

    /// Returns the request line as it came, without its end.
    pub(crate) fn requestline(&self) -> &[u8] {
        self.as_request().requestline
    }

    /// Bytes of memory that it keeps.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
            + self.path.capacity()
            + self.fields.capacity() * size_of::<FieldSpan>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServerConfig;
    use crate::http::head::HeadSearch;
    use crate::http::storage::Storage;

    #[test]
    fn a_copy_shows_the_request_that_it_was_made_of() {
        for head in [
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "POST //a%20b?c HTTP/1.1\r\nHost: h\r\nA:b\r\na: \r\nContent-Length: 3\r\n\r\n",
            "\r\nGET\t/ HTTP/1.0\nA: b\n\n",
            "OPTIONS http://h HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET http://h?x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /\r\n",
        ] {
            let (mut storage, mut search) = (Storage::default(), HeadSearch::default());
            let config = ServerConfig::default();
            let found = Request::find(head.as_bytes(), &mut search, &mut storage, &config);
            let (request, _) = found.unwrap().unwrap();
            let owned = OwnedRequest::of(&request);
            let debug = |request: &Request<'_>| format!("{request:?}");
            assert_eq!(
                debug(&owned.as_request()).replace("Owned", "Borrowed"),
                debug(&request)
            );
            assert_eq!(owned.requestline(), request.requestline);
            assert!(owned.memory() >= request.requestline.len() + request.path.len());
        }
    }
}
