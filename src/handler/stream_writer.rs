//! A body that another thread writes while it is sent.
//!
//! Invariant: the waker is called after each piece and after the end, so the stream never sleeps over something to send.

use std::io::{self, ErrorKind};
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError, TrySendError};
use std::task::Waker;

use crate::wire::source::{Fill, Source};
use crate::wire::wake_on_drop::WakeOnDrop;

/// The most bytes of one write, and about as many as the source gives at a time.
const PIECE: usize = 16 * 1024;

/// Writes the body of a reply from any thread: see [`Exchange::stream_writer`](crate::Exchange::stream_writer).
///
/// A write waits while the peer reads too slowly, so it must not be called on the thread of the loop, which is the one that sends;
/// [`try_send`](Self::try_send) never waits. When the connection has ended, both fail with [`BrokenPipe`](ErrorKind::BrokenPipe).
#[derive(Debug)]
pub struct StreamWriter {
    // Fields are dropped in this order: the pieces must have ended when the stream is woken for the last time.
    pieces: SyncSender<Vec<u8>>,
    waker: WakeOnDrop,
}

/// What the loop keeps of a [`StreamWriter`].
pub(crate) struct Pieces(Receiver<Vec<u8>>);

impl StreamWriter {
    pub(crate) fn new(pieces: usize, waker: Waker) -> (Self, Pieces) {
        // A channel without room would hand over nothing: the loop takes a piece only after it was woken.
        let (sender, receiver) = mpsc::sync_channel(pieces.max(1));
        let writer = Self {
            pieces: sender,
            waker: WakeOnDrop(waker),
        };
        (writer, Pieces(receiver))
    }

    /// Sends `piece` whole, or fails at once.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock): the peer does not keep up, and nothing of `piece` was taken.
    /// [`BrokenPipe`](ErrorKind::BrokenPipe): the connection has ended.
    ///
    /// ```no_run
    /// # use httpoll::StreamWriter;
    /// /// Sends `event` to all subscribers, and drops those that have left or do not keep up.
    /// fn publish(subscribers: &mut Vec<StreamWriter>, event: &str) {
    ///     subscribers.retain(|subscriber| subscriber.try_send(event).is_ok());
    /// }
    /// ```
    pub fn try_send(&self, piece: impl Into<Vec<u8>>) -> io::Result<()> {
        let sent = self.pieces.try_send(piece.into());
        self.waker.0.wake_by_ref();
        sent.map_err(|error| match error {
            TrySendError::Full(_) => ErrorKind::WouldBlock.into(),
            TrySendError::Disconnected(_) => ErrorKind::BrokenPipe.into(),
        })
    }
}

impl io::Write for StreamWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (piece, _) = bytes.split_at(bytes.len().min(PIECE));
        let sent = self.pieces.send(piece.to_vec());
        self.waker.0.wake_by_ref();
        match sent {
            Ok(()) => Ok(piece.len()),
            Err(_) => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Pieces {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        let start = out.len();
        while out.len() - start < PIECE {
            match self.0.try_recv() {
                Ok(piece) => out.extend_from_slice(&piece),
                Err(TryRecvError::Empty) => return Ok(Fill::NotNow),
                Err(TryRecvError::Disconnected) => return Ok(Fill::Done),
            }
        }
        Ok(Fill::More)
    }
}
