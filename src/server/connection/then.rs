//! What follows the bytes that were made, once all of them have left.

use super::arriving::UnfinishedRequest;
use super::lingering::Lingering;
use super::promised::PromisedReply;

/// What a connection turns to when its replies have left.
#[derive(Debug)]
pub(crate) enum Then {
    /// The next request, from the bytes on hand or from the socket.
    Parse,
    /// The rest of a head that has begun to arrive, from the socket.
    ReadHead,
    /// The rest of a body that the handler wants.
    ReadBody(Box<UnfinishedRequest>),
    /// The rest of a body that the handler does not want, and then the next request.
    Discard(Box<Lingering>),
    /// A reply that comes later.
    Await(Box<PromisedReply>),
    /// The close at once: the peer asked for it and has sent nothing more, so it cannot reset the connection.
    Close,
    /// The close after everything that the peer still sends: a close before could reset the connection, and the last reply would be
    /// lost.
    Linger,
    /// A reset: the handler has aborted the exchange.
    Reset,
}
