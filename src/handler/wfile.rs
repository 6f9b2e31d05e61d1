//! The body of a reply as a file to write to, as http.server has it.

use std::io;

use super::reply::Reply;

/// Appends what is written to the body in memory: never blocking, never short.
pub(crate) struct Wfile<'e, 'a>(pub(crate) &'e mut Reply<'a>);

impl io::Write for Wfile<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.body() {
            Ok(body) => {
                body.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Err(misuse) => Err(io::Error::other(misuse)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
