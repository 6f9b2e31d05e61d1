//! Messages from other threads to a loop: that a source may have something now, and replies that were promised.
//!
//! Invariant: posting blocks at most for as long as another post takes, and any number of messages wake the loop once.

use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use super::HandlerResult;
use super::exchange::Exchange;

/// How a promise is kept, on the thread of the loop.
pub(crate) enum Answer {
    /// This makes the reply.
    Reply(Box<MakeReply>),
    /// The handler is asked for it again.
    AskHandler,
}

type MakeReply = dyn FnOnce(&mut Exchange<'_>) -> HandlerResult + Send;

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

/// What a message says to its connection.
pub(crate) enum MessageContent {
    /// The source may have something now. The waker posts no other message until this one is read.
    Wake(Arc<SourceWaker>),
    /// The reply that was promised under this number; `None` where the promise was dropped.
    Answer(u64, Option<Answer>),
}

/// A message to the connection with this key.
pub(crate) struct Message {
    pub(crate) key: usize,
    pub(crate) content: MessageContent,
}

/// The messages to one loop.
pub(crate) struct Mailbox {
    messages: Mutex<Vec<Message>>,
    wake: Box<dyn Fn() + Send + Sync>,
    serial: AtomicU64,
}

impl Mailbox {
    /// Makes a mailbox that calls `wake` when it is no longer empty.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            messages: Mutex::default(),
            wake: Box::new(wake),
            serial: AtomicU64::new(0),
        })
    }

    /// Returns a number that no other promise of this loop has.
    pub(crate) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn post(&self, key: usize, content: MessageContent) {
        let mut messages = self.lock();
        messages.push(Message { key, content });
        let is_first = messages.len() == 1;
        drop(messages);
        if is_first {
            (self.wake)();
        }
    }

    pub(crate) fn take(&self) -> Vec<Message> {
        mem::take(&mut *self.lock())
    }

    /// Takes the lock even if it is poisoned, because a panic cannot leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, Vec<Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

/// Wakes the source of one connection. However often it is called, only one message is on its way at a time.
#[derive(Debug)]
pub(crate) struct SourceWaker {
    mailbox: Arc<Mailbox>,
    key: usize,
    is_posted: AtomicBool,
}

impl SourceWaker {
    pub(crate) fn new(mailbox: Arc<Mailbox>, key: usize) -> Self {
        Self {
            mailbox,
            key,
            is_posted: AtomicBool::new(false),
        }
    }

    /// Notes that the message was read, so that the next wake posts another.
    pub(crate) fn is_read(&self) {
        self.is_posted.store(false, Ordering::SeqCst);
    }
}

impl Wake for SourceWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_posted.swap(true, Ordering::SeqCst) {
            self.mailbox
                .post(self.key, MessageContent::Wake(Arc::clone(self)));
        }
    }
}
