//! Replies that one call makes: text, JSON, and the page of an error. Their heads stay open for further fields.

use std::num::NonZeroU16;

use super::Exchange;
use crate::handler::client::Scheme;
use crate::handler::error_page::error_page;
use crate::handler::page;
use crate::http::field::{DefaultFields, ForbiddenBytes};
use crate::http::host::https_authority;
use crate::http::status::HttpStatus;

impl Exchange<'_> {
    /// Replies with `text`, which is UTF-8, as `text/plain`. Fields may be added with [`send_header`](Self::send_header)
    /// afterwards; a `Content-Type` among them replaces this one.
    ///
    /// ```
    /// # use httpoll::{Exchange, HandlerResult, MemoryServer, BaseHttpRequestHandler};
    /// # struct Handler;
    /// # impl BaseHttpRequestHandler for Handler {
    /// fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
    ///     exchange.send_text(200, "Hello, world!\n");
    ///     Ok(())
    /// }
    /// # }
    /// # let reply = MemoryServer::new(Handler).respond(b"GET / HTTP/1.0\r\n\r\n");
    /// # assert!(reply.ends_with(b"\r\n\r\nHello, world!\n"));
    /// ```
    pub fn send_text(&mut self, status: impl TryInto<HttpStatus>, text: impl AsRef<[u8]>) {
        self.send_content(status, page::TEXT_FIELDS, text.as_ref());
    }

    /// Replies with `json`, which is one JSON text, as `application/json`. Fields may be added with
    /// [`send_header`](Self::send_header) afterwards; a `Content-Type` among them, such as `application/problem+json`, replaces
    /// this one.
    ///
    /// ```
    /// # use httpoll::{Exchange, HandlerResult, MemoryServer, BaseHttpRequestHandler};
    /// # struct Handler;
    /// # impl BaseHttpRequestHandler for Handler {
    /// fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
    ///     exchange.send_json(200, r#"{"answer":42}"#);
    ///     exchange.send_header("Cache-Control", "no-store");
    ///     Ok(())
    /// }
    /// # }
    /// # let reply = MemoryServer::new(Handler).respond(b"GET / HTTP/1.0\r\n\r\n");
    /// # assert!(reply.ends_with(b"\r\n\r\n{\"answer\":42}"));
    /// ```
    pub fn send_json(&mut self, status: impl TryInto<HttpStatus>, json: impl AsRef<[u8]>) {
        self.send_content(status, page::JSON_FIELDS, json.as_ref());
    }

    fn send_content(
        &mut self,
        status: impl TryInto<HttpStatus>,
        defaults: &'static DefaultFields,
        content: &[u8],
    ) {
        self.send_response(status);
        self.reply.content(defaults, content);
    }

    /// Redirects the request to HTTPS if its connection asks for that (RFC 9110 §15.4.9), and returns whether it does.
    #[inline(always)]
    pub(crate) fn redirect_to_https(&mut self) -> bool {
        match self.context.client.scheme {
            Scheme::Http | Scheme::Https => false,
            Scheme::RedirectToHttps(port) => {
                self.send_https_redirect(port);
                true
            }
        }
    }

    #[cold]
    fn send_https_redirect(&mut self, port: Option<NonZeroU16>) {
        let Some(authority) = https_authority(self.request, port.map(NonZeroU16::get)) else {
            let explain = "The request does not name one host, so it cannot be redirected to HTTPS";
            self.send_error(HttpStatus::BAD_REQUEST, None, Some(explain));
            return;
        };
        let path = Some(self.path()).filter(|path| path.starts_with('/'));
        let location = format!("https://{authority}{}", path.unwrap_or("/"));
        self.set_close_connection(true);
        self.send_response(HttpStatus::PERMANENT_REDIRECT);
        self.send_header("Location", &location);
        // A browser that remembered it would find no server without TLS on this port later.
        self.send_header("Cache-Control", "no-cache");
        self.end_headers();
    }

    /// Replies with a 503 to a request for a file that no file thread could look up in time.
    pub(crate) fn send_file_unavailable(&mut self) {
        let explain = "The file system does not answer in time. Try again later.";
        self.send_error(HttpStatus::SERVICE_UNAVAILABLE, None, Some(explain));
        self.send_header("Retry-After", "5");
    }

    /// Replies with an error page of `status`; it replaces what was begun of a reply.
    ///
    /// `message` stands for the status's phrase on the page, `explain` for its description. The page is HTML, or plain text
    /// for a client that accepts no HTML. Fields may be added with [`send_header`](Self::send_header) afterwards.
    ///
    /// ```
    /// # use httpoll::{Exchange, HandlerResult, MemoryServer, BaseHttpRequestHandler};
    /// # struct Handler;
    /// # impl BaseHttpRequestHandler for Handler {
    /// fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
    ///     exchange.send_error(404, Some("No such user"), None);
    ///     Ok(())
    /// }
    /// # }
    /// # let reply = MemoryServer::new(Handler).respond(b"GET / HTTP/1.0\r\n\r\n");
    /// # assert!(reply.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
    /// ```
    pub fn send_error(
        &mut self,
        status: impl TryInto<HttpStatus>,
        message: Option<&str>,
        explain: Option<&str>,
    ) {
        self.reply.reset();
        let Some(status) = self.checked(status) else {
            return;
        };
        self.send_response(status);
        if !status.allows_body() {
            return;
        }
        match error_page(
            self.context.server,
            self.error_form(),
            status,
            message,
            explain,
        ) {
            Ok(page) => self.reply.page(page),
            Err(_) => self.reply.refuse(ForbiddenBytes::MESSAGE),
        }
    }
}
