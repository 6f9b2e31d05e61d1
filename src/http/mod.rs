//! The protocol: RFC 9110 and RFC 9112 as functions from values to values.
//!
//! Invariant: no function here uses a socket, a file or a clock, so a table of inputs and outputs can test every rule.

pub(crate) mod accept;
pub(crate) mod accept_encoding;
pub(crate) mod body;
pub(crate) mod chunked;
pub(crate) mod conditional;
pub(crate) mod date;
pub(crate) mod decimal;
pub(crate) mod field;
pub(crate) mod forwarded;
pub(crate) mod framing;
pub(crate) mod head;
pub(crate) mod header_value;
pub(crate) mod headers;
pub(crate) mod host;
pub(crate) mod method;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
pub(crate) mod proxy_protocol;
pub(crate) mod range;
pub(crate) mod reply_head;
pub(crate) mod request;
pub(crate) mod status;
pub(crate) mod storage;
pub(crate) mod token;
pub(crate) mod trace;
