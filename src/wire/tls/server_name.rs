//! The server name that a client asks for (SNI, RFC 6066 §3), on its way from the choice of the certificate to the connection.
//!
//! rustls tells the name to the code that chooses a certificate, and to nothing else if a connection is unbuffered. It chooses
//! the certificate while the connection opens records, in the same thread, so the name is left here meanwhile.

use std::cell::Cell;

thread_local! {
    static NAME: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// Leaves the name of the handshake that is under way.
pub(super) fn leave(name: Option<&str>) {
    NAME.set(name.map(Into::into));
}

/// Takes the name that was left since the last call.
pub(super) fn take() -> Option<Box<str>> {
    NAME.take()
}
