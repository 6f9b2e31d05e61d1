//! The 404, and other error pages of a site. The 404 is sent often, so it is made once in each form, and kept.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use super::live;
use crate::handler::error_page::{ErrorForm, error_page};
use crate::handler::exchange::Exchange;
use crate::handler::prepared::Prepared;
use crate::handler::server_info::ServerInfo;
use crate::http::field::FieldLines;
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
                let described = (HttpStatus::NOT_FOUND, Some("File not found"));
                let policy = server.file_policy();
                reply.insert(make(server, form, described, policy, is_live)?)
            }
        };
        exchange.discard();
        exchange.send_prepared(Arc::clone(reply));
        Ok(())
    }
}

/// Replies with the page of a status and its message, and the fields of `policy`; what was begun of another reply is discarded. The
/// head takes no more fields. With `is_live` the page loads the script of [`live`].
pub(super) fn send_page(
    exchange: &mut Exchange<'_>,
    described: (HttpStatus, Option<&str>),
    policy: &FieldLines,
    is_live: bool,
) -> io::Result<()> {
    let (server, form) = (exchange.server(), exchange.error_form());
    let reply = make(server, form, described, policy, is_live)?;
    exchange.discard();
    exchange.send_prepared(reply);
    Ok(())
}

fn make(
    server: &ServerInfo,
    form: ErrorForm,
    (status, message): (HttpStatus, Option<&str>),
    policy: &FieldLines,
    is_live: bool,
) -> io::Result<Arc<Prepared>> {
    let mut page = error_page(server, form, status, message, None)?;
    if is_live && form != ErrorForm::Text {
        live::add_to(&mut page, server);
    }
    Ok(Arc::new(Prepared::page(server, status, policy, &page)))
}
