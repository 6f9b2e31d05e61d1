//! The replies to requests that are not admitted.

use crate::handler::exchange::Exchange;
use crate::http::status::HttpStatus;

/// Says which passwords are asked for, and that they are UTF-8 (RFC 7617 §2.1).
const CHALLENGE: &str = "Basic realm=\"httpoll\", charset=\"UTF-8\"";

/// Asks for user and password.
pub(super) fn refuse_wrong(exchange: &mut Exchange<'_>) {
    let explain = "This server asks for a user and a password.";
    exchange.send_error(HttpStatus::UNAUTHORIZED, None, Some(explain));
    exchange.send_header("WWW-Authenticate", CHALLENGE);
}

/// Refuses a request because too many passwords wait for their check.
pub(super) fn refuse_busy(exchange: &mut Exchange<'_>) {
    let explain = "Too many passwords are being checked. Try again later.";
    exchange.send_error(HttpStatus::SERVICE_UNAVAILABLE, None, Some(explain));
    exchange.send_header("Retry-After", "1");
}
