//! The 404. It is sent often, so it is made once as HTML and once as plain text, and kept.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use crate::handler::error_page::error_page;
use crate::handler::exchange::Exchange;
use crate::handler::prepared::Prepared;
use crate::http::status::HttpStatus;

/// The 404 as plain text and as HTML.
#[derive(Clone, Debug, Default)]
pub(super) struct NotFound(RefCell<[Option<Arc<Prepared>>; 2]>);

impl NotFound {
    /// Replies with the 404; what was begun of another reply is discarded. The head takes no more fields.
    pub(super) fn send(&self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let (server, is_html) = (exchange.server(), exchange.accepts_html());
        let mut kept = self.0.borrow_mut();
        let reply = match &mut kept[usize::from(is_html)] {
            Some(reply) if reply.belongs_to(server) => reply,
            reply => {
                let (status, message) = (HttpStatus::NOT_FOUND, Some("File not found"));
                let page = error_page(server, is_html, status, message, None)?;
                let policy = server.file_policy();
                reply.insert(Arc::new(Prepared::page(server, status, policy, &page)))
            }
        };
        exchange.discard();
        exchange.send_prepared(Arc::clone(reply));
        Ok(())
    }
}
