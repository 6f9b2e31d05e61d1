//! A stretch of a file on its way out by sendfile: exactly the bytes that were announced, whatever the file does meanwhile.

use std::fs::File;
use std::io;
use std::ops::Range;

use super::buffer::Sent;
use super::share::Share;
use super::transport::Transport;

/// Sends `range` of `file` and moves its start along, until all has left, the socket takes no more or the share is spent.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] where the file has shrunk: the announced length can no longer be kept, so only closing
/// the connection tells the peer.
pub(crate) fn send_file(
    file: &File,
    range: &mut Range<u64>,
    transport: &mut impl Transport,
    share: &mut Share,
) -> io::Result<Sent> {
    while range.start < range.end {
        if share.bytes == 0 {
            return Ok(Sent::Yield);
        }
        let left = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        match transport.send_file(file, range.start, left.min(share.bytes)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                range.start += length as u64;
                share.bytes -= length;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Sent::Wait),
            Err(error) => return Err(error),
        }
    }
    Ok(Sent::All)
}
