//! The paths of the administration, and which of them need the loop of the site for their answer.

use super::text::Format;
use crate::handler::deferred::Deferred;
use crate::handler::exchange::Exchange;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::http::status::HttpStatus;

/// Answers `/livez`, and keeps the other questions until the loop has their answers.
#[derive(Debug, Default)]
pub(super) struct AdminHandler {
    /// Requests for `/readyz`.
    pub(super) readiness: Vec<Deferred>,
    /// Requests for `/metrics` for which no loop was asked yet.
    pub(super) new_scrapes: Vec<(Format, Deferred)>,
    /// Requests for `/metrics` that wait for the figures of the loops.
    pub(super) scrapes: Vec<(Format, Deferred)>,
}

impl BaseHttpRequestHandler for AdminHandler {
    fn may_change_files(&self) -> bool {
        false
    }

    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let path = exchange.path_only();
        if !["/livez", "/readyz", "/metrics"].contains(&path) {
            exchange.send_error(HttpStatus::NOT_FOUND, None, None);
        } else if !["GET", "HEAD"].contains(&exchange.command()) {
            exchange.send_error(HttpStatus::METHOD_NOT_ALLOWED, None, None);
            exchange.send_header("Allow", "GET, HEAD");
        } else if path == "/livez" {
            send_now(exchange, HttpStatus::OK, "ok\n");
        } else if path == "/readyz" {
            self.readiness.push(exchange.defer());
        } else {
            let format = Format::of(exchange.headers());
            self.new_scrapes.push((format, exchange.defer()));
        }
        Ok(())
    }
}

/// Replies with what is true only now.
pub(super) fn send_now(exchange: &mut Exchange<'_>, status: HttpStatus, text: &str) {
    exchange.send_text(status, text);
    exchange.send_header("Cache-Control", "no-store");
}
