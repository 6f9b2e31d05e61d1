//! Any error of a handler, as one type.

use std::error::Error;
use std::fmt;

/// The error of a handler: made by `?` from every error, and by `into` from text. The client gets a 500, and its text is a line
/// in the log.
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
// The inner box makes it as small as a pointer, so that a method that succeeds returns in one register.
pub struct HandlerError(Box<Box<dyn Error>>);

impl<E: Into<Box<dyn Error>>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
