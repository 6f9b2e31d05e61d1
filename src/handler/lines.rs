//! Lines that every head has.

use super::server_info::ServerInfo;
use crate::http::request::{Request, Version};
use crate::http::status::HttpStatus;

/// The field line that says what becomes of the connection, where it must be said (RFC 9112 §9.3).
pub(crate) fn connection_field(request: &Request<'_>, keep_alive: bool) -> &'static [u8] {
    match (keep_alive, request.meaning.version) {
        (false, _) => b"Connection: close\r\n",
        (true, Version::Http10) => b"Connection: keep-alive\r\n",
        (true, _) => b"",
    }
}

pub(crate) fn write_status_line(out: &mut Vec<u8>, server: &ServerInfo, status: HttpStatus) {
    let version = server.config().protocol_version.name();
    push(
        out,
        &[
            version.as_bytes(),
            b" ",
            &decimal3(status.code()),
            b" ",
            status.phrase().as_bytes(),
            b"\r\n",
        ],
    );
}

/// Writes the fields that the configuration adds to every reply.
pub(crate) fn write_extra_fields(out: &mut Vec<u8>, server: &ServerInfo) {
    for (name, value) in &server.config().extra_response_headers {
        write_field(out, name, value);
    }
}

/// Writes those of the `defaults` that are not in the head already, which begins at `start`.
pub(crate) fn write_defaults(
    out: &mut Vec<u8>,
    start: usize,
    defaults: &[(&'static str, &'static str)],
) {
    if defaults.is_empty() {
        return;
    }
    let given = given_defaults(out.get(start..).unwrap_or_default(), defaults);
    for (index, (name, value)) in defaults.iter().enumerate() {
        if given & 1 << index == 0 {
            write_field(out, name, value);
        }
    }
}

/// Returns which of the `defaults` are in `head`, a bit for each.
fn given_defaults(head: &[u8], defaults: &[(&'static str, &'static str)]) -> u32 {
    let mut given = 0;
    for end in memchr::memchr_iter(b'\n', head) {
        let line = head.get(end + 1..).unwrap_or_default();
        for (index, (name, _)) in defaults.iter().enumerate() {
            let is_given = line
                .split_at_checked(name.len())
                .is_some_and(|(start, rest)| {
                    rest.starts_with(b":") && start.eq_ignore_ascii_case(name.as_bytes())
                });
            given |= u32::from(is_given) << index;
        }
    }
    given
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &str) {
    push(out, &[name.as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
}

/// Appends `pieces` as they are.
pub(crate) fn push(out: &mut Vec<u8>, pieces: &[&[u8]]) {
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

fn decimal3(code: u16) -> [u8; 3] {
    [code / 100 % 10, code / 10 % 10, code % 10].map(|digit| b'0' + digit as u8)
}
