//! Lines that every head has.

use super::server_info::ServerInfo;
use crate::http::request::{Request, Version};
use crate::http::status::HttpStatus;

/// The field line that says what becomes of the connection, where it must be said (RFC 9112 §9.3).
pub(crate) fn connection_field(request: &Request<'_>, keep_alive: bool) -> &'static [u8] {
    match (keep_alive, request.version) {
        (false, _) => b"Connection: close\r\n",
        (true, Version::Http10) => b"Connection: keep-alive\r\n",
        (true, _) => b"",
    }
}

pub(crate) fn write_status_line(out: &mut Vec<u8>, server: &ServerInfo, status: HttpStatus) {
    let version = server.config().protocol_version.name();
    for piece in [
        version.as_bytes(),
        b" ",
        &decimal3(status.code()),
        b" ",
        status.phrase().as_bytes(),
        b"\r\n",
    ] {
        out.extend_from_slice(piece);
    }
}

fn decimal3(code: u16) -> [u8; 3] {
    [code / 100 % 10, code / 10 % 10, code % 10].map(|digit| b'0' + digit as u8)
}
