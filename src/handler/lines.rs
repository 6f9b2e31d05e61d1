//! The fields that the server adds to the head of a reply.

use super::server_info::ServerInfo;
use crate::http::date::ImfFixdate;
use crate::http::field::FieldValue;
use crate::http::reply_head::ReplyHead;
use crate::http::request::{Request, Version};

const CLOSE: FieldValue<'static> = FieldValue::constant("close");
const KEEP_ALIVE: FieldValue<'static> = FieldValue::constant("keep-alive");

/// Returns the value of the `Connection` field, if the reply needs one (RFC 9112 §9.3).
pub(crate) fn connection(request: &Request<'_>, keep_alive: bool) -> Option<FieldValue<'static>> {
    match (keep_alive, request.meaning.version) {
        (false, _) => Some(CLOSE),
        (true, Version::Http10) => Some(KEEP_ALIVE),
        (true, _) => None,
    }
}

/// Writes the `Server` and `Date` fields, which follow the status line.
pub(crate) fn write_server_and_date(
    head: &mut ReplyHead<'_>,
    server: &ServerInfo,
    date: &ImfFixdate,
) {
    head.lines(server.server_field());
    head.date(date);
}
