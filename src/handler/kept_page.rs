//! An error page that the same request may ask for again and again: kept in each form in which it was sent.

use std::sync::Arc;

use super::exchange::Exchange;
use super::prepared::Prepared;
use crate::http::status::HttpStatus;

/// The reply with one error page.
#[derive(Debug, Default)]
pub(crate) struct KeptPage {
    html: Option<Arc<Prepared>>,
    text: Option<Arc<Prepared>>,
}

impl KeptPage {
    /// Replies as [`Exchange::send_error`] does, but that the head is closed; `status` and `message` are always the same.
    pub(crate) fn send(&mut self, exchange: &mut Exchange<'_>, status: HttpStatus, message: &str) {
        let form = match exchange.accepts_html() {
            true => &mut self.html,
            false => &mut self.text,
        };
        let page = match form {
            Some(page) if page.belongs_to(exchange.server()) => page,
            _ => {
                exchange.send_error(status, Some(message), None);
                form.insert(Arc::new(exchange.take_page()))
            }
        };
        let page = Arc::clone(page);
        exchange.discard();
        exchange.send_prepared(page);
    }
}
