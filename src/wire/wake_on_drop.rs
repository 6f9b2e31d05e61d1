//! A waker that is called when its owner is dropped, so that the connection that waits for the owner hears of its end, even by a panic.

use std::task::Waker;

/// Calls the waker when it is dropped.
#[derive(Debug)]
pub(crate) struct WakeOnDrop(pub(crate) Waker);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}
