//! Fields that the server adds to a head, and the end of the head.

use super::cors;
use super::ending::Framed;
use super::server_info::ServerInfo;
use crate::http::date::ImfFixdate;
use crate::http::field::{DefaultFields, FieldValue};
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

/// Ends the head with the fields of every reply and with `Connection`, and returns the buffer for the body. HTTP/0.9 has no
/// head at all.
pub(crate) fn end_head<'h>(
    head: &'h mut ReplyHead<'_>,
    defaults: &DefaultFields,
    request: &Request<'_>,
    server: &ServerInfo,
    framed: &mut Framed,
) -> &'h mut Vec<u8> {
    if request.meaning.version == Version::Http09 {
        return head.omit();
    }
    write_common_fields(head, defaults, server);
    let before = head.start();
    let out = head.end(connection(request, framed.keep_alive));
    framed.overhead = (out.len() - before) as u64;
    out
}

/// Writes the fields that every reply of this server has, and the defaults.
pub(crate) fn write_common_fields(
    head: &mut ReplyHead<'_>,
    defaults: &DefaultFields,
    server: &ServerInfo,
) {
    head.lines(server.extra_fields());
    head.defaults(defaults);
    if server.config().cors {
        head.defaults(cors::FIELDS);
    }
}
