//! CORS: pages of other origins may read the replies, and browsers that ask first get an answer (Fetch standard, 3.3).
//!
//! Invariant: no reply depends on which origin asks, and none allows credentials, so `*` is right for all of them, and caches may
//! keep them.

use super::exchange::Exchange;
use crate::http::field::{DefaultFields, FieldName, FieldValue};
use crate::http::status::HttpStatus;
use crate::http::token::is_token;

/// The fields of every reply. Without the second one, scripts see neither ranges nor the tag.
pub(super) const FIELDS: &DefaultFields = &[
    (
        FieldName::ACCESS_CONTROL_ALLOW_ORIGIN,
        FieldValue::constant("*"),
    ),
    (
        FieldName::ACCESS_CONTROL_EXPOSE_HEADERS,
        FieldValue::constant(
            "Accept-Ranges, Content-Encoding, Content-Length, Content-Range, Date, ETag, Last-Modified, Retry-After",
        ),
    ),
];

/// Bytes of the list of field names that a preflight may ask for.
const MAX_NAMES: usize = 1024;
/// Seconds for which a browser may keep the answer to a preflight. Chromium keeps none for longer.
const MAX_AGE: &str = "7200";
/// The fields of a request that the answer to OPTIONS depends on.
const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers, \
                    Access-Control-Request-Private-Network";

impl Exchange<'_> {
    /// Replies to OPTIONS with a 204: the methods of `allow`, such as `GET, HEAD, OPTIONS`, are those that the target knows.
    ///
    /// With [`ServerConfig::cors`](crate::ServerConfig::cors) this also answers the preflight of a browser: it allows these methods,
    /// and all header fields that the browser names. A field among
    /// [`extra_response_headers`](crate::ServerConfig::extra_response_headers) replaces the one of the same name.
    ///
    /// ```
    /// # use httpoll::{BaseHttpRequestHandler, Exchange, HandlerResult, MemoryServer, ServerConfig};
    /// # struct Handler;
    /// # impl BaseHttpRequestHandler for Handler {
    /// fn do_options(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
    ///     exchange.send_options("GET, HEAD, OPTIONS, PUT");
    ///     Ok(())
    /// }
    /// # }
    /// # let config = ServerConfig::default().with(|config| config.cors = true);
    /// # let mut server = MemoryServer::with_config(Handler, config);
    /// # let request = b"OPTIONS / HTTP/1.0\r\nOrigin: null\r\nAccess-Control-Request-Method: PUT\r\n\r\n";
    /// # let reply = String::from_utf8(server.respond(request))?;
    /// # assert!(reply.contains("\r\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS, PUT\r\n"), "{reply}");
    /// # Ok::<(), std::string::FromUtf8Error>(())
    /// ```
    pub fn send_options(&mut self, allow: &str) {
        self.send_response(HttpStatus::NO_CONTENT);
        self.send_header("Allow", allow);
        if self.server().config().cors {
            if self.is_preflight() {
                self.permit(allow);
            }
            self.send_header("Vary", VARY);
        }
        self.end_headers();
    }

    /// Whether this is a preflight: a browser asks whether a page of another origin may send a request. It has no credentials.
    pub(crate) fn is_preflight(&self) -> bool {
        let headers = self.headers();
        self.command() == "OPTIONS"
            && headers.get("origin").is_some()
            && headers
                .get("access-control-request-method")
                .is_some_and(is_token)
    }

    /// Adds what the preflight wants to know.
    fn permit(&mut self, allow: &str) {
        let headers = self.headers();
        self.permit_field("Access-Control-Allow-Methods", allow.as_bytes());
        let names = headers.get_all("access-control-request-headers");
        let names = names.collect::<Vec<_>>().join(&b", "[..]);
        // A list of names is echoed, because `*` does not stand for `Authorization`.
        if names.len() <= MAX_NAMES && is_list_of_tokens(&names) {
            self.permit_field("Access-Control-Allow-Headers", &names);
        }
        if headers.get("access-control-request-private-network") == Some(b"true") {
            self.permit_field("Access-Control-Allow-Private-Network", b"true");
        }
        self.permit_field("Access-Control-Max-Age", MAX_AGE.as_bytes());
    }

    /// Adds a field, unless the configuration has one of this name.
    fn permit_field(&mut self, name: &str, value: &[u8]) {
        let mut configured = self.server().config().extra_response_headers.iter();
        if !configured.any(|(configured, _)| configured.eq_ignore_ascii_case(name)) {
            self.send_header(name, value);
        }
    }
}

fn is_list_of_tokens(list: &[u8]) -> bool {
    let mut names = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    names.all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_only_tokens() {
        for list in ["a", "X-A,b", "x-a ,\tb", "authorization, range"] {
            assert!(is_list_of_tokens(list.as_bytes()), "{list}");
        }
        for list in ["", ",", "a,", "a b", "a;b", "a, \"b\"", "caf\u{e9}", "a\0"] {
            assert!(!is_list_of_tokens(list.as_bytes()), "{list:?}");
        }
    }
}
