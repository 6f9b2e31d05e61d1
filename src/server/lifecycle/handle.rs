//! Control of a server from outside its loops: from another thread, a signal or a handler.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Registry, Waker};

use crate::handler::mailbox::Mailbox;
use crate::server::event_loop::WAKER;

/// Ends a server with all of its loops, from any thread and without blocking.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    loops: Arc<[Control]>,
}

/// What one loop has been asked for, and how to wake it.
#[derive(Debug)]
struct Control {
    stop: AtomicBool,
    report: AtomicBool,
    waker: Arc<Waker>,
}

impl ServerHandle {
    /// Makes the handle of the loops with these registries.
    pub(crate) fn new<'a>(registries: impl Iterator<Item = &'a Registry>) -> io::Result<Self> {
        let control = |registry| {
            Ok(Control {
                stop: AtomicBool::new(false),
                report: AtomicBool::new(false),
                waker: Arc::new(Waker::new(registry, WAKER)?),
            })
        };
        Ok(Self {
            loops: registries.map(control).collect::<io::Result<_>>()?,
        })
    }

    /// Asks the server to end without losing a request, in these stages:
    ///
    /// 1. For [`ServerConfig::drain_delay`](crate::ServerConfig::drain_delay) it serves as before, but every reply ends its connection.
    /// 2. It stops listening. Clients that have connected are still answered, and idle connections close; those without a reply so
    ///    far, or with the last one in the 300 ms before, stay open for 300 ms, because a request may be on its way.
    /// 3. Replies in flight have until [`ServerConfig::drain_timeout`](crate::ServerConfig::drain_timeout) after the second stage began.
    ///
    #[doc(alias = "stop")]
    pub fn shutdown(&self) {
        self.ask(|control| &control.stop);
    }

    /// Tells whether a shutdown was requested: clients should go to another server.
    pub fn is_draining(&self) -> bool {
        (0..self.loops.len()).any(|index| self.is_shutdown_requested(index))
    }

    /// Asks every loop to print its [counters](crate::Counters) on standard error.
    pub fn report(&self) {
        self.ask(|control| &control.report);
    }

    fn ask(&self, flag: impl Fn(&Control) -> &AtomicBool) {
        for control in self.loops.iter() {
            flag(control).store(true, Ordering::Release);
            // Waking fails only where the loop has ended already.
            let _ = control.waker.wake();
        }
    }

    /// Returns how many loops there are.
    pub(crate) fn loops(&self) -> usize {
        self.loops.len()
    }

    /// Makes the mailbox of loop number `index`: a message in it wakes the loop.
    pub(crate) fn mailbox(&self, index: usize) -> Arc<Mailbox> {
        let waker = self
            .loops
            .get(index)
            .map(|control| Arc::clone(&control.waker));
        Mailbox::new(move || {
            // Waking fails only where the loop has ended already.
            let _ = waker.as_ref().map(|waker| waker.wake());
        })
    }

    /// Whether loop number `index` has been asked to end.
    pub(crate) fn is_shutdown_requested(&self, index: usize) -> bool {
        self.loops
            .get(index)
            .is_some_and(|control| control.stop.load(Ordering::Acquire))
    }

    /// Whether a report was asked for since the last call.
    pub(crate) fn take_report_request(&self, index: usize) -> bool {
        self.loops
            .get(index)
            .is_some_and(|control| control.report.swap(false, Ordering::AcqRel))
    }
}
