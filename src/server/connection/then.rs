//! What follows the bytes that were made, once all of them have left.

use super::arriving::UnfinishedRequest;
use super::lingering::Lingering;
use super::promised::PromisedReply;

/// What a connection turns to when its replies have left.
#[derive(Debug)]
pub(crate) enum Then {
    /// The next request, from the bytes on hand or from the socket.
    Parse,
    /// The rest of the head that the bytes on hand begin, from the socket.
    ReadHead,
    /// The rest of a body that the handler wants.
    ReadBody(Box<UnfinishedRequest>),
    /// The rest of a body that the handler does not want, and then the next request.
    Discard(Box<Lingering>),
    /// A reply that comes later.
    Await(Box<PromisedReply>),
    /// The peer asked for the close and has sent nothing more, so a close cannot reset the connection.
    Close,
    /// The peer may still be sending, and a close could take the last reply from it.
    Linger,
    /// The handler wants no reply to arrive.
    Reset,
}
