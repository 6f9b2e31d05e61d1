//! Any error of a handler, as one type.

use std::error::Error;
use std::fmt;

use crate::http::status::HttpStatus;

/// The error of a handler: made by `?` from every error, and by `into` from text. The client gets a 500, and its text is a line
/// in the log; [`new`](Self::new) is for another status.
///
/// It does not implement [`Error`] itself, as a type that is made from every error cannot. One type needs a word more, as it does
/// for `Box<dyn Error>`: a `Box<dyn Error + Send + Sync>` loses its marker traits before the `?`.
///
/// ```
/// use std::error::Error;
///
/// use httpoll::HandlerResult;
///
/// fn load() -> Result<String, Box<dyn Error + Send + Sync>> {
///     Err("no such item".into())
/// }
///
/// fn answer() -> HandlerResult<String> {
///     Ok(load().map_err(|error| error as Box<dyn Error>)?)
/// }
/// # assert_eq!(answer().unwrap_err().to_string(), "no such item");
/// ```
// The box makes it as small as a pointer, so that a method that succeeds returns in one register.
pub struct HandlerError(Box<Failure>);

struct Failure {
    status: HttpStatus,
    error: Box<dyn Error>,
}

impl HandlerError {
    /// Returns `error` as one that the client gets with `status`, from 400 to 599; any other status becomes 500.
    ///
    /// Below 500 it is a mistake of the client, not of the handler: the error page explains it with the text of `error`, and
    /// [`handle_error`](crate::BaseHttpRequestHandler::handle_error) is not called. From 500 on, only `handle_error` is told the text.
    ///
    /// ```
    /// use httpoll::{BaseHttpRequestHandler, Exchange, HandlerError, HandlerResult, MemoryServer};
    ///
    /// struct Double;
    ///
    /// impl BaseHttpRequestHandler for Double {
    ///     fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
    ///         let number = exchange.path_only().trim_start_matches('/').parse::<u32>();
    ///         let number = number.map_err(|error| HandlerError::new(400, error))?;
    ///         exchange.send_text(200, (2 * u64::from(number)).to_string());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let mut server = MemoryServer::new(Double);
    /// assert!(server.respond(b"GET /21 HTTP/1.0\r\n\r\n").ends_with(b"42"));
    /// assert!(server.respond(b"GET /x HTTP/1.0\r\n\r\n").starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
    /// ```
    pub fn new(status: impl TryInto<HttpStatus>, error: impl Into<Box<dyn Error>>) -> Self {
        let status = status.try_into().ok();
        let status = status.filter(|status| (400..600).contains(&status.code()));
        Self(Box::new(Failure {
            status: status.unwrap_or(HttpStatus::INTERNAL_SERVER_ERROR),
            error: error.into(),
        }))
    }

    /// The status that the client gets, from 400 to 599.
    pub(crate) fn status(&self) -> HttpStatus {
        self.0.status
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::new(HttpStatus::INTERNAL_SERVER_ERROR, error)
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.error, f)
    }
}
