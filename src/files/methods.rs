//! The HTTP methods that the static handler answers, and what the server may ask it.

use std::borrow::Cow;
use std::os::fd::BorrowedFd;

use super::SimpleHttpRequestHandler;
use crate::handler::exchange::Exchange;
use crate::handler::ready_checks;
use crate::handler::{BaseHttpRequestHandler, HandlerResult, unsupported};
use crate::http::method::is_registered;
use crate::http::status::HttpStatus;

const ALLOW: &str = "GET, HEAD, OPTIONS";

impl BaseHttpRequestHandler for SimpleHttpRequestHandler {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        false
    }

    fn may_change_files(&self) -> bool {
        // A closure of the owner may do anything.
        self.overrides.are_set()
    }

    fn event_source(&mut self) -> Option<BorrowedFd<'_>> {
        if !self.live {
            return None;
        }
        self.cache.get_mut().event_source()
    }

    fn service_actions(&mut self) {
        if self.live && self.cache.get_mut().has_changed() {
            self.pages.note_change();
        }
    }

    /// Opens what is served, as a request does: it must be there, and must not be deleted.
    fn check_ready(&mut self) -> Result<(), Cow<'static, str>> {
        let root = self.root.clone();
        let hangs = format!("cannot serve {root}: its file system does not answer");
        let check = move || {
            let opened = root.check();
            opened.map_err(|error| format!("cannot serve {root}: {error}").into())
        };
        ready_checks::check(check, hangs)
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.send_head(exchange)
    }

    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.send_head(exchange)
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_put(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_delete(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_patch(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_trace(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        not_allowed(exchange)
    }

    fn do_options(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_options(ALLOW);
        Ok(())
    }

    fn do_other(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if is_registered(exchange.command()) {
            not_allowed(exchange)
        } else {
            unsupported(exchange)
        }
    }
}

fn not_allowed(exchange: &mut Exchange<'_>) -> HandlerResult {
    exchange.send_error(HttpStatus::METHOD_NOT_ALLOWED, None, None);
    exchange.send_header("Allow", ALLOW);
    Ok(())
}
