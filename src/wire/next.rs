//! What a connection does next. Whatever moves its bytes says it, and so does each of its steps, up to the loop.

/// What a connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Goes on at once; of bytes to send, it means that all of them have left.
    Continue,
    /// Waits for an event: the socket can be read or written again, or another thread has sent a message.
    Wait,
    /// Goes on in the next turn of the loop, because its share of this turn is spent.
    Yield,
    /// Goes on with work once the connections that waited for work before it have had a slice.
    Work,
    /// Waits for the disk, because the next bytes are not in memory.
    WaitForDisk,
    /// Closes.
    Close,
}
