//! Control of a server from outside its loops: from another thread, a signal or a handler.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mio::{Registry, Waker};

use crate::handler::mailbox::Mailbox;
use crate::server::event_loop::WAKER;

/// Controls a server with all of its loops, from any thread and without blocking.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    loops: Arc<[Control]>,
    /// How often a reload was asked for. All loops count alike, so that one of them acts for all.
    reloads: Arc<AtomicU64>,
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
            reloads: Arc::default(),
        })
    }

    /// Asks the server to finish the replies in flight, close idle connections and end.
    #[doc(alias = "stop")]
    pub fn shutdown(&self) {
        self.ask(|control| &control.stop);
    }

    /// Asks every loop to print its [counters](crate::Counters) on standard error.
    pub fn report(&self) {
        self.ask(|control| &control.report);
    }

    /// Opens the [log file](crate::LogFile) again, after it was renamed. Without a log file nothing is reloaded.
    ///
    /// Lines that wait by then go to the old file. If the file cannot be opened, the old one stays in use, and a line on standard error
    /// says so.
    pub fn reload(&self) {
        self.reloads.fetch_add(1, Ordering::AcqRel);
        self.wake();
    }

    /// Returns how often a reload was asked for.
    pub(crate) fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Acquire)
    }

    fn ask(&self, flag: impl Fn(&Control) -> &AtomicBool) {
        for control in self.loops.iter() {
            flag(control).store(true, Ordering::Release);
        }
        self.wake();
    }

    fn wake(&self) {
        for control in self.loops.iter() {
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
