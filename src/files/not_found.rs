//! The 404. It is sent often, so it is made once in each form, and kept.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use super::live;
use crate::handler::error_page::{ErrorForm, error_page};
use crate::handler::exchange::Exchange;
use crate::handler::prepared::Prepared;
use crate::http::status::HttpStatus;

/// The 404 in each [form](ErrorForm).
#[derive(Clone, Debug, Default)]
pub(super) struct NotFound(RefCell<[Option<Arc<Prepared>>; ErrorForm::COUNT]>);

impl NotFound {
    /// Replies with the 404; what was begun of another reply is discarded. The head takes no more fields.
    /// With `is_live` the page loads the script of [`live`].
    pub(super) fn send(&self, exchange: &mut Exchange<'_>, is_live: bool) -> io::Result<()> {
        let (server, form) = (exchange.server(), exchange.error_form());
        let mut kept = self.0.borrow_mut();
        let reply = match &mut kept[form as usize] {
            Some(reply) if reply.belongs_to(server) => reply,
            reply => {
                let (status, message) = (HttpStatus::NOT_FOUND, Some("File not found"));
                let mut page = error_page(server, form, status, message, None)?;
                if is_live && form != ErrorForm::Text {
                    live::add_to(&mut page, server);
                }
                let policy = server.file_policy();
                reply.insert(Arc::new(Prepared::page(server, status, policy, &page)))
            }
        };
        exchange.discard();
        exchange.send_prepared(Arc::clone(reply));
        Ok(())
    }
}
